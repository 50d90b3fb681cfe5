"""What a film strip shows: the verdict of every frame, and the share of neurons from which it is another.

outcomes = [verdict(text, prompt).outcome for text in texts]
flip_sentence(outcomes, fractions, sizes, "restore")
"""

from collections.abc import Sequence

from explorer.charts.labels import percent
from explorer.report.verdict_words import DOES

_WHO = {"restore": ("M1", "M2"), "break": ("M2", "M1")}


def flips_at(outcomes: Sequence[str]) -> int | None:
    """The first patched frame whose verdict is not the unpatched answer's; None where there is none.

    Args:
        outcomes: of `verdict`, unpatched first, then by growing fraction.
    """
    return next((i for i, outcome in enumerate(outcomes) if i and outcome != outcomes[0]), None)


def flip_sentence(
    outcomes: Sequence[str], fractions: Sequence[float], sizes: Sequence[int], aligned: str, direction: str
) -> str:
    """From how many patched neurons on the verdict is another.

    Args:
        outcomes: unpatched first, then at each fraction.
        fractions: of the patched frames, growing.
        sizes: the same in neurons.
        aligned: the verdict on the other model's answer.
        direction: which way activations are patched.
    """
    patched, giver = _WHO[direction]
    place = flips_at(outcomes)
    unpatched = f"{patched} alone {DOES[outcomes[0]]}"
    if place is None:
        return f"{unpatched}, and so it does at every share patched; {giver} {DOES[aligned]}."
    text = (
        f"{unpatched}; from **{percent(fractions[place - 1])}** on ({sizes[place - 1]:,} neurons) the patched model "
        f"{DOES[outcomes[place]]}; {giver} {DOES[aligned]}."
    )
    back = [fractions[i - 1] for i in range(place + 1, len(outcomes)) if outcomes[i] != outcomes[place]]
    if back:
        text += f" At {', '.join(percent(f) for f in back)} the verdict is another again."
    return text
