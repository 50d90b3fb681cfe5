"""The segments of a text that two models read: what the template writes, what a person types, and the answer."""

from collections.abc import Mapping

SEGMENTS: Mapping[str, str] = {
    "before": "template before the instruction",
    "instruction": "instruction",
    "after": "template behind the instruction",
    "last": "last prompt token",
    "first": "first answer token",
    "later": "later answer tokens",
}
"""Each segment by name, in words; in the order of a text. The last prompt token predicts the first of the answer."""

BEFORE = "before"
"""The segment that is the same in every text."""
