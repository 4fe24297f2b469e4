"""Windows of whole-brain BOLD to embeddings: a sequence model, and projections to the embedding spaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from braindecode_x.files import unknown_name
from braindecode_x.models.base import DecoderOutput, KnowsSubjects, checked_trials, pooled_size, subject_names
from braindecode_x.models.mindbridge_parts import Translator
from braindecode_x.models.wave import Wave, window_seconds


class WaveEncoder(nn.Module):
    """`Wave`, read out at its class embedding; times of volumes are those of the repetition time.

    Parameters
    ----------
    n_volumes, n_parcels : int
    tr : float
        Seconds.
    **options
        Of `Wave`.
    """

    def __init__(self, n_volumes: int, n_parcels: int, tr: float, **options: Any):
        super().__init__()
        self.wave, self.tr = Wave(n_parcels, **options), tr
        self.n_features = self.wave.d_model
        for name, parameter in self.wave.named_parameters():
            if name.startswith(("unembed.", "mask_embedding", "carry")):  # of pre-training: no gradient reaches them
                parameter.requires_grad_(False)

    def forward(self, brain: torch.Tensor) -> torch.Tensor:
        """(batch, volumes, parcels) to (batch, n_features)."""
        return self.wave(brain, window_seconds(brain, self.tr)).pooled


class MlpEncoder(nn.Module):
    """Windows flattened, and residual blocks as in MindBridge (arXiv 2404.07850): what a sequence model is compared to.

    Parameters
    ----------
    n_volumes, n_parcels : int
    tr : float
        Not used.
    hidden : int
    n_blocks : int
    dropout : float
        Of the flattened window's embedding; blocks have 0.15, as published.
    """

    def __init__(
        self, n_volumes: int, n_parcels: int, tr: float, hidden: int = 512, n_blocks: int = 2, dropout: float = 0.5
    ):
        super().__init__()
        self.n_features = hidden
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(n_volumes * n_parcels, hidden),
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            Translator(hidden, n_blocks, 0.15),
        )

    def forward(self, brain: torch.Tensor) -> torch.Tensor:
        """(batch, volumes, parcels) to (batch, n_features)."""
        return self.layers(brain)


ENCODERS: dict[str, Any] = {"wave": WaveEncoder, "mlp": MlpEncoder}


class WaveDecoder(KnowsSubjects, nn.Module):
    """One network for all subjects, in one space of parcels; new subjects are decoded too.

    Parameters
    ----------
    subjects : iterable of str
        Names of those it is trained on; a subject's id is its place here. No weight depends on them.
    n_volumes, n_parcels : int
        Of every window.
    tr : float
        Repetition time, seconds.
    image_dim : int or sequence of int
        Size of a pooled image embedding.
    text_dim : int or sequence of int, optional
        Size of a text embedding, predicted by a projection of its own. Default: none.
    encoder : {"wave", "mlp"}
        `WaveEncoder` or `MlpEncoder`.
    options : dict, optional
        Of the encoder.

    Raises
    ------
    ValueError
        No subject or one named twice, an unknown encoder or option, or sizes that do not fit.
    """

    takes_new_subjects = True

    def __init__(
        self,
        subjects: Iterable[str],
        n_volumes: int,
        n_parcels: int,
        tr: float,
        image_dim: int | Sequence[int] = 768,
        text_dim: int | Sequence[int] | None = None,
        encoder: str = "wave",
        options: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.subjects = subject_names(subjects)
        if encoder not in ENCODERS:
            raise unknown_name("encoder", encoder, ENCODERS)
        self.n_volumes, self.n_parcels, self.tr = n_volumes, n_parcels, tr
        self.image_dim = (pooled_size("image_dim", image_dim),)
        self.text_dim = None if text_dim is None else (pooled_size("text_dim", text_dim),)
        self.encoder_name, self.options = encoder, dict(options or {})
        try:
            self.encoder = ENCODERS[encoder](n_volumes, n_parcels, tr, **self.options)
        except TypeError as error:
            raise ValueError(f"options of {encoder}: {error}") from error
        self.image = nn.Linear(self.encoder.n_features, *self.image_dim)
        self.text = None if self.text_dim is None else nn.Linear(self.encoder.n_features, *self.text_dim)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's values, plain enough for JSON."""
        return {
            "subjects": list(self.subjects),
            "n_volumes": self.n_volumes,
            "n_parcels": self.n_parcels,
            "tr": self.tr,
            "image_dim": list(self.image_dim),
            "text_dim": None if self.text_dim is None else list(self.text_dim),
            "encoder": self.encoder_name,
            "options": self.options,
        }

    def forward(
        self, brain: torch.Tensor, subject: torch.Tensor | None = None, mask: torch.Tensor | None = None
    ) -> DecoderOutput:
        """Predict embeddings.

        Parameters
        ----------
        brain : torch.Tensor
            (batch, volumes, parcels), standardised.
        subject : torch.Tensor, optional
            Not looked at; the other decoders need it.
        mask : torch.Tensor, optional
            Bool, of ``brain``'s shape or one that extends to it ((parcels,): parcels, (volumes, 1): a time window).
            Where it is false, activity is set to 0. Default: nowhere.

        Raises
        ------
        ValueError
            Other numbers of volumes or parcels.
        """
        features = self.encoder(checked_trials(brain, {"volumes": self.n_volumes, "parcels": self.n_parcels}, mask))
        return DecoderOutput(self.image(features), None if self.text is None else self.text(features))
