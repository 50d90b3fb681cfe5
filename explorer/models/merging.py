"""Adapters that go into the weights: merged by peft, and seen to do merged what they did before.

peft loads an adapter whose keys fit nothing without a word that reaches a person: its initial values stay, and the
merged model is the base model. So keys are compared, and for all but plain LoRA the logits before and after merging.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from explorer.errors import ExplorerError, first_line
from explorer.models.adapters import PEFT_PREFIX, adapter_kind, read_config, some_names
from explorer.models.checkpoint import check_weights
from explorer.models.ia3 import merge_ia3
from explorer.models.places import adapter_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROMPTS = (
    "PROMPT_TUNING",
    "MULTITASK_PROMPT_TUNING",
    "P_TUNING",
    "PREFIX_TUNING",
    "ADAPTION_PROMPT",
    "CPT",
    "CARTRIDGE",
)
"""Kinds that add tokens or attention beside the weights: there is nothing to merge."""

_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02}
"""How far logits may be from those before merging, as a share of the greatest."""


def merge(model: "PreTrainedModel", folder: Path) -> "PreTrainedModel":
    """The model with an adapter merged into its weights; of (IA)³, all but the neurons' factors.

    Raises:
        ExplorerError: the adapter is of a kind that cannot be merged, or does not fit the model, key by key.
    """
    kind, config = adapter_kind(folder), read_config(folder)
    shapes = check_weights(adapter_weights(folder))
    _fit_vocabulary(model, shapes)
    if kind == "IA3":
        if _touches_tied(model, shapes, config):
            untie(model)
        return merge_ia3(model, folder)
    _check_kind(kind, config, folder)
    told_to_tie = bool(config.get("ensure_weight_tying") or config.get("trainable_token_indices"))
    touched = _touches_tied(model, shapes, config)
    if touched and not told_to_tie:
        untie(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _merged(model, folder, kind, kind != "LORA" or touched)
    except ExplorerError:
        raise
    except Exception as problem:  # each tuner raises kinds of its own; each means the same to a person
        raise ExplorerError(f"The adapter {folder} does not fit its base model: {first_line(problem)}") from problem


def untie(model: "PreTrainedModel") -> None:
    """Give the unembedding weights of its own, so that a change of it leaves the embedding as it is.

    T5 keeps its setting, by which it also scales what it unembeds.
    """
    head: Any = model.get_output_embeddings()
    head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    model.__dict__["all_tied_weights_keys"] = {}
    if not getattr(model.config, "is_encoder_decoder", False):
        model.config.tie_word_embeddings = False
        model.config.get_text_config().tie_word_embeddings = False


def is_tied(model: "PreTrainedModel") -> bool:
    """Whether embedding and unembedding are one weight."""
    given, taken = model.get_input_embeddings(), model.get_output_embeddings()
    return given is not None and taken is not None and given.weight is taken.weight


def _check_kind(kind: str, config: dict[str, Any], folder: Path) -> None:
    from peft import PeftType

    if not kind:
        raise ExplorerError(f"{folder} does not say its peft_type; save the adapter again with peft.")
    if kind not in [str(known.value) for known in PeftType]:
        raise ExplorerError(
            f"{folder} is of the kind {kind}, which the installed peft does not know; merge it into its base model "
            "where it was made."
        )
    if kind in _PROMPTS:
        raise ExplorerError(
            f"{folder} is {kind.replace('_', ' ').lower()}: it adds tokens beside the weights, so its neurons cannot "
            "be compared with those of a model without it; use LoRA or (IA)³."
        )
    if config.get("alora_invocation_tokens"):
        raise ExplorerError(
            f"{folder} is an activated LoRA, which works only behind certain tokens and cannot be merged; use plain "
            "LoRA."
        )


def wrapped_by_peft(model: "PreTrainedModel", folder: Path) -> Any:
    """peft's model with an adapter beside the weights of a model, whose modules it replaces.

    Raises:
        ExplorerError: the adapter does not fit, key by key, or its numbers are not finite.
    """
    from peft import PeftConfig, get_peft_model
    from safetensors.torch import load_file

    for name, tensor in load_file(str(adapter_weights(folder))).items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ExplorerError(f"{folder} has NaN or infinite values in {name}; train or save it again.")
    wrapped: Any = get_peft_model(model, PeftConfig.from_pretrained(str(folder)))
    found = wrapped.load_adapter(str(folder), wrapped.active_adapter)
    for what, names in (("lacks", found.missing_keys), ("holds", found.unexpected_keys)):
        plain = {name.removeprefix(PEFT_PREFIX) for name in names}
        if plain:
            rest = "which its settings name" if what == "lacks" else "which the base model has not"
            raise ExplorerError(
                f"The adapter {folder} {what} {some_names(plain)}, {rest}; use it with the base model it was trained "
                "on."
            )
    return wrapped.eval()


def _merged(model: "PreTrainedModel", folder: Path, kind: str, compare: bool) -> "PreTrainedModel":
    wrapped = wrapped_by_peft(model, folder)
    before = _logits(wrapped) if compare else None
    merged = wrapped.merge_and_unload().eval()
    if before is not None:
        away = float((_logits(merged) - before).abs().max() / before.abs().max().clamp(min=1e-6))
        if not away <= _TOLERANCE.get(merged.dtype, 0.1):
            raise ExplorerError(
                f"The adapter {folder} ({kind}) does something else merged than beside the weights (logits differ by "
                f"{away:.0%}), so it cannot be measured; use LoRA or (IA)³."
            )
    return merged


def _logits(model: Any) -> torch.Tensor:
    ids = torch.tensor([[0, 1, 2, 3]], device=model.device)
    with torch.inference_mode():
        decoder = {"decoder_input_ids": ids} if getattr(model.config, "is_encoder_decoder", False) else {}
        return model(input_ids=ids, use_cache=False, **decoder).logits.float()


def _ends(model: "PreTrainedModel") -> dict[str, Any]:
    """The names of embedding and unembedding, with their modules."""
    wanted = [m for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m is not None]
    return {name: module for name, module in model.named_modules() if any(module is m for m in wanted)}


def _whole(config: dict[str, Any]) -> list[str]:
    names = config.get("modules_to_save")
    return [str(name) for name in names] if isinstance(names, list) else []


def _fit_vocabulary(model: "PreTrainedModel", shapes: dict[str, list[int]]) -> None:
    """As many tokens as an adapter's own embedding has, which was trained with more (or fewer) than the base has."""
    rows = {
        shapes[key][0]
        for name in _ends(model)
        for part in ("", "modules_to_save.", "base_layer.")
        for key in (f"{PEFT_PREFIX}{name}.{part}weight",)
        if key in shapes
    }
    embedding: Any = model.get_input_embeddings()
    if len(rows) == 1 and rows != {embedding.weight.shape[0]}:
        model.resize_token_embeddings(rows.pop(), mean_resizing=False)


def _touches_tied(model: "PreTrainedModel", shapes: dict[str, list[int]], config: dict[str, Any]) -> bool:
    """Whether the adapter changes the embedding or the unembedding of a model in which they are one weight.

    An embedding that was only saved along (its plain weight, no target) was one weight with the unembedding in the
    training as well.
    """
    if not is_tied(model):
        return False
    whole = _whole(config)
    for name in _ends(model):
        keys = [key.removeprefix(f"{PEFT_PREFIX}{name}.") for key in shapes if key.startswith(f"{PEFT_PREFIX}{name}.")]
        saved_whole = any(name == w or name.endswith(f".{w}") for w in whole)
        if any(key != "weight" for key in keys) or (keys and saved_whole):
            return True
    return False
