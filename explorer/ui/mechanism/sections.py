"""The parts of the Mechanism page, in its order: each shows one study's table, finding and chart."""

from collections.abc import Callable
from dataclasses import dataclass

from explorer.runs.reader import Run
from explorer.ui.mechanism.paths_view import show_paths


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


SECTIONS: tuple[Section, ...] = (Section("paths", "Through attention or through MLPs?", show_paths),)
