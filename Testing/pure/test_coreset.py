"""The paper's coreset and the cases held out, by the laws that they must keep."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from ensam.errors import InputError
from ensam_training.cases import dataset_of, group_of
from ensam_training.coreset import coreset, split
from fuzzing import inputs
from hypothesis import assume, given
from hypothesis import strategies as st

fast = inputs(50)
seeds = st.integers(0, 2**32)
shares = st.floats(0.01, 1.0)


@dataclass(frozen=True)
class Named:
    name: str
    dataset: str
    group: str


@st.composite
def case_lists(draw):
    """Up to 60 cases of up to five datasets; up to 40 patients, some of them in several datasets."""
    sizes = draw(st.lists(st.integers(1, 20), min_size=1, max_size=5))
    patients = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(seeds))
    return [
        Named(f"{d}_{i:02}", f"set {d}", f"patient {rng.integers(patients)}")
        for d, size in enumerate(sizes)
        for i in range(size)
    ]


def alone(cases):
    return [Named(c.name, c.dataset, c.name) for c in cases]


def a_coreset(cases, share, seed, **options):
    assume(int(share * len(cases) + 1e-9) >= 1)
    return coreset(cases, share, seed, **options)


@fast
@given(case_lists(), shares, seeds)
def test_a_coreset_is_as_large_as_its_share_allows_and_even_over_datasets(cases, share, seed):
    chosen = a_coreset(cases, share, seed)
    assert len({c.name for c in chosen}) == len(chosen) == int(share * len(cases) + 1e-9)
    of_all, of_chosen = (Counter(c.dataset for c in listed) for listed in (cases, chosen))
    given_all = {d for d in of_all if of_chosen[d] == of_all[d]}
    most = max(of_chosen.values())
    # Only a dataset that has no more to give may stay behind the others by more than one.
    assert all(of_chosen[d] >= most - 1 for d in of_all if d not in given_all)


@fast
@given(case_lists(), shares, seeds, st.booleans(), st.randoms(use_true_random=False))
def test_a_coreset_depends_on_the_seed_and_not_on_the_order(cases, share, seed, whole, random):
    assume(int(share * len(cases) + 1e-9) >= max(Counter(c.group for c in cases).values()))
    chosen = coreset(cases, share, seed, whole_groups=whole)
    shuffled = random.sample(cases, len(cases))
    assert coreset(shuffled, share, seed, whole_groups=whole) == chosen


@fast
@given(case_lists(), shares, shares, seeds)
def test_a_larger_coreset_holds_the_smaller_one(cases, one, other, seed):
    small, large = sorted((one, other))
    assert set(a_coreset(cases, small, seed)) <= set(coreset(cases, large, seed))


@fast
@given(case_lists(), shares, seeds)
def test_whole_groups_are_taken_whole_and_never_beyond_the_share(cases, share, seed):
    sizes = Counter(c.group for c in cases)
    assume(int(share * len(cases) + 1e-9) >= min(sizes.values()))
    chosen = coreset(cases, share, seed, whole_groups=True)
    assert len(chosen) <= share * len(cases) + 1e-9
    assert Counter(c.group for c in chosen) == {g: sizes[g] for g in {c.group for c in chosen}}


def test_another_seed_gives_another_coreset():
    cases = [Named(str(i), "set", str(i)) for i in range(40)]
    assert coreset(cases, 0.25, 0) != coreset(cases, 0.25, 1)


def test_the_papers_rule_by_hand():
    cases = [Named(f"{d}{i}", d, f"{d}{i}") for d, n in (("a", 3), ("b", 20), ("c", 77)) for i in range(n)]
    assert Counter(c.dataset for c in coreset(cases, 0.29, 5)) == {"a": 3, "b": 13, "c": 13}


@fast
@given(case_lists(), st.floats(0.05, 0.5), seeds, st.randoms(use_true_random=False))
def test_a_split_divides_no_patient_and_depends_on_the_seed_alone(cases, share, seed, random):
    try:
        training, validation = split(cases, share, seed)
    except InputError:
        assume(False)
    assert sorted(c.name for c in (*training, *validation)) == sorted(c.name for c in cases)
    assert not {c.group for c in training} & {c.group for c in validation}
    assert split(random.sample(cases, len(cases)), share, seed) == (training, validation)


@fast
@given(case_lists(), st.floats(0.05, 0.49), seeds)
def test_a_split_holds_out_its_share_of_every_dataset(cases, share, seed):
    cases = alone(cases)
    of_all = Counter(c.dataset for c in cases)
    assume(max(of_all.values()) * share > 0.5)
    training, validation = split(cases, share, seed)
    held = Counter(c.dataset for c in validation)
    assert all(abs(held[d] - share * n) < 1 for d, n in of_all.items())
    assert {d for d, n in of_all.items() if n > 1} <= {c.dataset for c in training}


def test_in_a_collection_that_grows_who_was_trained_on_is_seldom_held_out_later():
    moved = held = 0
    for seed in range(20):
        before: set[str] = set()
        for count in range(6, 21):
            cases = alone([Named(f"case_{i}", "set", "") for i in range(count)])
            training, validation = split(cases, 0.25, seed)
            moved += len({c.name for c in validation} & before)
            held += len(validation)
            before = {c.name for c in training}
    assert moved < 0.06 * held


def test_many_small_datasets_hold_out_their_share_together():
    cases = [Named(f"{d}_{i}", f"set {d}", f"{d}_{i}") for d in range(20) for i in range(2)]
    training, validation = split(cases, 0.15, 0)
    assert (len(training), len(validation)) == (34, 6)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("form", ["{}", "tumor_{}", "P0{}L", "2021-05-03-{}", "{}_a", "{}_1_ct"])
def test_names_that_tell_of_no_dataset_are_divided_all_the_same(form, share):
    names = [form.format(letter) for letter in "abcdefghij"]
    cases = [Named(name, dataset_of(name), group_of(name)) for name in names]
    _, validation = split(cases, share, 0)
    assert abs(len(validation) - 10 * share) <= 0.5


def test_cases_of_single_patients_do_not_take_those_of_a_dataset():
    """A name of two digits makes a patient of all that begin like it."""
    names = [f"{name}_01_{visit}" for name in ("Meyer", "Lopez", "Sato", "Kaya") for visit in "ab"]
    cases = [
        Named(name, dataset_of(name), group_of(name)) for name in [*names, *(f"ct_{i}" for i in range(8))]
    ]
    training, validation = split(cases, 0.25, 0)
    assert not {c.group for c in training} & {c.group for c in validation}
    assert Counter(c.dataset == "ct" for c in validation) == {True: 2, False: 2}


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_shares_that_are_none_are_refused(share):
    cases = [Named("a", "set", "a"), Named("b", "set", "b")]
    for choose in (coreset, split):
        with pytest.raises(InputError, match="isn't between 0 and 1"):
            choose(cases, share, 0)


def test_a_share_of_less_than_a_case_is_refused():
    one = [Named("a", "set", "a")]
    with pytest.raises(InputError, match="less than one"):
        coreset(one, 0.5, 0)
    with pytest.raises(InputError, match="can't be divided"):
        split(one, 0.5, 0)
    with pytest.raises(InputError, match="negative"):
        coreset(one, 1.0, -1)
