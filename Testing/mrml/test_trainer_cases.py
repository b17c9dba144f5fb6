"""Cases out of scenes, saved scenes and folders, and in the views again."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
import slicer
from ensam.errors import InputError
from ensam.volume import read_volume
from ensam_training.collection import Collection
from ENSAMSegmentLib.segment_state import PROMPTS_TAG
from ENSAMSegmentLib.segments import read_segment
from ENSAMSegmentLib.volumes import grid_from_node

from .nodes import add_segment_editor, add_slice_view, add_transform, add_volume
from .slicer_core_scene import create_scene
from .stub_training import by_the_command
from .trainer_cases import CENTRE_RAS, SHAPE, FakeProcess, a_trainer, add_case


@pytest.fixture
def a_case(an_mrml_scene):
    return add_case(an_mrml_scene)


@pytest.fixture
def a_logic(an_mrml_scene, tmp_path):
    logic = a_trainer(tmp_path)
    yield logic
    logic.cleanup()


def collection_of(logic):
    return Collection(logic.folder / "cases")


def test_only_segments_with_voxels_are_offered_with_the_image_they_were_made_on(a_case, a_logic):
    volume, segmentation, segment_id, _ = a_case
    segmentation.GetSegmentation().AddEmptySegment("empty", "empty")
    add_volume(volume.GetScene(), np.zeros((4, 4, 4), np.int16), np.eye(4), "other")
    (choice,) = a_logic.scene_choices()
    assert (choice.volume_id, choice.segmentation_id) == (volume.GetID(), segmentation.GetID())
    assert (choice.volume_name, choice.segmentation_name) == ("MR head", "MR head segmentation")
    assert [(s.id, s.name, s.prompts) for s in choice.segments] == [(segment_id, "ball", 2)]


def add_from(logic, volume, segmentation, segment_id, _mask, patient=""):
    return logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id], patient)


def patients(logic):
    return {case.name: case.facts.patient for case in collection_of(logic).cases()}


def forget_image(segmentation):
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(None)
    segmentation.SetNodeReferenceID(segmentation.GetReferenceImageGeometryReferenceRole(), None)


def test_a_segmentation_that_knows_no_image_can_be_of_any(a_case, a_logic):
    volume, segmentation, *_ = a_case
    forget_image(segmentation)
    add_volume(volume.GetScene(), np.zeros((4, 4, 4), np.int16), np.eye(4), "other")
    assert [choice.volume_name for choice in a_logic.scene_choices()] == ["MR head", "other"]


def test_a_scene_without_segments_offers_nothing(a_logic):
    assert a_logic.scene_choices() == ()
    assert a_logic.rows() == ()


def test_a_corrected_segment_becomes_a_case_with_its_prompts(a_case, a_logic):
    volume, segmentation, segment_id, mask = a_case
    name = a_logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])
    (row,) = a_logic.rows()
    assert (row.name, row.source, row.segments, row.prompts) == (name, "scene", ("ball",), 2)
    assert row.state == "unchecked"
    case = collection_of(a_logic).case(name)
    assert np.array_equal(read_volume(case.label).array == 1, mask)
    assert case.facts.prompts_of(1).box.center_ras == CENTRE_RAS
    assert "Added MR_head" in a_logic.status.text


def test_transforms_above_image_and_segmentation_change_nothing(a_case, a_logic):
    volume, segmentation, segment_id, mask = a_case
    turn = np.eye(4)
    turn[:3] = [[0, -1, 0, 30], [1, 0, 0, -12], [0, 0, 1, 5]]
    transform = add_transform(volume.GetScene(), turn)
    for node in (volume, segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    name = a_logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])
    case = collection_of(a_logic).case(name)
    assert np.array_equal(read_volume(case.label).array == 1, mask)
    assert np.allclose(
        read_volume(case.image).grid.ras_to_zyx(np.array(CENTRE_RAS)), (11.67, 13.9, 15), atol=0.1
    )


def test_damaged_prompts_are_said_and_nothing_is_kept(a_case, a_logic):
    volume, segmentation, segment_id, _ = a_case
    segmentation.GetSegmentation().GetSegment(segment_id).SetTag(PROMPTS_TAG, "no base64!")
    assert a_logic.scene_choices()[0].segments[0].prompts == 0
    with pytest.raises(InputError, match="prompts stored with the segment 'ball' are damaged"):
        a_logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])
    assert a_logic.rows() == ()


def test_what_left_the_scene_meanwhile_is_said(a_case, a_logic):
    volume, segmentation, segment_id, _ = a_case
    volume.GetScene().RemoveNode(segmentation)
    with pytest.raises(InputError, match="no longer in the scene"):
        a_logic.add_from_scene(volume.GetID(), "vtkMRMLSegmentationNode1", [segment_id])


def test_a_patient_from_dicom_is_known_by_a_number(a_case, a_logic):
    volume, segmentation, segment_id, _ = a_case
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Doe^Jane")
    hierarchy.SetItemLevel(patient, "Patient")
    hierarchy.SetItemUID(patient, "DICOM", "PID-4711")
    study = hierarchy.CreateStudyItem(patient, "study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    name = a_logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])
    assert re.fullmatch("[0-9a-f]{8}", collection_of(a_logic).case(name).facts.patient)
    assert "4711" not in (collection_of(a_logic).folder / name / "case.json").read_text()


def test_cases_of_one_scene_are_of_one_patient_and_those_of_the_next_scene_of_another(an_mrml_scene, a_logic):
    editor = add_segment_editor(an_mrml_scene)
    for seed, name in enumerate(("T1", "T2")):
        add_from(a_logic, *add_case(an_mrml_scene, seed, name, editor=editor))
    assert len(set(patients(a_logic).values())) == 1
    an_mrml_scene.Clear(0)
    editor = add_segment_editor(an_mrml_scene)
    # One that can't be used says nothing.
    add_volume(an_mrml_scene, np.zeros((4, 4, 4), np.int16), np.eye(4), "empty")
    name = add_from(a_logic, *add_case(an_mrml_scene, 2, "T1", editor=editor))
    assert patients(a_logic)[name] not in (patients(a_logic)["T1"], patients(a_logic)["T2"])


def test_a_scene_can_hold_several_patients_if_the_user_says_so(an_mrml_scene, a_logic):
    editor = add_segment_editor(an_mrml_scene)
    made = [add_case(an_mrml_scene, seed, f"CT {seed}", editor=editor) for seed in range(2)]
    for number, one in enumerate(made):
        add_from(a_logic, *one, patient=f"patient {number}")
    # Corrected on, nobody has to say it again.
    add_from(a_logic, *made[1])
    assert patients(a_logic) == {"CT_0": "patient 0", "CT_1": "patient 1"}


# Saved scenes


@pytest.fixture
def a_saved_scene(tmp_path, request):
    """A bundle with two images and a corrected segment in each; those named by the parameter don't tell what
    they were made on."""
    unclear = getattr(request, "param", ())
    with create_scene() as application:
        scene = application.GetMRMLScene()
        manager = slicer.vtkCacheManager()
        manager.SetMRMLScene(scene)
        manager.SetRemoteCacheDirectory(str(tmp_path / "cache"))
        scene.GetDataIOManager().SetCacheManager(manager)
        editor = add_segment_editor(scene)
        for seed, name in enumerate(("first visit", "second visit")):
            _, segmentation, *_ = add_case(scene, seed, name, editor=editor)
            if name in unclear:
                forget_image(segmentation)
        assert scene.WriteToMRB(str(tmp_path / "study.mrb"), None)
    return tmp_path / "study.mrb"


def test_every_image_of_a_saved_scene_becomes_a_case_of_one_patient(a_saved_scene, an_mrml_scene, a_logic):
    before, folder = an_mrml_scene.GetNumberOfNodes(), os.getcwd()
    names = a_logic.add_scene_file(a_saved_scene)
    assert os.getcwd() == folder
    assert names == ("first_visit", "second_visit")
    assert an_mrml_scene.GetNumberOfNodes() == before
    assert [(row.source, row.segments, row.prompts) for row in a_logic.rows()] == [
        ("study.mrb", ("ball",), 2),
        ("study.mrb", ("ball",), 2),
    ]
    assert {case.facts.patient for case in collection_of(a_logic).cases()} == {"study"}


@pytest.mark.parametrize("a_saved_scene", [["first visit"]], indirect=True)
def test_a_segmentation_that_may_be_of_either_image_of_a_saved_scene_is_left_out(
    a_saved_scene, an_mrml_scene, a_logic
):
    assert a_logic.add_scene_file(a_saved_scene) == ("second_visit",)
    assert a_logic.status.text == (
        "Added second_visit. Left out, since they don't tell which image they were made on: "
        "first visit segmentation."
    )


@pytest.mark.parametrize("a_saved_scene", [["first visit", "second visit"]], indirect=True)
def test_a_saved_scene_whose_every_segmentation_may_be_of_either_image_is_said(
    a_saved_scene, an_mrml_scene, a_logic
):
    with pytest.raises(InputError, match="don't tell which image they were made on: open it and add them"):
        a_logic.add_scene_file(a_saved_scene)
    assert a_logic.rows() == ()


def test_a_scene_added_again_after_more_corrections_replaces_its_cases(a_saved_scene, an_mrml_scene, a_logic):
    a_logic.add_scene_file(a_saved_scene)
    a_logic.add_scene_file(a_saved_scene)
    assert len(a_logic.rows()) == 2


def test_what_is_added_to_a_scene_after_it_was_saved_is_of_the_same_patient(
    a_saved_scene, an_mrml_scene, a_logic
):
    a_logic.add_scene_file(a_saved_scene)
    editor = add_segment_editor(an_mrml_scene)
    add_case(an_mrml_scene, 0, "first visit", editor=editor)
    add_from(a_logic, *add_case(an_mrml_scene, 5, "third visit", editor=editor))
    assert patients(a_logic) == dict.fromkeys(("first_visit", "second_visit", "third_visit"), "study")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("study.mrb", b"no bundle", "can't be read: open it in Slicer and save it again"),
        ("study.nrrd", b"", "is no saved scene: choose .mrb or .mrml files"),
        ("none.mrb", None, "There is no file"),
        ("empty.mrml", b'<MRML version="Slicer4.4.0"></MRML>', "holds no segmentation of an image"),
    ],
)
def test_files_that_are_no_scenes_are_said(a_logic, tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        a_logic.add_scene_file(tmp_path / name)
    assert a_logic.rows() == ()


# In the views


def test_a_case_is_shown_with_its_segments_at_their_middle(a_case, a_logic):
    volume, segmentation, segment_id, mask = a_case
    scene = volume.GetScene()
    composite, view = add_slice_view(scene)
    view.SetDimensions(400, 200, 1)
    name = a_logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])
    a_logic.show_case(name)
    shown = scene.GetNodeByID(composite.GetBackgroundVolumeID())
    assert shown is not volume and shown.GetName() == name
    node = next(n for n in nodes(scene, "vtkMRMLSegmentationNode") if n is not segmentation)
    (shown_id,) = node.GetSegmentation().GetSegmentIDs()
    assert node.GetSegmentation().GetSegment(shown_id).GetName() == "ball"
    assert np.array_equal(read_segment(node, shown_id, shown).laid_out(SHAPE), mask)
    inside = np.argwhere(mask)
    middle = grid_from_node(shown).zyx_to_ras((inside.min(axis=0) + inside.max(axis=0)) / 2)
    assert np.allclose([view.GetSliceToRAS().GetElement(i, 3) for i in range(3)], middle, atol=1e-3)
    # The longest axis of the image just fits the view's shorter side.
    assert np.allclose(view.GetFieldOfView()[:2], (2 * 0.9 * 32, 0.9 * 32), atol=0.1)
    assert not shown.GetSaveWithScene() and not node.GetSaveWithScene()


def test_a_case_that_is_shown_corrected_and_added_again_is_replaced(a_saved_scene, an_mrml_scene, a_logic):
    a_logic.add_scene_file(a_saved_scene)
    (before, _) = collection_of(a_logic).cases()
    a_logic.show_case("first_visit")
    (choice,) = a_logic.scene_choices()
    segment_ids = [segment.id for segment in choice.segments]
    assert a_logic.add_from_scene(choice.volume_id, choice.segmentation_id, segment_ids) == "first_visit"
    assert patients(a_logic) == {"first_visit": "study", "second_visit": "study"}
    assert collection_of(a_logic).case("first_visit").facts.prompts == before.facts.prompts != ()


def test_a_case_that_is_only_looked_at_is_not_of_the_scenes_patient(a_saved_scene, an_mrml_scene, a_logic):
    a_logic.add_scene_file(a_saved_scene)
    a_logic.show_case("first_visit")
    name = add_from(a_logic, *add_case(an_mrml_scene, 5))
    assert patients(a_logic)[name] != "study"


def test_showing_another_takes_away_only_what_was_shown(a_case, a_logic):
    volume, segmentation, segment_id, _ = a_case
    scene = volume.GetScene()
    name = a_logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])
    a_logic.show_case(name)
    count = scene.GetNumberOfNodes()
    a_logic.show_case(name)
    assert scene.GetNumberOfNodes() == count
    assert volume.GetScene() is segmentation.GetScene() is scene


def test_a_case_whose_files_are_gone_is_said(a_case, a_logic):
    volume, segmentation, segment_id, _ = a_case
    name = a_logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])
    (a_logic.folder / "cases" / name / "image.nrrd").unlink()
    with pytest.raises(InputError, match="can't be read: remove it and add it again"):
        a_logic.show_case(name)


# What a check finds


def test_what_a_check_finds_is_shown_until_the_case_changes(an_mrml_scene, tmp_path):
    from ensam_training.__main__ import main

    process = FakeProcess(lambda arguments, log: main(arguments))
    logic = a_trainer(tmp_path, start=process)
    volume, segmentation, segment_id, _ = add_case(an_mrml_scene)
    name = logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])
    logic.check()
    assert logic.status.text == "Checking the cases..." and not logic.can_start
    with pytest.raises(InputError, match="still running"):
        logic.check()
    logic.wait()
    assert [row.state for row in logic.rows()] == ["good"]
    assert logic.status.text == "Done."
    segmentation.GetSegmentation().GetSegment(segment_id).SetName("other")
    logic.remove(name)
    logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])
    assert [row.state for row in logic.rows()] == ["unchecked"]


def test_a_case_that_lost_its_label_after_the_check_says_so(an_mrml_scene, tmp_path):
    logic = a_trainer(tmp_path)
    volume, segmentation, segment_id, _ = add_case(an_mrml_scene)
    name = logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])
    (logic.folder / "check.csv").write_text(f"name,reason,warnings\n{name},,\n")
    assert [row.state for row in logic.rows()] == ["good"]
    (logic.folder / "cases" / name / "label.nrrd").unlink()
    logic.activate()
    (row,) = logic.rows()
    assert row.state == "unchecked" and "remove the case and add it again" in row.remark


def test_a_folder_is_copied_in_a_process_and_what_is_left_out_is_said(an_mrml_scene, tmp_path):
    from pure.labelled_files import write_case

    for seed in range(3):
        write_case(tmp_path / "mine", f"mr_{seed:03}", seed)
    for seed in (1, 2):
        (tmp_path / "mine" / f"mr_{seed:03}" / "label.nii.gz").unlink()
    logic = a_trainer(tmp_path, start=FakeProcess(by_the_command))
    logic.add_folder(tmp_path / "mine")
    logic.wait()
    assert logic.status.text == (
        f"1 cases in {logic.folder / 'cases'}; 2 of 3 left out, such as mr_001: "
        "The folder has no label.*: keep one image and one label in it."
    )
    assert [(row.name, row.source, row.segments) for row in logic.rows()] == [("mr_000", "mine", ("1",))]


def test_with_a_case_goes_what_trainings_have_prepared_of_it(a_case, a_logic):
    volume, segmentation, segment_id, _ = a_case
    name = a_logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])
    cache = a_logic.folder / "cache"
    cache.mkdir()
    for file in (f"{name}.image.npy", f"{name}.labels.npy", f"{name}_2.image.npy", "index.json"):
        (cache / file).touch()
    a_logic.remove(name)
    assert {path.name for path in cache.iterdir()} == {f"{name}_2.image.npy", "index.json"}


def test_a_damaged_case_is_listed_with_its_reason_and_can_be_removed(a_case, a_logic):
    volume, segmentation, segment_id, _ = a_case
    name = a_logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])
    facts = a_logic.folder / "cases" / name / "case.json"
    facts.write_text("")
    a_logic.activate()
    (row,) = a_logic.rows()
    assert (row.name, row.state) == (name, "refused") and "remove the case and add it again" in row.remark
    with pytest.raises(InputError, match="is damaged"):
        a_logic.show_case(name)
    a_logic.remove(name)
    assert a_logic.rows() == ()


def nodes(scene, class_name):
    found = scene.GetNodesByClass(class_name)
    found.UnRegister(None)
    return list(found)
