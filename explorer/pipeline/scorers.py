"""The scores of a build: which scorer's numbers stand in which column of the tables.

"cost" and "reward" are roles: studies and pages read these columns, whichever scorer fills them.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from explorer.models.describing import place_digest
from explorer.scoring.scorers import JUDGES, NAMES, describe, head_digest

ROLES = {"cost": "demo-cost", "reward": "demo-reward"}
"""The columns that studies look for, each with the scorer that fills it where a build file names no other."""

HARM_JUDGES = ("guard", "classifier")
"""Kinds of judges whose number is the log-odds of harm: a cost, never a reward."""


def is_scorer(name: str) -> bool:
    """Whether this names a scorer that ships, or a judge as "kind:hub id or folder"."""
    kind, place = judge_parts(name)
    return name in NAMES or (kind in JUDGES and bool(place))


def judge_parts(name: str) -> tuple[str, str]:
    """A judge's kind, and its hub id or folder (empty for what is no judge)."""
    kind, _, place = name.partition(":")
    return kind, place


def public_name(name: str) -> str:
    """A scorer's name as a run holds it: of a folder on this machine only the last part."""
    kind, place = judge_parts(name)
    return f"{kind}:{Path(place).name}" if Path(place).is_absolute() else name


def scorer_columns(scorers: Sequence[str], roles: Mapping[str, str]) -> dict[str, str]:
    """The scorer behind each column of scores; refusals are the column `refused` and not among them.

    Args:
        scorers: names of scorers.
        roles: the scorer of each of `ROLES`; its numbers stand in the column of the role.
    """
    filled = {scorer: role for role, scorer in roles.items()}
    columns: dict[str, str] = {}
    for name in dict.fromkeys(scorers):
        if name == "refusal":
            continue
        column = plain = filled.get(name) or score_column(name)
        number = 1
        while column in columns:  # judges of one name by two makers
            number += 1
            column = f"{plain}_{number}"
        columns[column] = name
    return columns


def score_column(scorer: str) -> str:
    """The column of a scorer without a role: "beaver:org/beaver-7b-v1.0-cost" → "beaver_7b_v1_0_cost".

    A judge's kind is always in it, so that no model's name can be that of another column.
    """
    kind, place = judge_parts(scorer)
    column = re.sub(r"[^a-z0-9]+", "_", (Path(place).name or kind).lower()).strip("_")
    return column if kind.replace("-", "_") in column else f"{kind}_{column}"


def scorer_key(name: str) -> str:
    """What a scorer's numbers depend on: what it says of itself, and its weights as far as they lie here."""
    folder = Path(judge_parts(name)[1])
    weights = place_digest(folder) if folder.is_absolute() else head_digest(name)
    return f"{public_name(name)} {describe(name)} {weights}"
