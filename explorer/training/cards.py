"""An adapter's card: `card.json` beside its weights, with what it was trained on and what was measured of it.

card = read_card(folder)            # None where nobody has measured it
card.value("refusal", "M2", "redteam_eval")

`explorer.training.card_maker` measures. Knows no torch.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from explorer.errors import ExplorerError
from explorer.files import whole
from explorer.models.adapters import digest
from explorer.training.record import TrainingRecord

FILE = "card.json"
MEASURED = ["measure", "suite", "model", "n", "tokens", "value", "value_low", "value_high", "p"]
"""Columns of what was measured."""


@dataclass(frozen=True)
class Card:
    """What was measured of an adapter.

    Attributes:
        name: of the adapter.
        sha256: of the weights that were measured.
        command: what measured them.
        measured: columns `MEASURED`. measure is a scorer's name, "degenerate" (share of answers), "words" (of one),
            "implicit_accuracy", "implicit_margin" (nats) or "perplexity"; suite names what was read; model is "M1",
            "M2", "difference" (M2 − M1 over the same prompts) or "ratio" (M2 / M1); n prompts, pairs or windows, of
            which so many tokens were written or read at most; value with its 95 % interval; p of a difference
            (paired t-test).
    """

    name: str
    sha256: str
    command: str
    measured: pd.DataFrame

    def value(self, measure: str, model: str, suite: str | None = None) -> float:
        """One measured value, of the first suite where none is named; nan where it was not measured."""
        rows = self.measured[(self.measured["measure"] == measure) & (self.measured["model"] == model)]
        rows = rows if suite is None else rows[rows["suite"] == suite]
        return float("nan") if rows.empty else float(rows["value"].iloc[0])


def write_card(
    folder: Path, record: TrainingRecord, measured: pd.DataFrame, command: str, settings: Mapping[str, Any]
) -> Card:
    """Write an adapter's card into its folder.

    Args:
        folder: of the adapter.
        record: of its training.
        measured: see `Card`.
        command: what measured it.
        settings: how it was measured.
    """
    rows = [{name: _json(row[name]) for name in MEASURED} for row in measured.to_dict("records")]
    sha256 = digest(folder)
    card = {
        "name": folder.name,
        "sha256": sha256,
        "base": record.base,
        "start": record.start,
        "data": record.data,
        "examples": record.examples,
        "steps": record.steps,
        "seed": record.seed,
        "noise": record.noise,
        "averaged_checkpoints": record.averaged_checkpoints,
        "stages": record.stages,
        "command": command,
        "settings": dict(settings),
        "measured": rows,
    }
    with whole(folder / FILE) as half:
        half.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return Card(folder.name, sha256, command, measured[MEASURED])


def read_card(folder: Path) -> Card | None:
    """An adapter's card; None where it has none.

    Raises:
        ExplorerError: it is damaged, or was measured on other weights than lie beside it.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    again = f"measure it again: python -m explorer card {folder.name}"
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        measured = pd.DataFrame(raw["measured"])[MEASURED]
        measured = measured.astype(dict.fromkeys(("value", "value_low", "value_high", "p"), float))
        card = Card(str(raw["name"]), str(raw["sha256"]), str(raw["command"]), measured)
    except (ValueError, KeyError, TypeError) as problem:
        raise ExplorerError(f"{file} is damaged; {again}.") from problem
    if card.sha256 != digest(folder):
        raise ExplorerError(f"{file} was measured on other weights than lie beside it; {again}.")
    return card


def _json(cell: Any) -> Any:
    """A cell as JSON knows it: a number that is not defined is null."""
    return None if isinstance(cell, float) and math.isnan(cell) else cell
