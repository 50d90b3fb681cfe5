"""The session's last generations: kept, compared and downloaded."""

import streamlit as st

from explorer.charts.labels import percent
from explorer.report.diff import Piece, to_html
from explorer.report.gauge import signed
from explorer.serve.generation import SHOWN, Generation
from explorer.serve.history import Record, remember, to_csv, to_json
from explorer.ui.patch_lab.answer_cards import colour, heading
from explorer.ui.patch_lab.choice import how_words

_HISTORY = "patch-history"


def keep(generation: Generation) -> None:
    """Put a generation that is over into the history."""
    if not generation.active:
        st.session_state[_HISTORY] = remember(st.session_state.get(_HISTORY, []), generation)


def patched_words(direction: str) -> str:
    """Which model was patched, in words."""
    return "Patched M2, towards M1" if direction == "break" else "Patched M1"


def show_history() -> None:
    """The session's last generations, to compare and to download."""
    history: list[Record] = st.session_state.get(_HISTORY, [])
    if not history:
        return
    with st.expander(f"Last generations ({len(history)})", icon=":material/history:", key="patch-history-open"):
        with st.container(horizontal=True):
            for kind, mime, write in (("JSON", "application/json", to_json), ("CSV", "text/csv", to_csv)):
                st.download_button(
                    kind,
                    write(history),
                    f"patch-lab.{kind.lower()}",
                    mime,
                    icon=":material/download:",
                    on_click="ignore",
                    key=f"history-{kind}",
                )
        for record in history:
            _show_record(record)


def _show_record(record: Record) -> None:
    with st.container(border=True):
        st.text(record.prompt[:400], width="stretch")
        ending = " · stopped early" if record.stopped else ""
        how = "".join(f" · {word}" for word in how_words(record.strength, record.positions))
        size = f"{record.neurons:,} neurons ({percent(record.fraction)})"
        st.caption(f"{patched_words(record.direction)}: {size}, {record.set}{how}{ending}")
        names = [name for name in SHOWN if name in record.texts]
        for name, place in zip(names, st.columns(len(names)), strict=True):
            with place:
                scores = [f"cost {signed(record.costs[name])}", f"reward {signed(record.rewards[name])}"]
                refused = record.refused[name]
                said = [] if refused is None else ["refused" if refused else "not refused"]
                st.markdown(" · ".join([heading(name, record.direction), *scores, *said]))
                st.html(to_html([Piece(record.texts[name], False)], colour(name, record.direction)))
