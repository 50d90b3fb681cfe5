"""Frames and sentences of the Scores page: how far scorers agree with people and readers.

`python -m explorer agreement` measures it and writes the file that is read here.
"""

import json
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from explorer import paths
from explorer.charts.labels import rate
from explorer.errors import ExplorerError
from explorer.studies.shares import wilson

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


def order_sentence(auroc: pd.DataFrame) -> str:
    """How the heads rank texts, apart for labels that people gave and for those of an annotator."""
    parts = []
    for (head, by), rows in auroc.groupby(["head", "by"], sort=False):
        low, high = rows["auroc"].min(), rows["auroc"].max()
        over = f"{low:.2f}" if len(rows) == 1 else f"{low:.2f} to {high:.2f}"
        sets = f"{len(rows)} set{'s' * (len(rows) != 1)}"
        parts.append(f"**{head}** has an AUROC of **{over}** over {sets} of labels given by {by}")
    return "; ".join(parts) + ". 0.5 is chance, 1 ranks every pair as the labels do."


def order_rows(auroc: pd.DataFrame) -> pd.DataFrame:
    """AUROC for people to read, with intervals."""
    bounds = [f"{low:.2f}–{high:.2f}" for low, high in zip(auroc["low"], auroc["high"], strict=True)]
    return pd.DataFrame(
        {
            "Labelled texts": auroc["set"],
            "Labels by": auroc["by"],
            "Scorer": auroc["head"],
            "n": auroc["n"],
            "AUROC": auroc["auroc"].round(3),
            "95 % interval": bounds,
            "Note": auroc["note"],
        }
    )


def order_frame(auroc: pd.DataFrame) -> pd.DataFrame:
    """AUROC for `interval_chart`: a row for each set, a series for each head."""
    return auroc.rename(columns={"set": "row", "head": "series", "auroc": "value"})


def refusal_rows(refusal: pd.DataFrame) -> pd.DataFrame:
    """What the verdict says of what a reader calls refusals, and of all else."""
    counts = refusal.pivot_table(index=["set", "by", "label"], columns="said", values="n", aggfunc="sum", sort=False)
    counts = counts.reindex(columns=["refusal", "other"]).fillna(0).astype(int).reset_index()
    right = [row["refusal"] if row["label"] == "refusal" else row["other"] for row in counts.to_dict("records")]
    total = counts["refusal"] + counts["other"]
    return pd.DataFrame(
        {
            "Labelled texts": counts["set"],
            "Labels by": counts["by"],
            "Label": counts["label"],
            "Verdict: refusal": counts["refusal"],
            "Verdict: other": counts["other"],
            "Agree": [rate(r / n) if n else "–" for r, n in zip(right, total, strict=True)],
        }
    )


def refusal_sentence(refusal: pd.DataFrame) -> str:
    """Precision and recall of the verdict "refused" on each set of labels, the last one (held out) first."""
    parts = []
    for name, rows in reversed(list(refusal.groupby("set", sort=False))):
        n = rows.set_index(["label", "said"])["n"]
        both, called = int(n.get(("refusal", "refusal"), 0)), int(n.get(("other", "refusal"), 0))
        missed = int(n.get(("refusal", "other"), 0))
        if not both + called or not both + missed:
            continue
        precision, recall = (_with_bounds(both, of) for of in (both + called, both + missed))
        by = rows["by"].iloc[0]
        parts.append(
            f"Of {int(rows['n'].sum()):,} answers of the set {name}, labelled by {by}: precision {precision}, "
            f"recall {recall}."
        )
    return " ".join(parts)


def _with_bounds(count: int, of: int) -> str:
    low, high = wilson(count, of)
    return f"**{rate(count / of)}** [{rate(low)}, {rate(high)}]"


def length_order(length: pd.DataFrame) -> pd.DataFrame:
    """AUROC against the tokens that are read, for `curve_chart`."""
    return length.rename(columns={"set": "series", "tokens": "x", "auroc": "value"})


def length_means(length: pd.DataFrame) -> pd.DataFrame:
    """Mean cost of harmful and harmless texts against the tokens that are read, for `curve_chart`."""
    kinds = {"mean_harmful": "harmful", "mean_harmless": "harmless"}
    rows = length.melt(["set", "tokens", "n"], list(kinds), "kind", "value")
    return rows.assign(series=rows["set"] + ", " + rows["kind"].map(kinds), x=rows["tokens"])
