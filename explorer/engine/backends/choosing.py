"""Which back end runs a model: the first that takes it, the fastest first.

rows = begin(module, longest=200)                 # decode step by step
read_texts(module, inputs, visit)                 # read whole texts
"""

from typing import TYPE_CHECKING

from explorer.engine.backends.encoder_decoder import EncoderDecoderBackend
from explorer.engine.backends.fused import FusedBackend
from explorer.engine.backends.hooked import HookedBackend
from explorer.engine.backends.interface import Backend, DecodePass, InPlaceVisit
from explorer.engine.reading import Inputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BACKENDS: tuple[Backend, ...] = (FusedBackend(), EncoderDecoderBackend(), HookedBackend())
"""The last takes every model of a known family."""


def backend_of(module: "PreTrainedModel") -> Backend:
    """The back end of a model of a known family."""
    return next(backend for backend in BACKENDS if backend.takes(module))


def begin(module: "PreTrainedModel", longest: int) -> DecodePass:
    """A pass over rows of a model that writes text.

    Args:
        module: a decoder, or an encoder–decoder.
        longest: no row will have more tokens than this.
    """
    return backend_of(module).begin(module, longest)


def begin_hooked(module: "PreTrainedModel", longest: int) -> DecodePass:
    """The same through transformers' own forward, for what watches or changes more of a model than its neurons."""
    hooked = (backend for backend in BACKENDS if isinstance(backend, HookedBackend))
    return next(backend for backend in hooked if backend.takes(module)).begin(module, longest)


def read_texts(module: "PreTrainedModel", inputs: Inputs, visit: InPlaceVisit) -> None:
    """Visit the neurons of whole texts, in the fastest form that gives this module's own activations.

    Args:
        module: a model of a known family.
        inputs: what `reading.inputs_of` makes of texts.
        visit: see `interface.InPlaceVisit`.
    """
    backend_of(module).read(module, inputs, visit)
