"""Tests that need neither Slicer nor its libraries."""

import sys
from pathlib import Path

# Slicer puts the folder of a module on sys.path; so do we, for ENSAMSegmentLib isn't an installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "ENSAMSegment"))
