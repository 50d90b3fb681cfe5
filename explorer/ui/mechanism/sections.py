"""The parts of the Mechanism page, in its order: each shows one study's table, finding and chart."""

from collections.abc import Callable
from dataclasses import dataclass

from explorer.runs.reader import Run
from explorer.ui.mechanism import depth_view, dose_view, leave_out_view


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
    Section("depth", "Where, and how deep?", depth_view.show),
    Section("dose", "How strongly?", dose_view.show),
    Section("leave_out", "Is a single neuron necessary?", leave_out_view.show),
)
