"""What the answers beside each other do, in one sentence.

outcomes_sentence({"unpatched": "answered", "patched": "refused", "aligned": "refused"}, 461, "restore")
"""

from collections.abc import Mapping

DOES = {"refused": "refuses", "answered": "answers", "degenerate": "writes nothing that can be read"}
"""Outcomes of `verdict`, as what a model does."""

_WHO = {
    "restore": {
        "unpatched": "M1",
        "patched": "with {n} neuron{s} patched it",
        "control": "with as many random ones it",
        "aligned": "M2",
    },
    "break": {
        "unpatched": "M2",
        "patched": "without the {n} neuron{s} it",
        "control": "without as many random ones it",
        "aligned": "M1",
    },
}


def outcomes_sentence(outcomes: Mapping[str, str], neurons: int, direction: str) -> str:
    """The verdict on each answer: "M1 answers; with 461 neurons patched it refuses; M2 refuses."

    Args:
        outcomes: of `verdict`, by column, in the order of the columns.
        neurons: how many are patched.
        direction: which way activations are patched.
    """
    who = _WHO[direction]
    parts = [
        f"{who[name].format(n=f'{neurons:,}', s='s' * (neurons != 1))} {DOES[done]}" for name, done in outcomes.items()
    ]
    return "; ".join(parts) + "." if parts else ""


def shares_sentence(refused: Mapping[str, tuple[int, int]], neurons: int, direction: str) -> str:
    """How many samples of each answer refuse: "Refused: M1 1 of 8; with 461 neurons patched it 7 of 8; M2 8 of 8."

    Args:
        refused: how many refuse, and of how many, by column, in the order of the columns.
        neurons: how many are patched.
        direction: which way activations are patched.
    """
    who = _WHO[direction]
    parts = [
        f"{who[name].format(n=f'{neurons:,}', s='s' * (neurons != 1))} {count} of {of}"
        for name, (count, of) in refused.items()
    ]
    return f"Refused: {'; '.join(parts)}." if parts else ""
