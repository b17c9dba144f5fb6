"""Whatever an image holds, it is read or refused in one sentence, before memory is taken.

The challenge's archives have more of their own: test_challenge.py and test_pickled.py.

For 100 times as many inputs, other ones each time: FUZZ=100 python -m pytest Testing/pure/test_hostile_*
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk
from ensam import npz
from ensam.errors import ChallengeFileError, InputError, VolumeError
from ensam.prompts import Box, PromptSet
from ensam.session import InteractiveSession
from ensam.volume import Volume, read_volume
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st

from .hostile import one_sentence, with_other_bytes
from .hostile_images import LYING_IMAGES
from .tiny import blob_volume, tiny_checkpoint


@pytest.fixture(scope="module")
def a_session(tmp_path_factory):
    session = InteractiveSession(tiny_checkpoint(tmp_path_factory.mktemp("tiny")), "cpu")
    session.set_volume(blob_volume())
    return session


def image_bytes(folder, suffix):
    path = folder / f"valid{suffix}"
    volume = blob_volume((6, 7, 8))
    sitk.WriteImage(volume.grid.to_itk(volume.array.astype(np.int16)), str(path), useCompression=False)
    content = path.read_bytes()
    return gzip.decompress(content) if suffix == ".nii.gz" else content


HEADERS = {".nii": (0, 352), ".nii.gz": (0, 352), ".nrrd": (0, 400), ".mha": (0, 300)}


@pytest.mark.parametrize("suffix", HEADERS)
@inputs(50)
@given(data=st.data())
def test_any_image_header_is_read_or_refused(tmp_path_factory, suffix, data):
    folder = tmp_path_factory.getbasetemp()
    content = data.draw(with_other_bytes(image_bytes(folder, suffix), *HEADERS[suffix]))
    path = folder / f"damaged{suffix}"
    path.write_bytes(gzip.compress(content, 1) if suffix == ".nii.gz" else content)
    try:
        volume = read_volume(path)
    except VolumeError as error:
        assert one_sentence(error)
        return
    grid = volume.grid
    middle = (np.array(grid.shape) - 1) / 2
    assert np.allclose(grid.ras_to_zyx(grid.zyx_to_ras(middle)), middle, atol=0.5)


@pytest.mark.parametrize("name", LYING_IMAGES)
def test_a_header_that_cannot_be_true_is_refused(tmp_path, name, capfd):
    (tmp_path / name).write_bytes(LYING_IMAGES[name])
    with pytest.raises(VolumeError) as error:
        read_volume(tmp_path / name)
    assert one_sentence(error) and capfd.readouterr().err == ""


@pytest.mark.parametrize("name", [name for name in LYING_IMAGES if "voxels" in name and "^" in name])
def test_memory_is_not_taken_for_voxels_that_cannot_be_there(tmp_path, name, monkeypatch):
    (tmp_path / name).write_bytes(LYING_IMAGES[name])
    monkeypatch.setattr(sitk.ImageFileReader, "Execute", lambda _reader: pytest.fail("It was read."))
    with pytest.raises(VolumeError):
        read_volume(tmp_path / name)


def npz_bytes(name, content, claimed=None, method=zipfile.ZIP_DEFLATED):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        archive.writestr(name, content)
    raw = held.getvalue()
    if claimed is not None:  # in the file's own header and in the list at the end
        raw = raw.replace(struct.pack("<I", len(content)), struct.pack("<I", claimed))
    return raw


def an_array(shape, dtype="|u1", data=b""):
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    "content",
    [
        npz_bytes("imgs.npy", an_array((1000, 1000, 1000), data=bytes(1000))),
        npz_bytes("imgs.npy", an_array((2**40, 2**40, 2**40), data=bytes(1000))),
        npz_bytes("imgs.npy", an_array((-1, 10, 10), data=bytes(1000))),
        npz_bytes("imgs.npy", an_array((10, 10, 10), data=bytes(10**7)), claimed=1000 + 128),
        npz_bytes("imgs.npy", an_array((10, 10, 10), data=bytes(1000)), claimed=2**32 - 1),
    ],
    ids=["a lie", "beyond counting", "less than nothing", "more than is said", "less than is said"],
)
def test_an_archive_that_lies_about_its_size_is_refused(tmp_path, content):
    (tmp_path / "case.npz").write_bytes(content)
    with pytest.raises(ChallengeFileError) as error:
        npz.read_members(tmp_path / "case.npz", ["imgs"])
    assert one_sentence(error)


def test_nothing_in_an_archive_leaves_it(tmp_path):
    """Members are read by their name; none is unpacked, wherever it says that it belongs."""
    inside = tmp_path / "inside"
    inside.mkdir()
    with zipfile.ZipFile(inside / "case.npz", "w") as archive:
        for name in ("../escaped.npy", "/tmp/escaped.npy", "imgs.npy"):
            archive.writestr(name, an_array((2, 2, 2), data=bytes(8)))
    assert set(npz.read_members(inside / "case.npz", ["imgs", "spacing"])) == {"imgs"}
    assert [p.name for p in tmp_path.rglob("*")] == ["inside", "case.npz"]


@inputs(40)
@given(
    values=st.lists(st.floats(width=32) | st.sampled_from([1e30, -1e30, 1e-40, 0.0]), min_size=8, max_size=8)
)
def test_any_grey_values_are_a_volume_that_can_be_asked_about_or_are_refused(a_session, values):
    grid = blob_volume((2, 2, 2)).grid
    try:
        volume = Volume(np.array(values, np.float32).reshape(2, 2, 2), grid, "CT")
        session = InteractiveSession(a_session.checkpoint, "cpu")
        session.set_volume(volume)
        center = tuple(grid.zyx_to_ras(np.array((0.5, 0.5, 0.5))))
        answer = session.segment(PromptSet(Box(center, (2.0, 2.0, 4.0))))
        assert np.isfinite(answer.logits).all() and answer.mask.any()
    except InputError as error:
        assert one_sentence(error)
