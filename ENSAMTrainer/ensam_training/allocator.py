"""Keeping the memory of one training step for the next."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_MOST = 32 << 20  # bytes; the largest threshold that mallopt takes


def keep_freed_memory() -> None:
    """Tells glibc not to give freed memory back to the system, for as long as this process lives.

    It does so with every large tensor, and fetching the next one's memory page by page is a fourteenth of a
    training step on a processor. Elsewhere than on Linux with glibc nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MOST)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
