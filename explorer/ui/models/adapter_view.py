"""What the Models page shows of the adapters that ship: a table of all, and the card of one."""

import streamlit as st

from explorer.charts.training import TITLES, curve_chart
from explorer.errors import ExplorerError
from explorer.report import adapter_cards
from explorer.training.cards import Card
from explorer.training.record import TrainingRecord
from explorer.ui.plain import show_problem
from explorer.ui.typeset import COUNT, P_VALUE, SHARE, Typeset, decimals
from explorer.ui.widgets import caption_and_csv, show_chart


def show_adapters() -> None:
    """The shipped adapters side by side, and one of them in detail."""
    try:
        adapters = adapter_cards.read_adapters()
    except ExplorerError as problem:
        show_problem(str(problem))
        return
    if not adapters:
        st.info("No adapter ships with this copy of the project.")
        return
    frame = adapter_cards.adapters_frame(list(adapters.values()))
    forms = {"Examples": COUNT, "Implicit-reward accuracy": SHARE, "Perplexity, M2 / M1": decimals(3)}
    numbers = Typeset(frame, forms)
    st.dataframe(
        numbers.data,
        hide_index=True,
        width="stretch",
        key="adapters",
        placeholder="",
        alt="The shipped adapters, what they were trained on and what they do",
        column_config={
            "Adapter": st.column_config.TextColumn(pinned=True),
            "Trained on": st.column_config.TextColumn(width="medium"),
            **{name: numbers.column(name) for name in forms},
            "n": numbers.column("n", help="Prompts of each suite."),
        },
    )
    caption_and_csv(
        "Each is also a pair of its name: the model without it, M1, against the model with it, M2. M1 → M2 in greedy "
        "answers to prompts that none was trained on; accuracy on pairs kept from its training. Blank: not measured.",
        "adapters.csv",
        lambda: frame,
        "adapters_csv",
    )
    name = st.selectbox("Card of", list(adapters), key="adapter", bind="query-params")
    _show_measured(name, adapters[name].card)
    _show_training(name, adapters[name].record)


def _show_measured(name: str, card: Card | None) -> None:
    """What was measured of an adapter, and the command that did it."""
    if card is None:
        st.info("This adapter has not been measured yet. This measures it:")
        st.code(f"EXPLORER_DATA=… python -m explorer card {name}", language="sh", wrap_lines=True)
        return
    measured = adapter_cards.measured_frame(card)
    forms = {"Value": decimals(3), "95 % from": decimals(3), "to": decimals(3), "p": P_VALUE}
    numbers = Typeset(measured, forms)
    st.dataframe(
        numbers.data,
        hide_index=True,
        width="stretch",
        key="measured",
        placeholder="–",
        alt=f"What was measured of the adapter {name}",
        column_config={name: numbers.column(name) for name in forms},
    )
    caption_and_csv(
        "95 % intervals over prompts, pairs or windows; p of a paired test. Measured on the weights with "
        f"SHA-256 {card.sha256[:12]}…, by:",
        f"{name}-card.csv",
        lambda: measured,
        "measured_csv",
    )
    st.code(card.command, language="sh", wrap_lines=True)


def _show_training(name: str, record: TrainingRecord) -> None:
    """The curves and settings of an adapter's training, and the command that repeats it."""
    curve = record.curve()
    shown = [measure for measure in TITLES if curve[measure].notna().any()]
    for column, measure in zip(st.columns(len(shown) or 1), shown, strict=False):
        with column:
            show_chart(curve_chart(curve, measure), f"{TITLES[measure]} of {name} against the training step")
    start = f"from {record.start}" if record.start else "from the model itself"
    averaged = f", mean of {record.averaged_checkpoints} checkpoints" if record.averaged_checkpoints else ""
    noise = f", noise {record.noise:g} on the vectors it began with" if record.noise else ""
    caption_and_csv(
        f"Trained {start}: {record.examples:,} examples, {record.steps:,} steps, seed {record.seed}{noise}{averaged}. "
        f"Data: {adapter_cards.trained_on(record)}.",
        f"{name}-training.csv",
        lambda: curve,
        "curve_csv",
    )
    with st.expander("Settings of the training"):
        st.dataframe(adapter_cards.settings_frame(record), hide_index=True, width="stretch", key="stages")
        command = adapter_cards.training_command(name)
        if command:
            st.code(command, language="sh", wrap_lines=True)
