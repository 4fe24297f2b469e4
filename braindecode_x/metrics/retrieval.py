"""Retrieval: whether a prediction finds its picture among many.

Accuracy among k candidates is computed from the target's rank among all of them, exactly, where the field often
averages over random draws of distractors.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F


def similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Compare every row of one set with every row of another by cosine.

    Parameters
    ----------
    a : torch.Tensor
        (n, ...), flattened to (n, d); floating point.
    b : torch.Tensor
        (m, ...), flattened to (m, d).

    Returns
    -------
    torch.Tensor
        (n, m) in [-1, 1], float32 or float64; 0 where a row is all zeros.

    Raises
    ------
    ValueError
        Not floating point, empty, not finite, or of different d.
    """
    a, b = feature_rows(a, "a"), feature_rows(b, "b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"b: expected {a.shape[1]} features an item, as in a, found {b.shape[1]}")
    return F.normalize(a, dim=1) @ F.normalize(b, dim=1).T


def ranks(similarity: torch.Tensor, targets: torch.Tensor | None = None) -> torch.Tensor:
    """Count for each row the distractors that score higher than its target; a tie counts half.

    Parameters
    ----------
    similarity : torch.Tensor
        (n, m), larger is more alike.
    targets : torch.Tensor, optional
        (n,) of int, the column of each row's target; or (n, m) of bool, its right columns, of which the best one stands
        against the wrong ones. Default: the diagonal of a square matrix.

    Returns
    -------
    torch.Tensor
        (n,) float64 on the CPU; 0 is best.

    Raises
    ------
    ValueError
        Shapes do not fit, a target is not among the columns, a row has none, or a similarity is NaN.
    """
    if similarity.ndim != 2 or similarity.numel() == 0:
        raise ValueError(f"similarity: expected (n, m), not empty, found shape {tuple(similarity.shape)}")
    if similarity.isnan().any():
        raise ValueError(f"similarity: expected numbers, found NaN in row {similarity.isnan().any(1).nonzero()[0, 0]}")
    right = _right_columns(similarity, targets)
    best = similarity.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
    higher = (similarity > best).sum(1)
    tied = (~right & (similarity == best)).sum(1)
    return (higher + tied / 2).to("cpu", torch.float64)


def k_way_accuracy(ranks: torch.Tensor, n_candidates: int, k: int) -> torch.Tensor:
    """Give the exact probability that the target wins against k - 1 random distractors.

    They are drawn without replacement from the ``n_candidates - 1`` distractors, of which ``ranks`` score higher than
    the target; none of these may be drawn (hypergeometric). A rank between two integers comes from a tie: the mean of
    both neighbours is taken, as if a coin broke it. This is exact for one tied distractor; of several, half count as
    higher, which never gives more than breaking all ties at random would.

    Parameters
    ----------
    ranks : torch.Tensor
        (n,), from `ranks`.
    n_candidates : int
        Target and all distractors. Where a row has several right columns only the best one counts as a candidate.
    k : int
        Target and drawn distractors, 2 to ``n_candidates``.

    Returns
    -------
    torch.Tensor
        (n,) float64 on the CPU, 0 to 1; chance is 1 / k.

    Raises
    ------
    ValueError
        ``k`` is out of its range, or a rank is not in 0 to ``n_candidates - 1``.
    """
    if not 2 <= k <= n_candidates:
        raise ValueError(f"k: expected 2 to n_candidates, {n_candidates}, found {k}")
    ranks, distractors = _checked_ranks(ranks), n_candidates - 1
    if ranks.max() > distractors:
        raise ValueError(f"ranks: expected at most n_candidates - 1, {distractors}, found {ranks.max():g}")
    higher = torch.arange(distractors, dtype=torch.float64)
    one_more_is_avoided = (1 - (k - 1) / (distractors - higher)).clamp(min=0)
    by_rank = torch.cat([torch.ones(1, dtype=torch.float64), one_more_is_avoided.cumprod(0)])
    return (by_rank[ranks.floor().long()] + by_rank[ranks.ceil().long()]) / 2


def top_k(ranks: torch.Tensor, k: int) -> torch.Tensor:
    """Give the probability that the target is among the k best candidates: 1 or 0, and 0.5 where a tie decides.

    Parameters
    ----------
    ranks : torch.Tensor
        (n,), from `ranks`.
    k : int
        At least 1.

    Returns
    -------
    torch.Tensor
        (n,) float64 on the CPU.

    Raises
    ------
    ValueError
        ``k`` is below 1, or a rank is negative.
    """
    if k < 1:
        raise ValueError(f"k: expected at least 1, found {k}")
    return (k - _checked_ranks(ranks)).clamp(0, 1)


def retrieval_scores(
    predicted: torch.Tensor, targets: torch.Tensor, ways: Sequence[int] = (2, 10, 50, 100, 200)
) -> dict[str, torch.Tensor]:
    """Score retrieval by cosine in both directions, a value for every item.

    Parameters
    ----------
    predicted : torch.Tensor
        (n, ...) embeddings predicted from the brain.
    targets : torch.Tensor
        (n, ...) embeddings of what was seen, n different pictures.
    ways : sequence of int
        Numbers of candidates; those above n are left out.

    Returns
    -------
    dict of str to torch.Tensor
        (n,) float64 each: ``image top-1``, ``image top-5`` and ``image {k}-way`` (a prediction finds its picture), the
        same with ``brain`` (a picture finds its prediction).

    Raises
    ------
    ValueError
        As `similarity`; numbers of items differ, or are fewer than two.
    """
    pairs = similarity(predicted, targets)
    n = len(pairs)
    if pairs.shape != (n, n) or n < 2:
        raise ValueError(
            f"targets: expected one a prediction, and two or more, found {len(predicted)} and {len(targets)}"
        )
    scores: dict[str, torch.Tensor] = {}
    for direction, matrix in (("image", pairs), ("brain", pairs.T)):
        rank = ranks(matrix)
        scores |= {f"{direction} top-{k}": top_k(rank, k) for k in (1, 5)}
        scores |= {f"{direction} {k}-way": k_way_accuracy(rank, n, k) for k in ways if k <= n}
    return scores


def feature_rows(features: torch.Tensor, name: str) -> torch.Tensor:
    """Check features (n, ...) and flatten them to (n, d), in float32 at least; errors speak of ``name``."""
    if features.ndim < 2 or features.numel() == 0 or not features.is_floating_point():
        found = f"{features.dtype} {tuple(features.shape)}"
        raise ValueError(f"{name}: expected floating point (n, ...), not empty, found {found}")
    rows = features.flatten(1).to(torch.promote_types(features.dtype, torch.float32))
    if not (finite := rows.isfinite().all(1)).all():
        raise ValueError(f"{name}: expected finite numbers, found NaN or infinity in item {finite.int().argmin()}")
    return rows


def _right_columns(similarity: torch.Tensor, targets: torch.Tensor | None) -> torch.Tensor:
    """Return which columns are right for which rows: (n, m) of bool, at least one a row."""
    n, m = similarity.shape
    if targets is None:
        if n != m:
            raise ValueError(f"similarity: expected (n, n) when no targets are given, found ({n}, {m})")
        return torch.eye(n, dtype=torch.bool, device=similarity.device)
    targets = targets.to(similarity.device)
    if targets.dtype == torch.bool:
        if targets.shape != (n, m):
            raise ValueError(f"targets: expected bool ({n}, {m}), found {tuple(targets.shape)}")
        if not targets.any(1).all():
            raise ValueError(f"targets: row {targets.any(1).int().argmin()} has no right column; expected at least one")
        return targets
    if targets.shape != (n,) or targets.is_floating_point():
        raise ValueError(
            f"targets: expected int ({n},) or bool ({n}, {m}), found {targets.dtype} {tuple(targets.shape)}"
        )
    if targets.min() < 0 or targets.max() >= m:
        raise ValueError(f"targets: expected columns 0 to {m - 1}, found {targets.min()} to {targets.max()}")
    return F.one_hot(targets.long(), m).bool()


def _checked_ranks(ranks: torch.Tensor) -> torch.Tensor:
    ranks = ranks.to("cpu", torch.float64)
    if ranks.ndim != 1 or len(ranks) == 0 or not (ranks >= 0).all():
        raise ValueError(f"ranks: expected (n,), not empty, of 0 or more, found {ranks.tolist()[:5]}")
    return ranks
