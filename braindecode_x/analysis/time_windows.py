"""When what was seen can be decoded: growing and sliding windows of time, and generalisation over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from rich.progress import track

from braindecode_x.analysis.parts import Fit, Part, SubjectPictures, fit_ridge
from braindecode_x.metrics.retrieval import k_way_accuracy, ranks, similarity

GROWING, SLIDING = "growing", "sliding"
TOLERANCE = 1e-6  # seconds: a window's edge at a sample is at that sample


class Window(NamedTuple):
    """A window of time, seconds from the onset of the picture; the sample at ``stop`` is not in it."""

    start: float
    stop: float


def growing_windows(times: np.ndarray, step: float = 0.05, start: float = 0.0) -> list[Window]:
    """Make windows that all begin at ``start``, each ``step`` longer than the one before, to the end of the trial.

    Parameters
    ----------
    times : numpy.ndarray
        (times,), seconds, evenly spaced.
    step, start : float
        Seconds.

    Raises
    ------
    ValueError
        A step shorter than a sample, or a start that is not in the trial.
    """
    interval, stop = _checked(times, step, "step")
    if not times[0] - TOLERANCE <= start < times[-1]:
        raise ValueError(f"start: expected {times[0]:g} to {times[-1]:g} s, found {start:g}")
    count = int((stop - start + interval / 2) / step)
    edges = [round(start + number * step, 6) for number in range(1, count + 1)]
    if not edges or edges[-1] < stop - interval / 2:
        edges.append(round(stop, 6))
    return [Window(start, edge) for edge in edges]


def sliding_windows(times: np.ndarray, width: float = 0.1, step: float = 0.05) -> list[Window]:
    """Make windows of one width from the first sample to the last, each ``step`` after the one before.

    Parameters
    ----------
    times : numpy.ndarray
        (times,), seconds, evenly spaced.
    width, step : float
        Seconds.

    Raises
    ------
    ValueError
        A width or step shorter than a sample, or a width longer than the trial.
    """
    interval, stop = _checked(times, step, "step")
    _checked(times, width, "width")
    if times[0] + width > stop + interval / 2:
        raise ValueError(f"width: expected at most the trial's {stop - times[0]:g} s, found {width:g}")
    count = int((stop - times[0] - width + interval / 2) / step) + 1
    starts = [float(times[0]) + number * step for number in range(count)]
    return [Window(round(start, 6), round(start + width, 6)) for start in starts]


def window_parts(windows: Sequence[Window], kind: str, n_channels: int, times: np.ndarray) -> list[Part]:
    """Make parts of windows, with all channels, for `braindecode_x.analysis.parts.part_ranks`.

    Parameters
    ----------
    windows : sequence of Window
    kind : str
        For example ``"growing"``.
    n_channels : int
    times : numpy.ndarray
        (times,), seconds.

    Returns
    -------
    list of Part
        With ``windows`` (the kind), ``start`` and ``stop``.

    Raises
    ------
    ValueError
        A window without a sample.
    """
    parts, channels = [], np.ones(n_channels, bool)
    for start, stop in windows:
        samples = (times >= start - TOLERANCE) & (times < stop - TOLERANCE)
        if not samples.any():
            raise ValueError(
                f"window from {start:g} to {stop:g} s: holds no sample; there are some from {times[0]:g} to "
                f"{times[-1]:g} s, every {times[1] - times[0]:g} s"
            )
        parts.append(Part({"windows": kind, "start": start, "stop": stop}, channels, samples))
    return parts


def temporal_generalisation(
    pictures: SubjectPictures,
    fit: Fit = fit_ridge,
    step: int = 1,
    k: int = 2,
    centred: bool = True,
    progress: bool = False,
) -> pd.DataFrame:
    """Train on single samples, and test every decoder at every sample.

    Parameters
    ----------
    pictures : SubjectPictures
    fit : callable
        Makes a decoder of epochs (n, channels, 1).
    step : int
        Take every so manieth sample.
    k : int
        Number of candidates; top-1 of all test pictures is too coarse for what one sample tells.
    centred : bool
        As of `part_ranks`; predictions of the mean response at each time are taken off.
    progress : bool
        Show a bar.

    Returns
    -------
    pandas.DataFrame
        Tidy: ``subject``, ``train`` and ``test`` (seconds), ``metric``, ``value`` (mean over test pictures) and
        ``chance``. Where ``train`` is ``test`` it is accuracy over time.

    Raises
    ------
    ValueError
        ``step`` is below 1, or ``k`` out of range.

    Notes
    -----
    King & Dehaene 2014, Trends in Cognitive Sciences 18:203. Every decoder's predictions are scored before the next is
    fitted: `mne.decoding.GeneralizingEstimator` would hold those of all, (pictures, times, times, d).
    """
    if step < 1:
        raise ValueError(f"step: expected a number of samples of at least 1, found {step}")
    samples, n, targets = np.arange(0, len(pictures.times), step), len(pictures.test), pictures.test_targets
    if centred:
        targets = targets - pictures.train_targets.mean(axis=0)
    # (times, pictures, channels): a decoder sees all of them at once
    test, mean = pictures.test[:, :, samples].transpose(2, 0, 1), pictures.mean[:, samples].T
    own = torch.arange(n).repeat(len(samples))
    tables = []
    for sample in track(samples, f"{pictures.name}, generalisation", disable=not progress):
        predict = fit(pictures.train[:, :, [sample]], pictures.train_targets)
        predicted = predict(test.reshape(-1, test.shape[2], 1)).reshape(len(samples), n, -1)
        if centred:
            predicted = predicted - predict(mean[:, :, None])[:, None]
        found = similarity(torch.from_numpy(predicted).flatten(0, 1), torch.from_numpy(targets))
        value = k_way_accuracy(ranks(found, own), n, k).reshape(len(samples), n).mean(1).numpy()
        about = {"subject": pictures.name, "train": pictures.times[sample], "test": pictures.times[samples]}
        tables.append(pd.DataFrame({**about, "metric": f"{k}-way", "value": value, "chance": 1 / k}))
    return pd.concat(tables, ignore_index=True)


def latencies(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Tell when decoding begins and when it is best.

    Parameters
    ----------
    accuracy : pandas.DataFrame
        From `braindecode_x.analysis.parts.accuracy_table`, of windows.

    Returns
    -------
    pandas.DataFrame
        By all columns that tell curves apart: ``onset``, the end of the first window (seconds) that is above chance and
        is followed by another such one: its interval lies above chance; NaN where there is none. ``peak_start`` and
        ``peak_stop``, the best window, and ``peak``, its value.
    """
    curve = [name for name in ("subject", "mode", "windows", "metric") if name in accuracy]
    rows = []
    for key, own in accuracy.groupby(curve, sort=False):
        own = own.sort_values(["start", "stop"])
        above = (own["low"] > own["chance"]).to_numpy()
        lasting = np.flatnonzero(above & np.append(above[1:], above[-1:]))
        onset = own["stop"].iloc[lasting[0]] if len(lasting) else np.nan
        best = own.loc[own["value"].idxmax()]
        about = dict(zip(curve, key, strict=True))
        rows.append(
            {**about, "onset": onset, "peak_start": best["start"], "peak_stop": best["stop"], "peak": best["value"]}
        )
    return pd.DataFrame(rows)


def _checked(times: np.ndarray, length: float, name: str) -> tuple[float, float]:
    """Return the time between samples and the end of the last one; refuse a length (seconds) below the former."""
    if len(times) < 2:
        raise ValueError(f"times: expected two samples or more, found {len(times)}")
    interval = float(times[1] - times[0])
    if length < interval - TOLERANCE:
        raise ValueError(f"{name}: expected at least the {interval:g} s between samples, found {length:g}")
    return interval, float(times[-1]) + interval
