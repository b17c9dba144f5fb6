"""The cache shows training what inference sees, and is made once."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from ensam.errors import InputError
from ensam.geometry import Grid
from ensam.preprocessing import PERCENTILES, intensity_range, looks_like_ct, place_window
from ensam.resampling import extract, resample
from ensam.volume import Volume
from ensam_training import cache as cache_module
from ensam_training.__main__ import main
from ensam_training.cache import Cache, grey_steps, prepare
from ensam_training.cases import Case, load
from ensam_training.coreset import split
from ensam_training.discovery import find_cases
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st

from .labelled_files import a_label, an_image, write, write_case

SHAPE = (24, 28, 32)


def an_mr(dtype, seed=0):
    """Skewed, with a few very bright voxels, as MR is."""
    values = np.random.default_rng(seed).gamma(2.0, 150.0, SHAPE)
    return values.astype(dtype)


def a_ct(dtype, seed=0):
    """Air, fat and tissue, with metal beyond the range that is kept."""
    rng = np.random.default_rng(seed)
    values = rng.normal(rng.choice([-1000, -100, 40, 300], SHAPE), 30)
    values[0, 0, :3] = (-2000, 9000, 3072)
    return values.astype(dtype)


def a_padded_ct(dtype):
    """A CT as a scanner makes it that marks what lies outside its field of view."""
    values = a_ct(dtype)
    values[:, :3] = -8192
    return values


def cached(image):
    """The case that the cache gives back for an image, without its files."""
    volume = Volume(image, Grid(image.shape, np.eye(4)), "volume")
    return volume, grey_steps(volume)


def range_from_cache(steps, is_ct, box):
    return intensity_range(steps, "auto", steps[box]) if is_ct else cache_module._STEPS


def steps_of(array, window, grey):
    """The window in grey steps before `extract` rounds them."""
    scaled = ((array[window.slices].astype(np.float64) - grey.lower) / (grey.upper - grey.lower)).clip(0, 1)
    return 255 * resample(torch.from_numpy(scaled).float()[None, None], window.shape)


@pytest.mark.parametrize("make", [an_mr, a_ct, a_padded_ct])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.int32])
@pytest.mark.parametrize("budget", [24 * 28 * 32, 14**3], ids=["whole", "thinned"])
def test_a_window_from_the_cache_is_the_window_from_the_volume(make, dtype, budget):
    volume, kept = cached(make(dtype))
    assert kept.dtype.itemsize <= 2
    assert volume.is_ct == (make is not an_mr) == looks_like_ct(kept)
    box = (slice(4, 20), slice(5, 20), slice(6, 25))
    window = place_window(np.array([4, 5, 6]), np.array([19, 19, 24]), SHAPE, (1, 1, 1), budget)
    both = (
        (volume.array, intensity_range(volume.array, "auto", volume.array[box])),
        (kept, range_from_cache(kept, volume.is_ct, box)),
    )
    seen, cached_steps = (steps_of(array, window, grey) for array, grey in both)
    assert (seen - cached_steps).abs().max() <= 0.5 + 1e-3
    seen, cached_steps = (extract(array, window, grey) for array, grey in both)
    exact = window.shape == window.size and kept.dtype != np.float16
    # Two values within half a step may round to neighbouring ones.
    assert 255 * (seen - cached_steps).abs().max() < (1e-3 if exact else 1.001)


@inputs(30)
@given(st.integers(0, 2**16), st.sampled_from(["soft tissue", "lung", "brain", "bone"]))
def test_hounsfield_units_are_kept_within_half_a_grey_step_of_every_window(seed, window):
    volume, steps = cached(a_ct(np.float32, seed))
    grey = intensity_range(volume.array, window)
    scaled = [
        ((a.astype(np.float64) - grey.lower) / (grey.upper - grey.lower)).clip(0, 1) * 255
        for a in (volume.array, steps)
    ]
    assert np.abs(scaled[0] - scaled[1]).max() <= 0.5


@inputs(30)
@given(st.integers(0, 2**16), st.sampled_from([np.int16, np.float32, np.uint16]))
def test_grey_steps_are_within_half_a_step_of_the_clipped_volume(seed, dtype):
    volume, steps = cached(an_mr(dtype, seed))
    low, high = np.percentile(volume.array, PERCENTILES)
    scaled = ((volume.array.astype(np.float64) - low) / (high - low)).clip(0, 1) * 255
    assert steps.dtype == np.uint8
    assert np.abs(scaled - steps).max() <= 0.5 + 1e-4


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    label = a_label().astype(np.uint16)
    label[9:, 10:, 10:] = 300
    label[0, 0, 0] = 2
    write_case(folder, "mr_a_01", seed=1, label=label)
    write_case(folder, "mr_a_02", seed=2)
    write_case(folder, "mr_b_01", seed=3, label=np.zeros((12, 14, 16), np.uint8))
    return folder


def test_cached_cases_are_the_cases_of_the_files(data, tmp_path):
    files = {file.name: file for file in find_cases(data)}
    cases = prepare(tuple(files.values()), tmp_path / "cache").cases()
    assert [case.name for case in cases] == ["mr_a_01", "mr_a_02"]
    for case in cases:
        volume, labels = load(files[case.name])
        original = Case.from_arrays(case.name, volume.array, labels, volume.grid.spacing_zyx)
        assert np.array_equal(case.labels, original.labels)
        for what in ("objects", "spacing", "is_ct", "dataset", "group"):
            assert getattr(case, what) == getattr(original, what)
        assert isinstance(case, Case)
        assert case.modality == "MR"
        assert (case.image.dtype, case.labels.dtype.kind) == (np.uint8, "u")
        box = next(iter(case.objects.values()))
        window = place_window(np.array([3, 4, 5]), np.array([6, 7, 8]), (12, 14, 16), case.spacing, 4096)
        one, other = (extract(c.image, window, c.intensity(box)) for c in (case, original))
        assert np.allclose(one, other, atol=1e-6)


def test_cached_arrays_are_memory_mapped_read_only_and_travel_by_path(data, tmp_path):
    case = prepare(find_cases(data), tmp_path / "cache").cases()[0]
    assert isinstance(case.image, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        case.image[0, 0, 0] = 1
    sent = pickle.dumps(case)
    assert len(sent) < 1500
    assert np.array_equal(pickle.loads(sent).image, case.image)


def test_more_cases_than_open_files_can_be_looked_at(data, tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    case = prepare(find_cases(data), tmp_path / "cache").cases()[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    paths = [tmp_path / f"{i}.npy" for i in range(400)]
    for path in paths:
        os.link(tmp_path / "cache" / "mr_a_01.image.npy", path)
    resource.setrlimit(resource.RLIMIT_NOFILE, (380, hard))
    try:
        for path in paths:
            assert cache_module._open(path, case.stamp).shape == (12, 14, 16)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        cache_module._open.cache_clear()


def test_a_case_that_was_left_out_is_named_by_the_cache(data, tmp_path):
    cache = prepare(find_cases(data), tmp_path / "cache")
    assert "mr_b_01: 'label.nii.gz' has the same value in every voxel" in cache.report.text()
    assert cache.report == Cache(tmp_path / "cache").report


@pytest.fixture
def examined(monkeypatch):
    """The names of the cases that were read."""
    names = []
    read = cache_module.examine

    def recording(file, **options):
        names.append(file.name)
        return read(file, **options)

    monkeypatch.setattr(cache_module, "examine", recording)
    return names


def test_only_what_changed_is_prepared_again(data, tmp_path, examined):
    folder = tmp_path / "cache"
    first = prepare(find_cases(data), folder).cases()[1].image.copy()
    prepare(find_cases(data), folder)
    assert examined == ["mr_a_01", "mr_a_02", "mr_b_01"]
    write_case(data, "mr_a_02", image=an_image(9) + np.int16(1))
    again = prepare(find_cases(data), folder).cases()[1].image
    assert examined[3:] == ["mr_a_02"]
    assert not np.array_equal(first, again)


@pytest.mark.parametrize("what", ["image", "labels"])
def test_an_array_that_is_gone_or_cut_short_is_prepared_again(data, tmp_path, examined, what):
    folder = tmp_path / "cache"
    prepare(find_cases(data), folder)
    path = folder / f"mr_a_02.{what}.npy"
    whole = path.read_bytes()
    for left in (b"", whole[:200], whole[:-1], None):
        path.unlink()
        if left is not None:
            path.write_bytes(left)
        del examined[:]
        prepare(find_cases(data), folder)
        assert examined == ["mr_a_02"] and path.read_bytes() == whole


NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 16 14 12\nencoding: raw\nendian: little\ndata file: "
META = "ObjectType = Image\nNDims = 3\nDimSize = 16 14 12\nElementType = MET_SHORT\nElementDataFile = "
NAMES = "".join(f"{z:02}.raw\n" for z in range(1, 13))


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("image.nhdr", f"{NRRD}LIST\n{NAMES}"),
        ("image.nhdr", f"{NRRD}%02d.raw 1 12 1\n\n"),
        ("image.nhdr", f"{NRRD}all.raw\n\n"),
        ("image.mhd", f"{META}LIST\n{NAMES}"),
        ("image.mhd", f"{META}%02d.raw 1 12 1\n"),
        ("image.mhd", f"{META}all.raw\n"),
    ],
)
def test_voxels_that_are_exchanged_beside_their_header_are_prepared_again(tmp_path, examined, name, header):
    folder, cache = write_case(tmp_path / "data", "mr") / "mr", tmp_path / "cache"
    (folder / "image.nii.gz").unlink()
    write(folder / "label.nii.gz", a_label(), spacing=(1.0, 1.0, 1.0))
    (folder / name).write_text(header)
    image = an_image()
    for path, voxels in [("all.raw", image), *((f"{z:02}.raw", one) for z, one in enumerate(image, start=1))]:
        voxels.tofile(folder / path)
    (first,) = prepare(find_cases(tmp_path / "data"), cache).cases()
    before = first.image.copy()
    prepare(find_cases(tmp_path / "data"), cache)
    assert len(examined) == 1
    for path, voxels in (("all.raw", image[::-1]), ("07.raw", image[2])):
        (folder / path).unlink()
        np.ascontiguousarray(voxels).tofile(folder / path)
    (again,) = prepare(find_cases(tmp_path / "data"), cache).cases()
    assert len(examined) == 2 and not np.array_equal(again.image, before)


def test_other_options_prepare_all_again(data, tmp_path, examined):
    folder = tmp_path / "cache"
    prepare(find_cases(data), folder)
    prepare(find_cases(data), folder, instances=True)
    assert len(examined) == 6


def test_an_interrupted_preparation_goes_on(data, tmp_path, examined, monkeypatch):
    folder = tmp_path / "cache"
    save = cache_module._save

    def interrupted(path, array):
        if path.name.startswith("mr_a_02"):
            raise KeyboardInterrupt
        save(path, array)

    monkeypatch.setattr(cache_module, "_save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(find_cases(data), folder, workers=1)
    (folder / ".0123abcd-mr_a_02.image.npy").touch()
    monkeypatch.setattr(cache_module, "_save", save)
    assert len(prepare(find_cases(data), folder).cases()) == 2
    assert examined == ["mr_a_01", "mr_a_02", "mr_a_02", "mr_b_01"]
    assert not list(folder.glob(".*"))


def test_what_the_source_no_longer_has_leaves_the_cache(data, tmp_path):
    folder = tmp_path / "cache"
    files = find_cases(data)
    prepare(files, folder)
    assert [c.name for c in prepare(files[1:], folder).cases()] == ["mr_a_02"]
    assert sorted(p.name for p in folder.iterdir()) == [
        "index.json",
        "mr_a_02.image.npy",
        "mr_a_02.labels.npy",
    ]


def test_processes_make_the_same_cache(data, tmp_path):
    files = find_cases(data)
    prepare(files, tmp_path / "one", workers=1)
    prepare(files, tmp_path / "two", workers=2)
    for path in (tmp_path / "one").glob("*.npy"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    one, two = (json.loads((tmp_path / f / "index.json").read_text()) for f in ("one", "two"))
    assert one == two


def test_folders_that_are_no_cache_are_refused(data, tmp_path):
    with pytest.raises(InputError, match="something else than a cache"):
        prepare(find_cases(data), data)
    with pytest.raises(InputError, match="isn't a cache"):
        Cache(data)
    folder = tmp_path / "cache"
    case = prepare(find_cases(data), folder).cases()[0]
    for damaged in (b"damaged", b""):
        (folder / "mr_a_01.image.npy").write_bytes(damaged)
        cache_module._open.cache_clear()
        with pytest.raises(InputError, match="can't be read"):
            case.image[0]
    (folder / "index.json").write_text('{"version": 0, "cases": {}}')
    with pytest.raises(InputError, match="of this version"):
        Cache(folder)


def test_the_commands_check_prepare_and_choose(data, tmp_path, capsys):
    assert main(["check", str(data), "-o", str(tmp_path / "report.csv")]) == 0
    assert "3 cases: 2 usable" in capsys.readouterr().out
    assert (tmp_path / "report.csv").read_text().count("\n") == 4
    assert main(["prepare", str(data), "-o", str(tmp_path / "cache")]) == 0
    assert " MB in " in capsys.readouterr().out
    assert main(["coreset", str(tmp_path / "cache"), "--share", "0.5", "--seed", "1"]) == 0
    said = capsys.readouterr()
    assert said.out in ("mr_a_01\n", "mr_a_02\n")
    assert "mr_b_01 is left out" in said.err
    assert "mr_a: 1 of 2" in said.err
    assert main(["split", str(data), "--validation", "0.4", "-o", str(tmp_path / "names.txt")]) == 0
    assert len((tmp_path / "names.txt").read_text().split()) == 1
    assert "patients: 1 of 3" in capsys.readouterr().err


def test_the_same_image_twice_is_never_divided(tmp_path):
    for name, seed in (("rater01", 1), ("rater02", 1), ("other01", 2)):
        write_case(tmp_path / "data", name, seed)
    cache = prepare(find_cases(tmp_path / "data"), tmp_path / "cache")
    for seed in range(8):
        for cases in (cache.cases(), cache.report.usable):
            sides = [{case.name for case in side} for side in split(cases, 0.4, seed)]
            assert {"rater01", "rater02"} in sides


def test_a_wrong_input_to_a_command_is_told_in_one_line(data, tmp_path, capsys):
    write_case(tmp_path / "useless", "a", label=np.zeros((12, 14, 16), np.uint8))
    for arguments in (
        ["check", str(tmp_path / "nothing")],
        ["check", str(tmp_path / "useless")],
        ["prepare", str(data), "-o", str(data)],
        ["prepare", str(data), "-o", str(tmp_path / "cache"), "--workers", "0"],
        ["coreset", str(data), "--share", "2"],
        ["split", str(data), "--validation", "0"],
    ):
        assert main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
