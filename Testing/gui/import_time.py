"""How long Slicer's start waits for the modules: python -m gui.import_time, from the folder Testing."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

_ONCE = """
import sys, tempfile, time
from pathlib import Path
from gui.stand_in.installation import installed
with installed(Path(tempfile.mkdtemp())) as application:
    before = set(sys.modules)
    start = time.perf_counter()
    import ENSAMSegment, ENSAMTrainer, SegmentEditorENSAM
    print(time.perf_counter() - start)
    print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""


def main() -> None:
    """Print the median of nine fresh processes, and what is imported."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    root = Path(__file__).resolve().parents[2]
    folders = [str(root / name) for name in ("ENSAMSegment", "ENSAMTrainer")]
    runs = []
    for _ in range(9):
        code = f"import sys; sys.path[:0] = {folders}\n" + _ONCE
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        runs.append(done.stdout.splitlines()[-2:])
    print(f"{1000 * statistics.median(float(seconds) for seconds, _ in runs):.1f} ms, imports: {runs[0][1]}")


if __name__ == "__main__":
    main()
