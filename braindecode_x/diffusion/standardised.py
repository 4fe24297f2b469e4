"""What the networks of priors share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Standardised(nn.Module):
    """A network that keeps the statistics of the embeddings it is trained on."""

    mean: torch.Tensor
    std: torch.Tensor

    def register_statistics(self, shape: Sequence[int]) -> None:
        """Make them 0 and 1, of an embedding's shape."""
        self.register_buffer("mean", torch.zeros(*shape))
        self.register_buffer("std", torch.ones(*shape))

    def standardise(self, embedding: torch.Tensor) -> torch.Tensor:
        """Centre and scale embeddings by the training targets' statistics: (n, *shape), in and out."""
        return (embedding - self.mean) / self.std

    def restore(self, standardised: torch.Tensor) -> torch.Tensor:
        """Undo `standardise`."""
        return standardised * self.std + self.mean
