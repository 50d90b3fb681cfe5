"""What the tables of build and training files may hold: a kind and a range for every setting, in one place.

A table is a frozen dataclass whose annotations say what each setting may be:

    limit: Count = 200
    strength: Annotated[float, Interval(ge=-2, le=2)] = 1.0

and `read_table` makes one out of TOML, or says which file, table and setting is wrong and what it must be. Another
setting is one line. pydantic checks; the sentences are ours. It is imported when a file is read, not before.
"""

import difflib
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval, Len, Predicate

from explorer.errors import ExplorerError

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """What a setting must be, in words; stands in its annotation where the words cannot be told from the type."""

    words: str


# -- kinds of settings -----------------------------------------------------------------------------


def _plain(text: str) -> bool:
    """Whether a text has no control characters but line ends and tabs."""
    return not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text)


def _place(text: str) -> bool:
    """Whether a text can be a file's or folder's place, a hub id or another name on one line."""
    short = len(text) <= 2_000 and all(len(part.encode()) <= 255 for part in re.split(r"[/\\]", text))
    return bool(text.strip()) and short and not re.search(r"[\x00-\x1f\x7f]", text)


def _folder(text: str) -> bool:
    """Whether a text can be the name of a folder, and cannot lead elsewhere."""
    return _place(text) and not re.search(r"[/\\:]", text) and not text.startswith(".") and len(text) <= 100


def _distinct(items: tuple) -> bool:
    return len(set(items)) == len(items)


Distinct = Predicate(_distinct)
Some = Len(1)

Count = Annotated[int, Interval(ge=1, le=1_000_000)]
CountOrAll = Annotated[int, Interval(ge=0, le=1_000_000), Kind("a whole number from 0 (all) to 1,000,000")]
CountOrNone = Annotated[int, Interval(ge=0, le=1_000_000)]
Tokens = Annotated[int, Interval(ge=1, le=1_024)]
"""Of an answer that is written; `models.prompting.MAX_NEW_TOKENS`."""

Fraction = Annotated[float, Interval(gt=0, le=1)]
Seed = Annotated[int, Interval(ge=0, le=2**32 - 1)]
Layer = Annotated[int, Interval(ge=-1_000, le=1_000)]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""`models.pair_spec.DTYPES`."""

Text = Annotated[str, Predicate(_plain), Kind("a text")]
Place = Annotated[str, Predicate(_place), Kind("a name or place on one line")]
PlaceOrNone = Annotated[str, Predicate(lambda text: not text or _place(text)), Kind("a name or place on one line")]
FolderName = Annotated[str, Predicate(_folder), Kind("a name that a folder can have, without / and \\")]

Fractions = Annotated[tuple[Fraction, ...], Distinct]
Map = Annotated[tuple[tuple[Text, Text], ...], Kind("a table of texts")]
Values = Annotated[tuple[tuple[Text, str | int | float | bool], ...], Kind("a table of texts, numbers, true or false")]

Seeds = Annotated[tuple[Seed, ...], Distinct]
Places = Annotated[tuple[Place, ...], Some, Distinct]
"""At least one, and none twice."""


# -- reading ---------------------------------------------------------------------------------------


def read_table(kind: type[T], table: Any, place: str) -> T:
    """A table of a file as what it stands for.

    Args:
        kind: a dataclass whose annotations say what each setting may be.
        table: as TOML holds it.
        place: where it stands, for messages: "build.toml, [rankings.safety]".

    Raises:
        ExplorerError: it is no table, or a setting is unknown, missing, or of another kind or range.
    """
    values = check_settings(kind, table, place)
    required = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]  # type: ignore[arg-type]
    missing = next((name for name in required if name not in values), None)
    if missing is not None:
        raise ExplorerError(f"{place} lacks the setting “{missing}”, {describe(_hints(kind)[missing])}.")
    try:
        return kind(**values)
    except ExplorerError as problem:
        raise ExplorerError(f"{place}: {problem}") from problem


def check_settings(kind: type, table: Any, place: str, beside: Iterable[str] = ()) -> dict[str, Any]:
    """The settings that a table holds, checked, lists as tuples.

    Args:
        kind: see `read_table`.
        table: as TOML holds it.
        place: where it stands, for messages.
        beside: what may stand there too, to tell who mistyped it.

    Raises:
        ExplorerError: it is no table, or a setting is unknown, or of another kind or range.
    """
    if not isinstance(table, Mapping):
        raise ExplorerError(f"{place} has a single value where a table of settings belongs: {shown(table)}.")
    hints = _hints(kind)
    for name in table:
        if name not in hints:
            every = sorted({*hints, *beside})
            near = difflib.get_close_matches(str(name), every, 1)
            known = f"did you mean “{near[0]}”" if near else f"known are {', '.join(every)}"
            raise ExplorerError(f"{place} has an unknown setting “{str(name)[:40]}”; {known}{'?' if near else '.'}")
    return {name: _checked(hints[name], name, value, place) for name, value in table.items()}


def describe(hint: Any) -> str:
    """What a setting of this type must be, in words: "a whole number above 0 and at most 1,024"."""
    base, marks = (hint.__origin__, hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())
    words = next((mark.words for mark in reversed(marks) if isinstance(mark, Kind)), None)
    if words is not None:
        return words
    limits = next((mark for mark in marks if isinstance(mark, Interval)), Interval())
    origin, args = get_origin(base), get_args(base)
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin is tuple:
        item = describe(args[0]) if args else "a value"
        few = "" if not any(isinstance(mark, Len) for mark in marks) else f" of at least {_least(marks)}"
        return f"a list{few}, each {item}{', none twice' if Distinct in marks else ''}"
    if origin in (Union, types.UnionType):
        return " or ".join(describe(arg) for arg in args if arg is not type(None))
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(base, "a value") + _range(limits, base)


def shown(value: Any) -> str:
    """A value as a sentence may hold it: on one line, and short."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f"“{value}”" if isinstance(value, str) else "a table" if isinstance(value, Mapping) else _listed(value)
    text = " ".join(text.split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 60 else text[:57] + "…"


def _listed(value: Any) -> str:
    if isinstance(value, int) and abs(value) > 10**30:
        return f"a number of more than {30 if value < 10**100 else 100} digits"
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown(item) for item in value[:4])}{', …' if len(value) > 4 else ''}]"
    return str(value)


def _least(marks: tuple) -> int:
    return next(mark.min_length for mark in marks if isinstance(mark, Len))


def _range(limits: Interval, base: Any) -> str:
    low: Any = limits.ge if limits.ge is not None else limits.gt
    high: Any = limits.le
    if low is None or high is None:
        return ""
    if limits.gt is not None or (base is int and low == 1):
        return f" above {0 if base is int else f'{low:g}'} and at most {high:,}"
    return f" from {low:,} to {high:,}"


def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


@cache
def _adapter(hint: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True))


def _checked(hint: Any, name: str, value: Any, place: str) -> Any:
    from pydantic import ValidationError

    value = frozen(value)
    try:
        return _adapter(hint).validate_python(value)
    except ValidationError as problem:
        where = problem.errors(include_url=False, include_context=False)[0]["loc"]
        raise ExplorerError(f"{place}: {name} must be {describe(hint)}, {_instead(value, where)}.") from problem


def _instead(value: Any, where: tuple) -> str:
    """What there is instead: the value, or the item of a list that is wrong."""
    numbers = [key for key in where if isinstance(key, int)]
    if not isinstance(value, tuple) or not numbers or numbers[0] >= len(value):
        return f"not {shown(value)}"
    return f"but item {numbers[0] + 1} is {shown(value[numbers[0]])}"


def frozen(value: Any) -> Any:
    """Lists as tuples, at any depth; whole numbers that are too great for a float stay what they are."""
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value
