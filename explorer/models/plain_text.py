"""A person's text as plain characters, whatever control tokens are typed into it.

A tokeniser finds its added tokens anywhere in a text: `<|im_end|>` in a prompt would close the user's turn. Here a
second form of the tokeniser is kept in which every control token has a secret name, new in each process. In it a chat
is encoded whole, the template's own control tokens under their secret names, and what a person typed is only text:
the ids are the tokeniser's own, but for control tokens that were typed. (Encoding a chat in pieces is not the same:
SentencePiece puts a space before each piece, and byte-level tokenisers merge across its ends.)
"""

import json
import secrets
import weakref
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

Piece = tuple[str, bool]
"""A stretch of a text, and whether it is a person's: its control tokens are plain characters."""

_SECRET = f"zq{secrets.token_hex(12)}q"  # lower-case letters and digits, which no normaliser changes


def encode_pieces(tokenizer: "PreTrainedTokenizerBase", pieces: Sequence[Piece], begin: bool = False) -> list[int]:
    """Token ids of a text made of pieces, as one text.

    Args:
        tokenizer: of the models.
        pieces: the template's and the person's, in turn.
        begin: whether the tokeniser's own beginning (BOS) and end are put around it.

    Raises:
        ExplorerError: a control token was typed and this kind of tokeniser cannot read it as plain text.
    """
    text = "".join(piece for piece, _ in pieces)
    ids = _encode(tokenizer, text, begin)
    control = control_ids(tokenizer)
    frame: Counter[int] = Counter()
    for piece, typed in [*pieces, *([("", False)] if begin else [])]:
        if not typed:
            frame += _control_of(tokenizer, piece, begin=not piece)
    if Counter(i for i in ids if i in control) == frame:
        return ids
    return _encode_renamed(tokenizer, pieces, begin)


def control_ids(tokenizer: "PreTrainedTokenizerBase") -> frozenset[int]:
    """The tokens that no text of a person may become: every added token but mere words and white space.

    Special or not makes no difference: `<repo_name>`, `<tool_call>` and `<think>` steer a model as `<|im_end|>` does.
    A word that a fine-tune added to its vocabulary is a word.
    """
    added = tokenizer.added_tokens_decoder
    known = _control.get(tokenizer)
    if known is None or known[0] != len(added):
        found = frozenset(i for i, token in added.items() if token.special or not _is_word(token.content))
        known = _control[tokenizer] = (len(added), found)
        _frames.pop(tokenizer, None)
    return known[1]


_control: "weakref.WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, frozenset[int]]]" = weakref.WeakKeyDictionary()
_frames: "weakref.WeakKeyDictionary[PreTrainedTokenizerBase, dict[str, Counter[int]]]" = weakref.WeakKeyDictionary()
_MOST_FRAMES = 64

_forms: "weakref.WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, Tokenizer]]" = weakref.WeakKeyDictionary()


def _control_of(tokenizer: "PreTrainedTokenizerBase", piece: str, begin: bool) -> Counter[int]:
    """The control tokens of a template's piece, which recurs in every prompt; or those that begin and end a text."""
    known = _frames.setdefault(tokenizer, {})
    if piece not in known:
        if len(known) >= _MOST_FRAMES:
            known.clear()
        control = control_ids(tokenizer)
        known[piece] = Counter(i for i in _encode(tokenizer, piece, begin) if i in control)
    return known[piece]


def _encode_renamed(tokenizer: "PreTrainedTokenizerBase", pieces: Sequence[Piece], begin: bool) -> list[int]:
    """`encode_pieces` by the form in which control tokens have secret names."""
    added = len(tokenizer.added_tokens_decoder)
    known = _forms.get(tokenizer)
    if known is None or known[0] != added:
        known = _forms[tokenizer] = (added, _renamed(tokenizer))
    text = "".join(piece if typed else _hidden(tokenizer, piece) for piece, typed in pieces)
    return list(known[1].encode(text, add_special_tokens=begin).ids)


def _renamed(tokenizer: "PreTrainedTokenizerBase") -> "Tokenizer":
    """The backend with secret names in place of control tokens, in its vocabulary as well: a Unigram model would find
    `</s>` there. Merges of control tokens, and those that make one, are left out.

    Raises:
        ExplorerError: the tokeniser has no backend whose settings can be read.
    """
    from tokenizers import Tokenizer

    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ExplorerError(
            "The text holds a control token of the model, and this kind of tokeniser (no tokenizer.json) cannot read "
            "it as plain text; leave it out, or save the tokeniser as a fast one."
        )
    control, added = control_ids(tokenizer), tokenizer.added_tokens_decoder
    names = {added[i].content: _secret(i) for i in control}
    settings = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
    for token in settings["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = settings["model"]
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(token, token): i for token, i in vocabulary.items()}
    elif isinstance(vocabulary, list):
        model["vocab"] = [[names.get(token, token), score] for token, score in vocabulary]
    if isinstance(model.get("unk_token"), str):
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    if model.get("merges"):
        model["merges"] = [merge for merge in model["merges"] if not _makes(merge, names)]
    renamed = Tokenizer.from_str(json.dumps(settings))
    if any(renamed.token_to_id(_secret(i)) != i for i in control):
        raise ExplorerError("The tokeniser's added tokens have other ids than it says; save it again.")
    return renamed


def _hidden(tokenizer: "PreTrainedTokenizerBase", piece: str) -> str:
    """A template's text with its control tokens under their secret names."""
    control, out, at = control_ids(tokenizer), [], 0
    found = tokenizer(piece, add_special_tokens=False, return_offsets_mapping=True)
    for i, (start, end) in zip(found["input_ids"], found["offset_mapping"], strict=True):
        if i in control and end > start:
            out += [piece[at:start], _secret(i)]
            at = end
    return "".join([*out, piece[at:]])


def _secret(token: int) -> str:
    return f"{_SECRET}{token}q"


def _makes(merge: "str | list[str]", names: dict[str, str]) -> bool:
    """Whether a merge is of, or makes, a control token."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left in names or right in names or left + right in names


def _is_word(text: str) -> bool:
    """Whether an added token is text: letters, digits and white space (SentencePiece's ▁ among it) alone."""
    return all(c.isalnum() or c.isspace() or c == "▁" for c in text)


def _encode(tokenizer: "PreTrainedTokenizerBase", text: str, begin: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=begin)["input_ids"])
