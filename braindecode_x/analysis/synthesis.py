"""Synthesis of one subject's activity from another's, through the space that MindBridge's subjects share.

A builder gives activity at the one length that voxels are aggregated to, so that is what is compared: a unit is a bin
of neighbouring voxels, not a voxel.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from braindecode_x.datamodules.betas import BetasDataModule
from braindecode_x.datasets.betas import SubjectBetas
from braindecode_x.decoder import BrainDecoder
from braindecode_x.files import unknown_name
from braindecode_x.metrics.comparison import deal
from braindecode_x.metrics.evaluate import RESAMPLES
from braindecode_x.metrics.significance import bootstrap_difference, bootstrap_interval
from braindecode_x.models.mindbridge import MindBridge
from braindecode_x.models.voxels import aggregate_voxels

LEAST_PICTURES = 3  # two make a correlation of 1 or -1


@torch.inference_mode()
def synthesise_cohort(decoder: BrainDecoder, data: BetasDataModule, split: str = "test", seed: int = 0) -> pd.DataFrame:
    """Synthesise every subject's activity from every other's, and compare it with what was measured.

    Repeats of a picture are averaged, voxels standardised by the decoder's statistics; a pair is compared over the
    pictures that both saw.

    Parameters
    ----------
    decoder : BrainDecoder
        Of a MindBridge with builders that knows all subjects of ``data``.
    data : BetasDataModule
        Two or more subjects.
    split : {"train", "validation", "test"}
    seed : int
        Of the control and of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        Tidy: ``source`` and ``target`` before what `compare_activity` returns. Where they are one, the target was
        rebuilt from itself: an upper reference, and an optimistic one, since what is rebuilt was given with its noise.

    Raises
    ------
    ValueError
        A decoder of another kind or without builders, fewer than two subjects, a subject that the decoder does not
        know or of another number of voxels, or a pair with fewer than three pictures in common.
    """
    model = decoder.model
    if not isinstance(model, MindBridge):
        raise ValueError(f"decoder: expected a MindBridge, whose subjects share a space, found {type(model).__name__}")
    if len(data.subjects) < 2:
        raise ValueError(f"data: expected two or more subjects, found {list(data.subjects)}")
    measured = {name: _measured(decoder, data.recordings[name], split) for name in data.subjects}
    parts = []
    for source, target in product(measured, repeat=2):
        given, true = measured[source], measured[target]
        shared = given.index[given.index.isin(true.index)]
        if len(shared) < LEAST_PICTURES:
            raise ValueError(
                f"{source} and {target}: {len(shared)} pictures of the split {split!r} in common; expected "
                f"{LEAST_PICTURES} or more"
            )
        made = model.synthesise(torch.tensor(given.loc[shared].to_numpy()), source, target)
        true_units = aggregate_voxels(torch.tensor(true.loc[shared].to_numpy()), model.in_dim, model.aggregation)
        compared = compare_activity(made.numpy(), true_units.numpy(), seed)
        compared.insert(0, "source", source)
        compared.insert(1, "target", target)
        parts.append(compared)
    return pd.concat(parts, ignore_index=True)


def compare_activity(synthesised: np.ndarray, true: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Correlate synthesised with true responses to the same pictures, beside the responses to other pictures.

    The control shuffles the true responses among the pictures, so that none keeps its own.

    Parameters
    ----------
    synthesised, true : numpy.ndarray
        (pictures, units).
    seed : int
        Of the control and of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        A row for each ``correlation``:

        - ``"across units"``: of each picture's pattern, mean over pictures. High for any picture when units differ in
          their means, as the control shows.
        - ``"across units, centred"``: the same without every unit's mean over the pictures, so that only what sets a
          picture's pattern apart counts. The strictest of the three.
        - ``"across pictures"``: of each unit's responses, mean over units. Means are of no help, but how strongly a
          picture drives all units together is.

        ``value``, ``low`` and ``high``; ``control``, ``control_low`` and ``control_high``; ``difference``,
        ``difference_low`` and ``difference_high`` (paired), each with 95% bootstrap intervals over pictures; ``n``
        (pictures). A pattern or unit that never varies counts as 0.

    Raises
    ------
    ValueError
        Shapes differ or are not two-dimensional, fewer than three pictures, or values that are not finite.
    """
    synthesised, true = np.asarray(synthesised, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if true.ndim != 2 or synthesised.shape != true.shape or len(true) < LEAST_PICTURES:
        raise ValueError(
            f"synthesised and true: expected one shape (pictures, units) with {LEAST_PICTURES} pictures or more, found "
            f"{synthesised.shape} and {true.shape}"
        )
    shuffled = true[deal(np.zeros(len(true), dtype=int), seed)]
    rows = []
    for name, score in CORRELATIONS.items():
        scores, control = score(synthesised, true), score(synthesised, shuffled)
        row: dict[str, Any] = {"correlation": name}
        row |= _with_interval("value", scores, seed) | _with_interval("control", control, seed)
        row |= {"difference": row["value"] - row["control"]}
        interval = bootstrap_difference(scores, control, seed, n_resamples=RESAMPLES)
        row |= dict(zip(("difference_low", "difference_high"), interval, strict=True))
        rows.append(row | {"n": len(true)})
    return pd.DataFrame(rows)


def synthesis_figure(table: pd.DataFrame) -> Figure:
    """Draw how far synthesis is above its control, a matrix of source and target for each correlation.

    Parameters
    ----------
    table : pandas.DataFrame
        What `synthesise_cohort` returned.
    """
    names = table["correlation"].unique()
    count = table["source"].nunique()
    figure = Figure(figsize=(len(names) * (2 + 0.5 * count), 1.4 + 0.5 * count), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        own = table[table["correlation"] == name]
        order = own["source"].unique()
        matrix = own.pivot(index="source", columns="target", values="difference").loc[order, order].to_numpy()
        limit = np.abs(matrix).max() or 1.0
        shown = axes.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit)
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if abs(value) > 0.6 * limit else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize="small")
        axes.set_xticks(range(len(order)), order, rotation=45, ha="right")
        axes.set_yticks(range(len(order)), order)
        axes.set(xlabel="target (diagonal: rebuilt from itself)", ylabel="source", title=f"correlation {name}")
        figure.colorbar(shown, ax=axes, shrink=0.8, label="difference to shuffled pictures")
    return figure


def _measured(decoder: BrainDecoder, recording: SubjectBetas, split: str) -> pd.DataFrame:
    """Return standardised responses, a row a picture and a column a voxel."""
    name = recording.name
    if name not in decoder.subjects:
        raise unknown_name("subject of the decoder", name, decoder.subjects)
    mean, std = (decoder.statistics[name][what].numpy() for what in ("mean", "std"))
    if recording.betas.shape[1] != len(mean):
        raise ValueError(f"subject {name!r}: {recording.betas.shape[1]} voxels, but the decoder expects {len(mean)}")
    stimuli, betas = recording.average(split)
    return pd.DataFrame((betas - mean) / std, index=stimuli)


def _across_units(synthesised: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Correlate each picture's pattern: (pictures,)."""
    return (_z_scored(synthesised, axis=1) * _z_scored(true, axis=1)).mean(axis=1)


def _across_centred_units(synthesised: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Correlate what sets each picture's pattern apart: (pictures,)."""
    return _across_units(synthesised - synthesised.mean(axis=0), true - true.mean(axis=0))


def _across_pictures(synthesised: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return each picture's part in the units' correlations, (pictures,), whose mean is their mean over units."""
    a, b = _z_scored(synthesised, axis=0), _z_scored(true, axis=0)
    correlation = (a * b).mean(axis=0)
    # A picture also moves the deviations that the products are divided by. This is its influence on the correlation
    # (the first-order jackknife), so that resampled means vary as correlations computed anew would; it averages to 0.
    return (a * b - correlation * ((a**2 + b**2) / 2 - 1)).mean(axis=1)


CORRELATIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "across units": _across_units,
    "across units, centred": _across_centred_units,
    "across pictures": _across_pictures,
}


def _z_scored(values: np.ndarray, axis: int) -> np.ndarray:
    """Standardise along an axis; all 0 where nothing varies."""
    varies = np.ptp(values, axis=axis, keepdims=True) > 0
    centred = values - values.mean(axis=axis, keepdims=True)
    return np.where(varies, centred, 0) / np.where(varies, values.std(axis=axis, keepdims=True), 1)


def _with_interval(name: str, scores: np.ndarray, seed: int) -> dict[str, float]:
    low, high = bootstrap_interval(scores, seed, n_resamples=RESAMPLES)
    start = "" if name == "value" else f"{name}_"
    return {name: float(scores.mean()), f"{start}low": low, f"{start}high": high}
