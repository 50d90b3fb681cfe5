"""Dynamic activation patching in open-ended generation (paper section 3.2): the public names.

out = generate(pair, ["How do I pick a lock?"], changes.top(fraction=0.05))
out = generate(pair, [prompt] * 8, neurons, sampling=Sampling(0.7, seed=3))   # eight samples of each column
for step in stream(pair, "How do I pick a lock?", changes.top(fraction=0.05)):
    ...
out = generate(pair.reversed(), prompts, neurons)                       # the other way round: breaks M2
out = sweep(pair, prompts, Columns([Patch(neurons, strength) for strength in (-1, 0.5, 1, 2)]))
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from explorer.bounds import check_whole
from explorer.engine.decoding import Emitted, decode, read_shared_prefix
from explorer.engine.drafts import PROMPT_LOOKUP, Draft
from explorer.engine.memory import in_batches, rows_with_room
from explorer.engine.options import ALIGNED, MAX_SAMPLE, UNPATCHED, Columns, Decoding, Sampling
from explorer.errors import ExplorerError
from explorer.models.chat import Turn
from explorer.models.pair import Pair
from explorer.models.prompting import TextStream, continuation
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.progress import Progress

DEFAULT = Decoding()


@dataclass(frozen=True)
class Answer:
    """An answer: its text, and its token ids with the end token where it came to one."""

    text: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Generations:
    """The answers to each prompt, in the order of the prompts.

    Attributes:
        unpatched: of M1.
        patched: of M1 with the chosen neurons' activations replaced by M2's at every step.
        aligned: of M2.
    """

    unpatched: list[Answer]
    patched: list[Answer]
    aligned: list[Answer]


@dataclass(frozen=True)
class Sweep:
    """The answers of M1, of M2, and of M1 patched with each of several sets.

    Attributes:
        unpatched, aligned: one answer a prompt; empty where that column was not asked for.
        patched: for each set, one answer a prompt.
    """

    unpatched: list[Answer]
    aligned: list[Answer]
    patched: list[list[Answer]]


class Token(NamedTuple):
    """A token of a column: its id, and the piece of text that it adds (may be empty)."""

    id: int
    text: str


@dataclass(frozen=True)
class Step:
    """One step of `stream`: what each column wrote, None where it has ended, or was not asked for (`control`)."""

    unpatched: Token | None
    patched: Token | None
    aligned: Token | None
    control: Token | None = None


def generate(
    pair: Pair,
    prompts: Sequence[str],
    ns: NeuronSet,
    max_new_tokens: int = 64,
    *,
    strength: float = 1.0,
    positions: str | int = "all",
    max_rows: int = 64,
    draft: Draft = PROMPT_LOOKUP,
    sampling: Sampling | None = None,
) -> Generations:
    """Unpatched, patched and aligned answers to each prompt, greedy or sampled.

    Args:
        pair: the models.
        prompts: what a person would type; they are chat-formatted by the pair.
        ns: the neurons to patch from M2 into M1.
        max_new_tokens: the limit per answer.
        strength: 1 is the paper's patch, 0 none; above 1 overdrives, below 0 reverses (−1 to 2).
        positions: which are patched: one of `patch.POSITIONS` or `patch.SLICES`, or how many of the answer's first
            tokens.
        max_rows: rows of a forward pass; a prompt takes three, and a fourth once its answers differ.
        draft: see `options.Decoding`.
        sampling: how tokens are sampled; None for greedy answers. All columns and prompts are given the same random
            numbers. A prompt that comes n times gets n samples, numbered by its place among them, so its answers do not
            depend on what else is in the list.

    Raises:
        ExplorerError: a prompt, the length, the set, the strength or the positions are not usable.
    """
    what = Columns([Patch(ns, strength, positions)])
    out = sweep(pair, prompts, what, Decoding(max_new_tokens, max_rows, draft, sampling=sampling))
    return Generations(out.unpatched, out.patched[0], out.aligned)


def sweep(
    pair: Pair,
    prompts: Sequence[str],
    what: Columns,
    how: Decoding = DEFAULT,
    *,
    progress: Progress | None = None,
) -> Sweep:
    """Answers of M1, M2 and M1 with each patch; `generate` for many patches at once.

    Args:
        pair: the models.
        prompts: what a person would type.
        what: which answers are wanted.
        how: how they are decoded.
        progress: progress callback, fraction of the prompts in [0, 1].

    Raises:
        ExplorerError: a prompt or a set is not usable, or the opening leaves no token to write.
    """
    ids = [pair.encode(prompt, how.max_new_tokens) for prompt in prompts]
    samples = sample_numbers(prompts)
    openings = [opening_of(pair, prompt, how) for prompt in prompts] if how.opening else [[] for _ in prompts]
    texts: dict[int, list[list[int]]] = {column: [[] for _ in ids] for column in what.numbers}
    rows_a_prompt = what.unpatched + len(what.patches) + 1  # and what M2's guides come to when their rows part
    # Prompts of like length share a batch: little of it is padding.
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    room = rows_with_room(pair, max(map(len, ids), default=0) + how.max_new_tokens)
    size = max(1, min(how.max_rows, room) // max(1, rows_a_prompt))
    prefix = read_shared_prefix(pair, ids, what)

    def write(chunk: Sequence[int]) -> None:
        for column in texts.values():
            for i in chunk:
                column[i].clear()
        given = [openings[i] for i in chunk], [samples[i] for i in chunk]
        for step in decode(pair, [ids[i] for i in chunk], what, how, prefix, *given):
            for token in step:
                texts[token.column][chunk[token.prompt]].append(token.token)

    in_batches(order, size, write, progress)

    def answers(column: int) -> list[Answer]:
        return [Answer(pair.decode(tokens), tuple(tokens)) for tokens in texts.get(column, [])]

    return Sweep(answers(UNPATCHED), answers(ALIGNED), [answers(i) for i in range(len(what.patches))])


def sample_numbers(prompts: Sequence[str]) -> list[int]:
    """How often each prompt came before in the list: the number of its sample."""
    seen: Counter[str] = Counter()
    numbers = []
    for prompt in prompts:
        numbers.append(seen[prompt])
        seen[prompt] += 1
    return numbers


def opening_of(pair: Pair, prompt: str, how: Decoding) -> list[int]:
    """Token ids of the opening of answers, as they follow a prompt.

    Raises:
        ExplorerError: it leaves no token to write.
    """
    ids = continuation(pair.tokenizer, [("user", prompt)], how.opening)
    if len(ids) >= how.max_new_tokens:
        raise ExplorerError(
            f"The opening “{how.opening[:40]}” has {len(ids)} tokens, so answers of up to {how.max_new_tokens} tokens "
            "have no room behind it; raise the length."
        )
    return ids


def stream(
    pair: Pair,
    prompt: str,
    ns: NeuronSet,
    max_new_tokens: int = 64,
    draft: Draft = PROMPT_LOOKUP,
    *,
    strength: float = 1.0,
    positions: str | int = "all",
    control: NeuronSet | None = None,
    before: Sequence[Turn] = (),
    sampling: Sampling | None = None,
    sample: int = 0,
) -> Iterator[Step]:
    """The three columns token by token, and a fourth with `control`; the pieces of a column join to its whole text.

    Nothing is held between two steps: stop by not asking for the next one. Bad input is refused at
    the call, before the first step.

    Args:
        draft: see `options.Decoding`.
        strength: see `generate`.
        positions: see `generate`.
        control: a second set, patched in the same way in a column of its own: as many random neurons, mostly.
        before: what was said before the prompt, (role, text) each, with roles system (first), user and assistant; all
            columns read the same.
        sampling: how tokens are sampled; None for greedy answers. All columns are given the same random numbers.
        sample: which sample of this seed is written, from 0: the one that `generate` writes to a prompt that has come
            so often before.

    Raises:
        ExplorerError: the prompt, the length, the set, the strength or the positions are not usable.
    """
    how = Decoding(max_new_tokens, draft=draft, sampling=sampling)
    sets = [ns] if control is None else [ns, control]
    what = Columns([Patch(one, strength, positions) for one in sets])
    return _steps(pair, pair.encode_behind(before, prompt, max_new_tokens), what, how, check_sample(sample))


def check_sample(sample: int) -> int:
    """The number of a sample.

    Raises:
        ExplorerError: it is none.
    """
    return check_whole(sample, "The number of a sample", 0, MAX_SAMPLE)


def _steps(pair: Pair, ids: list[int], what: Columns, how: Decoding, sample: int) -> Iterator[Step]:
    columns = (UNPATCHED, 0, ALIGNED, *range(1, len(what.patches)))  # in the order of a step's fields
    texts = {column: TextStream(pair.tokenizer) for column in columns}

    def token(emitted: Emitted | None) -> Token | None:
        if emitted is None:
            return None
        return Token(emitted.token, texts[emitted.column].push(emitted.token, emitted.ended))

    for step in decode(pair, [ids], what, how, samples=[sample]):
        written = [[e for e in step if e.column == column] for column in columns]
        for emitted in zip_longest(*written):  # several where draft tokens were accepted
            yield Step(*map(token, emitted))
