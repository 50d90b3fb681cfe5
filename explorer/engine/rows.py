"""Which rows a decoding batch holds, and how they change places when some end and others part."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Context(NamedTuple):
    """A prompt and the tokens written after it: all that M2's activations depend on."""

    prompt: int
    written: tuple[int, ...] = ()


@dataclass
class Row:
    """One column of one prompt, what it has written, and how much of that in the last step."""

    column: int
    prompt: int
    written: tuple[int, ...] = ()
    fresh: int = 0

    @property
    def context(self) -> Context:
        """What it has come to."""
        return Context(self.prompt, self.written)


def accepted(best: Sequence[int], draft: Sequence[int]) -> Sequence[int]:
    """The tokens that a step writes: a model's own choices, up to the first that the draft has otherwise.

    Args:
        best: what comes next after the last token and after each draft token, if all before it are right.
        draft: one token fewer.
    """
    right = next((i for i, (a, b) in enumerate(zip(best, draft, strict=False)) if a != b), len(draft))
    return best[: right + 1]


def arrange(sections: Sequence[Sequence[int]]) -> list[list[int]]:
    """In which order the members of each section lie, one section behind the other, so that few rows of a batch move.

    Args:
        sections: for each section, the rows of the batch that its members go on from.

    Returns:
        For each section, the indices of its members in their new order.
    """
    orders, start = [], 0
    for section in sections:
        places = range(start, start + len(section))
        stays = {row: member for member, row in enumerate(section) if row in places}
        moves = iter(sorted(set(range(len(section))) - set(stays.values())))
        orders.append([stays[place] if place in stays else next(moves) for place in places])
        start += len(section)
    return orders
