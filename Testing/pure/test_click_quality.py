"""What clicks do is measured on answers that were made up, so that every figure can be worked out by hand."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from ensam.geometry import Grid
from ensam.segmentation import Segmentation, Timings
from ensam.volume import Volume
from ensam_training.__main__ import main
from ensam_training.click_quality import BOX, CLICK, CONFIRMING, Step, compare, play_object
from ensam_training.click_report import summarise, summary_text
from ensam_training.conditions import CONDITIONS, exact_scene
from ensam_training.failures import worst
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st

from .tiny import blob_volume, write_checkpoint

SHAPE = (20, 24, 28)
SPACING = (2.0, 1.0, 1.0)
RNG = np.random.default_rng(0)


def block(lower, upper, shape=SHAPE):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))] = True
    return mask


def a_scene(truth, spacing=SPACING):
    image = (100 * truth + RNG.normal(0, 5, truth.shape)).astype(np.float32)
    return exact_scene(image, truth, spacing)


class ScriptedSession:
    """Answers as it was told to, one mask after the other, and notes what it was asked."""

    def __init__(self, scene, answers):
        grid = Grid(scene.truth.shape, np.diag([*scene.spacing[::-1], 1.0]))
        self.volume = Volume(scene.image, grid, "scripted")
        self.answers, self.asked = list(answers), []

    def segment(self, prompts):
        self.asked.append(prompts)
        mask = self.answers.pop(0)
        return Segmentation(mask, (0, 0, 0), mask.astype(np.float32), Timings(0, 0, 0.5), False, "", "")


OBJECT = block((4, 4, 4), (14, 20, 24))


def steps_of(session, scene):
    return [step for step, _ in play_object(session, scene, 20.0)]


def test_a_click_that_mends_its_error_gains_and_moves_nothing_else():
    scene = a_scene(OBJECT)
    missing = OBJECT & ~block((8, 10, 4), (10, 13, 6))
    session = ScriptedSession(scene, [missing, missing, OBJECT])
    box, confirming, click = steps_of(session, scene)
    assert [box.kind, confirming.kind, click.kind] == [BOX, CONFIRMING, CLICK]
    assert click.foreground and click.obeyed and click.dsc == 1 and click.before == box.dsc < 1
    assert click.changed == 2 * 3 * 2 and click.edge_moved == 0 and click.far_worse == 0
    assert confirming.changed == 0 and confirming.before == confirming.dsc == box.dsc


def test_clicks_add_up_and_stop_when_nothing_is_wrong():
    scene = a_scene(OBJECT)
    worse, better = block((4, 4, 4), (14, 20, 12)), block((4, 4, 4), (14, 20, 20))
    session = ScriptedSession(scene, [worse, worse, better, OBJECT])
    steps = [step for step in steps_of(session, scene) if step.kind == CLICK]
    assert [step.round for step in steps] == [1, 2]
    assert [len(prompts.points) for prompts in session.asked] == [0, 1, 1, 2]
    assert session.asked[1].points != session.asked[2].points
    for point, wrong in zip(session.asked[3].points, (OBJECT & ~worse, OBJECT & ~better), strict=True):
        voxel = session.volume.grid.voxel_at(session.volume.grid.ras_to_zyx(point.position_ras))
        assert point.foreground and wrong[voxel]


def test_a_click_that_is_not_obeyed_is_told():
    scene = a_scene(OBJECT)
    too_much = block((4, 4, 0), (14, 20, 24))
    steps = steps_of(ScriptedSession(scene, [too_much] * 7), scene)
    clicks = [step for step in steps if step.kind == CLICK]
    assert len(clicks) == 5
    assert not any(step.obeyed or step.all_obeyed or step.foreground for step in clicks)
    assert steps[1].kind == CONFIRMING and steps[1].obeyed


def test_a_click_that_later_answers_keep_away_from_stays_obeyed():
    small = block((8, 8, 8), (10, 10, 12))
    far = small | block((16, 18, 20), (20, 24, 28))  # clicked away, and then left for good
    nearly = block((8, 8, 8), (10, 10, 11))
    session = ScriptedSession(a_scene(small), [far, far, nearly, small])
    clicks = [step for step in steps_of(session, a_scene(small)) if step.kind == CLICK]
    assert [step.foreground for step in clicks] == [False, True]
    assert clicks[-1].all_obeyed and clicks[-1].dsc == 1


def test_an_answer_without_a_voxel_is_measured_too():
    scene = a_scene(OBJECT)
    nothing = np.zeros(SHAPE, bool)
    steps = steps_of(ScriptedSession(scene, [nothing, nothing, OBJECT]), scene)
    assert [step.kind for step in steps] == [BOX, CLICK, CLICK]
    assert (steps[1].before, steps[1].dsc, steps[1].voxels) == (0, 0, 0) and steps[2].dsc == 1


def test_voxels_far_from_a_click_are_counted_in_millimetres():
    truth = np.zeros((40, 9, 9), bool)
    before, after = truth.copy(), truth.copy()
    after[[5, 10, 15], 4, 4] = True  # 5, 10 and 15 voxels of 2 mm from the click
    truth[15, 4, 4] = True
    change = compare(truth, before, after, (0, 4, 4), (2.0, 1.0, 1.0), far=15.0, beyond=25.0)
    assert (change.changed, change.far, change.beyond, change.far_worse) == (3, 2, 1, 1)


def test_only_an_edge_that_is_far_and_gone_for_more_than_a_voxel_has_moved():
    before = block((5, 5, 5), (15, 15, 25))
    click = (10, 10, 5)
    for end, moved in ((25, False), (24, False), (26, False), (23, True), (28, True)):
        after = block((5, 5, 5), (15, 15, end))
        change = compare(before, before, after, click, (1.0, 1.0, 1.0), 10.0, 50.0)
        assert (change.edge_moved > 0) == moved and change.far_edge > 100
    near = block((5, 5, 8), (15, 15, 25))  # the side at the click, of which the far edge knows nothing
    change = compare(before, before, near, click, (1.0, 1.0, 1.0), 10.0, 50.0)
    assert change.changed == 300 and change.far == 0 and change.edge_moved == 0


@inputs(30)
@given(st.integers(0, 10**6))
def test_what_is_far_is_a_part_of_what_changed(seed):
    rng = np.random.default_rng(seed)
    truth, before, after = rng.random((3, 6, 7, 8)) > 0.6
    change = compare(truth, before, after, (3, 3, 3), SPACING, *rng.uniform(0, 12, 2))
    assert change.far_worse <= change.far <= change.changed == np.count_nonzero(before ^ after)
    assert change.beyond <= change.changed and 0 <= change.edge_moved <= change.far_edge


def a_step(before, dsc, kind=CLICK, number=1, case="one", condition="exact", **fields):
    counts = dict.fromkeys(("changed", "far", "beyond", "far_worse", "far_edge", "edge_moved"), 0)
    values = {"obeyed": True, "all_obeyed": True, "voxels": 100, **counts, "seconds": 0.1, **fields}
    return Step(kind, number, True, before, dsc, case=case, label=1, condition=condition, **values)


def test_the_summary_tells_how_often_and_by_how_much_clicks_hurt():
    steps = [
        a_step(0.5, 0.5, BOX, 0),
        a_step(0.5, 0.5, CONFIRMING, changed=5),
        a_step(0.5, 0.7, changed=30, far=3, far_edge=50, edge_moved=5),
        a_step(0.7, 0.6, number=2, changed=10, far=7, far_worse=4, obeyed=False, all_obeyed=False),
        a_step(0.6, 0.595, number=3),
        a_step(0.595, 1.0, number=4),
    ]
    (of,) = summarise(steps)
    assert of.dsc == pytest.approx((0.5, 0.7, 0.6, 0.595, 1.0, 1.0))
    assert (of.objects, of.clicks, of.lowered, of.lowered_clearly) == (1, 4, 0.5, 0.25)
    assert of.loss == pytest.approx((0.1 + 0.005) / 2) and of.gain == pytest.approx(0.5 / 4)
    assert (of.obeyed, of.far, of.far_worse, of.edge_moved) == (0.75, 0.25, 0.1, 0.1)
    assert of.all_obeyed == 1 and of.confirming_changed == 0.05 and np.isnan(of.confirming_edge_moved)


def test_conditions_are_summed_up_apart():
    steps = [a_step(0.5, 0.5, BOX, 0, condition=name) for name in ("exact", "noise")]
    assert [of.condition for of in summarise(steps)] == ["exact", "noise"]
    assert len(summary_text(summarise(steps)).splitlines()[1:3]) == 2


def worse(name, scene, seed=0):
    return CONDITIONS[name](scene, np.random.default_rng(seed))


def test_a_loosened_box_grows_by_its_share_on_every_side_within_the_volume():
    scene = a_scene(OBJECT)
    for name, share in (("exact", 0), ("loose-5", 0.05), ("loose-15", 0.15)):
        lower, upper = worse(name, scene).faces
        assert lower == pytest.approx(np.array([3.5, 3.5, 3.5]) - share * np.array([10, 16, 20]))
        assert upper == pytest.approx(np.array([13.5, 19.5, 23.5]) + share * np.array([10, 16, 20]))
    assert np.array_equal(worse("loose-15", a_scene(np.ones(SHAPE, bool))).faces[0], [-0.5] * 3)


def test_noise_is_a_tenth_of_the_range_and_repeats_by_seed():
    scene = a_scene(OBJECT)
    noise = worse("noise", scene).image - scene.image
    shown = np.diff(np.percentile(scene.image, (0.5, 99.5)))[0]
    assert noise.std() == pytest.approx(0.1 * shown, rel=0.05)
    assert np.array_equal(worse("noise", scene).image, worse("noise", scene).image)
    assert not np.array_equal(worse("noise", scene, 1).image, worse("noise", scene).image)


def test_inverted_contrast_turns_the_order_of_grey_values_round():
    scene = a_scene(OBJECT)
    image = worse("inverted", scene).image
    assert image[~OBJECT].mean() > image[OBJECT].mean() + 80
    assert image.min() >= np.percentile(scene.image, 0.5) - 1e-3


def test_thinning_keeps_every_third_slice_along_the_longest_axis_and_its_size():
    scene = worse("thinned", a_scene(OBJECT))
    assert scene.image.shape == (20, 24, 10) and scene.spacing == (2.0, 1.0, 3.0)
    assert np.array_equal(scene.truth, OBJECT[:, :, ::3])
    assert scene.faces.tolist() == [[3.5, 3.5, 1.5], [13.5, 19.5, 7.5]]


def test_a_cut_volume_begins_within_the_object():
    scene = worse("cut", a_scene(OBJECT))
    assert scene.truth[:, :, 0].any() and scene.truth.sum() == OBJECT.sum() / 2
    assert scene.faces[0, 2] == -0.5


def test_too_little_of_an_object_is_no_case():
    thin = a_scene(block((4, 4, 4), (6, 6, 9)))
    assert worse("thinned", thin) is None and worse("cut", thin) is None


def test_the_command_line_measures_clicks(tmp_path, capsys):
    volume = blob_volume((24, 24, 24))
    truth = block((7, 7, 7), (17, 17, 17), (24, 24, 24)).astype(np.uint8)
    grey = np.clip(volume.array + 50, 0, 255).astype(np.uint8)
    (tmp_path / "cases").mkdir()
    np.savez(tmp_path / "cases" / "mr_one.npz", imgs=grey, gts=truth, spacing=np.ones(3))
    np.savez(tmp_path / "cases" / "bad.npz", imgs=grey, gts=0 * truth, spacing=np.ones(3))
    (tmp_path / "names.txt").write_text("mr_one\nbad\n")
    weights = write_checkpoint(tmp_path / "tiny.safetensors")
    arguments = [
        "clicks",
        str(tmp_path / "cases"),
        "--cases",
        str(tmp_path / "names.txt"),
        "-o",
        str(tmp_path),
    ]
    assert main([*arguments, "--checkpoint", str(weights), "--conditions", "exact,inverted"]) == 2
    printed = capsys.readouterr()
    assert "lowered" in printed.out and "'bad' is left out" in printed.err
    with open(tmp_path / "clicks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["condition"] for row in rows} == {"exact", "inverted"} and rows[0]["modality"] == "MR"
    figures = json.loads((tmp_path / "clicks.json").read_text())
    assert figures["exact"]["objects"] == 1 and len(figures["exact"]["dsc"]) == 6
    assert not (tmp_path / "failures.png").exists()
    shown = [*arguments, "--checkpoint", str(weights), "--conditions", "exact", "--pictures", "2"]
    assert main(shown) == 2
    assert (tmp_path / "failures.png").read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "--conditions", "fog"]) == 2
    assert "fog" in capsys.readouterr().err


def test_the_worst_objects_are_those_of_the_lowest_last_answers_one_a_case():
    steps = [
        a_step(0.0, 0.1, case="a", kind=BOX),
        a_step(0.1, 0.9, case="a"),
        a_step(0.2, 0.3, case="b"),
        replace(a_step(0.2, 0.2, case="b"), label=2),
        a_step(0.2, 0.4, case="c"),
        a_step(0.2, 0.1, case="c", kind=CONFIRMING),
        a_step(0.2, 0.0, case="d", condition="noise"),
    ]
    assert [(s.case, s.label) for s in worst(steps, 2)] == [("b", 2), ("c", 1)]
