"""Look at single neurons: their activations over the words of a real answer, and what they write.

activations_over_words(pair, "How do I pick a lock?", layer=12, neuron=345)
vocabulary_projection(pair, layer=12, neuron=345)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reading import TokenText, inputs_of, read, start_token
from explorer.engine.writing import AFTER_MLP
from explorer.errors import ExplorerError
from explorer.models.families import blocks_of, final_norm
from explorer.models.hooks import neuron_hooks
from explorer.models.layers import neuron_layers
from explorer.models.pair import Pair, scale_in_place
from explorer.models.prompting import check_new_tokens
from explorer.neurons.sets import NeuronSet

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class WordActivations:
    """Activations of some neurons over one text that both models read.

    Attributes:
        words: a row for each position: position, token (as text), part ("prompt" or "answer"), compared
            (whether contrasting counts the position: it predicts an answer token).
        m1, m2: float32 [neurons, positions], in the order of the neuron set.
    """

    words: pd.DataFrame
    m1: np.ndarray
    m2: np.ndarray


def read_words(pair: Pair, prompt: str, ns: NeuronSet, max_new_tokens: int = 48) -> WordActivations:
    """Let M1 answer, let both models read the text, and keep what these neurons did at every word.

    Raises:
        ExplorerError: the prompt, the length or the set is not usable.
    """
    check_new_tokens(max_new_tokens)
    ids = pair.encode(prompt, max_new_tokens)
    answer = list(sweep(pair, [prompt], Columns(aligned=False), Decoding(max_new_tokens)).unpatched[0].token_ids)
    text = TokenText(ids, answer)
    t, m = len(ids), len(answer)
    # An encoder-decoder's decoder reads a start token before the answer: there it has a position of its own.
    shown = ids + ([start_token(pair.backbone1)] if pair.kind == "encoder-decoder" else []) + answer
    words = pd.DataFrame(
        {
            "position": np.arange(len(shown)),
            "token": _pieces(pair, shown),
            "part": ["prompt"] * t + ["answer"] * (len(shown) - t),
            "compared": [len(shown) - m - 1 <= i < len(shown) - 1 for i in range(len(shown))],
        }
    )
    m1 = _activations(pair, pair.backbone1, pair.scale1, text, ns, len(shown))
    m2 = _activations(pair, pair.backbone2, pair.scale2, text, ns, len(shown))
    return WordActivations(words, m1, m2)


def activations_over_words(pair: Pair, prompt: str, layer: int, neuron: int, max_new_tokens: int = 48) -> pd.DataFrame:
    """One neuron over M1's answer to a prompt: columns position, token, part, m1, m2.

    Raises:
        ExplorerError: the neuron does not exist, or the prompt is not usable.
    """
    ns = NeuronSet.from_pairs([(layer, neuron)], pair)
    seen = read_words(pair, prompt, ns, max_new_tokens)
    return seen.words[["position", "token", "part"]].assign(m1=seen.m1[0], m2=seen.m2[0])


def vocabulary_projection(pair: Pair, layer: int, neuron: int, top: int = 10) -> pd.DataFrame:
    """What a neuron writes towards the vocabulary: lm_head(norm(W_down[:, i])) (logit lens, method.md).

    Returns:
        Columns direction ("promotes" or "suppresses"), place (from 1), token, logit: the `top` highest
        and lowest logits.

    Raises:
        ExplorerError: the neuron does not exist.
    """
    table = project(pair, NeuronSet.from_pairs([(layer, neuron)], pair), top)
    return table[["direction", "place", "token", "logit"]]


def project(pair: Pair, ns: NeuronSet, top: int = 10, batch: int = 128) -> pd.DataFrame:
    """The vocabulary projection of every neuron of a set, with columns layer and neuron before the others."""
    if not 1 <= top <= 100:
        raise ExplorerError(f"The vocabulary projection shows 1 to 100 tokens, not {top}.")
    m1 = pair.m1
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier without an unembedding, so its neurons write no words.")
    written_by, norm, unembed = neuron_layers(m1), final_norm(m1), m1.get_output_embeddings()
    frames = []
    for start in range(0, len(ns), batch):
        layers, neurons = ns.layers[start : start + batch], ns.neurons[start : start + batch]
        with torch.inference_mode():
            written = torch.stack(
                [written_by[i].columns([j])[0].to(unembed.weight) for i, j in zip(layers, neurons, strict=True)]
            )
            logits = unembed(norm(written)).float()
            for direction, sign in (("promotes", 1), ("suppresses", -1)):
                best = (sign * logits).topk(top, dim=-1)
                frames.append(_projection_rows(pair, layers, neurons, direction, best.indices, sign * best.values))
    table = pd.concat(frames, ignore_index=True)
    return table.sort_values(["layer", "neuron", "direction", "place"], ignore_index=True)


def moved_tokens(pair: Pair, layer: int, neuron: int, sign: float = 1.0, top: int = 5) -> tuple[list[str], list[str]]:
    """The tokens that a neuron raises most and lowers most by writing its column with a sign.

    Read through the norm of the MLP's output (where there is one) and the final norm, whose biases do not count, by
    logits less their mean over the vocabulary.

    Args:
        pair: the models; M1's column is read.
        layer, neuron: which.
        sign: 1 or −1: whether its activation rises or falls.
        top: how many of each.
    """
    model = pair.m1
    norm, unembed = final_norm(model), model.get_output_embeddings()
    after = next((getattr(blocks_of(model)[layer], n) for n in AFTER_MLP if hasattr(blocks_of(model)[layer], n)), None)
    with torch.inference_mode():
        column = sign * neuron_layers(model)[layer].columns([neuron])[0].to(unembed.weight)
        column = column if after is None else after(column[None])[0]
        logits = torch.nn.functional.linear(norm(column[None]) - norm(0 * column[None]), unembed.weight)[0].float()
        logits = logits - logits.mean()
    sides = ((side * logits).topk(top).indices.tolist() for side in (1, -1))
    up, down = ([str(pair.tokenizer.decode([i])) for i in ids] for ids in sides)
    return up, down


def project_together(pair: Pair, ns: NeuronSet, weights: np.ndarray, top: int = 10) -> pd.DataFrame:
    """What groups of neurons write towards the vocabulary together: lm_head(norm(Σ weight · W_down[:, i])), centred.

    Logits are less their mean over the vocabulary: what is added to all of them changes no choice.

    Args:
        pair: the models.
        ns: the neurons, k of them.
        weights: float [groups, k], what each neuron of each group is multiplied by, in activation units.
        top: tokens at either end.

    Returns:
        Columns group (from 0), direction ("promotes" or "suppresses"), place (from 1), token, logit.

    Raises:
        ExplorerError: the model writes no words.
    """
    m1 = pair.m1
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier without an unembedding, so its neurons write no words.")
    written_by, norm, unembed = neuron_layers(m1), final_norm(m1), m1.get_output_embeddings()
    amounts = torch.from_numpy(np.asarray(weights, dtype=np.float32))
    frames = []
    with torch.inference_mode():
        written = torch.zeros(len(amounts), m1.config.get_text_config().hidden_size)
        for layer in np.unique(ns.layers):
            at = np.flatnonzero(ns.layers == layer)
            columns = written_by[int(layer)].columns(ns.neurons[at].tolist()).float().cpu()
            written += amounts[:, torch.from_numpy(at)] @ columns
        logits = unembed(norm(written.to(unembed.weight))).float()
        logits -= logits.mean(dim=-1, keepdim=True)
        for direction, sign in (("promotes", 1), ("suppresses", -1)):
            best = (sign * logits).topk(min(top, logits.shape[-1]), dim=-1)
            groups = np.arange(len(amounts))
            rows = _projection_rows(pair, groups, groups, direction, best.indices, sign * best.values)
            frames.append(rows.rename(columns={"layer": "group"}).drop(columns="neuron"))
    return pd.concat(frames, ignore_index=True).sort_values(["group", "direction", "place"], ignore_index=True)


def _projection_rows(
    pair: Pair, layers: np.ndarray, neurons: np.ndarray, direction: str, ids: torch.Tensor, logits: torch.Tensor
) -> pd.DataFrame:
    n, top = ids.shape
    return pd.DataFrame(
        {
            "layer": np.repeat(layers, top),
            "neuron": np.repeat(neurons, top),
            "direction": direction,
            "place": np.tile(np.arange(1, top + 1), n),
            "token": [pair.tokenizer.decode([i]) for i in ids.reshape(-1).tolist()],
            "logit": logits.reshape(-1).cpu().numpy().astype(np.float32),
        }
    )


def _activations(
    pair: Pair,
    backbone: "PreTrainedModel",
    scale: list[torch.Tensor] | None,
    text: TokenText,
    ns: NeuronSet,
    positions: int,
) -> np.ndarray:
    """float32 [neurons, positions]: what the set's neurons did while one of the models read a text.

    nan at positions that a neuron's part of the model does not read (an encoder's and a decoder's).
    """
    out = np.full((len(ns), positions), np.nan, dtype=np.float32)
    rows = {int(layer): np.flatnonzero(ns.layers == layer) for layer in np.unique(ns.layers)}
    beside_encoder = pair.kind == "encoder-decoder"

    def visit(layer: int, h: torch.Tensor) -> None:
        if scale is not None:
            scale_in_place(h, scale[layer])
        if layer in rows:
            start = len(text.prompt) if beside_encoder and layer in pair.parts["decoder"] else 0
            seen = h[0][:, ns.neurons[rows[layer]]].float().T.cpu().numpy()
            out[rows[layer], start : start + h.shape[1]] = seen

    with torch.inference_mode(), pair.lock, neuron_hooks(backbone, visit):
        read(backbone, inputs_of(backbone, [text]))
    return out


def _pieces(pair: Pair, ids: Sequence[int]) -> list[str]:
    """Each token as text of its own."""
    return [str(pair.tokenizer.decode([i])) for i in ids]
