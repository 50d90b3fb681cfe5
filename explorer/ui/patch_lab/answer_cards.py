"""The answers side by side: each with its verdict, its cost on a gauge, its text, and a way to copy all of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from explorer.charts.labels import signed
from explorer.charts.palette import ALIGNED, PATCHED, RANDOM, UNPATCHED
from explorer.report.diff import Piece, differing, first_difference, to_html
from explorer.report.gauge import gauge_html
from explorer.report.verdict_words import outcomes_sentence, shares_sentence
from explorer.scoring.refusal import RefusalScorer
from explorer.serve.generation import CONTROL, LIVE_SCORERS, SHOWN, Column, End
from explorer.serve.samples import GREEDY, Refusals
from explorer.ui.patch_lab.verdict_chip import outcome_of, show_chip
from explorer.ui.plain import plain

_TITLES = {
    "restore": {
        "unpatched": "Unpatched M1",
        "patched": "Patched M1",
        CONTROL: "Random neurons",
        "aligned": "Aligned M2",
    },
    "break": {
        "unpatched": "M2",
        "patched": "M2 without the neurons",
        CONTROL: "M2 without random ones",
        "aligned": "M1",
    },
}
_COLOURS = {
    "restore": {"unpatched": UNPATCHED, "patched": PATCHED, CONTROL: RANDOM, "aligned": ALIGNED},
    "break": {"unpatched": ALIGNED, "patched": PATCHED, CONTROL: RANDOM, "aligned": UNPATCHED},
}
_M1, _M2 = "M1 alone: the model that lacks safety alignment.", "M2 alone: the aligned model."
_MARKED = "Marked: words that the unpatched answer does not have at that place, the first of them underlined."
_AS_MANY = "as many random neurons of the same layers, none of them among the chosen ones"
_ABOUT = {
    "restore": {
        "unpatched": _M1,
        "patched": f"M1, with the chosen neurons' activations replaced by M2's at every step. {_MARKED}",
        CONTROL: f"The control: M1, with {_AS_MANY}, patched in the same way. {_MARKED}",
        "aligned": _M2,
    },
    "break": {
        "unpatched": _M2,
        "patched": f"M2, with the chosen neurons' activations replaced by M1's at every step. {_MARKED}",
        CONTROL: f"The control: M2, with {_AS_MANY}, replaced by M1's in the same way. {_MARKED}",
        "aligned": _M1,
    },
}
_COMPARED = ("patched", CONTROL)
"""The columns whose words are compared with the unpatched answer's."""

_SCORES = {
    "cost": "Log-odds that the answer is harmful: above 0 harmful, lower is safer.",
    "reward": "How helpful the answer is: higher is more helpful.",
    "refusal": RefusalScorer.description,
}
_SAMPLE = "patch-sample"
_LIVE = {"refusal": "refusal", **LIVE_SCORERS}


@dataclass(frozen=True)
class Shown:
    """What is shown.

    Attributes:
        prompt: what was asked.
        columns: the answers, by the names in `SHOWN`.
        max_new_tokens: length limit of an answer.
        active: whether there is more to come.
        hint: said in place of the patched answer while there is none.
        neurons: how many are patched; None where that is not known.
        direction: which way activations were patched: what the columns are (see `generation.Request`).
        others: the answers of the samples after the first, where there are several.
        decoding: how the answers were decoded, in words.
    """

    prompt: str
    columns: Mapping[str, Column]
    max_new_tokens: int
    active: bool = False
    hint: str = ""
    direction: str = "restore"
    neurons: int | None = None
    others: Sequence[Mapping[str, Column]] = ()
    decoding: str = GREEDY

    @property
    def samples(self) -> tuple[Mapping[str, Column], ...]:
        """The answers of each sample."""
        return (self.columns, *self.others)

    def refusals(self, name: str) -> Refusals:
        """How many of a column's samples refuse, of those that have ended."""
        ended = [one[name] for one in self.samples if one[name].end is not None]
        outcomes = [outcome_of(column.text, self.prompt, tokens=column.tokens, ended=True) for column in ended]
        return Refusals(outcomes.count("refused"), sum(map(bool, outcomes)))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that there are, in their order."""
        return tuple(name for name in SHOWN if name in self.columns)

    def outcome(self, name: str) -> str:
        """The verdict on an answer; "" where it is too early for one."""
        column = self.columns[name]
        return outcome_of(column.text, self.prompt, tokens=column.tokens, ended=column.end is not None)


def show_answers(shown: Shown, about: Mapping[str, str]) -> None:
    """The answers in columns, and in a sentence above them what each of them does.

    Args:
        shown: the answers.
        about: what the scores mean, of `scores_about`.
    """
    _say_outcomes(shown)
    shares = {name: shown.refusals(name).words for name in shown.names} if shown.others else {}
    shown = _chosen_sample(shown)
    height = min(460, max(200, 60 + 2 * shown.max_new_tokens + 20 * len(shown.names)))
    if not shown.active and not any(column.tokens for column in shown.columns.values()):
        height = 0
    for name, place in zip(shown.names, st.columns(len(shown.names), gap="small"), strict=True):
        with place.container(border=True, gap="small", key=f"answer-{name}"):
            _show_card(name, shown, height, about, shares.get(name, ""))


def shown_sample(samples: int) -> int:
    """Which of so many samples is shown, from 0."""
    return min(int(st.session_state.get(_SAMPLE) or 1), samples) - 1


def _chosen_sample(shown: Shown) -> Shown:
    """The answers of the sample that is paged to, as the only ones."""
    if not shown.others:
        return shown
    n = len(shown.samples)
    st.session_state[_SAMPLE] = shown_sample(n) + 1
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="samples"):
        st.caption("Sample", width="content")
        st.segmented_control(
            "Sample", range(1, n + 1), required=True, key=_SAMPLE, label_visibility="collapsed", width="content"
        )
    return replace(shown, columns=shown.samples[shown_sample(n)], others=())


def _say_outcomes(shown: Shown) -> None:
    """One sentence on the verdicts once all are there; a live region, so that screen readers are told."""
    if shown.others:
        refused = {name: shown.refusals(name) for name in shown.names}
        over = not shown.active and shown.neurons is not None and all(one.of for one in refused.values())
        counts = {name: (one.count, one.of) for name, one in refused.items()}
        sentence = shares_sentence(counts, shown.neurons or 0, shown.direction) if over else ""
        st.html(f'<div role="status" aria-live="polite" style="font-weight:600">{sentence}</div>')
        return
    outcomes = {} if shown.active else {name: shown.outcome(name) for name in shown.names}
    done = {name: outcome for name, outcome in outcomes.items() if outcome}
    sentence = outcomes_sentence(done, shown.neurons, shown.direction) if done and shown.neurons is not None else ""
    st.html(f'<div role="status" aria-live="polite" style="font-weight:600">{sentence}</div>')


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


def title(name: str, direction: str = "restore") -> str:
    """A column's title in words."""
    return _TITLES[direction][name]


def colour(name: str, direction: str = "restore") -> str:
    """The colour of a column: of the model that answers there."""
    return _COLOURS[direction][name]


def _show_card(name: str, shown: Shown, height: int, about: Mapping[str, str], share: str) -> None:
    column = shown.columns[name]
    st.markdown(heading(name, shown.direction), help=_ABOUT[shown.direction][name], width="content")
    if not height:  # nothing is written yet in any column
        if name == "patched":
            st.caption(shown.hint)
        return
    if share:
        st.caption(share, help="Of the samples that have ended; in brackets the 95 % interval (Wilson).")
    with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False):
        show_chip(shown.outcome(name))
        st.html(gauge_html(column.cost))
    pieces = _pieces(name, shown)
    with st.container(height=height, border=False, key=f"text-{name}"):
        if column.text:
            st.html(to_html(pieces, colour(name, shown.direction)))
    said = [_state(column, shown), _parts_from(name, pieces, shown)]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
        st.caption(
            f"reward {signed(column.reward)}" + "".join(f" · {word}" for word in said if word),
            help=f"{about['reward']} {about['cost']}",
            width="content",
        )
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
        st.html(to_html(_pieces(name, shown), colour(name, shown.direction)))
    st.caption("As plain text, to copy:")
    st.code(shown.columns[name].text, language=None, wrap_lines=True)


def _pieces(name: str, shown: Shown) -> list[Piece]:
    text = shown.columns[name].text
    return differing(shown.columns["unpatched"].text, text) if name in _COMPARED else [Piece(text, False)]


def _parts_from(name: str, pieces: list[Piece], shown: Shown) -> str:
    """From which word on an answer is another than the unpatched one; "" where nothing can be said."""
    if name not in _COMPARED or not shown.columns[name].text or not shown.columns["unpatched"].text:
        return ""
    first = first_difference(pieces)
    if first is None:
        return "" if shown.active else "says nothing that the unpatched answer does not"
    return f"differs from word {first[0]:,} on (“{plain(first[1])}”)"


def _state(column: Column, shown: Shown) -> str:
    match column.end:
        case None:
            return "writing…" if column.tokens else ""
        case End.TOKEN:
            return "ended"
        case End.LIMIT:
            return f"cut at {shown.max_new_tokens} tokens"
    return "stopped"
