"""ATM: electrodes as tokens, then temporal and spatial convolution (Li et al., NeurIPS 2024, arXiv 2403.07721)."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from braindecode_x.files import unknown_name
from braindecode_x.models.nice import TemporalSpatialConv


class ATM(nn.Module):
    """The Adaptive Thinking Mapper's encoder.

    Every electrode's samples are one token; a token of the subject is put before them; one layer of attention over
    tokens; the tokens, as rows of an image, go through temporal and spatial convolution. A subject whose id is not
    among the trained ones takes a token that stands for anybody. New weights are drawn from torch's global generator.

    Parameters
    ----------
    n_channels, n_times : int
    n_subjects : int
    d_model : int
        Features of a token, the convolution's "times"; whatever the sampling rate, they are not in order of time.
    n_heads : int
    d_ff : int
        Width of the feed-forward part.
    n_layers : int
    dropout : float
        Of tokens and attention layers.
    conv_dropout : float
        Of the convolution.
    convolution : {"shallow", "eegnet"}
        ``shallow`` is ATM-S, with `TemporalSpatialConv`; ``eegnet`` is ATM-E, with `EegNetConv`.
    published_rows : bool
        Give the convolution the first ``n_channels`` tokens, as published: the subject's token stays in and the last
        electrode drops out. Default: all tokens.
    **options
        More of the convolution's.

    Attributes
    ----------
    n_features : int

    Raises
    ------
    ValueError
        A size below 1, or an unknown convolution.
    """

    def __init__(
        self,
        n_channels: int,
        n_times: int,
        n_subjects: int,
        d_model: int = 250,
        n_heads: int = 4,
        d_ff: int = 256,
        n_layers: int = 1,
        dropout: float = 0.25,
        conv_dropout: float = 0.5,
        convolution: Literal["shallow", "eegnet"] = "shallow",
        published_rows: bool = False,
        **options: Any,
    ):
        super().__init__()
        if min(n_channels, n_times, n_heads, n_layers, d_ff) < 1 or d_model < n_heads:
            raise ValueError(
                "n_channels, n_times, n_heads, n_layers and d_ff: expected at least 1, and d_model at least n_heads, "
                f"found {(n_channels, n_times, n_heads, n_layers, d_ff)} and {d_model}"
            )
        if convolution not in CONVOLUTIONS:
            raise unknown_name("convolution", convolution, CONVOLUTIONS)
        self.n_rows = n_channels if published_rows else n_channels + 1
        self.tokens = ElectrodeTokens(n_channels, n_times, n_subjects, d_model, dropout)
        self.layers = nn.ModuleList(AttentionLayer(d_model, n_heads, d_ff, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model)
        self.convolution = CONVOLUTIONS[convolution](self.n_rows, d_model, dropout=conv_dropout, **options)
        self.n_features = self.convolution.n_features

    def forward(self, brain: torch.Tensor, subject: torch.Tensor) -> torch.Tensor:
        """(batch, channels, times) and (batch,) ids to (batch, n_features)."""
        tokens = self.tokens(brain, subject)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.convolution(self.norm(tokens)[:, : self.n_rows])


class ElectrodeTokens(nn.Module):
    """A linear map of every electrode's samples, with its place in the montage, behind the token of the subject.

    Parameters
    ----------
    n_channels, n_times, n_subjects, d_model : int
    dropout : float
    """

    def __init__(self, n_channels: int, n_times: int, n_subjects: int, d_model: int, dropout: float):
        super().__init__()
        self.value = nn.Linear(n_times, d_model)
        self.subjects = nn.Embedding(n_subjects, d_model)
        self.anybody = nn.Parameter(torch.randn(1, d_model))
        self.register_buffer("place", sinusoids(n_channels, d_model), persistent=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, brain: torch.Tensor, subject: torch.Tensor) -> torch.Tensor:
        """(batch, channels, times) and (batch,) ids to (batch, 1 + channels, d_model)."""
        known = (subject >= 0) & (subject < self.subjects.num_embeddings)
        token = torch.where(known[:, None], self.subjects(subject.where(known, 0)), self.anybody)
        return self.dropout(torch.cat([token[:, None], self.value(brain) + self.place], dim=1))


class AttentionLayer(nn.Module):
    """Multi-head attention and feed-forward part, each added to its input and then normalised.

    Parameters
    ----------
    d_model, n_heads, d_ff : int
        A head has ``d_model // n_heads`` features.
    dropout : float
    """

    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float):
        super().__init__()
        self.n_heads, width = n_heads, d_model // n_heads * n_heads
        self.query, self.key, self.value = (nn.Linear(d_model, width) for _ in range(3))
        self.out = nn.Linear(width, d_model)
        self.wide, self.narrow = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, d_model), in and out."""
        query, key, value = (
            part(tokens).unflatten(2, (self.n_heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        dropout = self.dropout.p if self.training else 0.0
        seen = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        tokens = self.attention_norm(tokens + self.dropout(self.out(seen.transpose(1, 2).flatten(2))))
        change = self.dropout(self.narrow(self.dropout(F.gelu(self.wide(tokens)))))
        return self.feed_forward_norm(tokens + change)


class EegNetConv(nn.Module):
    """EEGNet's convolutions (Lawhern et al. 2018) over rows of values: temporal, depthwise spatial, separable.

    Parameters
    ----------
    n_rows, n_times : int
        As of `TemporalSpatialConv`.
    n_filters : int
        Temporal filters.
    depth : int
        Spatial filters of each.
    kernel, separable_kernel, pool, separable_pool : int
        In samples, kernels odd; pooling is shortened where a row is too short for it.
    dropout : float
    """

    def __init__(
        self,
        n_rows: int,
        n_times: int,
        n_filters: int = 8,
        depth: int = 2,
        kernel: int = 63,
        separable_kernel: int = 15,
        pool: int = 4,
        separable_pool: int = 8,
        dropout: float = 0.5,
    ):
        super().__init__()
        width, pool = n_filters * depth, min(pool, n_times)
        separable_pool = min(separable_pool, n_times // pool)
        self.n_features = width * (n_times // pool // separable_pool)
        self.layers = nn.Sequential(
            nn.Conv2d(1, n_filters, (1, kernel), padding="same", bias=False),
            nn.BatchNorm2d(n_filters),
            nn.Conv2d(n_filters, width, (n_rows, 1), groups=n_filters, bias=False),
            nn.BatchNorm2d(width),
            nn.ELU(),
            nn.AvgPool2d((1, pool)),
            nn.Dropout(dropout),
            nn.Conv2d(width, width, (1, separable_kernel), padding="same", groups=width, bias=False),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ELU(),
            nn.AvgPool2d((1, separable_pool)),
            nn.Dropout(dropout),
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(batch, rows, times) to (batch, n_features)."""
        return self.layers(rows[:, None]).flatten(1)


CONVOLUTIONS: dict[str, Any] = {"shallow": TemporalSpatialConv, "eegnet": EegNetConv}


def sinusoids(n_places: int, d_model: int) -> torch.Tensor:
    """Return fixed codes of places 0, 1, ...: (n_places, d_model), sines in even and cosines in odd columns."""
    frequencies = torch.exp(torch.arange(0, d_model, 2) * (-torch.log(torch.tensor(10000.0)) / d_model))
    angles = torch.arange(n_places)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :d_model]
