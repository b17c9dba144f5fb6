"""Offers the sample case in Slicer's Sample Data module. It comes with the extension: no download."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

RESOURCES = Path(__file__).resolve().parents[1] / "Resources"
CATEGORY = "ENSAM"


@dataclass(frozen=True)
class Sample:
    """One button of the Sample Data module.

    Attributes:
        name: The button's text, and what `SampleData.downloadSample` knows it by.
        node_name: The name of the node that is loaded.
        source: The file among the module's resources.
        file_type: Which of Slicer's readers loads it.
        checksum: Of the file. Slicer keeps a copy in its cache, and by this notices when it is an old one.
    """

    name: str
    node_name: str
    source: str
    file_type: str
    checksum: str

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return RESOURCES / self.source

    @property
    def thumbnail(self) -> Path:
        """The button's picture."""
        return RESOURCES / "Icons" / f"{self.name}.png"


# The answer is a sample of its own: who tries ENSAM wants the image without it.
SAMPLES = (
    Sample(
        "ENSAMFetalBrain",
        "FetalBrain",
        "SampleCase/image.nii.gz",
        "VolumeFile",
        "SHA256:50b839b90fcc18dc99929886986f2e2e7dda0efd7d51372d300c08e5fee249f2",
    ),
    Sample(
        "ENSAMFetalBrainAtlas",
        "FetalBrainAtlas",
        "SampleCase/label.nii.gz",
        "SegmentationFile",
        "SHA256:72eacd7dc6003981e4320ef066906a7f875ecc563a213fe126588f03687c4e27",
    ),
)


def register(sample_data: ModuleType | None = None) -> None:
    """Add the samples to the Sample Data module, once; `sample_data` is that module, for tests."""
    sample_data = sample_data or importlib.import_module("SampleData")
    for sample in SAMPLES:
        sample_data.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=sample.name,
            uris=sample.path.as_uri(),
            # The name in the cache, which all extensions share.
            fileNames=f"{sample.name}.nii.gz",
            nodeNames=sample.node_name,
            loadFileTypes=sample.file_type,
            thumbnailFileName=str(sample.thumbnail),
            checksums=sample.checksum,
        )
