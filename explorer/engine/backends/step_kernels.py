"""What lies between the products of a decoding step, as three kernels a layer, in Triton.

On a GPU a step of few tokens is a few hundred kernels that each run for microseconds, so what counts is how many they
are. Written in torch, rotary angles take three of them, the gate two, and a sum with a norm behind it two or three;
here each is one. The arithmetic is torch's own: in float32, rounded to the activations' type where torch rounds.

Triton comes with torch's CUDA builds for Linux, and needs a C compiler; `kernels_here.kernels_for` says whether it
works.
"""

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from explorer.engine.norms import RmsNorm

SILU, GELU_TANH = 0, 1

GATES = {"silu": SILU, "gelu_pytorch_tanh": GELU_TANH}
"""By their names in a config."""

_BLOCK = 1024
"""Neurons that one program multiplies."""


@triton.jit  # type: ignore[untyped-decorator]
def _turn(mixed, cos, sin, stride, HALF: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """One head of one token: x · cos + (its halves exchanged) · sin."""
    token, head = tl.program_id(0), tl.program_id(1)
    at = tl.arange(0, WIDTH)
    within = at < HALF
    one = mixed + token * stride + head * 2 * HALF + at
    angle = token * 2 * HALF + at
    kept = mixed.dtype.element_ty
    a = tl.load(one, mask=within).to(tl.float32)
    b = tl.load(one + HALF, mask=within).to(tl.float32)
    first = (a * tl.load(cos + angle, mask=within).to(tl.float32)).to(kept).to(tl.float32)
    second = (b * tl.load(cos + angle + HALF, mask=within).to(tl.float32)).to(kept).to(tl.float32)
    first += b * tl.load(sin + angle, mask=within).to(tl.float32)
    second += a * tl.load(sin + angle + HALF, mask=within).to(tl.float32)
    tl.store(one, first.to(kept), mask=within)
    tl.store(one + HALF, second.to(kept), mask=within)


@triton.jit  # type: ignore[untyped-decorator]
def _gate(gate_up, neurons, width, GATE: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Some neurons of one token."""
    token = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    within = at < width
    kept = neurons.dtype.element_ty
    x = tl.load(gate_up + token * 2 * width + at, mask=within).to(tl.float32)
    up = tl.load(gate_up + token * 2 * width + width + at, mask=within).to(tl.float32)
    # SiLU, or GELU by tanh: (1 + tanh u) / 2 is the logistic function of 2u.
    steep = x if GATE == 0 else 1.5957691216057308 * (x + 0.044715 * x * x * x)
    active = (x * tl.sigmoid(steep)).to(kept).to(tl.float32)
    tl.store(neurons + token * width + at, (active * up).to(kept), mask=within)


@triton.jit  # type: ignore[untyped-decorator]
def _add_norm(residual, added, weight, stream, normed, hidden, eps, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """One token: the sum, and its RMS norm."""
    token = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, WIDTH)
    within = at < hidden
    place = token * hidden + at
    kept = stream.dtype.element_ty
    x = tl.load(residual + place, mask=within, other=0.0).to(tl.float32)
    x += tl.load(added + place, mask=within, other=0.0).to(tl.float32)
    x = x.to(kept)
    tl.store(stream + place, x, mask=within)
    x = x.to(tl.float32)
    scale = tl.rsqrt(tl.sum(x * x, axis=0) / hidden + eps)
    w = tl.load(weight + at, mask=within, other=0.0).to(tl.float32)
    tl.store(normed + place, (x * scale * w).to(kept), mask=within)


def turn(mixed: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: int) -> None:
    """Turn the first heads of each token by its rotary angles, in place.

    Args:
        mixed: [tokens, at least `heads`, head_dim].
        cos, sin: [tokens, 1, head_dim], the first half of `sin` with its sign changed.
        heads: of queries and keys.
    """
    _check(cos, (len(mixed), 1, mixed.shape[-1]))
    _check(sin, cos.shape)
    _check(mixed, mixed.shape)
    half = mixed.shape[-1] // 2
    launch: Any = _turn[(len(mixed), heads)]
    with torch.cuda.device_of(mixed):  # Triton starts kernels on the current device, wherever their tensors are
        launch(mixed, cos, sin, mixed.stride(0), half, triton.next_power_of_2(half), num_warps=1)


def gated(gate_up: torch.Tensor, gate: str) -> torch.Tensor:
    """The neurons of each token, [tokens, n_neurons], from gate and up one behind the other."""
    _check(gate_up, gate_up.shape)
    tokens, width = gate_up.shape[0], gate_up.shape[1] // 2
    neurons = gate_up.new_empty(tokens, width)
    launch: Any = _gate[(tokens, triton.cdiv(width, _BLOCK))]
    with torch.cuda.device_of(gate_up):
        launch(gate_up, neurons, width, GATES[gate], _BLOCK, num_warps=4)
    return neurons


def added_and_normed(x: torch.Tensor, added: torch.Tensor, norm: RmsNorm) -> tuple[torch.Tensor, torch.Tensor]:
    """The residual stream with something added, and its RMS norm, both [tokens, hidden]."""
    added = added.contiguous()  # a norm may give a part of a wider tensor
    _check(x, x.shape)
    _check(added, x.shape)
    stream, normed = torch.empty_like(x), torch.empty_like(x)
    tokens, hidden = x.shape
    width = triton.next_power_of_2(hidden)
    launch: Any = _add_norm[(tokens,)]
    with torch.cuda.device_of(x):
        launch(x, added, norm.weight, stream, normed, hidden, norm.eps, width, num_warps=8 if width > 1024 else 4)
    return stream, normed


def _check(x: torch.Tensor, shape: Sequence[int]) -> None:
    """A kernel reads where it is told to, whatever lies there: only what has this shape and lies in one piece."""
    assert tuple(x.shape) == tuple(shape), (x.shape, shape)
    assert x.is_contiguous()
