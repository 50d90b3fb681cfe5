"""Scorers by name."""

from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError
from explorer.scoring.base import Scorer

if TYPE_CHECKING:
    from explorer.models.pair import Pair

NAMES = ("refusal", "demo-cost")
"""The scorers that ship with the project."""

JUDGES = {"beaver": "BeaverScorer", "guard": "GuardScorer", "classifier": "ClassifierScorer"}
"""Kinds of published judges, each asked for as "kind:hub id or folder"."""

JUDGE_SENTENCES = {
    "beaver": "Score at the end token of the conversation by {name} (Beaver's template).",
    "guard": "Log-odds of the verdict “unsafe” by {name}; above 0 is harmful, lower is safer.",
    "classifier": "Log-odds of the harmful label by {name}; above 0 is harmful. It reads the answer, not the prompt.",
}
"""What a judge of each kind says of its number before it is loaded."""


def load_scorer(name: str, pair: "Pair | None" = None) -> Scorer:
    """The scorer of this name, ready to score.

    Args:
        name: one of `NAMES`, or a judge such as "beaver:PKU-Alignment/beaver-7b-v1.0-cost" (see `judges.py`).
        pair: a loaded pair, whose weights a scorer shares where it can.

    Raises:
        ExplorerError: there is no such scorer, or what it needs is missing.
    """
    if name == "refusal":
        from explorer.scoring.refusal import RefusalScorer

        return RefusalScorer()
    if name == "demo-cost":
        from explorer.scoring.cost import DemoCostScorer

        return DemoCostScorer(pair)
    kind, _, place = name.partition(":")
    if kind in JUDGES and place:
        from explorer.scoring import judges

        scorer: Scorer = getattr(judges, JUDGES[kind])(place)
        return scorer
    raise ExplorerError(
        f"There is no scorer “{name}”; known are {', '.join(NAMES)}, and KIND:MODEL with {', '.join(JUDGES)}."
    )


def describe(name: str) -> str:
    """What a scorer's number is, in one sentence, without loading it."""
    kind, _, place = name.partition(":")
    if kind in JUDGES and place:
        return JUDGE_SENTENCES[kind].format(name=Path(place).name)
    if name == "refusal":
        from explorer.scoring.refusal import RefusalScorer

        return RefusalScorer.description
    from explorer.scoring.cost import DemoCostScorer

    return DemoCostScorer.description


def head_digest(name: str) -> str:
    """SHA-256 of the trained head behind a scorer; empty for one that has none."""
    if name != "demo-cost":
        return ""
    from explorer.runs.format import sha256_file
    from explorer.scoring.cost import HEAD

    if not HEAD.is_file():
        raise ExplorerError(f"The cost head {HEAD} is missing; restore it from the repository.")
    return sha256_file(HEAD)
