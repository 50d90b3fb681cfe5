"""How far scorers agree with people and readers: what `python -m explorer agreement` writes, and its one reader."""

import json
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from explorer import paths
from explorer.errors import ExplorerError

FILE = "agreement.json"
"""In the folder of the scorers' heads."""

COMMAND = "python -m explorer agreement"

_TEXT = ("set", "by", "head", "note", "label", "said")
_COLUMNS = {
    "auroc": ("set", "by", "head", "n", "auroc", "low", "high", "note"),
    "calibration": ("set", "bin", "n", "predicted", "observed", "low", "high"),
    "refusal": ("set", "by", "label", "said", "n"),
    "length": ("tokens", "set", "n", "auroc", "low", "high", "mean_harmful", "mean_harmless"),
}


@dataclass(frozen=True)
class Agreement:
    """What was measured, one table for each question; a table may be empty.

    Attributes:
        auroc: columns set, by (who labelled), head, n, auroc, low, high, note.
        calibration: columns set, bin, n, predicted, observed, low, high.
        refusal: columns set, by, label ("refusal" or "other"), said (by the verdict), n.
        length: columns tokens, set, n, auroc, low, high, mean_harmful, mean_harmless (log-odds of harm).
    """

    auroc: pd.DataFrame
    calibration: pd.DataFrame
    refusal: pd.DataFrame
    length: pd.DataFrame


def read_agreement() -> Agreement | None:
    """What the project's file holds; None where nothing was measured.

    Raises:
        ExplorerError: the file is damaged.
    """
    path = paths.HEADS / FILE
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Agreement(**{f.name: _table(f.name, raw[f.name]) for f in fields(Agreement)})
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ExplorerError(f"{path} is damaged; write it again with `{COMMAND}`.") from problem


def _table(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    columns = list(_COLUMNS[name])
    frame = pd.DataFrame([[row[column] for column in columns] for row in rows], columns=columns)
    kinds = {column: str if column in _TEXT else float for column in columns if column != "n"}
    return frame.astype({**kinds, "n": int})
