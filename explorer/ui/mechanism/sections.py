"""The parts of the Mechanism page, in its order: each shows one study's table, finding and chart."""

from collections.abc import Callable
from dataclasses import dataclass

from explorer.runs.reader import Run
from explorer.ui.mechanism.kinds_view import show_kinds
from explorer.ui.mechanism.refusal_direction_view import show_refusal_direction


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        table: of the run, that it needs.
        title: on the page's control: a short question.
        show: draws it, given the run; called only where the run holds the table.
    """

    table: str
    title: str
    show: Callable[[Run], None]


SECTIONS: tuple[Section, ...] = (
    Section("refusal_direction", "Along the refusal direction?", show_refusal_direction),
    Section("kinds", "Are there kinds of neurons?", show_kinds),
)
