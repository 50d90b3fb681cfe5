"""Pair files: the TOML that names M1 and M2.

    name = "SmolLM2-135M-Instruct, safety"
    dtype = "auto"

    [m1]
    base = "embedded:smollm2-135m-instruct"

    [m2]
    base = "embedded:smollm2-135m-instruct"
    adapters = ["adapters/safety"]

`base` is a hub id, a folder or a .gguf file (relative to the file), or an `embedded:` name; `adapters` are PEFT folders
or hub ids, put on in order. docs/own_models.md tells every setting. An adapter's folder, or the name of one that
ships, stands for its base model against the same with the adapter.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError
from explorer.models.adapters import base_model
from explorer.models.shipped import shipped_adapters
from explorer.paths import PAIRS, pairs_folder
from explorer.toml_file import read_toml

DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
QUANTISATIONS = ("", "8bit", "4bit")
OWN, TULU = "own", "tulu"
EMBEDDED = "embedded:"
SETTINGS = ("name", "m1", "m2", "dtype", "device", "device_map", "quantisation", "chat_template", "series")


@dataclass(frozen=True)
class ModelSpec:
    """One model of a pair: a base and the adapters put on it, in order."""

    base: str
    adapters: tuple[str, ...] = ()


@dataclass(frozen=True)
class SeriesStep:
    """M2 at one step of its training."""

    step: int
    model: ModelSpec


@dataclass(frozen=True)
class PairSpec:
    """What a pair file says.

    Attributes:
        name: for people.
        m1, m2: the model that lacks safety alignment, and the aligned one.
        dtype: "bfloat16", "float16", "float32", or "auto" for the fastest that this machine computes natively.
        device: a torch device ("cpu", "cuda:0"), or "auto" to let transformers place the layers.
        source: the file, or the adapter's folder.
        device_map: one of `DEVICE_MAPS`, or the device of each module by name, as transformers takes them;
            None to put the whole model on `device`.
        quantisation: "8bit" or "4bit" to load the weights so, by bitsandbytes; "" to load them as they are.
        chat_template: "own" (M1's tokeniser's, else M2's), "tulu" (the paper's), or a Jinja file.
        series: M2 along its training, by rising step; empty where the file lists none.
    """

    name: str
    m1: ModelSpec
    m2: ModelSpec
    dtype: str = "auto"
    device: str = "cpu"
    source: Path | None = None
    device_map: str | dict[str, str | int] | None = None
    quantisation: str = ""
    chat_template: str = OWN
    series: tuple[SeriesStep, ...] = ()

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        if self.quantisation not in QUANTISATIONS:
            raise ExplorerError(f"The quantisation must be 8bit or 4bit, not “{self.quantisation}”.")
        by_name = isinstance(self.device_map, dict) and self.device_map
        if self.device_map is not None and not by_name and self.device_map not in DEVICE_MAPS:
            raise ExplorerError(
                f"The device_map must be one of {', '.join(DEVICE_MAPS)} or a table of modules and devices, not "
                f"“{self.device_map}”."
            )


def find_pair_file(name: str | Path) -> Path:
    """The pair file, or the folder of an adapter, that a name ("demo", "helpful") or a path means.

    Raises:
        ExplorerError: there is none.
    """
    path, known_files = Path(name), pair_files()
    if str(name) in known_files:
        return known_files[str(name)]
    if path.is_file() or (path / "adapter_config.json").is_file():
        return path
    known = ", ".join(known_files)
    raise ExplorerError(f"There is no pair file “{name}”; give the path of a .toml file or one of: {known}.")


def pair_files() -> dict[str, Path]:
    """What can be chosen by name: the pair files that ship, "demo" first, a person's own, and the shipped adapters."""
    own = sorted(pairs_folder().glob("*.toml")) if pairs_folder().is_dir() else []
    shipped = sorted(PAIRS.glob("*.toml"), key=lambda path: (path.stem != "demo", path.stem))
    names = {path.stem: path for path in shipped}
    names |= {path.stem: path for path in own if path.stem not in names}
    return names | {name: folder for name, folder in shipped_adapters().items() if name not in names}


def write_pair_file(name: str, settings: dict[str, Any], models: dict[str, ModelSpec]) -> Path:
    """Write a pair file into the person's own folder, and read it back to see that it is right.

    Args:
        name: of the file and the pair.
        settings: settings of `SETTINGS` by name; empty ones are left out.
        models: "m1" and "m2".

    Raises:
        ExplorerError: the name is taken or cannot be a file's, or a setting is wrong; then nothing is written.
    """
    from explorer.runs.format import check_name

    path = pairs_folder() / f"{check_name(name, 'pair file')}.toml"
    if name in pair_files():
        raise ExplorerError(f"There is a pair file “{name}” already; choose another name.")
    lines = [f"{key} = {_toml(value)}" for key, value in {"name": name, **settings}.items() if value]
    for key, model in models.items():
        lines += ["", f"[{key}]", f"base = {_toml(model.base)}"]
        lines += [f"adapters = [{', '.join(map(_toml, model.adapters))}]"] if model.adapters else []
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        read_pair_file(path)
    except ExplorerError:
        path.unlink()
        raise
    return path


def _toml(value: object) -> str:
    """A text as TOML writes it (its basic strings are JSON's)."""
    return json.dumps(str(value), ensure_ascii=False)


def read_pair_file(name: str | Path) -> PairSpec:
    """Read and check a pair file; an adapter's folder is its base model against the same with the adapter.

    Raises:
        ExplorerError: it is missing, is not TOML, or lacks or misnames a setting.
    """
    path = find_pair_file(name)
    if path.is_dir():
        base = base_model(path)
        return PairSpec(path.name, ModelSpec(base), ModelSpec(base, (str(path),)), source=path)
    raw = read_toml(path, "pair file")
    unknown = set(raw) - set(SETTINGS)
    if unknown:
        raise ExplorerError(f"{path} has an unknown setting “{sorted(unknown)[0]}”; known are {', '.join(SETTINGS)}.")
    if "device" in raw and "device_map" in raw:
        raise ExplorerError(f"{path} sets both device and device_map; give one of them.")
    return PairSpec(
        name=str(raw.get("name", path.stem)),
        m1=_model(raw, "m1", path),
        m2=_model(raw, "m2", path),
        dtype=raw.get("dtype", "auto"),
        device=str(raw.get("device", "cpu")),
        source=path,
        device_map=raw.get("device_map"),
        quantisation=str(raw.get("quantisation", "")),
        chat_template=template_place(raw.get("chat_template", OWN), path),
        series=_series(raw["series"], _model(raw, "m2", path), path) if "series" in raw else (),
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
        raise ExplorerError(
            f'{path} must have a table [{key}] with base = "a hub id, a folder, a .gguf file or embedded:NAME".'
        )
    if set(table) - {"base", "adapters"}:
        raise ExplorerError(f"{path}: [{key}] has an unknown setting “{sorted(set(table) - {'base', 'adapters'})[0]}”.")
    adapters = table.get("adapters", [])
    if not isinstance(adapters, list) or not all(isinstance(a, str) for a in adapters):
        raise ExplorerError(f"{path}: adapters of [{key}] must be a list of folders or hub ids.")
    return ModelSpec(resolve_place(table["base"], path), tuple(resolve_place(a, path) for a in adapters))


def _series(table: object, m2: ModelSpec, path: Path) -> tuple[SeriesStep, ...]:
    """The steps of [series]: `folder`, with checkpoint-N in it, or `steps`, a table of steps and places.

    A place with an adapter is put on M2's base; any other is a model of its own.
    """
    if not isinstance(table, dict) or set(table) not in ({"folder"}, {"steps"}):
        raise ExplorerError(f"{path}: [series] must have either folder (with checkpoint-N in it) or a table of steps.")
    if "folder" in table:
        folder = (path.parent / str(table["folder"])).resolve()
        places = {p.name.removeprefix("checkpoint-"): str(p) for p in folder.glob("checkpoint-*") if p.is_dir()}
    else:
        places = table["steps"] if isinstance(table["steps"], dict) else {}
    if len(places) < 2 or not all(step.isdigit() and isinstance(place, str) for step, place in places.items()):
        raise ExplorerError(f"{path}: [series] needs at least two steps, each a whole number with a folder or hub id.")
    steps = []
    for step, place in sorted(places.items(), key=lambda item: int(item[0])):
        place = resolve_place(place, path)
        whole = Path(place).is_dir() and not (Path(place) / "adapter_config.json").is_file()
        steps.append(SeriesStep(int(step), ModelSpec(place) if whole else ModelSpec(m2.base, (place,))))
    return tuple(steps)


def template_place(name: object, path: Path) -> str:
    """A chat template's file as a full path; "own" and "tulu" as they are."""
    if name in (OWN, TULU):
        return str(name)
    file = (path.parent / str(name)).resolve()
    if not isinstance(name, str) or not file.is_file():
        raise ExplorerError(f"{path}: chat_template must be “{OWN}”, “{TULU}” or a Jinja file, not “{name}”.")
    return str(file)


def resolve_place(place: str, path: Path) -> str:
    """A folder or file beside the pair file as a full path; hub ids and embedded names as they are."""
    if place.startswith(EMBEDDED):
        return place
    local = (path.parent / Path(place).expanduser()).resolve()
    return str(local) if local.exists() else place
