"""From a person's text to what the models read, and from tokens back to text.

A person's text is data: `<|im_end|>` typed into a prompt is tokenised as the plain characters, so
it cannot close the user's turn.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError
from explorer.models.pair_file import OWN, TULU

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_PROMPT_CHARS = 8_000
MAX_NEW_TOKENS = 1_024

TULU_TEMPLATE = (
    "{{ bos_token or '' }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token or '' }}{% endif %}{{ '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
"""The chat format of Tulu, which the paper's models are trained and asked in."""

_SLOT = "\ue000prompt\ue000"  # private-use characters: no chat template contains them


def check_prompt(prompt: object) -> str:
    """The prompt without surrounding white space.

    Raises:
        ExplorerError: it is empty, not text, or longer than `MAX_PROMPT_CHARS`.
    """
    if not isinstance(prompt, str) or not prompt.strip():
        raise ExplorerError("The prompt is empty; write a question or a request.")
    prompt = prompt.strip()
    if len(prompt) > MAX_PROMPT_CHARS:
        raise ExplorerError(
            f"The prompt has {len(prompt):,} characters; the limit is {MAX_PROMPT_CHARS:,}. Shorten it and try again."
        )
    return prompt


def check_new_tokens(count: object) -> int:
    """The answer's length limit in tokens.

    Raises:
        ExplorerError: it is not a whole number from 1 to `MAX_NEW_TOKENS`.
    """
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_NEW_TOKENS:
        raise ExplorerError(f"The answer's length must be 1 to {MAX_NEW_TOKENS:,} tokens, not {count}.")
    return count


def use_template(tokenizer: "PreTrainedTokenizerBase", chosen: str, other: "PreTrainedTokenizerBase") -> None:
    """Give a tokeniser the chat template that a pair file names.

    Args:
        tokenizer: M1's.
        chosen: "own", "tulu", or a Jinja file.
        other: M2's, whose template serves where M1, a base model, has none of its own.

    Raises:
        ExplorerError: the template cannot be read, or drops the user's message.
    """
    from jinja2 import TemplateError

    if chosen == TULU:
        tokenizer.chat_template = TULU_TEMPLATE
    elif chosen != OWN:
        try:
            tokenizer.chat_template = Path(chosen).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise ExplorerError(f"The chat template {chosen} is not a readable text file.") from problem
    elif not tokenizer.chat_template:
        tokenizer.chat_template = other.chat_template
    try:
        _frame(tokenizer)
    except (TemplateError, TypeError) as problem:
        raise ExplorerError(
            f"The chat template {chosen} is not valid Jinja: {str(problem).splitlines()[0]}"
        ) from problem


def render(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> str:
    """The chat-formatted prompt, by the tokeniser's own template; the bare text where it has none.

    Raises:
        ExplorerError: the prompt is empty or too long.
    """
    before, after = _frame(tokenizer)
    return before + check_prompt(prompt) + after


def encode(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[int]:
    """Token ids of the rendered prompt, with the person's text as plain characters throughout.

    Raises:
        ExplorerError: the prompt is empty or too long.
    """
    before, after = _frame(tokenizer)
    prompt = check_prompt(prompt)
    if not before and not after:  # a base model without a template: its own special tokens lead
        return list(tokenizer(prompt, split_special_tokens=True)["input_ids"])
    if not any(token in prompt for token in tokenizer.all_special_tokens):
        return list(tokenizer(before + prompt + after, add_special_tokens=False)["input_ids"])
    return _ids(tokenizer, before, False) + encode_plain(tokenizer, prompt) + _ids(tokenizer, after, False)


def encode_dialogue(tokenizer: "PreTrainedTokenizerBase", turns: Sequence[tuple[str, str]]) -> list[int]:
    """Token ids of a chat-formatted dialogue that the model is to go on with, what was said as plain characters.

    Args:
        tokenizer: with a chat template.
        turns: (role, text) of each turn, role "user" or "assistant", the last one a user's.

    Raises:
        ExplorerError: the template drops a turn, or the tokeniser has none.
    """
    if not tokenizer.chat_template:
        raise ExplorerError("The tokeniser has no chat template, so it cannot format a dialogue.")
    slots = [f"{_SLOT}{number}{_SLOT}" for number in range(len(turns))]
    messages = [{"role": role, "content": slot} for (role, _), slot in zip(turns, slots, strict=True)]
    rest = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    ids: list[int] = []
    for (_, text), slot in zip(turns, slots, strict=True):
        before, found, rest = rest.partition(slot)
        if not found:
            raise ExplorerError("The model's chat template drops a turn, so no dialogue can be given to it.")
        ids += _ids(tokenizer, before, False) + encode_plain(tokenizer, text)
    return ids + _ids(tokenizer, rest, False)


def encode_answer(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Token ids of a whole answer with the end token, control tokens in it as plain characters."""
    return [*encode_plain(tokenizer, text), tokenizer.eos_token_id]


def encode_plain(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Token ids of a text alone, control tokens in it as plain characters."""
    return _ids(tokenizer, text, True)


def _ids(tokenizer: "PreTrainedTokenizerBase", text: str, plain: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=plain)["input_ids"])


def decode(tokenizer: "PreTrainedTokenizerBase", ids: list[int]) -> str:
    """The text of an answer's tokens, without special tokens."""
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


class TextStream:
    """Turns one answer's tokens into pieces of text that join to the whole text.

    A character that spans several tokens is held back until it is complete.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._shown = ""

    def push(self, token_id: int, last: bool = False) -> str:
        """The piece of text that this token adds; with `last`, whatever was held back as well."""
        self._ids.append(token_id)
        text = decode(self._tokenizer, self._ids)
        if not last:
            text = text.rstrip("\ufffd")
        if not text.startswith(self._shown):  # the tokeniser changed its mind about an earlier character
            return ""
        piece, self._shown = text[len(self._shown) :], text
        return piece


def _frame(tokenizer: "PreTrainedTokenizerBase") -> tuple[str, str]:
    """What the chat template puts before and after the person's text."""
    if not tokenizer.chat_template:
        return "", ""
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": _SLOT}], tokenize=False, add_generation_prompt=True
    )
    before, slot, after = str(text).partition(_SLOT)
    if not slot:
        raise ExplorerError("The model's chat template drops the user's message, so no prompt can be given to it.")
    return before, after
