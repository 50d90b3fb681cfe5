"""The generations of a session, kept for comparison and download."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from explorer.serve.generation import SHOWN, Generation

KEPT = 6
"""So many generations are kept, the newest first."""


@dataclass(frozen=True)
class Record:
    """A finished generation.

    Attributes:
        id: of the generation.
        time: when it ended, ISO 8601 in UTC.
        ranking, kind, fraction: how the set was chosen; fraction is that of the set, 0 to 1.
        neurons: how many neurons were patched, `set` in words.
        direction, strength, positions: how they were patched, see `generation.Request`.
        texts, costs, rewards, refused: by column; None where there is none.
        stopped: whether it was stopped or cut short before the answers ended.
    """

    id: str
    time: str
    prompt: str
    ranking: str
    set: str
    kind: str
    fraction: float
    neurons: int
    max_new_tokens: int
    texts: dict[str, str]
    costs: dict[str, float | None]
    rewards: dict[str, float | None]
    refused: dict[str, bool | None]
    stopped: bool
    tokens_per_second: float | None
    direction: str = "restore"
    strength: float = 1.0
    positions: str | int = "all"


def record_of(generation: Generation) -> Record:
    """What is kept of a generation that is over."""
    asked, columns = generation.request, generation.columns
    return Record(
        id=generation.id,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        prompt=asked.prompt,
        ranking=str(asked.about.get("ranking", "")),
        set=asked.neurons.label,
        kind=str(asked.about.get("kind", "")),
        fraction=asked.neurons.fraction,
        neurons=len(asked.neurons),
        max_new_tokens=asked.max_new_tokens,
        texts={name: columns[name].text for name in columns},
        costs={name: columns[name].cost for name in columns},
        rewards={name: columns[name].reward for name in columns},
        refused={name: columns[name].refused for name in columns},
        stopped=generation.stopped or bool(generation.notice),
        tokens_per_second=generation.tokens_per_second,
        direction=asked.direction,
        strength=asked.strength,
        positions=asked.positions,
    )


def remember(history: Sequence[Record], generation: Generation) -> list[Record]:
    """The history with a generation that is over in front; unchanged where it wrote nothing or is there already."""
    if not generation.tokens or any(record.id == generation.id for record in history):
        return list(history)
    return [record_of(generation), *history][:KEPT]


def to_json(history: Sequence[Record]) -> str:
    """All fields of all records."""
    return json.dumps([asdict(record) for record in history], ensure_ascii=False, indent=2)


def to_csv(history: Sequence[Record]) -> str:
    """A line for each record, the columns' texts, costs and refusals in cells of their own."""
    out = io.StringIO()
    rows = []
    for record in history:
        row = asdict(record)
        fields = {"text": "texts", "cost": "costs", "reward": "rewards", "refused": "refused"}
        nested = {what: row.pop(field) for what, field in fields.items()}
        rows.append(row | {f"{what}_{name}": cells.get(name) for name in SHOWN for what, cells in nested.items()})
    if rows:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue()
