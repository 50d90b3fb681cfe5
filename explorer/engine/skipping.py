"""A forward pass without its first blocks, where nothing before them has changed.

blocks = FirstBlocks(model)
with blocks.kept({12, 20}):
    model(**inputs)                      # the whole pass, once
with blocks.skipped(12):
    model(**inputs)                      # the same inputs: begins with block 12

A patch of one neuron of a late layer leaves all blocks before it as they were; what they gave is taken from the pass
that nothing changed.
"""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from explorer.engine.backends.fused import FusedBackend
from explorer.models.expert_layer import forward_as
from explorer.models.families import blocks_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class FirstBlocks:
    """The first blocks of a model and what they gave for some inputs."""

    def __init__(self, model: "PreTrainedModel") -> None:
        self._blocks = blocks_of(model)
        # Blocks of these models hand on the residual stream and nothing else; in others a later one may read what an
        # earlier one computed beside it.
        self._plain = FusedBackend().takes(model)
        self._given: dict[int, Any] = {}

    @contextmanager
    def kept(self, counts: Collection[int]) -> Iterator[None]:
        """Keep what so many first blocks give, for each of these counts, while the with statement lasts."""
        self._given.clear()
        with ExitStack() as held:
            for count in counts if self._plain else ():
                if count:
                    hook = self._blocks[count - 1].register_forward_hook(
                        lambda _block, _args, out, count=count: self._given.update({count: out})
                    )
                    held.callback(hook.remove)
            yield

    @contextmanager
    def skipped(self, count: int) -> Iterator[None]:
        """Leave out so many first blocks, if what they gave was kept; else all are computed."""
        if count not in self._given:
            yield
            return
        given = self._given[count]
        with ExitStack() as held:
            for block in self._blocks[:count]:
                held.enter_context(forward_as(block, lambda *_args, **_kwargs: given))
            yield
