"""What the first mask after a start waits for: seconds of processor time, medians over fresh processes.

    python Testing/measure_loading.py

On one thread, with the shipped weights and the sample case, from files that the system has read before.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

SAMPLE = Path(__file__).resolve().parents[1] / "ENSAMSegment" / "Resources" / "SampleCase" / "image.nii.gz"
_ONCE = """
import sys, time

def done(what, begun):
    print(what, time.process_time() - begun, sep=":")
    return time.process_time()

begun = time.process_time()
import torch
begun = done("import torch", begun)
from ensam.prompts import Box, Point, PromptSet
from ensam.session import InteractiveSession
from ensam.volume import read_volume
begun = done("import the rest", begun)
session = InteractiveSession(device="cpu")
done("load the checkpoint", begun)
session.set_volume(read_volume(sys.argv[1]))
box = Box.from_bounds_ras((-25, -36, -38), (25, 8, -2))
begun = time.process_time()
session.segment(PromptSet(box))
begun = done("first answer", begun)
session.segment(PromptSet(box, (Point((0, -14, -18), True),)))
done("first click", begun)
"""


def main() -> None:
    """Print a line for each part of the way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        command = [sys.executable, "-c", _ONCE, str(SAMPLE)]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=one_thread, check=True, capture_output=True, text=True)
        for line in done.stdout.splitlines():
            what, taken = line.split(":")
            seconds.setdefault(what, []).append(float(taken))
    for what, taken in seconds.items():
        print(f"{what:20} {median(taken):.2f} s")


if __name__ == "__main__":
    main()
