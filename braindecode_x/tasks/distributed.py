"""Losses over the trials of all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


class _Gather(torch.autograd.Function):
    """All processes' tensors of one shape, stacked; gradients of all copies are added for the process they belong to.

    Written with the two collectives that every backend has.
    """

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[dist.get_rank()]


def gathered(values: torch.Tensor) -> torch.Tensor:
    """Concatenate the rows of all processes; gradients flow back to each. Numbers of rows may differ."""
    counts = _Gather.apply(torch.tensor(len(values), device=values.device)).tolist()
    padding = values.new_zeros(max(counts) - len(values), *values.shape[1:])
    parts = _Gather.apply(torch.cat([values, padding]))
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
