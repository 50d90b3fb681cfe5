"""The parts of the Mechanism page, in its order: each shows one study's table, finding and chart."""

from collections.abc import Callable
from dataclasses import dataclass

from explorer.runs.reader import Run
from explorer.ui.mechanism import depth_view, dose_view, leave_out_view
from explorer.ui.mechanism.kinds_view import show_kinds
from explorer.ui.mechanism.logit_attribution_view import show_first_tokens, show_logit_attribution
from explorer.ui.mechanism.logit_lens_view import show_logit_lens
from explorer.ui.mechanism.paths_view import show_paths
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
    Section("depth", "Where, and how deep?", depth_view.show),
    Section("paths", "Through attention or through MLPs?", show_paths),
    Section("logit_attribution", "How much is written straight to the logits?", show_logit_attribution),
    Section("logit_lens", "From which layer on does refusal lead?", show_logit_lens),
    Section("refusal_direction", "Along one direction?", show_refusal_direction),
    Section("dose", "How strongly?", dose_view.show),
    Section("leave_out", "Is a single neuron necessary?", leave_out_view.show),
    Section("kinds", "Are there kinds of neurons?", show_kinds),
    Section("first_tokens", "Which tokens begin a refusal?", show_first_tokens),
)
