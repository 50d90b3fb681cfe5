"""Build configurations: TOML that says what a run is computed from. See `configs/build/demo.toml`."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from explorer.errors import ExplorerError
from explorer.models.pair_file import check_dtype
from explorer.neurons.patch import check_positions, check_strength
from explorer.paths import SHIPPED
from explorer.pipeline import specs
from explorer.pipeline.scorers import HARM_JUDGES, ROLES, is_scorer, judge_parts, scorer_columns
from explorer.runs.format import check_name
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
}
"""Tables that stand at most once, each the settings of a study; without its table a study is left out."""


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

    name: str
    title: str
    description: str
    pair: str
    dtype: str
    max_new_tokens: int
    rankings: tuple[specs.RankingSpec, ...]
    answers: tuple[specs.AnswerSpec, ...]
    detail: specs.DetailSpec
    source: Path
    headline: str = ""
    scorers: tuple[str, ...] = NAMES
    cost: str = ROLES["cost"]
    reward: str = ROLES["reward"]
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
    known = {f.name for f in fields(BuildConfig)} - {"source"}
    if set(raw) - known:
        raise ExplorerError(f"{path} has an unknown setting “{sorted(set(raw) - known)[0]}”.")
    if not isinstance(raw.get("rankings"), dict) or not raw["rankings"]:
        raise ExplorerError(f"{path} names no rankings; give at least one table [rankings.NAME] with a suite.")
    studies: dict[str, Any] = {name: _read(kind, raw[name], path) for name, kind in STUDIES.items() if name in raw}
    config = BuildConfig(
        name=check_name(raw.get("name", path.stem)),
        title=str(raw.get("title", path.stem)),
        description=str(raw.get("description", "")),
        pair=_pair(raw.get("pair", "demo"), path),
        dtype=raw.get("dtype", "auto"),
        max_new_tokens=int(raw.get("max_new_tokens", 48)),
        rankings=_named(specs.RankingSpec, raw["rankings"], "ranking", path),
        answers=tuple(_read(specs.AnswerSpec, table, path) for table in raw.get("answers", [])),
        source=path,
        headline=str(raw.get("headline", "")),
        suites=tuple(_suite(name, table, path) for name, table in raw.get("suites", {}).items()),
        adapters=tuple(_adapter(name, table, path) for name, table in raw.get("adapters", {}).items()),
        **_scorers(raw, path),
        **{"detail": specs.DetailSpec(), **studies},
    )
    check_dtype(config.dtype)
    _check(config, path)
    return config


def _check(config: BuildConfig, path: Path) -> None:
    """Whether the tables name only what there is."""
    from explorer.studies.training_free import METHODS

    rankings, adapters = {r.name for r in config.rankings}, {a.name for a in config.adapters}
    for name in _rankings_used(config):
        if name not in rankings:
            raise ExplorerError(f"{path} uses the ranking “{name}”, which it does not define.")
    for ranking in config.rankings:
        if ranking.adapter and ranking.adapter not in adapters:
            raise ExplorerError(f"{path} uses the adapter “{ranking.adapter}”, which it does not define.")
        if ranking.method not in ("contrast", "attribution", *METHODS):
            raise ExplorerError(
                f"{path}: ranking “{ranking.name}” has the method “{ranking.method}”; known are contrast, attribution, "
                f"{', '.join(METHODS)}."
            )
        if ranking.method == "attribution":
            _check_attribution(ranking, path)
        if ranking.method == "prompt_difference" and not ranking.against:
            raise ExplorerError(f"{path}: ranking “{ranking.name}” needs a harmless suite to compare with: against.")
    for answers in config.answers:
        _check_answers(answers, path)
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


def _check_attribution(ranking: specs.RankingSpec, path: Path) -> None:
    """Whether the settings of a ranking by attribution are usable."""
    from explorer.neurons.scores import ENDS

    try:
        ranking.attributing()
    except ExplorerError as problem:
        raise ExplorerError(f"{path}, [rankings.{ranking.name}]: {problem}") from problem
    if ranking.end not in ENDS:
        raise ExplorerError(f"{path}, [rankings.{ranking.name}]: end must be one of {', '.join(ENDS)}.")


def _check_answers(answers: specs.AnswerSpec, path: Path) -> None:
    """Whether answers can be written as a table says."""
    check_name(answers.suite, "suite to answer (name a file under [suites])")
    if answers.direction not in specs.DIRECTIONS:
        raise ExplorerError(
            f"{path}, [[answers]] of {answers.suite}: direction must be {' or '.join(specs.DIRECTIONS)}, "
            f"not “{answers.direction}”."
        )
    try:
        check_strength(answers.strength)
        check_positions(answers.positions)
    except ExplorerError as problem:
        raise ExplorerError(f"{path}, [[answers]] of {answers.suite}: {problem}") from problem


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


def fill_path(place: str, path: Path) -> Path:
    """A file or folder that a build file names: `$EXPLORER_DATA` filled in, else relative to the build file.

    Raises:
        ExplorerError: a variable in it is not set.
    """
    filled = os.path.expandvars(place)
    if "$" in filled:
        raise ExplorerError(f"{path} reads {place}; set EXPLORER_DATA to the folder of these datasets (see README).")
    return (path.parent / filled).resolve()


def _scorers(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """The settings scorers, cost and reward: who fills a role scores, and takes the place of who usually does."""
    said = {role: raw[role] for role in ROLES if role in raw}
    named = raw.get("scorers", [name for name in NAMES if name not in [ROLES[role] for role in said]])
    if not isinstance(named, list) or not all(isinstance(name, str) for name in [*named, *said.values()]):
        raise ExplorerError(f"{path}: scorers is a list of names, and cost and reward are one name each.")
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
    beside = (path.parent / name).resolve()
    return str(beside) if beside.is_file() else name


def _suite(name: str, table: dict[str, Any], path: Path) -> specs.SuiteSpec:
    maps = {key: tuple(sorted(table[key].items())) for key in ("columns", "where") if isinstance(table.get(key), dict)}
    spec = _read(specs.SuiteSpec, {"name": check_name(name, "suite"), **table, **maps}, path)
    if bool(spec.file) == bool(spec.hub):
        raise ExplorerError(f"{path}: [suites.{name}] needs either a file or a hub name.")
    return spec


def _adapter(name: str, table: dict[str, Any], path: Path) -> specs.AdapterSpec:
    spec = _read(specs.AdapterSpec, {"name": check_name(name, "adapter"), "folder": name, **table}, path)
    if name in MODELS:
        raise ExplorerError(f"{path}: an adapter cannot be called {name}; choose another name.")
    for folder in (fill_path(spec.folder, path), SHIPPED / spec.folder):
        if (folder / "adapter_config.json").is_file():
            return specs.AdapterSpec(spec.name, str(folder), spec.label)
    raise ExplorerError(f"{path}: there is no adapter {spec.folder} beside the file or among those that ship.")


def _named(kind: type[T], tables: dict[str, Any], what: str, path: Path) -> tuple[T, ...]:
    return tuple(_read(kind, {"name": check_name(name, what), **table}, path) for name, table in tables.items())


def _read(kind: type[T], table: dict[str, Any], path: Path) -> T:
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(table, dict):
        raise ExplorerError(f"{path} has a single value where a table of settings belongs: {table!r:.60}.")
    if set(table) - known:
        raise ExplorerError(
            f"{path} has an unknown setting “{sorted(set(table) - known)[0]}”; known are {sorted(known)}."
        )
    try:
        return kind(**{key: _frozen(value) for key, value in table.items()})
    except TypeError as problem:
        raise ExplorerError(f"{path}: a table lacks a setting: {problem}.") from problem


def _frozen(value: Any) -> Any:
    """Lists as tuples, at any depth."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
