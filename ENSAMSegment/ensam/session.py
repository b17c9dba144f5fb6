"""Interactive segmentation: encode a window once, answer every prompt from its features."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ensam.checkpoint import Checkpoint, load_checkpoint
from ensam.device import autocast, choose_device, is_out_of_memory, layout
from ensam.errors import Cancelled, InputError
from ensam.feature_cache import FeatureCache
from ensam.geometry import Grid
from ensam.masks import MaskCrop
from ensam.network import ImageFeatures, PromptTensors
from ensam.network.prompt_maps import BALL_SIGMA
from ensam.planning import (
    ObjectPrompts,
    Plan,
    Preview,
    along_axes,
    estimate_memory,
    exclude_clicks,
    group_objects,
    make_plan,
    own_region,
    to_voxels,
    voxel_mm,
)
from ensam.postprocessing import Voxel, ensure_voxel, merge_objects, obey_clicks
from ensam.preprocessing import IntensityChoice, Window
from ensam.prompts import PromptSet
from ensam.resampling import enlarge, extract, resample
from ensam.segmentation import Segmentation, Timings
from ensam.volume import Volume

SMALLEST_BUDGET = 24**3  # of a window that an exhausted memory is answered with
VOXELS_AT_ONCE = 1 << 25  # of all objects' logits in one decoder pass
CERTAIN = 4.0  # the logit that stands for a voxel of a mask given as the previous result


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
        self._chosen = choose_device(device)
        self._too_large = ""  # fingerprint of the volume for which the chosen device had too little memory
        self.device = self._chosen
        self._move_to(self._chosen)

    def set_volume(self, volume: Volume | None) -> None:
        """The volume to segment from now on, None to give it back. Features stay, within the memory bound.

        Where an answer had to go to the CPU for want of memory, another volume gets the chosen device again.
        """
        with self._lock:
            self.volume = volume
            if volume is not None and self._too_large and self._too_large != volume.fingerprint:
                self._move_to(self._chosen)
                self._too_large = ""

    def forget(self) -> None:
        """Give the volume and all features back."""
        with self._lock:
            self.volume = None
            self.cache.clear()

    def segment(
        self,
        prompts: PromptSet,
        previous: MaskCrop | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Segmentation:
        """One object. `previous`: an existing mask to go on from, the user's or another tool's.

        With a previous mask background points alone are enough, and their answer may be empty.
        cancelled: asked before the encoder and before each pass of the decoder whether the answer is still
        wanted. Raises PromptError for prompts that can't be used on the volume, and Cancelled.
        """
        return self.segment_all([prompts], [previous], cancelled)[0]

    def segment_all(
        self,
        prompts: Sequence[PromptSet],
        previous: Sequence[MaskCrop | None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        clicks_exclude: bool = False,
    ) -> tuple[Segmentation, ...]:
        """Several objects whose masks don't overlap, in the order of the prompts and of their previous masks.

        Objects near each other share an encoder and a decoder pass. A voxel goes to the highest logit, or
        to background if none is over 0; an object left without any voxel gets one (paper).
        clicks_exclude: a foreground click of one is a background click of all others whose window holds it.
        """
        with self._lock:
            started = time.perf_counter()
            volume = self._current()
            objects, groups = self._grouped(volume, prompts, previous)
            results: list[Segmentation | None] = [None] * len(objects)
            for group in groups:
                members = [objects[i] for i in group]
                answers = self._with_memory(
                    lambda budget, members=members: self._answer(
                        members, objects if clicks_exclude else (), budget, started, cancelled
                    )
                )
                for index, answer in zip(group, answers, strict=True):
                    results[index] = answer
            return merge_objects([r for r in results if r is not None])

    def preview(self, prompts: PromptSet, previous: MaskCrop | None = None) -> Preview:
        """What `segment` will look at and need, before it runs; it doesn't wait for an answer under way.

        The first time a volume is asked about, this reads all of its voxels. Raises PromptError.
        """
        return self.preview_all([prompts], [previous])

    def preview_all(
        self, prompts: Sequence[PromptSet], previous: Sequence[MaskCrop | None] | None = None
    ) -> Preview:
        """What `segment_all` will look at and need for one object or more. Of several windows, which are
        answered one after the other, the one that asks for most is told."""
        volume = self._current()
        objects, groups = self._grouped(volume, prompts, previous)
        previews = [self._preview(volume, [objects[i] for i in group]) for group in groups]
        return max(previews, key=lambda preview: (preview.runs_encoder, preview.memory_bytes))

    def _grouped(
        self,
        volume: Volume,
        prompts: Sequence[PromptSet],
        previous: Sequence[MaskCrop | None] | None,
    ) -> tuple[list[ObjectPrompts], list[list[int]]]:
        masks = [None] * len(prompts) if previous is None else previous
        objects = [to_voxels(volume, one, mask) for one, mask in zip(prompts, masks, strict=True)]
        return objects, group_objects(volume, objects, self.checkpoint.voxel_budget, self.intensity)

    def _preview(self, volume: Volume, objects: Sequence[ObjectPrompts]) -> Preview:
        device = self.device
        plan = make_plan(volume, objects, self.checkpoint.voxel_budget, self.intensity)
        window = plan.window
        with autocast(device, window.shape):
            half = torch.is_autocast_enabled(device.type)
        runs_encoder = self._key(volume, plan) not in self.cache
        at_once = min(len(objects), _objects_at_once(window))
        memory = estimate_memory(window, at_once, half, runs_encoder, self.checkpoint.config.widths[0])
        return Preview(window.shape, voxel_mm(window, volume), runs_encoder, memory, device.type)

    def _current(self) -> Volume:
        if self.volume is None:
            raise InputError("There is no volume to segment: choose one first.")
        return self.volume

    def _answer(
        self,
        objects: Sequence[ObjectPrompts],
        rivals: Sequence[ObjectPrompts],
        budget: int,
        started: float,
        cancelled: Callable[[], bool] | None,
    ) -> list[Segmentation]:
        volume = self._current()
        # The clicks of rivals don't move the window: it is the one that was previewed and grouped by.
        plan = make_plan(volume, objects, budget, self.intensity)
        objects = exclude_clicks(objects, rivals, plan.window, volume.grid)
        _stop_if(cancelled)
        features, encode_s = self._features(volume, plan)
        begun = time.perf_counter()
        logits = self._decode(features, plan.window, objects, cancelled)
        decode_s = time.perf_counter() - begun
        words = plan.intensity.reason, self._describe(plan.window, volume)
        answers = []
        for one, own in zip(objects, logits, strict=True):
            clicks = _in_crop(one, plan.window, volume.grid)
            own = obey_clicks(own, clicks, BALL_SIGMA * np.divide(plan.window.size, plan.window.shape))
            region = own_region(one, plan.window, volume.grid)
            background = [voxel for voxel, is_foreground in clicks if not is_foreground]
            ensured = own if region is None else ensure_voxel(own, region, background)
            timings = Timings(encode_s, decode_s, time.perf_counter() - started)
            answers.append(
                Segmentation(
                    ensured > 0,
                    plan.window.lower,
                    ensured,
                    timings,
                    encode_s > 0,
                    *words,
                    found=ensured is own,
                )
            )
        return answers

    def _key(self, volume: Volume, plan: Plan) -> Hashable:
        grey = (plan.intensity.lower, plan.intensity.upper)
        return volume.fingerprint, plan.window, grey, self.checkpoint.digest, self.device

    def _features(self, volume: Volume, plan: Plan) -> tuple[ImageFeatures, float]:
        key = self._key(volume, plan)
        features = self.cache.get(key)
        if features is not None:
            return features, 0.0
        begun = time.perf_counter()
        image = extract(volume.array, plan.window, plan.intensity).to(
            self.device, memory_format=layout(self.device)
        )
        with torch.inference_mode(), autocast(self.device, plan.window.shape):
            features = self.network.encode(image, voxel_mm(plan.window, volume))
        self._synchronise()
        self.cache.put(key, features)
        return features, time.perf_counter() - begun

    def _decode(
        self,
        features: ImageFeatures,
        window: Window,
        objects: Sequence[ObjectPrompts],
        cancelled: Callable[[], bool] | None,
    ) -> NDArray[np.float32]:
        """Logits (N, Z, Y, X) on the volume's voxels in the window.

        Raises InputError where they are no numbers: that would read as an empty mask.
        """
        # The features serve any number of objects; the memory of their logits is bounded.
        chunk = _objects_at_once(window)
        parts = []
        for start in range(0, len(objects), chunk):
            _stop_if(cancelled)
            tensors = _as_tensors(objects[start : start + chunk], window).to(self.device)
            with torch.inference_mode():
                with autocast(self.device, window.shape):
                    logits = self.network.decode(features, tensors)
                parts.append(enlarge(logits.float(), window.size)[:, 0].cpu().numpy())
        logits = parts[0] if len(parts) == 1 else np.concatenate(parts)
        # A few of them tell: the normalisations spread what is no number over the whole window.
        if not np.isfinite(logits[:, ::8, ::8, ::8]).all():
            raise InputError(
                f"These weights give no numbers on {self.device.type}: choose the CPU or other weights."
            )
        return logits

    def _with_memory(self, answer: Callable[[int], list[Segmentation]]) -> list[Segmentation]:
        """The answer with the checkpoint's voxel budget, or with less if memory runs out, and says so.

        Where PyTorch lacks a part of the network for the device, it is the CPU's from then on.
        """
        budget, warnings, tried_again = self.checkpoint.voxel_budget, [], False
        while True:
            has_features = self.cache.nbytes > 0
            try:
                return [replace(result, warnings=tuple(warnings)) for result in answer(budget)]
            except NotImplementedError:
                if self.device.type == "cpu":
                    raise
                is_missing = True
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.cache.clear()
                is_missing, frees_enough = False, has_features and not tried_again
                is_last = budget // 2 < SMALLEST_BUDGET and self.device.type == "cpu"
                if is_last and not frees_enough:
                    raise InputError(
                        "There is too little free memory to segment: close other programs."
                    ) from error
            # Not before the error is gone: with it goes what the attempt held.
            device = self.device.type
            if is_missing:
                self._chosen = torch.device("cpu")
                warnings.append(f"This PyTorch can't run ENSAM on {device}: it went on on the CPU.")
                self._move_to(self._chosen)
            elif frees_enough:
                tried_again = True
                _free_memory(device)
            elif budget // 2 >= SMALLEST_BUDGET:
                budget //= 2
                warnings.append(f"Memory ran out: the window was reduced to {budget:,} voxels.")
            else:
                budget = self.checkpoint.voxel_budget
                warnings.append(f"The memory of {device} is too small: ENSAM went on on the CPU.")
                self._too_large = self._current().fingerprint
                self._move_to(torch.device("cpu"))

    def _move_to(self, device: torch.device) -> None:
        network = self.checkpoint.network().to(device)
        for part in (network.image_encoder, network.mask_decoder):
            part.to(memory_format=layout(device))
        left, self.device, self.network = self.device, device, network
        if left.type != device.type:
            self.cache.clear()
            _free_memory(left.type)

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def _describe(self, window: Window, volume: Volume) -> str:
        counts, sizes = along_axes(window.shape), along_axes(voxel_mm(window, volume))
        return f"window of {counts} voxels of {sizes} mm on {self.device.type}"


def _free_memory(device: str) -> None:
    """Let others have the memory that PyTorch keeps for itself."""
    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def _as_tensors(objects: Sequence[ObjectPrompts], window: Window) -> PromptTensors:
    boxes = [None if one.box is None else window.from_volume(one.box) for one in objects]
    clicks = [[(window.from_volume(v), positive) for v, positive in one.clicks] for one in objects]
    masks = [one.previous for one in objects]
    if all(mask is None for mask in masks):
        return PromptTensors.of_objects(boxes, clicks)
    none = torch.zeros(1, 1, *window.shape)
    previous = torch.cat([none if mask is None else _previous_logits(mask, window) for mask in masks])
    return PromptTensors.of_objects(
        boxes, clicks, previous, torch.tensor([mask is not None for mask in masks])
    )


def _in_crop(one: ObjectPrompts, window: Window, grid: Grid) -> list[tuple[Voxel, bool]]:
    """An object's clicks as voxels of the window's crop of the volume."""
    return [
        (tuple(np.subtract(grid.voxel_at(voxel), window.lower).tolist()), is_foreground)
        for voxel, is_foreground in one.clicks
    ]


def _previous_logits(previous: MaskCrop, window: Window) -> Tensor:
    """A mask as logits on the window's grid, (1, 1, Z, Y, X)."""
    whole = torch.zeros(1, 1, *window.size)
    first = np.subtract(previous.offset, window.lower)
    place = tuple(slice(int(a), int(a) + n) for a, n in zip(first, previous.mask.shape, strict=True))
    whole[0, 0][place] = torch.from_numpy(previous.mask.astype(np.float32))
    return CERTAIN * (2 * resample(whole, window.shape) - 1)


def _objects_at_once(window: Window) -> int:
    """How many objects one pass of the decoder may answer."""
    return max(1, VOXELS_AT_ONCE // int(np.prod(window.size)))


def _stop_if(cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise Cancelled("The answer was cancelled.")
