"""Significance: how far a score could move by chance, without assuming its distribution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import permutation_test

CHUNK = 1 << 22  # numbers that are drawn at a time


def bootstrap_interval(
    values: ArrayLike,
    seed: int,
    level: float = 0.95,
    n_resamples: int = 10_000,
    groups: ArrayLike | None = None,
) -> tuple[float, float]:
    """Give the percentile bootstrap interval of a mean.

    Parameters
    ----------
    values : array_like
        (n,), a score for every item.
    seed : int
        Same seed, same interval.
    level : float
        Coverage that is aimed at, 0 to 1, both excluded.
    n_resamples : int
        At least 1.
    groups : array_like, optional
        (n,) such as runs or stimuli. Items of a group depend on one another, so whole groups are resampled (cluster
        bootstrap). Default: every item alone.

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        Empty, not finite, shapes differ, fewer than two items or groups to resample, or ``level`` or ``n_resamples``
        out of range.
    """
    values = _scores("values", values)
    unit = _resampled_units(values, level, n_resamples, groups)
    sums, counts = np.bincount(unit, weights=values), np.bincount(unit)
    means = [sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1) for drawn in _resamples(len(sums), n_resamples, seed)]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_intervals(
    values: ArrayLike,
    seed: int,
    level: float = 0.95,
    n_resamples: int = 10_000,
    groups: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Give the intervals of many means over the same items, each as of `bootstrap_interval`, in a fraction of the time.

    Parameters
    ----------
    values : array_like
        (n, m), m scores of every item.
    seed, level, n_resamples, groups
        As in `bootstrap_interval`.

    Returns
    -------
    low, high : numpy.ndarray
        (m,) each.

    Raises
    ------
    ValueError
        As `bootstrap_interval`.
    """
    values = _scores("values", values, ndim=2)
    unit = _resampled_units(values[:, 0], level, n_resamples, groups)
    n = int(unit.max()) + 1
    sums, counts, means = np.zeros((n, values.shape[1])), np.bincount(unit), []
    np.add.at(sums, unit, values)
    for drawn in _resamples(n, n_resamples, seed):
        places = drawn + n * np.arange(len(drawn))[:, None]
        weights = np.bincount(places.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(float)
        means.append(weights @ sums / (weights @ counts)[:, None])
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def bootstrap_difference(
    a: ArrayLike,
    b: ArrayLike,
    seed: int,
    level: float = 0.95,
    n_resamples: int = 10_000,
    groups: ArrayLike | None = None,
) -> tuple[float, float]:
    """Give the percentile bootstrap interval of ``mean(a) - mean(b)``, two scores of the same items (paired).

    Parameters
    ----------
    a, b : array_like
        (n,), in the same order of items.
    seed, level, n_resamples, groups
        As in `bootstrap_interval`.

    Returns
    -------
    low, high : float
        Zero outside of them says that the scores differ, at ``1 - level``.

    Raises
    ------
    ValueError
        As `bootstrap_interval`; ``a`` and ``b`` differ in shape.
    """
    a, b = _scores("a", a), _scores("b", b)
    if a.shape != b.shape:
        raise ValueError(f"b: expected the shape of a, {a.shape}, found {b.shape}")
    return bootstrap_interval(a - b, seed, level, n_resamples, groups)


def permutation_p_value(observed: float, null: ArrayLike) -> float:
    """Give the one-sided p-value of a score under its permutations: (1 + #{null >= observed}) / (1 + n).

    Counting the observed order among the permutations keeps the test valid and p above zero (Phipson & Smyth 2010,
    Stat. Appl. Genet. Mol. Biol. 9).

    Parameters
    ----------
    observed : float
        The score, larger is better.
    null : array_like
        (n,), the score under each permutation.

    Returns
    -------
    float
        1 / (1 + n) to 1.

    Raises
    ------
    ValueError
        Empty or not finite.
    """
    null = _scores("null", null)
    if not np.isfinite(observed):
        raise ValueError(f"observed: expected a finite number, found {observed}")
    return float((1 + np.count_nonzero(null >= observed)) / (1 + len(null)))


def permute_within(labels: ArrayLike, groups: ArrayLike, n_permutations: int, seed: int) -> np.ndarray:
    """Permute labels within groups, such as runs, so that each group keeps its own.

    Parameters
    ----------
    labels : array_like
        (n,) of any type.
    groups : array_like
        (n,).
    n_permutations : int
        At least 1.
    seed : int
        Same seed, same permutations.

    Returns
    -------
    numpy.ndarray
        (n_permutations, n), of the labels' type.

    Raises
    ------
    ValueError
        Empty, shapes differ, or no permutations are asked for.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) == 0:
        raise ValueError(f"labels: expected (n,), not empty, found shape {labels.shape}")
    _check_count("n_permutations", n_permutations)
    codes = _codes("groups", groups, labels)
    keys = np.random.default_rng(seed).random((n_permutations, len(labels)))
    shuffled = np.lexsort((keys, np.broadcast_to(codes, keys.shape)), axis=-1)
    permuted = np.empty(keys.shape, labels.dtype)
    permuted[:, np.argsort(codes, kind="stable")] = labels[shuffled]
    return permuted


def sign_flip_p_value(
    differences: ArrayLike,
    seed: int,
    n_permutations: int = 10_000,
    groups: ArrayLike | None = None,
    alternative: Literal["greater", "two-sided"] = "greater",
) -> float:
    """Give the p-value of a mean difference under flips of the differences' signs (paired permutation test).

    The statistic is the mean of all differences. Under the null hypothesis each difference is as likely to have the
    other sign, as the difference of two scores is when their labels are exchanged. All differences of a group, for
    example those of one picture in several subjects, are flipped together. Where there are no more than
    ``n_permutations`` ways to flip, each is taken once and the test is exact; else they are drawn, and the observed one
    counts among them, as in `permutation_p_value`. By `scipy.stats.permutation_test`.

    Parameters
    ----------
    differences : array_like
        (n,), the difference of two scores of every item, or of a score and chance; the latter asks for a score that is
        as often so far above chance as below it when nothing is known, as two-way accuracy is, unlike top-1.
    seed : int
        Same seed, same p-value.
    n_permutations : int
        At least 1.
    groups : array_like, optional
        (n,), what is flipped together. Default: every item alone.
    alternative : {"greater", "two-sided"}
        The mean is above 0, or it is not 0.

    Returns
    -------
    float
        Above 0, at most 1.

    Raises
    ------
    ValueError
        Empty, not finite, shapes differ, fewer than two items or groups, or another number or alternative.
    """
    differences = _scores("differences", differences)
    _check_count("n_permutations", n_permutations)
    if alternative not in ("greater", "two-sided"):
        raise ValueError(f"alternative: expected 'greater' or 'two-sided', found {alternative!r}")
    unit = np.arange(len(differences)) if groups is None else _codes("groups", groups, differences)
    sums = np.bincount(unit, weights=differences)
    if len(sums) < 2:
        raise ValueError(f"{'differences' if groups is None else 'groups'}: expected two or more, found {len(sums)}")
    found = permutation_test(
        (sums,),
        np.mean,  # of groups' sums: the mean of all items, but for a factor
        permutation_type="samples",
        vectorized=True,
        n_resamples=n_permutations,
        batch=max(1, CHUNK // len(sums)),
        alternative=alternative,
        random_state=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Correct p-values for their number by Holm's step-down procedure (1979, Scand. J. Stat. 6:65).

    The chance that any true null hypothesis has a corrected p-value below a level is at most that level, however the
    tests depend on one another.

    Parameters
    ----------
    p_values : array_like
        (n,), 0 to 1.

    Returns
    -------
    numpy.ndarray
        (n,) of float64, at most 1, none smaller than what was given.

    Raises
    ------
    ValueError
        Empty, not finite, or not in 0 to 1.
    """
    p_values = _scores("p_values", p_values)
    if p_values.min() < 0 or p_values.max() > 1:
        raise ValueError(f"p_values: expected 0 to 1, found {p_values.min():g} to {p_values.max():g}")
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty_like(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * p_values[order]))
    return corrected


def _resampled_units(values: np.ndarray, level: float, n_resamples: int, groups: ArrayLike | None) -> np.ndarray:
    """Check what `bootstrap_interval` is asked for, and return the number of each item's unit: (n,)."""
    if not 0 < level < 1:
        raise ValueError(f"level: expected above 0 and below 1, found {level}")
    _check_count("n_resamples", n_resamples)
    unit = np.arange(len(values)) if groups is None else _codes("groups", groups, values)
    n = int(unit.max()) + 1
    if n < 2:
        raise ValueError(f"{'values' if groups is None else 'groups'}: expected two or more to resample, found {n}")
    return unit


def _resamples(n: int, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw n of n units with replacement, chunk by chunk: (resamples of the chunk, n)."""
    rng, rows = np.random.default_rng(seed), max(1, CHUNK // n)
    for start in range(0, n_resamples, rows):
        yield rng.integers(n, size=(min(rows, n_resamples - start), n))


def _scores(name: str, values: ArrayLike, ndim: int = 1) -> np.ndarray:
    """Check scores (n,), or (n, m), and return them as float64."""
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != ndim or scores.size == 0:
        shape = "(n,)" if ndim == 1 else "(n, m)"
        raise ValueError(f"{name}: expected {shape}, not empty, found shape {scores.shape}")
    if not (finite := np.isfinite(scores)).all():
        wrong = tuple(map(int, np.argwhere(~finite)[0]))
        where = wrong[0] if ndim == 1 else wrong
        raise ValueError(f"{name}: expected finite numbers, found {scores[wrong]} at index {where}")
    return scores


def _codes(name: str, groups: ArrayLike, items: np.ndarray) -> np.ndarray:
    """Return the number of each item's group, from 0: (n,)."""
    groups = np.asarray(groups)
    if groups.shape != items.shape:
        raise ValueError(f"{name}: expected one an item, shape {items.shape}, found {groups.shape}")
    return np.unique(groups, return_inverse=True)[1]


def _check_count(name: str, count: int) -> None:
    if count < 1:
        raise ValueError(f"{name}: expected at least 1, found {count}")
