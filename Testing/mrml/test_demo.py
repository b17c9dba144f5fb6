"""The demo from its files to its files, with a session that needs no network."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from ensam.errors import InputError
from ensam.geometry import Grid
from ensam.prompts import read_prompts
from ensam.volume import write_labels

from .conftest import LIVER, SHAPE, STRAIGHT
from .demo import read_case, run
from .nodes import load_segmentation
from .slicer_core_scene import create_scene


class SessionThatSeesABallAroundEachClick:
    """Half of the object, and a ball of the object around each click on it."""

    def set_volume(self, volume):
        self.grid = volume.grid

    def segment(self, prompts):
        mask = LIVER.copy()
        mask[:, :, 14:] = False
        for point in filter(lambda point: point.foreground, prompts.points):
            position = self.grid.ras_to_zyx(point.position_ras)
            mask |= LIVER & (((np.indices(SHAPE).transpose(1, 2, 3, 0) - position) ** 2).sum(axis=3) < 9)
        return SimpleNamespace(
            mask=mask[2:16],
            offset=(2, 0, 0),
            encoder_ran=not len(prompts.points),
            timings=SimpleNamespace(encode_s=1.5, decode_s=0.1),
            notes=(),
        )


@pytest.fixture
def a_case_folder(tmp_path):
    grid = Grid(SHAPE, STRAIGHT)
    write_labels(tmp_path / "image.nii.gz", LIVER.astype(np.uint8), grid, ["bright"])
    write_labels(tmp_path / "label.nii.gz", LIVER.astype(np.uint8), grid, ["liver"])
    facts = {"title": "Test", "label": 1, "segment": "liver", "licence": "CC0-1.0", "source": "made here"}
    (tmp_path / "case.json").write_text(json.dumps(facts))
    return tmp_path


def test_the_demo_segments_with_a_box_and_three_clicks(off_screen_rendering, a_case_folder, tmp_path, capsys):
    run(read_case(a_case_folder), tmp_path / "out", SessionThatSeesABallAroundEachClick())

    rows = [line for line in capsys.readouterr().out.splitlines() if line.endswith(" ms")]
    dices = [float(re.search(r"\d\.\d{3}", row)[0]) for row in rows]
    assert len(rows) == 4
    assert dices == sorted(set(dices))
    assert len(read_prompts(tmp_path / "out" / "prompts.json")[0].prompts.points) == 3
    assert (tmp_path / "out" / "views.png").stat().st_size > 10_000
    with create_scene() as application:
        node = load_segmentation(application.GetMRMLScene(), tmp_path / "out" / "segmentation.seg.nrrd")
        assert node.GetSegmentation().GetNthSegment(0).GetName() == "liver"


def test_a_folder_without_a_case_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no sample case"):
        read_case(tmp_path)
