"""Single-trial betas: one number a trial and voxel (or parcel), by least squares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd
from nilearn.glm.first_level import compute_regressor, make_first_level_design_matrix, run_glm

Method = Literal["lsa", "lss"]
NoiseModel = Literal["ols", "ar1"]
OVERSAMPLING = 16  # steps in a repetition time that responses are convolved at, as many as SPM takes


def trial_betas(
    bold: np.ndarray,
    events: pd.DataFrame,
    tr: float,
    method: Method = "lss",
    high_pass: float = 0.01,
    noise_model: NoiseModel = "ols",
    hrf: str = "glover",
) -> np.ndarray:
    """Fit a beta for every trial of a run.

    Every design holds cosine drifts and a constant beside regressors convolved with a haemodynamic response. LSA
    (least squares, all) has one design with a regressor for each trial. LSS (least squares, separate) has a design for
    each trial, with a regressor for it and one for all others together, which does better where trials follow each
    other fast.

    Parameters
    ----------
    bold : numpy.ndarray
        (volumes, voxels).
    events : pandas.DataFrame
        One row a trial: ``onset`` and ``duration``, seconds from the first volume.
    tr : float
        Seconds from one volume to the next.
    method : {"lss", "lsa"}
    high_pass : float
        Drifts slower than this, in Hz, are modelled.
    noise_model : {"ols", "ar1"}
        As `nilearn.glm.first_level.run_glm` takes it.
    hrf : str
        As `nilearn.glm.first_level.compute_regressor` takes it; of models with derivatives only the response itself.

    Returns
    -------
    numpy.ndarray
        (trials, voxels) of float64, in the order of the events, in the units of ``bold``.

    Raises
    ------
    ValueError
        A trial has no response within the run, or there are more regressors than volumes.

    Notes
    -----
    Mumford et al. 2012 (NeuroImage 59, 2636-2643), where the two are LS-A and LS-S.
    """
    frame_times = np.arange(len(bold)) * tr
    trials = events[["onset", "duration"]].to_numpy(float)
    columns = (np.array([[*trial, 1.0]]).T for trial in trials)
    regressors = [compute_regressor(each, hrf, frame_times, oversampling=OVERSAMPLING)[0][:, :1] for each in columns]
    of_trials = np.hstack(regressors)
    others = make_first_level_design_matrix(frame_times, high_pass=high_pass).to_numpy()
    silent = np.flatnonzero(~of_trials.any(axis=0))
    if len(silent):
        raise ValueError(
            f"events: {len(silent)} of {len(trials)} trials have no response within {len(bold)} volumes of {tr:g} s, "
            f"the first at {trials[silent[0], 0]:g} s"
        )
    n_regressors = len(trials) + others.shape[1]
    if method == "lsa" and n_regressors > len(bold):
        raise ValueError(f"bold: {len(bold)} volumes are fewer than the design's {n_regressors} regressors; take lss")
    designs = [np.hstack([of_trials, others])] if method == "lsa" else _separate(of_trials, others)
    kept = len(trials) if method == "lsa" else 1
    return np.concatenate([_coefficients(bold, design, noise_model)[:kept] for design in designs])


def zscored(values: np.ndarray) -> np.ndarray:
    """Make each column of (n, voxels) mean 0 and standard deviation 1; what never varies becomes 0."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    return centred / np.where(spread > 0, spread, 1)


def _separate(of_trials: np.ndarray, others: np.ndarray) -> Iterator[np.ndarray]:
    together = of_trials.sum(axis=1)
    for own in of_trials.T:  # convolution is linear: the sum is the regressor of all trials
        yield np.column_stack([own, together - own, others])


def _coefficients(bold: np.ndarray, design: np.ndarray, noise_model: NoiseModel) -> np.ndarray:
    """Return (regressors, voxels)."""
    clusters, results = run_glm(bold, design, noise_model=noise_model)
    coefficients = np.empty((design.shape[1], bold.shape[1]))
    for cluster, result in results.items():
        coefficients[:, clusters == cluster] = result.theta
    return coefficients
