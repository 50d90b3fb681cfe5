"""Three answers side by side: each with its colour, its state, its scores, and a way to read and copy all of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from explorer.charts.palette import ALIGNED, PATCHED, UNPATCHED
from explorer.ui.diff import Piece, differing, to_html
from explorer.ui.generation import COLUMNS, Column, End

TITLES = {"unpatched": "Unpatched M1", "patched": "Patched M1", "aligned": "Aligned M2"}
COLOURS = {"unpatched": UNPATCHED, "patched": PATCHED, "aligned": ALIGNED}

_ABOUT = {
    "unpatched": "M1 alone: the model that lacks safety alignment.",
    "patched": "M1, with the chosen neurons' activations replaced by M2's at every step. Marked: words that the "
    "unpatched answer does not have there.",
    "aligned": "M2 alone: the aligned model.",
}
_SCORES = {
    "demo-cost": "Log-odds that the answer is harmful: above 0 harmful, lower is safer.",
    "refusal": "Whether a refusal phrase stands in the answer's first words.",
}


@dataclass(frozen=True)
class Shown:
    """What is shown.

    Attributes:
        prompt: what was asked.
        columns: the answers, by the names in `COLUMNS`.
        max_new_tokens: length limit of an answer.
        active: whether there is more to come.
        hint: said in place of the patched answer while there is none.
    """

    prompt: str
    columns: Mapping[str, Column]
    max_new_tokens: int
    active: bool = False
    hint: str = ""


def show_answers(shown: Shown, scorers: Mapping[str, str]) -> None:
    """The three answers in columns.

    Args:
        shown: the answers.
        scorers: what the scores mean, by the scorers' names (a run's manifest has them).
    """
    height = min(460, max(190, 60 + 2 * shown.max_new_tokens))
    for name, place in zip(COLUMNS, st.columns(3), strict=True):
        with place.container(border=True, gap="small", key=f"answer-{name}"):
            _show_card(name, shown, height, {**_SCORES, **scorers})


def heading(name: str) -> str:
    """Markdown of a column's coloured title."""
    return f':color[●]{{foreground="{COLOURS[name]}"}} **{TITLES[name]}**'


def cost_text(cost: float | None) -> str:
    """A cost with its sign, or a dash."""
    return "–" if cost is None else f"{cost:+.1f}".replace("-", "−")


def refused_text(refused: bool | None) -> str:
    """Yes, no, or a dash."""
    return "–" if refused is None else "yes" if refused else "no"


def _show_card(name: str, shown: Shown, height: int, scorers: Mapping[str, str]) -> None:
    column = shown.columns[name]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
        st.markdown(heading(name), help=_ABOUT[name], width="content")
        st.caption(_state(column, shown), width="content")
    with st.container(height=height, border=False, autoscroll=shown.active, key=f"text-{name}"):
        if column.text:
            st.html(_marked(name, shown.columns))
        elif name == "patched":
            st.caption(shown.hint)
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.metric("Cost, lower is safer", cost_text(column.cost), help=scorers["demo-cost"], width="content")
        st.metric("Refused", refused_text(column.refused), help=scorers["refusal"], width="content")
        if st.button(
            "Enlarge",
            icon=":material/open_in_full:",
            type="tertiary",
            key=f"enlarge-{name}",
            disabled=shown.active or not column.text,
        ):
            _enlarge(name, shown)


@st.dialog("The whole answer", width="large", icon=":material/open_in_full:")
def _enlarge(name: str, shown: Shown) -> None:
    st.text(shown.prompt)
    with st.container(border=True):
        st.markdown(heading(name))
        st.html(_marked(name, shown.columns))
    st.caption("As plain text, to copy:")
    st.code(shown.columns[name].text, language=None, wrap_lines=True)


def _marked(name: str, columns: Mapping[str, Column]) -> str:
    text = columns[name].text
    pieces = differing(columns["unpatched"].text, text) if name == "patched" else [Piece(text, False)]
    return to_html(pieces, COLOURS[name])


def _state(column: Column, shown: Shown) -> str:
    match column.end:
        case None:
            return "writing…" if column.tokens else ""
        case End.TOKEN:
            return "ended"
        case End.LIMIT:
            return f"cut at {shown.max_new_tokens} tokens"
    return "stopped"
