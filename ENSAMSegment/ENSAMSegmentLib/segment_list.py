"""The list of segments in Slicer's editors, which users can filter by text and by state.

A segment that the filter leaves out can't be selected there, and an effect that works on it is ended.
"""

from __future__ import annotations

import slicer


def keep_listed(
    segmentation: slicer.vtkMRMLSegmentationNode | None, segment_id: str, is_written: bool = False
) -> None:
    """Clear the filter if it leaves this segment out.

    is_written: whether the segment is about to be written to; Slicer counts it as in progress then.
    """
    segment = segmentation and segmentation.GetSegmentation().GetSegment(segment_id)
    if segment is None or not segmentation.GetSegmentListFilterEnabled():
        return
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    status = logic.GetSegmentStatus(segment)
    if is_written and status == logic.NotStarted:
        status = logic.InProgress
    # As "text:liver;status:notstarted,inprogress".
    parts = segmentation.GetSegmentListFilterOptions().split(";")
    options = dict(part.split(":") for part in parts if part.count(":") == 1)
    text, states = options.get("text", ""), options.get("status", "")
    # The list finds a text in tags too, which Python can't go through: then the filter is cleared in vain.
    has_text = text.lower() in segment.GetName().lower()
    has_state = not states or logic.GetSegmentStatusAsMachineReadableString(status) in states.split(",")
    if not (has_text and has_state):
        segmentation.SetSegmentListFilterOptions("")
