"""What a MindBridge network is made of, and what it answers (arXiv 2404.07850)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn


class MindBridgeOutput(NamedTuple):
    """What `MindBridge` answers for a batch.

    Attributes
    ----------
    image : torch.Tensor
        (batch, *image_dim), predicted image embeddings.
    text : torch.Tensor
        (batch, *text_dim), predicted text embeddings.
    embedding : torch.Tensor
        (batch, hidden), the trials in the space that all subjects share.
    aggregated : torch.Tensor
        (batch, in_dim), activity at one length: what the embedders saw.
    reconstruction : torch.Tensor or None
        (batch, in_dim), that activity rebuilt from ``embedding``; None without builders.
    cycle_source, cycle : torch.Tensor or None
        (trials, hidden) each: the embedding of subject a's trials, and what came back of it through subject b's
        builder and embedder; None without a pair, or without trials of a.
    """

    image: torch.Tensor
    text: torch.Tensor
    embedding: torch.Tensor
    aggregated: torch.Tensor
    reconstruction: torch.Tensor | None
    cycle_source: torch.Tensor | None
    cycle: torch.Tensor | None


class Adapter(nn.Module):
    """A residual bottleneck, Linear - ReLU - Linear plus the input; it starts as the identity.

    Parameters
    ----------
    dim : int
        Size of input and output.
    bottleneck : int
        Size between.
    """

    def __init__(self, dim: int, bottleneck: int):
        super().__init__()
        self.down, self.up = nn.Linear(dim, bottleneck), nn.Linear(bottleneck, dim)
        for start_at_zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(start_at_zero)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., dim) to (..., dim)."""
        return x + self.up(self.down(x).relu())


class Embedder(nn.Sequential):
    """Aggregated activity (n, in_dim) of one subject to the shared space (n, hidden)."""

    def __init__(self, in_dim: int, hidden: int, adapter_dim: int, dropout: float):
        super().__init__(
            Adapter(in_dim, adapter_dim),
            nn.Linear(in_dim, hidden),
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Dropout(dropout),
        )


class Builder(nn.Sequential):
    """The shared space (n, hidden) to aggregated activity (n, in_dim) of one subject."""

    def __init__(self, in_dim: int, hidden: int, adapter_dim: int):
        super().__init__(nn.Linear(hidden, in_dim), nn.LayerNorm(in_dim), nn.GELU(), Adapter(in_dim, adapter_dim))


class Translator(nn.Module):
    """Residual blocks of Linear, LayerNorm, GELU, dropout.

    Parameters
    ----------
    dim : int
        Size of input and output.
    n_blocks : int
    dropout : float
    """

    def __init__(self, dim: int, n_blocks: int, dropout: float):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, dim), nn.LayerNorm(dim), nn.GELU(), nn.Dropout(dropout))
            for _ in range(n_blocks)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., dim) to (..., dim)."""
        for block in self.blocks:
            x = x + block(x)
        return x
