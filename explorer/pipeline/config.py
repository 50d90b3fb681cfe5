"""Build configurations: TOML that says what a run is computed from. See `configs/build/demo.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from explorer.data.suite_spec import SuiteSpec
from explorer.errors import ExplorerError
from explorer.files import check_name, is_file
from explorer.paths import SHIPPED, fill_path
from explorer.pipeline import specs
from explorer.pipeline.checks import check_build
from explorer.pipeline.scorers import HARM_JUDGES, ROLES, is_scorer, judge_parts, scorer_columns
from explorer.runs.columns import MAIN
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
    "fewest": specs.FewestSpec,
    "single_neurons": specs.SingleNeuronsSpec,
}
"""Tables of studies, with their settings; without its table a study is left out."""

ONCE = ("detail", "fewest", "single_neurons")
"""Those that stand at most once; the others may be lists of tables ([[tax]]), each with rankings of its own."""

RANKED = ("detail", "safeguard", "capability", "single_neurons")
"""Those that read the main ranking where they name no other."""

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
        main_ranking: the setting `ranking`: what the app shows first, and what tables mean that name no ranking.
        headline: the suite under [[answers]], with fractions, whose numbers the app shows first; "" leaves it to the
            app (see `explorer.report.facts.main_suite`).
        scorers: which scores the answers get; "refusal" always, the other shipped ones need the embedded model.
        cost, reward: the scorers whose numbers studies read as cost and as reward, where they are among `scorers`.
        rankings, answers, suites, adapters: see `specs`.
        detail and the other studies: their tables, none where the file does not ask for one; the detail always is.
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
    main_ranking: Place = MAIN
    headline: PlaceOrNone = ""
    scorers: Scorers = NAMES
    cost: Role = ROLES["cost"]
    reward: Role = ROLES["reward"]
    suites: tuple[SuiteSpec, ...] = ()
    adapters: tuple[specs.AdapterSpec, ...] = ()
    series: tuple[specs.SeriesSpec, ...] = ()
    transfer: tuple[specs.TransferSpec, ...] = ()
    categories: tuple[specs.CategoriesSpec, ...] = ()
    seeds: tuple[specs.SeedsSpec, ...] = ()
    tax: tuple[specs.TaxSpec, ...] = ()
    ablation: tuple[specs.AblationSpec, ...] = ()
    safeguard: tuple[specs.SafeguardSpec, ...] = ()
    capability: tuple[specs.CapabilitySpec, ...] = ()
    identification: tuple[specs.IdentificationSpec, ...] = ()
    fewest: specs.FewestSpec | None = None
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

    def method_of(self, *rankings: str) -> str:
        """How these rankings are computed; several methods with "and" between them."""
        return " and ".join(dict.fromkeys(self.ranking(name).method for name in rankings))

    def plain_answers(self, suite: str, direction: str = specs.DIRECTIONS[0]) -> specs.AnswerSpec | None:
        """The table under [[answers]] that answers a suite with nothing patched, for all tables of one direction: the
        first of those with the most prompts. None where the suite is not answered.
        """
        mine = [a for a in self.answers if (a.suite, a.direction) == (suite, direction)]
        return max(mine, key=lambda a: a.limit, default=None)


@dataclass(frozen=True)
class _Main:
    """The setting of a build file that has another name in `BuildConfig`, where `ranking` finds one by its name."""

    ranking: Place


def read_build_config(path: str | Path) -> BuildConfig:
    """Read and check a build file.

    Raises:
        ExplorerError: it is missing, is not TOML, or lacks or misnames a setting.
    """
    path = Path(path)
    raw = read_toml(path, "build file")
    plain = {name: value for name, value in raw.items() if name not in TABLES}
    hidden = next((name for name in ("source", "main_ranking") if name in plain), None)
    if hidden is not None:
        raise ExplorerError(f"{path} has an unknown setting “{hidden}”.")
    own = check_settings(BuildConfig, {k: v for k, v in plain.items() if k != "ranking"}, str(path))
    if "ranking" in plain:
        own["main_ranking"] = check_settings(_Main, {"ranking": plain["ranking"]}, str(path))["ranking"]
    if not isinstance(raw.get("rankings"), Mapping) or not raw["rankings"]:
        raise ExplorerError(f"{path} names no rankings; give at least one table [rankings.NAME] with a suite.")
    main = own.get("main_ranking", MAIN)
    studies: dict[str, Any] = {
        name: _study(name, kind, raw[name], main, path) for name, kind in STUDIES.items() if name in raw
    }
    own["pair"] = _pair(own.get("pair", "demo"), path)
    stem = {"name": path.stem, "title": path.stem, "description": ""}
    config = BuildConfig(
        **{**stem, "dtype": "auto", "max_new_tokens": 48, **own, **_scorers(own, path)},
        rankings=_named(specs.RankingSpec, raw["rankings"], "ranking", path),
        answers=_answers(raw.get("answers", []), main, path),
        source=path,
        suites=tuple(_suite(name, table, path) for name, table in _tables(raw, "suites", path)),
        adapters=tuple(_adapter(name, table, path) for name, table in _tables(raw, "adapters", path)),
        **{"detail": specs.DetailSpec(main), **studies},
    )
    check_name(config.name)
    check_build(config, named="ranking" in plain)
    return config


def _answers(tables: Any, main: str, path: Path) -> tuple[specs.AnswerSpec, ...]:
    if not isinstance(tables, list):
        raise ExplorerError(f"{path}: answers is a list of tables; write [[answers]] above each.")
    return tuple(
        read_table(specs.AnswerSpec, _ranked(table, main), f"{path}, [[answers]] {number}")
        for number, table in enumerate(tables, 1)
    )


def _study(name: str, kind: type, raw: Any, main: str, path: Path) -> Any:
    """What a study's table says; of those that may be lists, a tuple of one or more."""
    several = isinstance(raw, list) and name not in ONCE
    tables = [_ranked(table, main) if name in RANKED else table for table in (raw if several else [raw])]
    if not several:
        found: Any = read_table(kind, tables[0], f"{path}, [{name}]")
        return found if name in ONCE else (found,)
    return tuple(read_table(kind, table, f"{path}, [[{name}]] {number}") for number, table in enumerate(tables, 1))


def _ranked(table: Any, main: str) -> Any:
    """A table that names a ranking, the main one where it names none."""
    return {"ranking": main, **table} if isinstance(table, Mapping) else table


def _tables(raw: dict[str, Any], what: str, path: Path) -> list[tuple[str, Any]]:
    """The tables under a name, as (name, table)."""
    tables = raw.get(what, {})
    if not isinstance(tables, Mapping):
        raise ExplorerError(f"{path}: {what} is not {shown(tables)} but tables; write [{what}.NAME] above each.")
    return list(tables.items())


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


def _suite(name: str, table: Any, path: Path) -> SuiteSpec:
    table = _named_table(name, table, "suite", f"{path}, [suites.{name}]")
    maps = {key: tuple(sorted(table[key].items())) for key in ("columns", "where") if isinstance(table.get(key), dict)}
    spec = read_table(SuiteSpec, {**table, **maps}, f"{path}, [suites.{name}]")
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
