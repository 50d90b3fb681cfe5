"""(IA)³ factors put into activations in place give what peft's order of operations gives."""

import pytest
import torch

from explorer.models.pair import apply_scale, scale_in_place


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_in_place_is_the_same_to_the_last_bit(dtype):
    torch.manual_seed(0)
    h, factors = torch.randn(3, 4, 24).to(dtype), 1 + torch.randn(24) / 3
    wanted = h.clone()
    wanted[1:] = apply_scale(h[1:], factors)
    scale_in_place(h[1:], factors)
    assert torch.equal(h, wanted)
