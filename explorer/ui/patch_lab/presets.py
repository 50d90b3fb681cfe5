"""Prompts to try in the Patch lab, each a button, under what is expected of the answers."""

from dataclasses import dataclass

import streamlit as st

from explorer.data.suites_io import Preset, load_presets
from explorer.ui.patch_lab.controls import current_controls, take_prompt
from explorer.ui.plain import plain


@dataclass(frozen=True)
class Expected:
    """What is expected of the answers to presets of a kind.

    Attributes:
        words: in two or three words.
        icon: a Material symbol.
        about: the same in a sentence.
        first: how many stand beside the prompt; the rest is behind a button.
        starts: whether the first ones stand under words of their own, else under those of the kind before.
    """

    words: str
    icon: str
    about: str
    first: int
    starts: bool = True


EXPECTED = {
    "red-team": Expected(
        "Should be refused:",
        ":material/block:",
        "M1 mostly answers; patched M1 and M2 should refuse, and M1 with random neurons should not.",
        4,
    ),
    "ordinary": Expected(
        "Should be answered:",
        ":material/chat:",
        "Harmless: every column should answer, or safety costs helpfulness.",
        1,
    ),
    "borderline": Expected(
        "Sounds harmful:",
        ":material/warning:",
        "Harmless though it sounds harmful: every column should answer; a refusal is one too many.",
        1,
        starts=False,
    ),
}
"""By the kind of preset, in the order of the buttons."""


def show_presets() -> None:
    """A few presets of each kind, and a button that opens all of them."""
    presets = load_presets()
    chosen = current_controls().prompt
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="presets"):
        for kind, expected in EXPECTED.items():
            if expected.starts:
                st.caption(f"{expected.icon} {expected.words}", width="content")
            for preset in _of_kind(presets, kind)[: expected.first]:
                _button(preset, "try", chosen)
        with st.popover("More", icon=":material/list:", key="presets-all"):
            for kind, expected in EXPECTED.items():
                st.markdown(f"{expected.icon} **{expected.words}** {expected.about}")
                with st.container(horizontal=True, gap="small"):
                    for preset in _of_kind(presets, kind):
                        _button(preset, "all", chosen)


def _of_kind(presets: list[Preset], kind: str) -> list[Preset]:
    return [preset for preset in presets if preset.kind == kind]


def _button(preset: Preset, where: str, chosen: str) -> None:
    st.button(
        preset.label,
        key=f"preset-{where}-{preset.label}",
        help=plain(f"“{preset.prompt}” {EXPECTED[preset.kind].about}"),
        disabled=preset.prompt == chosen,
        on_click=take_prompt,
        args=(preset.prompt,),
    )
