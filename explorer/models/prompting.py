"""From a person's text to what the models read, and from tokens back to text.

A person's text is data: `<|im_end|>` typed into a prompt is tokenised as plain characters (`plain_text.py`), so it
cannot close the user's turn. Prompts that are answered and prompts that are trained on go the same way.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError
from explorer.models.chat import Turn, pieces, template_of
from explorer.models.plain_text import Piece, encode_pieces

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_PROMPT_CHARS = 8_000
MAX_NEW_TOKENS = 1_024


def check_prompt(prompt: object) -> str:
    """The prompt without surrounding white space.

    Raises:
        ExplorerError: it is empty, not text, or longer than `MAX_PROMPT_CHARS`.
    """
    if not isinstance(prompt, str) or not prompt.strip():
        raise ExplorerError("The prompt is empty; write a question or a request.")
    prompt = check_text(prompt.strip())
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


def check_text(text: str) -> str:
    """The text itself.

    Raises:
        ExplorerError: it holds half a character (a lone surrogate), which no tokeniser reads.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise ExplorerError(
            f"The text holds half a character (a lone surrogate) at place {problem.start + 1}; take it out and try "
            "again."
        ) from problem
    return text


def render(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> str:
    """The chat-formatted prompt, by the tokeniser's own template; the bare text where it has none.

    Raises:
        ExplorerError: the prompt is empty or too long.
    """
    return "".join(piece for piece, _ in _asked(tokenizer, prompt))


def encode(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[int]:
    """Token ids of the rendered prompt, with the person's text as plain characters throughout.

    Raises:
        ExplorerError: the prompt is empty or too long.
    """
    begin = template_of(tokenizer, "The model") is None  # a base model: its own special tokens lead
    return encode_pieces(tokenizer, _asked(tokenizer, prompt), begin)


def encode_dialogue(tokenizer: "PreTrainedTokenizerBase", turns: Sequence[Turn]) -> list[int]:
    """Token ids of a chat-formatted dialogue that the model is to go on with, what was said as plain characters.

    Args:
        tokenizer: with a chat template.
        turns: (role, text) of each turn, role "user" or "assistant", the last one a user's.

    Raises:
        ExplorerError: the template drops a turn, or the tokeniser has none.
    """
    return encode_pieces(tokenizer, _said(tokenizer, turns))


def encode_answer(tokenizer: "PreTrainedTokenizerBase", text: str, turns: Sequence[Turn]) -> list[int]:
    """Token ids of a whole answer with the end token, as they follow the dialogue; control tokens are plain characters.

    Args:
        tokenizer: of the model.
        text: the answer.
        turns: what is answered.
    """
    if tokenizer.eos_token_id is None:
        raise ExplorerError("The tokeniser names no end token (eos_token), so no whole answer can be written with it.")
    return [*continuation(tokenizer, turns, text), tokenizer.eos_token_id]


def continuation(tokenizer: "PreTrainedTokenizerBase", turns: Sequence[Turn], text: str) -> list[int]:
    """Token ids of an answer, or of its beginning, in their place behind a dialogue.

    Alone a text may begin with other tokens: SentencePiece puts a space before it, which behind a line break is not
    there. Where the template itself puts white space before an answer (Llama-2's does), so is it here; without a
    template a space stands between.
    """
    lead, before, begin = " ", [(turns[-1][1], True)], True
    if template_of(tokenizer, "The model") is not None:
        before, begin = _said(tokenizer, turns), False
        lead = _space_before(tokenizer, turns, before)
    prompt = encode_pieces(tokenizer, before, begin)
    whole = encode_pieces(tokenizer, [*before, (lead, False), (text, True)], begin)
    end = tokenizer.eos_token_id
    if begin and whole and whole[-1] == end and prompt[-1:] == [end]:  # a tokeniser that puts an end behind every text
        prompt, whole = prompt[:-1], whole[:-1]
    return whole[len(prompt) :] if whole[: len(prompt)] == prompt else encode_plain(tokenizer, text)


def tokens_behind(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> int | None:
    """How many tokens the chat template puts behind the last token of what a person wrote; 0 without a template.

    The prompt is encoded up to there and whole. None where the first is not the beginning of the second: there the
    tokeniser makes one token of the prompt's last characters and the template's first, so that no token is the
    instruction's last one.

    Raises:
        ExplorerError: the prompt is empty or too long.
    """
    begin = template_of(tokenizer, "The model") is None
    asked = _asked(tokenizer, prompt)
    end = max(i for i, (_, typed) in enumerate(asked) if typed)
    whole, lead = encode_pieces(tokenizer, asked, begin), encode_pieces(tokenizer, asked[: end + 1], begin)
    if begin:  # some tokenisers put an end behind every text
        return int(len(lead) > 1 and lead[-1] == tokenizer.eos_token_id)
    return len(whole) - len(lead) if whole[: len(lead)] == lead else None


def encode_text(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Token ids of running text, control tokens as plain characters, behind the tokeniser's own beginning.

    A model that was trained with a token at the beginning (BOS) makes little sense of text without one.
    """
    ids, end = encode_pieces(tokenizer, [(check_text(text), True)], begin=True), tokenizer.eos_token_id
    return ids[:-1] if len(ids) > 1 and ids[-1] == end else ids


def encode_plain(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Token ids of a text alone, control tokens in it as plain characters."""
    return encode_pieces(tokenizer, [(check_text(text), True)])


def _asked(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[Piece]:
    """A prompt as the template writes it; the bare prompt where there is none."""
    prompt = check_prompt(prompt)
    return [(prompt, True)] if template_of(tokenizer, "The model") is None else pieces(tokenizer, [("user", prompt)])


def _said(tokenizer: "PreTrainedTokenizerBase", turns: Sequence[Turn], generation: bool = True) -> list[Piece]:
    """A dialogue as the template writes it."""
    return pieces(tokenizer, [(role, check_text(text.strip())) for role, text in turns], generation)


def _space_before(tokenizer: "PreTrainedTokenizerBase", turns: Sequence[Turn], before: list[Piece]) -> str:
    """The white space that the template puts between its last words before an answer and the answer."""
    try:
        with_answer = _said(tokenizer, [*turns, ("assistant", "Yes.")], generation=False)
    except ExplorerError:  # a template of questions alone
        return ""
    asked = "".join(piece for piece, _ in before)
    answer = max(i for i, (_, typed) in enumerate(with_answer) if typed)
    lead = "".join(piece for piece, _ in with_answer[:answer])
    return lead[len(asked) :] if lead.startswith(asked) and not lead[len(asked) :].strip() else ""


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
