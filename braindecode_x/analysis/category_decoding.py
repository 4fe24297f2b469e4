"""Which of a few categories was seen: leave-one-run-out decoding through an embedding space, or directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import LeaveOneGroupOut

from braindecode_x.metrics.significance import bootstrap_interval, permutation_p_value, permute_within
from braindecode_x.models.ridge import RidgeDecoder, prediction_weights


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
        The strength chosen for each held-out run.
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


def decode_through_embeddings(
    brain: np.ndarray,
    labels: np.ndarray,
    runs: np.ndarray,
    prototypes: Mapping[str, np.ndarray],
    *,
    blocks: np.ndarray | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
) -> CategoryDecoding:
    """Decode every run with ridge from the others to embeddings, then to the nearest category's prototype.

    A prediction and the prototypes are centred by the mean of the training targets, which removes what all categories
    share, and compared by cosine.

    Parameters
    ----------
    brain : numpy.ndarray
        (n, voxels).
    labels, runs : numpy.ndarray
        (n,), category and run of each sample; at least three runs.
    prototypes : mapping of str to numpy.ndarray
        For each category an embedding (d,), or several (m, d), whose mean is taken.
    blocks : numpy.ndarray, optional
        (n,), samples with one number are permuted as one; default: each sample alone.
    n_permutations : int
        How many permutations of the blocks' labels within runs make the null. Each permutes training and test labels
        and fits every fold anew, with the regularisation that was chosen for the true labels.
    seed : int
        For the permutations and the bootstrap.

    Returns
    -------
    CategoryDecoding

    Raises
    ------
    ValueError
        Shapes do not fit, prototypes and labels name different categories, there are fewer than three runs, or a block
        has several labels or runs.
    """
    labels, runs = np.asarray(labels, dtype=str), np.asarray(runs)
    categories, codes = np.unique(labels, return_inverse=True)
    _check(brain, labels, runs)
    targets = _prototype_matrix(prototypes, categories.tolist())
    permuted = permuted_labels(codes, runs, blocks, n_permutations, seed)
    embeddings, rescaled = (np.empty((len(labels), targets.shape[1]), np.float32) for _ in range(2))
    predicted, alphas = np.empty_like(codes), {}
    hits_under_null = np.zeros(n_permutations)
    for train, test in LeaveOneGroupOut().split(brain, groups=runs):
        decoder = RidgeDecoder().fit(brain[train], targets[codes[train]], groups=runs[train])
        embeddings[test] = decoder.predict(brain[test])
        rescaled[test] = decoder.predict(brain[test], rescale=True)
        # Permutations within runs leave this mean as it is.
        mean = targets[codes[train]].mean(axis=0)
        centred = targets - mean
        directions = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        predicted[test] = ((embeddings[test] - mean) @ directions.T).argmax(axis=1)
        weights = prediction_weights(brain[train], brain[test], decoder.alpha)
        under_null = _decode_permuted(weights, permuted[:, train], centred @ directions.T)
        hits_under_null += (under_null == permuted[:, test]).sum(axis=1)
        alphas[runs[test[0]].item()] = decoder.alpha
    hits = predicted == codes
    null = hits_under_null / len(labels)
    return CategoryDecoding(
        categories=categories.tolist(),
        labels=labels,
        predicted=categories[predicted],
        runs=runs,
        embeddings=embeddings,
        rescaled=rescaled,
        alphas=alphas,
        accuracy=float(hits.mean()),
        interval=bootstrap_interval(hits.astype(float), seed=seed, groups=runs),
        null=null,
        p_value=permutation_p_value(float(hits.mean()), null),
    )


def decode_directly(
    brain: np.ndarray,
    labels: np.ndarray,
    runs: np.ndarray,
    *,
    blocks: np.ndarray | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
) -> CategoryDecoding:
    """Classify with ridge, in the same folds, without an embedding space: one target a category, 1 or 0.

    Parameters and errors are those of `decode_through_embeddings`; the result's ``embeddings`` are the categories'
    scores, (n, categories).
    """
    categories = np.unique(np.asarray(labels, dtype=str)).tolist()
    one_hot = dict(zip(categories, np.eye(len(categories)), strict=True))
    return decode_through_embeddings(
        brain, labels, runs, one_hot, blocks=blocks, n_permutations=n_permutations, seed=seed
    )


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


def _decode_permuted(weights: np.ndarray, permuted: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    """Decode one fold under every permutation.

    Every prediction is a mixture of prototypes, so that its few mixing weights stand for the embedding.

    Parameters
    ----------
    weights : numpy.ndarray
        (n_test, n_train), from `prediction_weights`.
    permuted : numpy.ndarray
        (n_permutations, n_train), indices of categories.
    overlap : numpy.ndarray
        (categories, categories), inner products of the centred prototypes in rows with the unit ones in columns.

    Returns
    -------
    numpy.ndarray
        (n_permutations, n_test), indices of categories.
    """
    members = ((permuted == category).astype(weights.dtype) for category in range(len(overlap)))
    mixture = np.stack([member @ weights.T for member in members], axis=-1)
    return (mixture @ overlap).argmax(axis=-1)


def _prototype_matrix(prototypes: Mapping[str, np.ndarray], categories: list[str]) -> np.ndarray:
    if set(prototypes) != set(categories):
        raise ValueError(f"prototypes: found {sorted(prototypes)}; expected the labels' categories {categories}")
    means = {name: np.atleast_2d(prototypes[name]).mean(axis=0) for name in categories}
    shapes = {mean.shape for mean in means.values()}
    if len(shapes) > 1:
        raise ValueError(f"prototypes: differ in dimensions, found {sorted(shapes)}; expected one embedding space")
    return np.stack(list(means.values()))


def _check(brain: np.ndarray, labels: np.ndarray, runs: np.ndarray) -> None:
    for name, column in (("labels", labels), ("runs", runs)):
        if column.shape != (len(brain),):
            raise ValueError(f"{name}: expected one a sample, shape ({len(brain)},), found {column.shape}")
    if len(np.unique(runs)) < 3:
        raise ValueError(f"runs: found {len(np.unique(runs))}; expected at least 3, one to hold out and two to fit")
