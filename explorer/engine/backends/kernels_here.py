"""Whether a device can run the kernels of `step_kernels.py`."""

import logging
from functools import lru_cache

import torch

from explorer.engine.backends.fused_blocks import StepKernels

_log = logging.getLogger(__name__)


@lru_cache(maxsize=8)
def kernels_for(device: torch.device) -> StepKernels | None:
    """The kernels, if a first launch of each succeeds on this device; None where steps go without."""
    try:
        from explorer.engine.backends import step_kernels

        _try(step_kernels, device)
    except Exception as problem:  # noqa: BLE001 - no Triton, no C compiler, a device that it does not know: all the same
        _log.warning("Decoding steps on %s go without Triton kernels: %s", device, problem)
        return None
    return step_kernels


def _try(kernels: StepKernels, device: torch.device) -> None:
    from explorer.engine.norms import RmsNorm

    x = torch.ones(1, 32, device=device)
    kernels.turn(x.view(1, 2, 16).clone(), x[:, None, :16], x[:, None, :16], 2)
    kernels.gated(x, "silu")
    kernels.added_and_normed(x, x, RmsNorm(x[0], torch.cat([x[0], x[0]]), 1e-6))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
