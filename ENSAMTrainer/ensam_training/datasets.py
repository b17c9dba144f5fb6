"""The former home of `cases` and `sampling`."""

from ensam_training.cases import MINIMUM_VOXELS, Case, dataset_of, read_case
from ensam_training.sampling import EDGES, Sample, WindowSampler, snap, validation_window

__all__ = [
    "EDGES",
    "MINIMUM_VOXELS",
    "Case",
    "Sample",
    "WindowSampler",
    "dataset_of",
    "read_case",
    "snap",
    "validation_window",
]
