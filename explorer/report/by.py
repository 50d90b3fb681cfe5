"""By which ranking, and in which direction, neurons were patched: in words.

by = By.of("attribution", run.manifest["rankings"], "break")
by.verb                      # "break"
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from explorer.report.ranking_names import ranking_words

RESTORE, BREAK = "restore", "break"

DIRECTIONS = {RESTORE: "Restore (M2's activations into M1)", BREAK: "Break (M1's activations into M2)"}
"""Both directions, and what controls call them: are the neurons sufficient, are they necessary?"""

COLUMNS: Mapping[str, Mapping[str, str]] = {
    RESTORE: {"unpatched": "M1, unpatched", "patched": "M1, patched", "aligned": "M2, aligned"},
    BREAK: {"unpatched": "M2, unpatched", "patched": "M2, patched", "aligned": "M1"},
}
"""Columns of answers in words, by direction: of breaking, "unpatched" is M2 and "aligned" M1."""


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
        return cls(ranking_words(name, rankings), direction)

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
