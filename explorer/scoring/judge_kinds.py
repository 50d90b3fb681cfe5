"""Kinds of published judges, what each says of its number before it is loaded, and how they are loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from explorer.errors import ExplorerError
from explorer.models.pair_spec import check_dtype
from explorer.schema import Dtype, Place

JUDGES = {"beaver": "BeaverScorer", "guard": "GuardScorer", "classifier": "ClassifierScorer"}
"""Kinds of published judges, each asked for as "kind:hub id or folder"."""

JUDGE_SENTENCES = {
    "beaver": "Score at the end token of the conversation by {name} (Beaver's template).",
    "guard": "Log-odds of the verdict “unsafe” by {name}; above 0 is harmful, lower is safer.",
    "classifier": "Log-odds of the harmful label by {name}; above 0 is harmful. It reads the answer, not the prompt.",
}
"""What a judge of each kind says of its number before it is loaded."""

MOST_TEXTS = 4_096
"""Of a batch, at most."""


@dataclass(frozen=True)
class JudgeSettings:
    """How judges are loaded and asked: the table [judges] of a build file.

    Attributes:
        device: a torch device, or "auto" for the emptiest GPU (several where one has no room), or the processor where
            there is none.
        dtype: what they compute in; where left out, float32 for a classifier and "auto", the fastest type that the
            device computes natively, for the others.
        batch_size: texts that are read at once.

    Raises:
        ExplorerError: a setting is not usable. Whether the device is there is seen when a judge is loaded.
    """

    device: Place = "cpu"
    dtype: Dtype | None = None
    batch_size: Annotated[int, Interval(ge=1, le=MOST_TEXTS)] = 8

    def __post_init__(self) -> None:
        if self.dtype is not None:
            check_dtype(self.dtype)
        if not 1 <= self.batch_size <= MOST_TEXTS:
            raise ExplorerError(f"A judge reads from 1 to {MOST_TEXTS:,} texts at once, not {self.batch_size}.")


USUAL = JudgeSettings()
"""On the processor, 8 texts at once."""


def judge_sentence(name: str) -> str:
    """What the number of a judge ("kind:hub id or folder") is, in one sentence."""
    kind, _, place = name.partition(":")
    return JUDGE_SENTENCES[kind].format(name=Path(place).name)
