"""The kernels of a step: steps go without them where they cannot be; elsewhere they compute what torch computes."""

import logging
import os
import subprocess
import sys

import pytest
import torch

from explorer.engine.backends.kernels_here import kernels_for
from explorer.paths import PROJECT

IN_TRITONS_INTERPRETER = """
import torch
from torch.nn import functional
from explorer.engine.backends import step_kernels
from explorer.engine.backends.fused_weights import ACTIVATIONS
from explorer.engine.norms import RmsNorm

for tokens, heads, others, width in ((1, 4, 4, 64), (5, 3, 2, 20), (3, 8, 8, 128)):
    mixed = torch.randn(tokens, heads + others, width)
    cos, sin = torch.randn(tokens, 1, width), torch.randn(tokens, 1, width)
    wanted = mixed.clone()
    wanted[:, :heads] = mixed[:, :heads] * cos + mixed[:, :heads].roll(width // 2, -1) * sin
    step_kernels.turn(mixed, cos, sin, heads)
    torch.testing.assert_close(mixed, wanted)
for name, activation in ACTIVATIONS.items():
    gate_up = 3 * torch.randn(3, 2 * 1500)
    gate, up = gate_up.chunk(2, -1)
    torch.testing.assert_close(step_kernels.gated(gate_up, name), activation(gate) * up)
for hidden in (20, 576, 4096):
    x, added, weight = torch.randn(4, hidden), torch.randn(4, hidden), torch.randn(hidden)
    stream, normed = step_kernels.added_and_normed(x, added, RmsNorm(weight, weight, 1e-5))
    assert torch.equal(stream, x + added)
    torch.testing.assert_close(normed, functional.rms_norm(stream, (hidden,), weight, 1e-5))
"""


def test_steps_go_without_where_triton_is_not(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "explorer.engine.backends.step_kernels", raising=False)
    kernels_for.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert kernels_for(torch.device("cpu")) is None
        assert kernels_for(torch.device("cpu")) is None
    kernels_for.cache_clear()
    assert len([line for line in caplog.messages if "without Triton kernels" in line]) == 1


def test_they_compute_what_torch_computes():
    """On the processor, in Triton's interpreter; `make gpu` holds them against the naive reference on a GPU."""
    pytest.importorskip("triton")
    settings = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", IN_TRITONS_INTERPRETER], env=settings, capture_output=True, text=True, timeout=200
    )
    assert not done.returncode, done.stderr[-2000:]
