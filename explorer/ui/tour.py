"""A guided tour of five steps across pages; where it stands is in the address (`?tour=2`)."""

from dataclasses import dataclass, field

import streamlit as st

from explorer.ui.plain import plain

TOUR = "tour"
"""The name in the address."""


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        page: the page's file.
        title: a few words.
        text: what is to be seen there, in Markdown.
        query: the page's state.
    """

    page: str
    title: str
    text: str
    query: dict[str, str] = field(default_factory=dict)


STEPS = (
    Step(
        "pages/overview.py",
        "The finding",
        "Move the slider: with more of the top-ranked neurons patched, M1 refuses as M2 does. The map shows where they "
        "lie, the cards what as many random neurons do.",
    ),
    Step(
        "pages/patch_lab.py",
        "See it happen",
        "Press **Generate**: four answers to one prompt grow side by side. Then move the slider to 0.05 % and see when "
        "the refusal is lost; **Film strip** shows eight sizes at once.",
        {"preset": "Pick a lock", "fraction": "0.01"},
    ),
    Step(
        "pages/causal_effect.py",
        "Is it cause, and how sure is that?",
        "The curve beside its controls, with n and 95 % intervals, on every suite and in both directions.",
    ),
    Step(
        "pages/overlap.py",
        "Are these neurons for safety only?",
        "What the safety neurons share with those of other preferences, beside chance, and what the shared ones carry.",
    ),
    Step(
        "pages/mechanism.py",
        "How do they act?",
        "Where in the text, through attention or through MLPs, along which direction, how strongly.",
    ),
)


def show_tour_link() -> None:
    """The way into the tour."""
    query = STEPS[0].query | {TOUR: "1"}
    st.page_link(STEPS[0].page, label=f"Take the tour: {len(STEPS)} steps", icon=":material/tour:", query_params=query)


def show_tour() -> None:
    """Where the tour stands, with ways on and back; nothing where the address names no step."""
    asked = st.query_params.get(TOUR)
    if asked is None:
        return
    if asked not in {str(number) for number in range(1, len(STEPS) + 1)}:
        st.warning(
            plain(f"The tour has steps 1 to {len(STEPS)}; the address asks for “{asked[:40]}”."),
            icon=":material/link_off:",
        )
        return
    number = int(asked)
    step = STEPS[number - 1]
    with st.container(border=True, key="tour"):
        st.markdown(f"**Tour, {number} of {len(STEPS)}: {step.title}** {step.text}")
        with st.container(horizontal=True, vertical_alignment="center"):
            if number > 1:
                _link(number - 1, "Back", ":material/arrow_back:")
            if number < len(STEPS):
                _link(number + 1, f"Next: {STEPS[number].title}", ":material/arrow_forward:")
            st.button("End the tour", type="tertiary", key="tour-end", on_click=_end)


def _link(number: int, label: str, icon: str) -> None:
    step = STEPS[number - 1]
    st.page_link(step.page, label=label, icon=icon, query_params=step.query | {TOUR: str(number)})


def _end() -> None:
    st.query_params.pop(TOUR, None)
