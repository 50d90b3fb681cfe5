"""Pair files: the TOML that names M1 and M2.

    name = "SmolLM2-135M-Instruct, safety"
    dtype = "auto"

    [m1]
    base = "embedded:smollm2-135m-instruct"

    [m2]
    base = "embedded:smollm2-135m-instruct"
    adapters = ["adapters/safety"]

`base` is a hub id, a folder or a .gguf file (relative to the file), or an `embedded:` name; `adapters` are PEFT folders
or hub ids, put on in order. docs/own_models.md tells every setting, `pair_schema.py` its kind and range. An adapter's
folder, or the name of one that ships, stands for its base model against the same with the adapter.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError
from explorer.files import check_name
from explorer.models.adapters import base_model
from explorer.models.pair_spec import OF_M1, OF_M2, OWN, TULU, ModelSpec, PairSpec, SeriesStep
from explorer.models.places import EMBEDDED, is_hub_id, is_there, split_revision
from explorer.models.shipped import shipped_adapters
from explorer.paths import PAIRS, pairs_folder
from explorer.public import refuse_in_public
from explorer.toml_file import read_toml

if TYPE_CHECKING:
    from explorer.models.pair_schema import ModelTable, SeriesTable


def find_pair_file(name: str | Path) -> Path:
    """The pair file, or the folder of an adapter, that a name ("demo", "helpful") or a path means.

    Raises:
        ExplorerError: there is none.
    """
    path, known_files = Path(name), pair_files()
    if str(name) in known_files:
        return known_files[str(name)]
    if is_there(path, file=True) or is_there(path / "adapter_config.json", file=True):
        return path
    if is_there(path):
        raise ExplorerError(
            f"{path} is a model and not a pair; name both models (--m1 and --m2), or write a pair file."
        )
    known = ", ".join(known_files)
    raise ExplorerError(f"There is no pair file “{str(name)[:200]}”; give the path of a .toml file or one of: {known}.")


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
        settings: settings of the file by name; empty ones are left out.
        models: "m1" and "m2".

    Raises:
        ExplorerError: the name is taken or cannot be a file's, a setting is wrong, or this server is public; then
            nothing is written.
    """
    refuse_in_public("Writing a pair file")
    path = pairs_folder() / f"{check_name(name, 'pair file')}.toml"
    if name in pair_files():
        raise ExplorerError(f"There is a pair file “{name}” already; choose another name.")
    lines = [f"{key} = {_toml(value)}" for key, value in {"name": name, **settings}.items() if value]
    for key, model in models.items():
        lines += ["", f"[{key}]", f"base = {_toml(model.base)}"]
        lines += [f"revision = {_toml(model.revision)}"] if model.revision else []
        lines += [f"adapters = [{', '.join(map(_toml, model.adapters))}]"] if model.adapters else []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as problem:
        raise ExplorerError(
            f"The pair file cannot be written to {path.parent} ({problem.strerror}); set EXPLORER_PAIRS to a folder "
            "that can be written to."
        ) from problem
    except UnicodeEncodeError as problem:
        raise ExplorerError("A setting holds half a character (a lone surrogate); type it again.") from problem
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
        base, revision = base_model(path)
        m2 = ModelSpec(base, (str(path),), revision)
        return PairSpec(path.resolve().name, ModelSpec(base, revision=revision), m2, source=path)
    from explorer.models.pair_schema import check_pair_settings  # pydantic takes a moment to import

    said = check_pair_settings(read_toml(path, "pair file"), path)
    m2 = _model(said.m2, "m2", path)
    return PairSpec(
        name=said.name or path.stem,
        m1=_model(said.m1, "m1", path),
        m2=m2,
        dtype=said.dtype,
        device=said.device,
        source=path,
        device_map=said.device_map,
        quantisation=said.quantisation,
        lora=said.lora,
        chat_template=template_place(said.chat_template, path),
        series=() if said.series is None else _series(said.series, m2, path),
        template_arguments=dict(said.template_arguments),
        date=said.date.isoformat() if said.date else "",
    )


def pair_of_places(m1: str, m2: str) -> PairSpec:
    """A pair without a file: each model a hub id (`org/name@revision`), a folder, a .gguf file, or an adapter's folder.

    Raises:
        ExplorerError: one is missing, or is an adapter that does not say its base.
    """
    here = Path("the command line").resolve()
    models = []
    for option, place in (("--m1", m1), ("--m2", m2)):
        if not place.strip():
            raise ExplorerError(f"{option} is empty; give a hub id, a folder or a .gguf file for each model.")
        place = resolve_place(place.strip(), here)
        folder = Path(place)
        is_adapter = is_there(folder / "adapter_config.json", file=True)
        if is_adapter and not is_there(folder / "config.json", file=True):
            base, revision = base_model(folder)
            models.append(ModelSpec(base, (place,), revision))
        else:
            name, revision = _base_and_revision(place, None, option)
            models.append(ModelSpec(name, revision=revision))
    names = [Path(place.rstrip("/")).name or place for place in (m1, m2)]
    return PairSpec(f"{names[0]} and {names[1]}", models[0], models[1])


def _model(table: "ModelTable", key: str, path: Path) -> ModelSpec:
    place, revision = _base_and_revision(resolve_place(table.base, path), table.revision, f"{path}: [{key}]")
    return ModelSpec(place, tuple(resolve_place(a, path) for a in table.adapters), revision=revision)


def _base_and_revision(place: str, revision: str | None, where: str) -> tuple[str, str]:
    """A base without its `@revision`, and the revision, wherever it stands."""
    name, said = split_revision(place)
    if revision and (said or not is_hub_id(name) or is_there(Path(name))):
        raise ExplorerError(
            f"{where} has a revision, which only a hub id (org/name) can have, once; the base is “{place}”."
        )
    return name, revision or said


def _series(table: "SeriesTable", m2: ModelSpec, path: Path) -> tuple[SeriesStep, ...]:
    """The steps of [series]: `folder`, with checkpoint-N in it; `steps`, a table of steps and places; or `revisions`
    of M2's base on the hub.

    A place with an adapter is put on M2's base; any other is a model of its own.
    """
    if table.revisions is not None:
        if not is_hub_id(m2.base) or is_there(Path(m2.base)):
            raise ExplorerError(f"{path}: [series] revisions are of M2's base on the hub, but that is “{m2.base}”.")
        return tuple(
            SeriesStep(int(step), ModelSpec(m2.base, m2.adapters, revision))
            for step, revision in sorted(table.revisions.items(), key=lambda item: int(item[0]))
        )
    places = table.steps or {}
    if table.folder is not None:
        folder = (path.parent / table.folder).resolve()
        found = {p.name.removeprefix("checkpoint-"): str(p) for p in folder.glob("checkpoint-*") if p.is_dir()}
        places = {step: place for step, place in found.items() if step.isascii() and step.isdigit()}
        if len(places) < 2:
            raise ExplorerError(
                f"{path}: [series] needs at least two steps, but {folder} holds {len(places)} folders checkpoint-N."
            )
    if len({int(step) for step in places}) < len(places):
        raise ExplorerError(f"{path}: [series] names a step twice; give each step once.")
    steps = []
    for step, place in sorted(places.items(), key=lambda item: int(item[0])):
        place = resolve_place(place, path)
        whole = Path(place).is_dir() and not (Path(place) / "adapter_config.json").is_file()
        name, revision = split_revision(place)
        model = ModelSpec(place) if whole else ModelSpec(m2.base, (place,), m2.revision)
        steps.append(SeriesStep(int(step), ModelSpec(name, (), revision) if revision else model))
    return tuple(steps)


def template_place(name: object, path: Path) -> str:
    """A chat template's file as a full path; "own", "m1", "m2" and "tulu" as they are."""
    if name in (OWN, OF_M1, OF_M2, TULU):
        return str(name)
    file = path.parent / str(name)
    if not isinstance(name, str) or not is_there(file, file=True):
        raise ExplorerError(
            f"{path}: chat_template must be “{OWN}”, “{OF_M1}”, “{OF_M2}”, “{TULU}” or a Jinja file, not "
            f"“{str(name)[:200]}”."
        )
    return str(file.resolve())


def resolve_place(place: str, path: Path) -> str:
    """A folder or file beside the pair file as a full path; hub ids and embedded names as they are."""
    if place.startswith(EMBEDDED):
        return place
    try:
        local = path.parent / Path(place).expanduser()
    except RuntimeError:  # the home of a user who is not there
        return place
    return str(local.resolve()) if is_there(local) else place
