from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindecode_x.metrics import (
    bootstrap_difference,
    bootstrap_interval,
    bootstrap_intervals,
    holm,
    permutation_p_value,
    permute_within,
    sign_flip_p_value,
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


@pytest.mark.parametrize("groups", [None, np.arange(50) // 3])
def test_intervals_of_many_scores_are_those_of_each(groups, monkeypatch):
    scores = np.random.default_rng(1).standard_normal((50, 4))
    each = [bootstrap_interval(column, 5, 0.9, 300, groups) for column in scores.T]
    monkeypatch.setattr(significance, "CHUNK", 50 * 7)
    np.testing.assert_allclose(np.transpose(bootstrap_intervals(scores, 5, 0.9, 300, groups)), each, rtol=1e-9)


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


def test_every_flip_of_signs_is_counted_once_where_there_are_few():
    assert sign_flip_p_value([1, 2, 3], seed=0) == 1 / 8
    assert sign_flip_p_value([-1, 2, 3], seed=0) == 2 / 8  # but for all of one sign, none is larger
    assert sign_flip_p_value([1, 2, 3], seed=0, alternative="two-sided") == 2 / 8
    assert sign_flip_p_value([-1, -2, -3], seed=0) == 1


def test_all_differences_of_a_group_are_flipped_together():
    pictures = np.repeat(np.arange(5), 3)
    each = np.random.default_rng(0).normal(0.5, 1, 5)
    assert sign_flip_p_value(np.repeat(each, 3), seed=0, groups=pictures) == sign_flip_p_value(each, seed=0)
    assert sign_flip_p_value(np.repeat(each, 3), seed=0) < 0.5 * sign_flip_p_value(each, seed=0)
    mixed = [3.0, -1, -1, -1, 1, 1]
    assert sign_flip_p_value(mixed, seed=0, groups=list("aaaabb")) == 1 / 2  # sums 0 and 2


def test_p_values_are_uniform_where_two_way_accuracy_is_at_chance():
    """Ranks among 20 candidates are uniform when nothing is known; a picture's rank is alike in two people."""
    rng, found = np.random.default_rng(0), []
    for seed in range(400):
        scores = 1 - np.repeat(rng.integers(0, 20, 25), 2) / 19 + rng.choice([-0.1, 0.1], 50)
        found.append(sign_flip_p_value(scores - 0.5, seed, 400, groups=np.repeat(np.arange(25), 2)))
    for level in (0.05, 0.2, 0.5, 0.8):
        assert np.mean(np.array(found) <= level) == pytest.approx(level, abs=3.5 * (level * (1 - level) / 400) ** 0.5)


def test_an_effect_is_found_more_often_the_larger_it_is():
    found = [sign_flip_p_value(VALUES + shift, seed=0, n_permutations=2000) for shift in (-0.3, 0, 0.3, 0.6, 2)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == 1 / 2001  # the observed signs count too
    assert sign_flip_p_value(VALUES, 3, 500) == sign_flip_p_value(VALUES, 3, 500)


def test_holms_correction_is_that_of_the_paper():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9, 0.2]), [1, 1, 0.6])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_corrected_p_values_keep_their_order_between_their_own_and_bonferronis(p_values):
    corrected = holm(p_values)
    assert (corrected >= np.array(p_values)).all()
    assert (corrected <= np.minimum(1, len(p_values) * np.array(p_values))).all()
    assert (np.diff(corrected[np.argsort(p_values, kind="stable")]) >= 0).all()


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
        (lambda: bootstrap_intervals([1.0, 2.0], seed=0), r"values: expected \(n, m\).*\(2,\)"),
        (lambda: bootstrap_intervals([[1.0, 2], [3, np.nan]], seed=0), r"values: .*nan at index \(1, 1\)"),
        (lambda: bootstrap_difference([1, 2], [1, 2, 3], seed=0), r"b: .*\(2,\), found \(3,\)"),
        (lambda: bootstrap_difference([1, 2], [1, np.inf], seed=0), "b: .*inf at index 1"),
        (lambda: permutation_p_value(0.5, []), "null: .*not empty"),
        (lambda: permutation_p_value(np.nan, [0.5]), "observed: .*nan"),
        (lambda: sign_flip_p_value([0.1, np.nan], seed=0), "differences: .*nan at index 1"),
        (lambda: sign_flip_p_value([0.1], seed=0), "differences: expected two or more, found 1"),
        (lambda: sign_flip_p_value([1, 2], seed=0, groups=["a", "a"]), "groups: expected two or more, found 1"),
        (lambda: sign_flip_p_value([1, 2], seed=0, groups=["a"]), r"groups: .*\(2,\), found \(1,\)"),
        (lambda: sign_flip_p_value([1, 2], 0, n_permutations=0), "n_permutations: .*found 0"),
        (lambda: sign_flip_p_value([1, 2], 0, alternative="less"), "alternative: .*found 'less'"),
        (lambda: holm([0.5, 1.5]), "p_values: expected 0 to 1, found 0.5 to 1.5"),
        (lambda: holm([]), "p_values: .*not empty"),
        (lambda: permute_within(["a", "b"], [0], 1, seed=0), r"groups: .*\(2,\), found \(1,\)"),
        (lambda: permute_within([], [], 1, seed=0), "labels: .*not empty"),
        (lambda: permute_within(["a"], [0], 0, seed=0), "n_permutations: .*found 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
