"""Products in the form that this machine multiplies fastest give what torch gives."""

import pytest
import torch
from torch.nn import functional

from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.products import Blocked, Packed, Plain, product
from explorer.engine.reference import naive_greedy, naive_patched
from explorer.models.precision import X86_BFLOAT16, cpu_has_any
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.close import assert_close

PACKS = torch.backends.quantized.engine in ("fbgemm", "x86")
BLOCKS = cpu_has_any(X86_BFLOAT16)


def linears(rounded: bool, bias: bool) -> list[torch.nn.Linear]:
    torch.manual_seed(0)
    made = [torch.nn.Linear(24, outputs, bias=bias) for outputs in (16, 8, 8)]
    for linear in made:
        linear.requires_grad_(False)
        if rounded:
            linear.weight.data = linear.weight.data.bfloat16().float()
    return made


@pytest.mark.parametrize("rows", [1, 3, 70])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rounded", [False, True])
def test_several_linear_maps_are_one_product(rounded, bias, rows):
    maps, x = linears(rounded, bias), torch.randn(rows, 2, 24)
    wanted = torch.cat([linear(x) for linear in maps], dim=-1)
    fused = product(maps)
    assert isinstance(fused, Packed if rounded and PACKS else Plain)
    assert_close(fused(x), wanted)
    assert_close(torch.cat([linear(x) for linear in maps], dim=-1), wanted)


@pytest.mark.skipif(not PACKS, reason="this build of torch has no FBGEMM")
def test_only_weights_that_half_precision_holds_are_packed():
    (linear, *_) = linears(True, False)
    fused = product([linear])
    assert isinstance(fused, Packed)
    assert fused.scale == 1
    linear.weight.data[3, 5] = 0.1  # more bits than half precision has
    assert isinstance(product([linear]), Plain)
    linear.weight.data[3, 5] = torch.inf
    assert isinstance(product([linear]), Plain)


@pytest.mark.skipif(not PACKS, reason="this build of torch has no FBGEMM")
@pytest.mark.parametrize("value", [1e6, 1e-9, 3e-30])
@pytest.mark.parametrize("bias", [False, True])
def test_numbers_of_bfloat16_that_half_precision_does_not_reach_are_scaled(value, bias):
    maps = linears(True, bias)
    maps[0].weight.data[3] = torch.tensor(value).bfloat16().float()
    x = torch.randn(5, 24)
    x[:, ::2] = 0  # so that the row's sum is not of its signs alone
    wanted = torch.cat([linear(x).double() for linear in maps], dim=-1)
    fused = product(maps)
    assert isinstance(fused, Packed)
    assert fused.scale != 1
    assert_close(fused(x), wanted.float())
    if value > 1e-20:  # smaller ones are lost: less than 2⁻³⁶ of the greatest weight
        assert_close(fused(x)[:, 3], wanted[:, 3].float())


@pytest.mark.parametrize("rows", [1, 3, 70])
@pytest.mark.parametrize("bias", [False, True])
@torch.inference_mode()
def test_products_in_bfloat16(bias, rows):
    maps, x = linears(True, bias), torch.randn(rows, 2, 24).bfloat16()
    for linear in maps:
        linear.to(torch.bfloat16)
    wanted = torch.cat([linear(x) for linear in maps], dim=-1)
    fused = product(maps)
    assert isinstance(fused, Blocked if BLOCKS else Plain)
    assert_close(fused(x), wanted, x.dtype)
    assert_close(torch.cat([linear(x) for linear in maps], dim=-1), wanted, x.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rounded", [False, True])
@torch.inference_mode()
def test_a_product_added_to_the_residual_stream(rounded, dtype):
    (linear, *_), x, residual = linears(rounded, True), torch.randn(5, 24), torch.randn(5, 16)
    linear.to(dtype)
    wanted = residual.to(dtype) + linear(x.to(dtype))
    got = product([linear]).added_to(residual.to(dtype), x.to(dtype))
    assert_close(got, wanted, dtype)


def test_plain_weights_are_held_once():
    maps = linears(False, True)
    fused = product(maps)
    assert isinstance(fused, Plain)
    for linear in maps:
        assert linear.weight.untyped_storage().data_ptr() == fused.weight.untyped_storage().data_ptr()
    x = torch.randn(2, 24)
    assert_close(fused(x)[:, :16], functional.linear(x, maps[0].weight, maps[0].bias))


@pytest.mark.parametrize("make", [tiny.shared_pair, tiny.lockstep_pair], ids=["shared", "lockstep"])
def test_packed_models_give_the_tokens_of_the_naive_reference(make):
    pair = make("llama")
    for module in {pair.backbone1, pair.backbone2}:
        for parameter in module.parameters():
            parameter.data = parameter.data.bfloat16().float()
    sets = [NeuronSet.random(pair, k, seed=k) for k in (5, 20)]
    prompts = tiny.PROMPTS[:6]
    out = sweep(pair, prompts, Columns(sets), Decoding(8))
    for prompt, first, second in zip(prompts, out.unpatched, out.aligned, strict=True):
        ids = pair.encode(prompt)
        assert list(first.token_ids) == naive_greedy(pair, pair.m1, ids, 8)
        assert list(second.token_ids) == naive_greedy(pair, pair.m2, ids, 8)
    for ns, answers in zip(sets, out.patched, strict=True):
        for prompt, answer in zip(prompts, answers, strict=True):
            assert list(answer.token_ids) == naive_patched(pair, pair.encode(prompt), ns, 8)
