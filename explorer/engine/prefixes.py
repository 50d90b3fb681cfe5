"""What the prompts of a pair's visitors begin with, read once: the chat template's head and its system message.

    prefix = prefix_for(pair, ids, what)            # None where there is nothing to go on from
    DecodeBatch(pair, [ids], what.as_patches, columns, how, prefix)

Of the demo pair that is 24 of about 45 tokens. Patched rows of different sets differ from the first layer on, so that
what is kept is of one request's columns; presets and fractions that many visitors choose are found there.
"""

from collections import OrderedDict
from collections.abc import Hashable

from explorer.engine.batch import DecodeBatch, SharedPrefix, writers_of
from explorer.engine.options import Columns
from explorer.engine.replacing import reach_of
from explorer.errors import ExplorerError
from explorer.models.pair import Pair
from explorer.neurons.patch import Patch

KEPT = 8
"""Columns whose prefix is kept, those used last: of the demo pair 1.1 MB a row, so about 25 MB."""

SHORTEST = 8
"""Tokens; to read fewer again costs less than to copy them."""


class _Prefixes:
    """The prefixes of a pair; whoever uses them holds the pair's lock."""

    def __init__(self, pair: Pair) -> None:
        self.head = _head_of(pair)
        self.kept: OrderedDict[Hashable, SharedPrefix | None] = OrderedDict()

    def of(self, pair: Pair, what: Columns) -> SharedPrefix | None:
        """The head, read by these columns."""
        key = (*what.numbers, *(_key(patch) for patch in what.as_patches))
        if key not in self.kept:
            columns = sorted(set(writers_of(what, pair).values()))
            batch = DecodeBatch(pair, [self.head], what.as_patches, columns)
            can = all(one.can_branch for one in batch.passes)
            if can:
                batch.read()
            self.kept[key] = SharedPrefix(self.head, batch) if can else None
            if len(self.kept) > KEPT:
                self.kept.popitem(last=False)
        self.kept.move_to_end(key)
        return self.kept[key]


def prefix_for(pair: Pair, ids: list[int], what: Columns) -> SharedPrefix | None:
    """What a prompt begins with, as these columns have read it; None where it begins otherwise or nothing can go on.

    Args:
        pair: the models; they keep what was read for as long as they live.
        ids: token ids of the prompt.
        what: the columns.
    """
    with pair.lock:
        found = pair.kept.get(_Prefixes)
        if not isinstance(found, _Prefixes):
            found = pair.kept[_Prefixes] = _Prefixes(pair)
        # Something is left to read, and all that a patch tells from the tokens before it.
        longest = len(ids) - reach_of(what.as_patches)
        if not SHORTEST <= len(found.head) <= longest or ids[: len(found.head)] != found.head:
            return None
        return found.of(pair, what)


def _head_of(pair: Pair) -> list[int]:
    """What the token ids of every prompt without a system message of its own begin with."""
    try:
        one, other = pair.encode("a"), pair.encode("0")
    except ExplorerError:  # no template, or one that takes no such prompt
        return []
    return one[: next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)]


def _key(patch: Patch) -> Hashable:
    chosen = patch.neurons
    return patch.strength, patch.positions, chosen.layers.tobytes(), chosen.neurons.tobytes()
