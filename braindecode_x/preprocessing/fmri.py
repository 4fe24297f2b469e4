"""Preprocessing of masked BOLD: cleaning within runs, block averages, single volumes and single-block betas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from nilearn.signal import clean

from braindecode_x.preprocessing.betas import NoiseModel, trial_betas, zscored


class Samples(NamedTuple):
    """Brain patterns to decode.

    Attributes
    ----------
    brain : numpy.ndarray
        (n, voxels) of float32.
    labels : numpy.ndarray
        (n,) of str, the category.
    runs : numpy.ndarray
        (n,) of int.
    blocks : numpy.ndarray
        (n,) of int from 0: samples of one block share a number, in order of time.
    """

    brain: np.ndarray
    labels: np.ndarray
    runs: np.ndarray
    blocks: np.ndarray


def clean_runs(bold: np.ndarray, runs: np.ndarray, tr: float) -> np.ndarray:
    """Remove each run's linear trend and z-score each voxel within each run.

    Parameters
    ----------
    bold : numpy.ndarray
        (volumes, voxels), any units.
    runs : numpy.ndarray
        (volumes,), the run of each volume.
    tr : float
        Seconds from one volume to the next.

    Returns
    -------
    numpy.ndarray
        (volumes, voxels) of float32; every voxel has mean 0 and standard deviation 1 within each run.

    Raises
    ------
    ValueError
        Shapes do not fit, or values are not finite.
    """
    _check(bold, runs=runs)
    cleaned = clean(bold, runs=runs, detrend=True, standardize="zscore_sample", filter=False, t_r=tr)
    return cleaned.astype(np.float32)


def block_averages(bold: np.ndarray, labels: np.ndarray, runs: np.ndarray, rest: str = "rest") -> Samples:
    """Average the volumes of each block.

    Parameters
    ----------
    bold : numpy.ndarray
        (volumes, voxels), cleaned.
    labels, runs : numpy.ndarray
        (volumes,).
    rest : str
        The label of volumes between blocks.

    Returns
    -------
    Samples
        One sample a block: a longest stretch of neighbouring volumes of one run with one label other than ``rest``.

    Raises
    ------
    ValueError
        Shapes do not fit, values are not finite, or there is nothing but rest.
    """
    volumes = single_volumes(bold, labels, runs, rest)
    _, first, counts = np.unique(volumes.blocks, return_index=True, return_counts=True)
    means = np.add.reduceat(volumes.brain, first, axis=0) / counts[:, None]
    return Samples(means.astype(np.float32), volumes.labels[first], volumes.runs[first], volumes.blocks[first])


def single_volumes(bold: np.ndarray, labels: np.ndarray, runs: np.ndarray, rest: str = "rest") -> Samples:
    """Keep the volumes that lie in blocks, one sample each.

    Parameters
    ----------
    bold, labels, runs, rest
        As `block_averages` takes them.

    Returns
    -------
    Samples
        One sample a volume that is not rest.

    Raises
    ------
    ValueError
        Shapes do not fit, values are not finite, or there is nothing but rest.
    """
    _check(bold, labels=labels, runs=runs)
    task = labels != rest
    if not task.any():
        raise ValueError(f"labels: all {len(labels)} are {rest!r}; expected blocks of other labels")
    starts = np.concatenate([[True], (labels[1:] != labels[:-1]) | (runs[1:] != runs[:-1])])
    blocks = np.cumsum(starts & task)[task] - 1
    return Samples(np.asarray(bold[task], np.float32), labels[task], runs[task], blocks)


def glm_betas(
    bold: np.ndarray,
    runs: np.ndarray,
    events: Mapping[int, pd.DataFrame],
    tr: float,
    *,
    onset_shift: float,
    high_pass: float = 0.01,
    noise_model: NoiseModel = "ols",
) -> Samples:
    """Fit one beta a block by least squares with all blocks of a run in one model (LSA).

    The design holds a regressor a block, convolved with Glover's canonical response, beside cosine drifts and a
    constant; each run is fitted alone (Mumford et al. 2012, NeuroImage 59, 2636-2643, compare LSA with others).

    Parameters
    ----------
    bold : numpy.ndarray
        (volumes, voxels), not cleaned: the model holds the drifts.
    runs : numpy.ndarray
        (volumes,).
    events : mapping of int to pandas.DataFrame
        For each run the columns ``onset`` and ``duration`` (seconds from the run's first volume) and ``trial_type``.
    tr : float
        Seconds from one volume to the next.
    onset_shift : float
        Seconds added to every onset, so that it is the time of the stimulus: 0 for true onsets,
        ``Haxby2001.onset_shift`` for that recording, whose onsets are already shifted to the response.
    high_pass : float
        Drifts slower than this, in Hz, are modelled.
    noise_model : {"ols", "ar1"}
        As `nilearn.glm.first_level.run_glm` takes it.

    Returns
    -------
    Samples
        One sample a block in order of time; betas are z-scored over the blocks of each run.

    Raises
    ------
    ValueError
        Shapes do not fit, values are not finite, or a run's events are missing, incomplete or fewer than two.
    """
    _check(bold, runs=runs)
    betas, labels, block_runs = [], [], []
    for run in np.unique(runs):
        blocks = _run_events(events, run)
        single = blocks.assign(onset=blocks["onset"] + onset_shift)
        fitted = trial_betas(bold[runs == run], single, tr, "lsa", high_pass, noise_model)
        betas.append(zscored(fitted))
        labels.append(blocks["trial_type"].to_numpy(dtype=str))
        block_runs.append(np.full(len(blocks), run))
    brain = np.concatenate(betas).astype(np.float32)
    return Samples(brain, np.concatenate(labels), np.concatenate(block_runs), np.arange(len(brain)))


def _run_events(events: Mapping[int, pd.DataFrame], run: int) -> pd.DataFrame:
    if run not in events:
        raise ValueError(f"events: none for run {run}; found runs {sorted(events)}")
    missing = {"onset", "duration", "trial_type"} - set(events[run])
    if missing:
        raise ValueError(f"events of run {run}: missing the columns {sorted(missing)}, found {list(events[run])}")
    if len(events[run]) < 2:
        raise ValueError(f"events of run {run}: found {len(events[run])} blocks; expected at least 2 to z-score over")
    return events[run].sort_values("onset", ignore_index=True)


def _check(bold: np.ndarray, **columns: np.ndarray) -> None:
    if bold.ndim != 2:
        raise ValueError(f"bold: expected (volumes, voxels), found shape {bold.shape}")
    for name, column in columns.items():
        if column.shape != (len(bold),):
            raise ValueError(f"{name}: expected one a volume, shape ({len(bold)},), found {column.shape}")
    broken = np.flatnonzero(~np.isfinite(bold).all(axis=0))
    if len(broken):
        raise ValueError(f"bold: {len(broken)} voxels hold values that are not finite, the first is voxel {broken[0]}")
