from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindecode_x.metrics import (
    bootstrap_difference,
    bootstrap_interval,
    permutation_p_value,
    permute_within,
    significance,
)

VALUES = np.random.default_rng(0).standard_normal(50)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=40), st.integers(0, 2**32))
def test_interval_holds_the_median_resample_and_repeats_with_its_seed(values, seed):
    low, high = bootstrap_interval(values, seed, n_resamples=200)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    assert bootstrap_interval(values, seed, n_resamples=200) == (low, high)
    narrow = bootstrap_interval(values, seed, level=0.5, n_resamples=200)
    assert low <= narrow[0] <= narrow[1] <= high


def test_interval_agrees_with_theory():
    low, high = bootstrap_interval(VALUES, seed=1)
    half = 1.96 * VALUES.std() / np.sqrt(50)
    np.testing.assert_allclose([low, high], [VALUES.mean() - half, VALUES.mean() + half], atol=0.1 * half)
    assert bootstrap_interval(VALUES, seed=2) != (low, high)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [bootstrap_interval(rng.exponential(size=60), seed, 0.9, 500) for seed in range(300)]
    assert 0.84 < np.mean([low <= 1 <= high for low, high in intervals]) < 0.95


def test_groups_are_resampled_whole():
    """Twelve runs of ten identical values carry as much as twelve values."""
    runs = np.arange(12)
    grouped = bootstrap_interval(np.repeat(VALUES[:12], 10), seed=1, groups=np.repeat(runs, 10))
    np.testing.assert_allclose(grouped, bootstrap_interval(VALUES[:12], seed=1))
    alone = bootstrap_interval(np.repeat(VALUES[:12], 10), seed=1)
    assert grouped[1] - grouped[0] > 2 * (alone[1] - alone[0])


def test_groups_of_unequal_size_weigh_by_their_items():
    values, groups = [0.0, 1, 1, 1], ["a", "b", "b", "b"]
    assert bootstrap_interval(values, seed=0, groups=groups, level=0.4) == (0.75, 0.75)  # one of each
    assert bootstrap_interval(values, seed=0, groups=groups, level=0.9) == (0, 1)  # one of them twice


def test_chunks_do_not_change_the_interval(monkeypatch):
    whole = bootstrap_interval(VALUES, seed=3, n_resamples=1003)
    monkeypatch.setattr(significance, "CHUNK", 50 * 7)
    assert bootstrap_interval(VALUES, seed=3, n_resamples=1003) == whole


def test_difference_is_paired():
    low, high = bootstrap_difference(VALUES + 0.1, VALUES, seed=0)
    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.1)
    assert bootstrap_difference([True, True, False], [False, False, False], seed=0)[1] == 1


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=50), st.integers(-6, 6))
def test_p_value_counts_the_observed_order_too(null, observed):
    expected = (1 + sum(value >= observed for value in null)) / (1 + len(null))
    assert permutation_p_value(observed, null) == expected
    assert permutation_p_value(6, null) == 1 / (1 + len(null))
    assert permutation_p_value(-5, null) == 1


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 3)), min_size=1, max_size=30), st.integers(0, 99))
def test_permuting_within_groups_keeps_each_groups_labels(items, seed):
    labels, groups = map(np.array, zip(*items, strict=True))
    permuted = permute_within(labels, groups, 20, seed)
    assert permuted.shape == (20, len(labels))
    assert permuted.dtype == labels.dtype
    for group in set(groups.tolist()):
        for row in permuted:
            assert Counter(row[groups == group].tolist()) == Counter(labels[groups == group].tolist())
    assert np.array_equal(permute_within(labels, groups, 20, seed), permuted)


def test_every_order_within_a_group_is_as_likely():
    groups = np.array([1, 0, 1, 0, 1])  # interleaved on purpose
    permuted = permute_within(np.arange(5), groups, 6000, seed=0)
    orders = Counter(tuple(row) for row in permuted[:, groups == 1].tolist())
    assert len(orders) == 6
    assert all(850 < count < 1150 for count in orders.values())
    first, second = permuted[:, groups == 1][:, 0] == 0, permuted[:, groups == 0][:, 0] == 1
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05  # groups are permuted independently


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_interval([], seed=0), "values: .*not empty"),
        (lambda: bootstrap_interval([[1.0, 2.0]], seed=0), r"values: expected \(n,\).*\(1, 2\)"),
        (lambda: bootstrap_interval([1, np.nan], seed=0), "values: .*nan at index 1"),
        (lambda: bootstrap_interval([1.0], seed=0), "values: expected two or more"),
        (lambda: bootstrap_interval([1, 2], seed=0, groups=["a", "a"]), "groups: expected two or more"),
        (lambda: bootstrap_interval([1, 2], seed=0, groups=["a"]), r"groups: .*\(2,\), found \(1,\)"),
        (lambda: bootstrap_interval([1, 2], seed=0, level=95), "level: .*found 95"),
        (lambda: bootstrap_interval([1, 2], seed=0, n_resamples=0), "n_resamples: .*found 0"),
        (lambda: bootstrap_difference([1, 2], [1, 2, 3], seed=0), r"b: .*\(2,\), found \(3,\)"),
        (lambda: bootstrap_difference([1, 2], [1, np.inf], seed=0), "b: .*inf at index 1"),
        (lambda: permutation_p_value(0.5, []), "null: .*not empty"),
        (lambda: permutation_p_value(np.nan, [0.5]), "observed: .*nan"),
        (lambda: permute_within(["a", "b"], [0], 1, seed=0), r"groups: .*\(2,\), found \(1,\)"),
        (lambda: permute_within([], [], 1, seed=0), "labels: .*not empty"),
        (lambda: permute_within(["a"], [0], 0, seed=0), "n_permutations: .*found 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
