"""Identification: whether a prediction is more like its own item than like others."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from braindecode_x.metrics.retrieval import feature_rows, k_way_accuracy, ranks


def two_way_identification(
    predicted_features: torch.Tensor,
    true_features: torch.Tensor,
    similarity: Literal["correlation", "cosine"] = "correlation",
) -> torch.Tensor:
    """Give for every prediction the share of other items that it is less like than its own.

    The prediction stays and the true items change, as in the published comparisons: item i wins against j when
    ``corr(predicted[i], true[i]) > corr(predicted[i], true[j])``. A tie counts half, so that a constant prediction is
    at chance.

    Parameters
    ----------
    predicted_features : torch.Tensor
        (n, ...), flattened to (n, d); floating point, n at least 2.
    true_features : torch.Tensor
        (n, ...), of the same shape.
    similarity : {"correlation", "cosine"}
        Pearson's correlation over the features (the published choice), or cosine.

    Returns
    -------
    torch.Tensor
        (n,) float64 on the CPU, 0 to 1; chance is 0.5.

    Raises
    ------
    ValueError
        Shapes differ, fewer than two items, not finite, or an unknown similarity.
    """
    if similarity not in ("correlation", "cosine"):
        raise ValueError(f"similarity: expected 'correlation' or 'cosine', found {similarity!r}")
    predicted, true = _matched_rows(predicted_features, true_features)
    if len(predicted) < 2:
        raise ValueError("predicted_features: expected two items or more, found 1")
    unit = centred_unit if similarity == "correlation" else F.normalize
    return k_way_accuracy(ranks(unit(predicted) @ unit(true).T), len(predicted), 2)


def correlation_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Give 1 minus Pearson's correlation over the features, item by item.

    Parameters
    ----------
    a, b : torch.Tensor
        (n, ...) of the same shape, flattened to (n, d); floating point.

    Returns
    -------
    torch.Tensor
        (n,) in [0, 2], float32 or float64; 1 where an item is constant, which correlates with nothing.

    Raises
    ------
    ValueError
        Shapes differ, empty, or not finite.
    """
    a, b = _matched_rows(a, b)
    return 1 - (centred_unit(a) * centred_unit(b)).sum(1)


def centred_unit(rows: torch.Tensor) -> torch.Tensor:
    """Subtract each row's mean and divide by the norm: products of such rows are Pearson's correlations.

    Parameters
    ----------
    rows : torch.Tensor
        (n, d) of float32 or float64.

    Returns
    -------
    torch.Tensor
        (n, d); zeros where a row is constant to float32's precision, instead of amplified rounding errors.
    """
    centred = rows - rows.mean(1, keepdim=True)
    norm, size = _norm(centred), _norm(rows)
    return (centred / norm).where(norm > 1e-6 * size, 0)


def _norm(rows: torch.Tensor) -> torch.Tensor:
    """Return each row's norm, (n, 1). Unlike `torch.norm`, `sum` adds pairwise: exact also over a million of pixels."""
    return rows.square().sum(1, keepdim=True).sqrt()


def _matched_rows(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if a.shape != b.shape:
        raise ValueError(f"features: expected two sets of the same shape, found {tuple(a.shape)} and {tuple(b.shape)}")
    return feature_rows(a, "features"), feature_rows(b, "features to compare with")
