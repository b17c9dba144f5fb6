"""Which cases to train on: the paper's coreset, and the cases held out for validation.

Both take anything with a `name`, a `dataset` and a `group`, depend on the seed alone and not on the order in
which the cases come, and return what they chose in the order of the names. Where cases are added, few others
change sides.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Protocol, TypeVar

from ensam.errors import InputError

_ROUNDING = 1e-9  # 0.29 * 100 is less than 29


class Known(Protocol):
    """A case as far as choosing needs to know it."""

    @property
    def name(self) -> str: ...
    @property
    def dataset(self) -> str: ...
    @property
    def group(self) -> str: ...


AnyCase = TypeVar("AnyCase", bound=Known)


def coreset(
    cases: Iterable[AnyCase], share: float, seed: int, *, whole_groups: bool = False
) -> list[AnyCase]:
    """At most `share` of the cases, as equal a number from each dataset as possible (the paper, coreset).

    A dataset that is smaller than its part gives all it has. A larger share with the same seed holds all of
    a smaller one. With `whole_groups` a patient is taken with all cases or not at all, so that numbers may
    differ by more. Raises `InputError` for a share outside 0..1, or one that is less than one case.
    """
    if not 0 < share <= 1:
        raise InputError(f"A share of {share:g} isn't between 0 and 1: use for example 0.1.")
    units = _units(cases, seed, whole_groups)
    left = int(share * sum(len(unit) for unit in units) + _ROUNDING)
    queues: dict[str, list[list[AnyCase]]] = {}
    for unit in units:
        for dataset in dict.fromkeys(case.dataset for case in unit):
            queues.setdefault(dataset, []).append(unit)
    taken: dict[str, AnyCase] = {}
    counts = Counter(dict.fromkeys(queues, 0))
    while queues:
        # Datasets that have given as many take turns in the order of the seed: that of the dict.
        dataset = min(queues, key=counts.__getitem__)
        unit = queues[dataset].pop(0)
        if not queues[dataset]:
            del queues[dataset]
        if len(unit) <= left and unit[0].name not in taken:
            taken |= {case.name: case for case in unit}
            counts.update(case.dataset for case in unit)
            left -= len(unit)
    if not taken:
        raise InputError(f"A share of {share:g} of these cases is less than one: use a larger one.")
    return [taken[name] for name in sorted(taken)]


def split(
    cases: Iterable[AnyCase], validation_share: float, seed: int
) -> tuple[list[AnyCase], list[AnyCase]]:
    """Cases for training and for validation, about `validation_share` of every dataset for the latter.

    No group (patient) is divided. A dataset keeps a case for training unless its last one belongs to a group
    that others need; one that is too small for its share to be a whole case helps to reach the share of all.
    Datasets of a single patient count as one together: a name that tells of none makes one of its own.
    Raises `InputError` for a share outside 0..1, and when either side would be empty.
    """
    if not 0 < validation_share < 1:
        raise InputError(f"A share of {validation_share:g} isn't between 0 and 1: use for example 0.15.")
    units = _units(cases, seed, whole_groups=True)
    patients = Counter(dataset for unit in units for dataset in {case.dataset for case in unit})

    def parts(unit: list[AnyCase]) -> Counter[str | None]:
        """The unit's cases by dataset; None: those of a single patient."""
        return Counter(case.dataset if patients[case.dataset] > 1 else None for case in unit)

    totals: Counter[str | None] = sum(map(parts, units), Counter())
    wanted = {dataset: validation_share * count for dataset, count in totals.items()}
    held: list[list[AnyCase]] = []
    counts = Counter(dict.fromkeys(totals, 0))

    def hold(unit: list[AnyCase]) -> None:
        held.append(unit)
        counts.update(parts(unit))

    for unit in units:
        if _gain(parts(unit), counts, wanted) > 0:
            hold(unit)
    chosen = {id(unit) for unit in held}
    for unit in units:
        gives = parts(unit)
        short = sum(wanted.values()) - counts.total() >= len(unit) / 2
        spared = all(counts[d] < wanted[d] and counts[d] + n < totals[d] for d, n in gives.items())
        if id(unit) not in chosen and short and spared:
            hold(unit)
    validation = sorted((case for unit in held for case in unit), key=lambda case: case.name)
    names = {case.name for case in validation}
    training = sorted(
        (case for unit in units for case in unit if case.name not in names), key=lambda case: case.name
    )
    if not training or not validation:
        raise InputError(
            f"{sum(totals.values())} cases of {len(units)} patients can't be divided so that "
            f"{validation_share:g} of them are held out: use more cases or another share."
        )
    return training, validation


def divided_patients(training: Iterable[Known], held_out: Iterable[Known]) -> str:
    """What the user must know where patients are on both sides, "" where none is.

    It names nobody, since the card of a checkpoint tells it as well.
    """
    trained_on = {case.group for case in training}
    count = sum(case.group in trained_on for case in held_out)
    return (
        f"{count} held-out cases are of patients who are trained on as well, which flatters the result: hold "
        "out all cases of a patient."
        if count
        else ""
    )


def _gain(gives: Counter[str | None], counts: Counter[str | None], wanted: dict[str | None, float]) -> float:
    """By how many cases the datasets come nearer to what is wanted when so many of each are held out."""
    return sum(abs(counts[d] - wanted[d]) - abs(counts[d] + n - wanted[d]) for d, n in gives.items())


def _units(cases: Iterable[AnyCase], seed: int, whole_groups: bool) -> list[list[AnyCase]]:
    """Cases that go together, in an order that the seed alone decides."""
    if seed < 0:
        raise InputError(f"The seed {seed} is negative: use 0 or more.")
    units: dict[str, list[AnyCase]] = {}
    for case in sorted(cases, key=lambda case: case.name):
        units.setdefault(case.group if whole_groups else case.name, []).append(case)
    return [units[key] for key in shuffled(units, seed)]


def shuffled(keys: Iterable[str], seed: int) -> list[str]:
    """The keys in an order of the seed, in which a further key moves none of the others.

    Else a collection that has grown would be judged on cases that its last result was trained on.
    """

    def place(key: str) -> bytes:
        # Names of files in an older encoding hold surrogates.
        return hashlib.blake2b(f"{seed} {key}".encode(errors="surrogatepass")).digest()

    return sorted(keys, key=place)
