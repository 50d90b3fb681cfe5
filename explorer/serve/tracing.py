"""One trace of an answer, as the page that asked for it sees it; it waits in the same queue as generations.

tracing = Tracing(TraceRequest(generation.request.prompt, Patch(neurons), column.ids))
service.worker.submit(tracing)
tracing.drain()                     # the page, again and again
tracing.result                      # of `engine.traced`, once it is there
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.engine.token_margin import TokenMargin
from explorer.neurons.patch import Patch
from explorer.serve.job import Job, Limits

if TYPE_CHECKING:
    from explorer.engine.traced import Trace
    from explorer.models.pair import Pair


@dataclass(frozen=True)
class TraceRequest:
    """What a person asked for.

    Attributes:
        prompt: that was answered.
        patch: how the patched answer was written.
        answer: token ids of the answer that all models are to read; () where only its text is known.
        text: of the answer; read where there are no ids.
        ended: whether the answer came to its end token.
        direction: see `generation.Request`.
        margin: of the run; None where it has none.
        before: what was said before the prompt where this answer was written; all models read it.
    """

    prompt: str
    patch: Patch
    answer: tuple[int, ...] = ()
    text: str = ""
    ended: bool = False
    direction: str = "restore"
    margin: TokenMargin | None = None
    before: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Reading:
    """How far the models have read, 0 to 1."""

    share: float


@dataclass(frozen=True)
class Traced:
    """The trace is there."""

    result: "Trace"


class Tracing(Job):
    """A trace and what is known of it so far; see `Job`.

    Attributes:
        request: what was asked for.
        share: how far the models have read, 0 to 1.
        result: None until it is there.
    """

    what = "trace"
    button = "Trace this answer"

    def __init__(self, request: TraceRequest, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self.request = request
        self.share = 0.0
        self.result: Trace | None = None

    def _take(self, event: object) -> None:
        super()._take(event)
        match event:
            case Reading(share):
                self.share = share
            case Traced(result):
                self.result = result


def trace_request(pair: "Pair", request: TraceRequest, tell: Callable[[float], None]) -> "Trace":
    """The trace, by the engine; `tell` is told how far it is, and ends it by raising.

    Raises:
        ExplorerError: see `engine.trace.trace`.
    """
    from explorer.engine.trace import trace

    answer = request.answer or _ids_of(pair, request)
    turned = pair.reversed() if request.direction == "break" else pair
    return trace(turned, request.prompt, answer, request.patch, request.margin, before=request.before, progress=tell)


def _ids_of(pair: "Pair", request: TraceRequest) -> list[int]:
    """Token ids of an answer's text in its place, with an end token where it came to one."""
    from explorer.models.prompting import continuation

    end = pair.tokenizer.eos_token_id
    ids = continuation(pair.tokenizer, [*request.before, ("user", request.prompt)], request.text)
    return [*ids, end] if request.ended and end in pair.stop_ids else ids
