"""What segments must be after whatever a user did, worked out from the rules that the README states.

Nothing here reads what ENSAM remembers of its own: a mask is followed from the prompts that are in the scene,
the mask that was there before, and the voxels of others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ensam.edits import follow_prompts
from ensam.errors import PromptError
from ensam.masks import MaskCrop
from ensam.prompts import PromptSet
from ENSAMSegmentLib.volumes import volume_from_node

from .stub_session import StubSession

NO_PROMPTS = PromptSet()


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a segment: the prompts that its mask answers, that mask, and what it was made from.

    base: the mask that was edited by hand, answering base_prompts; None where the prompts alone made it.
    """

    answered: PromptSet = NO_PROMPTS
    made: np.ndarray | None = None
    base: np.ndarray | None = None
    base_prompts: PromptSet = NO_PROMPTS


def answer(
    known: Known, prompts: PromptSet, before: np.ndarray, rivals: np.ndarray, volume_node
) -> Known | None:
    """The segment once it answers the prompts; None where they can't be answered.

    before: its voxels until now; rivals: those that others hold and keep.
    """
    if known.made is None or not np.array_equal(before, known.made):
        edited = before if before.any() else None
        known = replace(known, base=edited, base_prompts=NO_PROMPTS if edited is None else known.answered)
    base = known.base
    if prompts.is_empty or (base is not None and prompts == known.base_prompts):
        mask = np.zeros_like(before) if base is None else base
    else:
        session = StubSession(volume=volume_from_node(volume_node))
        previous = None if base is None else MaskCrop(base, (0, 0, 0))
        try:
            mask = session._mask(prompts, previous)
        except PromptError:
            return None
        if previous is not None:
            crop = MaskCrop(mask, (0, 0, 0))
            mask = follow_prompts(previous, crop, known.base_prompts, prompts, session.volume.grid)
            mask = mask.laid_out(before.shape)
    return replace(known, answered=prompts, made=mask & ~(rivals & ~before))
