"""A folder with all that a command needs: an image, prompts, weights."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk
from ensam.prompts import PromptSet, SegmentPrompts, write_prompts

from .test_session import box_of, point_at
from .tiny import blob_volume, write_checkpoint


class Files:
    """A folder with all that a run needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.volume_value = blob_volume()
        self.volume = folder / "blob.nrrd"
        sitk.WriteImage(self.volume_value.grid.to_itk(self.volume_value.array), str(self.volume))
        self.checkpoint = write_checkpoint(folder / "tiny.safetensors")
        self.output = folder / "out.seg.nrrd"
        box = box_of(self.volume_value, (12, 16, 20), (27, 31, 35))
        other = box_of(self.volume_value, (14, 18, 24), (29, 33, 39))
        self.prompts = folder / "prompts.json"
        write_prompts(
            self.prompts,
            [
                SegmentPrompts("ball", PromptSet(box, (point_at(self.volume_value, (20, 24, 28)),))),
                SegmentPrompts("other", PromptSet(other)),
            ],
        )

    def arguments(self, **changes) -> list[str]:
        values = {"volume": self.volume, "--prompts": self.prompts, "-o": self.output,
                  "--checkpoint": self.checkpoint, "--device": "cpu"} | changes  # fmt: skip
        flags = [
            str(v) for k, pair in values.items() if k != "volume" and pair is not None for v in (k, pair)
        ]
        return ["segment", str(values["volume"]), *flags]

    def left_behind(self) -> set[str]:
        return {p.name for p in self.folder.iterdir()} - self._start

    def remember(self) -> None:
        self._start = {p.name for p in self.folder.iterdir()}
