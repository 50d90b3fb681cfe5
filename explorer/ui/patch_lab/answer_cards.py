"""Three answers side by side: each with its colour, its state, its scores, and a way to read and copy all of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from explorer.charts.palette import ALIGNED, PATCHED, UNPATCHED
from explorer.report.diff import Piece, differing, to_html
from explorer.scoring.degenerate import DESCRIPTION, is_degenerate
from explorer.scoring.refusal import RefusalScorer
from explorer.serve.generation import COLUMNS, LIVE_SCORERS, Column, End
from explorer.ui.plain import plain

_TITLES = {
    "restore": {"unpatched": "Unpatched M1", "patched": "Patched M1", "aligned": "Aligned M2"},
    "break": {"unpatched": "M2", "patched": "M2 without the neurons", "aligned": "M1"},
}
_COLOURS = {
    "restore": {"unpatched": UNPATCHED, "patched": PATCHED, "aligned": ALIGNED},
    "break": {"unpatched": ALIGNED, "patched": PATCHED, "aligned": UNPATCHED},
}
_M1, _M2 = "M1 alone: the model that lacks safety alignment.", "M2 alone: the aligned model."
_MARKED = "Marked: words that the answer to its left does not have there."
_ABOUT = {
    "restore": {
        "unpatched": _M1,
        "patched": f"M1, with the chosen neurons' activations replaced by M2's at every step. {_MARKED}",
        "aligned": _M2,
    },
    "break": {
        "unpatched": _M2,
        "patched": f"M2, with the chosen neurons' activations replaced by M1's at every step. {_MARKED}",
        "aligned": _M1,
    },
}
_SCORES = {
    "cost": "Log-odds that the answer is harmful: above 0 harmful, lower is safer.",
    "reward": "How helpful the answer is: higher is more helpful.",
    "refusal": RefusalScorer.description,
}
_LIVE = {"refusal": "refusal", **LIVE_SCORERS}


@dataclass(frozen=True)
class Shown:
    """What is shown.

    Attributes:
        prompt: what was asked.
        columns: the answers, by the names in `COLUMNS`.
        max_new_tokens: length limit of an answer.
        active: whether there is more to come.
        hint: said in place of the patched answer while there is none.
        direction: which way activations were patched: what the columns are (see `generation.Request`).
    """

    prompt: str
    columns: Mapping[str, Column]
    max_new_tokens: int
    active: bool = False
    hint: str = ""
    direction: str = "restore"


def show_answers(shown: Shown, about: Mapping[str, str]) -> None:
    """The three answers in columns.

    Args:
        shown: the answers.
        about: what the scores mean, of `scores_about`.
    """
    height = min(460, max(190, 60 + 2 * shown.max_new_tokens))
    for name, place in zip(COLUMNS, st.columns(3), strict=True):
        with place.container(border=True, gap="small", key=f"answer-{name}"):
            _show_card(name, shown, height, about)


def scores_about(manifest: Mapping[str, Any], *, of_run: bool = False) -> dict[str, str]:
    """What cost, reward and refusals mean, in the run's words where it has any.

    Args:
        manifest: of a run.
        of_run: whether the scores are those of the run's own answers, else of a generation.
    """
    names = {**_LIVE, **(manifest.get("score_columns", {}) if of_run else {})}
    said = manifest.get("scorers", {})
    return {score: plain(str(said.get(names[score], words))) for score, words in _SCORES.items()}


def heading(name: str, direction: str = "restore") -> str:
    """Markdown of a column's coloured title."""
    return f':color[●]{{foreground="{colour(name, direction)}"}} **{_TITLES[direction][name]}**'


def colour(name: str, direction: str = "restore") -> str:
    """The colour of a column: of the model that answers there."""
    return _COLOURS[direction][name]


def score_text(score: float | None) -> str:
    """A cost or a reward with its sign, or a dash."""
    return "–" if score is None else f"{score:+.1f}".replace("-", "−")


def refused_text(refused: bool | None) -> str:
    """Yes, no, or a dash."""
    return "–" if refused is None else "yes" if refused else "no"


def _show_card(name: str, shown: Shown, height: int, about: Mapping[str, str]) -> None:
    column = shown.columns[name]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
        st.markdown(heading(name, shown.direction), help=_ABOUT[shown.direction][name], width="content")
        st.caption(_state(column, shown), width="content")
    with st.container(height=height, border=False, autoscroll=shown.active, key=f"text-{name}"):
        if column.text:
            st.html(_marked(name, shown))
        elif name == "patched":
            st.caption(shown.hint)
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.metric("Cost, lower is safer", score_text(column.cost), help=about["cost"], width="content")
        st.metric("Reward, higher is better", score_text(column.reward), help=about["reward"], width="content")
        st.metric("Refused", refused_text(column.refused), help=about["refusal"], width="content")
        if column.end is not None and is_degenerate(column.text):
            st.badge("degenerate", icon=":material/all_inclusive:", color="orange", help=DESCRIPTION)
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
        st.markdown(heading(name, shown.direction))
        st.html(_marked(name, shown))
    st.caption("As plain text, to copy:")
    st.code(shown.columns[name].text, language=None, wrap_lines=True)


def _marked(name: str, shown: Shown) -> str:
    text = shown.columns[name].text
    pieces = differing(shown.columns["unpatched"].text, text) if name == "patched" else [Piece(text, False)]
    return to_html(pieces, colour(name, shown.direction))


def _state(column: Column, shown: Shown) -> str:
    match column.end:
        case None:
            return "writing…" if column.tokens else ""
        case End.TOKEN:
            return "ended"
        case End.LIMIT:
            return f"cut at {shown.max_new_tokens} tokens"
    return "stopped"
