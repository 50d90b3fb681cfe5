"""Decoding of many columns at once, greedily or sampled: unpatched M1, aligned M2, and M1 with any number of patches.

Every column of every prompt is a *row*. A patched row reads its own text through M1; beside it a
*guide* row reads the same text through M2, and at every `down_proj` the chosen neurons of the guide
take the place of the patched row's own (method.md, "Dynamic activation patching").

What repeats is computed once. M2 is never patched, so its activations depend on the text alone: patched rows
that have written the same text share a guide, the aligned column is a guide that others may share, and a guide parts in
two when its rows do. The prefix that all prompts share (the chat template's system message) is read once for each
column and continued for every prompt (`read_shared_prefix`). M1's patched rows differ from the first layer on and are
never shared.

Decoding is speculative: a step reads, behind a row's last token, a few draft tokens (`drafts.py`), where that is nearly
free. Those that turn out to be the model's own choices, greedy or sampled (`sampling.py`), are accepted and written in
the same step, the others are rolled back.

When M1 and M2 share weights, all rows go through one forward pass: M2's activations of a layer are
there at the moment when M1's row needs them. Otherwise M2's rows go first and their activations are
kept for M1's pass (`batch.py`). Both forms use KV caches; `reference.py` holds the naive form they are checked
against.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from explorer.engine.batch import DecodeBatch, SharedPrefix, writers_of
from explorer.engine.options import Columns, Decoding
from explorer.engine.replacing import reach_of
from explorer.errors import ExplorerError
from explorer.models.pair import Pair


class Emitted(NamedTuple):
    """One token of one column of one prompt."""

    column: int
    prompt: int
    token: int
    ended: bool


def decode(
    pair: Pair,
    prompts: Sequence[list[int]],
    what: Columns,
    how: Decoding,
    prefix: SharedPrefix | None = None,
    openings: Sequence[Sequence[int]] = (),
    samples: Sequence[int] = (),
) -> Iterator[list[Emitted]]:
    """Decode, one list of new tokens a step, until every column has ended.

    Args:
        pair: the models.
        prompts: token ids of each prompt.
        what: which columns to emit.
        how: how they are decoded.
        prefix: of `read_shared_prefix`, for these columns and prompts that begin so.
        openings: token ids that the answers to each prompt begin with; they are emitted too, and count.
        samples: the number of each prompt's sample, where tokens are sampled; 0 where left out.

    Yields:
        The tokens of one step; several of one (column, prompt), in their order, where draft tokens were accepted.

    Raises:
        ExplorerError: a set belongs to another model, or the model writes no text.
    """
    check_columns(pair, what)
    patches = what.as_patches
    readers: dict[int, list[int]] = {}
    for column, writer in writers_of(what, pair).items():
        readers.setdefault(writer, []).append(column)
    batch = DecodeBatch(pair, prompts, patches, sorted(readers), how, prefix, openings, samples)
    while batch.rows:
        emitted = []
        for row in batch.step():
            fresh = row.written[-row.fresh :]
            for number, token in enumerate(fresh, 1):
                ended = number == row.fresh and batch.has_ended(row)
                emitted += [Emitted(column, row.prompt, token, ended) for column in readers[row.column]]
        yield emitted
        batch.advance()


def check_columns(pair: Pair, what: Columns) -> None:
    """Raises:
    ExplorerError: a set belongs to another model, or the model writes no text.
    """
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier, which writes no text; it can be contrasted and ranked only.")
    for ns in (patch.neurons for patch in what.as_patches):
        if (ns.n_layers, ns.n_neurons) != (pair.n_layers, pair.n_neurons):
            raise ExplorerError(
                f"The neuron set is of a model with {ns.n_layers} × {ns.n_neurons} neurons; this pair has "
                f"{pair.n_layers} × {pair.n_neurons}."
            )


def read_shared_prefix(pair: Pair, prompts: Sequence[list[int]], what: Columns) -> SharedPrefix | None:
    """What the prompts have in common, read once; None where that is nothing, or a model cannot go on from it.

    The arguments are those of `decode`.
    """
    if len(prompts) < 2:
        return None
    first, last = min(prompts), max(prompts)  # what these two share, all share
    common = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    # Every prompt has something left to read, and all that a patch tells from the tokens before it.
    common = min(common, min(map(len, prompts)) - reach_of(what.as_patches))
    if common < 1:
        return None
    batch = DecodeBatch(pair, [first[:common]], what.as_patches, sorted(set(writers_of(what, pair).values())))
    if not all(one.can_branch for one in batch.passes):
        return None
    batch.read()
    return SharedPrefix(first[:common], batch)
