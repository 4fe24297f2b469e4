"""Which of a few categories was seen: leave-one-run-out ridge through an embedding space, or directly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.model_selection import LeaveOneGroupOut

from braindecode_x.analysis.category_scores import (
    CategoryDecoding,
    category_scores,
    check_samples,
    permuted_labels,
    prototype_matrix,
    score_decoding,
)
from braindecode_x.models.ridge import RidgeDecoder, prediction_weights


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
    check_samples(brain, labels, runs)
    targets = prototype_matrix(prototypes, categories.tolist())
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
        predicted[test] = category_scores(embeddings[test], targets, mean).argmax(axis=1)
        weights = prediction_weights(brain[train], brain[test], decoder.alpha)
        under_null = _decode_permuted(weights, permuted[:, train], category_scores(targets, targets, mean))
        hits_under_null += (under_null == permuted[:, test]).sum(axis=1)
        alphas[runs[test[0]].item()] = decoder.alpha
    null = hits_under_null / len(labels)
    return score_decoding(labels, categories[predicted], runs, embeddings, rescaled, null, alphas, seed)


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
        (categories, categories), `category_scores` of the prototypes themselves.

    Returns
    -------
    numpy.ndarray
        (n_permutations, n_test), indices of categories.
    """
    members = ((permuted == category).astype(weights.dtype) for category in range(len(overlap)))
    mixture = np.stack([member @ weights.T for member in members], axis=-1)
    return (mixture @ overlap).argmax(axis=-1)
