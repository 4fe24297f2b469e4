"""Noise that belongs to a picture, whatever shares its batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch


def keyed_generators(seed: int, ids: Sequence[str], sample: int) -> list[torch.Generator]:
    """Make one CPU generator per picture, seeded by (seed, id, sample).

    Parameters
    ----------
    seed : int
    ids : sequence of str
    sample : int
        Number of the sample, from 0.

    Returns
    -------
    list of torch.Generator
    """
    generators = []
    for name in ids:
        digest = hashlib.sha256(f"{seed}\0{sample}\0{name}".encode()).digest()
        generators.append(torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1))
    return generators


def draw(generators: Sequence[torch.Generator], shape: Sequence[int]) -> torch.Tensor:
    """Draw standard normal noise: (len(generators), ...), float32 on the CPU."""
    return torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators])
