"""Images are checked before anything is computed on them, and label files are written whole or not at all."""

import os
import resource
import signal
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import SimpleITK as sitk
from ensam import volume as volume_module
from ensam.errors import OutputError, VolumeError
from ensam.geometry import Grid
from ensam.volume import OUTPUT_SUFFIXES, Volume, check_output_path, read_volume, write_image, write_labels

from .hostile_images import nifti

SHAPE = (4, 5, 6)
OBLIQUE = np.array([[0, -2, 0, 10], [0.6, 0, -2.4, 20], [0.8, 0, 1.8, 30], [0, 0, 0, 1.0]])


@pytest.fixture
def an_array():
    return np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)


@pytest.fixture
def a_grid():
    return Grid(SHAPE, OBLIQUE)


@pytest.fixture
def labels():
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:3, 1:4, 2:5] = 1
    labels[3, 4, 5] = 2
    return labels


@contextmanager
def no_room():
    """No file may grow beyond 400 bytes, as on a full disk; not even the one that pytest reports to."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_volume_cannot_be_changed_through_its_array(an_array, a_grid):
    volume = Volume(an_array, a_grid, "CT")
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[0], "2 dimensions"),
        (lambda a: np.stack([a, a], axis=-1), "4 dimensions"),
        (lambda a: a.astype(complex), "real numbers"),
        (lambda a: a > 0, "real numbers"),
        (lambda a: a.astype(object), "real numbers"),
        (lambda a: np.where(a == a.max(), np.nan, a), "1 voxels that aren't finite"),
        (lambda a: np.where(a > 0, np.inf, a), "voxels that aren't finite"),
        (lambda a: np.full_like(a, 7), "same value in every voxel"),
    ],
    ids=["2D", "4D", "complex", "bool", "object", "nan", "infinite", "constant"],
)
def test_an_image_that_cannot_be_segmented_is_refused_by_name(an_array, a_grid, change, message):
    with pytest.raises(VolumeError, match=message) as raised:
        Volume(change(an_array), a_grid, "CT chest")
    assert str(raised.value).startswith("'CT chest' ")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_image_of_one_slice_is_refused(an_array, axis):
    array = an_array.take([0], axis=axis)
    with pytest.raises(VolumeError, match="'CT' has a single slice: ENSAM needs a 3D volume"):
        Volume(array, Grid(array.shape, OBLIQUE), "CT")


def test_a_copy_adopts_what_was_found_out_so_far(an_array, a_grid):
    first, second = (Volume(an_array.copy(), a_grid, name) for name in ("CT", "the same"))
    assert first.findings == {}
    found = {"fingerprint": first.fingerprint, "is_ct": first.is_ct}
    assert first.findings == found
    second.adopt(first.findings)
    assert second.findings == found and second.fingerprint == first.fingerprint


def test_array_and_grid_of_different_shapes_are_a_programming_error(an_array):
    with pytest.raises(ValueError, match="shape"):
        Volume(an_array, Grid(SHAPE[::-1], OBLIQUE), "CT")


def test_the_fingerprint_follows_values_type_and_grid_but_not_name_or_memory_layout(an_array, a_grid):
    fingerprint = Volume(an_array, a_grid, "CT").fingerprint
    changed = an_array.copy()
    changed[3, 4, 5] += 1
    moved = Grid(SHAPE, OBLIQUE * [[2], [2], [2], [1]])
    assert Volume(np.asfortranarray(an_array), Grid(SHAPE, OBLIQUE), "MR").fingerprint == fingerprint
    assert Volume(changed, a_grid, "CT").fingerprint != fingerprint
    assert Volume(an_array.view(np.uint16), a_grid, "CT").fingerprint != fingerprint
    assert Volume(an_array, moved, "CT").fingerprint != fingerprint


def test_the_voxel_fingerprint_follows_values_and_type_alone(an_array, a_grid):
    fingerprint = Volume(an_array, a_grid, "CT").voxel_fingerprint
    moved = Grid(SHAPE, OBLIQUE * [[2], [2], [2], [1]])
    assert Volume(np.asfortranarray(an_array), moved, "MR").voxel_fingerprint == fingerprint
    assert Volume(an_array[:, ::-1], a_grid, "CT").voxel_fingerprint != fingerprint
    assert Volume(an_array.view(np.uint16), a_grid, "CT").voxel_fingerprint != fingerprint
    flat = an_array.reshape(2, -1, SHAPE[2])
    assert Volume(flat, Grid(flat.shape, OBLIQUE), "CT").voxel_fingerprint != fingerprint


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii", ".mha"])
def test_an_image_file_gives_array_grid_and_name(tmp_path, an_array, a_grid, suffix):
    path = tmp_path / f"CT chest{suffix}"
    sitk.WriteImage(a_grid.to_itk(an_array), str(path))
    volume = read_volume(path)
    assert np.array_equal(volume.array, an_array)
    assert np.allclose(volume.grid.ijk_to_ras, OBLIQUE, atol=1e-5)
    assert volume.name == path.name


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_an_image_has_its_own_voxels_whatever_lies_beside_it(tmp_path, an_array, a_grid, dtype):
    for name, array in (("CT.nii.gz", an_array), ("CT.nii", (an_array + 5).astype(dtype))):
        sitk.WriteImage(a_grid.to_itk(array), str(tmp_path / name))
    volume = read_volume(tmp_path / "CT.nii.gz")
    assert np.array_equal(volume.array, an_array) and volume.name == "CT.nii.gz"
    assert np.array_equal(read_volume(tmp_path / "CT.nii").array, an_array + 5)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii", ".mha"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_are_not_finite_are_refused_in_every_format(tmp_path, an_array, a_grid, suffix, dtype):
    array = an_array.astype(dtype)
    array[0, 0, 0], array[-1, -1, -1] = np.nan, np.inf
    sitk.WriteImage(a_grid.to_itk(array), str(tmp_path / f"PET{suffix}"))
    with pytest.raises(VolumeError, match=f"^'PET{suffix}' has 2 voxels that aren't finite numbers"):
        read_volume(tmp_path / f"PET{suffix}")


def test_a_nifti_file_whose_axes_are_not_at_right_angles_is_refused_for_that(tmp_path):
    (tmp_path / "MR.nii").write_bytes(nifti(sform=1, rows=[1, 0.01, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]))
    with pytest.raises(VolumeError, match=r"^'MR.nii' has axes that aren't at right angles: resample it.$"):
        read_volume(tmp_path / "MR.nii")


@pytest.mark.parametrize(
    ("header", "voxels"),
    [("CT.nrrd",) * 2, ("CT.nhdr", "CT.raw.gz"), ("CT.mha",) * 2, ("CT.mhd", "CT.zraw"), ("CT.nii.gz",) * 2],
)
def test_compressed_voxels_with_a_wrong_bit_are_refused(tmp_path, an_array, a_grid, header, voxels):
    sitk.WriteImage(a_grid.to_itk(an_array), str(tmp_path / header), useCompression=True)
    assert np.array_equal(read_volume(tmp_path / header).array, an_array)
    written = (tmp_path / voxels).read_bytes()
    for place in (len(written) - 20, len(written) - 60, len(written) - 100):
        (tmp_path / voxels).write_bytes(written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :])
        with pytest.raises(VolumeError, match="check that it is a complete 3D image"):
            read_volume(tmp_path / header)


@pytest.mark.parametrize(
    ("header", "voxels", "before", "skip", "skipped"),
    [
        ("CT.nhdr", "CT.raw.gz", b"data file:", b"line skip: 2\n", b"one\ntwo\n"),
        ("CT.mhd", "CT.zraw", b"NDims", b"HeaderSize = 12\n", bytes(12)),
    ],
)
def test_compressed_voxels_may_lie_behind_a_skip(
    tmp_path, an_array, a_grid, header, voxels, before, skip, skipped
):
    sitk.WriteImage(a_grid.to_itk(an_array), str(tmp_path / header), useCompression=True)
    for name, old, new in ((header, before, skip + before), (voxels, b"", skipped)):
        path = tmp_path / name
        path.write_bytes(path.read_bytes().replace(old, new, 1))
    assert np.array_equal(read_volume(tmp_path / header).array, an_array)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii", ".mha"])
@pytest.mark.parametrize("kept", [0, 60, 0.5, 0.98], ids=["empty", "part of the header", "half", "most"])
def test_a_truncated_file_is_refused_in_one_quiet_sentence(tmp_path, an_array, a_grid, suffix, kept, capfd):
    path = tmp_path / f"CT{suffix}"
    sitk.WriteImage(a_grid.to_itk(an_array), str(path))
    data = path.read_bytes()
    path.write_bytes(data[: kept if kept >= 1 else int(kept * len(data))])
    with pytest.raises(VolumeError, match=r"^'CT\S+' can't be read: [^\n]*\.$"):
        read_volume(path)
    assert capfd.readouterr() == ("", "")


def test_standard_error_works_again_after_reading(tmp_path, capfd):
    (tmp_path / "CT.mha").write_text("NDims = 3\n")
    with pytest.raises(VolumeError):
        read_volume(tmp_path / "CT.mha")
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_standard_error_works_again_after_two_threads_have_read_at_once(capfd):
    first_is_in, second_is_in = threading.Event(), threading.Event()

    def first():
        with volume_module._silent_itk():
            first_is_in.set()
            second_is_in.wait(0.2)

    def second():
        first_is_in.wait()
        with volume_module._silent_itk():
            second_is_in.set()
            threads[0].join(0.2)

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("CT.nrrd", "NRRD0004\ntype: short\ndimension: 3\nsizes: {}\nencoding: raw\nendian: little\n"
                    "data file: CT.raw\n\n"),
        ("CT.mha", "ObjectType = Image\nNDims = 3\nDimSize = {}\nElementType = MET_SHORT\n"
                   "ElementSpacing = 1 1 1\nElementDataFile = CT.raw\n"),
    ],
)  # fmt: skip
def test_the_voxels_may_lie_in_a_file_of_their_own(tmp_path, name, header):
    array = np.arange(60**3, dtype=np.int16).reshape(60, 60, 60)
    array.tofile(tmp_path / "CT.raw")
    (tmp_path / name).write_text(header.format("60 60 60"))
    assert np.array_equal(read_volume(tmp_path / name).array, array)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_a_series_of_one_image_is_that_image(tmp_path, an_array, suffix):
    sitk.WriteImage(sitk.GetImageFromArray(an_array[None], isVector=False), str(tmp_path / f"CT{suffix}"))
    assert np.array_equal(read_volume(tmp_path / f"CT{suffix}").array, an_array)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path, said in ((tmp_path / "missing.nrrd", "There is no image file"), (tmp_path, "is a folder")):
        with pytest.raises(VolumeError, match=said):
            read_volume(path)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (sitk.Image([4, 5], sitk.sitkUInt8), "single slice"),
        (sitk.Image([4, 5, 1], sitk.sitkUInt8), "single slice"),
        (sitk.Image([4, 5, 6, 2], sitk.sitkUInt8), "4 dimensions"),
        (sitk.Image([4, 5, 6], sitk.sitkVectorUInt8, 3), "3 values a voxel"),
        (sitk.Image([4, 5, 6], sitk.sitkUInt8), "same value"),
    ],
    ids=["2D", "one slice", "4D", "colour", "constant"],
)
def test_a_file_that_is_not_a_3d_greyscale_image_is_refused(tmp_path, image, message):
    sitk.WriteImage(image, str(tmp_path / "image.nrrd"))
    with pytest.raises(VolumeError, match=message):
        read_volume(tmp_path / "image.nrrd")


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_read_back_as_they_were_written(tmp_path, labels, a_grid, suffix, dtype):
    path = tmp_path / f"1.2.840{suffix}"
    write_labels(path, labels.astype(dtype), a_grid, ["liver", "cyst"])
    image = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(image), labels)
    assert np.allclose(Grid.from_itk(image).ijk_to_ras, OBLIQUE, atol=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nrrd", ".nii.gz", ".mha"])
def test_labels_are_compressed(tmp_path, suffix):
    labels = np.zeros((40, 50, 60), np.uint8)
    write_labels(tmp_path / f"labels{suffix}", labels, Grid(labels.shape, np.eye(4)), [])
    assert (tmp_path / f"labels{suffix}").stat().st_size < labels.size / 10


def test_a_seg_nrrd_has_the_fields_by_which_slicer_knows_its_segments(tmp_path, labels, a_grid):
    write_labels(tmp_path / "case.seg.nrrd", labels, a_grid, ["Léber", "cyst"])
    image = sitk.ReadImage(str(tmp_path / "case.seg.nrrd"))
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.startswith("Segment")}
    colors = [fields.pop(f"Segment{index}_Color") for index in (0, 1)]
    assert colors[0] != colors[1]
    assert all(0 <= float(channel) <= 1 for color in colors for channel in color.split(" "))
    assert fields == {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_SourceRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ConversionParameters": "",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
        "Segment0_ID": "Segment_1",
        "Segment0_Name": "Léber",
        "Segment0_NameAutoGenerated": "0",
        "Segment0_ColorAutoGenerated": "1",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment0_Extent": "0 5 0 4 0 3",
        "Segment0_Tags": "|",
        "Segment1_ID": "Segment_2",
        "Segment1_Name": "cyst",
        "Segment1_NameAutoGenerated": "0",
        "Segment1_ColorAutoGenerated": "1",
        "Segment1_LabelValue": "2",
        "Segment1_Layer": "0",
        "Segment1_Extent": "0 5 0 4 0 3",
        "Segment1_Tags": "|",
    }


@pytest.mark.parametrize("name", ["肝臓\u3000右葉", "foie\xa0droit", "می\u200cخواهم", "a  b"])
def test_names_are_written_as_any_language_does(tmp_path, labels, a_grid, name):
    write_labels(tmp_path / "case.seg.nrrd", labels, a_grid, [name, "cyst"])
    assert sitk.ReadImage(str(tmp_path / "case.seg.nrrd")).GetMetaData("Segment0_Name") == name


def test_a_segmentation_of_as_many_segments_as_a_byte_can_tell_apart_reads_back(tmp_path):
    labels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    names = [f"lymph node station {number}" for number in range(1, 256)]
    write_labels(tmp_path / "m.seg.nrrd", labels, Grid(labels.shape, OBLIQUE), names)
    assert (tmp_path / "m.seg.nrrd").read_bytes().index(b"\n\n") > 1 << 16  # a long header
    assert np.array_equal(read_volume(tmp_path / "m.seg.nrrd").array, labels)


def test_a_plain_nrrd_is_no_segmentation(tmp_path, labels, a_grid):
    write_labels(tmp_path / "case.nrrd", labels, a_grid, ["liver", "cyst"])
    keys = sitk.ReadImage(str(tmp_path / "case.nrrd")).GetMetaDataKeys()
    assert not any(key.startswith("Segment") for key in keys)


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_a_full_disk_ends_in_one_quiet_sentence_and_keeps_the_old_file(tmp_path, suffix, capfd):
    labels = np.random.default_rng(0).integers(0, 3, (10, 20, 30)).astype(np.uint8)
    path = tmp_path / f"labels{suffix}"
    path.write_bytes(b"old")
    with no_room(), pytest.raises(OutputError, match=r"can't be written in [^\n]*that has room\.$"):
        write_labels(path, labels, Grid(labels.shape, np.eye(4)), ["a", "b"])
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["labels.png", "labels", "labels.seg", "labels.nrrd.gz", "LABELS.NII.GZ"])
def test_a_format_that_cannot_be_written_is_refused_with_the_possible_ones(tmp_path, name):
    with pytest.raises(OutputError, match=r"\.seg\.nrrd, \.nrrd, \.nii\.gz, \.nii, \.mha"):
        check_output_path(tmp_path / name)


def test_a_place_that_cannot_be_written_to_is_known_before_any_work(tmp_path, labels, a_grid, monkeypatch):
    check_output_path(tmp_path / "labels.nii.gz")
    with pytest.raises(OutputError, match="There is no folder"):
        check_output_path(tmp_path / "missing" / "a.nrrd")
    (tmp_path / "a.nrrd").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        write_labels(tmp_path / "a.nrrd", labels, a_grid, ["liver", "cyst"])
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="may write to"):
        check_output_path(tmp_path / "b.nrrd")


SHEARED = np.array([[1, 0.3, 0, 10], [0, 1, 0.1, 20], [0, 0, 2, 30], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nrrd", ".mha"])
def test_labels_of_a_sheared_image_lie_where_it_does(tmp_path, labels, suffix):
    path, grid = tmp_path / f"a{suffix}", Grid(SHAPE, SHEARED)
    write_labels(path, labels, grid, ["liver", "cyst"])
    assert np.allclose(read_volume(path).grid.ijk_to_ras, SHEARED, atol=1e-9)
    write_image(path, Volume(labels, grid, "CT"))
    assert np.allclose(read_volume(path).grid.ijk_to_ras, SHEARED, atol=1e-9)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_sheared_image_is_not_written_as_nifti(tmp_path, labels, suffix):
    path, grid = tmp_path / f"a{suffix}", Grid(SHAPE, SHEARED)
    for write in (
        lambda: write_labels(path, labels, grid, ["liver", "cyst"]),
        lambda: write_image(path, Volume(labels, grid, "CT")),
    ):
        with pytest.raises(OutputError, match=r"aren't at right angles: choose \.nrrd or \.mha\."):
            write()
    assert list(tmp_path.iterdir()) == []


def test_a_mask_is_written_as_it_is(tmp_path, labels, a_grid):
    write_labels(tmp_path / "a.nrrd", labels == 1, a_grid, ["liver"])
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nrrd"))), labels == 1)


def test_labels_of_another_type_or_without_a_name_are_a_programming_error(tmp_path, labels, a_grid):
    with pytest.raises(ValueError, match="bool, uint8 or uint16"):
        write_labels(tmp_path / "a.nrrd", labels.astype(np.int32), a_grid, ["liver", "cyst"])
    with pytest.raises(ValueError, match="label 2 has no name"):
        write_labels(tmp_path / "a.nrrd", labels, a_grid, ["liver"])
