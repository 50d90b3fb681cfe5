"""Build configurations: TOML that says what a run is computed from. See `configs/build/demo.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from explorer.data.suite_spec import SuiteSpec
from explorer.errors import ExplorerError
from explorer.files import check_name, is_file
from explorer.paths import SHIPPED, fill_path
from explorer.pipeline.build_config import AdapterSpec, BuildConfig
from explorer.pipeline.checks import check_build
from explorer.pipeline.scorers import HARM_JUDGES, ROLES, is_scorer, judge_parts
from explorer.runs.columns import MAIN
from explorer.schema import Place, check_settings, read_table, shown
from explorer.scoring.judge_kinds import JudgeSettings
from explorer.scoring.scorers import JUDGES, NAMES
from explorer.studies import STUDIES
from explorer.studies.basis import AnswerSpec, RankingSpec
from explorer.studies.study import Study
from explorer.toml_file import read_toml

T = TypeVar("T")

MODELS = ("m1", "m2")
"""Names that no adapter may have."""

BASIS = ("rankings", "answers", "suites", "adapters", "judges")
"""The tables that a build file holds beside settings of its own and those of studies."""

NOT_SETTINGS = ("source", "main_ranking", "studies")
"""What `BuildConfig` holds beside what a build file may set by that name."""


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
    listed = {name: study for name, study in STUDIES.items() if study.listed}
    plain = {name: value for name, value in raw.items() if name not in (*BASIS, *listed)}
    hidden = next((name for name in NOT_SETTINGS if name in plain), None)
    if hidden is not None:
        raise ExplorerError(f"{path} has an unknown setting “{hidden}”.")
    own = check_settings(BuildConfig, {k: v for k, v in plain.items() if k != "ranking"}, str(path), listed)
    if "ranking" in plain:
        own["main_ranking"] = check_settings(_Main, {"ranking": plain["ranking"]}, str(path))["ranking"]
    if not isinstance(raw.get("rankings"), Mapping) or not raw["rankings"]:
        raise ExplorerError(f"{path} names no rankings; give at least one table [rankings.NAME] with a suite.")
    main = own.get("main_ranking", MAIN)
    studies = {
        name: _asked(study, raw[name], main, path) if study.listed and name in raw else study.unasked(main)
        for name, study in STUDIES.items()
    }
    own["pair"] = _pair(own.get("pair", "demo"), path)
    stem = {"name": path.stem, "title": path.stem, "description": ""}
    config = BuildConfig(
        **{**stem, "dtype": "auto", "max_new_tokens": 48, **own, **_scorers(own, path)},
        rankings=_named(RankingSpec, raw["rankings"], "ranking", path),
        answers=_answers(raw.get("answers", []), main, path),
        source=path,
        suites=tuple(_suite(name, table, path) for name, table in _tables(raw, "suites", path)),
        adapters=tuple(_adapter(name, table, path) for name, table in _tables(raw, "adapters", path)),
        judges=read_table(JudgeSettings, raw.get("judges", {}), f"{path}, [judges]"),
        studies=studies,
    )
    check_name(config.name)
    check_build(config, named="ranking" in plain)
    return config


def _answers(tables: Any, main: str, path: Path) -> tuple[AnswerSpec, ...]:
    if not isinstance(tables, list):
        raise ExplorerError(f"{path}: answers is a list of tables; write [[answers]] above each.")
    return tuple(
        read_table(AnswerSpec, _ranked(table, main), f"{path}, [[answers]] {number}")
        for number, table in enumerate(tables, 1)
    )


def _asked(study: Study[Any], raw: Any, main: str, path: Path) -> tuple[Any, ...]:
    """What a study's tables say, one or more."""
    several = isinstance(raw, list) and study.often
    tables = [_ranked(table, main) if study.ranked else table for table in (raw if several else [raw])]
    if not several:
        return (read_table(study.settings, tables[0], f"{path}, [{study.name}]"),)
    return tuple(
        read_table(study.settings, table, f"{path}, [[{study.name}]] {number}")
        for number, table in enumerate(tables, 1)
    )


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


def _adapter(name: str, table: Any, path: Path) -> AdapterSpec:
    table = _named_table(name, table, "adapter", f"{path}, [adapters.{name}]")
    spec = read_table(AdapterSpec, {"folder": name, **table}, f"{path}, [adapters.{name}]")
    if name in MODELS:
        raise ExplorerError(f"{path}: an adapter cannot be called {name}; choose another name.")
    for folder in (fill_path(spec.folder, path), SHIPPED / spec.folder):
        if (folder / "adapter_config.json").is_file():
            return AdapterSpec(spec.name, str(folder), spec.label)
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
