"""How often each object is drawn, so that no large dataset and no common kind of object drowns the rest.

    draw = Balance(datasets=1, kinds=1).draw_from(cases)
    case, label = draw(rng)

`Balance(1, 1)` is even over datasets and, within them, over sizes and over thin and compact objects; what
data lack altogether, synthetic volumes hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ensam.errors import InputError

from ensam_training.cases import Case

THIN = 0.2  # an object that fills less of its box is a sheet, a tube or a tree
_LOOKED_AT = 16  # voxels an axis, to tell how much of its box an object fills


@dataclass(frozen=True)
class Balance:
    """Two numbers of 0..1; 0 takes the objects as often as they come.

    datasets: 1 takes each dataset equally often; else one of n objects counts n ** (1 - datasets).
    kinds: within a dataset, 1 takes each kind of object equally often. A kind is a size (doublings of the
    edge of the object's box, in voxels) and whether the object is thin or branching: fills less than `THIN`
    of its box.
    Raises InputError for numbers outside.
    """

    datasets: float = 0.8
    kinds: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.datasets <= 1 and 0 <= self.kinds <= 1):
            raise InputError("Objects are balanced over datasets and kinds by numbers from 0 to 1.")

    def weights(self, datasets: Sequence[str], kinds: Sequence[object]) -> np.ndarray:
        """The probability of each object, float64 (N,), from its dataset and its kind."""
        of_dataset, pairs = Counter(datasets), list(zip(datasets, kinds, strict=True))
        of_kind = Counter(pairs)
        share = np.array([of_dataset[name] ** -float(self.datasets) for name in datasets])
        within = np.array([of_kind[pair] ** -float(self.kinds) for pair in pairs])
        # The kinds must not change how often their dataset is drawn.
        total: Counter[str] = Counter()
        for name, weight in zip(datasets, within, strict=True):
            total[name] += weight
        within *= [of_dataset[name] / total[name] for name in datasets]
        return share * within / (share * within).sum()

    def draw_from(self, cases: Sequence[Case]) -> ObjectDraw | None:
        """What draws an object of these cases, as its case and label; None where they hold no object."""
        objects = [(case, label) for case in cases for label in case.objects]
        if not objects:
            return None
        kinds = [kind(case, label) for case, label in objects] if self.kinds else [None] * len(objects)
        return ObjectDraw(objects, np.cumsum(self.weights([case.dataset for case, _ in objects], kinds)))


@dataclass(frozen=True, eq=False)
class ObjectDraw:
    """Draws one of `objects`; `ends` are the running sums of their probabilities."""

    objects: list[tuple[Case, int]]
    ends: np.ndarray

    def __call__(self, rng: np.random.Generator) -> tuple[Case, int]:
        index = int(self.ends.searchsorted(rng.random(), "right"))
        return self.objects[min(index, len(self.objects) - 1)]


def kind(case: Case, label: int) -> tuple[int, bool]:
    """The size of an object, in doublings of its box's edge, and whether it is thin (see `THIN`)."""
    box = case.objects[label]
    edges = [s.stop - s.start for s in box]
    sparse = tuple(slice(s.start, s.stop, max(1, n // _LOOKED_AT)) for s, n in zip(box, edges, strict=True))
    filled = float(np.mean(case.labels[sparse] == label))
    return int(np.log2(np.prod(edges, dtype=float)) / 3), filled < THIN
