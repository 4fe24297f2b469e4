"""A diffusion prior over tokens: a transformer over condition, time and noisy tokens (WAVE, arXiv 2411.07121)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.modeling_utils import ModelMixin
from torch import nn

from braindecode_x.diffusion.standardised import Standardised

# As published: the network tells the clean tokens, which are scaled by the root of their size.
PUBLISHED_TOKEN_SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 100,
    "beta_schedule": "squaredcos_cap_v2",
    "clip_sample": False,
    "prediction_type": "sample",
}
HEAD = 64  # features of an attention head
ROTATED = 32  # of them, those that are turned by a token's place
COSINE_SCALE = 4.0  # of unit queries and keys each


class TokenPriorNetwork(Standardised, ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A transformer that tells the clean tokens, given the decoded ones.

    The sequence is: condition tokens, one of the time step, noisy tokens. Conditions that are not shown are replaced by
    learned tokens. (DALL-E 2's prior, Ramesh et al. 2022, with the additions of the published code: multi-query
    cosine-similarity attention, rotary and T5 positions.)

    Parameters
    ----------
    shape : sequence of int
        Of one embedding: (tokens, d), or (d,) for pooled ones, which are one token.
    depth : int
        Blocks.
    n_heads : int
    feed_forward : int
        Width of the feed-forward part, in d.
    head : int
        Features of an attention head, at least 2.
    published_null : bool
        Where no condition is shown, hide the noisy tokens too, as published: what guidance leads away from is then the
        same at every step.

    Raises
    ------
    ValueError
        A shape with other axes, or a size that is too small.
    """

    @register_to_config
    def __init__(
        self,
        shape: Sequence[int] = (257, 768),
        depth: int = 6,
        n_heads: int = 12,
        feed_forward: int = 4,
        head: int = HEAD,
        published_null: bool = False,
    ):
        super().__init__()
        if len(shape) not in (1, 2) or min(*shape, depth, n_heads, feed_forward, head - 1) < 1:
            raise ValueError(
                f"prior: expected a shape (tokens, d) or (d,), and sizes of at least 1, found {tuple(shape)}, "
                f"{depth} blocks, {n_heads} heads of {head}"
            )
        self.embedding_shape = tuple(shape)
        n_tokens, d = (1, *shape)[-2:]
        self.register_statistics(self.embedding_shape)
        self.place = nn.Parameter(torch.randn(n_tokens, d) * d**-0.5)
        self.no_condition = nn.Parameter(torch.randn(n_tokens, d))
        self.no_noisy = nn.Parameter(torch.randn(n_tokens, d)) if published_null else None
        self.time = nn.Sequential(
            nn.Linear(d, 2 * d), nn.SiLU(), nn.Linear(2 * d, 2 * d), nn.SiLU(), nn.Linear(2 * d, d)
        )
        self.relative = RelativeBias(n_heads)
        rotated = min(ROTATED, head) // 2 * 2
        self.register_buffer("frequencies", 10000.0 ** (-torch.arange(0, rotated, 2) / rotated))
        self.layers = nn.ModuleList(_Block(d, n_heads, head, feed_forward * d) for _ in range(depth))
        self.norm = Gain(d, stable=True)
        self.last = nn.Linear(d, d, bias=False)

    def forward(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        condition: torch.Tensor | None = None,
        shown: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predict the clean embeddings (or whatever the scheduler's prediction type is).

        Parameters
        ----------
        noisy : torch.Tensor
            (n, *shape).
        timesteps : torch.Tensor
            (n,) of integers, or one for all.
        condition : torch.Tensor, optional
            (n, *shape).
        shown : torch.Tensor, optional
            (n,) bool: rows that see their condition. Default: all.

        Returns
        -------
        torch.Tensor
            (n, *shape).
        """
        n_tokens, d = self.place.shape
        if shown is None:
            shown = torch.full((len(noisy),), condition is not None, device=noisy.device)
        told, x = self.no_condition.to(noisy.dtype), noisy.reshape(-1, n_tokens, d)
        if condition is not None:
            told = torch.where(shown[:, None, None], condition.reshape(-1, n_tokens, d), told)
        if self.no_noisy is not None:
            x = torch.where(shown[:, None, None], x, self.no_noisy)
        shift = min(1, d // 2 - 1)  # one frequency has no next
        time = get_timestep_embedding(timesteps.expand(len(noisy)), d, downscale_freq_shift=shift)
        time = self.time(time.to(noisy.dtype))[:, None]
        tokens = torch.cat([told.expand(len(x), -1, -1), time, x + self.place], dim=1)
        bias = self.relative(tokens.shape[1])
        for layer in self.layers:
            tokens = layer(tokens, bias, self.frequencies)
        return self.last(self.norm(tokens))[:, -n_tokens:].reshape(noisy.shape)


class Gain(nn.Module):
    """Layer normalisation without a shift.

    Parameters
    ----------
    d : int
    stable : bool
        Divide by the largest value of a row before.
    """

    def __init__(self, d: int, stable: bool = False):
        super().__init__()
        self.gain, self.stable = nn.Parameter(torch.ones(d)), stable

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., d), in and out."""
        if self.stable:
            x = x / x.amax(dim=-1, keepdim=True).detach()
        return F.layer_norm(x, x.shape[-1:], self.gain, eps=1e-5)


class RelativeBias(nn.Module):
    """What attention adds for the distance of two tokens, as T5 does (Raffel et al. 2020), told apart for past ones.

    Parameters
    ----------
    n_heads : int
    n_buckets : int
        Of distances: half of them one each, the others ever wider.
    max_distance : int
        From which on all are one.
    """

    def __init__(self, n_heads: int, n_buckets: int = 32, max_distance: int = 128):
        super().__init__()
        self.n_buckets, self.max_distance = n_buckets, max_distance
        self.values = nn.Embedding(n_buckets, n_heads)

    def forward(self, n: int) -> torch.Tensor:
        """Return (heads, n, n + 1), for n tokens and the null token before them."""
        places = torch.arange(n + 1, device=self.values.weight.device)
        distance = (places[:n, None] - places[None]).clamp_min(0)
        exact = self.n_buckets // 2
        growth = (distance.clamp_min(1) / exact).log() / math.log(self.max_distance / exact)
        wide = (exact + (growth * (self.n_buckets - exact)).long()).clamp_max(self.n_buckets - 1)
        return self.values(torch.where(distance < exact, distance, wide)).permute(2, 0, 1)


class _Attention(nn.Module):
    """Attention whose heads share one key and value; a learned null token comes first."""

    def __init__(self, d: int, n_heads: int, head: int):
        super().__init__()
        self.n_heads = n_heads
        self.norm = Gain(d)
        self.query = nn.Linear(d, n_heads * head, bias=False)
        self.key_value = nn.Linear(d, 2 * head, bias=False)
        self.null = nn.Parameter(torch.randn(2, head))
        self.out = nn.Sequential(nn.Linear(n_heads * head, d, bias=False), Gain(d))

    def forward(self, x: torch.Tensor, bias: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
        x = self.norm(x)
        query = _turned(self.query(x).unflatten(2, (self.n_heads, -1)).transpose(1, 2), frequencies)
        key, value = self.key_value(x).chunk(2, dim=-1)
        key = _turned(key, frequencies)
        key, value = (
            torch.cat([null.expand(len(x), 1, -1).to(x.dtype), each], dim=1)[:, None].expand(-1, self.n_heads, -1, -1)
            for null, each in zip(self.null, (key, value), strict=True)
        )
        query, key = (COSINE_SCALE * F.normalize(each, dim=-1) for each in (query, key))
        seen = F.scaled_dot_product_attention(query, key, value, bias.to(query.dtype)[None], scale=1.0)
        return self.out(seen.transpose(1, 2).flatten(2))


class _Block(nn.Module):
    """Attention and a gated feed-forward part, each added to its input."""

    def __init__(self, d: int, n_heads: int, head: int, d_ff: int):
        super().__init__()
        self.attention = _Attention(d, n_heads, head)
        self.feed_forward_norm = Gain(d)
        self.wide = nn.Linear(d, 2 * d_ff, bias=False)
        self.narrow = nn.Linear(d_ff, d, bias=False)

    def forward(self, x: torch.Tensor, bias: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(x, bias, frequencies)
        value, gate = self.wide(self.feed_forward_norm(x)).chunk(2, dim=-1)
        return x + self.narrow(value * F.silu(gate))


def _turned(x: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """Turn neighbouring pairs of the first features of (..., tokens, features) by angles that grow with the place."""
    angles = torch.arange(x.shape[-2], device=x.device)[:, None] * frequencies
    turned, rest = x[..., : 2 * len(frequencies)], x[..., 2 * len(frequencies) :]
    first, second = turned.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    pairs = torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return torch.cat([pairs.flatten(-2), rest], dim=-1)
