"""Training of ATM (arXiv 2403.07721) and of the encoders beside it, on EEG or MEG."""

from __future__ import annotations

from typing import Any

import torch

from braindecode_x.datamodules.batch import Batch, mix_within_subjects
from braindecode_x.datasets.epochs import EpochsLayout
from braindecode_x.datasets.windows_layout import trials_of
from braindecode_x.losses import AtmLoss
from braindecode_x.models.eeg import EegDecoder
from braindecode_x.tasks.base import EmbeddingTask


class EegTask(EmbeddingTask):
    """Train an encoder of epochs on one or several subjects; it decodes new subjects too.

    Parameters
    ----------
    encoder : str
        ``"ATM-S"``, ``"ATM-E"``, ``"NICE"``, ``"EEGNet"``, ``"ShallowFBCSPNet"``, ``"Deep4Net"``, ``"EEGConformer"`` or
        ``"ATCNet"``; the last five need the package braindecode.
    options : dict, optional
        Of the encoder: see `ATM`, `Nice` and `BraindecodeEncoder`.
    text_head : bool
        Predict text embeddings by a projector of their own. Default: the picture's embedding serves both, as published.
    projector_dropout : float
    mix : {"retrieval", "reconstruction"} or dict of str to float
        Weights of the losses, see `AtmLoss`.
    published_loss : bool
        See `AtmLoss`.
    unknown_share : float
        Share of training trials that do not tell whose they are, so that the token that new subjects take is trained.
        0, as published, leaves it as it was drawn.
    mixup : float
        Train on mixes of a subject's trials, shares drawn from Beta(mixup, mixup); see `mix_within_subjects`. 0: none.
    lr, weight_decay, warmup_epochs : float
        See `EmbeddingTask`.
    seed : int
        Of mixes and of the trials that do not tell whose they are.

    Raises
    ------
    ValueError
        A value out of its range.
    """

    def __init__(
        self,
        encoder: str = "ATM-S",
        options: dict[str, Any] | None = None,
        text_head: bool = False,
        projector_dropout: float = 0.5,
        mix: str | dict[str, float] = "retrieval",
        published_loss: bool = False,
        unknown_share: float = 0.1,
        mixup: float = 0.0,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        warmup_epochs: float = 2.0,
        seed: int = 0,
    ):
        if not 0 <= unknown_share <= 1:
            raise ValueError(f"unknown_share: expected a share in [0, 1], found {unknown_share}")
        if mixup < 0:
            raise ValueError(f"mixup: expected a number of at least 0, found {mixup}")
        self.mix, self.published_loss = mix, published_loss
        super().__init__(lr, weight_decay, warmup_epochs)
        self.encoder, self.options = encoder, options
        self.text_head, self.projector_dropout = text_head, projector_dropout
        self.unknown_share, self.mixup, self.seed = unknown_share, mixup, seed
        self.save_hyperparameters()

    def configure_losses(self) -> None:
        """Build the sum of contrasts and mean squared error."""
        self.loss = AtmLoss(self.mix, self.published_loss)

    def configure_models(self) -> None:
        """Build the network for the subjects' montage and times."""
        if not isinstance(self.layout, EpochsLayout):
            raise ValueError(
                f"EegTask decodes epochs, but the data module gives {trials_of(self.layout)}; use EpochsDataModule"
            )
        if self.space.kind != "pooled":
            raise ValueError(f"EegTask decodes to pooled embeddings; found [{self.space}] (the data module's kind)")
        self.model = EegDecoder(
            self.subjects,
            *self.layout.shape,
            sfreq=self.layout.sfreq,
            image_dim=self.space.shape,
            text_dim=self.text_space.shape if self.text_head else None,
            encoder=self.encoder,
            options=self.options,
            projector_dropout=self.projector_dropout,
        )

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Compute the loss of one batch, over the trials of all processes."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        if self.mixup:
            batch = mix_within_subjects(batch, self.mixup, generator)
        hidden = torch.rand(len(batch), generator=generator).to(batch.subject.device) < self.unknown_share
        output = self.model(batch.brain, batch.subject.where(~hidden, len(self.subjects)), batch.mask)
        return self.joint_loss(output, self.target(batch), batch.text_target, len(batch))
