"""Tests and tools on a real MRML scene, outside the Slicer application (needs the ``slicer-core`` wheel)."""

import sys
from pathlib import Path

# Slicer puts the folder of a module on sys.path; so do we, for the adapters aren't installed packages.
for _folder in ("ENSAMTrainer", "ENSAMSegment"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / _folder))
