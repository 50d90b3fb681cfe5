"""Build configurations: TOML that says what a run is computed from. See `configs/build/demo.toml`."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from explorer.errors import ExplorerError
from explorer.files import is_file
from explorer.paths import SHIPPED
from explorer.pipeline import specs
from explorer.pipeline.scorers import HARM_JUDGES, ROLES, is_scorer, judge_parts, scorer_columns
from explorer.runs.format import check_name
from explorer.schema import Dtype, Kind, Place, PlaceOrNone, Text, Tokens, check_settings, read_table, shown
from explorer.scoring.registry import JUDGES, NAMES
from explorer.toml_file import read_toml

T = TypeVar("T")

MODELS = ("m1", "m2")
"""Names that no adapter may have."""

STUDIES: dict[str, type] = {
    "detail": specs.DetailSpec,
    "series": specs.SeriesSpec,
    "transfer": specs.TransferSpec,
    "categories": specs.CategoriesSpec,
    "seeds": specs.SeedsSpec,
    "tax": specs.TaxSpec,
    "ablation": specs.AblationSpec,
    "safeguard": specs.SafeguardSpec,
    "capability": specs.CapabilitySpec,
    "identification": specs.IdentificationSpec,
    "single_neurons": specs.SingleNeuronsSpec,
}
"""Tables that stand at most once, each the settings of a study; without its table a study is left out."""

Scorers = Annotated[tuple[Place, ...], Kind("a list of names")]
Role = Annotated[Place, Kind("a scorer's name; cost and reward are one name each")]

TABLES = ("rankings", "answers", "suites", "adapters", *STUDIES)
"""What a build file holds beside settings of its own."""


@dataclass(frozen=True)
class BuildConfig:
    """What a build file says.

    Attributes:
        name: of the run, and of its folder.
        title, description: for people.
        pair: name or path of a pair file.
        dtype: the models' dtype.
        max_new_tokens: length limit of the answers that are scored.
        headline: the suite under [[answers]], with fractions, whose numbers the app shows first; "" leaves it to the
            app (see `explorer.ui.facts.main_suite`).
        scorers: which scores the answers get; "refusal" always, the other shipped ones need the embedded model.
        cost, reward: the scorers whose numbers studies read as cost and as reward, where they are among `scorers`.
        rankings, answers, suites, adapters: see `specs`.
        detail and the other studies: None where the file does not ask for one; the detail always is.
    """

    name: Place
    title: Text
    description: Text
    pair: Place
    dtype: Dtype
    max_new_tokens: Tokens
    rankings: tuple[specs.RankingSpec, ...]
    answers: tuple[specs.AnswerSpec, ...]
    detail: specs.DetailSpec
    source: Path
    headline: PlaceOrNone = ""
    scorers: Scorers = NAMES
    cost: Role = ROLES["cost"]
    reward: Role = ROLES["reward"]
    suites: tuple[specs.SuiteSpec, ...] = ()
    adapters: tuple[specs.AdapterSpec, ...] = ()
    series: specs.SeriesSpec | None = None
    transfer: specs.TransferSpec | None = None
    categories: specs.CategoriesSpec | None = None
    seeds: specs.SeedsSpec | None = None
    tax: specs.TaxSpec | None = None
    ablation: specs.AblationSpec | None = None
    safeguard: specs.SafeguardSpec | None = None
    capability: specs.CapabilitySpec | None = None
    identification: specs.IdentificationSpec | None = None
    single_neurons: specs.SingleNeuronsSpec | None = None

    @property
    def scorer_columns(self) -> dict[str, str]:
        """The scorer behind each column of scores that the answers get beside refusal and degenerate."""
        return scorer_columns(self.scorers, {"cost": self.cost, "reward": self.reward})

    def ranking(self, name: str) -> specs.RankingSpec:
        """The ranking of this name."""
        return next(ranking for ranking in self.rankings if ranking.name == name)

    def model_of(self, ranking: str) -> str:
        """The aligned model that a ranking contrasts M1 with: "m2" or an adapter's name."""
        return self.ranking(ranking).adapter or "m2"


def read_build_config(path: str | Path) -> BuildConfig:
    """Read and check a build file.

    Raises:
        ExplorerError: it is missing, is not TOML, or lacks or misnames a setting.
    """
    path = Path(path)
    raw = read_toml(path, "build file")
    plain = {name: value for name, value in raw.items() if name not in TABLES}
    own = check_settings(BuildConfig, {k: v for k, v in plain.items() if k != "source"}, str(path))
    if "source" in plain:
        raise ExplorerError(f"{path} has an unknown setting “source”.")
    if not isinstance(raw.get("rankings"), Mapping) or not raw["rankings"]:
        raise ExplorerError(f"{path} names no rankings; give at least one table [rankings.NAME] with a suite.")
    studies: dict[str, Any] = {
        name: read_table(kind, raw[name], f"{path}, [{name}]") for name, kind in STUDIES.items() if name in raw
    }
    own["pair"] = _pair(own.get("pair", "demo"), path)
    stem = {"name": path.stem, "title": path.stem, "description": ""}
    config = BuildConfig(
        **{**stem, "dtype": "auto", "max_new_tokens": 48, **own, **_scorers(own, path)},
        rankings=_named(specs.RankingSpec, raw["rankings"], "ranking", path),
        answers=_answers(raw.get("answers", []), path),
        source=path,
        suites=tuple(_suite(name, table, path) for name, table in _tables(raw, "suites", path)),
        adapters=tuple(_adapter(name, table, path) for name, table in _tables(raw, "adapters", path)),
        **{"detail": specs.DetailSpec(), **studies},
    )
    check_name(config.name)
    _check(config, path)
    return config


def _answers(tables: Any, path: Path) -> tuple[specs.AnswerSpec, ...]:
    if not isinstance(tables, list):
        raise ExplorerError(f"{path}: answers is a list of tables; write [[answers]] above each.")
    return tuple(
        read_table(specs.AnswerSpec, table, f"{path}, [[answers]] {number}") for number, table in enumerate(tables, 1)
    )


def _tables(raw: dict[str, Any], what: str, path: Path) -> list[tuple[str, Any]]:
    """The tables under a name, as (name, table)."""
    tables = raw.get(what, {})
    if not isinstance(tables, Mapping):
        raise ExplorerError(f"{path}: {what} is not {shown(tables)} but tables; write [{what}.NAME] above each.")
    return list(tables.items())


def _check(config: BuildConfig, path: Path) -> None:
    """Whether the tables name only what there is, and settings fit together."""
    rankings, adapters = {r.name for r in config.rankings}, {a.name for a in config.adapters}
    for name in _rankings_used(config):
        if name not in rankings:
            raise ExplorerError(f"{path} uses the ranking “{name}”, which it does not define.")
    for ranking in config.rankings:
        if ranking.adapter and ranking.adapter not in adapters:
            raise ExplorerError(f"{path} uses the adapter “{ranking.adapter}”, which it does not define.")
        if ranking.method == "attribution":
            _check_attribution(ranking, path)
        if ranking.method == "prompt_difference" and not ranking.against:
            raise ExplorerError(f"{path}: ranking “{ranking.name}” needs a harmless suite to compare with: against.")
    for answers in config.answers:
        check_name(answers.suite, "suite to answer (name a file under [suites])")
    if len({a.key for a in config.answers}) < len(config.answers):
        raise ExplorerError(
            f"{path} has two tables [[answers]] of one suite and direction; put their fractions into one."
        )
    answered = {a.suite: a.limit for a in config.answers if a.direction == specs.DIRECTIONS[0]}
    patched = [a.suite for a in config.answers if a.fractions]
    if config.headline and config.headline not in patched:
        raise ExplorerError(
            f"{path}: headline is “{config.headline}”, of which no answers are patched; name one of "
            f"{', '.join(patched) or 'the suites under [[answers]], with fractions'}."
        )
    for study, suites in (
        ("transfer", config.transfer.targets if config.transfer else ()),
        ("safeguard", config.safeguard.suites if config.safeguard else ()),
        ("identification", (config.identification.suite,) if config.identification else ()),
    ):
        for suite in suites:
            if suite not in answered:
                raise ExplorerError(f"{path}: [{study}] reads answers to “{suite}”; add it under [[answers]].")
    for number, answers in enumerate(config.answers, 1):
        over = next((w for w in answers.windows if sum(w) > 1 + 1e-9), None)
        if over is not None:
            raise ExplorerError(
                f"{path}, [[answers]] {number}: windows must end within all neurons, but {over[0]:g} + {over[1]:g} is "
                "more than 1."
            )
    compared = [("tax", "pairs", pair) for pair in (config.tax.pairs if config.tax else ())]
    compared += [("ablation", "a and b", (config.ablation.a, config.ablation.b))] if config.ablation else []
    for study, setting, (a, b) in compared:
        if a == b:
            raise ExplorerError(f"{path}, [{study}]: {setting} must be two different rankings, not twice “{a}”.")


def _check_attribution(ranking: specs.RankingSpec, path: Path) -> None:
    """Whether the settings of a ranking by attribution are usable."""
    try:
        ranking.attributing()
    except ExplorerError as problem:
        raise ExplorerError(f"{path}, [rankings.{ranking.name}]: {problem}") from problem


def _rankings_used(config: BuildConfig) -> Iterable[str]:
    yield from (a.ranking for a in config.answers)
    yield config.detail.ranking
    if config.transfer:
        yield from config.transfer.sources
    if config.seeds:
        yield from config.seeds.rankings
    if config.tax:
        yield from (name for pair in config.tax.pairs for name in pair)
    if config.ablation:
        yield from (config.ablation.a, config.ablation.b)
    if config.safeguard:
        yield config.safeguard.ranking
    if config.capability:
        yield config.capability.ranking
    if config.identification:
        yield from (config.identification.reference, *config.identification.rankings)
    if config.single_neurons:
        yield config.single_neurons.ranking


def fill_path(place: str, path: Path) -> Path:
    """A file or folder that a build file names: `$EXPLORER_DATA` filled in, else relative to the build file.

    Raises:
        ExplorerError: a variable in it is not set, or it cannot be a place.
    """
    filled = os.path.expandvars(place)
    if "$" in filled:
        raise ExplorerError(f"{path} reads {place}; set EXPLORER_DATA to the folder of these datasets (see README).")
    try:
        return (path.parent / filled).resolve()
    except (OSError, RuntimeError, ValueError) as problem:  # links that go round in a circle, a name of odd characters
        raise ExplorerError(f"{path} names {shown(place)}, where no file can be; name another place.") from problem


def _scorers(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """The settings scorers, cost and reward: who fills a role scores, and takes the place of who usually does."""
    said = {role: raw[role] for role in ROLES if role in raw}
    named = raw.get("scorers", [name for name in NAMES if name not in [ROLES[role] for role in said]])
    roles = ROLES | {role: _role(role, _scorer(name, path), path) for role, name in said.items()}
    if roles["cost"] == roles["reward"]:
        raise ExplorerError(f"{path} has “{roles['cost']}” as cost and as reward; it can be only one of them.")
    names = [*(_scorer(name, path) for name in named), *(roles[role] for role in said)]
    return {"scorers": tuple(dict.fromkeys(names)), **roles}


def _scorer(name: str, path: Path) -> str:
    """A scorer that can be asked for; a judge in a folder with its full path."""
    if not is_scorer(name):
        raise ExplorerError(
            f"{path} asks for the scorer “{name}”; known are {', '.join(NAMES)}, and KIND:MODEL with "
            f"{', '.join(JUDGES)}."
        )
    kind, place = judge_parts(name)
    folder = fill_path(place, path)
    return f"{kind}:{folder}" if place and folder.is_dir() else name


def _role(role: str, name: str, path: Path) -> str:
    """A scorer that can fill a role."""
    kind, place = judge_parts(name)
    if not place and name != ROLES[role]:
        raise ExplorerError(f"{path}: the {role} is {ROLES[role]} or a judge (KIND:MODEL), not {name}.")
    if role == "reward" and kind in HARM_JUDGES:
        raise ExplorerError(f"{path}: {name} gives log-odds of harm, which is a cost; the reward needs another judge.")
    return name


def _pair(name: str, path: Path) -> str:
    """A pair file beside the build file as a full path; a shipped pair's name as it is."""
    beside = fill_path(name, path)
    return str(beside) if is_file(beside) else name


def _suite(name: str, table: Any, path: Path) -> specs.SuiteSpec:
    table = _named_table(name, table, "suite", f"{path}, [suites.{name}]")
    maps = {key: tuple(sorted(table[key].items())) for key in ("columns", "where") if isinstance(table.get(key), dict)}
    spec = read_table(specs.SuiteSpec, {**table, **maps}, f"{path}, [suites.{name}]")
    unknown = next((what for what, _ in spec.columns if what not in ("prompt", "category", "id")), None)
    if unknown is not None:
        raise ExplorerError(
            f"{path}, [suites.{name}]: columns tells which column is the prompt, the category or the id, not {unknown}."
        )
    if bool(spec.file) == bool(spec.hub):
        raise ExplorerError(f"{path}: [suites.{name}] needs either a file or a hub name.")
    return spec


def _adapter(name: str, table: Any, path: Path) -> specs.AdapterSpec:
    table = _named_table(name, table, "adapter", f"{path}, [adapters.{name}]")
    spec = read_table(specs.AdapterSpec, {"folder": name, **table}, f"{path}, [adapters.{name}]")
    if name in MODELS:
        raise ExplorerError(f"{path}: an adapter cannot be called {name}; choose another name.")
    for folder in (fill_path(spec.folder, path), SHIPPED / spec.folder):
        if (folder / "adapter_config.json").is_file():
            return specs.AdapterSpec(spec.name, str(folder), spec.label)
    raise ExplorerError(f"{path}: there is no adapter {spec.folder} beside the file or among those that ship.")


def _named(kind: type[T], tables: Mapping[str, Any], what: str, path: Path) -> tuple[T, ...]:
    places = {name: f"{path}, [{what}s.{name}]" for name in tables}
    return tuple(
        read_table(kind, _named_table(name, tables[name], what, places[name]), places[name]) for name in tables
    )


def _named_table(name: str, table: Any, what: str, place: str) -> dict[str, Any]:
    """A table with the name that stands above it, after a check that a file can have this name."""
    check_name(name, what)
    if not isinstance(table, Mapping):
        raise ExplorerError(f"{place} has a single value where a table of settings belongs: {shown(table)}.")
    if "name" in table:
        raise ExplorerError(f"{place} has an unknown setting “name”; its name is what stands above it.")
    return {**table, "name": name}
