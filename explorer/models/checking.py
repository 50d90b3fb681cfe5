"""What a model that was recognised by its structure must show before it is used.

    check_structure(model)         # a handful of short forward passes

One that is built alike but computes otherwise would give numbers that look right and are not; it is refused here.
"""

from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch

from explorer.errors import ExplorerError
from explorer.models.expert_layer import JoinedLayer
from explorer.models.hooks import neuron_hooks
from explorer.models.layers import neuron_layers
from explorer.models.ragged import PaddedLayer, own_width
from explorer.models.structure import read_probe

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TEXTS = ((3, 4, 5, 6, 7), (7, 5, 3, 4, 6))
"""Token ids of two short texts."""

CLOSE = {torch.float32: 1e-3, torch.float64: 1e-6}
"""Relative distance below which two results are the same numbers by other kernels; 0.25 in half precision, where a
rounding lets a router choose another expert. What is computed wrongly is farther off, by the numbers' own size."""


def check_structure(model: "PreTrainedModel") -> None:
    """See that neurons are read and replaced as the model computes them, and that a text does not see what follows it.

    Raises:
        ExplorerError: they are not, or it does.
    """
    ids = torch.tensor(_TEXTS, device=model.device)
    with torch.inference_mode():
        plain = read_probe(model, ids).logits
        _check_order(model, ids)
        with neuron_hooks(model, lambda _layer, _h: None):
            watched = read_probe(model, ids).logits
        _refuse_unless(
            is_close(watched, plain),
            model,
            "compute their MLPs otherwise than as act(W_gate x) * W_up x, or weight their experts in another way",
        )
        shorter = read_probe(model, ids[:1, :3]).logits
        _refuse_unless(
            is_close(plain[:1, :3], shorter),
            model,
            "let a token see those behind it, so they do not write text from left to right",
        )
        _check_parts(model, ids)
        _check_positions(model, ids, plain)
        _check_state(model, ids)
    _check_gradients(model, ids)


def is_close(got: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether two results of a model, of one shape, are the same up to rounding (`CLOSE`)."""
    size = float(wanted.float().norm())
    return float((got.float() - wanted.float()).norm()) <= CLOSE.get(wanted.dtype, 0.25) * size


def _check_order(model: "PreTrainedModel", ids: torch.Tensor) -> None:
    """Every layer's neurons pass by once, in order and in their shape."""
    seen: list[tuple[int, tuple[int, ...]]] = []
    with neuron_hooks(model, lambda layer, h: seen.append((layer, tuple(h.shape)))):
        read_probe(model, ids)
    layers = neuron_layers(model)
    expected = [(number, (*ids.shape, layer.width)) for number, layer in enumerate(layers)]
    _refuse_unless(
        seen == expected, model, "do not pass each layer's neurons by once, in order (some share a layer's weights)"
    )


def _check_parts(model: "PreTrainedModel", ids: torch.Tensor) -> None:
    """Where a layer's neurons lie in several modules, those of one do not depend on those of another."""
    own = (layer.own if isinstance(layer, PaddedLayer) else layer for layer in neuron_layers(model))
    joined = [layer for layer in own if isinstance(layer, JoinedLayer) and len(layer.parts) > 1]
    if not joined:
        return
    with ExitStack() as held:
        for layer in joined:
            held.enter_context(layer.watched())
            held.callback(layer.attach(lambda h: -h).remove)
        read_probe(model, ids)
    _refuse_unless(
        all(layer.lie_apart() for layer in joined), model, "have MLPs in a block one of which reads what another wrote"
    )


def _check_positions(model: "PreTrainedModel", ids: torch.Tensor, plain: torch.Tensor) -> None:
    """Positions that are said, as `generate` says them, are those that the model counts itself (RoBERTa's are not)."""
    try:
        said = model(input_ids=ids, position_ids=torch.arange(ids.shape[1], device=ids.device)[None], use_cache=False)
    except Exception:  # noqa: BLE001  a family that takes none, or others
        return
    _refuse_unless(
        is_close(said.logits, plain),
        model,
        "count the positions of a text otherwise than they are counted while text is generated, so that they would "
        "write with one model and be read with another",
    )


def _check_state(model: "PreTrainedModel", ids: torch.Tensor) -> None:
    """Nothing of a text stays in the model's own modules, where the next text's rows would meet it."""

    def kept() -> dict[tuple[str, str], torch.Tensor]:
        return {
            (name, attribute): value.clone()
            for name, module in model.named_modules()
            for attribute, value in vars(module).items()
            if isinstance(value, torch.Tensor)
        }

    read_probe(model, ids)
    first = kept()
    read_probe(model, ids.flip(0) + 1)
    second = kept()
    same = first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    _refuse_unless(same, model, "keep the state of a text in their own modules, where rows of a batch cannot be chosen")


@torch.inference_mode(False)
def _check_gradients(model: "PreTrainedModel", ids: torch.Tensor) -> None:
    """Gradients reach every layer's neurons: what attribution needs."""
    layers = neuron_layers(model)
    masks = [torch.zeros(layer.width, device=layer.device, requires_grad=True) for layer in layers]
    with torch.enable_grad(), neuron_hooks(model, lambda layer, h: h * (1 + masks[layer].to(h))):
        total = read_probe(model, ids.clone()).logits.float().square().sum()
        found: tuple[torch.Tensor | None, ...]
        try:
            found = torch.autograd.grad(total, masks, allow_unused=True)
        except RuntimeError:  # a backward pass of the family's own
            found = (None,) * len(masks)
    reached = [gradient is not None or not own_width(layer) for gradient, layer in zip(found, layers, strict=True)]
    _refuse_unless(
        all(reached), model, "let no gradient reach their neurons, so that nothing can be attributed to them"
    )


def _refuse_unless(fine: bool, model: "PreTrainedModel", why: str) -> None:
    if not fine:
        raise ExplorerError(
            f"Models of type “{model.config.model_type}” {why}; they are not in the table of families, and are not "
            "contrasted or patched here."
        )
