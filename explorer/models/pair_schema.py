"""What a pair file may say: every setting with its kind and its range, in one place.

    settings = check_pair_settings(tomllib.loads(text), path)

A wrong value is one sentence with the file, the table, the setting, what it must be and what it is.
"""

import datetime
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from explorer.errors import ExplorerError
from explorer.models.pair_spec import DEVICE_MAPS, DTYPES

Place = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"\A[^\x00-\x1f\x7f]+\z")]
"""A hub id, a folder or a file; no control characters."""

Word = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"\A[^\x00-\x1f\x7f]+\z")]
Revision = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"\A[\w.][\w./-]*\z")]
Step = Annotated[str, StringConstraints(pattern=r"\A[0-9]{1,9}\z")]
Device = Annotated[int, Field(ge=0, le=1023)] | Word

_MUST_BE = {
    "base": "a hub id, a folder, a .gguf file or embedded:NAME",
    "revision": "a branch, tag or commit of the hub",
    "adapters": "a list of at most 16 folders or hub ids",
    "name": "1 to 200 characters on one line",
    "m1": 'a table with base = "a hub id, a folder, a .gguf file or embedded:NAME"',
    "m2": 'a table with base = "a hub id, a folder, a .gguf file or embedded:NAME"',
    "dtype": f"one of {', '.join(DTYPES)}",
    "device": "a torch device (cpu, cuda:0) or auto",
    "device_map": f"one of {', '.join(DEVICE_MAPS)} or a table of modules and devices",
    "quantisation": "8bit or 4bit",
    "lora": "merged or shared",
    "chat_template": "own, m1, m2, tulu or a Jinja file",
    "template_arguments": "a table of at most 32 names with true, false, a number or a text each",
    "date": "a date, for instance 2026-07-26",
    "series": "a table with folder, steps or revisions",
    "folder": "the folder with checkpoint-N in it",
    "steps": "a table of at least two whole numbers with a folder or hub id each",
    "revisions": "a table of at least two whole numbers with a branch, tag or commit each",
}
"""What each setting must be, in words."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ModelTable(_Table):
    """[m1] or [m2]."""

    base: Place
    revision: Revision | None = None
    adapters: Annotated[list[Place], Field(max_length=16)] = []


class SeriesTable(_Table):
    """[series]."""

    folder: Place | None = None
    steps: Annotated[dict[Step, Place], Field(min_length=2, max_length=1000)] | None = None
    revisions: Annotated[dict[Step, Revision], Field(min_length=2, max_length=1000)] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "SeriesTable":
        if sum(value is not None for value in (self.folder, self.steps, self.revisions)) != 1:
            raise ValueError("must have either folder (with checkpoint-N in it), a table of steps, or revisions")
        return self


class PairTable(_Table):
    """The whole file; see `pair_spec.PairSpec` for what each setting does."""

    name: Word | None = None
    m1: ModelTable
    m2: ModelTable
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Word = "cpu"
    device_map: (
        Literal["auto", "balanced", "balanced_low_0", "sequential"]
        | Annotated[
            dict[Annotated[str, StringConstraints(max_length=200)], Device], Field(min_length=1, max_length=10_000)
        ]
        | None
    ) = None
    quantisation: Literal["", "8bit", "4bit"] = ""
    lora: Literal["merged", "shared"] = "merged"
    chat_template: Place = "own"
    template_arguments: Annotated[
        dict[
            Annotated[str, StringConstraints(pattern=r"\A[A-Za-z_]\w{0,63}\z")],
            bool | int | float | Annotated[str, StringConstraints(max_length=2000)],
        ],
        Field(max_length=32),
    ] = {}
    date: datetime.date | None = None
    series: SeriesTable | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_place(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and "device" in raw and "device_map" in raw:
            raise ValueError("sets both device and device_map; give one of them")
        return raw


def check_pair_settings(raw: dict[str, Any], path: Path) -> PairTable:
    """The settings of a pair file, each of its kind and in its range.

    Raises:
        ExplorerError: one is missing, not known, of another kind or out of range.
    """
    if isinstance(raw.get("date"), str):  # in quotes it is a date as well
        try:
            raw = raw | {"date": datetime.date.fromisoformat(raw["date"])}
        except ValueError as problem:
            raise ExplorerError(f"{path}: date must be {_MUST_BE['date']}, not “{raw['date'][:60]}”.") from problem
    try:
        return PairTable.model_validate(raw)
    except ValidationError as problem:
        raise ExplorerError(_sentence(problem, path)) from problem


def _sentence(problem: ValidationError, path: Path) -> str:
    """What is wrong first, in words: unknown settings before wrong values, since one is often behind the other."""
    errors = problem.errors(include_url=False)
    error = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    place = [str(part) for part in error["loc"]]
    known = next((i for i in reversed(range(len(place))) if place[i] in _MUST_BE), -1)
    table = [part for part in place[:known] if part in ("m1", "m2", "series")]
    where = f"{path}: [{table[0]}] " if table else f"{path}: "
    if error["type"] == "extra_forbidden":
        table = [part for part in place[:-1] if part in ("m1", "m2", "series")]
        where = f"{path}: [{table[0]}] " if table else f"{path} "
        kinds: dict[str, type[_Table]] = {"series": SeriesTable, "m1": ModelTable, "m2": ModelTable}
        owner: type[_Table] = kinds[table[0]] if table else PairTable
        names = owner.model_fields
        return f"{where}has an unknown setting {_short(place[-1])}; known are {', '.join(names)}."
    if error["type"] == "value_error":
        said = re.sub(r"^Value error, ", "", error["msg"])
        return f"{path}: [{place[0]}] {said}." if place else f"{path} {said}."
    setting = place[known] if known >= 0 else place[-1] if place else "it"
    must = _MUST_BE.get(setting, "another value")
    if error["type"] == "missing":
        owner_name = setting if setting in ("m1", "m2") else table[0] if table else ""
        return f"{path} must have a table [{owner_name}] with {_MUST_BE['m1'].removeprefix('a table with ')}."
    if setting in ("m1", "m2"):
        return f"{path} must have a table [{setting}] with {must.removeprefix('a table with ')}."
    return f"{where}{setting} must be {must}, not {_short(error['input'])}."


def _short(value: Any) -> str:
    """A value in a few characters on one line."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except ValueError:  # a whole number of thousands of digits
        return "so large a number"
    text = "".join(c if c.isprintable() else "�" for c in text[:60])
    return f"“{text}”" if isinstance(value, str) else text
