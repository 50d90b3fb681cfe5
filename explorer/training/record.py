"""What an adapter was trained on and how that went: `training.json` beside its weights, which `trainer` writes.

record = read_record(find_adapter("helpful"))
record.steps, record.curve(), record.held_out()

Knows no torch.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from explorer.errors import ExplorerError
from explorer.training.config import PairSource

FILE = "training.json"
USES = ("refuse", "answer", "pairs", "brief", "keep")
"""What data is used for; see `TrainConfig`."""

CURVE = {"loss": "loss", "margin": "rewards/margins", "accuracy": "rewards/accuracies", "kept": "kept_kl"}
"""Columns of a training curve, and what trl calls them."""


@dataclass(frozen=True)
class TrainingRecord:
    """What a training file said and the training came to.

    Attributes:
        name: what the training file called it; the folder's name is what it ships as.
        base: the model trained on.
        examples: how many were trained on, of all sources together.
        seed, noise: see `TrainConfig`.
        start: the adapter that the training began with; "" for vectors of ones.
        averaged_checkpoints: the vectors are the mean of so many; 0 for those of the end.
        data: the settings of each source, with its `use` (one of `USES`).
        stages: the settings of each stage; none where the vectors are a sum of other adapters' (`start`).
        log: what trl told, by rising `stage` and `step`.
    """

    name: str
    base: str
    examples: int
    seed: int
    noise: float
    start: str
    averaged_checkpoints: int
    data: tuple[dict[str, Any], ...]
    stages: tuple[dict[str, Any], ...]
    log: tuple[dict[str, Any], ...]

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages together."""
        return sum(self._stage_steps())

    @property
    def answer_tokens(self) -> int:
        """How much of a preference pair's answers the last stage read, in tokens; 0 for all, or without a stage."""
        return int(self.stages[-1].get("answer_tokens", 0)) if self.stages else 0

    def held_out(self) -> list[PairSource]:
        """The sources of preference pairs whose first `skip` pairs were kept for testing; `file` has no folder."""
        known = {field.name for field in fields(PairSource)}
        sources = [PairSource(**{k: v for k, v in s.items() if k in known}) for s in self.data if s["use"] == "pairs"]
        return [source for source in sources if source.skip and source.kind != "conversations"]

    def curve(self) -> pd.DataFrame:
        """Columns stage (from 1), method, step (over all stages), and those of `CURVE`.

        loss is in nats; margin is DPO's, of the two answers' rewards; accuracy is the share of pairs whose chosen
        answer has the higher reward; SFT has neither. kept is the divergence from the base model on plain text, in nats
        a token, where a stage holds on to that.
        """
        before = [sum(self._stage_steps()[:number]) for number in range(len(self.stages))]
        rows = [
            {
                "stage": row["stage"] + 1,
                "method": self.stages[row["stage"]]["method"],
                "step": before[row["stage"]] + row["step"],
                **{name: row.get(key) for name, key in CURVE.items()},
            }
            for row in self.log
            if "loss" in row
        ]
        frame = pd.DataFrame(rows, columns=["stage", "method", "step", *CURVE])
        return frame.astype(dict.fromkeys(CURVE, float))

    def _stage_steps(self) -> list[int]:
        return [
            max((row["step"] for row in self.log if row["stage"] == number), default=0)
            for number in range(len(self.stages))
        ]


def read_record(folder: Path) -> TrainingRecord:
    """Read an adapter's training.json.

    Raises:
        ExplorerError: it is missing or damaged.
    """
    file = folder / FILE
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ExplorerError(
            f"{folder} has no {FILE}, so nobody knows what it was trained on; train it with this project."
        ) from problem
    except (ValueError, RecursionError) as problem:
        raise ExplorerError(f"{file} is not valid JSON; restore it, or train the adapter again.") from problem
    try:
        return _record(raw)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as problem:
        raise ExplorerError(f"{file} lacks what a training writes; restore it or train the adapter again.") from problem


def _record(raw: dict[str, Any]) -> TrainingRecord:
    """The record of a file's content; adapters trained by an earlier version lack the newer settings."""
    record = TrainingRecord(
        name=str(raw["name"]),
        base=str(raw["base"]),
        examples=int(raw["examples"]),
        seed=int(raw["seed"]),
        noise=float(raw.get("noise", 0.0)),
        start=str((raw.get("start") or {}).get("name", "")),
        averaged_checkpoints=int(raw.get("averaged_checkpoints", 0)),
        data=tuple({"use": use, **source} for use in USES for source in raw.get(use, [])),
        stages=tuple(raw["stages"]),
        log=tuple(raw["log"]),
    )
    if not (record.stages or record.start):
        raise ValueError("no stages")
    record.curve()  # what cannot be read fails here, not on a page
    record.held_out()
    return record
