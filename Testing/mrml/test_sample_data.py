"""The samples that the Sample Data module is given are files that Slicer's libraries load."""

from __future__ import annotations

import hashlib
import inspect
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from ENSAMSegmentLib import sample_data
from ENSAMSegmentLib.sample_data import SAMPLES
from ENSAMSegmentLib.volumes import volume_from_node

from .nodes import load_volume


class SampleDataModule:
    """Slicer's SampleData, as far as a module registers its samples there; the signature is Slicer's."""

    def __init__(self):
        self.sources = []
        self.SampleDataLogic = SimpleNamespace(registerCustomSampleDataSource=self._register)

    def _register(
        self,
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
        loadFileType=None,
    ):
        assert customDownloader is None, "scripts, which call downloadSample, would not use it"
        self.sources.append(SimpleNamespace(**inspect.getargvalues(inspect.currentframe()).locals))


@pytest.fixture
def the_sources():
    module = SampleDataModule()
    sample_data.register(module)
    return module.sources


def test_the_case_is_offered_as_an_image_and_apart_from_it_as_the_answer(the_sources):
    assert [(source.nodeNames, source.loadFileTypes) for source in the_sources] == [
        ("FetalBrain", "VolumeFile"),
        ("FetalBrainAtlas", "SegmentationFile"),
    ]
    assert {source.category for source in the_sources} == {"ENSAM"}


def test_each_sample_reaches_slicers_cache_without_a_network(the_sources, tmp_path):
    for source in the_sources:
        copy = tmp_path / source.fileNames
        # As SampleData does it.
        urllib.request.urlretrieve(source.uris, copy)
        algorithm, digest = source.checksums.split(":")
        assert algorithm == "SHA256" and hashlib.sha256(copy.read_bytes()).hexdigest() == digest


def test_a_sample_is_found_in_a_folder_with_spaces_and_accents(tmp_path, monkeypatch):
    folder = tmp_path / "Prógram Files" / "100% Slicer #5"
    for sample in SAMPLES:
        copy = folder / sample.source
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(sample.path.read_bytes())
    monkeypatch.setattr(sample_data, "RESOURCES", folder)
    for sample in SAMPLES:
        arrived, _ = urllib.request.urlretrieve(sample.path.as_uri(), tmp_path / "arrived")
        assert arrived.read_bytes() == sample.path.read_bytes()


def test_each_sample_has_a_thumbnail_of_its_own(the_sources):
    pictures = [Path(source.thumbnailFileName).read_bytes() for source in the_sources]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures) and len(set(pictures)) == len(SAMPLES)


def test_the_image_loads_as_a_volume_and_the_answer_as_a_segmentation_on_its_grid(an_mrml_scene):
    image, answer = SAMPLES
    grid = volume_from_node(load_volume(an_mrml_scene, image.path, image.node_name)).grid
    # What Slicer's reader of segmentations calls.
    segmentation = slicer.modules.segmentations.logic().LoadSegmentationFromFile(
        str(answer.path), True, answer.node_name
    )
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 8
    bounds = np.zeros(6)
    segmentation.GetRASBounds(bounds)
    corners = grid.zyx_to_ras(np.array([[0, 0, 0], np.array(grid.shape) - 1], float))
    slack = max(grid.spacing_zyx)
    assert np.all(bounds[::2] >= corners.min(axis=0) - slack)
    assert np.all(bounds[1::2] <= corners.max(axis=0) + slack)
