"""Which floating-point type a model computes in.

`auto` takes bfloat16 where the machine multiplies it natively and float32 elsewhere: a processor without
bfloat16 instructions (AVX2 only, say) computes such products several times slower than float32 ones.
"""

from functools import cache

import torch

X86_BFLOAT16 = ("avx512_bf16", "amx_bf16")
"""Names in `torch.cpu.get_capabilities()` of the instructions that oneDNN multiplies bfloat16 with."""

NATIVE_BFLOAT16 = (*X86_BFLOAT16, "avx10_2", "bf16")
"""Names in `torch.cpu.get_capabilities()` of instructions that multiply bfloat16 (the last is Arm's)."""


def resolve_dtype(dtype: str, device: str = "cpu") -> str:
    """The type that `dtype` means on a device: itself, or for "auto" the fastest one that is accurate enough.

    Args:
        dtype: one of `pair_spec.DTYPES`.
        device: a torch device, or "auto" for wherever transformers puts the layers.
    """
    if dtype != "auto":
        return dtype
    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    if device.startswith("mps"):
        return "float16"
    return "bfloat16" if cpu_has_any(NATIVE_BFLOAT16) else "float32"


@cache
def cpu_has_any(names: tuple[str, ...]) -> bool:
    """Whether the processor has one of these instructions, named as in `torch.cpu.get_capabilities()`."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in names)
