"""Read what is behind a number: a seeded random sample of any cell of a run's answers, and one's own labels of it.

sample = audit_sample(run.table("answers"), Cell("redteam_eval", "patched", fraction=0.05), n=50)
labels = dict(zip(sample["key"], my_labels))      # "refused", "answered" or "unclear"
measured(sample, labels).precision
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from explorer.errors import ExplorerError
from explorer.runs.columns import MAIN, with_columns
from explorer.studies.shares import wilson
from explorer.studies.statistics import UNDEFINED, Estimate

LABELS = ("refused", "answered", "unclear")
"""What a reader may say of an answer; "unclear" ones are left out of precision and recall."""

SHOWN = (
    *("suite", "column", "set", "fraction", "prompt_id", "prompt", "answer"),
    *("verdict", "degenerate", "cost", "ranking"),
)


@dataclass(frozen=True)
class Cell:
    """Which answers are sampled; what is left out is not asked of them.

    Attributes:
        suite: prompt suite.
        column: "unpatched", "patched" or "aligned".
        set: of patched answers, the kind of set ("safety", "random", …).
        fraction: of patched answers, the patched share of all neurons.
        ranking: of patched answers, the ranking whose sets were patched.
    """

    suite: str = ""
    column: str = ""
    set: str = ""
    fraction: float | None = None
    ranking: str = ""


@dataclass(frozen=True)
class Audited:
    """How the verdict "refused" does against a reader's labels.

    Attributes:
        n: labelled answers, without the unclear ones.
        precision: of what is called a refusal, the share that the reader calls one.
        recall: of what the reader calls a refusal, the share that is called one.
    """

    n: int
    precision: Estimate
    recall: Estimate


def audit_sample(answers: pd.DataFrame, cell: Cell, n: int = 50, seed: int = 0) -> pd.DataFrame:
    """A random sample of a cell's answers, those first on which the two judges part.

    Args:
        answers: the run's table.
        cell: which of them.
        n: at most so many; equal seeds give equal samples.
        seed: of the sample.

    Returns:
        Columns key (names the answer in files of labels), those of `SHOWN`, and part: whether the answer refuses and
        has a cost above 0, or does neither.

    Raises:
        ExplorerError: the cell is empty, or the table is older than verdicts.
    """
    if "verdict" not in answers:
        raise ExplorerError("This run's answers have no verdicts: it was built before there were any; build it again.")
    if n < 1:
        raise ExplorerError(f"An audit reads at least 1 answer, not {n}.")
    mine = np.ones(len(answers), dtype=bool)
    answers = with_columns("answers", answers)
    for name in ("suite", "column", "set", "ranking"):
        wanted = getattr(cell, name)
        if wanted:
            mine &= (answers[name] == wanted).to_numpy()
    if cell.fraction is not None:
        mine &= ((answers["fraction"] - cell.fraction).abs() < 1e-9).to_numpy()
    found = answers[mine]
    if found.empty:
        raise ExplorerError(f"The run has no such answers; its suites are {', '.join(answers['suite'].unique())}.")
    picked = np.random.default_rng(seed).permutation(len(found))[:n]
    sample = found.iloc[picked]
    part = sample["cost"].notna() & ((sample["cost"] > 0) == sample["refused"].astype(bool))
    sample = sample[list(SHOWN)].assign(part=part, key=[_key(row) for row in sample.itertuples()])
    ordered = sample.sort_values("part", ascending=False, kind="stable", ignore_index=True)
    return ordered[["key", *SHOWN, "part"]]


def measured(sample: pd.DataFrame, labels: Mapping[str, str]) -> Audited:
    """Precision and recall of the verdict "refused" over the labelled answers of a sample, with Wilson intervals.

    Raises:
        ExplorerError: a label is none of `LABELS`.
    """
    wrong = sorted({label for label in labels.values() if label and label not in LABELS})
    if wrong:
        raise ExplorerError(f"“{wrong[0][:40]}” is no label; write {', '.join(LABELS[:-1])} or {LABELS[-1]}.")
    said = sample["key"].map(lambda key: labels.get(key, ""))
    clear = said.isin(LABELS[:2]).to_numpy()
    label, called = (said == "refused").to_numpy()[clear], (sample["verdict"] == "refused").to_numpy()[clear]
    both = int((label & called).sum())
    return Audited(int(clear.sum()), _share(both, int(called.sum())), _share(both, int(label.sum())))


def read_labels(path: Path) -> dict[str, str]:
    """A reader's labels by the answer's key, from a CSV file with the columns key and label.

    Raises:
        ExplorerError: the file is missing, or has no such columns.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as problem:
        raise ExplorerError(f"{path} is not a readable CSV file of labels.") from problem
    if not {"key", "label"} <= set(table):
        raise ExplorerError(f"{path} needs the columns key and label, as `explorer audit --csv` writes them.")
    return dict(zip(table["key"], table["label"].str.strip().str.lower(), strict=True))


def to_text(sample: pd.DataFrame) -> str:
    """The sample to read in a terminal, an answer after the other."""
    lines = []
    for number, row in enumerate(sample.to_dict("records"), 1):
        by = f" by {row['ranking']}" if row["ranking"] not in ("", MAIN) else ""
        patched = f", {row['set']} {row['fraction']:.2%}{by}" if row["column"] == "patched" else ""
        flags = " · degenerate" * bool(row["degenerate"]) + " · THE JUDGES PART" * bool(row["part"])
        cost = "" if pd.isna(row["cost"]) else f" · cost {row['cost']:+.1f}"
        lines += [
            f"[{number}] {row['key']}  {row['suite']} {row['prompt_id']}, {row['column']}{patched}",
            f"    {row['verdict']}{flags}{cost}",
            f"    {row['prompt']}",
            *(f"    | {line}" for line in str(row["answer"]).splitlines()),
            "",
        ]
    parts = int(sample["part"].sum())
    lines.append(f"{len(sample)} answers; the judges part on {parts}.")
    return "\n".join(lines) + "\n"


def _share(count: int, of: int) -> Estimate:
    return Estimate(count / of, *wilson(count, of)) if of else UNDEFINED


def _key(row: Any) -> str:
    """A short name of an answer that stays when the run is scored anew."""
    parts = [row.suite, row.column, row.set, row.fraction, row.start, row.seed, row.prompt_id, row.answer]
    parts += [row.ranking] if row.ranking not in ("", MAIN) else []  # keys of before there were others stay
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:12]
