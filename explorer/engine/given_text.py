"""What models make of a given text: M1's neurons at the last prompt token, and log-probabilities under patching.

last_prompt_activations(pair, prompts, safety)              # what the safeguard reads
token_log_probs(pair, [ids], [safety])                      # M1, patched M1 and M2 on one text
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from explorer.engine.backends.choosing import read_texts
from explorer.engine.reading import TokenText, inputs_of, positions_of_layers
from explorer.engine.sane import not_finite
from explorer.errors import ExplorerError
from explorer.models.hooks import neuron_hooks
from explorer.models.padding import padded
from explorer.models.pair import Pair, apply_scale, scale_in_place
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet


def last_prompt_activations(pair: Pair, prompts: Sequence[str], ns: NeuronSet, batch_size: int = 16) -> np.ndarray:
    """float32 [prompts, k]: M1's activations of a set at the last prompt token, before anything is written."""
    out = np.zeros((len(prompts), len(ns)), dtype=np.float32)
    rows = {int(layer): np.flatnonzero(ns.layers == layer) for layer in np.unique(ns.layers)}
    texts = [TokenText(pair.encode(prompt)) for prompt in prompts]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i].prompt))
    for start in range(0, len(order), batch_size):
        chunk = order[start : start + batch_size]
        batch = [texts[i] for i in chunk]
        inputs = inputs_of(pair.backbone1, batch)
        last = positions_of_layers(pair, inputs, batch, "last_prompt")

        def visit(layer: int, h: torch.Tensor, chunk: list[int] = chunk, last: list[torch.Tensor] = last) -> None:
            if pair.scale1 is not None:
                scale_in_place(h, pair.scale1[layer])
            if layer in rows:
                wanted = torch.from_numpy(ns.neurons[rows[layer]]).to(h.device)
                picked = h.flatten(0, 1)[last[layer].to(h.device)][:, wanted]
                out[np.ix_(np.array(chunk), rows[layer])] = picked.float().cpu().numpy()

        with torch.inference_mode(), pair.lock:
            read_texts(pair.backbone1, inputs, visit)
    if not np.isfinite(out).all():
        raise ExplorerError(not_finite("M1", None, pair.dtype))
    return out


@dataclass(frozen=True)
class LogProbs:
    """Natural logarithms; rows are M1, M1 patched with each set in turn, and M2.

    Attributes:
        own: for each text float32 [2 + sets, len(text) − 1], of its own tokens from the second on.
        last: float32 [2 + sets, texts, candidates], of each candidate as the token after the text.
    """

    own: list[np.ndarray]
    last: np.ndarray


def token_log_probs(
    pair: Pair, texts: Sequence[list[int]], sets: Sequence[NeuronSet | Patch], candidates: Sequence[int] = ()
) -> LogProbs:
    """Log-probabilities of each text's own tokens in M1, in M1 patched with each set, and in M2.

    M2 reads the same text, so that its activations serve all patched rows.

    Args:
        pair: the models.
        texts: token ids, at least two each; they are read as one batch.
        sets: the sets to patch from M2 into M1, at every position; a `Patch` says how strongly.
        candidates: tokens that might come next.

    Raises:
        ExplorerError: the pair is not of decoders, or a patch is of some positions alone.
    """
    if pair.kind != "decoder":
        raise ExplorerError(f"Log-probabilities of a text need a decoder; this pair's models are of kind {pair.kind}.")
    patches = [one if isinstance(one, Patch) else Patch(one) for one in sets]
    if any(one.positions != "all" for one in patches):
        raise ExplorerError("A text without a prompt is patched at all its positions; leave positions at “all”.")
    batch = padded(texts, pair.backbone1.device)
    last = torch.tensor([len(text) - 1 for text in texts], device=batch.device)
    wanted = torch.tensor(list(candidates), dtype=torch.long, device=batch.device)
    masks = [(torch.from_numpy(one.neurons.mask()), one.strength) for one in patches]
    seen: list[torch.Tensor] = []

    def watch(layer: int, h: torch.Tensor) -> torch.Tensor:
        changed = h if pair.scale2 is None else apply_scale(h, pair.scale2[layer])
        seen.append(changed)
        return changed

    def patch(how: tuple[torch.Tensor, float] | None, layer: int, h: torch.Tensor) -> torch.Tensor:
        own = h if pair.scale1 is None else apply_scale(h, pair.scale1[layer])
        if how is None:
            return own
        mask, strength = how
        a2 = seen[layer].to(own)
        if strength != 1:
            a2 = torch.lerp(own.float(), a2.float(), strength).to(own.dtype)
        return torch.where(mask[layer].to(h.device), a2, own)

    with torch.inference_mode(), pair.lock:
        with neuron_hooks(pair.backbone2, watch):
            second = _log_probs(pair.backbone2(input_ids=batch, use_cache=False).logits, batch, last, wanted)
        columns = []
        for how in (None, *masks):
            with neuron_hooks(pair.backbone1, partial(patch, how)):
                columns.append(_log_probs(pair.backbone1(input_ids=batch, use_cache=False).logits, batch, last, wanted))
    for model, (logs, _) in (("M2", second), ("M1", columns[0])):
        if np.isnan(logs).any():
            raise ExplorerError(not_finite(model, None, pair.dtype))
    own, after = (np.stack(arrays) for arrays in zip(*columns, second, strict=True))
    return LogProbs([own[:, i, : len(text) - 1] for i, text in enumerate(texts)], after)


def _log_probs(
    logits: torch.Tensor, batch: torch.Tensor, last: torch.Tensor, candidates: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of the next tokens, float32 [texts, positions − 1], and of candidates after each text's last
    token, [texts, candidates]; a text at a time, to spare memory."""
    own, after = [], []
    for scores, ids, end in zip(logits, batch, last.tolist(), strict=True):
        logs = scores.float().log_softmax(dim=-1)
        own.append(logs[:-1].gather(1, ids[1:, None]).squeeze(1).cpu().numpy())
        after.append(logs[end, candidates].cpu().numpy())
    return np.stack(own), np.stack(after)
