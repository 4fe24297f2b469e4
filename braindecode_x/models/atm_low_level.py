"""ATM's low-level branch: EEG to the latents of an image autoencoder (Li et al., NeurIPS 2024, arXiv 2403.07721)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from braindecode_x.models.base import DecoderOutput, KnowsSubjects, checked_trials

WIDTHS = (1024, 512, 256, 128, 64, 32)


class AtmLowLevel(KnowsSubjects, nn.Module):
    """A linear map of every electrode's samples, then transposed convolutions from one place up to the latents.

    All subjects share it. New weights are drawn from torch's global generator.

    Parameters
    ----------
    subjects : iterable of str
        Names; a subject's id is its place here.
    n_channels, n_times : int
        Of every trial.
    latent_shape : sequence of int
        (channels, height, width). The published one is that of Stable Diffusion's autoencoder at 512 pixels.
    d_channel : int
        Features of an electrode.
    widths : sequence of int, optional
        Channels after each doubling of height and width, one for each that it takes to reach the latents (6 for 64).
        Default: the last ones of the published (1024, 512, 256, 128, 64, 32).
    last_width : int
        Channels before the last layer.

    Raises
    ------
    ValueError
        No subject, a shape that is none, or another number of widths than of doublings.
    """

    takes_new_subjects = True

    def __init__(
        self,
        subjects: Iterable[str],
        n_channels: int,
        n_times: int,
        latent_shape: Sequence[int] = (4, 64, 64),
        d_channel: int = 128,
        widths: Sequence[int] | None = None,
        last_width: int = 16,
    ):
        super().__init__()
        self.subjects, self.latent_shape = tuple(subjects), tuple(latent_shape)
        if not self.subjects:
            raise ValueError("subjects: expected names, found none")
        if len(self.latent_shape) != 3 or min(self.latent_shape) < 1 or max(self.latent_shape[1:]) < 2:
            raise ValueError(f"latent_shape: expected (channels, height, width), found {list(self.latent_shape)}")
        doublings = (max(self.latent_shape[1:]) - 1).bit_length()
        if widths is None and doublings > len(WIDTHS):
            raise ValueError(f"widths: expected {doublings}, to reach latents of {self.latent_shape[1:]}; found none")
        self.widths = tuple(WIDTHS[len(WIDTHS) - doublings :] if widths is None else widths)
        if len(self.widths) != doublings:
            raise ValueError(
                f"widths: expected {doublings}, to reach latents of {self.latent_shape[1:]}, found {len(self.widths)}"
            )
        self.n_channels, self.n_times, self.d_channel, self.last_width = n_channels, n_times, d_channel, last_width
        self.electrode = nn.Linear(n_times, d_channel)
        layers: list[nn.Module] = []
        before = n_channels * d_channel
        for width in (*self.widths, last_width):
            size = (1, 1, 0) if len(layers) == 3 * doublings else (4, 2, 1)  # the last ones keep height and width
            layers += [nn.ConvTranspose2d(before, width, *size), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.upsampler = nn.Sequential(*layers, nn.ConvTranspose2d(before, self.latent_shape[0], 1))

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's values, plain enough for JSON."""
        return {
            "subjects": list(self.subjects),
            "n_channels": self.n_channels,
            "n_times": self.n_times,
            "latent_shape": list(self.latent_shape),
            "d_channel": self.d_channel,
            "widths": list(self.widths),
            "last_width": self.last_width,
        }

    def forward(self, brain: torch.Tensor, subject: torch.Tensor, mask: torch.Tensor | None = None) -> DecoderOutput:
        """Predict latents as ``image``: (batch, *latent_shape); arguments and errors as of `EegDecoder`."""
        brain = checked_trials(brain, {"channels": self.n_channels, "times": self.n_times}, mask)
        latents = self.upsampler(self.electrode(brain).flatten(1)[:, :, None, None])
        if latents.shape[1:] != self.latent_shape:
            latents = F.interpolate(latents, self.latent_shape[1:], mode="bilinear", antialias=True)
        return DecoderOutput(latents, None)
