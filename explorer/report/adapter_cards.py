"""The shipped adapters as tables and words, out of their training records and cards."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from explorer.charts.labels import NBSP, rate, signed, suite_label
from explorer.models.shipped import shipped_adapters
from explorer.paths import PROJECT
from explorer.training.cards import Card, read_card
from explorer.training.record import TrainingRecord, read_record

REDTEAM, EVERYDAY = "redteam", "everyday_eval"

_DATA = {
    "refuse": "refusals of",
    "answer": "answers to",
    "pairs": "pairs of",
    "brief": "one-sentence answers to",
    "keep": "held to M1 on the text of",
}
_MEASURES = {
    "refusal": "Answers that refuse",
    "demo-cost": "Cost (log-odds of harm)",
    "demo-reward": "Reward (higher is more helpful)",
    "degenerate": "Answers that say nothing",
    "words": "Words of an answer",
    "implicit_accuracy": "Implicit-reward accuracy on held-out pairs",
    "implicit_margin": "Implicit-reward margin on held-out pairs (nats)",
    "perplexity": "Perplexity",
}


@dataclass(frozen=True)
class Adapter:
    """A shipped adapter: its name, its training, and its card where it has been measured."""

    name: str
    record: TrainingRecord
    card: Card | None


def read_adapters() -> dict[str, Adapter]:
    """The shipped adapters by name.

    Raises:
        ExplorerError: a record or a card is damaged.
    """
    return {name: Adapter(name, read_record(folder), read_card(folder)) for name, folder in shipped_adapters().items()}


def adapters_frame(adapters: Sequence[Adapter]) -> pd.DataFrame:
    """One row for each adapter; what its card lacks is blank."""
    return pd.DataFrame([_row(adapter) for adapter in adapters])


def trained_on(record: TrainingRecord) -> str:
    """The data of a training in words: "refusals of red-team prompts (training part), AdvBench (380); …"."""
    parts = []
    for use, words in _DATA.items():
        sources = [_source(source) for source in record.data if source["use"] == use]
        parts += [f"{words} {', '.join(sources)}"] if sources else []
    return "; ".join(parts)


def measured_frame(card: Card) -> pd.DataFrame:
    """What was measured of an adapter, in words."""
    rows = card.measured
    return pd.DataFrame(
        {
            "Measure": rows["measure"].map(_MEASURES).fillna(rows["measure"]),
            "On": rows["suite"].map(suite_label),
            "Of": rows["model"].replace({"difference": "M2 − M1", "ratio": "M2 / M1"}),
            "Value": rows["value"],
            "95 % from": rows["value_low"],
            "to": rows["value_high"],
            "p": rows["p"],
            "n": rows["n"],
            "Tokens, at most": rows["tokens"],
        }
    )


def settings_frame(record: TrainingRecord) -> pd.DataFrame:
    """The settings of each stage of a training, one column a stage; those that all leave at zero are left out."""
    stages = {f"stage {number}": stage for number, stage in enumerate(record.stages, start=1)}
    frame = pd.DataFrame(stages).fillna(0)
    frame = frame[(frame != 0).any(axis=1)]
    return frame.map(str).rename_axis("Setting").reset_index()


def training_command(name: str) -> str:
    """The command line that trains a shipped adapter again; "" where its training file is not here."""
    file = Path("configs") / "train" / f"{name}.toml"
    return f"EXPLORER_DATA=… python -m explorer train {file.as_posix()}" if (PROJECT / file).is_file() else ""


def _row(adapter: Adapter) -> dict[str, object]:
    record, card = adapter.record, adapter.card
    row: dict[str, object] = {
        "Adapter": adapter.name,
        "Trained on": trained_on(record),
        "Examples": record.examples,
        "Steps": record.steps,
        "Seed": record.seed,
    }
    return row | {
        "Refuses red-team": _change(card, "refusal", REDTEAM),
        "Refuses everyday": _change(card, "refusal", EVERYDAY),
        "Cost, red-team": _change(card, "demo-cost", REDTEAM),
        "Reward, everyday": _change(card, "demo-reward", EVERYDAY),
        "Implicit-reward accuracy": _value(card, "implicit_accuracy", "M2"),
        "Perplexity, M2 / M1": _value(card, "perplexity", "ratio"),
        "n": None if card is None else int(card.measured["n"].iloc[0]),
    }


def _value(card: Card | None, measure: str, model: str) -> float:
    return float("nan") if card is None else card.value(measure, model)


def _change(card: Card | None, measure: str, suite: str) -> str:
    """M1's value and M2's: "0 % → 88 %"; "" where they were not measured."""
    values = [float("nan")] * 2 if card is None else [card.value(measure, model, suite) for model in ("M1", "M2")]
    if any(math.isnan(value) for value in values):
        return ""
    first, second = (rate(value) if measure == "refusal" else signed(value, 2) for value in values)
    return f"{first}{NBSP}→{NBSP}{second}"


def _source(source: dict) -> str:
    """A source with the limit that it was given: "AdvBench (380)"."""
    name = suite_label(str(source.get("suite") or source.get("file")).removesuffix(".jsonl"))
    return f"{name} ({source['limit']:,})" if source.get("limit") else name
