"""EEG or MEG to embeddings: any encoder, and projectors to the embedding spaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from braindecode_x.files import unknown_name
from braindecode_x.models.atm import ATM
from braindecode_x.models.base import DecoderOutput, KnowsSubjects, checked_trials, pooled_size, subject_names
from braindecode_x.models.eeg_baselines import LENGTHS, BraindecodeEncoder
from braindecode_x.models.nice import Nice


class Projector(nn.Module):
    """Linear, then Linear - GELU - Linear - dropout added to it, then LayerNorm: the published residual projector.

    Parameters
    ----------
    n_features, dim : int
        Size of input and output.
    dropout : float
    """

    def __init__(self, n_features: int, dim: int, dropout: float = 0.5):
        super().__init__()
        self.first, self.second = nn.Linear(n_features, dim), nn.Linear(dim, dim)
        self.norm, self.dropout = nn.LayerNorm(dim), nn.Dropout(dropout)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, n_features) to (batch, dim)."""
        x = self.first(features)
        return self.norm(x + self.dropout(self.second(nn.functional.gelu(x))))


class EegDecoder(KnowsSubjects, nn.Module):
    """One network for all subjects of a montage; new subjects are decoded too.

    Parameters
    ----------
    subjects : iterable of str
        Names; a subject's id is its place here. Other ids are of new subjects.
    n_channels, n_times : int
        Of every trial.
    sfreq : float
        Hz.
    image_dim : int or sequence of int
        Size of a pooled image embedding.
    text_dim : int or sequence of int, optional
        Size of a text embedding, predicted by a projector of its own. Default: none.
    encoder : str
        One of `ENCODERS`: ``"ATM-S"``, ``"ATM-E"``, ``"NICE"``, or a network of braindecode.
    options : dict, optional
        Of the encoder, see `ATM`, `Nice` and `BraindecodeEncoder`.
    projector_dropout : float

    Raises
    ------
    ValueError
        No subject or one named twice, an unknown encoder or option, or sizes that do not fit.
    """

    takes_new_subjects = True

    def __init__(
        self,
        subjects: Iterable[str],
        n_channels: int,
        n_times: int,
        sfreq: float = 250.0,
        image_dim: int | Sequence[int] = 1024,
        text_dim: int | Sequence[int] | None = None,
        encoder: str = "ATM-S",
        options: dict[str, Any] | None = None,
        projector_dropout: float = 0.5,
    ):
        super().__init__()
        self.subjects = subject_names(subjects)
        self.n_channels, self.n_times, self.sfreq = n_channels, n_times, sfreq
        image_size = pooled_size("image_dim", image_dim)
        text_size = None if text_dim is None else pooled_size("text_dim", text_dim)
        self.image_dim, self.text_dim = (image_size,), None if text_size is None else (text_size,)
        self.encoder_name, self.options, self.projector_dropout = encoder, dict(options or {}), projector_dropout
        self.encoder = make_encoder(encoder, n_channels, n_times, len(self.subjects), sfreq, image_size, **self.options)
        self.image = Projector(self.encoder.n_features, image_size, projector_dropout)
        self.text = Projector(self.encoder.n_features, text_size, projector_dropout) if text_size else None

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's values, plain enough for JSON."""
        return {
            "subjects": list(self.subjects),
            "n_channels": self.n_channels,
            "n_times": self.n_times,
            "sfreq": self.sfreq,
            "image_dim": list(self.image_dim),
            "text_dim": None if self.text_dim is None else list(self.text_dim),
            "encoder": self.encoder_name,
            "options": self.options,
            "projector_dropout": self.projector_dropout,
        }

    def forward(self, brain: torch.Tensor, subject: torch.Tensor, mask: torch.Tensor | None = None) -> DecoderOutput:
        """Predict embeddings.

        Parameters
        ----------
        brain : torch.Tensor
            (batch, channels, times), standardised: 0 is the mean of the training trials.
        subject : torch.Tensor
            (batch,) of integers, ids.
        mask : torch.Tensor, optional
            Bool, of ``brain``'s shape or one that extends to it ((channels, 1): electrodes, (times,): a time window).
            Where it is false, activity is set to 0. Default: nowhere.

        Raises
        ------
        ValueError
            Other numbers of channels or times.
        """
        sizes = {"channels": self.n_channels, "times": self.n_times}
        features = self.encoder(checked_trials(brain, sizes, mask), subject)
        return DecoderOutput(self.image(features), None if self.text is None else self.text(features))


def make_encoder(
    name: str, n_channels: int, n_times: int, n_subjects: int, sfreq: float, n_features: int, **options: Any
) -> Any:
    """Make an encoder by name: a module from (batch, channels, times) and ids to (batch, n_features).

    Raises
    ------
    ValueError
        Unknown name, an option that this encoder does not have, or sizes that do not fit.
    """
    if name not in ENCODERS:
        raise unknown_name("encoder", name, ENCODERS)
    own: dict[str, Any] = {"sfreq": sfreq}
    if name.startswith("ATM"):
        own = {"n_subjects": n_subjects}
    elif name in LENGTHS:
        own["n_features"] = n_features
    try:
        return ENCODERS[name](n_channels=n_channels, n_times=n_times, **own, **options)
    except TypeError as error:
        raise ValueError(f"encoder {name!r}: options {options}: {error}") from error


ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "ATM-S": partial(ATM, convolution="shallow"),
    "ATM-E": partial(ATM, convolution="eegnet"),
    "NICE": Nice,
    **{name: partial(BraindecodeEncoder, name) for name in LENGTHS},
}
