"""The generations of a session, kept for comparison, and what is needed to make each of them again."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from explorer.engine.options import Sampling
from explorer.neurons.sets import NeuronSet
from explorer.runs.reader import Run
from explorer.scoring.verdict import verdict
from explorer.serve.generation import SHOWN, Column, End, Generation, Request
from explorer.serve.samples import Refusals, decoding_words

KEPT = 12
"""So many generations are kept, the newest first."""

MOST_LISTED = 5_000
"""Neurons that a record lists one by one, at most; of larger sets it has the digest, and the settings that give it."""


BY_COLUMN = ("texts", "costs", "rewards", "refused", "verdicts", "tokens", "ends")
"""The fields of a record that are by column, and of which each sample has its own."""


@dataclass(frozen=True)
class Record:
    """Finished answers to one prompt.

    Attributes:
        id: of the generation.
        time: when it ended, ISO 8601 in UTC.
        ranking, kind, fraction: how the set was chosen; fraction is that of the set, 0 to 1.
        neurons: how many neurons were patched, `set` in words.
        direction, strength, positions: how they were patched, see `generation.Request`.
        texts, costs, rewards, refused: by column; None where there is none.
        stopped: whether it was stopped or cut short before the answers ended.
        verdicts, tokens, ends: by column: the outcome of `verdict`, how many tokens, and why it ended (`End`).
        control: the set of the column of random neurons, in words; "" where there is none.
        settings: of the Patch lab, as in its address, without any limit to their length.
        origin: of `origin_of`.
        neuron_list: the patched neurons as "layer.index", between spaces; "" for more than `MOST_LISTED`.
        neurons_sha256: of the patched neurons, see `set_digest`.
        before: what was said before the prompt: [role, text] each.
        temperature, top_p, sampling_seed: how tokens were sampled; temperature 0 is greedy decoding.
        others: where there are several samples, the fields `BY_COLUMN` of those after the first.
        own: by column, what was said before the prompt there, where each goes on from its own answers.
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
    verdicts: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    control: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    neuron_list: str = ""
    neurons_sha256: str = ""
    before: list[list[str]] = field(default_factory=list)
    temperature: float = 0.0
    top_p: float = 1.0
    sampling_seed: int = 0
    others: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    own: dict[str, list[list[str]]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that there are, in the order in which they stand beside each other."""
        return tuple(name for name in SHOWN if name in self.texts)

    @property
    def sampling(self) -> Sampling | None:
        """How tokens were sampled; None for greedy answers."""
        return Sampling(self.temperature, self.top_p, self.sampling_seed) if self.temperature else None

    @property
    def decoding(self) -> str:
        """How the answers were decoded, in words."""
        return decoding_words(self.sampling, len(self.samples))

    @property
    def samples(self) -> list[dict[str, dict[str, Any]]]:
        """The fields `BY_COLUMN` of each sample."""
        return [{name: getattr(self, name) for name in BY_COLUMN}, *self.others]

    def refusals(self, column: str) -> Refusals:
        """How many of a column's samples refuse."""
        outcomes = [sample["verdicts"].get(column) for sample in self.samples]
        return Refusals(outcomes.count("refused"), sum(bool(outcome) for outcome in outcomes))


def origin_of(run: Run, ranking: str) -> dict[str, str]:
    """Where a set comes from: the run, its models with their digests, and the digest of the ranking."""
    from explorer.version import __version__

    pair, files = run.manifest["pair"], run.manifest["files"]
    ranked = files.get(f"tensors/{ranking}.safetensors", {})
    return {
        "run": run.name,
        "run_path": f"{run.path.parent.name}/{run.name}",
        "run_created": str(run.manifest.get("created", "")),
        "pair": str(pair.get("file") or "demo"),
        "model": str(pair.get("name", "")),
        "m1": _model_words(pair["m1"]),
        "m2": _model_words(pair["m2"]),
        "ranking_sha256": str(ranked.get("sha256", "")),
        "explorer": __version__,
    }


def _model_words(model: Mapping[str, Any]) -> str:
    """A model with its digest and its adapters with theirs."""
    adapters = [f"{one.get('name', '')} sha256 {one.get('sha256', '')}" for one in model.get("adapters", ())]
    return " + ".join([f"{model['base']} sha256 {model.get('digest', '')}", *adapters])


def set_digest(ns: NeuronSet) -> str:
    """SHA-256 of a set: of its flat indices (layer × n_neurons + index), ascending, as little-endian int64."""
    return hashlib.sha256(np.sort(ns.flat()).astype("<i8").tobytes()).hexdigest()


def record_of(generation: Generation) -> Record:
    """What is kept of a generation that is over."""
    stopped = generation.stopped or bool(generation.notice)
    first, *others = generation.samples
    return record(generation.id, first, generation.request, stopped, generation.tokens_per_second, others)


def record(
    name: str,
    columns: Mapping[str, Column],
    asked: Request,
    stopped: bool = False,
    tokens_per_second: float | None = None,
    others: Sequence[Mapping[str, Column]] = (),
) -> Record:
    """What is kept of answers, wherever they come from.

    Args:
        name: the id.
        columns: the answers, by the names in `SHOWN`.
        asked: what was asked for, whether it was generated for that or known already.
        stopped: whether they were stopped or cut short.
        tokens_per_second: of all columns that were written; None where nothing was.
        others: the answers of the samples after the first.
    """
    ns = asked.neurons
    how = asked.sampling or Sampling(0.0)
    listed = len(ns) <= MOST_LISTED
    pairs = zip(ns.layers.tolist(), ns.neurons.tolist(), strict=True) if listed else ()
    return Record(
        id=name,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        prompt=asked.prompt,
        ranking=str(asked.about.get("ranking", "")),
        set=ns.label,
        kind=str(asked.about.get("kind", "")),
        fraction=ns.fraction,
        neurons=len(ns),
        max_new_tokens=asked.max_new_tokens,
        stopped=stopped,
        tokens_per_second=tokens_per_second,
        direction=asked.direction,
        strength=asked.strength,
        positions=asked.positions,
        control=asked.control.label if asked.control is not None and "control" in columns else "",
        settings=dict(asked.settings),
        origin=dict(asked.origin),
        neuron_list=" ".join(f"{layer}.{neuron}" for layer, neuron in pairs),
        neurons_sha256=set_digest(ns),
        before=[list(turn) for turn in asked.before],
        temperature=how.temperature,
        top_p=how.top_p,
        sampling_seed=how.seed,
        others=[_cells(one, asked.prompt) for one in others],
        own={column: [list(turn) for turn in said] for column, said in asked.own.items()},
        **_cells(columns, asked.prompt),
    )


def _cells(columns: Mapping[str, Column], prompt: str) -> dict[str, Any]:
    """The fields `BY_COLUMN` of the answers of one sample."""
    return {
        "texts": {name: column.text for name, column in columns.items()},
        "costs": {name: column.cost for name, column in columns.items()},
        "rewards": {name: column.reward for name, column in columns.items()},
        "refused": {name: column.refused for name, column in columns.items()},
        "verdicts": {name: verdict(c.text, prompt).outcome if c.tokens else "" for name, c in columns.items()},
        "tokens": {name: column.tokens for name, column in columns.items()},
        "ends": {name: column.end.value if column.end else "" for name, column in columns.items()},
    }


def columns_of(kept: Record, sample: int = 0) -> dict[str, Column]:
    """The answers of a record's sample, as cards take them."""
    cells = kept.samples[sample]
    texts, ends = cells["texts"], cells["ends"]
    return {
        name: Column(
            texts[name],
            cells["tokens"].get(name, len(texts[name].split())),
            End(ends[name]) if ends.get(name) else None,
            cells["costs"].get(name),
            cells["refused"].get(name),
            cells["rewards"].get(name),
        )
        for name in kept.names
    }


def remember(history: Sequence[Record], generation: Generation) -> list[Record]:
    """The history with a generation that is over in front; unchanged where it wrote nothing or is there already."""
    if not generation.tokens or any(kept.id == generation.id for kept in history):
        return list(history)
    return [record_of(generation), *history][:KEPT]
