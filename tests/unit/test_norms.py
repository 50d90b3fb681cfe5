"""The RMS norm of few tokens, computed as a layer norm, is torch's."""

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from explorer.engine.norms import FEW_TOKENS, rms_norm
from tests.close import assert_close


@pytest.mark.parametrize("tokens", [1, FEW_TOKENS, FEW_TOKENS + 1])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("kind", [torch.nn.RMSNorm, LlamaRMSNorm])
def test_it_is_what_the_module_computes(kind, tokens, size):
    torch.manual_seed(0)
    module = kind(48, eps=1e-5)
    module.weight.data = torch.randn(48)
    x = torch.randn(tokens, 48) * size + size  # a mean far from 0, which a layer norm of x would take away
    with torch.inference_mode():
        assert_close(rms_norm(module, 1e-5)(x), module(x))


@pytest.mark.parametrize("tokens", [2, 40])
def test_bfloat16_is_rounded_once(tokens):
    torch.manual_seed(0)
    module = torch.nn.RMSNorm(48, eps=1e-5).bfloat16()
    module.weight.data = torch.randn(48).bfloat16()
    x = torch.randn(tokens, 48).bfloat16()
    wanted = torch.nn.functional.rms_norm(x.float(), (48,), module.weight.float(), 1e-5)
    with torch.inference_mode():
        got = rms_norm(module, 1e-5)(x)
    assert got.dtype is torch.bfloat16
    torch.testing.assert_close(got.float(), wanted, rtol=2**-8, atol=0)
