"""Pictures of the objects that clicks helped least: for a checkpoint's card, so that users know them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ensam.files import replacing
from ensam.session import InteractiveSession
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ensam_training.cases import CaseFile, load
from ensam_training.click_quality import CONFIRMING, Step, plain_volume, play_object
from ensam_training.conditions import EXACT, exact_scene

_MARGIN = 12  # voxels shown around the object
_TRUTH, _ANSWER = "#ffd21f", "#23c9ff"


def worst(steps: Sequence[Step], count: int) -> list[Step]:
    """The last steps of the objects with the lowest Dice coefficients at the end, one a case."""
    last: dict[tuple[str, int], Step] = {}
    for step in steps:
        if step.condition == EXACT and step.kind != CONFIRMING:
            last[step.case, step.label] = step
    chosen: dict[str, Step] = {}
    for step in sorted(last.values(), key=lambda step: step.dsc):
        chosen.setdefault(step.case, step)
    return list(chosen.values())[:count]


def draw_worst(
    session: InteractiveSession, files: Sequence[CaseFile], steps: Sequence[Step], count: int, path: Path
) -> None:
    """Plays the worst objects again and draws them: above after the box, below after the last click, in the
    slice that holds most of the object; as PNG. Raises InputError, OutputError."""
    chosen, by_name = worst(steps, count), {file.name: file for file in files}
    figure = Figure(figsize=(2.6 * len(chosen), 6), layout="constrained")
    panels = figure.subplots(2, len(chosen), squeeze=False)
    for column, step in enumerate(chosen):
        volume, labels = load(by_name[step.case])
        scene = exact_scene(volume.array, labels == step.label, volume.grid.spacing_zyx)
        session.set_volume(plain_volume(volume.array, scene.spacing, step.case))
        played = play_object(session, scene, 0.0)
        answers = [answer for own, answer in played if own.kind != CONFIRMING]
        z = int(scene.truth.sum((1, 2)).argmax())
        shown = _around(scene.truth[z])
        for row, answer in enumerate((answers[0], answers[-1])):
            mask = answer.laid_out(volume.grid.shape)
            _draw(panels[row, column], volume.array[z][shown], scene.truth[z][shown], mask[z][shown])
            panels[row, column].set_aspect(scene.spacing[1] / scene.spacing[2])
        panels[0, column].set_title(f"{step.case}, {step.label}\nafter the box", fontsize="small")
        clicks = f"after {step.round} clicks: Dice {step.dsc:.2f}"
        panels[1, column].set_title(clicks, fontsize="small")
    figure.suptitle("Corrected outline yellow, answer blue", fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _around(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    ends = ((hits[0] - _MARGIN, hits[-1] + 1 + _MARGIN) for hits in (rows, columns))
    return tuple(slice(max(0, int(a)), int(b)) for a, b in ends)


def _draw(panel: Axes, image: NDArray, truth: NDArray[np.bool_], answer: NDArray[np.bool_]) -> None:
    low, high = np.percentile(image, (1, 99))
    panel.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1))
    for mask, color in ((truth, _TRUTH), (answer, _ANSWER)):
        if mask.any():
            panel.contour(mask, levels=[0.5], colors=color, linewidths=1.2)
    panel.set_axis_off()
