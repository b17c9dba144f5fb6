"""Challenge cases read back as written, and no bytes whatever do more than fail with one sentence."""

import io
import os
import struct
import zipfile

import numpy as np
import pytest
from ensam.challenge import ChallengeCase, boxes_from_labels, read_case, write_case, write_segmentation
from ensam.errors import ChallengeFileError, OutputError
from ensam.npz import MAX_OBJECT_BYTES, read_members
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st

from .hostile import object_array

thorough = inputs(300)
IMAGE = np.random.default_rng(0).integers(0, 256, (6, 8, 10)).astype(np.uint8)
SPACING = (0.5, 0.75, 2.0)
LABELS = np.zeros(IMAGE.shape, np.uint8)
LABELS[1:4, 2:5, 3:8] = 1
LABELS[5, 7, 9] = 2
BOXES = boxes_from_labels(LABELS)
CLICKS = [{"fg": [[2, 3, 4]], "bg": []}, {"fg": [], "bg": [[0, 0, 0], [1, 1, 1]]}]
MEMBERS = {"imgs": IMAGE, "spacing": np.array(SPACING), "boxes": BOXES, "clicks": CLICKS, "prev_pred": LABELS}


def npy_bytes(value):
    file = io.BytesIO()
    np.save(file, object_array(value) if isinstance(value, list) else value, allow_pickle=True)
    return file.getvalue()


def write_archive(path, compression=zipfile.ZIP_DEFLATED, **changes):
    """A valid case with some members replaced by an array, a list of objects, raw .npy bytes, or left out."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in (MEMBERS | changes).items():
            if value is not None:
                archive.writestr(f"{name}.npy", value if isinstance(value, bytes) else npy_bytes(value))
    return path


@pytest.fixture
def a_path(tmp_path):
    return tmp_path / "case1.npz"


def test_a_case_reads_back_as_it_was_written(a_path):
    write_case(a_path, IMAGE, SPACING, BOXES, CLICKS, LABELS)
    case = read_case(a_path)
    assert case.name == "case1" and case.spacing == SPACING
    assert np.array_equal(case.image, IMAGE) and np.array_equal(case.previous, LABELS)
    assert list(case.boxes) == BOXES
    assert case.clicks == (
        {"fg": ((2, 3, 4),), "bg": ()},
        {"fg": (), "bg": ((0, 0, 0), (1, 1, 1))},
    )


def test_what_numpy_writes_and_reads_is_what_the_challenge_writes_and_reads(a_path):
    """The challenge's own script keeps lists of dicts with numpy's integers."""
    boxes = [{key: np.int64(value) for key, value in box.items()} for box in BOXES]
    clicks = [{"fg": [list(np.argwhere(LABELS == 1)[0])], "bg": []}, {"fg": [np.array([5, 7, 9])], "bg": []}]
    np.savez_compressed(
        a_path,
        imgs=IMAGE,
        spacing=np.array(SPACING, np.float32),
        boxes=boxes,
        clicks=clicks,
        text="liver",
        clicks_order=np.array([["fg"], ["fg"]], dtype=object),
    )
    case = read_case(a_path)
    assert list(case.boxes) == BOXES
    assert case.clicks == ({"fg": ((1, 2, 3),), "bg": ()}, {"fg": ((5, 7, 9),), "bg": ()})
    write_case(a_path, IMAGE, SPACING, BOXES, CLICKS)
    with np.load(a_path, allow_pickle=True) as written:
        assert list(written["boxes"]) == BOXES and list(written["clicks"]) == CLICKS


def test_a_case_before_any_round_has_no_prompts(a_path):
    write_case(a_path, IMAGE, SPACING)
    case = read_case(a_path)
    assert case.boxes is None and case.clicks == () and case.previous is None
    assert case.prompt_sets() == ()


def test_the_spacing_is_x_y_z_and_the_array_z_y_x():
    volume = ChallengeCase("case1", IMAGE, SPACING).volume()
    assert volume.grid.spacing_zyx == (2.0, 0.75, 0.5)
    assert volume.grid.zyx_to_ras((1, 1, 1)).tolist() == [0.5, 0.75, 2.0]
    assert volume.name == "case1" and np.array_equal(volume.array, IMAGE)


def test_a_box_covers_its_outermost_voxels_whole():
    case = ChallengeCase("case1", IMAGE, SPACING, tuple(BOXES))
    lower, upper = case.grid.box_bounds_zyx(case.prompt_sets()[0].box)
    assert np.allclose(lower, [0.5, 1.5, 2.5]) and np.allclose(upper, [3.5, 4.5, 7.5])


def test_boxes_and_clicks_of_an_object_come_together():
    case = ChallengeCase("case1", IMAGE, SPACING, tuple(BOXES), tuple(CLICKS))
    first, second = case.prompt_sets()
    assert first.box is not None and second.box is not None
    assert case.grid.ras_to_zyx([p.position_ras for p in first.points]).tolist() == [[2, 3, 4]]
    assert first.points[0].foreground and not any(point.foreground for point in second.points)
    assert case.grid.ras_to_zyx([p.position_ras for p in second.points]).tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("boxes", [None, ()])
def test_clicks_alone_are_prompts_too(boxes):
    prompts = ChallengeCase("case1", IMAGE, SPACING, boxes, tuple(CLICKS)).prompt_sets()
    assert [len(prompt_set.points) for prompt_set in prompts] == [1, 2]
    assert all(prompt_set.box is None for prompt_set in prompts)


def test_a_box_takes_its_extent_in_plane_from_the_middle_slice_alone():
    labels = np.zeros((10, 20, 20), np.uint16)
    labels[2:9, 5:8, 5:8] = 3
    labels[5, 5, 9] = 3
    labels[3, :, :] = 3
    assert boxes_from_labels(labels) == [
        {
            "z_min": 2, "z_max": 8, "z_mid": 5,
            "z_mid_x_min": 5, "z_mid_y_min": 5, "z_mid_x_max": 9, "z_mid_y_max": 7,
        }
    ]  # fmt: skip


def test_the_middle_slice_is_one_that_holds_the_object():
    labels = np.zeros((10, 20, 20), np.uint8)
    labels[[0, 1, 9], 5, 5] = 1
    assert boxes_from_labels(labels)[0]["z_mid"] == 1


def test_boxes_come_in_ascending_order_of_the_labels():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[3, 3, 3] = 2
    labels[1, 1, 1] = 5
    assert [box["z_mid"] for box in boxes_from_labels(labels)] == [3, 1]
    assert boxes_from_labels(np.zeros((4, 4, 4), np.uint8)) == []


def test_an_answer_is_one_compressed_array_of_uint8(tmp_path):
    write_segmentation(tmp_path / "case1.npz", LABELS)
    with np.load(tmp_path / "case1.npz") as written:
        assert written.files == ["segs"] and written["segs"].dtype == np.uint8
        assert np.array_equal(written["segs"], LABELS)
    assert [file.name for file in tmp_path.iterdir()] == ["case1.npz"]
    with pytest.raises(ValueError, match="uint8"):
        write_segmentation(tmp_path / "case1.npz", LABELS.astype(np.int64))


def test_an_answer_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(OutputError, match=r"'case1\.npz' can't be written"):
        write_segmentation(tmp_path / "missing" / "case1.npz", LABELS)


def box_with(**changes):
    return [BOXES[0] | changes, BOXES[1]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imgs": None}, "'imgs'"),
        ({"imgs": IMAGE[0]}, "'imgs'"),
        ({"imgs": IMAGE.astype(np.float32)}, "'imgs'"),
        ({"imgs": IMAGE[:0]}, "'imgs'"),
        ({"imgs": [1, 2]}, "'imgs'"),
        ({"prev_pred": LABELS[1:]}, "'prev_pred' of another shape"),
        ({"prev_pred": LABELS.astype(np.int64)}, "'prev_pred'"),
        ({"spacing": None}, "'spacing'"),
        ({"spacing": np.array([1, 0, 1.0])}, "'spacing'"),
        ({"spacing": np.array([1, np.nan, 1.0])}, "'spacing'"),
        ({"spacing": np.array([1, 1.0])}, "'spacing'"),
        ({"spacing": [1, 1, 1]}, "'spacing'"),
        ({"boxes": BOXES[:1]}, "different numbers of objects"),
        ({"boxes": BOXES[:1] * 256, "clicks": None}, "'boxes' that aren't one a label"),
        ({"boxes": np.zeros((2, 6))}, "'boxes' that aren't one a label"),
        ({"boxes": [1, 2]}, "seven whole numbers"),
        ({"boxes": box_with(z_min=None)}, "seven whole numbers"),
        ({"boxes": box_with(z_min=1.0)}, "seven whole numbers"),
        ({"boxes": box_with(z_min=True)}, "seven whole numbers"),
        ({"boxes": box_with(z_min=-1)}, "outside its image"),
        ({"boxes": box_with(z_mid_x_max=10)}, "outside its image"),
        ({"boxes": box_with(z_mid_y_min=5)}, "is empty"),
        ({"clicks": [1, 2]}, "'fg' and 'bg'"),
        ({"clicks": [{"fg": []}, CLICKS[1]]}, "'fg' and 'bg'"),
        ({"clicks": [{"fg": 3, "bg": []}, CLICKS[1]]}, "lists of voxels"),
        ({"clicks": [{"fg": [[1, 2]], "bg": []}, CLICKS[1]]}, "three whole numbers"),
        ({"clicks": [{"fg": [[1, 2, "3"]], "bg": []}, CLICKS[1]]}, "three whole numbers"),
        ({"clicks": [{"fg": np.zeros((2, 3)), "bg": []}, CLICKS[1]]}, "three whole numbers"),
        ({"clicks": [{"fg": [[6, 0, 0]], "bg": []}, CLICKS[1]]}, "outside its image"),
        ({"clicks": [{"fg": [[0, 0, -1]], "bg": []}, CLICKS[1]]}, "outside its image"),
        ({"clicks": [{"fg": [[1, 1, 1]], "bg": [[1, 1, 1]]}, CLICKS[1]]}, "both 'fg' and 'bg'"),
        ({"clicks": [{"fg": [[1, 1, 1]] * 10_001, "bg": []}, CLICKS[1]]}, "lists of voxels"),
    ],
)
def test_a_case_that_breaks_the_protocol_is_refused_by_name(a_path, changes, message):
    write_archive(a_path, **changes)
    with pytest.raises(ChallengeFileError, match=message) as raised:
        read_case(a_path)
    assert str(raised.value).startswith("The challenge file 'case1.npz' ")


class Touch:
    """Pickles as a call that leaves a file."""

    def __reduce__(self):
        return os.system, ("touch hacked",)


@pytest.mark.parametrize("name", ["boxes", "clicks"])
def test_a_case_that_would_run_something_is_refused_and_runs_nothing(a_path, nothing_happens, name):
    write_archive(a_path, **{name: [Touch(), {}]})
    with pytest.raises(ChallengeFileError, match="holds more than arrays, boxes and clicks: don't use it"):
        read_case(a_path)


def test_a_list_that_holds_itself_is_no_click(a_path):
    loop = []
    loop.append(loop)
    write_archive(a_path, clicks=[{"fg": loop, "bg": []}, CLICKS[1]])
    with pytest.raises(ChallengeFileError, match="three whole numbers"):
        read_case(a_path)


def assert_reads_or_is_refused(path):
    try:
        assert read_case(path).image.dtype == np.uint8
    except ChallengeFileError as error:
        assert "\n" not in str(error) and str(error).startswith("The challenge file 'case1.npz' ")


@pytest.fixture(scope="module")
def a_fuzzed_path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "case1.npz"


@thorough
@given(data=st.data(), compression=st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
def test_a_damaged_archive_reads_or_is_refused(a_fuzzed_path, data, compression):
    content = bytearray(write_archive(a_fuzzed_path, compression).read_bytes())
    # Most of the bytes are the image's; the directory at the end deserves as many trials.
    places = st.integers(0, len(content) - 1) | st.integers(len(content) - 400, len(content) - 1)
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(places)] = data.draw(st.integers(0, 255))
    start = data.draw(st.just(0) | places)
    a_fuzzed_path.write_bytes(content[start : data.draw(st.none() | places)])
    assert_reads_or_is_refused(a_fuzzed_path)


@thorough
@given(data=st.data(), name=st.sampled_from(sorted(MEMBERS)))
def test_a_damaged_array_reads_or_is_refused(a_fuzzed_path, data, name):
    content = bytearray(npy_bytes(MEMBERS[name]))
    places = st.integers(0, min(len(content), 128) - 1) | st.integers(0, len(content) - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(places)] = data.draw(st.integers(0, 255))
    write_archive(a_fuzzed_path, **{name: bytes(content[: data.draw(st.none() | places)])})
    assert_reads_or_is_refused(a_fuzzed_path)


@inputs(100)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(a_fuzzed_path, content):
    a_fuzzed_path.write_bytes(content)
    with pytest.raises(ChallengeFileError, match="can't be read"):
        read_case(a_fuzzed_path)


def header(text, version=1):
    data = text.encode("latin1")
    size = struct.pack("<H" if version == 1 else "<I", len(data))
    return b"\x93NUMPY" + bytes([version, 0]) + size + data


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (100000, 100000, 100000), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 1, 1), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-2, -2, 1), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2.0, 2, 1), }",
        "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (2, 2, 1), }",
        "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (2, 2, 1), }",
        "{'descr': '|S4', 'fortran_order': False, 'shape': (1, 1, 1), }",
        "{'descr': 'no type', 'fortran_order': False, 'shape': (2, 2, 1), }",
        "{'descr': __import__('os').system('touch hacked'), 'fortran_order': False, 'shape': (2, 2, 1), }",
        "{'shape': (2, 2, 1), }",
        "(" * 5000,
        "[1,\n  2\n 3",
        "",
    ],
)
def test_a_header_that_does_not_describe_the_data_is_refused(a_path, nothing_happens, text):
    write_archive(a_path, imgs=header(text) + b"1234")
    with pytest.raises(ChallengeFileError):
        read_case(a_path)


def test_an_unknown_version_of_the_format_is_refused(a_path):
    write_archive(a_path, imgs=header("{'descr': '|u1', 'fortran_order': False, 'shape': (4,)}", version=9))
    with pytest.raises(ChallengeFileError, match="can't be read"):
        read_case(a_path)


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(a_path, monkeypatch):
    write_case(a_path, IMAGE, SPACING)
    monkeypatch.setattr("ensam.npz.MAX_BYTES", IMAGE.size)
    monkeypatch.setattr("ensam.npz._read_member", lambda *arguments: pytest.fail("unpacked"))
    with pytest.raises(ChallengeFileError, match="use a smaller case"):
        read_case(a_path)


def test_an_object_array_larger_than_any_set_of_prompts_is_refused(a_path):
    write_archive(a_path, boxes=["a" * MAX_OBJECT_BYTES])
    with pytest.raises(ChallengeFileError, match="don't use it"):
        read_case(a_path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_numpy_never_uses_is_refused(a_path, compression):
    write_archive(a_path, compression)
    with pytest.raises(ChallengeFileError, match="can't be read"):
        read_case(a_path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "case1.npz", tmp_path):
        with pytest.raises(ChallengeFileError, match="check that it exists"):
            read_case(path)


def test_members_that_are_not_asked_for_are_not_read(a_path):
    write_archive(a_path, gts=LABELS, clicks_order=b"damaged")
    assert np.array_equal(read_case(a_path).image, IMAGE)
    assert list(read_members(a_path, ("gts", "text"))) == ["gts"]
