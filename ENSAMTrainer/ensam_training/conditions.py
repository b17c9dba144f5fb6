"""The same object under worse conditions: loose box, noise, inverted contrast, thick slices, cut object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from ensam.preprocessing import intensity_range
from numpy.typing import NDArray

from ensam_training.cases import MINIMUM_VOXELS
from ensam_training.interaction import bounds, box_of

NOISE_SHARE = 0.1  # standard deviation of the noise, as a share of the grey range that is shown
THINNING = 3  # of how many slices one is kept
_LEAST_SLICES = 3
EXACT = "exact"  # the condition of the box as it is drawn and the image as it is


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and one object in it, both (z, y, x), with spacing (z, y, x) in mm and the box to ask with.

    faces: (2, 3), the box's lower and upper faces in voxels.
    """

    image: NDArray
    truth: NDArray[np.bool_]
    spacing: tuple[float, float, float]
    faces: NDArray


Condition = Callable[[Scene, np.random.Generator], Scene | None]
"""From the scene as it is to a worse one, or None where too little is left of the object."""


def exact_scene(image: NDArray, truth: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Scene:
    """The object with the box that touches its outermost voxels. Raises ValueError for an empty truth."""
    lower, upper = bounds(truth)
    return Scene(image, truth, spacing, np.array([lower - 0.5, upper - 0.5]))


def loosened(scene: Scene, rng: np.random.Generator, share: float) -> Scene:
    """A box whose faces each lie `share` of its length farther out, as far as the volume goes."""
    lower, upper = scene.faces
    margin = share * (upper - lower)
    limit = np.array(scene.truth.shape) - 0.5
    faces = np.clip(np.array([lower - margin, upper + margin]), -0.5, limit)
    return Scene(scene.image, scene.truth, scene.spacing, faces)


def noisy(scene: Scene, rng: np.random.Generator) -> Scene:
    """Gaussian noise of `NOISE_SHARE` of the range of grey values that the network is shown."""
    grey = intensity_range(scene.image, "auto", scene.image[box_of(scene.truth)[0]])
    noise = rng.standard_normal(scene.image.shape, np.float32)
    image = scene.image + np.float32(NOISE_SHARE * (grey.upper - grey.lower)) * noise
    return Scene(image, scene.truth, scene.spacing, scene.faces)


def inverted(scene: Scene, rng: np.random.Generator) -> Scene:
    """Bright for dark within the range of grey values that the network is shown."""
    grey = intensity_range(scene.image, "auto", scene.image[box_of(scene.truth)[0]])
    image = (grey.upper + grey.lower - scene.image.clip(grey.lower, grey.upper)).astype(np.float32)
    return Scene(image, scene.truth, scene.spacing, scene.faces)


def thinned(scene: Scene, rng: np.random.Generator) -> Scene | None:
    """One of `THINNING` slices along the object's longest axis in voxels."""
    axis = _longest(scene)
    keep = (slice(None),) * axis + (slice(None, None, THINNING),)
    spacing = tuple(s * THINNING if a == axis else s for a, s in enumerate(scene.spacing))
    return _checked(scene.image[keep], scene.truth[keep], spacing)


def cut(scene: Scene, rng: np.random.Generator) -> Scene | None:
    """A volume that begins in the middle of the object, along its longest axis in voxels."""
    axis = _longest(scene)
    middle = int(scene.faces[:, axis].mean() + 0.5)
    keep = (slice(None),) * axis + (slice(middle, None),)
    return _checked(scene.image[keep], scene.truth[keep], scene.spacing)


CONDITIONS: Mapping[str, Condition] = {
    EXACT: partial(loosened, share=0.0),
    "loose-5": partial(loosened, share=0.05),
    "loose-10": partial(loosened, share=0.10),
    "loose-15": partial(loosened, share=0.15),
    "noise": noisy,
    "inverted": inverted,
    "thinned": thinned,
    "cut": cut,
}


def _checked(image: NDArray, truth: NDArray[np.bool_], spacing: tuple[float, ...]) -> Scene | None:
    if np.count_nonzero(truth) < MINIMUM_VOXELS or min(image.shape) < _LEAST_SLICES:
        return None
    lower, upper = bounds(truth)
    if min(upper - lower) < _LEAST_SLICES or image.min() == image.max():
        return None
    return exact_scene(image, truth, spacing)


def _longest(scene: Scene) -> int:
    return int(np.argmax(scene.faces[1] - scene.faces[0]))
