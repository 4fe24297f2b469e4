"""NICE's encoder: temporal, then spatial convolution (Song et al., ICLR 2024, arXiv 2308.13234)."""

from __future__ import annotations

import torch
from torch import nn


class TemporalSpatialConv(nn.Module):
    """Convolution along time, average pooling, convolution over all rows at once; ATM-S has it as its last part.

    Parameters
    ----------
    n_rows : int
        Electrodes, or tokens.
    n_times : int
        Values of a row. Kernel and pooling are shortened where a row is too short for them.
    n_filters : int
    kernel, pool, stride : int
        In samples; the published ones are for 250 Hz.
    dropout : float

    Attributes
    ----------
    n_features : int
        Of the answer: ``n_filters`` for each place that pooling leaves.
    """

    def __init__(
        self,
        n_rows: int,
        n_times: int,
        n_filters: int = 40,
        kernel: int = 25,
        pool: int = 51,
        stride: int = 5,
        dropout: float = 0.5,
    ):
        super().__init__()
        if min(n_rows, n_times, n_filters, kernel, pool, stride) < 1:
            raise ValueError(
                "rows, times, n_filters, kernel, pool and stride: expected at least 1, found "
                f"{(n_rows, n_times, n_filters, kernel, pool, stride)}"
            )
        kernel = min(kernel, max(1, n_times // 3))
        pool = min(pool, n_times - kernel + 1)
        self.n_features = n_filters * ((n_times - kernel + 1 - pool) // stride + 1)
        # Both are linear, so pooling may come first: the convolution then has a fifth of the places to visit.
        self.pool = nn.AvgPool2d((1, pool), stride=1)
        self.temporal = nn.Conv2d(1, n_filters, (1, kernel), stride=(1, stride))
        self.temporal_norm = nn.BatchNorm2d(n_filters)
        self.spatial = nn.Conv2d(n_filters, n_filters, (n_rows, 1))
        self.spatial_norm = nn.BatchNorm2d(n_filters)
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Conv2d(n_filters, n_filters, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(batch, rows, times) to (batch, n_features)."""
        x = nn.functional.elu(self.temporal_norm(self.temporal(self.pool(rows[:, None]))))
        x = self.dropout(nn.functional.elu(self.spatial_norm(self.spatial(x))))
        return self.projection(x)[:, :, 0].mT.flatten(1)


class Nice(nn.Module):
    """NICE's encoder: `TemporalSpatialConv` of the electrodes, the same for every subject.

    Parameters
    ----------
    n_channels, n_times : int
    sfreq : float
        Hz: default kernel, pooling and stride are a tenth, a fifth and a fiftieth of a second, as published.
    **options
        See `TemporalSpatialConv`.
    """

    def __init__(self, n_channels: int, n_times: int, sfreq: float = 250.0, **options: float):
        super().__init__()
        lengths = {"kernel": 25, "pool": 51, "stride": 5}
        scaled = {name: max(1, round(length * sfreq / 250)) for name, length in lengths.items()}
        self.convolution = TemporalSpatialConv(n_channels, n_times, **{**scaled, **options})  # type: ignore[arg-type]
        self.n_features = self.convolution.n_features

    def forward(self, brain: torch.Tensor, subject: torch.Tensor) -> torch.Tensor:
        """(batch, channels, times) and (batch,) ids to (batch, n_features)."""
        return self.convolution(brain)
