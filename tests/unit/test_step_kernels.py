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

ANSWERS = """
from explorer.engine.backends import graphed, step_kernels
from explorer.engine.backends.fused import FusedPass
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reference import naive_greedy, naive_patched
from explorer.neurons.sets import NeuronSet
from tests import tiny

plain = FusedPass.__init__

def begin(self, *args):
    plain(self, *args)
    self.replays, self.kernels = True, step_kernels

FusedPass.__init__ = begin
graphed.BEFORE = 1_000  # no step is recorded
for kind in ("llama", "gemma2", "gemma3_text", "qwen3"):
    pair = tiny.any_pair(kind)
    ns, prompts, new = NeuronSet.random(pair, 8, 1), tiny.PROMPTS[:2], 10
    out = sweep(pair, prompts, Columns([ns]), Decoding(new))
    for number, ids in enumerate(map(pair.encode, prompts)):
        assert list(out.patched[0][number].token_ids) == naive_patched(pair, ids, ns, new), kind
        assert list(out.unpatched[number].token_ids) == naive_greedy(pair, pair.m1, ids, new), kind
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


@pytest.mark.parametrize("script", [IN_TRITONS_INTERPRETER, ANSWERS], ids=["alone", "in answers"])
def test_they_compute_what_torch_computes(script):
    """On the processor, in Triton's interpreter; `make gpu` holds them against the naive reference on a GPU."""
    pytest.importorskip("triton")
    settings = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", script], env=settings, capture_output=True, text=True, timeout=280)
    assert not done.returncode, done.stderr[-2000:]
