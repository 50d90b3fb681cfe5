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
    """From how many patched neurons on the verdict is another; where it flips several times, what it is where.

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
    starts = [i for i in range(1, len(outcomes)) if i == 1 or outcomes[i] != outcomes[i - 1]]
    if starts[-1] <= place:
        return text
    runs = zip(starts, [*starts[1:], len(outcomes)], strict=True)
    parts = [f"{DOES[outcomes[first]]} {_span(fractions[first - 1 : end - 1])}" for first, end in runs]
    return (
        f"{unpatched}. The verdict flips {len(starts) - (place > 1)} times: the patched model "
        f"{', '.join(parts[:-1])} and {parts[-1]}; {giver} {DOES[aligned]}."
    )


def _span(fractions: Sequence[float]) -> str:
    """Neighbouring frames in words: "at 1 %", "from 1 % to 5 %"."""
    first, last = percent(fractions[0]), percent(fractions[-1])
    return f"at **{first}**" if len(fractions) == 1 else f"from **{first}** to **{last}**"
