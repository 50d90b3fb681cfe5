"""What a back end is: it decodes rows of a batch step by step with a KV cache, and reads whole texts.

The engine knows back ends through these two protocols alone; `choosing.py` says which one takes a model. Another back
end (for another family, or a faster form of one) is one file beside this one and one entry there.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from explorer.engine.reading import Inputs

InPlaceVisit = Callable[[int, torch.Tensor], None]
"""Called with a layer and the neurons' activations [rows, positions, n_neurons] before `down_proj`; it may
change them in place."""


class DecodePass(Protocol):
    """A batch of rows that advance together, can be dropped and can be doubled."""

    @property
    def row_price(self) -> float | None:
        """What another row adds to the time of a step, as a share of a step without rows; None where tokens that were
        read cannot be rolled back, so that no draft is verified."""
        ...

    @property
    def can_branch(self) -> bool:
        """Whether `branch` is there: a prefix that prompts share is then read once."""
        ...

    def forward(self, pending: list[list[int]], visit: InPlaceVisit, last: int = 1) -> torch.Tensor:
        """Read each row's pending tokens; the final hidden states of its last positions, [rows, last, hidden]."""
        ...

    def greedy(self, hidden: torch.Tensor) -> list[int]:
        """The most likely next token of each row, from hidden states [rows, hidden]."""
        ...

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """The logits of each row's next token as the model itself gives them, capped and scaled where it does that,
        [rows, vocabulary], from hidden states [rows, hidden]."""
        ...

    def keep(self, rows: list[int]) -> None:
        """Go on with these rows, in this order; one that is named twice goes on twice."""
        ...

    def forget(self, counts: list[int]) -> None:
        """Roll back the last tokens that each row has read, so many each; only where there is a `row_price`."""
        ...

    def branch(self, rows: list[int], longest: int) -> "DecodePass":
        """Another pass that goes on from these rows, in this order, a row as often as it is named; where `can_branch`.

        Args:
            rows: rows of this pass, which stays as it is.
            longest: no row of the new pass will have more tokens than this.
        """
        ...


class Backend(Protocol):
    """One way to run models.

    Attributes:
        name: for people.
    """

    name: str

    def takes(self, module: "PreTrainedModel") -> bool:
        """Whether what it computes is this model's whole computation."""
        ...

    def begin(self, module: "PreTrainedModel", longest: int) -> DecodePass:
        """A pass that has read nothing yet; no row of it will have more than `longest` tokens."""
        ...

    def read(self, module: "PreTrainedModel", inputs: "Inputs", visit: InPlaceVisit) -> None:
        """Visit the neurons of whole texts, given as `reading.inputs_of` makes them; nothing is kept."""
        ...
