"""From raw EEG or MEG to epochs: channels, filter, epoching, baseline, resampling, and noise normalisation.

Source
    The steps are those of Gifford et al. 2022 (NeuroImage 264:119754), section 2.6, for THINGS-EEG2. Multivariate noise
    normalisation: Guggenmos et al. 2018 (NeuroImage 173:434-447); here its covariance comes from training trials alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import mne
import numpy as np
import pandas as pd
from rich.progress import track

from braindecode_x.datasets.epoch_files import channel_rows, chunks, set_montage
from braindecode_x.datasets.epochs import SubjectEpochs
from braindecode_x.datasets.recordings import Run
from braindecode_x.preprocessing.settings import EpochSettings, MegSettings

__all__ = [
    "EpochSettings",
    "MegSettings",
    "make_epochs",
    "noise_covariance",
    "normalise",
    "shrunk_covariance",
    "whiten",
]
BATCH = 2**22  # numbers (float64) in each of the arrays of one step of the noise covariance


def make_epochs(run: Run, settings: EpochSettings, progress: bool = True) -> SubjectEpochs:
    """Cut a continuous recording into epochs.

    Channels are picked and ordered, the signal is filtered, and trials are cut out, corrected by their baseline,
    resampled and cropped, a few at a time. Trials that do not lie wholly within the recording, or that overlap an
    annotation whose name begins with "bad", are dropped with a warning.

    Parameters
    ----------
    run : Run
        Its recording is changed in place, so that no second copy is in memory.
    settings : EpochSettings
    progress : bool
        Show a bar.

    Returns
    -------
    SubjectEpochs
        Not normalised; of the run's name; trials have its columns but ``sample``.

    Raises
    ------
    ValueError
        A channel is missing, flat, or not finite; two trials have one onset; the filter does not fit the sampling rate;
        or no trial lies within the recording.
    """
    name, raw, trials = run
    _pick(raw, settings.channels, name)
    if settings.montage is not None:
        set_montage(raw.info, settings.montage, name)
    if settings.l_freq is not None or settings.h_freq is not None:
        raw.load_data(verbose="error").filter(settings.l_freq, settings.h_freq, verbose="error")
    samples = trials["sample"].to_numpy(dtype=np.int64)
    values, counts = np.unique(samples, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"{name}: two trials begin at sample {values[counts > 1][0]}; expected one onset a trial")
    parts, kept = [], []
    for part in track(list(chunks(len(samples))), f"epochs of {name}", disable=not progress):
        epochs = _cut(raw, samples[part], settings)
        kept.append(part.start + epochs.selection)
        if len(epochs):
            info, tmin = epochs.info, float(epochs.tmin)
            parts.append(epochs.get_data(copy=False).astype(np.float32))
    if not parts:
        raise ValueError(f"{name}: none of the {len(trials)} trials lies within the {raw.times[-1]:.1f} s of signal")
    left = trials.drop(columns="sample").iloc[np.concatenate(kept)].reset_index(drop=True)
    if len(left) < len(trials):
        warnings.warn(
            f"{name}: {len(trials) - len(left)} of {len(trials)} trials are dropped: they overlap an edge of the "
            "recording, or what is annotated as bad",
            stacklevel=2,
        )
    made = SubjectEpochs(name, np.concatenate(parts), left, info, tmin)
    made.refuse_bad_values(range(len(made.channels)))
    return made


def _pick(raw: mne.io.BaseRaw, channels: Sequence[str] | None, where: str) -> None:
    if channels is None:
        raw.pick(["meg", "eeg"], exclude="bads")
        return
    channel_rows(where, raw.ch_names, channels)
    raw.pick(list(channels))
    raw.reorder_channels(list(channels))


def _cut(raw: mne.io.BaseRaw, samples: np.ndarray, settings: EpochSettings) -> mne.Epochs:
    events = np.column_stack([samples, np.zeros_like(samples), np.ones_like(samples)])
    epochs = mne.Epochs(
        raw,
        events,
        tmin=settings.tmin,
        tmax=settings.tmax,
        baseline=settings.baseline,
        picks="all",
        preload=True,
        proj=False,
        verbose="error",
    )
    if not len(epochs):
        return epochs
    if settings.sfreq is not None and settings.sfreq != epochs.info["sfreq"]:
        epochs.resample(settings.sfreq, verbose="error")
    if settings.crop is not None:
        epochs.crop(*settings.crop, include_tmax=False, verbose="error")
    return epochs


def normalise(epochs: np.ndarray, trials: pd.DataFrame, settings: EpochSettings, progress: bool = True) -> np.ndarray:
    """Normalise the epochs of one session by its training trials.

    Parameters
    ----------
    epochs : numpy.ndarray
        (trials, channels, times).
    trials : pandas.DataFrame
        One row a trial: ``stimulus`` and ``split``.
    settings : EpochSettings
    progress : bool
        Show a bar.

    Returns
    -------
    numpy.ndarray
        (trials, channels, times), of the dtype of the epochs.

    Raises
    ------
    ValueError
        There are no training trials, or their noise covariance has no inverse.
    """
    if settings.normalise == "none":
        return epochs
    train = np.flatnonzero((trials["split"] == "train") & (trials["stimulus"] != ""))
    if not len(train):
        raise ValueError(f"normalise {settings.normalise!r}: needs training trials; found none in the session")
    if settings.normalise == "zscore":
        mean, deviation = _moments(epochs, train)
        return ((epochs - mean[:, None]) / deviation[:, None]).astype(epochs.dtype)
    covariance = noise_covariance(epochs, trials["stimulus"].to_numpy(), train, settings.mvnn_per, progress)
    return whiten(epochs, covariance)


def _moments(epochs: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each channel's mean and standard deviation over trials and times."""
    total, squares = np.zeros(epochs.shape[1]), np.zeros(epochs.shape[1])
    first = epochs[rows[0]].mean(axis=1, dtype=np.float64)  # squares of differences to it do not cancel out
    for part in chunks(len(rows)):
        chunk = epochs[rows[part]].astype(np.float64) - first[:, None]
        total += chunk.sum(axis=(0, 2))
        squares += (chunk**2).sum(axis=(0, 2))
    n = len(rows) * epochs.shape[2]
    deviation = np.sqrt(squares / n - (total / n) ** 2)
    if not (deviation > 0).all():
        raise ValueError(f"normalise 'zscore': {int((deviation <= 0).sum())} channels are flat in the training trials")
    return first + total / n, deviation


def noise_covariance(
    epochs: np.ndarray,
    conditions: np.ndarray,
    rows: np.ndarray | None = None,
    per: Literal["epochs", "time"] = "epochs",
    progress: bool = True,
) -> np.ndarray:
    """Estimate how noise covaries between channels: within conditions, then averaged over them.

    Parameters
    ----------
    epochs : numpy.ndarray
        (trials, channels, times).
    conditions : numpy.ndarray
        (trials,), what was shown: the same for repeats.
    rows : numpy.ndarray, optional
        Trials to take, those of training; default all.
    per : {"epochs", "time"}
        The covariance of each trial's samples over time, averaged over a condition's trials; or the covariance of each
        time point's samples over a condition's repeats, averaged over time. Conditions shown once are left out of the
        latter. Each covariance is shrunk as Ledoit and Wolf (2004) say, on standardised channels.
    progress : bool
        Show a bar.

    Returns
    -------
    numpy.ndarray
        (channels, channels) of float64.

    Raises
    ------
    ValueError
        ``per="time"`` and no condition was shown twice, or another ``per``.
    """
    if per not in ("epochs", "time"):
        raise ValueError(f"mvnn_per: expected 'epochs' or 'time', found {per!r}")
    rows = np.arange(len(epochs)) if rows is None else rows
    codes, names = pd.factorize(conditions[rows])
    repeats = np.bincount(codes)
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], repeats.cumsum()[:-1]])
    counts = [count for count in np.unique(repeats) if per == "epochs" or count > 1]
    if not counts:
        raise ValueError(f"mvnn per time: needs conditions with two trials or more; found {len(names)} shown once each")
    used = sum(int((repeats == count).sum()) for count in counts)
    groups = [
        rows[order[starts[chosen][:, None] + np.arange(count)]]  # (conditions, repeats)
        for count in counts
        for chosen in _batches(np.flatnonzero(repeats == count), count, epochs.shape, per)
    ]
    covariance = np.zeros((epochs.shape[1],) * 2)
    for group in track(groups, "noise covariance", disable=not progress):
        signal = epochs[group].astype(np.float64)  # (conditions, repeats, channels, times)
        samples = signal.transpose((0, 1, 3, 2) if per == "epochs" else (0, 3, 1, 2))
        each = shrunk_covariance(samples.reshape(-1, *samples.shape[2:]))
        covariance += each.mean(axis=0) * len(group) / used
    return covariance


def _batches(conditions: np.ndarray, repeats: int, shape: tuple[int, ...], per: str) -> list[np.ndarray]:
    _, channels, times = shape
    covariances = repeats if per == "epochs" else times
    step = max(1, BATCH // (channels * max(repeats * times, covariances * channels)))
    return [conditions[start : start + step] for start in range(0, len(conditions), step)]


def shrunk_covariance(samples: np.ndarray) -> np.ndarray:
    """Estimate many covariances at once, shrunk as Ledoit and Wolf say (2004, J. Multivariate Analysis 88:365-411).

    Features are standardised before and scaled back after, as scikit-learn's discriminant analysis does.

    Parameters
    ----------
    samples : numpy.ndarray
        (n, samples, features) of float64.

    Returns
    -------
    numpy.ndarray
        (n, features, features) of float64.
    """
    _, count, features = samples.shape
    centred = samples - samples.mean(axis=1, keepdims=True)
    scale = centred.std(axis=1)
    scale[scale == 0] = 1
    centred = centred / scale[:, None]
    empirical = np.swapaxes(centred, 1, 2) @ centred / count
    mean = np.trace(empirical, axis1=1, axis2=2) / features
    squares = (empirical**2).sum(axis=(1, 2))
    distance = (squares - features * mean**2) / features
    # The sum over all pairs of features is the square of the sum over features.
    spread = (((centred**2).sum(axis=2) ** 2).sum(axis=1) / count - squares) / (features * count)
    spread = np.minimum(spread, distance)
    shrinkage = np.divide(spread, distance, out=np.zeros_like(spread), where=spread != 0)
    shrunk = (1 - shrinkage)[:, None, None] * empirical
    shrunk += (shrinkage * mean)[:, None, None] * np.eye(features)
    return shrunk * scale[:, :, None] * scale[:, None, :]


def whiten(epochs: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Make channels uncorrelated, with variance 1, where their covariance is the given one.

    Parameters
    ----------
    epochs : numpy.ndarray
        (trials, channels, times).
    covariance : numpy.ndarray
        (channels, channels).

    Returns
    -------
    numpy.ndarray
        (trials, channels, times), of the dtype of the epochs: the covariance's inverse square root times them.

    Raises
    ------
    ValueError
        The covariance has no inverse.
    """
    values, vectors = np.linalg.eigh(covariance)
    if not values[0] > values[-1] * 1e-12:
        raise ValueError(
            "mvnn: the noise covariance has no inverse; channels are flat, or sums of others (as after an average "
            "reference): leave one out"
        )
    whitener = (vectors / np.sqrt(values)) @ vectors.T
    whitened = np.empty_like(epochs)
    for part in chunks(len(epochs)):
        whitened[part] = whitener @ epochs[part]
    return whitened
