"""A trace of an answer in frames and sentences: a row for each token, where the answers part, what moved a token."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from explorer.charts.labels import NBSP, signed
from explorer.charts.neuron import visible
from explorer.engine.traced import READERS
from explorer.neurons.tables import neuron_label
from explorer.report.addresses import neuron_address

if TYPE_CHECKING:
    from explorer.engine.traced import Trace

NAMES: Mapping[str, tuple[str, str, str]] = {
    "restore": ("M1", "patched M1", "M2"),
    "break": ("M2", "patched M2", "M1"),
}
"""Who reads, in the order of `engine.traced.READERS`, by direction."""


def trace_frame(trace: "Trace") -> pd.DataFrame:
    """A row for each token of the answer.

    Returns:
        Columns place (from 0), number (from 1), token; for each of `READERS` margin_… (in logits; nan where there is
        none), own_… (probability of the answer's token, 0 to 1) and likeliest_… (five tokens, in words); kl_to_m1 and
        kl_to_m2 (nats); chosen and other (tokens, see `engine.traced.MovedBy`), moved and direct (logits), reached.
    """
    texts = {i: visible(text) for i, text in trace.texts.items()}
    frame = pd.DataFrame(
        {
            "place": range(len(trace)),
            "number": range(1, len(trace) + 1),
            "token": [texts[int(i)] for i in trace.tokens],
            "kl_to_m1": trace.kl_to_m1,
            "kl_to_m2": trace.kl_to_m2,
            "chosen": [texts[int(i)] for i in trace.chosen],
            "other": [texts[int(i)] for i in trace.other],
            "moved": trace.moved,
            "direct": trace.direct,
            "reached": trace.reached,
        }
    )
    for row, reader in enumerate(READERS):
        frame[f"margin_{reader}"] = float("nan") if trace.margin is None else trace.margin[row]
        frame[f"own_{reader}"] = trace.own[row]
        frame[f"likeliest_{reader}"] = [
            ", ".join(f"{texts[int(i)]} {100 * p:.0f}{NBSP}%" for i, p in zip(ids, shares, strict=True))
            for ids, shares in zip(trace.top[row], trace.shares[row], strict=True)
        ]
    return frame


def parts_sentence(trace: "Trace", reader: int, direction: str = "restore") -> str:
    """Where the answers part.

    Args:
        trace: of an answer.
        reader: whose answer it is, a row of `READERS`.
        direction: which way activations are patched.
    """
    names = NAMES[direction]
    said = []
    for row in (r for r in range(len(READERS)) if r != reader):
        place = trace.parts(row)
        if place is None:
            said.append(f"{names[row]} would have written the same")
        else:
            there, here = (visible(trace.texts[int(i)]) for i in (trace.choices[row][place], trace.tokens[place]))
            said.append(f"{names[row]}'s answer parts from it at token {place + 1} (“{there}” for “{here}”)")
    sentence = f"The answer of {names[reader]}, {len(trace)} tokens: {'; '.join(said)}."
    again = trace.parts(reader)
    if again is not None:
        sentence += f" Read at once, {names[reader]} itself would go on otherwise at token {again + 1}: a near tie."
    return sentence


def moved_sentence(trace: "Trace", place: int, neurons: int, direction: str = "restore") -> str:
    """What moved the choice at a place of the answer, from 0.

    Args:
        trace: of an answer.
        place: which token.
        neurons: in the patched set.
        direction: which way activations are patched.
    """
    first, patched, _ = NAMES[direction]
    by = trace.moved_by(place)
    chosen, other = (visible(trace.texts[i]) for i in (by.chosen, by.other))
    differs = int(trace.choices[0][place]) == by.other
    would = f"{patched} would write “{chosen}”, {first} “{other}”"
    if not differs:
        would = f"{patched} and {first} would both write “{chosen}”, {first} with “{other}” second"
    sentence = (
        f"Token {place + 1}: {would}. Patching moves the logit of “{chosen}” over that of “{other}” by "
        f"{signed(by.moved, 2)}"
    )
    if not by.reached:
        why = "so all of it comes from earlier ones" if by.moved else "nor any before it"
        return f"{sentence}; the patch does not reach this position, {why}."
    return (
        f"{sentence}, of which the {neurons:,} patched neurons write {signed(by.direct, 2)} directly here; the rest "
        "comes through attention, later layers and the norm."
    )


def moved_frame(trace: "Trace", place: int) -> pd.DataFrame:
    """The neurons that moved a token most: columns neuron, layer, logits, look (an address)."""
    return pd.DataFrame(
        [
            (neuron_label(n.layer, n.neuron), n.layer, n.logits, neuron_address(n.layer, n.neuron))
            for n in trace.moved_by(place).neurons
        ],
        columns=["neuron", "layer", "logits", "look"],
    )
