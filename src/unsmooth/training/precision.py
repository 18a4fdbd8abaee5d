"""Numeric precision of training: that of the recipe and that of the device."""

import platform

import torch

from unsmooth.config.specs.recipes import Precision


def usable_precision(precision: Precision, device: torch.device | str) -> Precision:
    """Return the precision in which `device` trains instead of the recipe's `precision`.

    A CPU computes fp16 about fifty times slower than bfloat16: there it becomes bf16 if the processor has bf16
    instructions (AVX-512 BF16, AMX, Arm BF16), else fp32.
    """
    if precision != "fp16" or torch.device(device).type != "cpu":
        return precision
    return "bf16" if _cpu_computes_bf16() else "fp32"


def _cpu_computes_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    if platform.machine() in ("arm64", "aarch64"):
        return bool(capabilities.get("bf16"))
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
