"""Build configurations: TOML that says what a run is computed from. See `configs/build/demo.toml`."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from explorer.errors import ExplorerError
from explorer.models.pair_file import check_dtype
from explorer.runs.format import check_name
from explorer.scoring.registry import NAMES

T = TypeVar("T")


@dataclass(frozen=True)
class RankingSpec:
    """A contrast to compute: which prompts, and the options of `explorer.contrast`."""

    name: str
    suite: str
    limit: int = 200
    positions: str = "paper"
    answers: str = "m1"
    max_new_tokens: int = 48
    exclude_layers: tuple[int, ...] = ()


@dataclass(frozen=True)
class AnswerSpec:
    """Answers to write for a suite: M1's, M2's, and patched M1's for each fraction.

    Attributes:
        suite: prompt suite.
        ranking: whose top neurons are patched.
        fractions: patched shares of all neurons, 0 to 1; none for M1 and M2 alone.
        random_seeds: random controls with the same number of neurons per layer.
        limit: at most so many prompts.
    """

    suite: str
    ranking: str = "safety"
    fractions: tuple[float, ...] = ()
    random_seeds: tuple[int, ...] = ()
    limit: int = 200


@dataclass(frozen=True)
class DetailSpec:
    """What is kept of the top neurons: activations over words, and the vocabulary projection."""

    ranking: str = "safety"
    neurons: int = 1000
    tokens: int = 10
    suites: tuple[str, ...] = ("redteam_eval", "ordinary_eval")
    texts_per_suite: int = 2


@dataclass(frozen=True)
class SeriesSpec:
    """What is measured at each checkpoint of the pair's [series]: prompts to rank on, and to answer when patched."""

    suite: str
    answers: str
    limit: int = 100
    answers_limit: int = 50
    fractions: tuple[float, ...] = (0.05, 0.2)


@dataclass(frozen=True)
class BuildConfig:
    """What a build file says.

    Attributes:
        name: of the run, and of its folder.
        title, description: for people.
        pair: name or path of a pair file.
        dtype: the models' dtype.
        max_new_tokens: length limit of the answers that are scored.
        series: what is measured along the pair's series; None for nothing.
        scorers: which scores the answers get; "refusal" always, "demo-cost" needs the embedded model.
    """

    name: str
    title: str
    description: str
    pair: str
    dtype: str
    max_new_tokens: int
    rankings: tuple[RankingSpec, ...]
    answers: tuple[AnswerSpec, ...]
    detail: DetailSpec
    source: Path
    scorers: tuple[str, ...] = NAMES
    series: SeriesSpec | None = None


def read_build_config(path: str | Path) -> BuildConfig:
    """Read and check a build file.

    Raises:
        ExplorerError: it is missing, is not TOML, or lacks or misnames a setting.
    """
    path = Path(path)
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ExplorerError(f"There is no build file {path}.") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ExplorerError(f"{path} is not a readable TOML file: {problem}") from problem
    known = {field.name for field in fields(BuildConfig)} - {"source"}
    if set(raw) - known:
        raise ExplorerError(f"{path} has an unknown setting “{sorted(set(raw) - known)[0]}”.")
    rankings = raw.get("rankings")
    if not isinstance(rankings, dict) or not rankings:
        raise ExplorerError(f"{path} names no rankings; give at least one table [rankings.NAME] with a suite.")
    config = BuildConfig(
        name=check_name(raw.get("name", path.stem)),
        title=str(raw.get("title", path.stem)),
        description=str(raw.get("description", "")),
        pair=_pair(raw.get("pair", "demo"), path),
        dtype=raw.get("dtype", "auto"),
        max_new_tokens=int(raw.get("max_new_tokens", 48)),
        rankings=tuple(_read(RankingSpec, {"name": check_name(n, "ranking"), **t}, path) for n, t in rankings.items()),
        answers=tuple(_read(AnswerSpec, table, path) for table in raw.get("answers", [])),
        detail=_read(DetailSpec, raw.get("detail", {}), path),
        source=path,
        scorers=tuple(raw.get("scorers", NAMES)),
        series=_read(SeriesSpec, raw["series"], path) if "series" in raw else None,
    )
    check_dtype(config.dtype)
    for scorer in config.scorers:
        if scorer not in NAMES:
            raise ExplorerError(f"{path} asks for the scorer “{scorer}”; known are {', '.join(NAMES)}.")
    names = {ranking.name for ranking in config.rankings}
    for ranking in (*(a.ranking for a in config.answers), config.detail.ranking):
        if ranking not in names:
            raise ExplorerError(f"{path} uses the ranking “{ranking}”, which it does not define.")
    return config


def _pair(name: str, path: Path) -> str:
    """A pair file beside the build file as a full path; a shipped pair's name as it is."""
    beside = (path.parent / name).resolve()
    return str(beside) if beside.is_file() else name


def _read(kind: type[T], table: dict[str, Any], path: Path) -> T:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if set(table) - known:
        raise ExplorerError(
            f"{path} has an unknown setting “{sorted(set(table) - known)[0]}”; known are {sorted(known)}."
        )
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})
    except TypeError as problem:
        raise ExplorerError(f"{path}: a table lacks a setting: {problem}.") from problem
