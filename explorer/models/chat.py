"""Chat templates: which one serves, what it is told, and the text that it makes of a dialogue.

Both models of a pair read one text, so one template serves both (`choose_template`). What a template is told beside
the messages, the arguments of the pair file and the day, is kept with the tokeniser: a template that prints today's
date would else change its text at midnight, in the middle of a build.
"""

import re
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError, first_line
from explorer.models.pair_spec import OF_M1, OF_M2, OWN, TULU

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from explorer.models.plain_text import Piece

Turn = tuple[str, str]
"""Who speaks, "user" or "assistant", and what is said."""

TULU_TEMPLATE = (
    "{{ bos_token or '' }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token or '' }}{% endif %}{{ '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
"""The chat format of Tulu, which the paper's models are trained and asked in."""

_MARK = "\ue000"  # a private-use character: no chat template contains it
_SLOT = re.compile(f"{_MARK}slot(\\d+){_MARK}")
_TAKEN = (
    "messages",
    "tools",
    "documents",
    "add_generation_prompt",
    "strftime_now",
)
"""Names that no argument of a template may have."""

_MOST_TEMPLATE = 200_000
"""Characters of a chat template, at most."""


@dataclass(frozen=True)
class Told:
    """What a chat template is told beside the messages.

    Attributes:
        arguments: by name, from the pair file.
        day: what it takes for today.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    day: date = field(default_factory=date.today)


_told: "weakref.WeakKeyDictionary[PreTrainedTokenizerBase, Told]" = weakref.WeakKeyDictionary()
_parts: "weakref.WeakKeyDictionary[PreTrainedTokenizerBase, tuple[str, bool]]" = weakref.WeakKeyDictionary()


def use_template(tokenizer: "PreTrainedTokenizerBase", template: str | None, told: Told, name: str = "") -> None:
    """Let a tokeniser format chats with this template, and see that it passes a person's words on.

    Args:
        tokenizer: of the pair.
        template: Jinja; None for no chat format.
        told: beside the messages.
        name: of the template, for messages.

    Raises:
        ExplorerError: it is not valid Jinja, drops the user's message, or has no use for an argument.
    """
    tokenizer.chat_template = template
    _told[tokenizer] = told
    for argument in told.arguments:
        if argument in _TAKEN:
            raise ExplorerError(f"template_arguments cannot set “{argument}”, which the chat itself gives.")
        if argument not in (template or ""):
            raise ExplorerError(
                f"The chat template {name} has no argument “{argument}”; leave it out, or check its name."
            )
    if template is not None:
        try:
            pieces(tokenizer, [("user", "Hello")])
        except ExplorerError as problem:
            raise ExplorerError(f"The chat template {name} cannot be used: {problem}") from problem


def choose_template(
    chosen: str, first: "PreTrainedTokenizerBase", second: "PreTrainedTokenizerBase", second_own: str | None
) -> tuple[str | None, str, bool]:
    """The template that a pair file asks for.

    Args:
        chosen: "own", "m1", "m2", "tulu", or a Jinja file.
        first, second: M1's and M2's tokenisers.
        second_own: a template that M2's adapter brings beside the tokeniser; None for none.

    Returns:
        The Jinja text (None for none), where it comes from in words, and whether M1 and M2 have different ones.

    Raises:
        ExplorerError: it cannot be read, or the model that is asked for has none.
    """
    of_m1, of_m2 = template_of(first, "M1"), second_own or template_of(second, "M2")
    differ = bool(of_m1 and of_m2 and of_m1 != of_m2)
    if chosen == TULU:
        return TULU_TEMPLATE, "tulu", differ
    if chosen in (OF_M1, OF_M2):
        found = of_m1 if chosen == OF_M1 else of_m2
        if not found:
            raise ExplorerError(f"chat_template is {chosen}, but {chosen.upper()}'s tokeniser has no chat template.")
        return found, f"{chosen.upper()}'s", differ
    if chosen == OWN:
        return of_m2 or of_m1, "M2's" if of_m2 else "M1's" if of_m1 else "none", differ
    return read_template(Path(chosen)), Path(chosen).name, differ


def read_template(file: Path) -> str:
    """A chat template on disk.

    Raises:
        ExplorerError: it is no readable text, or far too long for a template.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise ExplorerError(f"The chat template {file} is not a readable text file.") from problem
    if len(text) > _MOST_TEMPLATE:
        raise ExplorerError(f"The chat template {file} has {len(text):,} characters, which is no template; check it.")
    return text


def template_of(tokenizer: "PreTrainedTokenizerBase", whose: str) -> str | None:
    """A tokeniser's own template; of several the one called "default", or the only one.

    Raises:
        ExplorerError: there are several and none is called so.
    """
    found: Any = tokenizer.chat_template
    if isinstance(found, list):  # as old tokeniser files write them
        found = {str(entry.get("name")): entry.get("template") for entry in found if isinstance(entry, dict)}
    if not isinstance(found, dict):
        return found or None
    if "default" in found or len(found) == 1:
        return found.get("default") or next(iter(found.values()))
    raise ExplorerError(
        f"{whose}'s tokeniser has several chat templates ({', '.join(sorted(found))}) and none is called default; save "
        "the one to use as a Jinja file and name it as chat_template."
    )


def told(tokenizer: "PreTrainedTokenizerBase") -> Told:
    """What the tokeniser's template is told."""
    return _told.get(tokenizer) or Told()


def prints_date(template: str | None) -> bool:
    """Whether a template asks for today's date."""
    return "strftime_now" in (template or "")


def pieces(tokenizer: "PreTrainedTokenizerBase", turns: Sequence[Turn], generation: bool = True) -> "list[Piece]":
    """A dialogue as the template writes it: its own text, and what was said, in turn.

    Args:
        tokenizer: with a chat template.
        turns: the dialogue.
        generation: whether the next answer is to follow.

    Raises:
        ExplorerError: the template fails, or leaves out what was said.
    """
    template = template_of(tokenizer, "The model")
    if template is None:
        raise ExplorerError("The tokeniser has no chat template, so it cannot format a dialogue.")
    known = _parts.get(tokenizer)
    if known is None or known[0] != template:
        known = _parts[tokenizer] = (template, _wants_parts(tokenizer, template))
    text = _rendered(tokenizer, template, [role for role, _ in turns], generation, known[1])
    out: list[Piece] = []
    found = set()
    for number, part in enumerate(_SLOT.split(text)):
        if number % 2:
            found.add(int(part))
            out.append((turns[int(part)][1], True))
        elif part:
            out.append((part, False))
    if found != set(range(len(turns))):
        what = "the user's message" if len(turns) == 1 else "a turn"
        raise ExplorerError(f"The model's chat template drops {what}, so it cannot be given to it.")
    return out


def _wants_parts(tokenizer: "PreTrainedTokenizerBase", template: str) -> bool:
    """Whether the template reads a message as a list of parts, as those of models that also see pictures do.

    Raises:
        ExplorerError: the template fails either way.
    """
    first = None
    for parts in (False, True):
        try:
            if _SLOT.search(_rendered(tokenizer, template, ["user"], True, parts)):
                return parts
        except ExplorerError as problem:
            first = first or problem
    if first is not None:
        raise first
    return False


def _rendered(
    tokenizer: "PreTrainedTokenizerBase", template: str, roles: Sequence[str], generation: bool, parts: bool
) -> str:
    """The template's text for a dialogue of slots."""
    # The sandbox of `apply_chat_template`; that function itself lets no clock of ours through to the template.
    from transformers.utils.chat_template_utils import _compile_jinja_template

    def content(number: int) -> Any:
        slot = f"{_MARK}slot{number}{_MARK}"
        return [{"type": "text", "text": slot}] if parts else slot

    known = told(tokenizer)
    midnight = datetime.combine(known.day, time())

    def strftime_now(form: str) -> str:
        return midnight.strftime(form)

    messages = [{"role": role, "content": content(number)} for number, role in enumerate(roles)]
    try:
        return _compile_jinja_template(template).render(
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=generation,
            **{**tokenizer.special_tokens_map, **known.arguments, "strftime_now": strftime_now},
        )
    except Exception as problem:  # a template may raise whatever Python does; each means the same to a person
        kind = "is not valid Jinja" if "Syntax" in type(problem).__name__ else "fails on this dialogue"
        raise ExplorerError(f"The model's chat template {kind}: {first_line(problem)}") from problem
