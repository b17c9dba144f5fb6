"""How many random inputs a test tries: in a run of all tests the same few, on request many new ones.

FUZZ=100 python -m pytest Testing/pure/test_hostile_files.py   # 100 times as many, other ones each time
"""

from __future__ import annotations

import os

from hypothesis import settings

TIMES = int(os.environ.get("FUZZ", "1"))


def inputs(count: int, **more: object) -> settings:
    """Settings of hypothesis for so many inputs, or FUZZ times as many."""
    return settings(max_examples=count * TIMES, **more)
