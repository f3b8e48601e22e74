"""Where the numbers are crunched, and in which precision."""

import platform
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch

from affetto.errors import ConfigError

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]


def choose(device: str = "auto") -> torch.device:
    """The device called `device`; "auto" is the fastest that is there.

    Raises:
        ConfigError: if that device is not there.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device("cuda" if available["cuda"] else "mps" if available["mps"] else "cpu")
    if device not in available:
        raise ConfigError(f"--device {device}: expected auto, cpu, cuda or mps")
    if not available[device]:
        there = ", ".join(name for name, yes in available.items() if yes)
        raise ConfigError(f"--device {device}: not available here; available: {there}")
    return torch.device(device)


def use_bf16(device: torch.device, precision: Precision = "auto") -> bool:
    """Whether to compute in bfloat16: as asked, or ("auto") where the hardware multiplies it faster than float32."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _multiplies_bf16_fast()


def _multiplies_bf16_fast() -> bool:
    """Whether this processor multiplies bf16 faster than fp32: those with AMX, and AMD's with AVX512-BF16.

    On an Intel processor whose AMX a virtual machine hides, oneDNN's products in AVX512-BF16 were half as fast as in
    fp32 (82 and 160 GFLOP/s a core). Processors with neither emulate bf16.
    """
    if torch.cpu._is_amx_tile_supported():
        return True
    return bool(torch.cpu._is_avx512_bf16_supported()) and "GenuineIntel" not in _processor()


@lru_cache
def _processor() -> str:
    """What the system says of the processor."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()


def autocast(device: torch.device, precision: Precision = "auto") -> AbstractContextManager[Any]:
    """Context in which networks run in the chosen precision."""
    if use_bf16(device, precision):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
