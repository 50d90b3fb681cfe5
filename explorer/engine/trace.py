"""Read one answer with M1, patched M1 and M2, and see token by token what the patch does.

found = trace(pair, "How do I pick a lock?", answer.token_ids, Patch(neurons), margin)
found.kl_to_m2                                     # per token, in nats
found.moved_by(found.parts(0))                     # the neurons behind the first token that M1 would not have written

Each model reads prompt and answer once (teacher forcing), M2 first: its activations of the set are the guide. Logits
are computed at the places that predict the answer alone, a few of them at a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from explorer.engine.reading import Inputs, TokenText, inputs_of, positions_of_layers
from explorer.engine.sane import not_finite
from explorer.engine.token_margin import TokenMargin
from explorer.engine.traced import KEPT, TOP, Trace
from explorer.engine.writing import DirectPath, contributions
from explorer.errors import ExplorerError
from explorer.models.chat import Turn
from explorer.models.hooks import neuron_hooks
from explorer.models.pair import Pair, apply_scale
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.progress import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PLACES = 16
"""Places whose logits are computed at once: three models' over a vocabulary of 256,000 take 50 MB."""

_M1, _PATCHED, _M2 = range(3)


def trace(
    pair: Pair,
    prompt: str,
    answer: Sequence[int],
    patch: Patch,
    margin: TokenMargin | None = None,
    *,
    kept: int = KEPT,
    before: Sequence[Turn] = (),
    progress: Progress | None = None,
) -> Trace:
    """What M1, patched M1 and M2 make of every token of an answer.

    Args:
        pair: the models; `pair.reversed()` for M2 patched with M1's activations.
        prompt: what a person would type.
        answer: token ids of the answer that all of them read, whoever wrote it.
        patch: what is patched, how strongly and where.
        margin: of refusal over compliance; None for none.
        kept: neurons that are kept for each token.
        before: what was said before the prompt, see `patching.stream`; all models read the same.
        progress: progress callback, called after each model's reading; what it raises ends the trace.

    Raises:
        ExplorerError: the models write no text, the answer has no token or too many, a set belongs to another model, or
            a number is NaN or infinite.
    """
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier, which writes no answers; there is nothing to trace.")
    if not len(answer):
        raise ExplorerError("The answer has no tokens; there is nothing to trace.")
    if max(answer) >= min(int(m.get_input_embeddings().weight.shape[0]) for m in (pair.backbone1, pair.backbone2)):
        raise ExplorerError("The answer holds a token for which the models have no embedding; choose another answer.")
    if (patch.neurons.n_layers, patch.neurons.n_neurons) != (pair.n_layers, pair.n_neurons):
        raise ExplorerError("The neuron set belongs to a model of another shape; choose the neurons in this pair's.")
    text = TokenText(pair.encode_behind(before, prompt, len(answer)), [int(token) for token in answer])
    tell = progress or (lambda _share: None)
    reading = _Reading(pair, text, patch)
    with torch.inference_mode(), pair.lock:
        path = DirectPath(pair.backbone1)
        second = reading.read(pair.backbone2, reading.guide)
        tell(0.3)
        with path.watched(reading.at):
            first = reading.read(pair.backbone1, reading.unpatched)
        tell(0.6)
        patched = reading.read(pair.backbone1, reading.patched)
        tell(0.9)
        words = _Words(pair, [first, patched, second], text.answer, margin)
        change = reading.change()
        added = contributions(pair.backbone1, patch.neurons, change, path.read_by(words.difference()))
    return words.trace(patch.neurons, added, reading.reached, kept)


class _Reading:
    """The text as each of the models reads it; holds the activations of the set, [positions, neurons of a layer]."""

    def __init__(self, pair: Pair, text: TokenText, patch: Patch) -> None:
        self._pair, self._patch = pair, patch
        # The last token predicts nothing that counts.
        self._inputs: Inputs = inputs_of(pair.backbone1, [TokenText(text.prompt, text.answer[:-1])])
        self.at = positions_of_layers(pair, self._inputs, [text], "paper")[-1]
        ns = patch.neurons
        self._rows = {int(layer): np.flatnonzero(ns.layers == layer) for layer in np.unique(ns.layers)}
        beside_encoder = pair.kind == "encoder-decoder"
        written = len(text.answer) - 1
        sizes = {"encoder": (len(text.prompt), 0), "decoder": (1 if beside_encoder else len(text.prompt), written)}
        self._reached: dict[int, torch.Tensor] = {}  # of each layer bool [positions]: whether the patch reaches it
        start, stop = patch.span
        for part, layers in pair.parts.items():
            before, behind = sizes[part]
            reached = torch.tensor([start <= place < stop for place in range(-before, behind)])
            self._reached |= dict.fromkeys(layers, reached)
        self._guide: dict[int, torch.Tensor] = {}
        self._before: dict[int, torch.Tensor] = {}
        self._after: dict[int, torch.Tensor] = {}

    @property
    def reached(self) -> np.ndarray:
        """bool [t]: whether the patch reaches each place of the answer."""
        decoder = self._pair.parts["decoder"]
        found: np.ndarray = self._reached[decoder[-1]][self.at.cpu()].numpy()
        return found & (not self._patch.changes_nothing)

    def read(self, model: "PreTrainedModel", visit: Callable[[int, torch.Tensor], torch.Tensor]) -> "_Read":
        """One model's reading of the text."""
        inputs = {name: value.to(model.device) for name, value in self._inputs.items()}
        with neuron_hooks(model, visit):
            return _read(model, inputs, self.at)

    def guide(self, layer: int, h: torch.Tensor) -> torch.Tensor:
        """M2: what it does is kept."""
        own = h if self._pair.scale2 is None else apply_scale(h, self._pair.scale2[layer])
        self._keep(self._guide, layer, own)
        return own

    def unpatched(self, layer: int, h: torch.Tensor) -> torch.Tensor:
        """M1."""
        own = self._own(layer, h)
        self._keep(self._before, layer, own)
        return own

    def patched(self, layer: int, h: torch.Tensor) -> torch.Tensor:
        """M1 with a1 + strength × (a2 − a1) where the patch reaches."""
        own = self._own(layer, h)
        if layer in self._rows and not self._patch.changes_nothing:
            index = self._index(layer, own)
            a1 = own[0][:, index]
            a2 = self._guide[layer].to(own.device)
            new = torch.lerp(a1.float(), a2.float(), self._patch.strength).to(own.dtype)
            own = own.clone()
            own[0][:, index] = torch.where(self._reached[layer].to(own.device)[:, None], new, a1)
        self._keep(self._after, layer, own)
        return own

    def change(self) -> np.ndarray:
        """float32 [k, t]: how much the patched neurons do other than in M1 at each place; 0 where no patch reaches."""
        change = np.zeros((len(self._patch.neurons), len(self.at)), np.float32)
        for layer, rows in self._rows.items():
            if layer in self._pair.parts["decoder"]:
                moved = self._after[layer].float() - self._before[layer].float()
                moved[~self._reached[layer].to(moved.device)] = 0
                change[rows] = moved[self.at.to(moved.device)].T.cpu().numpy()
        return change

    def _own(self, layer: int, h: torch.Tensor) -> torch.Tensor:
        return h if self._pair.scale1 is None else apply_scale(h, self._pair.scale1[layer])

    def _index(self, layer: int, like: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._patch.neurons.neurons[self._rows[layer]]).to(like.device)

    def _keep(self, where: dict[int, torch.Tensor], layer: int, h: torch.Tensor) -> None:
        if layer in self._rows:
            where[layer] = h[0][:, self._index(layer, h)]


@dataclass
class _Read:
    """What a model made of the text.

    Attributes:
        model: that read it.
        hidden: [t, hidden], what its unembedding receives at the places of the answer.
    """

    model: "PreTrainedModel"
    hidden: torch.Tensor

    @property
    def unembedding(self) -> Any:
        return self.model.get_output_embeddings()

    def raw(self, places: slice) -> torch.Tensor:
        """float32 [places, vocabulary]: what the unembedding gives."""
        logits: torch.Tensor = self.unembedding(self.hidden[places]).float()
        return logits

    def margin(self, margin: TokenMargin, places: slice) -> torch.Tensor:
        """float32 [places]: the margin of what the unembedding gives."""
        bias = getattr(self.unembedding, "bias", None)
        level = 0.0 if bias is None else margin.of(bias)
        found: torch.Tensor = self.hidden[places].float() @ margin.direction(self.unembedding.weight) + level
        return found

    def finished(self, raw: torch.Tensor) -> torch.Tensor:
        """The model's own logits: what some families do behind the unembedding."""
        config: Any = self.model.config.get_text_config()
        scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
        cap = getattr(config, "final_logit_softcapping", None)
        raw = raw * scale
        return raw if cap is None else torch.tanh(raw / cap) * cap


def _read(model: "PreTrainedModel", inputs: Inputs, at: torch.Tensor) -> _Read:
    """Let a model read, and keep what its unembedding receives; its logits are seen to be what we make of that.

    Raises:
        ExplorerError: they are not.
    """
    kept: list[torch.Tensor] = []

    def pick(_module: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        kept.append(args[0].flatten(0, 1)[at.to(args[0].device)])
        return (kept[0][None, :1],)  # one place is enough to see what follows the unembedding

    unembedding: Any = model.get_output_embeddings()
    handle = unembedding.register_forward_pre_hook(pick)
    try:
        given = model(**inputs, use_cache=False).logits[0].float()
    finally:
        handle.remove()
    found = _Read(model, kept[0])
    made = found.finished(found.raw(slice(0, 1)))
    near = 1e-3 if model.dtype == torch.float32 else 0.05
    if bool(((made - given).abs() > near * given.abs().max()).any()):
        raise ExplorerError(
            f"Models of type “{model.config.model_type}” change their logits in a way that is not known here, so their "
            "answers cannot be traced."
        )
    return found


@dataclass
class _Words:
    """The next-token distributions of the three readings at every place."""

    pair: Pair
    reads: Sequence[_Read]
    answer: Sequence[int]
    margin: TokenMargin | None
    found: dict[str, list[np.ndarray]] = field(default_factory=dict)
    rows: list[torch.Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        for start in range(0, len(self.answer), PLACES):
            self._look(slice(start, min(start + PLACES, len(self.answer))))

    def difference(self) -> torch.Tensor:
        """float32 [t, hidden]: the unembedding's row of the chosen token less that of the other."""
        return torch.cat(self.rows)

    def trace(self, ns: NeuronSet, added: np.ndarray, reached: np.ndarray, kept: int) -> Trace:
        """All of it; what each of the set's neurons adds is [k, t]."""
        order = np.argsort(-np.abs(added), axis=0, kind="stable")[:kept].T
        top, tokens = self._all("top", axis=1), np.array(self.answer, np.int64)
        ids = np.unique(np.concatenate([top.ravel(), tokens, self._all("chosen"), self._all("other")])).tolist()
        return Trace(
            tokens=tokens,
            texts={i: str(self.pair.tokenizer.decode([i])) for i in ids},
            margin=None if self.margin is None else self._all("margin", axis=1),
            kl_to_m1=self._all("kl_to_m1"),
            kl_to_m2=self._all("kl_to_m2"),
            top=top,
            shares=self._all("shares", axis=1),
            own=self._all("own", axis=1),
            chosen=self._all("chosen"),
            other=self._all("other"),
            moved=self._all("moved"),
            direct=added.sum(axis=0),
            reached=reached,
            layers=ns.layers[order],
            neurons=ns.neurons[order],
            added=np.take_along_axis(added.T, order, axis=1),
        )

    def _all(self, name: str, axis: int = 0) -> np.ndarray:
        return np.concatenate(self.found[name], axis=axis)

    def _look(self, places: slice) -> None:
        device = self.reads[_M1].hidden.device
        raw = [one.raw(places).to(device) for one in self.reads]
        size = min(logits.shape[-1] for logits in raw)  # one of two models may have unused rows
        raw = [logits[:, :size] for logits in raw]
        logs = torch.stack([one.finished(r).log_softmax(-1) for one, r in zip(self.reads, raw, strict=True)])
        for name, number in (("M2", _M2), ("M1", _M1), ("M1", _PATCHED)):
            if bool(logs[number].isnan().any()):
                raise ExplorerError(not_finite(name, None, self.pair.dtype))
        best = logs.topk(min(TOP, size), dim=-1)
        chosen, own = best.indices[_PATCHED, :, 0], best.indices[_M1]
        other = torch.where(own[:, 0] == chosen, own[:, 1], own[:, 0])
        weight: torch.Tensor = self.reads[_M1].unembedding.weight
        self.rows.append(weight[chosen.to(weight.device)].float() - weight[other.to(weight.device)].float())
        more = self.reads[_PATCHED].hidden[places].float() - self.reads[_M1].hidden[places].float()
        p = logs[_PATCHED].exp()
        tokens = torch.tensor(self.answer[places], device=device)
        self._put("top", best.indices)
        self._put("shares", best.values.exp())
        self._put("own", logs[:, torch.arange(len(tokens), device=device), tokens].exp())
        for name, number in (("kl_to_m1", _M1), ("kl_to_m2", _M2)):
            self._put(name, (p * (logs[_PATCHED] - logs[number])).nan_to_num(0.0).sum(-1).clamp(min=0))
        self._put("chosen", chosen)
        self._put("other", other)
        # From the hidden states, which half precision rounds less than their logits: those are larger by far.
        self._put("moved", (more.to(weight.device) * self.rows[-1]).sum(-1))
        if self.margin is not None:
            self._put("margin", torch.stack([one.margin(self.margin, places).to(device) for one in self.reads]))

    def _put(self, name: str, values: torch.Tensor) -> None:
        self.found.setdefault(name, []).append(values.cpu().numpy())
