"""Where the network runs and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from ensam.errors import InputError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name, or the best there is. Raises InputError if this machine lacks it."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if name not in DEVICES:
        raise InputError(f"There is no device '{name}': choose one of {', '.join(DEVICES)}.")
    if not available[name]:
        raise InputError(
            f"This computer has no usable '{name}' device: choose the automatic one (auto) or the processor "
            "(cpu)."
        )
    return torch.device(name)


def autocast(device: torch.device, shape: tuple[int, ...]) -> AbstractContextManager:
    """Half precision where the device computes faster in it, for a window of that shape (Z, Y, X).

    A CPU without instructions for it is far slower in bfloat16. Windows a single latent voxel thick stay in
    float32: torch 2.13's bfloat16 kernels gave not-a-number there on a CPU with AMX.
    """
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16 if has_bfloat16() else torch.float16)
    if device.type == "mps":
        return torch.autocast("mps", torch.float16)
    return torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16() and min(shape) > 8)


def layout(device: torch.device) -> torch.memory_format:
    """The order in memory in which the device's convolutions are fastest.

    Apple's take channels last only to turn them back, and did so wrongly in some versions of torch.
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last_3d


def synchronise(device: torch.device) -> None:
    """Wait for the device, so that the clock tells what it took."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions that multiply bfloat16: AMX, or AVX-512's."""
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def has_bfloat16() -> bool:
    """Whether the NVIDIA card computes in bfloat16; torch emulates it on older ones, which is far slower."""
    return torch.cuda.is_bf16_supported(including_emulation=False)


def lacks_kernels(error: Exception) -> bool:
    """Whether torch failed because it was built without a part for the device, or without all of them for a
    card that is too old."""
    return isinstance(error, NotImplementedError) or "no kernel image is available" in str(error)


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch or numpy failed for want of memory; on a CPU and on MPS torch's error is a plain one."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    # torch on a CPU can't allocate memory, and on Windows has not enough of it.
    told = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")
    return any(words in text for words in told)
