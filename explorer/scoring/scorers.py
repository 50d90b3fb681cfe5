"""Scorers by name."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError
from explorer.scoring.base import Scorer
from explorer.scoring.judge_kinds import JUDGES, USUAL, JudgeSettings, judge_sentence

if TYPE_CHECKING:
    from explorer.models.pair import Pair

SHIPPED = {
    "refusal": ("explorer.scoring.refusal", "RefusalScorer"),
    "demo-cost": ("explorer.scoring.cost", "DemoCostScorer"),
    "demo-reward": ("explorer.scoring.reward", "DemoRewardScorer"),
}
"""The scorers that ship with the project: module and class; each is imported when it is asked for."""

NAMES = tuple(SHIPPED)


def load_scorer(name: str, pair: "Pair | None" = None, judge: JudgeSettings = USUAL) -> Scorer:
    """The scorer of this name, ready to score.

    Args:
        name: one of `NAMES`, or a judge such as "beaver:PKU-Alignment/beaver-7b-v1.0-cost" (see `judges.py`).
        pair: a loaded pair, whose weights a scorer shares where it can.
        judge: device, dtype and batch size of a judge.

    Raises:
        ExplorerError: there is no such scorer, or what it needs is missing.
    """
    if name in SHIPPED:
        found: Scorer = _shipped(name)() if name == "refusal" else _shipped(name)(pair)
        return found
    kind, _, place = name.partition(":")
    if kind in JUDGES and place:
        from explorer.scoring import judges

        scorer: Scorer = getattr(judges, JUDGES[kind])(place, judge)
        return scorer
    raise ExplorerError(
        f"There is no scorer “{name}”; known are {', '.join(NAMES)}, and KIND:MODEL with {', '.join(JUDGES)}."
    )


def describe(name: str) -> str:
    """What a scorer's number is, in one sentence, without loading it."""
    kind, _, place = name.partition(":")
    if kind in JUDGES and place:
        return judge_sentence(name)
    return str(_shipped(name).description)


def head_digest(name: str) -> str:
    """SHA-256 of the trained head behind a scorer; the version of the wording behind refusals; else empty."""
    if name == "refusal":
        from explorer.scoring.verdict import VERSION

        return f"wording {VERSION}"
    if not name.startswith("demo-"):
        return ""
    from explorer.digests import sha256_file
    from explorer.scoring.head import head_file

    file = head_file(name)
    if not file.is_file():
        raise ExplorerError(f"The head {file} is missing; restore it from the repository.")
    return sha256_file(file)


def _shipped(name: str) -> Any:
    module, kind = SHIPPED[name]
    return getattr(import_module(module), kind)
