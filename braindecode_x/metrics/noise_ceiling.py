"""Noise ceilings: how much of a measurement's variance a perfect model of what was seen could explain."""

from __future__ import annotations

import numpy as np


def noise_ceiling(signal_std: np.ndarray, noise_std: np.ndarray, averaged: int = 1) -> np.ndarray:
    """Compute the noise ceiling from known signal and noise.

    Parameters
    ----------
    signal_std : numpy.ndarray
        Standard deviation of the expected response over stimuli, any shape.
    noise_std : numpy.ndarray
        Standard deviation over trials of one stimulus, same shape and unit.
    averaged : int
        Number of trials that are averaged.

    Returns
    -------
    numpy.ndarray
        Share of signal in the total variance, [0, 1]; NaN where both are 0.

    Raises
    ------
    ValueError
        ``averaged`` is below 1.
    """
    if averaged < 1:
        raise ValueError(f"averaged: expected 1 or more trials, found {averaged}")
    signal, noise = np.square(signal_std), np.square(noise_std) / averaged
    with np.errstate(invalid="ignore"):
        return signal / (signal + noise)


def split_half_noise_ceiling(responses: np.ndarray, averaged: int = 1, n_splits: int = 10, seed: int = 0) -> np.ndarray:
    """Estimate the noise ceiling from repeats: correlate random halves of them, and correct for their length.

    The Spearman-Brown formula takes the correlation r of means of m trials to the ceiling of one trial,
    r / (m - (m - 1) r), and that to the ceiling of averages. With an odd number of repeats one is left out of each
    split.

    Parameters
    ----------
    responses : numpy.ndarray
        (stimuli, repeats, voxels).
    averaged : int
        Number of trials whose average's ceiling is wanted.
    n_splits : int
        Random splits, whose correlations are averaged.
    seed : int

    Returns
    -------
    numpy.ndarray
        (voxels,); may come out below 0 where there is no signal; NaN where a voxel never varies.

    Raises
    ------
    ValueError
        Not three dimensions, fewer than three stimuli or two repeats, or a count below 1.
    """
    responses = np.asarray(responses)
    if responses.ndim != 3 or responses.shape[0] < 3 or responses.shape[1] < 2:
        raise ValueError(
            "responses: expected (stimuli, repeats, voxels) with 3 stimuli and 2 repeats or more, "
            f"found shape {responses.shape}"
        )
    if averaged < 1 or n_splits < 1:
        raise ValueError(f"averaged and n_splits: expected 1 or more, found {averaged} and {n_splits}")
    rng, half = np.random.default_rng(seed), responses.shape[1] // 2
    correlations = []
    for _ in range(n_splits):
        order = rng.permutation(responses.shape[1])
        first = _standardised(responses[:, order[:half]].mean(axis=1, dtype=np.float64))
        second = _standardised(responses[:, order[half : 2 * half]].mean(axis=1, dtype=np.float64))
        correlations.append((first * second).mean(axis=0))
    correlation = np.mean(correlations, axis=0)
    single = correlation / (half - (half - 1) * correlation)
    return averaged * single / (1 + (averaged - 1) * single)


def _standardised(values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return (values - values.mean(axis=0)) / values.std(axis=0)
