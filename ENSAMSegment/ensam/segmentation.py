"""What the session answers: a mask with all that is known of how it came about."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ensam.masks import MaskCrop


@dataclass(frozen=True)
class Timings:
    """Seconds: encode_s is 0 when the features were there already; total_s holds everything."""

    encode_s: float
    decode_s: float
    total_s: float


@dataclass(frozen=True, eq=False)
class Segmentation(MaskCrop):
    """The answer for one object: a mask on the volume's grid, cut to where it may be foreground.

    logits: float32, of the mask's shape; encoder_ran: whether this prompt paid for the encoder; found: False
    where no voxel was over the threshold, and the mask is the one that came nearest (paper). In words for the
    user: grey_values, which of them were told apart and why; window, what was looked at; warnings, where
    the answer had to make do with less memory or another device than it was meant for, or lost nearly all of
    its voxels to another object.
    """

    logits: NDArray[np.float32] = field(repr=False)
    timings: Timings
    encoder_ran: bool
    grey_values: str
    window: str
    warnings: tuple[str, ...] = ()
    found: bool = True

    @property
    def notes(self) -> tuple[str, ...]:
        """All that was decided on the way, the most important first."""
        return (*self.warnings, self.grey_values, self.window)
