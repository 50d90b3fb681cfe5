"""What every peer is given, and the greedy loop that is the same for all of them.

M2 is M1 with one factor for each neuron, so a tool holds one model: the guide's pass multiplies the input of each
`down_proj` by the factors and keeps it, the patched pass takes the chosen neurons from what was kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

Pass = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, object], tuple[torch.Tensor, object]]
"""From new ids [rows, new], mask [rows, so far], positions [rows, new] and a cache (None at first) to the logits of
the last position, [rows, vocabulary], and the cache."""


@dataclass(frozen=True)
class Job:
    """A model and what is patched in it.

    Attributes:
        folder: of the model, as transformers reads it.
        dtype: "float32" or "bfloat16".
        threads: of torch.
        factors: float32 [layers, neurons], what makes M1 into M2.
        chosen: bool [layers, neurons], the neurons that are patched.
        batches: prompts as token ids, for each thing that is timed, by its name.
        new: tokens of each answer.
    """

    folder: str
    dtype: str
    threads: int
    factors: torch.Tensor
    chosen: torch.Tensor
    batches: dict[str, list[list[int]]]
    new: int

    def save(self, path: Path) -> None:
        torch.save(vars(self), path)

    @classmethod
    def load(cls, path: Path) -> "Job":
        return cls(**torch.load(path, weights_only=True))

    def model(self):
        """M1, with plain attention kernels as transformers chooses them."""
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=getattr(torch, self.dtype))
        return model.eval().requires_grad_(False)


def answer(prompts: list[list[int]], new: int, guide: Pass, patched: Pass) -> list[list[int]]:
    """Greedy answers of exactly `new` tokens, all prompts in one batch padded on the left."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    written: list[torch.Tensor] = []
    first = second = None
    with torch.inference_mode():
        while len(written) < new:
            _, second = guide(ids, mask, positions, second)
            logits, first = patched(ids, mask, positions, first)
            ids = logits.argmax(dim=-1, keepdim=True)
            written.append(ids)
            mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
            positions = positions[:, -1:] + 1
    return torch.cat(written, dim=1).tolist()
