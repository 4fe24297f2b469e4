"""WAVE: a causal sequence model of whole-brain BOLD (Wang et al. 2024, arXiv 2411.07121)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GPT2Config, GPT2Model


class WaveOutput(NamedTuple):
    """What `Wave` answers for a batch.

    Attributes
    ----------
    pooled : torch.Tensor
        (batch, d_model), in [-1, 1]: the window as a whole.
    hidden : torch.Tensor
        (batch, volumes + 1, d_model): after each volume, then at the class embedding that follows the last one. Behind
        that there is nothing of use.
    """

    pooled: torch.Tensor
    hidden: torch.Tensor


class Wave(nn.Module):
    """A volume's parcels, with its time in seconds, are one token of a GPT-2.

    The window is read out at a class embedding that follows its last volume. For pre-training, one volume is replaced
    by a mask embedding and predicted from those before it; see `predict_masked`. Defaults are the paper's. New weights
    are drawn from torch's global generator.

    Parameters
    ----------
    n_parcels : int
    d_model : int
        Width of a token.
    n_layers, n_heads : int
    dropout : float
    n_positions : int
        Longest sequence, one more than the longest window: GPT-2's own positions are added to times.
    time_step : float
        Seconds to which times are rounded.
    max_time : float
        Seconds from the first to the last volume at most; a whole number of steps.
    feed_forward : int
        Width of the feed-forward part, in ``d_model``.
    activation : str
        One of transformers'.
    carry : bool
        Add to the prediction of a volume the one before it, every parcel by a learned share that is 1 to begin with, so
        that it is left to the network what changes; not as published.

    Raises
    ------
    ValueError
        A size below 1, or ``d_model`` that heads do not divide.
    """

    def __init__(
        self,
        n_parcels: int,
        d_model: int = 768,
        n_layers: int = 4,
        n_heads: int = 12,
        dropout: float = 0.1,
        n_positions: int = 512,
        time_step: float = 0.2,
        max_time: float = 300.0,
        feed_forward: int = 4,
        activation: str = "gelu_new",
        carry: bool = False,
    ):
        super().__init__()
        sizes = {"n_parcels": n_parcels, "d_model": d_model, "n_layers": n_layers, "n_heads": n_heads}
        for name, size in (sizes | {"n_positions": n_positions, "feed_forward": feed_forward}).items():
            if size < 1:
                raise ValueError(f"{name}: expected at least 1, found {size}")
        if d_model % n_heads:
            raise ValueError(f"d_model: expected a multiple of n_heads, found {d_model} and {n_heads}")
        self.config: dict[str, Any] = {
            **sizes,
            "dropout": dropout,
            "n_positions": n_positions,
            "time_step": time_step,
            "max_time": max_time,
            "feed_forward": feed_forward,
            "activation": activation,
            "carry": carry,
        }
        self.n_parcels, self.d_model, self.n_positions = n_parcels, d_model, n_positions
        self.time_step, self.max_time = time_step, max_time
        self.mask_embedding = nn.Parameter(0.02 * torch.randn(1, 1, n_parcels))
        self.class_embedding = nn.Parameter(0.02 * torch.randn(1, 1, n_parcels))
        self.embed = nn.Sequential(nn.Linear(n_parcels, d_model), nn.LayerNorm(d_model), nn.Dropout(dropout))
        self.time = nn.Embedding(round(max_time / time_step) + 1, d_model)  # the last is the class embedding's
        nn.init.normal_(self.time.weight, std=0.02)
        self.blocks = GPT2Model(
            GPT2Config(
                vocab_size=1,  # its embedding of words is not used
                n_positions=n_positions,
                n_embd=d_model,
                n_layer=n_layers,
                n_head=n_heads,
                n_inner=feed_forward * d_model,
                activation_function=activation,
                resid_pdrop=dropout,
                embd_pdrop=dropout,
                attn_pdrop=dropout,
                use_cache=False,
                bos_token_id=None,
                eos_token_id=None,
            )
        )
        self.blocks.wte.weight.requires_grad_(False)
        self.pool = nn.Sequential(nn.Linear(d_model, d_model), nn.Tanh(), nn.Dropout(dropout))
        self.unembed = nn.Linear(d_model, n_parcels)
        self.carry = nn.Parameter(torch.ones(n_parcels)) if carry else None
        if carry:
            nn.init.zeros_(self.unembed.weight)
            nn.init.zeros_(self.unembed.bias)

    def forward(self, brain: torch.Tensor, seconds: torch.Tensor, mask: torch.Tensor | None = None) -> WaveOutput:
        """Encode windows.

        Parameters
        ----------
        brain : torch.Tensor
            (batch, volumes, parcels), every parcel standardised within its run.
        seconds : torch.Tensor
            (batch, volumes), from the first volume of a window.
        mask : torch.Tensor, optional
            (batch, volumes) or (batch, volumes, parcels) of bool: true where something was measured. Padding follows
            a window's volumes. Default: everywhere.

        Raises
        ------
        ValueError
            Another number of parcels, windows that are too long or empty, or times out of range.
        """
        lengths = self._lengths(brain, mask, longest=self.n_positions - 1)
        order = torch.arange(brain.shape[1] + 1, device=brain.device)
        at_class = order == lengths[:, None]
        volumes = torch.where(at_class[..., None], self.class_embedding, F.pad(brain, (0, 0, 0, 1)))
        places = self._time_places(seconds, order[:-1] < lengths[:, None])
        places = torch.where(at_class, self.time.num_embeddings - 1, F.pad(places, (0, 1)))
        hidden = self._hidden(volumes, places, order <= lengths[:, None])
        return WaveOutput(self.pool(_at(hidden, lengths)), hidden)

    def predict_masked(
        self, brain: torch.Tensor, seconds: torch.Tensor, place: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Predict one volume of each window from those before it.

        Parameters
        ----------
        brain, seconds, mask
            As in `forward`. Nothing of the volume itself or of later ones is looked at.
        place : torch.Tensor
            (batch,) of int64, number of the volume, from 1.

        Returns
        -------
        torch.Tensor
            (batch, parcels).

        Raises
        ------
        ValueError
            As `forward`; or a volume that was not measured, or the first.
        """
        lengths = self._lengths(brain, mask, longest=self.n_positions)
        if ((place < 1) | (place >= lengths)).any():
            wrong = int(((place < 1) | (place >= lengths)).nonzero()[0])
            raise ValueError(
                f"place: expected a volume from 1 to before {int(lengths[wrong])}, the length of window {wrong}, found "
                f"{int(place[wrong])}"
            )
        order, at = torch.arange(brain.shape[1], device=brain.device), place[:, None]
        volumes = torch.where((order < at)[..., None], brain, 0)
        volumes = torch.where((order == at)[..., None], self.mask_embedding, volumes)
        seen = order <= at
        hidden = _at(self._hidden(volumes, self._time_places(seconds, seen), seen), place)
        return self._predicted(hidden, _at(brain, place - 1))

    def predict_each(
        self, brain: torch.Tensor, seconds: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Predict every volume but the first as `predict_masked` does, all in one pass of twice the length.

        A mask embedding stands beside each volume and sees the volumes before it and itself.

        Parameters
        ----------
        brain, seconds, mask
            As in `forward`.

        Returns
        -------
        torch.Tensor
            (batch, volumes - 1, parcels); of no use where nothing was measured.

        Raises
        ------
        ValueError
            As `forward`.
        """
        lengths = self._lengths(brain, mask, longest=self.n_positions)
        order = torch.arange(brain.shape[1], device=brain.device)
        times = self.time(self._time_places(seconds, order < lengths[:, None]))
        masks = self.mask_embedding.expand(len(brain), len(order) - 1, -1)
        tokens = torch.cat([self.embed(brain[:, :-1]) + times[:, :-1], self.embed(masks) + times[:, 1:]], dim=1)
        position = torch.cat([order[:-1], order[1:]])
        measured = torch.arange(len(position), device=brain.device) < len(order) - 1
        seen = (position[:, None] > position) & measured | torch.eye(len(position), device=brain.device).bool()
        hidden = self.blocks.drop(tokens + self.blocks.wpe(position))
        for block in self.blocks.h:
            output = block(hidden, attention_mask=seen[None, None])
            hidden = output if isinstance(output, torch.Tensor) else output[0]  # by version of transformers
        return self._predicted(self.blocks.ln_f(hidden)[:, len(order) - 1 :], brain[:, :-1])

    def _predicted(self, hidden: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        predicted = self.unembed(hidden)
        return predicted if self.carry is None else predicted + self.carry * before

    def _hidden(self, volumes: torch.Tensor, places: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(volumes) + self.time(places)
        return self.blocks(inputs_embeds=tokens, attention_mask=seen.long()).last_hidden_state

    def _lengths(self, brain: torch.Tensor, mask: torch.Tensor | None, longest: int) -> torch.Tensor:
        """Return the number of volumes of each window."""
        if brain.ndim != 3 or brain.shape[2] != self.n_parcels:
            raise ValueError(f"brain: expected (batch, volumes, {self.n_parcels} parcels), found {tuple(brain.shape)}")
        if brain.shape[1] > longest:
            raise ValueError(f"brain: windows of {brain.shape[1]} volumes; this network takes {longest} at most")
        if mask is None:
            return torch.full((len(brain),), brain.shape[1], device=brain.device)
        measured = mask if mask.ndim == 2 else mask.any(-1)
        lengths = measured.sum(1)
        if (measured != (torch.arange(brain.shape[1], device=brain.device) < lengths[:, None])).any():
            raise ValueError("mask: expected the measured volumes of a window first and padding behind them")
        if (lengths == 0).any():
            raise ValueError(f"mask: window {int((lengths == 0).nonzero()[0])} has no volume")
        return lengths

    def _time_places(self, seconds: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Return rows of the table of times; 0 where nothing is looked at."""
        places = (seconds.float() / self.time_step).round().long().where(seen, 0)
        if places.numel() and not 0 <= int(places.min()) <= int(places.max()) < self.time.num_embeddings - 1:
            raise ValueError(
                f"seconds: expected times from 0 to before {self.max_time:g} s, found "
                f"{float(seconds[seen].min()):g} to {float(seconds[seen].max()):g} s"
            )
        return places


def window_seconds(
    brain: torch.Tensor, tr: torch.Tensor | float | None, times: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the time of every volume from the first of its window: (batch, volumes).

    Parameters
    ----------
    brain : torch.Tensor
        (batch, volumes, parcels).
    tr : torch.Tensor, float or None
        (batch,) or one for all, repetition time in seconds.
    times : torch.Tensor, optional
        (batch, volumes) in seconds, instead of the repetition time.

    Raises
    ------
    ValueError
        Neither is given.
    """
    if times is not None:
        return times - times[:, :1]
    if tr is None:
        raise ValueError("tr: the repetition time of windows is needed, or the times of their volumes")
    seconds = torch.as_tensor(tr, device=brain.device, dtype=torch.float32).reshape(-1, 1)
    return (seconds * torch.arange(brain.shape[1], device=brain.device)).expand(len(brain), -1)


def _at(hidden: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    return hidden[torch.arange(len(hidden), device=hidden.device), place]
