"""What is asked and answered in Python: the kinds that are taken, and an answer that can be printed."""

from __future__ import annotations

import numpy as np
import pytest
from ensam.errors import PromptError
from ensam.masks import MaskCrop
from ensam.prompts import PromptSet
from ensam.session import InteractiveSession

from .test_session import box_of
from .tiny import blob_volume, tiny_checkpoint


@pytest.fixture(scope="module")
def a_session(tmp_path_factory):
    session = InteractiveSession(tiny_checkpoint(tmp_path_factory.mktemp("models")), "cpu")
    session.set_volume(blob_volume())
    return session


@pytest.fixture
def a_box(a_session):
    return box_of(a_session.volume, (12, 16, 20), (27, 31, 35))


def test_a_box_alone_is_no_prompt_set(a_session, a_box):
    with pytest.raises(PromptError, match=r"PromptSet\(box\)"):
        a_session.segment(a_box)


def test_a_mask_to_go_on_from_is_told_where_it_lies(a_session, a_box):
    mask = np.zeros(a_session.volume.grid.shape, bool)
    mask[15:20, 20:25, 25:30] = True
    with pytest.raises(PromptError, match=r"MaskCrop\(mask, \(0, 0, 0\)\)"):
        a_session.segment(PromptSet(a_box), previous=mask)
    assert a_session.segment(PromptSet(a_box), previous=MaskCrop(mask, (0, 0, 0))).mask.any()


def test_an_answer_is_printed_in_a_line_without_its_voxels(a_session, a_box):
    printed = repr(a_session.segment(PromptSet(a_box)))
    assert printed.startswith("Segmentation(offset=") and "percentile" in printed
    assert len(printed) < 500 and "\n" not in printed and "array" not in printed
