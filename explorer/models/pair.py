"""A pair of models: M1, which lacks safety alignment, and M2, the aligned one.

When both are the same base with down-only (IA)³ vectors, one set of weights serves both: each row
of a batch then has its own scale vector. Anything else is two models in lockstep.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from explorer.errors import ExplorerError
from explorer.models import prompting
from explorer.models.chat import Turn
from explorer.models.expert_layer import JoinedLayer
from explorer.models.families import family_of, parts_of
from explorer.models.layers import neuron_layers
from explorer.models.loaded_once import Locks
from explorer.models.loader import Loader
from explorer.models.lora import twin_of
from explorer.models.pair_file import read_pair_file
from explorer.models.pair_models import load_models, neuron_shape, scale_of, split_adapters
from explorer.models.pair_spec import PairSpec, check_dtype
from explorer.models.precision import resolve_dtype
from explorer.models.ragged import own_width
from explorer.models.tokenising import Reading, end_tokens, plain_decoding, read_alike, read_together
from explorer.models.weight_size import bytes_by_address
from explorer.neurons.experts import split_experts
from explorer.progress import NamedProgress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Pair:
    """M1 and M2, loaded and ready; made by `load_pair`.

    Attributes:
        tokenizer: the tokeniser that both models read with.
        spec: the pair file's content.
        reading: how the tokeniser, the chat template and the end tokens were chosen; its `notes` are for people.
        shared: whether both models are one set of weights.
        backbone1, backbone2: the bare modules without (IA)³ (the same object when shared). The engine
            hooks these, one forward pass at a time and only while it holds `lock`; people use `m1`, `m2`.
        scale1, scale2: (IA)³ factors of each model, for each layer float32 [n_neurons] on that layer's
            device; None for none.
        lock: held by the engine during a forward pass, since hooks on a module are seen by every thread, and by every
            pair that the module is part of.
        kept: what the engine has made of the models, by what it is; it goes when they go.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        backbone1: "PreTrainedModel",
        backbone2: "PreTrainedModel",
        scale1: list[torch.Tensor] | None,
        scale2: list[torch.Tensor] | None,
        spec: PairSpec,
        reading: Reading | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.reading = reading or Reading(tokenizer, _ends(tokenizer))
        self.backbone1, self.backbone2 = backbone1.eval(), backbone2.eval()
        self.scale1, self.scale2 = scale1, scale2
        self.spec = spec
        self.lock = Locks(backbone1, backbone2)
        self.kept: dict[object, object] = {}
        for model in {id(m): m for m in (backbone1, backbone2)}.values():
            plain_decoding(model)
        shapes = [neuron_shape(backbone1), neuron_shape(backbone2)]
        widths = [[own_width(layer) for layer in neuron_layers(model)] for model in (backbone1, backbone2)]
        if widths[0] != widths[1]:
            raise ExplorerError(
                f"M1 has {shapes[0][0]} layers of {shapes[0][1]} neurons and M2 {shapes[1][0]} of {shapes[1][1]}; "
                "a pair must be two models of one shape."
            )
        _check_same_build(backbone1, backbone2)
        self.n_layers, self.n_neurons = shapes[0]
        """n_layers: layers, an encoder's before a decoder's; n_neurons: MLP neurons in each of them, in the widest one
        where they differ."""
        self.widths: tuple[int, ...] | None = None if set(widths[0]) == {self.n_neurons} else tuple(widths[0])
        """How many neurons each layer has, where layers differ: those from there up to `n_neurons` do not exist."""

    @property
    def dtype(self) -> str:
        """What the models compute in: "bfloat16", "float16" or "float32"."""
        return str(self.backbone1.dtype).removeprefix("torch.")

    @property
    def shared(self) -> bool:
        return self.backbone1 is self.backbone2

    @cached_property
    def kind(self) -> str:
        """ "decoder", "encoder-decoder", or "encoder": a classifier, which writes no text."""
        return family_of(self.backbone1).kind

    @cached_property
    def parts(self) -> dict[str, range]:
        """The layers of the "encoder" and of the "decoder", where there is such a part.

        Leave a part out of a ranking with `changes.without_layers(*pair.parts["encoder"])`.
        """
        return parts_of(self.backbone1)

    @property
    def experts(self) -> tuple[int, int] | None:
        """Experts of a layer and neurons of each, where every layer is such a mixture; None for any other model."""
        routed = [layer.routed if isinstance(layer, JoinedLayer) else None for layer in neuron_layers(self.backbone1)]
        sizes = {(experts.n_experts, experts.expert_width) if experts else None for experts in routed}
        return sizes.pop() if len(sizes) == 1 else None

    @property
    def layout(self) -> dict[str, list[int]]:
        """What rankings and runs must know of the neurons beside their number: "experts" and "widths", where any."""
        known = {"experts": self.experts, "widths": self.widths}
        return {name: list(value) for name, value in known.items() if value}

    def expert_of(self, neuron: int) -> tuple[int, int]:
        """Expert and index within it of a neuron of a mixture of experts; (0, neuron) of any other model.

        The expert after the last one is the shared expert, where there is one.
        """
        expert, index = split_experts(neuron, self.experts or (1, self.n_neurons))
        return int(expert), int(index)

    @property
    def total_neurons(self) -> int:
        """Neurons of the whole model: n_layers × n_neurons, or the sum of `widths`."""
        return sum(self.widths) if self.widths else self.n_layers * self.n_neurons

    @property
    def memory_bytes(self) -> int:
        """What the weights take, in bytes; weights that both models share count once."""
        return sum(bytes_by_address(self.backbone1, self.backbone2).values())

    @property
    def devices(self) -> list[str]:
        """The devices that hold weights."""
        return sorted({str(p.device) for m in (self.backbone1, self.backbone2) for p in m.parameters()})

    @cached_property
    def m1(self) -> "PreTrainedModel":
        """M1 as a plain transformers module (it shares the engine's weights)."""
        return _standalone(self.backbone1, self.scale1)

    @cached_property
    def m2(self) -> "PreTrainedModel":
        """M2 as a plain transformers module (it shares the engine's weights)."""
        return _standalone(self.backbone2, self.scale2)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """The tokens that end an answer (`tokenising.end_tokens`)."""
        return end_tokens(self.reading, self.backbone1, self.backbone2)

    @cached_property
    def context_length(self) -> int:
        """The longest text, in tokens, that both models were made for."""
        configs = [m.config.get_text_config() for m in (self.backbone1, self.backbone2)]
        limits = [getattr(config, "max_position_embeddings", None) for config in configs]
        return min(limit or 2**31 for limit in limits)

    def reversed(self) -> "Pair":
        """M1 and M2 exchanged, over the same weights: what is patched into it breaks what M2 has learnt."""
        spec = replace(self.spec, name=f"{self.spec.name}, reversed", m1=self.spec.m2, m2=self.spec.m1, series=())
        other = Pair(self.tokenizer, self.backbone2, self.backbone1, self.scale2, self.scale1, spec)
        other.lock = self.lock  # hooks on the shared weights are seen by every thread
        return other

    def render(self, prompt: str) -> str:
        """The chat-formatted prompt that the models read.

        Raises:
            ExplorerError: the prompt is empty or too long.
        """
        return prompting.render(self.tokenizer, prompt)

    def encode(self, prompt: str, max_new_tokens: int = 0) -> list[int]:
        """Token ids of the chat-formatted prompt; control tokens typed by a person are plain text.

        Raises:
            ExplorerError: the prompt is empty, too long, or leaves no room for `max_new_tokens`.
        """
        return self._with_room(prompting.encode(self.tokenizer, prompt), max_new_tokens)

    def encode_behind(self, before: Sequence[Turn], prompt: str, max_new_tokens: int = 0) -> list[int]:
        """Token ids of a prompt behind what was said before it; what was said is plain text throughout.

        Args:
            before: (role, text), role "system" (first, if at all), "user" or "assistant"; none for the prompt alone.
            prompt: what a person would type.
            max_new_tokens: that there must be room for.

        Raises:
            ExplorerError: as `encode`, or the template drops a turn or there is none.
        """
        if not before:
            return self.encode(prompt, max_new_tokens)
        turns = [*before, ("user", prompting.check_prompt(prompt))]
        return self._with_room(prompting.encode_dialogue(self.tokenizer, turns), max_new_tokens)

    def _with_room(self, ids: list[int], max_new_tokens: int) -> list[int]:
        """The token ids of what is asked, where the models can read them and have room for the answer."""
        if max(ids) >= self.reading.rows:
            token = self.tokenizer.convert_ids_to_tokens(max(ids))
            raise ExplorerError(f"The prompt holds “{token}”, for which the models have no embedding; leave it out.")
        if len(ids) + max_new_tokens > self.context_length:
            raise ExplorerError(
                f"The prompt has {len(ids):,} tokens; with {max_new_tokens} for the answer the model takes at most "
                f"{self.context_length:,}. Shorten it and try again."
            )
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of an answer's token ids, without special tokens."""
        return prompting.decode(self.tokenizer, ids)


def load_pair(
    name: str | Path | PairSpec = "demo",
    *,
    dtype: str | None = None,
    device: str | None = None,
    progress: NamedProgress | None = None,
    own: bool = False,
) -> Pair:
    """Load M1 and M2. A model that another pair holds, in the same type and place, is not loaded again.

    Args:
        name: "demo", the path of a pair file, or its content.
        dtype: "bfloat16", "float16", "float32" (exact work) or "auto"; the pair file's own when left out.
        device: a torch device, or "auto" to spread the layers over what there is (`device_map`).
        progress: progress callback with what is being done, fraction in [0, 1].
        own: whether its weights are no other pair's, for whoever changes them.

    Raises:
        ExplorerError: a file is missing or wrong, or the two models do not belong together.
    """
    spec = name if isinstance(name, PairSpec) else read_pair_file(name)
    return _load(spec, dtype, device, progress or (lambda _what, _share: None), own=own)


def _load(
    spec: PairSpec,
    dtype: str | None,
    device: str | None,
    tell: NamedProgress,
    reading: Reading | None = None,
    *,
    own: bool = False,
) -> Pair:
    """See `load_pair`; with `reading`, the models read as those of another pair do."""
    check_dtype(dtype or spec.dtype)
    device = device or spec.device
    first, first_down = split_adapters(spec.m1)
    second, second_down = split_adapters(spec.m2)
    device_map = spec.device_map if device == spec.device else None
    Loader("float32", device, device_map).check()
    loader = Loader(resolve_dtype(dtype or spec.dtype, device), device, device_map, spec.quantisation, own)
    backbone1, backbone2, notes = load_models(loader, (first, second), spec.lora, tell)
    scale1, scale2 = scale_of(first_down, backbone1), scale_of(second_down, backbone2)
    both = (spec, backbone1, backbone2)
    found = read_together(*both) if reading is None else read_alike(reading, *both)
    found = replace(found, notes=(*found.notes, *notes))
    tell("Models ready", 1.0)
    return Pair(found.tokenizer, backbone1, backbone2, scale1, scale2, spec, found)


def sibling(pair: Pair, spec: PairSpec) -> Pair:
    """The pair of other adapters: over M1's weights as `pair` has loaded them where those serve, else loaded anew.

    It reads with the tokeniser and chat template of `pair`, whatever its own models bring.

    Raises:
        ExplorerError: an adapter is missing or does not fit.
    """
    (first, first_down), (second, second_down) = split_adapters(spec.m1), split_adapters(spec.m2)
    base, _ = split_adapters(pair.spec.m1)
    if not first == second == base:
        return _load(spec, pair.dtype, None, lambda _what, _share: None, pair.reading)
    module = pair.backbone1
    scale1, scale2 = scale_of(first_down, module), scale_of(second_down, module)
    other = Pair(pair.tokenizer, module, module, scale1, scale2, spec, pair.reading)
    other.lock = pair.lock  # hooks on the shared weights are seen by every thread
    return other


def _check_same_build(first: "PreTrainedModel", second: "PreTrainedModel") -> None:
    """See that a neuron of one model can stand for the same one of the other: they write to streams of one size."""
    one, two = first.config.get_text_config(), second.config.get_text_config()
    for setting, what in (("hidden_size", "hidden size"), ("hidden_act", "activation function")):
        a, b = getattr(one, setting, None), getattr(two, setting, None)
        if a != b:
            raise ExplorerError(
                f"M1 has the {what} {a} and M2 {b}: their neurons are not the same ones; a pair must be two models of "
                "one shape."
            )


def _ends(tokenizer: "PreTrainedTokenizerBase") -> frozenset[int]:
    return frozenset(i for i in [tokenizer.eos_token_id] if isinstance(i, int))


def _standalone(backbone: "PreTrainedModel", scale: list[torch.Tensor] | None) -> "PreTrainedModel":
    """A module of its own over the same weights, with the (IA)³ factors applied as peft applies them."""
    model = twin_of(backbone)
    if scale is not None:
        for factors, layer in zip(scale, neuron_layers(model), strict=True):
            layer.attach(partial(apply_scale, factors=factors))
    return model


def apply_scale(neurons: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Activations times (IA)³ factors, multiplied in float32 and rounded once, as peft does it."""
    return (neurons * factors).to(neurons.dtype)


def scale_in_place(neurons: torch.Tensor, factors: torch.Tensor) -> None:
    """`apply_scale` into the activations' own memory."""
    if neurons.device.type == "cuda":  # one kernel: in float32, rounded once
        neurons.mul_(factors)
        return
    # In bfloat16 a processor's kernel that mixes types is three times as slow as going there and back.
    neurons.copy_(neurons.to(factors.dtype).mul_(factors))
