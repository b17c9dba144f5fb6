"""The user's own cases: kept whole, replaced when corrected on, trained on with their real prompts."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ensam.errors import InputError, OutputError
from ensam.geometry import Grid
from ensam.masks import MaskCrop
from ensam.planning import ObjectPrompts
from ensam.prompts import Box, Point, PromptSet
from ensam.volume import Volume, read_volume, write_labels
from ensam_training.__main__ import main
from ensam_training.augmentation import Turn
from ensam_training.cache import Cache, prepare
from ensam_training.cases import Case
from ensam_training.checking import check_cases
from ensam_training.collection import FACTS, Collection, NewSegment, read_facts
from ensam_training.discovery import find_cases
from ensam_training.sampling import WindowSampler
from ensam_training.user import SimulatedUser
from hypothesis import given
from hypothesis import strategies as st

from .labelled_files import a_label, an_image, write, write_case

SHAPE = (20, 24, 28)
GRID = Grid(SHAPE, np.array([[-0.8, 0, 0, 30], [0, -0.8, 0.2, 20], [0, 0.1, 1.5, -5], [0, 0, 0, 1.0]]))


def a_volume(name="MR head.nii.gz", seed=0):
    rng = np.random.default_rng(seed)
    return Volume(rng.normal(100, 20, SHAPE).astype(np.float32), straight(), name)


def straight():
    return Grid(SHAPE, np.array([[-0.8, 0, 0, 30], [0, -0.8, 0, 20], [0, 0, 1.5, -5], [0, 0, 0, 1.0]]))


def block(lower, upper):
    return MaskCrop(np.ones(np.subtract(upper, lower), bool), tuple(lower))


LIVER, KIDNEY = block((4, 4, 4), (12, 14, 14)), block((4, 4, 16), (12, 14, 26))


def prompts_for(mask, volume):
    """A box round the mask, a click in its middle and one beside it."""
    lower, upper = np.array(mask.offset), np.add(mask.offset, mask.mask.shape)
    corners = volume.grid.zyx_to_ras(np.stack((lower - 0.5, upper - 0.5)))
    middle, beside = volume.grid.zyx_to_ras(np.stack(((lower + upper) / 2 - 0.5, lower - 2)))
    box = Box.from_bounds_ras(corners.min(axis=0), corners.max(axis=0))
    return PromptSet(box, (Point(tuple(middle), True), Point(tuple(beside), False)))


@pytest.fixture
def a_collection(tmp_path):
    return Collection(tmp_path / "cases")


def test_a_case_comes_back_as_it_was_given(a_collection):
    volume = a_volume()
    prompts = prompts_for(LIVER, volume)
    names = a_collection.add(
        volume, [NewSegment("liver", LIVER, prompts), NewSegment("kidney", KIDNEY)], "study.mrb", "patient 7"
    )
    (case,) = a_collection.cases()
    assert names == (case.name,) == ("MR_head",)
    assert (case.facts.source, case.facts.patient) == ("study.mrb", "patient 7")
    assert case.facts.segments == ("liver", "kidney")
    assert case.facts.prompts_of(1) == prompts
    assert case.facts.prompts_of(2).is_empty
    image, labels = read_volume(case.image), read_volume(case.label).array
    assert np.array_equal(image.array, volume.array)
    assert np.allclose(image.grid.ijk_to_ras, volume.grid.ijk_to_ras)
    assert np.array_equal(labels == 1, LIVER.laid_out(SHAPE))
    assert np.array_equal(labels == 2, KIDNEY.laid_out(SHAPE))


def test_training_finds_it_with_its_patient_and_no_complaint(a_collection):
    a_collection.add(a_volume(), [NewSegment("liver", LIVER)], "scene", "patient 7")
    (check,) = check_cases(find_cases(a_collection.folder), workers=1).checks
    assert (check.reason, check.warnings) == ("", ())
    assert (check.file.group, check.file.dataset) == ("patient 7", "collection")


def test_segments_that_overlap_become_cases_of_one_patient(a_collection):
    inner = block((6, 6, 6), (9, 9, 9))
    names = a_collection.add(
        a_volume(),
        [NewSegment("liver", LIVER), NewSegment("tumour", inner), NewSegment("kidney", KIDNEY)],
        "scene",
    )
    assert len(names) == 2
    assert [case.facts.segments for case in a_collection.cases()] == [("liver", "kidney"), ("tumour",)]
    assert len({case.facts.patient for case in a_collection.cases()}) == 1


def test_what_is_corrected_on_replaces_what_was_there(a_collection):
    a_collection.add(a_volume(), [NewSegment("liver", LIVER)], "scene")
    a_collection.add(a_volume(seed=1), [NewSegment("liver", LIVER)], "scene")
    smaller = block((4, 4, 4), (10, 10, 10))
    names = a_collection.add(
        a_volume(), [NewSegment("liver", smaller), NewSegment("kidney", KIDNEY)], "study.mrb"
    )
    assert names == ("MR_head",)
    assert [case.name for case in a_collection.cases()] == ["MR_head", "MR_head_2"]
    assert (read_volume(a_collection.case("MR_head").label).array == 1).sum() == smaller.mask.sum()
    # Another segment of the same image is no newer form of these.
    assert a_collection.add(a_volume(), [NewSegment("spleen", KIDNEY)], "scene") == ("MR_head_3",)


def test_a_corrected_segment_replaces_its_own_alone(a_collection):
    """As a panel adds it that ticks what has prompts."""
    volume = a_volume()
    kidneys = prompts_for(KIDNEY, volume)
    a_collection.add(volume, [NewSegment("liver", LIVER), NewSegment("kidney", KIDNEY, kidneys)], "", "7")
    larger = block((4, 4, 4), (13, 14, 14))
    names = a_collection.add(volume, [NewSegment("Liver", larger)], "")
    (case,) = a_collection.cases()
    assert names == (case.name,) and case.facts.segments == ("Liver", "kidney")
    labels = read_volume(case.label).array
    assert (np.count_nonzero(labels == 1), np.count_nonzero(labels == 2)) == (larger.count, KIDNEY.count)
    assert case.facts.prompts_of(2) == kidneys and case.facts.patient == "7"
    over = block((4, 4, 4), (12, 14, 20))  # grown into the other one
    names = a_collection.add(volume, [NewSegment("liver", over)], "")
    first, second = (a_collection.case(name) for name in names)
    assert (first.facts.segments, second.facts.segments) == (("liver",), ("kidney",))
    assert first.facts.patient == second.facts.patient == "7"
    a_collection.add(volume, [NewSegment("spleen", block((14, 4, 4), (18, 9, 9)))], "")
    assert len(a_collection.cases()) == 3  # what shares no name stays as it is


def test_what_can_not_be_carried_over_is_not_lost(a_collection):
    volume = a_volume()
    (name,) = a_collection.add(volume, [NewSegment("liver", LIVER), NewSegment("kidney", KIDNEY)], "")
    label = a_collection.case(name).label
    whole = label.read_bytes()
    label.write_bytes(b"damaged")
    with pytest.raises(InputError, match="label"):
        a_collection.add(volume, [NewSegment("liver", LIVER)], "")
    label.write_bytes(whole)
    (case,) = a_collection.cases()
    assert case.facts.segments == ("liver", "kidney")


def test_another_collection_comes_with_names_and_prompts_and_itself_does_not(a_collection, tmp_path, capsys):
    volume = a_volume()
    prompts = prompts_for(LIVER, volume)
    elsewhere = Collection(tmp_path / "elsewhere")
    elsewhere.add(
        volume, [NewSegment("Leber, links", LIVER, prompts), NewSegment("kidney", KIDNEY)], "", "anna"
    )
    assert main(["collect", str(elsewhere.folder), "-o", str(a_collection.folder)]) == 0
    (case,) = a_collection.cases()
    assert case.facts.segments == ("Leber, links", "kidney") and case.facts.patient == "anna"
    assert case.facts.prompts_of(1) == prompts and case.facts.prompts_of(2) == PromptSet()
    capsys.readouterr()
    assert main(["collect", str(a_collection.folder), "-o", str(a_collection.folder)]) == 2
    assert "is the collection itself" in capsys.readouterr().err
    assert len(a_collection.cases()) == 1


def test_an_image_is_known_again_however_its_position_was_rounded(a_collection):
    a_collection.add(a_volume(), [NewSegment("liver", LIVER)], "scene", "patient 7")
    matrix = straight().ijk_to_ras.copy()
    matrix[:3] = np.nextafter(matrix[:3], np.inf)
    rounded = replace(a_volume("what Slicer read"), grid=Grid(SHAPE, matrix))
    assert rounded.fingerprint != a_volume().fingerprint
    assert a_collection.add(rounded, [NewSegment("liver", LIVER)], "scene") == ("MR_head",)
    assert patients(a_collection) == {"MR_head": "patient 7"}


def test_all_cases_of_an_image_are_of_the_patient_that_was_told_last(a_collection):
    a_collection.add(a_volume(), [NewSegment("liver", LIVER)], "scene", "patient 7")
    a_collection.add(a_volume(seed=1), [NewSegment("liver", LIVER)], "scene", "patient 7")
    a_collection.add(a_volume(), [NewSegment("spleen", KIDNEY)], "scene")
    assert set(patients(a_collection).values()) == {"patient 7"}
    a_collection.add(a_volume(), [NewSegment("kidney", KIDNEY)], "scene", "patient 8")
    assert patients(a_collection) == {
        "MR_head": "patient 8", "MR_head_2": "patient 7", "MR_head_3": "patient 8", "MR_head_4": "patient 8",
    }  # fmt: skip


def test_images_of_one_name_are_patients_apart_unless_told_otherwise(a_collection):
    for seed in range(2):
        a_collection.add(a_volume(seed=seed), [NewSegment("liver", LIVER)], "scene")
    assert len(set(patients(a_collection).values())) == 2


def patients(collection):
    return {case.name: case.facts.patient for case in collection.cases()}


def organs_of_one_image(folder, names):
    """A table of the same image with a label file an organ, each labelled 1."""
    lines = [f"image.nii.gz,{name}.nii.gz,ct_{name},one" for name in names]
    for number, name in enumerate(names):
        write(folder / "image.nii.gz", an_image())
        write(folder / f"{name}.nii.gz", np.roll(a_label(), number, axis=0))
    (folder / "organs.csv").write_text("\n".join(["image,label,name,group", *lines]))
    return folder / "organs.csv"


def labels_first_at(collection):
    """By case, the first slice that its label has a voxel in."""
    return {case.name: int(np.argwhere(read_volume(case.label).array)[0][0]) for case in collection.cases()}


def test_organs_in_label_files_of_one_image_are_all_collected_and_again_replaced(
    a_collection, tmp_path, capsys
):
    table = organs_of_one_image(tmp_path / "data", ("kidney", "liver", "spleen"))
    for _ in range(2):
        assert main(["collect", str(table), "-o", str(a_collection.folder)]) == 0
        assert capsys.readouterr().out.startswith("3 cases in ")
        assert labels_first_at(a_collection) == {"ct_kidney": 3, "ct_liver": 4, "ct_spleen": 5}
    assert {case.facts.patient for case in a_collection.cases()} == {"one"}


def test_another_folders_labels_of_the_same_image_are_kept_beside_those_there(a_collection, tmp_path, capsys):
    for number, organ in enumerate(("liver", "liver", "spleen")):
        label = np.roll(a_label(), number, axis=0)
        folder = write_case(tmp_path / f"{organ}s", "ct_01", label=label)
        assert main(["collect", str(folder), "-o", str(a_collection.folder)]) == 0
        assert capsys.readouterr().out.startswith("1 cases in ")
    # The second time the liver was corrected.
    assert labels_first_at(a_collection) == {"ct_01": 4, "ct_01_2": 5}


def test_folders_of_one_name_do_not_replace_each_others_labels(a_collection, tmp_path, monkeypatch):
    for _ in range(2):
        for number, organ in enumerate(("liver", "spleen", "kidney")):
            folder = tmp_path / organ / "data"
            write_case(folder, "ct_01", label=np.roll(a_label(), number, axis=0))
            monkeypatch.chdir(folder)
            given = "." if number else str(folder)  # the same folder by another name
            assert main(["collect", given, "-o", str(a_collection.folder)]) == 0
        assert labels_first_at(a_collection) == {"ct_01": 3, "ct_01_2": 4, "ct_01_3": 5}
    names = [case.facts.segments for case in a_collection.cases()]
    assert names == [("1",), ("1 (data: ct_01)",), ("1 (data: ct_01, 2)",)]
    assert main(["collect", str(tmp_path / "spleen" / "data"), "-o", str(a_collection.folder)]) == 0
    assert len(a_collection.cases()) == 3


def test_one_image_under_two_names_is_collected_as_one_patients(a_collection, tmp_path):
    for number, name in enumerate(("rater01", "rater02")):
        write_case(tmp_path / "data", name, label=np.roll(a_label(), number, axis=0))
    assert main(["collect", str(tmp_path / "data"), "-o", str(a_collection.folder)]) == 0
    assert list(patients(a_collection)) == ["rater01", "rater02"]
    assert len(set(patients(a_collection).values())) == 1


def test_segments_of_one_name_are_told_apart(a_collection):
    a_collection.add(
        a_volume(), [NewSegment("lesion", LIVER), NewSegment("lesion", KIDNEY), NewSegment(" \n", LIVER)], ""
    )
    segments = [case.facts.segments for case in a_collection.cases()]
    assert segments == [("lesion", "lesion 2"), ("segment",)]


def test_nothing_to_keep_is_said(a_collection):
    outside = block((40, 40, 40), (44, 44, 44))
    with pytest.raises(InputError, match="No segment has a voxel in 'MR head"):
        a_collection.add(a_volume(), [NewSegment("liver", outside)], "scene")
    assert a_collection.cases() == ()


def test_a_removed_case_is_gone_and_a_second_time_said(a_collection):
    assert a_collection.is_empty
    (name,) = a_collection.add(a_volume(), [NewSegment("liver", LIVER)], "scene")
    assert not a_collection.is_empty
    a_collection.remove(name)
    assert a_collection.cases() == () and a_collection.is_empty
    assert not any(a_collection.folder.iterdir())
    with pytest.raises(InputError, match="There is no case 'MR_head'"):
        a_collection.remove(name)


def test_what_a_killed_process_left_goes_with_the_next_change(a_collection):
    names = [f".{kind}-1234abcd" for kind in ("adding", "removed", "replaced")]
    for name in [*names, ".adding-5678abcd"]:
        (a_collection.folder / name).mkdir(parents=True)
    for name in names:
        os.utime(a_collection.folder / name, (0, 0))
    (name,) = a_collection.add(a_volume(), [NewSegment("liver", LIVER)], "scene")
    # The last of them may be written still.
    assert {p.name for p in a_collection.folder.iterdir()} == {name, ".adding-5678abcd"}


def test_a_replaced_case_that_could_not_be_deleted_does_not_come_back(a_collection, monkeypatch):
    volume, both = a_volume(), [NewSegment("liver", LIVER), NewSegment("kidney", KIDNEY)]
    for one in both:
        a_collection.add(volume, [one], "scene")
    with monkeypatch.context() as patch:
        patch.setattr("ensam_training.collection.shutil.rmtree", lambda *given, **named: None)
        (name,) = a_collection.add(volume, both, "scene")
    for path in a_collection.folder.glob(".*"):
        os.utime(path, (0, 0))
    (other,) = a_collection.add(a_volume("CT", seed=1), both, "scene")
    assert sorted(path.name for path in a_collection.folder.iterdir()) == sorted([name, other])


def test_a_case_whose_correction_was_cut_off_comes_back(a_collection, monkeypatch):
    volume, rename, moved = a_volume(), Path.rename, []
    (name,) = a_collection.add(volume, [NewSegment("liver", LIVER)], "scene")

    class Killed(BaseException):
        """The process ends between two moves."""

    def dies(path, target):
        if moved:
            raise Killed
        moved.append(path)
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dies)
        with pytest.raises(Killed):
            a_collection.add(volume, [NewSegment("liver", KIDNEY)], "scene")
    assert a_collection.is_empty
    (aside,) = a_collection.folder.glob(".replaced-*")
    os.utime(aside, (0, 0))
    (other,) = a_collection.add(a_volume("CT", seed=1), [NewSegment("liver", LIVER)], "scene")
    assert {case.name for case in a_collection.cases()} == {name, other}
    assert sorted(path.name for path in a_collection.folder.iterdir()) == sorted([name, other])


def test_a_write_that_fails_leaves_the_old_case(a_collection, monkeypatch):
    a_collection.add(a_volume(), [NewSegment("liver", LIVER)], "scene")

    def full(path, labels, grid, names):
        raise OutputError("no room")

    monkeypatch.setattr("ensam_training.collection.write_labels", full)
    with pytest.raises(OutputError):
        a_collection.add(a_volume(), [NewSegment("liver", KIDNEY)], "scene")
    (case,) = a_collection.cases()
    assert (read_volume(case.label).array == 1).sum() == LIVER.mask.sum()
    assert [path.name for path in a_collection.folder.iterdir()] == [case.name]


@pytest.mark.parametrize("what", ["writing", "naming"])
def test_of_overlapping_segments_all_cases_are_kept_or_none(a_collection, monkeypatch, what):
    a_collection.add(a_volume(), [NewSegment("liver", LIVER)], "scene")
    before = a_collection.cases()
    calls = []

    def fails_the_second_time(function):
        def call(first, *more, **named):
            calls.append(first)
            if len(calls) == 2 and what == "writing":
                raise OutputError("no room")
            # The old case goes aside, the first new one takes its place, and then the second one can't.
            if len(calls) == 3 and what == "naming":
                raise OSError(28, "no room")
            return function(first, *more, **named)

        return call

    where = "ensam_training.collection.write_labels" if what == "writing" else "pathlib.Path.rename"
    monkeypatch.setattr(where, fails_the_second_time(write_labels if what == "writing" else Path.rename))
    smaller = block((4, 4, 4), (10, 10, 10))
    segments = [NewSegment("liver", smaller), NewSegment("cyst", smaller)]
    with pytest.raises(OutputError, match="no room"):
        a_collection.add(a_volume(), segments, "scene")
    monkeypatch.undo()
    assert a_collection.cases() == before
    assert (read_volume(before[0].label).array == 1).sum() == LIVER.mask.sum()
    assert [path.name for path in a_collection.folder.iterdir()] == ["MR_head"]
    assert len(a_collection.add(a_volume(), segments, "scene")) == 2


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 1, "segments": [1]}', "[" * 100_000],
    ids=lambda text: text[:20],
)
def test_damaged_facts_are_a_reason_to_leave_the_case_out(a_collection, text):
    (name,) = a_collection.add(a_volume(), [NewSegment("liver", LIVER)], "scene")
    path = a_collection.folder / name / FACTS
    path.write_text(text)
    with pytest.raises(InputError, match="is damaged: remove the case and add it again"):
        read_facts(path)
    (check,) = check_cases(find_cases(a_collection.folder), workers=1).checks
    assert "is damaged" in check.reason


def test_a_case_that_is_damaged_keeps_no_other_from_being_used_and_can_be_removed(a_collection):
    first, second = (
        a_collection.add(a_volume(seed=seed), [NewSegment("liver", LIVER)], "scene")[0] for seed in (0, 1)
    )
    (a_collection.folder / first / FACTS).write_text("")
    assert [case.name for case in a_collection.cases()] == [second]
    assert list(a_collection.unreadable()) == [first]
    with pytest.raises(InputError, match="is damaged: remove the case and add it again"):
        a_collection.case(first)
    a_collection.remove(first)
    assert not a_collection.unreadable()
    assert a_collection.add(a_volume(seed=0), [NewSegment("liver", LIVER)], "scene") == (first,)


def test_facts_of_another_version_are_not_guessed_at(a_collection):
    (name,) = a_collection.add(a_volume(), [NewSegment("liver", LIVER)], "scene")
    path = a_collection.folder / name / FACTS
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2}))
    with pytest.raises(InputError, match="update ENSAM"):
        a_collection.case(name)


def test_prompts_off_the_image_are_told_and_the_case_is_kept(a_collection):
    far = PromptSet(None, (Point((500.0, 0, 0), True),))
    a_collection.add(a_volume(), [NewSegment("liver", LIVER, far)], "scene")
    (check,) = check_cases(find_cases(a_collection.folder), workers=1).checks
    assert check.reason == ""
    assert "the prompts of label 1 are not used" in check.warnings[0]


@pytest.fixture
def a_cached_case(a_collection, tmp_path):
    volume = a_volume()
    segments = [NewSegment(n, m, prompts_for(m, volume)) for n, m in (("liver", LIVER), ("kidney", KIDNEY))]
    a_collection.add(volume, segments, "scene")
    prepare(find_cases(a_collection.folder), tmp_path / "cache", workers=1)
    return Cache(tmp_path / "cache").cases()[0]


def test_the_cache_keeps_prompts_in_voxels(a_cached_case):
    prompts = a_cached_case.prompts[1]
    assert np.allclose(prompts.box, [[3.5, 3.5, 3.5], [11.5, 13.5, 13.5]])
    # Sorted by where they are, in RAS: the middle comes first.
    assert [foreground for _, foreground in prompts.clicks] == [True, False]
    assert np.allclose(prompts.clicks[0][0], (7.5, 8.5, 8.5))


def test_new_prompts_make_the_cache_read_the_case_again(a_cached_case, a_collection, tmp_path):
    volume = a_volume()
    a_collection.add(volume, [NewSegment("liver", LIVER), NewSegment("kidney", KIDNEY)], "scene")
    cache = prepare(find_cases(a_collection.folder), tmp_path / "cache", workers=1)
    assert cache.cases()[0].prompts == {}


def test_in_every_window_real_prompts_lie_where_they_were_made(a_cached_case):
    """The middle click is inside its object and the other is not, however the window is cut and turned."""
    sampler = WindowSampler([a_cached_case], (16**3, 20**3), seed=3, synthetic_share=0.0)
    seen = 0
    for index in range(60):
        sample = sampler.window(index)
        assert len(sample.prompts) == len(sample.targets)
        for target, prompts in zip(sample.targets[:, 0], sample.prompts, strict=True):
            if prompts is None:
                continue
            seen += 1
            assert np.all(prompts.box[1] > prompts.box[0])
            for voxel, foreground in prompts.clicks:
                at = np.rint(voxel).astype(int)
                if np.all((at >= 0) & (at < target.shape)):
                    assert (target[tuple(at)] >= 0.5) == foreground
            inside = np.argwhere(target >= 0.5)
            assert np.all(inside.min(axis=0) >= prompts.box[0] - 1)
            assert np.all(inside.max(axis=0) <= prompts.box[1] + 1)
    assert seen > 20


@given(st.permutations(range(3)), st.sets(st.integers(0, 2)), st.tuples(*[st.integers(0, 4)] * 3))
def test_a_turn_moves_coordinates_with_the_voxels(order, flips, voxel):
    array = np.zeros((5, 6, 7))
    array[voxel] = 1
    turn = Turn(tuple(order), tuple(sorted(flips)))
    at = turn.move(np.array(voxel), array.shape)
    assert turn(array)[tuple(at.astype(int))] == 1


MASK = np.zeros((16, 16, 16), bool)
MASK[4:12, 4:12, 4:12] = True
REAL = ObjectPrompts(
    np.array([[3.0, 3, 3], [12, 12, 12]]),
    ((np.array([7.0, 7, 7]), True), (np.array([1.0, 1, 1]), False), (np.array([7.0, 7, 8]), False)),
)


def users(given, count=200):
    return [SimulatedUser([MASK], np.random.default_rng(seed), [given]) for seed in range(count)]


def test_about_half_of_the_time_a_window_begins_with_the_real_prompts():
    real = [user for user in users(REAL) if np.array_equal(user.boxes[0], REAL.box)]
    assert 70 < len(real) < 130
    clicks = {click for user in real for click in user.clicks[0]}
    # The third click contradicts the mask, which was corrected by hand after it.
    assert clicks == {((7, 7, 7), True), ((1, 1, 1), False)}
    assert {len(user.clicks[0]) for user in real} == {0, 1, 2}


def test_a_user_who_drew_no_box_is_given_none():
    without = replace(REAL, box=None)
    for user in users(without):
        assert user.boxes[0] is not None or user.clicks[0]
    assert any(user.boxes[0] is None and user.clicks[0] == [((7, 7, 7), True)] for user in users(without))


def test_prompts_that_are_all_contradicted_are_replaced_by_simulated_ones():
    contradicted = ObjectPrompts(None, ((np.array([7.0, 7, 7]), False),))
    assert all(user.boxes[0] is not None or user.clicks[0] for user in users(contradicted))


def test_cases_without_prompts_draw_as_before():
    case = Case.from_arrays("one", a_volume().array, LIVER.laid_out(SHAPE).astype(np.uint8), (1, 1, 1))
    sample = WindowSampler([case], (16**3, 20**3), seed=0, synthetic_share=0.0).window(0)
    assert sample.prompts == (None,)


def test_a_patient_that_was_stated_is_not_replaced_by_a_guess(a_collection, tmp_path):
    write_case(tmp_path / "data", "ct_liver_012")
    assert main(["collect", str(tmp_path / "data"), "-o", str(a_collection.folder)]) == 0
    (case,) = a_collection.cases()
    volume = read_volume(case.image)
    a_collection.add(
        volume, [NewSegment("tumour", MaskCrop(np.ones((2, 2, 2), bool), (1, 1, 1)))], "scene", "Smith"
    )
    assert set(patients(a_collection).values()) == {"Smith"}
    assert main(["collect", str(tmp_path / "data"), "-o", str(a_collection.folder)]) == 0
    assert set(patients(a_collection).values()) == {"Smith"}


def test_a_folder_that_was_moved_is_the_same_one(a_collection, tmp_path):
    write_case(tmp_path / "here" / "data", "ct_01")
    assert main(["collect", str(tmp_path / "here" / "data"), "-o", str(a_collection.folder)]) == 0
    (tmp_path / "here").rename(tmp_path / "there")
    assert main(["collect", str(tmp_path / "there" / "data"), "-o", str(a_collection.folder)]) == 0
    assert list(patients(a_collection)) == ["ct_01"]
