"""What ENSAM writes without Slicer, loaded by Slicer."""

import numpy as np
import pytest
import slicer.util
from ensam.geometry import Grid
from ensam.volume import write_labels

from .conftest import LEFT_HANDED, OBLIQUE, SHAPE, STRAIGHT
from .nodes import add_volume, load_segmentation

SHEAR = np.array([[1, 0.4, 0, 0], [0, 1, 0.2, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
GRIDS = {"straight": STRAIGHT, "oblique": OBLIQUE, "left-handed": LEFT_HANDED, "sheared": OBLIQUE @ SHEAR}


@pytest.mark.parametrize("ijk_to_ras", GRIDS.values(), ids=GRIDS)
def test_a_label_file_loads_as_a_segmentation(tmp_path, an_mrml_scene, ijk_to_ras):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:6, 3:9, 4:12] = 1
    labels[10:12, 20:25, 30:40] = 2
    write_labels(tmp_path / "organs.seg.nrrd", labels, Grid(SHAPE, ijk_to_ras), ["liver", "left kidney"])

    node = load_segmentation(an_mrml_scene, tmp_path / "organs.seg.nrrd")

    segmentation = node.GetSegmentation()
    ids = segmentation.GetSegmentIDs()
    assert [segmentation.GetSegment(one).GetName() for one in ids] == ["liver", "left kidney"]
    volume = add_volume(an_mrml_scene, labels, ijk_to_ras)
    for label, segment_id in enumerate(ids, start=1):
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume)
        np.testing.assert_array_equal(voxels != 0, labels == label)
