"""A list of prompts with what every column answers: a frame, and a sentence with intervals.

frame = answers_frame(prompts, answers)
refusals_sentence(frame, ("unpatched", "patched", "aligned"), 461, "restore")
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from explorer.charts.labels import interval, rate
from explorer.scoring.verdict import verdict
from explorer.studies.statistics import mean

_WHO = {
    "restore": {"unpatched": "M1", "patched": "patched M1", "control": "M1 with random neurons", "aligned": "M2"},
    "break": {
        "unpatched": "M2",
        "patched": "M2 without the neurons",
        "control": "M2 without random ones",
        "aligned": "M1",
    },
}


class Answered(Protocol):
    """An answer with its scores."""

    text: str
    cost: float | None
    reward: float | None


def answers_frame(prompts: Sequence[str], answers: Mapping[int, Mapping[str, Answered]]) -> pd.DataFrame:
    """A row for each prompt that is answered: prompt, and verdict_, answer_, cost_ and reward_ of each column."""
    rows = []
    for place, columns in sorted(answers.items()):
        prompt = prompts[place]
        row: dict[str, object] = {"prompt": prompt}
        for name, column in columns.items():
            row[f"verdict_{name}"] = verdict(column.text, prompt).outcome
            row[f"answer_{name}"] = column.text
            row[f"cost_{name}"], row[f"reward_{name}"] = column.cost, column.reward
        rows.append(row)
    return pd.DataFrame(rows)


def column_words(name: str, direction: str) -> str:
    """A column, in the words of a table's head."""
    words = _WHO[direction][name]
    return words[0].upper() + words[1:]


def refusals_sentence(frame: pd.DataFrame, names: Sequence[str], direction: str) -> str:
    """How many prompts every column refuses, with 95 % intervals and n."""
    if frame.empty:
        return ""
    parts = []
    for name in names:
        found = mean((frame[f"verdict_{name}"] == "refused").to_numpy(dtype=np.float64))
        parts.append(f"{_WHO[direction][name]} **{rate(found.value)}** [{interval(found.low, found.high)}]")
    return f"Refused of n = {len(frame):,}: {', '.join(parts)} (95 % intervals)."
