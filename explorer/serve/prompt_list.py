"""A person's own list of prompts, each answered in every column, as the page that asked for it sees it.

prompts = read_prompts("Why?\\nHow?")                  # or read_upload("mine.csv", data)
work = PromptList(ListRequest(prompts, neurons, None, 32))
service.worker.submit(work)                           # in the same queue as generations
work.drain()
work.answers[0]["patched"].text
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.data.suites_io import load_suite
from explorer.engine.drafts import PROMPT_LOOKUP, NgramDraft
from explorer.engine.options import Sampling
from explorer.errors import ExplorerError
from explorer.models.prompting import check_prompt
from explorer.neurons.sets import NeuronSet
from explorer.serve.generation import CONTROL, Column, End
from explorer.serve.job import Ended, Job, Limits

if TYPE_CHECKING:
    from explorer.engine.patching import Answer
    from explorer.models.pair import Pair

MOST_PROMPTS = 40
"""Prompts of a list, at most: others wait for the models meanwhile."""

MOST_BYTES = 1_000_000
"""Bytes of an uploaded file, at most."""

_AT_ONCE = 4
"""Prompts of a batch: after each the page is told."""

LIMITS = Limits(running=900.0)


@dataclass(frozen=True)
class ListRequest:
    """What a person asked for.

    Attributes:
        prompts: of `read_prompts` or `read_upload`.
        neurons, control, max_new_tokens, direction, strength, positions, draft: see `generation.Request`.
        sampling: how tokens are sampled, one answer a column; None for greedy answers.
    """

    prompts: tuple[str, ...]
    neurons: NeuronSet
    control: NeuronSet | None
    max_new_tokens: int
    direction: str = "restore"
    strength: float = 1.0
    positions: str | int = "all"
    draft: NgramDraft = PROMPT_LOOKUP
    sampling: Sampling | None = None


@dataclass(frozen=True)
class Listed:
    """The answers to one prompt, by its place in the list."""

    place: int
    columns: Mapping[str, Column]


class PromptList(Job):
    """A list of prompts and what is answered of it so far; see `Job`.

    Attributes:
        request: what was asked for.
        answers: by the place of the prompt, from 0: the columns, scored.
    """

    what = "list of prompts"
    button = "Answer all"
    product, remedy = "list was", "shorten it"

    def __init__(self, request: ListRequest, limits: Limits = LIMITS) -> None:
        super().__init__(limits)
        self.request = request
        self.answers: dict[int, Mapping[str, Column]] = {}

    @property
    def share(self) -> float:
        """How many of the prompts are answered, 0 to 1."""
        return len(self.answers) / len(self.request.prompts)

    def stop(self) -> None:
        """Answer no more; what is answered stays."""
        with self._lock:
            self._halt.set()
        self.drain()
        if self.active:
            self._take(Ended(notice=f"Stopped after {len(self.answers)} of {len(self.request.prompts)} prompts."))

    def _take(self, event: object) -> None:
        super()._take(event)
        if isinstance(event, Listed):
            self.answers[event.place] = event.columns


def read_prompts(text: str) -> tuple[str, ...]:
    """The prompts of a pasted text, one a line; empty lines are passed over.

    Raises:
        ExplorerError: there is none, there are too many, or one is too long.
    """
    return _checked([line for line in text.splitlines() if line.strip()])


def read_upload(name: str, data: bytes) -> tuple[str, ...]:
    """The prompts of an uploaded file: .txt with one a line, or what `data.suites_io.load_suite` reads.

    Raises:
        ExplorerError: it is too large, cannot be read, or holds no prompts or too many.
    """
    if len(data) > MOST_BYTES:
        raise ExplorerError(f"The file has {len(data):,} bytes; the limit is {MOST_BYTES:,}. Upload a smaller one.")
    ending = Path(name).suffix.lower()
    if ending in (".txt", ""):
        return read_prompts(data.decode("utf-8-sig", errors="replace"))
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / f"upload{ending}"
        file.write_bytes(data)
        try:
            found = load_suite(str(file), MOST_PROMPTS + 1)
        except ExplorerError as problem:
            raise ExplorerError(str(problem).replace(str(file), "The file")) from None
    return _checked([one.prompt for one in found])


def _checked(prompts: list[str]) -> tuple[str, ...]:
    if not prompts:
        raise ExplorerError("The list holds no prompts; write one a line.")
    if len(prompts) > MOST_PROMPTS:
        raise ExplorerError(f"The list holds more than {MOST_PROMPTS} prompts; shorten it, or build a run for more.")
    return tuple(check_prompt(prompt) for prompt in prompts)


def write_list(pair: "Pair", request: ListRequest) -> "Iterator[dict[int, dict[str, Answer]]]":
    """The answers by the place of their prompt, a few prompts at a time.

    Raises:
        ExplorerError: a prompt, the length, a set, the strength or the positions are not usable.
    """
    from explorer.engine.options import Columns, Decoding
    from explorer.engine.patching import sweep
    from explorer.neurons.patch import Patch

    turned = pair.reversed() if request.direction == "break" else pair
    sets = [ns for ns in (request.neurons, request.control) if ns is not None]
    what = Columns([Patch(ns, request.strength, request.positions) for ns in sets])
    how = Decoding(request.max_new_tokens, draft=request.draft, sampling=request.sampling)
    for start in range(0, len(request.prompts), _AT_ONCE):
        chunk = request.prompts[start : start + _AT_ONCE]
        out = sweep(turned, chunk, what, how)
        found = {}
        for i in range(len(chunk)):
            answers = {"unpatched": out.unpatched[i], "patched": out.patched[0][i]}
            if request.control is not None:
                answers[CONTROL] = out.patched[1][i]
            found[start + i] = answers | {"aligned": out.aligned[i]}
        yield found


def column_of(
    answer: "Answer", stop_ids: frozenset[int], scores: tuple[float | None, bool | None, float | None]
) -> Column:
    """An answer of the engine with its cost, refusal and reward."""
    ids = list(answer.token_ids)
    end = End.TOKEN if ids and ids[-1] in stop_ids else End.LIMIT
    cost, refused, reward = scores
    return Column(answer.text, len(ids), end, cost, refused, reward, ids)
