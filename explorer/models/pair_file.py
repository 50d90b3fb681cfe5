"""Pair files: the TOML that names M1 and M2.

    name = "SmolLM2-135M-Instruct, safety"
    dtype = "auto"

    [m1]
    base = "embedded:smollm2-135m-instruct"

    [m2]
    base = "embedded:smollm2-135m-instruct"
    adapters = ["adapters/safety"]

`base` is a hub id, a folder (relative to the file) or an `embedded:` name; `adapters` are PEFT folders
or hub ids, put on in order.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.paths import PAIRS

DTYPES = ("auto", "float32", "bfloat16", "float16")
EMBEDDED = "embedded:"


@dataclass(frozen=True)
class ModelSpec:
    """One model of a pair: a base and the adapters put on it, in order."""

    base: str
    adapters: tuple[str, ...] = ()


@dataclass(frozen=True)
class PairSpec:
    """What a pair file says.

    Attributes:
        name: for people.
        m1, m2: the model that lacks safety alignment, and the aligned one.
        dtype: "bfloat16", "float16", "float32", or "auto" for the fastest that this machine computes natively.
        device: a torch device ("cpu", "cuda:0"), or "auto" to let transformers place the layers.
        source: the file.
    """

    name: str
    m1: ModelSpec
    m2: ModelSpec
    dtype: str = "auto"
    device: str = "cpu"
    source: Path | None = None


def find_pair_file(name: str | Path) -> Path:
    """The pair file that a name ("demo") or a path means.

    Raises:
        ExplorerError: there is none.
    """
    path = Path(name)
    shipped = PAIRS / f"{name}.toml"
    if path.suffix == "" and shipped.parent == PAIRS and shipped.is_file():
        return shipped
    if path.is_file():
        return path
    known = ", ".join(sorted(p.stem for p in PAIRS.glob("*.toml")))
    raise ExplorerError(f"There is no pair file “{name}”; give the path of a .toml file or one of: {known}.")


def read_pair_file(name: str | Path) -> PairSpec:
    """Read and check a pair file.

    Raises:
        ExplorerError: it is missing, is not TOML, or lacks or misnames a setting.
    """
    path = find_pair_file(name)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ExplorerError(f"{path} is not a readable TOML file: {problem}") from problem
    unknown = set(raw) - {"name", "m1", "m2", "dtype", "device"}
    if unknown:
        raise ExplorerError(
            f"{path} has an unknown setting “{sorted(unknown)[0]}”; known are name, m1, m2, dtype, device."
        )
    dtype = raw.get("dtype", "auto")
    check_dtype(dtype)
    return PairSpec(
        name=str(raw.get("name", path.stem)),
        m1=_model(raw, "m1", path),
        m2=_model(raw, "m2", path),
        dtype=dtype,
        device=str(raw.get("device", "cpu")),
        source=path,
    )


def check_dtype(dtype: object) -> None:
    """Raises:
    ExplorerError: the dtype is not one of `DTYPES`.
    """
    if dtype not in DTYPES:
        raise ExplorerError(f"The dtype must be one of {', '.join(DTYPES)}, not “{dtype}”.")


def _model(raw: dict, key: str, path: Path) -> ModelSpec:
    table = raw.get(key)
    if not isinstance(table, dict) or not isinstance(table.get("base"), str):
        raise ExplorerError(f'{path} must have a table [{key}] with base = "a hub id, a folder or embedded:NAME".')
    if set(table) - {"base", "adapters"}:
        raise ExplorerError(f"{path}: [{key}] has an unknown setting “{sorted(set(table) - {'base', 'adapters'})[0]}”.")
    adapters = table.get("adapters", [])
    if not isinstance(adapters, list) or not all(isinstance(a, str) for a in adapters):
        raise ExplorerError(f"{path}: adapters of [{key}] must be a list of folders or hub ids.")
    return ModelSpec(_resolve(table["base"], path), tuple(_resolve(a, path) for a in adapters))


def _resolve(place: str, path: Path) -> str:
    """A folder beside the pair file as a full path; hub ids and embedded names as they are."""
    if place.startswith(EMBEDDED):
        return place
    local = (path.parent / Path(place).expanduser()).resolve()
    return str(local) if local.exists() else place
