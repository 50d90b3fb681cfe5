"""The browser's last generations: kept over reloads, compared two at a time, loaded again and downloaded."""

from collections.abc import Sequence

import streamlit as st

from explorer.charts.labels import percent, signed
from explorer.report.diff import Piece, differing, to_html
from explorer.serve.exports import to_csv, to_json
from explorer.serve.generation import Generation
from explorer.serve.histories import HISTORIES
from explorer.serve.history import Record
from explorer.ui.browser import browser_key
from explorer.ui.patch_lab.answer_cards import colour, heading
from explorer.ui.patch_lab.choice import how_words
from explorer.ui.patch_lab.controls import load_settings
from explorer.ui.patch_lab.conversation_view import set_turns
from explorer.ui.patch_lab.verdict_chip import show_chip
from explorer.ui.plain import plain

_COMPARED = "history-compared"


def keep(generation: Generation) -> None:
    """Put a generation that is over into the history."""
    if not generation.active:
        HISTORIES.add(browser_key(), generation)


def patched_words(direction: str) -> str:
    """Which model was patched, in words."""
    return "Patched M2, towards M1" if direction == "break" else "Patched M1"


def show_history(rankings: Sequence[str]) -> None:
    """The browser's last generations, to compare, to load again and to download.

    Args:
        rankings: the run's, the main one first; settings are loaded for them.
    """
    history = HISTORIES.of(browser_key())
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
            st.button(
                "Forget them",
                icon=":material/delete:",
                key="history-forget",
                help="They are kept for this browser alone, until the server ends or others have generated since.",
                on_click=lambda: HISTORIES.forget(browser_key()),
            )
        if len(history) > 1:
            _show_comparison(history)
        for kept in history:
            _show_record(kept, rankings)


def _show_comparison(history: Sequence[Record]) -> None:
    """The patched answers of two generations beside each other, what the second says otherwise marked."""
    by_id = {kept.id: kept for kept in history}
    number = {kept.id: len(history) - place for place, kept in enumerate(history)}
    chosen = st.multiselect(
        "Compare two",
        list(by_id),
        format_func=lambda name: f"{number[name]}: {_how(by_id[name])}",
        max_selections=2,
        key=_COMPARED,
        placeholder="Choose two generations",
    )
    if len(chosen) != 2:
        return
    first, second = (by_id[name] for name in chosen)
    for kept, reference, place in zip((first, second), ("", first.texts["patched"]), st.columns(2), strict=True):
        text = kept.texts["patched"]
        pieces = differing(reference, text) if reference else [Piece(text, False)]
        with place.container(border=True):
            st.text(kept.prompt[:200])
            st.caption(_how(kept))
            with st.container(horizontal=True, vertical_alignment="center"):
                show_chip(kept.verdicts.get("patched", ""), about=False)
                st.caption(f"cost {signed(kept.costs.get('patched'))} · reward {signed(kept.rewards.get('patched'))}")
            st.html(to_html(pieces, colour("patched", kept.direction)))
    st.caption("Marked: words that the first answer does not have at that place.")


def _how(kept: Record) -> str:
    """What was patched and how, in a line."""
    ending = " · stopped early" if kept.stopped else ""
    words = [*how_words(kept.strength, kept.positions), *([kept.decoding] if kept.sampling else [])]
    how = "".join(f" · {word}" for word in words)
    size = f"{kept.neurons:,} neurons ({percent(kept.fraction)})"
    return f"{patched_words(kept.direction)}: {size}, {kept.set}{how}{ending}"


def _load(kept: Record, rankings: Sequence[str]) -> None:
    """Set the controls and the conversation to those of a record."""
    load_settings(kept.settings, rankings)
    set_turns(kept.before, kept.own, kept.direction)


def _show_record(kept: Record, rankings: Sequence[str]) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.text(kept.prompt[:400], width="stretch")
            st.button(
                "Load settings",
                icon=":material/settings_backup_restore:",
                key=f"load-{kept.id}",
                type="tertiary",
                disabled=not kept.settings,
                on_click=_load,
                args=(kept, rankings),
            )
        st.caption(plain(_how(kept)))
        for name, place in zip(kept.names, st.columns(len(kept.names)), strict=True):
            with place:
                scores = [f"cost {signed(kept.costs[name])}", f"reward {signed(kept.rewards[name])}"]
                st.markdown(" · ".join([heading(name, kept.direction), *scores]))
                if len(kept.samples) > 1:
                    st.caption(f"{kept.refusals(name).words}; the first sample:")
                show_chip(kept.verdicts.get(name, ""), about=False)
                st.html(to_html([Piece(kept.texts[name], False)], colour(name, kept.direction)))
