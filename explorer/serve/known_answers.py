"""Greedy answers, kept: the same models, with the same neurons patched, answer a prompt as they did before.

known = KnownAnswers()
rest = known.recall(pair, "restore", asked)     # what of a request is still to be written, and what is known of it
known.keep(pair, rest.writers[column], ids, tokens)

No patch changes the models' own answers: whoever tries one share of neurons after the other at the same prompt waits
for the patched answers alone, and whoever asks what somebody has asked before waits for nothing.
"""

import hashlib
from array import array
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from explorer.serve.history import set_digest
from explorer.serve.lately import Lately, lately_of

if TYPE_CHECKING:
    from explorer.engine.joining import Asked
    from explorer.models.pair import Pair

MOST = 2_000
"""Answers that are kept."""


@dataclass(frozen=True)
class Rest:
    """What of a request is still to be written.

    Attributes:
        asked: without the columns that are known.
        columns: of the whole request, for each column that is left.
        writers: what writes each column that is left, see `writers_of`.
        known: token ids of the columns that are known, by their number in the whole request.
    """

    asked: "Asked"
    columns: Mapping[int, int]
    writers: Mapping[int, Hashable]
    known: Mapping[int, list[int]]


class KnownAnswers:
    """Greedy answers by what writes them and by prompt."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most

    def of(self, pair: "Pair", writer: Hashable, ids: Sequence[int], max_new_tokens: int) -> list[int] | None:
        """The token ids of an answer of at most so many tokens, its end token included; None where it is not known.

        Args:
            pair: the models, as they were loaded.
            writer: of `writers_of`.
            ids: token ids of the prompt, with all that was said before.
            max_new_tokens: a shorter answer is the beginning of a longer one.
        """
        tokens = self._of(pair).get(_key(writer, ids))
        if tokens is None or not (len(tokens) >= max_new_tokens or tokens[-1] in pair.stop_ids):
            return None
        return tokens[:max_new_tokens].tolist()

    def keep(self, pair: "Pair", writer: Hashable, ids: Sequence[int], tokens: list[int]) -> None:
        """Keep an answer that was written to its end, or to the length that was asked for."""
        kept, key = self._of(pair), _key(writer, ids)
        if len(tokens) >= len(kept.get(key) or ()):
            kept.put(key, array("i", tokens))

    def _of(self, pair: "Pair") -> "Lately[tuple[Hashable, bytes], array[int]]":
        return lately_of(pair, self, self._most)

    def recall(self, pair: "Pair", direction: str, asked: "Asked") -> Rest:
        """Take what is known out of a request; patches are numbered anew."""
        from explorer.engine.options import ALIGNED, UNPATCHED, Columns

        writers, limit = writers_of(asked, direction), asked.how.max_new_tokens
        known = {
            column: tokens
            for column, writer in writers.items()
            if (tokens := self.of(pair, writer, asked.ids_of(column), limit)) is not None
        }
        left = [column for column in range(len(asked.what.patches)) if column not in known]
        columns = dict(enumerate(left)) | {c: c for c in (UNPATCHED, ALIGNED) if c in writers and c not in known}
        what = Columns([asked.what.patches[c] for c in left], UNPATCHED in columns, ALIGNED in columns)
        own = {new: asked.own[old] for new, old in columns.items() if old in asked.own}
        return Rest(
            replace(asked, what=what, own=own), columns, {new: writers[old] for new, old in columns.items()}, known
        )


def writers_of(asked: "Asked", direction: str) -> dict[int, Hashable]:
    """What writes each column of a request: a model alone, by its number, or a patch, its set by its digest.

    Args:
        asked: the request.
        direction: "restore" or "break", in which M1 and M2 are exchanged.
    """
    from explorer.engine.options import ALIGNED, UNPATCHED

    models = {UNPATCHED: 2, ALIGNED: 1} if direction == "break" else {UNPATCHED: 1, ALIGNED: 2}
    patches = {
        c: (direction, patch.strength, patch.positions, set_digest(patch.neurons))
        for c, patch in enumerate(asked.what.as_patches)
    }
    return {column: patches[column] if column in patches else models[column] for column in asked.what.numbers}


def _key(writer: Hashable, ids: Sequence[int]) -> tuple[Hashable, bytes]:
    """A prompt goes by a digest: a long conversation would take more room than its answer."""
    return writer, hashlib.sha256(array("i", ids).tobytes()).digest()
