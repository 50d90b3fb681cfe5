"""The Patch lab's trace: what the patch does, token by token, to an answer that all three models read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import altair as alt
import streamlit as st

from explorer.charts.trace import PLACE, Hover, Line, trace_chart
from explorer.engine.token_margin import TokenMargin
from explorer.engine.traced import READERS
from explorer.neurons.patch import Patch
from explorer.report.trace import NAMES, moved_frame, moved_sentence, parts_sentence, trace_frame
from explorer.runs.reader import Run
from explorer.serve.generation import Column, End, Generation
from explorer.serve.pairs import PairService
from explorer.serve.samples import GREEDY
from explorer.serve.tracing import TraceRequest, Tracing
from explorer.studies.first_tokens import margin_of
from explorer.ui.current_run import table
from explorer.ui.patch_lab.answer_cards import Shown, colour
from explorer.ui.plain import plain, show_problem
from explorer.ui.shared_pairs import visitor
from explorer.ui.study_page import has_table
from explorer.ui.typeset import Typeset, signed
from explorer.ui.waiting import look_every, shows_waiting
from explorer.ui.widgets import Unchecked, caption_and_csv

if TYPE_CHECKING:
    import pandas as pd

    from explorer.engine.traced import Trace

_KEPT, _WHOSE, _WHICH = "patch-traces", "trace-whose", "trace-sample"
_NO_MARGIN = (
    "The margin of refusal over compliance is left out: the run holds no table `first_tokens`, which says which tokens "
    "begin refusals."
)


@dataclass(frozen=True)
class Answers:
    """The three answers that are shown, and how the patched one came about.

    Attributes:
        key: tells these answers from any others.
        prompt: that was answered.
        samples: of each sample the answers, by the names of `READERS`.
        patch: how the patched one was written.
        direction: which way.
        said: what was said before the prompt, by column.
        sampled: whether tokens were sampled, so that an answer is no model's greedy one.
    """

    key: str
    prompt: str
    samples: Sequence[Mapping[str, Column]]
    patch: Patch
    direction: str
    said: Mapping[str, tuple[tuple[str, str], ...]]
    sampled: bool


@dataclass
class _Traces:
    """The traces of the answers that are shown, by whose answer of which sample was read; those of earlier answers are
    forgotten."""

    key: str
    by_reader: dict[tuple[str, int], Tracing] = field(default_factory=dict)


def of_generation(generation: Generation | None) -> Answers | None:
    """The answers of a generation that is over; None where there is none."""
    if generation is None or generation.active or not generation.tokens:
        return None
    asked = generation.request
    patch = Patch(asked.neurons, asked.strength, asked.positions)
    said = {name: asked.before_in(name) for name in READERS}
    sampled = asked.sampling is not None
    return Answers(generation.id, asked.prompt, generation.samples, patch, asked.direction, said, sampled)


def of_known(
    run: Run, shown: Shown | None, patch: Patch | None, said: Mapping[str, tuple[tuple[str, str], ...]]
) -> Answers | None:
    """Answers that come with a run, a link or a film strip; None where none are shown.

    Args:
        run: the run.
        shown: the answers.
        patch: how the patched one was written.
        said: what was said before the prompt, by column.
    """
    if shown is None or patch is None:
        return None
    set_digest = hash(patch.neurons.flat().tobytes())
    which = (run.path, shown.prompt, shown.direction, set_digest, patch.strength, patch.positions, shown.max_new_tokens)
    key = repr((*which, shown.decoding, sorted(said.items())))
    sampled = shown.decoding != GREEDY
    return Answers(key, shown.prompt, shown.samples, patch, shown.direction, said, sampled)


def show_trace(service: PairService, run: Run, answers: Answers | None) -> None:
    """Offer a trace of the answers that are shown, follow it, and show it.

    Args:
        service: where it runs.
        run: that holds the margin's tokens.
        answers: None while there are none: then what was traced before is forgotten.
    """
    traces: _Traces | None = st.session_state.get(_KEPT)
    if traces is not None and (answers is None or traces.key != answers.key):
        for tracing in traces.by_reader.values():
            tracing.drop()
        del st.session_state[_KEPT]
    if answers is None:
        return
    every = _look_every(_traces_of(answers))
    with st.expander("Trace: what the patch does, token by token", icon=":material/timeline:", key="trace-open"):
        st.fragment(_draw, run_every=every)(service, run, answers)


def _draw(service: PairService, run: Run, answers: Answers) -> None:
    names = dict(zip(READERS, NAMES[answers.direction], strict=True))
    several = len(answers.samples)
    sample = min(int(st.session_state.get(_WHICH) or 1), several) - 1
    written = [name for name in READERS if answers.samples[sample][name].tokens]
    if not written:
        return
    if st.session_state.get(_WHOSE) not in written:
        st.session_state[_WHOSE] = "patched" if "patched" in written else written[0]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        whose = st.segmented_control(
            "Answer that is read",
            written,
            format_func=lambda name: f"of {names[name]}",
            required=True,
            key=_WHOSE,
            help="All three models read the same answer, token by token, whoever wrote it.",
        )
        if several > 1:
            st.session_state[_WHICH] = sample + 1
            sample = int(st.number_input("Sample", 1, several, key=_WHICH, width=110)) - 1
        traces = _traces_of(answers)
        before = _look_every(traces)
        for one in traces.by_reader.values():
            one.drain()  # also those that are not shown: they would count as left
        tracing = traces.by_reader.get((str(whose), sample))
        if st.button(
            "Trace this answer",
            icon=":material/play_arrow:",
            key="trace-start",
            disabled=tracing is not None and not tracing.problem and not tracing.notice,
        ):
            _start(service, run, answers, str(whose), sample)
            st.rerun()
    if before != _look_every(traces):
        st.rerun()  # it is to be looked at more often from now on, or no more
    if tracing is None:
        st.caption(
            f"{names['unpatched']}, {names['patched']} and {names['aligned']} read the answer once each: how likely "
            "each makes refusing, how far the patched model is from the other two, and which neurons moved each token."
            + (f" All read it behind {_behind(answers, str(whose))}." if answers.said[str(whose)] else "")
        )
        return
    if tracing.problem:
        show_problem(tracing.problem)
    elif tracing.notice:
        st.warning(plain(tracing.notice), icon=":material/timer_off:")
    elif tracing.result is not None:
        _show(tracing.result, tracing, run, answers, str(whose))
    else:
        _show_status(service, tracing)


def _behind(answers: Answers, whose: str) -> str:
    """What stands before the prompt in a trace, in words."""
    own = any(answers.said[name] != answers.said[whose] for name in READERS)
    return "the conversation of its own column" if own else "the same conversation"


def _traces_of(answers: Answers) -> _Traces:
    """The session's traces of these answers; `show_trace` has forgotten those of others."""
    traces: _Traces = st.session_state.setdefault(_KEPT, _Traces(answers.key))
    return traces


def _look_every(traces: _Traces) -> float | None:
    """Seconds between two looks at traces that go on; None where none does."""
    return min((look_every(tracing) for tracing in traces.by_reader.values() if tracing.active), default=None)


def _start(service: PairService, run: Run, answers: Answers, whose: str, sample: int) -> None:
    column = answers.samples[sample][whose]
    request = TraceRequest(
        answers.prompt,
        answers.patch,
        tuple(column.ids),
        column.text,
        column.end is End.TOKEN,
        answers.direction,
        run_margin(run),
        answers.said[whose],
    )
    _traces_of(answers).by_reader[whose, sample] = tracing = Tracing(request)
    service.worker.submit(tracing, visitor())


def run_margin(run: Run) -> TokenMargin | None:
    """The run's margin of refusal over compliance; None where it was built without."""
    if not has_table(run, "first_tokens"):
        return None
    return margin_of(table(run, "first_tokens"))


def _show_status(service: PairService, tracing: Tracing) -> None:
    if not shows_waiting(service, tracing):
        st.progress(tracing.share, text="The models read the answer")


def _show(trace: "Trace", tracing: Tracing, run: Run, answers: Answers, whose: str) -> None:
    direction, key = answers.direction, f"trace-place-{tracing.id}"
    places = {row: trace.parts(row) for row in range(len(READERS)) if READERS[row] != whose}
    if answers.sampled:
        st.markdown("This answer was sampled, so where greedy answers would part from it is not marked.")
        places.clear()
    else:
        st.markdown(plain(parts_sentence(trace, READERS.index(whose), direction)))
    if key not in st.session_state:
        st.session_state[key] = next((place for place in places.values() if place is not None), 0)
    frame = trace_frame(trace)
    _show_charts(trace, frame, places, key, direction)
    about = (
        "Each token stands where it is predicted. KL(patched ‖ other) of the next token, in nats: 0 where both would "
        "go on alike. "
        + ("" if answers.sampled else "Dashed: where the other models' answers part from this one. ")
        + "Click a token for the neurons that moved it."
    )
    if trace.margin is not None:
        about = f"Margin: tokens that begin refusals over tokens that begin compliance, as chosen by the run. {about}"
    caption_and_csv(about, f"{run.name}-trace-{whose}.csv", lambda: frame, "trace_csv")
    if trace.margin is None:
        st.caption(_NO_MARGIN)
    _show_moved(trace, frame, answers, key)


def _show_charts(
    trace: "Trace", frame: "pd.DataFrame", places: Mapping[int, int | None], key: str, direction: str
) -> None:
    import pandas as pd

    names = NAMES[direction]
    parts = pd.DataFrame(
        [(place, f"{names[row]} parts") for row, place in places.items() if place is not None],
        columns=["place", "label"],
    )
    parts = parts.groupby("place", as_index=False).agg(label=("label", lambda said: ", ".join(said)))
    colours = [colour(name, direction) for name in READERS]
    margins = [
        Line(f"margin_{reader}", name, shade) for reader, name, shade in zip(READERS, names, colours, strict=True)
    ]
    kls = [Line(f"kl_to_m{i}", f"{names[1]} ‖ {names[row]}", colours[row]) for i, row in ((1, 0), (2, 2))]
    hover = [
        *([] if trace.margin is None else [Hover(line.column, f"Margin, {line.name}", "+.2f") for line in margins]),
        *(Hover(line.column, f"KL {line.name}", ".3f") for line in kls),
        *(Hover(f"likeliest_{reader}", f"Likeliest, {name}") for reader, name in zip(READERS, names, strict=True)),
    ]
    drawn = {"KL, nats": (kls, "How far the patched model is from the other two at every token, as KL divergence")}
    if trace.margin is not None:
        said = "The margin of refusal over compliance at every token, in M1, patched and M2"
        drawn = {"Margin, logits": (margins, said), **drawn}
    for number, (title, (lines, alt_text)) in enumerate(drawn.items()):
        chart = trace_chart(frame, lines, title, hover, parts, st.session_state[key])
        at = f"{key}-chart-{number}"
        st.altair_chart(
            cast(alt.Chart, Unchecked(chart)),
            key=at,
            on_select=lambda at=at: _take_place(at, key),
            selection_mode=PLACE,
            width="stretch",
            alt=alt_text,
        )


def _take_place(chart: str, key: str) -> None:
    """Put the clicked token into the box."""
    clicked = st.session_state[chart].selection.get(PLACE) or []
    if clicked:
        st.session_state[key] = int(clicked[0]["place"])


def _show_moved(trace: "Trace", frame: "pd.DataFrame", answers: Answers, key: str) -> None:
    tokens = frame["token"].tolist()
    place = st.selectbox(
        "Token",
        range(len(trace)),
        format_func=lambda i: f"{i + 1}: {tokens[i]}",
        key=key,
        width=260,
        help="Or click it in a chart.",
    )
    st.markdown(plain(moved_sentence(trace, place, len(answers.patch.neurons), answers.direction)))
    if not trace.reached[place]:
        return
    rows = moved_frame(trace, place)
    numbers = Typeset(rows, {"logits": signed(3)})
    st.dataframe(
        numbers.data,
        hide_index=True,
        height=320,
        column_config={
            "neuron": "Neuron",
            "layer": numbers.column("layer", "Layer"),
            "logits": numbers.column(
                "logits",
                "Adds, logits",
                help="Change of its activation × its output column × the unembedding, with the norms held as in the "
                "unpatched model.",
            ),
            "look": st.column_config.LinkColumn("Detail", display_text="Open"),
        },
        alt="The patched neurons that moved this token most",
    )
    st.caption(
        f"The {len(rows)} of {len(answers.patch.neurons):,} patched neurons that move this choice most by what they "
        "write at this position; below 0 they work against it."
    )
