"""The visual regions of a simulated subject: what their voxels answer to, and where in the visual field they look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindecode_x.datasets.picture_features import FIELD, cell_centres, orientation_channels

MAPS = ("orientation", "curvature", "colour")
SPARED = 1e-6  # a feature that never varies in training answers with 0, not with its rounding error enlarged


@dataclass(frozen=True)
class Region:
    """One region.

    Attributes
    ----------
    voxels : float
        Its share of the subject's voxels.
    features : dict of str to float
        What it carries: share of each kind of feature in a voxel's signal. Each kind's answer has variance 1 over the
        training pictures and enters with the root of its share; kinds that go together in pictures add up to more.
    noise_ceiling : float
        Share of signal in the variance of single trials, of the region's median voxel and a subject of noise 1.
    receptive_field : tuple of float, optional
        Size at the centre of gaze, and what it gains with each degree of eccentricity: the standard deviation of a
        Gaussian in degrees. None: the whole picture.
    """

    voxels: float
    features: dict[str, float]
    noise_ceiling: float
    receptive_field: tuple[float, float] | None = None


def draw_voxels(regions: dict[str, Region], n_voxels: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw a subject's voxels: how many a region has, where they look and what they prefer.

    Parameters
    ----------
    regions : dict of str to Region
    n_voxels : int
    rng : numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        One row a voxel, grouped by ``region``; ``x``, ``y`` and ``size`` of its receptive field in degrees (NaN where
        it has none); ``frequency`` (cycles a degree) and ``angle`` (radians, of a grating's normal) that it prefers
        (NaN where it answers to no orientation).
    """
    shares = np.array([region.voxels for region in regions.values()])
    shares = shares * rng.uniform(0.8, 1.25, len(shares))  # people's regions differ in size
    edges = np.round(np.cumsum(shares) / shares.sum() * n_voxels).astype(int)
    counts = np.diff(edges, prepend=0)
    drawn = [
        draw_preferences(region.features, region.receptive_field, count, rng)
        for region, count in zip(regions.values(), counts, strict=True)
    ]
    return pd.concat(drawn, keys=regions, names=["region", None]).reset_index(level=0).reset_index(drop=True)


def draw_preferences(
    features: Iterable[str], receptive_field: tuple[float, float] | None, n: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Draw where n voxels look and what they prefer; arguments as of `Region`, columns as of `draw_voxels`."""
    voxels = pd.DataFrame(np.nan, index=range(n), columns=["x", "y", "size", "frequency", "angle"])
    if receptive_field is not None:
        # The cortex magnifies the centre of gaze: its surface is even in log(eccentricity + 0.75 degrees), as in V1.
        eccentricity = 0.75 * (1 + FIELD / 2 / 0.75) ** rng.uniform(0, 1, n) - 0.75
        direction = rng.uniform(0, 2 * np.pi, n)
        centre, slope = receptive_field
        voxels["x"], voxels["y"] = eccentricity * np.cos(direction), eccentricity * np.sin(direction)
        voxels["size"] = (centre + slope * eccentricity) * rng.uniform(0.8, 1.25, n)
    if "orientation" in features:
        low, high = np.log(orientation_channels()[[-1, 0], 0])
        voxels["frequency"] = np.exp(rng.uniform(low, high, n))
        voxels["angle"] = rng.uniform(0, np.pi, n)
    return voxels


def draw_weights(kind: str, n_channels: int, voxels: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Draw how voxels of one region weigh the channels of one kind of feature.

    Parameters
    ----------
    kind : str
        ``orientation``: tuned to the voxel's frequency and angle. ``curvature`` and ``colour``: exponential, all
        excitatory, few strong. ``faces`` and ``places``: 1, all alike. Others: normal, a random mixture for each voxel.
    n_channels : int
    voxels : pandas.DataFrame
        (v,) rows, from `draw_voxels`.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        (channels, v) of float32.
    """
    shape = (n_channels, len(voxels))
    if kind == "orientation":
        frequency, angle = orientation_channels().T[..., None]
        octaves = np.log2(frequency / voxels["frequency"].to_numpy())
        weights = np.exp(2 * np.cos(2 * (angle - voxels["angle"].to_numpy())) - 2 - octaves**2 / 2)
    elif kind in MAPS:
        weights = rng.exponential(1, shape)
    elif n_channels == 1:
        weights = np.ones(shape)
    else:
        weights = rng.standard_normal(shape)
    return weights.astype(np.float32)


def answers(features: np.ndarray, weights: np.ndarray, voxels: pd.DataFrame, training: np.ndarray) -> np.ndarray:
    """Answer pictures by one kind of feature.

    Parameters
    ----------
    features : numpy.ndarray
        (n, channels, cells) maps, seen through receptive fields where voxels have them; or (n, channels) vectors.
    weights : numpy.ndarray
        (channels, v).
    voxels : pandas.DataFrame
        (v,) rows, from `draw_voxels`.
    training : numpy.ndarray
        (n,) of bool: pictures whose mean answer is 0 and variance 1.

    Returns
    -------
    numpy.ndarray
        (n, v) of float32.
    """
    if features.ndim == 3:
        raw = np.zeros((len(features), len(voxels)), dtype=np.float32)
        fields = receptive_fields(voxels)
        for channel, channel_weights in enumerate(weights):
            raw += (features[:, channel] @ fields) * channel_weights
    else:
        spread = features[training].std(axis=0)
        raw = (features - features[training].mean(axis=0)) / np.maximum(spread, SPARED) @ weights
    return standardised(raw, training)


def standardised(values: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Shift and scale columns of (n, v) to mean 0 and variance 1 over the training rows."""
    return (values - values[training].mean(axis=0)) / np.maximum(values[training].std(axis=0), SPARED)


def receptive_fields(voxels: pd.DataFrame) -> np.ndarray:
    """Return what voxels weigh the cells of a map by: (cells, v) of float32, Gaussian, columns sum to 1."""
    cells = cell_centres()
    x, y, size = (voxels[column].to_numpy() for column in ("x", "y", "size"))
    distance = (cells[:, :1] - x) ** 2 + (cells[:, 1:] - y) ** 2
    weights = np.exp(-distance / (2 * size**2))
    return (weights / weights.sum(axis=0)).astype(np.float32)
