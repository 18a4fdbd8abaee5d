"""Numeric precision of training: what a recipe asks for and what the device can run."""

import platform

import torch

from unsmooth.config.specs.recipes import Precision


def usable_precision(precision: Precision, device: torch.device | str) -> Precision:
    """Return the precision that trains on `device` in the place of the recipe's `precision`.

    Half precision (fp16) needs a GPU: a processor computes it about fifty times slower than bfloat16. On a CPU it
    becomes bf16 where the processor has instructions for it (AVX-512 BF16, AMX, Arm BF16), else fp32. Every other
    precision is kept.
    """
    if precision != "fp16" or torch.device(device).type != "cpu":
        return precision
    return "bf16" if _cpu_computes_bf16() else "fp32"


def _cpu_computes_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    if platform.machine() in ("arm64", "aarch64"):
        return bool(capabilities.get("bf16"))
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
