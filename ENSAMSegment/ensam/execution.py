"""The network on a device, and what it makes do with where the device falls short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch

from ensam.checkpoint import Checkpoint
from ensam.device import autocast, choose_device, is_out_of_memory, lacks_kernels, layout
from ensam.errors import InputError
from ensam.feature_cache import FeatureCache
from ensam.volume import Volume

T = TypeVar("T")
SMALLEST_BUDGET = 24**3  # of a window that an exhausted memory is answered with


class Execution:
    """Where a checkpoint's network runs, in which precision, and how many voxels its windows may have.

    Where memory runs out, the features that are kept go first, then windows shrink, then the CPU takes over.
    What was found to fit stays for the volume, so that its next answers don't try in vain again. Where
    PyTorch lacks a part of the network for the device, or the card is too old for it (not tried on such a
    card), the CPU takes over for good. The next answer tells of all that.
    """

    def __init__(self, checkpoint: Checkpoint, device: str, cache: FeatureCache) -> None:
        """device: as for `choose_device`; cache: what is emptied to make room. Raises InputError."""
        self._checkpoint, self._cache = checkpoint, cache
        self._chosen = choose_device(device)
        self._short_for: str | None = None  # fingerprint of the volume that memory was too little for
        self._warnings: list[str] = []  # what no answer has told yet
        self._settle("")

    @property
    def is_reduced(self) -> bool:
        """Whether windows have fewer voxels than the checkpoint allows, for want of memory."""
        return self.budget < self._checkpoint.voxel_budget

    def precision(self, shape: tuple[int, int, int]) -> AbstractContextManager:
        """What a window of that shape (Z, Y, X) is computed in."""
        return autocast(self.device, shape) if self._may_halve else nullcontext()

    def is_half(self, shape: tuple[int, int, int]) -> bool:
        """Whether a window of that shape (Z, Y, X) is computed in half precision."""
        with self.precision(shape):
            return torch.is_autocast_enabled(self.device.type)

    def leave_half(self) -> None:
        """Compute in full precision on this device from now on."""
        self._may_halve = False
        self._cache.clear()
        self._warnings.append(
            f"Half precision gives no numbers on {self.device.type}: ENSAM went on in full precision, which "
            "takes longer."
        )

    def reset(self, volume: Volume | None = None) -> None:
        """Try the chosen device and the whole budget again, unless memory was too little for this volume."""
        if self._short_for is None or (volume is not None and self._short_for == volume.fingerprint):
            return
        self._short_for = None
        if self.device == self._chosen:
            self.budget = self._checkpoint.voxel_budget
        else:
            self._warnings.clear()
            self._settle("" if volume is None else volume.fingerprint)

    def take_warnings(self) -> tuple[str, ...]:
        """What the device fell short of, in words for the user, told once."""
        told, self._warnings = tuple(self._warnings), []
        return told

    def with_room(self, work: Callable[[], T]) -> T:
        """What `work` gives, tried once more without the features that are kept where memory runs out."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or self._cache.nbytes == 0:
                raise
        self._cache.clear()
        return work()

    def within_memory(self, volume: Volume, attempt: Callable[[], T]) -> T:
        """What an attempt with the network gives, tried again with less as long as the device falls short.

        Raises what the attempt raises, a lack of memory where there is nothing left to do without.
        """
        tried_again = False
        while True:
            has_features = self._cache.nbytes > 0
            try:
                return attempt()
            except (RuntimeError, MemoryError) as error:
                on_cpu = self.device.type == "cpu"
                too_old = not on_cpu and lacks_kernels(error)
                if not too_old and not is_out_of_memory(error):
                    raise
                self._cache.clear()
                frees_enough = not too_old and has_features and not tried_again
                is_last = on_cpu and self.budget // 2 < SMALLEST_BUDGET
                if is_last and not frees_enough:
                    raise
            # Not before the error is gone: with it goes what the attempt held.
            if frees_enough:
                tried_again = True
                _free_memory(self.device)
            elif too_old or self.budget // 2 < SMALLEST_BUDGET:
                self._leave(self.device, too_old, volume.fingerprint)
            else:
                self._short_for = volume.fingerprint
                self.budget //= 2

    def _settle(self, fingerprint: str) -> None:
        """Put the network on the chosen device, or on the CPU if it has no room or no kernels for it.

        fingerprint: of the volume that is to be segmented there, "" if there is none yet.
        """
        try:
            self._put_on(self._chosen)
            return
        except (RuntimeError, MemoryError) as error:
            too_old = lacks_kernels(error)
            if self._chosen.type == "cpu" or not (too_old or is_out_of_memory(error)):
                raise
        self._leave(self._chosen, too_old, fingerprint)

    def _leave(self, device: torch.device, too_old: bool, fingerprint: str) -> None:
        """Go on on the CPU: for good if the device is too old, else for the volume with this fingerprint."""
        if too_old:
            self._chosen = torch.device("cpu")
            self._warnings.append(f"This PyTorch can't run ENSAM on {device.type}: it went on on the CPU.")
        else:
            self._short_for = fingerprint
            self._warnings.append(f"The memory of {device.type} is too small: ENSAM went on on the CPU.")
        self._put_on(torch.device("cpu"))
        _free_memory(device)

    def _put_on(self, device: torch.device) -> None:
        network = self._checkpoint.network().to(device)
        for part in (network.image_encoder, network.mask_decoder):
            part.to(memory_format=layout(device))
        self._cache.clear()
        self.device, self.network = device, network
        self.budget, self._may_halve = self._checkpoint.voxel_budget, True


@contextmanager
def told_of_memory() -> Iterator[None]:
    """Raises InputError, in words for the user, where memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError("There is too little free memory to segment: close other programs.") from error


def _free_memory(device: torch.device) -> None:
    """Let others have the memory that PyTorch keeps for itself."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
