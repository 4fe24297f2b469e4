"""Training of ATM's low-level branch: from EEG or MEG to the latents of a decoder (arXiv 2403.07721)."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F

from braindecode_x.clip import image_targets
from braindecode_x.clip.cache import MappedTargets
from braindecode_x.datamodules.batch import Batch
from braindecode_x.datasets.epochs import EpochsLayout
from braindecode_x.datasets.windows_layout import trials_of
from braindecode_x.diffusion.latent import LatentReconstructor
from braindecode_x.diffusion.low_level import LatentEncoder
from braindecode_x.diffusion.reconstructor import EMBEDDED, Reconstructor
from braindecode_x.files import unknown_name
from braindecode_x.models.atm_low_level import AtmLowLevel
from braindecode_x.tasks.base import EmbeddingTask

LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss}


class LowLevelTask(EmbeddingTask):
    """Train `AtmLowLevel` to predict the latents of the pictures seen.

    ``predict`` writes latents, which ``reconstruct`` takes as the start of image-to-image diffusion. The best
    checkpoint is that of the least loss on validation pictures. Latents of pictures are computed once and cached.

    Parameters
    ----------
    reconstructor : str
        Whose latents, see `Reconstructor.from_pretrained`.
    d_channel, widths, last_width
        See `AtmLowLevel`.
    loss : {"mse", "l1"}
        Mean squared or absolute difference of normalised latents.
    lr, weight_decay, warmup_epochs : float
        See `EmbeddingTask`.

    Raises
    ------
    ValueError
        An unknown loss.
    """

    monitor = ("val/loss", "min")

    def __init__(
        self,
        reconstructor: str = EMBEDDED,
        d_channel: int = 32,
        widths: list[int] | None = None,
        last_width: int = 16,
        loss: Literal["mse", "l1"] = "mse",
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        warmup_epochs: float = 2.0,
    ):
        if loss not in LOSSES:
            raise unknown_name("loss", loss, LOSSES)
        super().__init__(lr, weight_decay, warmup_epochs)
        self.reconstructor, self.loss = reconstructor, loss
        self.d_channel, self.widths, self.last_width = d_channel, widths, last_width
        self.save_hyperparameters()

    @cached_property
    def pictures(self) -> LatentEncoder:
        """The autoencoder that tells latents of pictures."""
        found = Reconstructor.from_pretrained(self.reconstructor)
        assert isinstance(found, LatentReconstructor)
        return LatentEncoder(found)

    @cached_property
    def latents(self) -> dict[str, torch.Tensor]:
        """Latents of every picture of the data module's cohort."""
        stimuli = self.trainer.datamodule.cohort.stimuli  # type: ignore[attr-defined]
        found: MappedTargets = image_targets(stimuli, self.pictures)
        return dict(zip(stimuli.ids, found.tensor(), strict=True))

    def configure_models(self) -> None:
        """Build the network for the latents and the subjects' montage and times."""
        if self._trainer is not None:
            self.space = self.text_space = self.pictures.space
        if not isinstance(self.layout, EpochsLayout):
            raise ValueError(
                f"LowLevelTask decodes epochs, but the data module gives {trials_of(self.layout)}; use EpochsDataModule"
            )
        self.model = AtmLowLevel(
            self.subjects, *self.layout.shape, self.space.shape, self.d_channel, self.widths, self.last_width
        )

    def predict_embeddings(self, batch: Batch) -> tuple[torch.Tensor, None]:
        """Return the latents of a batch."""
        return self.model(batch.brain, batch.subject, batch.mask).image, None

    def target(self, batch: Batch, stage: str = "training") -> torch.Tensor:
        """Return the latents of the pictures seen."""
        if not all(batch.stimulus):
            raise ValueError(f"{stage} needs pictures: trials of a batch are unlabelled")
        return torch.stack([self.latents[name] for name in batch.stimulus]).to(batch.brain.device)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Compute the loss of one batch."""
        return self._loss("train", batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score a batch of validation pictures."""
        super().validation_step(batch, batch_idx)
        self._loss("val", batch)

    def _loss(self, stage: str, batch: Batch) -> torch.Tensor:
        loss = LOSSES[self.loss](self.predict_embeddings(batch)[0], self.target(batch))
        self.log(f"{stage}/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss
