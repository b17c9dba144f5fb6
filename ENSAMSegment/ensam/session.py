"""Interactive segmentation: encode a window once, answer every prompt from its features."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ensam.checkpoint import Checkpoint, load_checkpoint
from ensam.device import autocast, choose_device, is_out_of_memory
from ensam.errors import InputError
from ensam.masks import MaskCrop
from ensam.network import ImageFeatures, PromptTensors
from ensam.planning import ObjectPrompts, Plan, group_objects, make_plan, to_voxels
from ensam.postprocessing import ensure_voxel, merge_objects
from ensam.preprocessing import IntensityChoice, Window
from ensam.prompts import PromptSet
from ensam.resampling import extract, resample
from ensam.volume import Volume

SMALLEST_BUDGET = 24**3  # of a window that an exhausted memory is answered with
VOXELS_AT_ONCE = 1 << 25  # of all objects' logits in one decoder pass
CERTAIN = 4.0  # the logit that stands for a voxel of a mask given as the previous result


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


class FeatureCache:
    """Features by key, bounded in bytes; the least recently used go first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[Hashable, ImageFeatures] = OrderedDict()

    @property
    def nbytes(self) -> int:
        return sum(features.nbytes for features in self._entries.values())

    def get(self, key: Hashable) -> ImageFeatures | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: Hashable, features: ImageFeatures) -> None:
        self._entries[key] = features
        while self.nbytes > self.limit:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        self._entries.clear()


class InteractiveSession:
    """Segments objects of a volume from boxes and clicks.

    >>> session = InteractiveSession()
    >>> session.set_volume(read_volume("CT.nrrd"))
    >>> result = session.segment(PromptSet(box, points))

    The same volume, prompts, previous mask and checkpoint give the same mask, whatever came before. Calls
    from several threads wait for each other.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | Path | str | None = None,
        device: str = "auto",
        cache_bytes: int = 1 << 30,
        intensity: IntensityChoice = "auto",
    ) -> None:
        """checkpoint: by default the one that ships with ENSAM. Raises CheckpointError and InputError."""
        self.checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else load_checkpoint(checkpoint)
        self.intensity = intensity
        self.cache = FeatureCache(cache_bytes)
        self.volume: Volume | None = None
        self._lock = threading.RLock()
        self._move_to(choose_device(device))

    def set_volume(self, volume: Volume) -> None:
        """The volume to segment from now on. Features of others stay, within the memory bound."""
        with self._lock:
            self.volume = volume

    def segment(self, prompts: PromptSet, previous: MaskCrop | None = None) -> Segmentation:
        """One object. `previous`: an existing mask to go on from, the user's or another tool's.

        Raises PromptError for prompts that can't be used on the volume.
        """
        with self._lock:
            started = time.perf_counter()
            volume = self._current()
            one = to_voxels(volume, prompts)
            if previous is not None:
                previous = previous.within(volume.grid.shape).trimmed()
                previous = previous if previous.mask.size else None
            return self._with_memory(lambda budget: self._answer([one], budget, previous, started))[0]

    def segment_all(self, prompts: Sequence[PromptSet]) -> tuple[Segmentation, ...]:
        """Several objects whose masks don't overlap, in the prompts' order.

        Objects near each other share an encoder and a decoder pass. A voxel goes to the highest logit, or
        to background if none is over 0; an object left without any voxel gets one (paper).
        """
        with self._lock:
            started = time.perf_counter()
            volume = self._current()
            objects = [to_voxels(volume, one) for one in prompts]
            results: list[Segmentation | None] = [None] * len(objects)
            for group in group_objects(volume, objects, self.checkpoint.voxel_budget, self.intensity):
                members = [objects[i] for i in group]
                answers = self._with_memory(
                    lambda budget, members=members: self._answer(members, budget, None, started)
                )
                for index, answer in zip(group, answers, strict=True):
                    results[index] = answer
            return merge_objects([r for r in results if r is not None])

    def _current(self) -> Volume:
        if self.volume is None:
            raise InputError("There is no volume to segment: choose one first.")
        return self.volume

    def _answer(
        self, objects: Sequence[ObjectPrompts], budget: int, previous: MaskCrop | None, started: float
    ) -> list[Segmentation]:
        volume = self._current()
        plan = make_plan(volume, objects, budget, self.intensity, previous)
        features, encode_s = self._features(volume, plan)
        begun = time.perf_counter()
        logits = self._decode(features, plan.window, objects, previous)
        decode_s = time.perf_counter() - begun
        notes = (plan.intensity.reason, self._describe(plan.window, volume))
        answers = []
        for one, own in zip(objects, logits, strict=True):
            own = ensure_voxel(own, _own_region(one, plan.window))
            timings = Timings(encode_s, decode_s, time.perf_counter() - started)
            answers.append(Segmentation(own > 0, plan.window.lower, own, timings, encode_s > 0, notes))
        return answers

    def _features(self, volume: Volume, plan: Plan) -> tuple[ImageFeatures, float]:
        grey = (plan.intensity.lower, plan.intensity.upper)
        key = (volume.fingerprint, plan.window, grey, self.checkpoint.digest, self.device)
        features = self.cache.get(key)
        if features is not None:
            return features, 0.0
        begun = time.perf_counter()
        image = extract(volume.array, plan.window, plan.intensity).to(
            self.device, memory_format=torch.channels_last_3d
        )
        with torch.inference_mode(), autocast(self.device, plan.window.shape):
            features = self.network.encode(image)
        self._synchronise()
        self.cache.put(key, features)
        return features, time.perf_counter() - begun

    def _decode(
        self,
        features: ImageFeatures,
        window: Window,
        objects: Sequence[ObjectPrompts],
        previous: MaskCrop | None,
    ) -> NDArray[np.float32]:
        """Logits (N, Z, Y, X) on the volume's voxels in the window."""
        boxes = [None if one.box is None else window.from_volume(one.box) for one in objects]
        clicks = [[(window.from_volume(v), positive) for v, positive in one.clicks] for one in objects]
        before = None if previous is None else _previous_logits(previous, window)
        # The features serve any number of objects; the memory of their logits is bounded.
        chunk = max(1, VOXELS_AT_ONCE // int(np.prod(window.size)))
        parts = []
        for start in range(0, len(objects), chunk):
            part = slice(start, start + chunk)
            tensors = PromptTensors.of_objects(boxes[part], clicks[part], before).to(self.device)
            with torch.inference_mode():
                with autocast(self.device, window.shape):
                    logits = self.network.decode(features, tensors)
                if window.shape != window.size:
                    logits = F.interpolate(logits, size=window.size, mode="trilinear", align_corners=False)
                parts.append(logits[:, 0].float().cpu().numpy())
        return np.concatenate(parts)

    def _with_memory(self, answer: Callable[[int], list[Segmentation]]) -> list[Segmentation]:
        """The answer with the checkpoint's voxel budget, or with less if memory runs out, and says so."""
        budget, notes = self.checkpoint.voxel_budget, []
        while True:
            try:
                return [_with_notes(result, notes) for result in answer(budget)]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.cache.clear()
                if budget // 2 >= SMALLEST_BUDGET:
                    budget //= 2
                    notes.append(f"Memory ran out: the window was reduced to {budget:,} voxels.")
                elif self.device.type != "cpu":
                    budget = self.checkpoint.voxel_budget
                    notes.append(f"The memory of {self.device.type} is too small: ENSAM went on on the CPU.")
                    self._move_to(torch.device("cpu"))
                else:
                    raise InputError(
                        "There is too little free memory to segment: close other programs."
                    ) from error

    def _move_to(self, device: torch.device) -> None:
        self.device = device
        self.network = self.checkpoint.network().to(device)
        for part in (self.network.image_encoder, self.network.mask_decoder):
            part.to(memory_format=torch.channels_last_3d)

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def _describe(self, window: Window, volume: Volume) -> str:
        step = np.multiply(volume.grid.spacing_zyx, np.divide(window.size, window.shape))
        counts = " x ".join(str(n) for n in reversed(window.shape))
        sizes = " x ".join(f"{s:.2g}" for s in reversed(step))
        return f"window of {counts} voxels of {sizes} mm on {self.device.type}"


def _with_notes(result: Segmentation, notes: Sequence[str]) -> Segmentation:
    return Segmentation(
        result.mask, result.offset, result.logits, result.timings, result.encoder_ran, (*notes, *result.notes)
    )


def _own_region(one: ObjectPrompts, window: Window) -> tuple[slice, slice, slice]:
    """Where an object must have at least one voxel, in the window's crop: its box, else its first click."""
    faces = one.box
    if faces is None:
        first = next(voxel for voxel, positive in one.clicks if positive)
        faces = np.stack((first - 0.5, first + 0.5))
    lower = np.clip(np.round(faces[0] + 0.5).astype(int) - window.lower, 0, np.subtract(window.size, 1))
    upper = np.clip(np.round(faces[1] + 0.5).astype(int) - window.lower, lower + 1, window.size)
    return tuple(slice(int(a), int(b)) for a, b in zip(lower, upper, strict=True))


def _previous_logits(previous: MaskCrop, window: Window) -> Tensor:
    """A mask as logits on the window's grid, (1, 1, Z, Y, X)."""
    whole = torch.zeros(1, 1, *window.size)
    first = np.subtract(previous.offset, window.lower)
    place = tuple(slice(int(a), int(a) + n) for a, n in zip(first, previous.mask.shape, strict=True))
    whole[0, 0][place] = torch.from_numpy(previous.mask.astype(np.float32))
    return CERTAIN * (2 * resample(whole, window.shape) - 1)
