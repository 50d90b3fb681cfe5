"""By which ranking, and in which direction, neurons were patched: in words. Knows no Streamlit.

by = By.of("attribution", run.manifest["rankings"], "break")
by.verb                      # "break"
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from explorer.charts.labels import BY_ATTRIBUTION, ranking_label
from explorer.runs.columns import BY_CHANGE, MAIN, method_of

RESTORE, BREAK = "restore", "break"

DIRECTIONS = {RESTORE: "Restore (M2's activations into M1)", BREAK: "Break (M1's activations into M2)"}
"""Both directions, and what controls call them: are the neurons sufficient, are they necessary?"""

RANDOM = "random"
"""What tables call random neurons where they stand among rankings."""

COLUMNS: Mapping[str, Mapping[str, str]] = {
    RESTORE: {"unpatched": "M1, unpatched", "patched": "M1, patched", "aligned": "M2, aligned"},
    BREAK: {"unpatched": "M2, unpatched", "patched": "M2, patched", "aligned": "M1"},
}
"""Columns of answers in words, by direction: of breaking, "unpatched" is M2 and "aligned" M1."""

_TITLES = {
    "attribution": "Attribution",
    MAIN: "Change score (paper)",
    "effect_size": "Effect size (Cohen's d)",
    "prompt_difference": "Prompt difference, M1",
    "prompt_difference_m2": "Prompt difference, M2",
    "activation_variance": "Activation variance",
    RANDOM: "Random neurons of the same layers",
}
"""Rankings by what they rank by."""

_METHODS = {
    "attribution": "Attribution",
    BY_CHANGE: "Change score",
    "effect_size": "Effect size (Cohen's d)",
    "prompt_difference": "Prompt difference",
    "activation_variance": "Activation variance",
}

PAPERS = "change score, the paper's ranking"
"""The paper's ranking in a sentence."""


def ranking_title(name: str, rankings: Mapping[str, Any]) -> str:
    """A ranking by what it ranks by: "Attribution", "Change score: Safety, whole prompt".

    Args:
        name: of a ranking.
        rankings: what the manifest says of each.
    """
    method = _method(name, rankings)
    if name in _TITLES and (name == RANDOM or _method_of_name(name) == method):
        return _TITLES[name]
    of = name.removeprefix(BY_ATTRIBUTION) if method == "attribution" else name
    return f"{_METHODS.get(method, method.replace('_', ' ').capitalize())}: {ranking_label(of)}"


def default_fraction(name: str, rankings: Mapping[str, Any]) -> float:
    """The patched share that is shown first: 1 % of a ranking by attribution, the paper's 5 % of others."""
    return 0.01 if _method(name, rankings) == "attribution" else 0.05


@dataclass(frozen=True)
class By:
    """What was patched how.

    Attributes:
        words: what the ranking ranks by, for the middle of a sentence; "" leaves it unsaid.
        direction: "restore" or "break".
    """

    words: str = ""
    direction: str = RESTORE

    @classmethod
    def of(cls, name: str, rankings: Mapping[str, Any], direction: str = RESTORE) -> "By":
        """Of a ranking of a run.

        Args:
            name: of the ranking.
            rankings: what the manifest says of each.
            direction: "restore" or "break".
        """
        title = ranking_title(name, rankings)
        return cls(PAPERS if title == _TITLES[MAIN] else title[0].lower() + title[1:], direction)

    @property
    def breaks(self) -> bool:
        """Whether M1's activations go into M2."""
        return self.direction == BREAK

    @property
    def verb(self) -> str:
        """What the neurons do, in the plural."""
        return "break" if self.breaks else "restore"

    @property
    def done(self) -> str:
        """What is done to the gap."""
        return "broken" if self.breaks else "restored"

    @property
    def patched(self) -> str:
        """The model that is patched."""
        return "M2" if self.breaks else "M1"

    @property
    def giver(self) -> str:
        """The model whose activations are patched in."""
        return "M1" if self.breaks else "M2"

    @property
    def aside(self) -> str:
        """The ranking set off by commas, to follow "On … prompts"."""
        return f", by {self.words}," if self.words else ""

    @property
    def columns(self) -> Mapping[str, str]:
        """Columns of answers in words."""
        return COLUMNS[self.direction]


UNSAID = By()
"""Restoring, by a ranking that is named elsewhere."""


def _method(name: str, rankings: Mapping[str, Any]) -> str:
    return method_of(rankings[name]) if name in rankings else _method_of_name(name)


def _method_of_name(name: str) -> str:
    """The method that a ranking of this name has in builds that say nothing else."""
    return next((method for method in _METHODS if name.startswith(method)), BY_CHANGE)
