"""What the user reads while working."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import slicer
from ensam.planning import Preview, along_axes
from ensam.worker import Job

from .target import Target
from .translation import tr as _
from .volumes import is_in_views

# Neighbours that touch always differ about a few voxels.
WORTH_SAYING = 0.1
COARSE = 2.0  # times the image's own voxels


@dataclass(frozen=True)
class Status:
    """One sentence, what is behind it, and while working how far it is from 0 to 1 (None: not known).

    technical: what only those ask for who look for it.
    """

    kind: Literal["ready", "working", "done", "error"]
    text: str
    detail: str = ""
    progress: float | None = None
    technical: str = ""


def ready(target: Target, has_prompts: bool) -> Status:
    """What to do next."""
    if target.volume is None:
        return Status("ready", _("Load an image and choose it as the source volume."))
    if not target.segment_id:
        return Status("ready", _("Press N for a new segment."))
    if not has_prompts:
        return Status("ready", _("Draw a box round the object, or click on it."))
    return Status("ready", _("Change any prompt, and the mask follows."))


def working(job: Job) -> Status:
    """What a job is at."""
    if job.preview is None:
        return Status("working", _("Loading the network...") if job.opens_session else _("Segmenting..."))
    seconds = time.monotonic() - (job.started or time.monotonic())
    technical = _describe(job.preview)
    if not job.preview.runs_encoder:
        return Status("working", _("Segmenting..."), technical=technical)
    if job.expected_s is None:
        text = _("Looking at this part of the image for the first time: {seconds} s...")
        return Status("working", text.format(seconds=f"{seconds:.0f}"), technical=technical)
    text = _("Looking at this part of the image: {seconds} of about {expected} s...").format(
        seconds=f"{seconds:.0f}", expected=f"{max(1, job.expected_s):.0f}"
    )
    return Status("working", text, "", min(0.95, seconds / job.expected_s), technical)


def done(job: Job | None, held_back: float, is_masked: bool, unseen: str) -> Status:
    """What there is to say of an update beside its measures: what the answer had to make do with, that there
    was none, that other segments kept a good share of the new mask, from 0 to 1, that the editable area
    limits it, why no view shows it (see `unseen`), and behind it the grey values and how coarse they were
    seen."""
    results = job.results if job else ()
    notes = [warning for result in results for warning in result.warnings]
    if not all(result.found for result in results):
        notes.append(_("Nothing stands out there: draw the box closer, or click on the object."))
    if held_back > WORTH_SAYING:
        text = _("Other segments kept {percent} % of it: to overwrite them untick 'Other segments keep ...'.")
        notes.append(text.format(percent=round(100 * held_back)))
    if is_masked:
        # The module's panel shows no such settings unless an editing tool is in use.
        notes.append(_("Only the editable area was written: see 'Masking', below any editing tool."))
    if unseen:
        notes.append(unseen)
    text = " ".join([_("Done."), *dict.fromkeys(notes)])
    if job is None:
        return Status("done", text)
    # A wrong guess of the grey values is to be seen, and mended by choosing others.
    grey_values = "; ".join(dict.fromkeys(result.grey_values for result in results))
    own = job.request.volume.grid.spacing_zyx
    if any(seen > COARSE * mm for seen, mm in zip(job.preview.voxel_mm, own, strict=True)):
        detail = _("Seen with {reason}, coarsely for its size: in voxels of {sizes} mm.").format(
            reason=grey_values, sizes=along_axes(job.preview.voxel_mm)
        )
    else:
        detail = _("Seen with {reason}.").format(reason=grey_values)
    return Status("done", text, detail, technical=_describe(job.preview))


def unseen(target: Target) -> str:
    """Why the user sees nothing of what becomes of a segment, and what helps; "" where it is shown."""
    display = target.segmentation.GetDisplayNode()
    if not is_in_views(target.volume):
        return not_shown(target.volume)
    if display is None:
        return ""
    if not display.GetVisibility():
        return _("The segmentation is hidden: click on its eye in the module Data.")
    if not display.GetSegmentVisibility(target.segment_id):
        return _("The segment is hidden: click on its eye in the list of segments.")
    return ""


def not_shown(volume: slicer.vtkMRMLScalarVolumeNode) -> str:
    """What to say where the user may click on another image than the one that is segmented."""
    return _(
        "'{volume}' is what is segmented, and the slice views show another image: choose that one as the "
        "source volume."
    ).format(volume=volume.GetName())


def kept() -> Status:
    """There was nothing to ask the network."""
    return Status(
        "done",
        _(
            "Nothing has changed: a mask that was edited by hand stays until its prompts change. "
            "Click on what is wrong."
        ),
    )


def _describe(preview: Preview) -> str:
    memory = preview.memory_bytes / 2**20
    return _("Window of {voxels} voxels of {sizes} mm on {device}, about {memory} MB of memory.").format(
        voxels=along_axes(preview.window_voxels),
        sizes=along_axes(preview.voxel_mm),
        device=preview.device,
        memory=f"{memory:.0f}",
    )
