"""Decoded categories with their scores, and what every way to decode them shares: naming, permutations, checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from braindecode_x.metrics.significance import (
    bootstrap_difference,
    bootstrap_interval,
    permutation_p_value,
    permute_within,
)


@dataclass(frozen=True)
class CategoryDecoding:
    """What was decoded, every sample by a decoder that has not seen its run.

    Attributes
    ----------
    categories : list of str
        Sorted.
    labels, predicted : numpy.ndarray
        (n,) of str, the true and the decoded category of each sample.
    runs : numpy.ndarray
        (n,).
    embeddings : numpy.ndarray
        (n, d) of float32, predicted.
    rescaled : numpy.ndarray
        (n, d) of float32, predicted with the training data's mean and standard deviation (`RidgeDecoder.predict`).
    alphas : dict
        The strength of ridge chosen for each held-out run; empty for a network.
    accuracy : float
        Share of samples decoded right, 0 to 1.
    interval : tuple of float
        95% interval of the accuracy, runs resampled.
    null : numpy.ndarray
        (n_permutations,) accuracies with labels permuted within runs.
    p_value : float
        Of the accuracy under ``null``, one-sided.
    """

    categories: list[str]
    labels: np.ndarray
    predicted: np.ndarray
    runs: np.ndarray
    embeddings: np.ndarray
    rescaled: np.ndarray
    alphas: dict[int, float]
    accuracy: float
    interval: tuple[float, float]
    null: np.ndarray
    p_value: float

    @property
    def confusion(self) -> pd.DataFrame:
        """Counts, true categories in rows, decoded ones in columns."""
        counts = confusion_matrix(self.labels, self.predicted, labels=self.categories)
        names = pd.Index(self.categories, name="true"), pd.Index(self.categories, name="decoded")
        return pd.DataFrame(counts, *names)


class AccuracyDifference(NamedTuple):
    """A difference of two accuracies, and its 95% interval."""

    value: float
    low: float
    high: float


def paired_difference(first: CategoryDecoding, second: CategoryDecoding, seed: int = 0) -> AccuracyDifference:
    """Compare two decodings of the same samples.

    Parameters
    ----------
    first, second : CategoryDecoding
    seed : int
        Of the bootstrap, which resamples runs.

    Returns
    -------
    AccuracyDifference
        The first's accuracy minus the second's, -1 to 1.

    Raises
    ------
    ValueError
        The samples are not the same, in the same order.
    """
    for name in ("labels", "runs"):
        a, b = getattr(first, name), getattr(second, name)
        if not np.array_equal(a, b):
            raise ValueError(
                f"decodings: differ in {name}, of {len(a)} and {len(b)} samples; expected the same samples"
            )
    hits, others = (decoding.predicted == decoding.labels for decoding in (first, second))
    interval = bootstrap_difference(hits, others, seed, groups=first.runs)
    return AccuracyDifference(first.accuracy - second.accuracy, *interval)


def score_decoding(
    labels: np.ndarray,
    predicted: np.ndarray,
    runs: np.ndarray,
    embeddings: np.ndarray,
    rescaled: np.ndarray,
    null: np.ndarray,
    alphas: dict[int, float],
    seed: int,
) -> CategoryDecoding:
    """Add accuracy, its interval and its p-value to what was decoded; see `CategoryDecoding`."""
    hits = predicted == labels
    accuracy = float(hits.mean())
    return CategoryDecoding(
        categories=np.unique(labels).tolist(),
        labels=labels,
        predicted=predicted,
        runs=runs,
        embeddings=embeddings,
        rescaled=rescaled,
        alphas=alphas,
        accuracy=accuracy,
        interval=bootstrap_interval(hits, seed=seed, groups=runs),
        null=null,
        p_value=permutation_p_value(accuracy, null),
    )


def category_scores(embeddings: np.ndarray, targets: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Compare embeddings with every category's prototype, both centred, which removes what all categories share.

    Parameters
    ----------
    embeddings : numpy.ndarray
        (n, d).
    targets : numpy.ndarray
        (categories, d), prototypes.
    mean : numpy.ndarray
        (d,), of the training targets.

    Returns
    -------
    numpy.ndarray
        (n, categories), inner products with the centred prototypes made unit vectors: in a row, the order of cosines.
    """
    centred = targets - mean
    return (embeddings - mean) @ (centred / np.linalg.norm(centred, axis=1, keepdims=True)).T


def permuted_labels(
    labels: np.ndarray, runs: np.ndarray, blocks: np.ndarray | None, n_permutations: int, seed: int
) -> np.ndarray:
    """Permute the labels of blocks within runs; all samples of a block get the same one.

    Parameters
    ----------
    labels, runs : numpy.ndarray
        (n,).
    blocks : numpy.ndarray or None
        (n,); None: each sample is a block.
    n_permutations, seed : int
        How many, and the seed.

    Returns
    -------
    numpy.ndarray
        (n_permutations, n), of the labels' type.

    Raises
    ------
    ValueError
        A block has several labels or runs, or shapes do not fit.
    """
    blocks = np.arange(len(labels)) if blocks is None else np.asarray(blocks)
    if blocks.shape != labels.shape:
        raise ValueError(f"blocks: expected one a sample, shape {labels.shape}, found {blocks.shape}")
    _, first, block = np.unique(blocks, return_index=True, return_inverse=True)
    for name, values in (("label", labels), ("run", runs)):
        mixed = np.flatnonzero(values != values[first][block])
        if len(mixed):
            raise ValueError(f"blocks: block {blocks[mixed[0]]} has more than one {name}; expected one")
    return permute_within(labels[first], runs[first], n_permutations, seed)[:, block]


def prototype_matrix(prototypes: Mapping[str, np.ndarray], categories: list[str]) -> np.ndarray:
    """Stack each category's (mean) embedding, (categories, d); a ValueError when they do not fit the categories."""
    if set(prototypes) != set(categories):
        raise ValueError(f"prototypes: found {sorted(prototypes)}; expected the labels' categories {categories}")
    means = {name: np.atleast_2d(prototypes[name]).mean(axis=0) for name in categories}
    shapes = {mean.shape for mean in means.values()}
    if len(shapes) > 1:
        raise ValueError(f"prototypes: differ in dimensions, found {sorted(shapes)}; expected one embedding space")
    return np.stack(list(means.values()))


def check_samples(brain: np.ndarray, labels: np.ndarray, runs: np.ndarray) -> None:
    """Refuse (a ValueError) patterns that are no finite matrix, labels or runs not one a sample, fewer than 3 runs."""
    if np.ndim(brain) != 2:
        raise ValueError(f"brain: expected (n, voxels), found shape {np.shape(brain)}")
    if broken := np.sum(~np.isfinite(brain)):
        raise ValueError(f"brain: {broken} values are not finite")
    for name, column in (("labels", labels), ("runs", runs)):
        if column.shape != (len(brain),):
            raise ValueError(f"{name}: expected one a sample, shape ({len(brain)},), found {column.shape}")
    if len(np.unique(runs)) < 3:
        raise ValueError(f"runs: found {len(np.unique(runs))}; expected at least 3, one to hold out and two to fit")
