"""Greedy answers while directions are projected out of the residual stream, at every layer and position.

answers_projected(pair, prompts, [Projected(top, direction), Projected(NeuronSet.empty(pair), direction)])
margins_without(pair, prompt_ids, directions, margin)        # the refusal margin of M1 with each projected out

What enters the first block and what leaves each block is projected (directional ablation, Arditi et al. 2406.11717,
section 2.4, which also projects between a block's attention and its MLP). M2, whose activations are patched in, is not.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from explorer.engine.backends.choosing import begin_hooked
from explorer.engine.backends.interface import DecodePass
from explorer.engine.batch import DecodeBatch, Read
from explorer.engine.options import UNPATCHED, Decoding
from explorer.engine.patching import Answer
from explorer.engine.reading import TokenText, inputs_of, positions_of_layers
from explorer.engine.residuals import residual_hooks
from explorer.engine.token_margin import TokenMargin
from explorer.errors import ExplorerError
from explorer.models.hooks import neuron_hooks
from explorer.models.pair import Pair, apply_scale
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet


@dataclass(frozen=True, eq=False)
class Projected:
    """M1 with neurons patched and a direction projected out.

    Attributes:
        neurons: what is patched from M2; none of them for M1 itself.
        direction: float [hidden], of any length but 0.
    """

    neurons: NeuronSet
    direction: np.ndarray


def unit(direction: np.ndarray, hidden: int) -> np.ndarray:
    """A direction at length 1, float32 [hidden].

    Raises:
        ExplorerError: it has no length, or is of another model.
    """
    values = np.asarray(direction, dtype=np.float64)
    length = float(np.linalg.norm(values))
    if values.shape != (hidden,) or not np.isfinite(length) or length == 0:
        raise ExplorerError(f"A direction must be {hidden} numbers, not all 0; this one has the shape {values.shape}.")
    return (values / length).astype(np.float32)


def project_out(residual: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """The residual stream [rows, positions, hidden] without each row's direction, of float32 [rows, hidden] units."""
    own = residual.float()
    along = torch.einsum("rph,rh->rp", own, directions)
    return (own - along[..., None] * directions[:, None]).to(residual.dtype)


def answers_projected(
    pair: Pair, prompts: Sequence[str], columns: Sequence[Projected], max_new_tokens: int = 64, max_rows: int = 64
) -> list[list[Answer]]:
    """For each column, the greedy answer to each prompt.

    Args:
        pair: the models; `pair.reversed()` to project in M2.
        prompts: what a person would type.
        columns: what is patched and projected out.
        max_new_tokens: the limit per answer.
        max_rows: rows of a forward pass, about.

    Raises:
        ExplorerError: a prompt, the length, a set or a direction is not usable, or the model writes no text.
    """
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier, which writes no text; nothing can be projected out of it.")
    how = Decoding(max_new_tokens, max_rows)
    ids = [pair.encode(prompt, max_new_tokens) for prompt in prompts]
    directions = [torch.from_numpy(unit(column.direction, _hidden(pair))) for column in columns]
    patched = [number for number, column in enumerate(columns) if len(column.neurons)]
    # Nothing patched needs no activations of M2: such a column is M1's own, and a batch of its own.
    groups = [[number] for number in range(len(columns)) if number not in patched]
    groups += [patched] if patched else []
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    texts: dict[tuple[int, int], tuple[int, ...]] = {}
    for group in groups:
        size = max(1, max_rows // (len(group) + 1))
        plain = group[0] not in patched
        patches = [] if plain else [Patch(columns[number].neurons) for number in group]
        for start in range(0, len(order), size):
            chunk = order[start : start + size]
            batch = _ProjectedBatch(
                pair, [ids[i] for i in chunk], patches, how, torch.stack([directions[number] for number in group])
            )
            while batch.rows:
                for row in batch.step():
                    texts[group[max(0, row.column)], chunk[row.prompt]] = row.written
                batch.advance()
    everyone = range(len(prompts))
    return [[Answer(pair.decode(list(texts[c, p])), texts[c, p]) for p in everyone] for c in range(len(columns))]


class _ProjectedBatch(DecodeBatch):
    """Rows of M1 out of whose residual stream a direction each is projected; M2's texts are read as they are."""

    def __init__(
        self,
        pair: Pair,
        prompts: Sequence[list[int]],
        patches: Sequence[Patch],
        how: Decoding,
        directions: torch.Tensor,
    ) -> None:
        """
        Args:
            pair, prompts, how: see `DecodeBatch`.
            patches: of each column; none for one column of M1 itself.
            directions: float32 [columns, hidden], at length 1.
        """
        self._directions = directions
        super().__init__(pair, prompts, patches, range(len(patches)) if patches else [UNPATCHED], how)

    def _begin(self, longest: int) -> list[DecodePass]:
        modules = [self.pair.backbone1] if self.pair.shared else [self.pair.backbone1, self.pair.backbone2]
        return [begin_hooked(module, longest) for module in modules]

    def _forward(self, read: Read) -> tuple[torch.Tensor, torch.Tensor]:
        n1 = len(self.first)
        which = torch.tensor([max(0, row.column) for row in self.first], dtype=torch.long)
        own = self._directions[which]

        def project(_layer: int, residual: torch.Tensor) -> torch.Tensor:
            mine = project_out(residual[:n1], own.to(residual.device))
            return mine if len(residual) == n1 else torch.cat([mine, residual[n1:]])

        with residual_hooks(self.pair.backbone1, project):
            return super()._forward(read)


@dataclass(frozen=True)
class Without:
    """What projecting directions out does to M1's next token, at the last prompt token.

    Attributes:
        margin: float32 [1 + directions, prompts], of refusal over compliance, logits; first with nothing projected out.
        kl: float32 [1 + directions, prompts], KL of the plain model's next token from the projected one's, nats.
    """

    margin: np.ndarray
    kl: np.ndarray


def margins_without(
    pair: Pair, prompts: Sequence[Sequence[int]], directions: np.ndarray, margin: TokenMargin, batch_size: int = 8
) -> Without:
    """M1's margin and its distance from itself with each direction projected out; `pair.reversed()` for M2's.

    Args:
        pair: its M1 reads.
        prompts: token ids.
        directions: float [directions, hidden].
        margin: of refusal over compliance.
        batch_size: prompts of a forward pass.

    Raises:
        ExplorerError: a direction is not usable, or the model writes no text.
    """
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier, which writes no text; nothing can be projected out of it.")
    units = [torch.from_numpy(unit(direction, _hidden(pair))) for direction in directions]
    out = Without(*(np.zeros((1 + len(units), len(prompts)), np.float32) for _ in range(2)))
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch_size):
        chunk = order[start : start + batch_size]
        texts = [TokenText(prompts[i]) for i in chunk]
        plain = _log_probs(pair, texts, None)
        for number, direction in enumerate((None, *units)):
            logs = plain if direction is None else _log_probs(pair, texts, direction)
            out.margin[number, chunk] = margin.of(logs).cpu().numpy()  # log-probabilities differ by a constant
            out.kl[number, chunk] = (plain.exp() * (plain - logs)).sum(dim=-1).cpu().numpy()
    return out


def _log_probs(pair: Pair, texts: list[TokenText], direction: torch.Tensor | None) -> torch.Tensor:
    """M1's log-probabilities of the token after each prompt, float32 [texts, vocabulary]."""
    inputs = inputs_of(pair.backbone1, texts)
    at = positions_of_layers(pair, inputs, texts, "last_prompt")[-1]

    def scale(layer: int, h: torch.Tensor) -> torch.Tensor | None:
        return None if pair.scale1 is None else apply_scale(h, pair.scale1[layer])

    def last(_head: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        # Unembedding every position of a prompt would take a third of the time.
        return (args[0].flatten(0, 1)[at.to(args[0].device)][:, None], *args[1:])

    with torch.inference_mode(), pair.lock, ExitStack() as held:
        held.enter_context(neuron_hooks(pair.backbone1, scale))
        held.callback(pair.backbone1.get_output_embeddings().register_forward_pre_hook(last).remove)
        if direction is not None:
            own = direction[None]
            held.enter_context(
                residual_hooks(pair.backbone1, lambda _, r: project_out(r, own.to(r.device).expand(len(r), -1)))
            )
        logits: torch.Tensor = pair.backbone1(**inputs, use_cache=False).logits
    return logits[:, 0].float().log_softmax(dim=-1)


def _hidden(pair: Pair) -> int:
    return int(pair.backbone1.config.get_text_config().hidden_size)
