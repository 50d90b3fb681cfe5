"""What is lost when one attention head's output stays M1's while patching changes all else.

lost = head_losses(pair, ids, margin, neurons)          # [layers, heads, prompts]

Nothing before a head's layer depends on whether it is kept, so that only the layers from there on are computed, from
the patched run's own state; and a head that reads nothing patched loses nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from explorer.engine.keeping import KeepingRows, KeptColumn, check_kept
from explorer.engine.next_token import logits_at
from explorer.engine.paths import BATCH, READ_TOKENS, NumberedText, last_positions, passes, read_guide
from explorer.engine.reading import TokenText, batches, inputs_of, parts
from explorer.engine.sane import not_finite
from explorer.engine.token_margin import TokenMargin
from explorer.errors import ExplorerError
from explorer.models.attention import AttentionVisit, attention_hooks
from explorer.models.expert_layer import forward_as
from explorer.models.families import blocks_of
from explorer.models.hooks import neuron_hooks
from explorer.models.pair import Pair
from explorer.neurons.sets import NeuronSet
from explorer.progress import Progress


def head_losses(
    pair: Pair,
    prompts: Sequence[Sequence[int]],
    margin: TokenMargin,
    ns: NeuronSet,
    progress: Progress | None = None,
) -> np.ndarray:
    """How much of patched M1's margin is lost when one head's output (its slice of what the output projection gets)
    stays M1's at all positions.

    Args:
        pair: the models.
        prompts: token ids of each prompt.
        margin: which tokens count, at the position that predicts the answer's first token.
        ns: the neurons that are patched.
        progress: progress callback, fraction of the prompts in [0, 1].

    Returns:
        float64 [layers, heads, prompts], in logits: the margin of patched M1 less that with the head kept; exactly 0
        in layers up to the first patched one.

    Raises:
        ExplorerError: as `paths.path_margins`.
    """
    check_kept(pair)
    found: np.ndarray | None = None
    texts = [NumberedText(ids, number=number) for number, ids in enumerate(prompts)]
    for share, batch in batches(texts, BATCH):
        for part in parts(batch, READ_TOKENS):
            with torch.inference_mode(), pair.lock:
                run = _PatchedRun(pair, part, margin, ns)
                if found is None:
                    found = np.zeros((pair.n_layers, run.n_heads, len(prompts)))
                for layer in range(int(ns.layers.min(initial=pair.n_layers)) + 1, pair.n_layers):
                    found[layer][:, [text.number for text in part]] = run.patched - run.with_head_kept(layer)
        if progress:
            progress(share)
    if found is None or not np.isfinite(found).all():
        raise ExplorerError(not_finite("M1", None, pair.dtype))
    return found


class _PatchedRun(AttentionVisit):
    """M1 and patched M1 have read some prompts; what the layers from any one on need is kept.

    Attributes:
        patched: float64 [prompts], patched M1's margin.
        n_heads: of a layer.
    """

    def __init__(self, pair: Pair, batch: Sequence[TokenText], margin: TokenMargin, ns: NeuronSet) -> None:
        self._pair, self._batch, self._margin = pair, batch, margin
        self._own: list[torch.Tensor] = []  # M1's head outputs of each layer, [prompts, positions, heads, size]
        self._states: list[torch.Tensor] = []  # what each block gets in the patched run, [prompts, positions, hidden]
        self._tuples = False  # whether blocks give a tuple
        self._rows = KeepingRows(pair, [KeptColumn(ns)])
        self._rows.guide, _ = read_guide(pair, batch, self._rows.used)
        self._rows.follow(len(batch), [(0, own) for own in range(len(batch))])
        with self._recorded():
            margins = self._read(2, self._rows, self)
        self.patched, self.n_heads = margins[len(batch) :], self._own[0].shape[2]

    def outputs(self, layer: int, outputs: torch.Tensor) -> torch.Tensor:
        """See `AttentionVisit`: keeps M1's."""
        self._own.append(outputs[: len(self._batch)].clone())
        return outputs

    def with_head_kept(self, layer: int) -> np.ndarray:
        """float64 [heads, prompts]: the margin with each head of a layer kept at M1's, one at a time."""
        return np.concatenate([self._keep_each(layer, heads) for heads in passes(self.n_heads, self._batch)])

    def _keep_each(self, layer: int, heads: range) -> np.ndarray:
        """The same for some heads, [heads, prompts]."""
        size, own, state = len(self._batch), self._own[layer], self._states[layer]
        self._rows.follow(0, [(0, text) for _ in heads for text in range(size)])

        class Kept(AttentionVisit):
            def outputs(self, number: int, outputs: torch.Tensor) -> torch.Tensor:
                if number == layer:
                    outputs = outputs.clone()
                    for place, head in enumerate(heads):
                        outputs[place * size : (place + 1) * size, :, head] = own[:, :, head]
                return outputs

        with _begun_at(blocks_of(self._pair.backbone1), layer, state.repeat(len(heads), 1, 1), self._tuples):
            return self._read(len(heads), self._rows, Kept()).reshape(len(heads), size)

    def _read(self, times: int, rows: KeepingRows, visit: AttentionVisit) -> np.ndarray:
        """M1 reads the prompts so many times; the margins, float64 [times × prompts]."""
        model, texts = self._pair.backbone1, list(self._batch) * times
        inputs = inputs_of(model, texts)
        with neuron_hooks(model, rows.neurons), attention_hooks(model, visit):
            logits = logits_at(model, inputs, last_positions(inputs, texts))
        return self._margin.of(logits).double().cpu().numpy()

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """Keep what each block gets in the patched rows."""

        def note(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
            state = args[0] if args else kwargs["hidden_states"]
            self._states.append(state[len(self._batch) :].clone())
            self._tuples = isinstance(out, tuple)

        handles = [block.register_forward_hook(note, with_kwargs=True) for block in blocks_of(self._pair.backbone1)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


@contextmanager
def _begun_at(blocks: Sequence[Any], layer: int, state: torch.Tensor, tuples: bool) -> Iterator[None]:
    """The blocks before a layer compute nothing, and what that layer gets is this state [rows, positions, hidden].

    The model's own forward goes on as ever around them, so that masks and positions are its own.
    """

    def skipped(hidden_states: torch.Tensor, *_args: Any, **_kwargs: Any) -> Any:
        return (hidden_states,) if tuples else hidden_states

    own = blocks[layer].forward

    def begun(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return own(state.to(hidden_states), *args, **kwargs)

    with ExitStack() as held:
        for block in blocks[:layer]:
            held.enter_context(forward_as(block, skipped))
        held.enter_context(forward_as(blocks[layer], begun))
        yield
