"""The logit lens: the refusal margin of the residual stream after every layer, as if the model ended there.

The final norm and the unembedding read each layer's residual stream (nostalgebraist, 2020); before Gemma 2's cap.
"""

from collections.abc import Sequence

import numpy as np
import torch

from explorer.engine.reading import TokenText
from explorer.engine.readout import Readout
from explorer.engine.residuals import last_prompt_residuals, text_residuals
from explorer.engine.token_margin import TokenMargin
from explorer.models.pair import Pair
from explorer.neurons.sets import NeuronSet


def lens_margins(
    pair: Pair, prompts: Sequence[Sequence[int]], margin: TokenMargin, sets: Sequence[NeuronSet]
) -> np.ndarray:
    """The margin at the last prompt token, where the first token of an answer is chosen.

    Returns:
        float64 [2 + sets, layers + 1, prompts], in logits: of M1, M1 patched with each set, M2; layers as in
        `residuals`, the last one the model's own margin.

    Raises:
        ExplorerError: the models write no text, or a number is NaN or infinite.
    """
    return _read_out(pair, last_prompt_residuals(pair, prompts, sets), margin)


def text_lens(pair: Pair, text: TokenText, margin: TokenMargin, sets: Sequence[NeuronSet]) -> np.ndarray:
    """The same at every position of a text, float64 [2 + sets, layers + 1, positions]."""
    return _read_out(pair, text_residuals(pair, text, sets), margin)


def _read_out(pair: Pair, residuals: np.ndarray, margin: TokenMargin) -> np.ndarray:
    first, second = Readout(pair.backbone1, margin), Readout(pair.backbone2, margin)
    read = [first.margins(torch.from_numpy(rows)) for rows in residuals[:-1]]
    read.append(second.margins(torch.from_numpy(residuals[-1])))
    return torch.stack([one.cpu() for one in read]).double().numpy()
