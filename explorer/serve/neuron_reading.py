"""What one neuron does over the words of an answer, computed with the models, as the page that asked for it sees it.

reading = NeuronReading(NeuronRequest(prompt, 3, 17, 48))
service.worker.submit(reading, visitor())
reading.drain()                     # the page, again and again
reading.result                      # once it is there
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.serve.job import Job, Limits

if TYPE_CHECKING:
    import pandas as pd

    from explorer.models.pair import Pair


@dataclass(frozen=True)
class NeuronRequest:
    """What a person asked for.

    Attributes:
        prompt: checked by `check_prompt`.
        layer, neuron: whose activations.
        max_new_tokens: length limit of M1's answer, which both models read.
    """

    prompt: str
    layer: int
    neuron: int
    max_new_tokens: int


@dataclass(frozen=True)
class LiveDetail:
    """Words (position, token, part, m1, m2) and projection (direction, place, token, logit) of a neuron."""

    words: "pd.DataFrame"
    projection: "pd.DataFrame"


class NeuronReading(Job):
    """A reading and what is known of it so far; see `Job`.

    Attributes:
        request: what was asked for.
        result: None until it is there.
    """

    what = "reading"
    button = "Compute with the model"

    def __init__(self, request: NeuronRequest, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self.request = request
        self.result: LiveDetail | None = None

    def _take(self, event: object) -> None:
        super()._take(event)
        if isinstance(event, LiveDetail):
            self.result = event


def read_neuron(pair: "Pair", request: NeuronRequest) -> LiveDetail:
    """The reading, by the engine.

    Raises:
        ExplorerError: see `engine.inspect`.
    """
    from explorer.engine.inspect import activations_over_words, vocabulary_projection

    asked = request
    words = activations_over_words(pair, asked.prompt, asked.layer, asked.neuron, asked.max_new_tokens)
    return LiveDetail(words, vocabulary_projection(pair, asked.layer, asked.neuron, top=10))
