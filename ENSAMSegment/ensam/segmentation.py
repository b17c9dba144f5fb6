"""What the session answers: a mask with all that is known of how it came about."""

from __future__ import annotations

from dataclasses import dataclass

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
    """The answer for one object: a mask on the volume's grid, cut to the window that was looked at.

    logits: float32, of the mask's shape; encoder_ran: whether this prompt paid for the encoder;
    notes: what was decided on the way, in words for the user.
    """

    logits: NDArray[np.float32]
    timings: Timings
    encoder_ran: bool
    notes: tuple[str, ...]
