"""Subjects' different numbers of voxels brought to one length, and trials of several subjects kept apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F

from braindecode_x.files import unknown_name

Aggregation = Literal["max", "average", "resize"]


def _resize(voxels: torch.Tensor, size: int) -> torch.Tensor:
    return F.interpolate(voxels[:, None], size, mode="linear", align_corners=False)[:, 0]


_AGGREGATIONS: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "max": lambda voxels, size: F.adaptive_max_pool1d(voxels[:, None], size)[:, 0],
    "average": lambda voxels, size: F.adaptive_avg_pool1d(voxels[:, None], size)[:, 0],
    "resize": _resize,
}


def check_aggregation(how: str) -> None:
    """Refuse a name that is no aggregation.

    Raises
    ------
    ValueError
        The nearest names are offered.
    """
    if how not in _AGGREGATIONS:
        raise unknown_name("aggregation", how, _AGGREGATIONS)


def aggregate_voxels(voxels: torch.Tensor, size: int, how: Aggregation = "max") -> torch.Tensor:
    """Bring activity patterns to one length, as MindBridge does before its embedder (arXiv 2404.07850).

    Voxels are taken in the order they are in; neighbours in that order share a bin. Patterns of the wanted length come
    back unchanged.

    Parameters
    ----------
    voxels : torch.Tensor
        (n, voxels).
    size : int
        Length of the result; it may be above the number of voxels, bins then overlap.
    how : {"max", "average", "resize"}
        Largest value of a bin, its mean, or linear interpolation.

    Returns
    -------
    torch.Tensor
        (n, size).

    Raises
    ------
    ValueError
        Another number of dimensions, no voxels, or an unknown aggregation.
    """
    check_aggregation(how)
    if voxels.ndim != 2 or not voxels.shape[1]:
        raise ValueError(f"voxels: expected (n, voxels), found {tuple(voxels.shape)}")
    return _AGGREGATIONS[how](voxels, size)


Brain = torch.Tensor | Sequence[torch.Tensor]


def split_by_subject(
    brain: Brain, subject: Sequence[int], mask: torch.Tensor | None = None
) -> dict[int, tuple[list[int], torch.Tensor]]:
    """Take the trials of a mixed batch apart, and their padding off.

    Parameters
    ----------
    brain : torch.Tensor or sequence of torch.Tensor
        (batch, voxels), padded where ``mask`` says so; or tensors of one trial (voxels,) or several (trials, voxels)
        that follow each other in the batch.
    subject : sequence of int
        One a trial, in any order.
    mask : torch.Tensor, optional
        (batch, voxels) of bool, true where a voxel was measured; the same in all trials of a subject.

    Returns
    -------
    dict of int to (list of int, torch.Tensor)
        For each subject that is there, smallest first: its places in the batch and its patterns (trials, voxels).

    Raises
    ------
    ValueError
        The lengths of the arguments do not fit, or trials of one subject differ in their voxels.
    """
    trials = brain if isinstance(brain, torch.Tensor) else [trial for part in brain for trial in torch.atleast_2d(part)]
    if isinstance(trials, torch.Tensor) and trials.ndim != 2:
        raise ValueError(f"brain: expected (batch, voxels), found {tuple(trials.shape)}")
    if not len(trials) or len(trials) != len(subject):
        raise ValueError(f"subject: expected one id a trial, found {len(subject)} for {len(trials)} trials")
    if mask is not None and (not isinstance(trials, torch.Tensor) or mask.shape != trials.shape):
        raise ValueError(
            f"mask: expected the shape of brain as one tensor, found {tuple(mask.shape)} for "
            f"{tuple(trials.shape) if isinstance(trials, torch.Tensor) else 'a list of tensors'}"
        )
    places: dict[int, list[int]] = {number: [] for number in sorted(set(subject))}
    for place, number in enumerate(subject):
        places[number].append(place)
    return {number: (rows, _patterns(trials, rows, number, mask)) for number, rows in places.items()}


def _patterns(trials: Brain, rows: list[int], number: int, mask: torch.Tensor | None) -> torch.Tensor:
    if not isinstance(trials, torch.Tensor):
        counts = sorted({len(trials[row]) for row in rows})
        if len(counts) > 1:
            raise ValueError(f"brain: trials of subject {number} have {counts} voxels; expected one number")
        return torch.stack([trials[row] for row in rows])
    if mask is None:
        return trials[rows]
    measured = mask[rows]
    if not (measured == measured[0]).all():
        raise ValueError(f"mask: trials of subject {number} differ in the voxels that are there")
    return trials[rows][:, measured[0]]
