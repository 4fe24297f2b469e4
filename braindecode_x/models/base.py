"""What the networks from brain to embeddings share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from braindecode_x.files import unknown_name


class DecoderOutput(NamedTuple):
    """What a decoder answers for a batch.

    Attributes
    ----------
    image : torch.Tensor
        (batch, *image_dim), predicted image embeddings.
    text : torch.Tensor or None
        (batch, *text_dim), predicted text embeddings; None where one embedding serves both, as published.
    """

    image: torch.Tensor
    text: torch.Tensor | None


class KnowsSubjects:
    """A network whose ``subjects`` are known by name; a subject's id is its place there."""

    subjects: Any

    def subject_id(self, name: str) -> int:
        """Return the id that batches name this subject by; a ValueError, with the nearest names, when it is unknown."""
        if name not in self.subjects:
            raise unknown_name("subject", name, self.subjects)
        return list(self.subjects).index(name)


def subject_names(subjects: Iterable[str]) -> tuple[str, ...]:
    """Return names of subjects; a ValueError where there is none, or one is named twice."""
    names = tuple(subjects)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"subjects: expected names, each once, found {list(names)}")
    return names


def checked_trials(brain: torch.Tensor, sizes: Mapping[str, int], mask: torch.Tensor | None) -> torch.Tensor:
    """Return trials with 0 where the mask is false.

    Parameters
    ----------
    brain : torch.Tensor
        (batch, *sizes).
    sizes : mapping of str to int
        What the axes but the first are of, and how long they are, for example ``{"channels": 63, "times": 250}``.
    mask : torch.Tensor, optional
        Bool, of ``brain``'s shape or one that extends to it.

    Raises
    ------
    ValueError
        Other sizes.
    """
    if tuple(brain.shape[1:]) != tuple(sizes.values()):
        expected = ", ".join(f"{size} {name}" for name, size in sizes.items())
        raise ValueError(f"brain: expected (batch, {expected}), found {tuple(brain.shape)}")
    return brain if mask is None else brain.where(mask, 0)


def pooled_size(name: str, dim: int | Sequence[int]) -> int:
    """Return the size of a pooled embedding, d or (d,); a ValueError, which names what was given, for other shapes."""
    shape = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(shape) != 1 or math.prod(shape) < 1:
        raise ValueError(f"{name}: expected the size of a pooled embedding, found {list(shape)}")
    return shape[0]
