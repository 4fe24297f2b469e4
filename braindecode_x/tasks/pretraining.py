"""Pre-training of WAVE's sequence model by causal masked modelling (arXiv 2411.07121)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from braindecode_x.datamodules.batch import Batch
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.models.pretrained_wave import PretrainedWave
from braindecode_x.models.wave import Wave, window_seconds
from braindecode_x.tasks.base import RunTask

VALIDATED = 4  # volumes of each validation window that are predicted


class PretrainingTask(RunTask):
    """Train `Wave` to predict one volume of a window from those before it, on windows of any runs.

    In training a volume of each window is drawn; the loss is the mean absolute difference. In validation the same
    volumes are predicted every time. ``val/loss`` is logged beside what needs no network: ``val/zero`` (a run's mean),
    ``val/window_mean`` (the mean of the volumes before) and ``val/last`` (the volume before). A training leaves the
    folder ``wave``, a `PretrainedWave`, which `WaveTask` takes. Gradients are accumulated and numbers halved in size by
    the trainer (``trainer.accumulate_grad_batches``, ``trainer.precision: bf16-mixed``).

    Parameters
    ----------
    d_model, n_layers, n_heads, dropout, n_positions, time_step, max_time
        See `Wave`; defaults here are for a few hundred parcels and a few hours of recordings.
    pretrained : str or Path, optional
        Folder of a pre-trained model to go on from, on the same parcels; its sizes count.
    lr, weight_decay, warmup_epochs : float
        See `RunTask`.
    seed : int
        Of the volumes that are drawn.
    """

    saved_as = "wave"
    parcels: Parcels | None = None

    def __init__(
        self,
        d_model: int = 128,
        n_layers: int = 4,
        n_heads: int = 4,
        dropout: float = 0.1,
        n_positions: int = 512,
        time_step: float = 0.2,
        max_time: float = 300.0,
        pretrained: str | Path | None = None,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        warmup_epochs: float = 1.0,
        seed: int = 0,
    ):
        super().__init__(lr, weight_decay, warmup_epochs)
        self.sizes: dict[str, Any] = {
            "d_model": d_model,
            "n_layers": n_layers,
            "n_heads": n_heads,
            "dropout": dropout,
            "n_positions": n_positions,
            "time_step": time_step,
            "max_time": max_time,
        }
        self.pretrained, self.seed = pretrained, seed
        self.save_hyperparameters(ignore=["pretrained"])

    def configure_model(self) -> None:
        """Build the network for the data module's parcels."""
        if self.model is not None or self._trainer is None:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        self.parcels = data.parcels
        if self.pretrained is None:
            self._take(Wave(data.n_parcels, **self.sizes))
            return
        known = PretrainedWave.from_pretrained(self.pretrained)
        if self.parcels is not None:
            known = known.for_parcels(self.parcels, f"folder {str(self.pretrained)!r}")
        self._take(known.model.train())

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Compute the loss of one batch, at volumes drawn at random."""
        drawn = np.random.SeedSequence([self.seed, self.current_epoch, batch_idx, self.global_rank])
        generator = torch.Generator().manual_seed(int(drawn.generate_state(1)[0]))
        share = torch.rand(len(batch), generator=generator).to(batch.brain.device)
        loss = self._errors(batch, masked_place(batch, share))["loss"]
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Compute the loss of one batch, and the error of what needs no network, at volumes spread over windows."""
        for number in range(VALIDATED):
            share = torch.full((len(batch),), (number + 0.5) / VALIDATED, device=batch.brain.device)
            place = masked_place(batch, share)
            for name, value in (self._errors(batch, place) | baseline_errors(batch, place)).items():
                shown = name == "loss"
                self.log(f"val/{name}", value, prog_bar=shown, on_epoch=True, batch_size=len(batch), sync_dist=True)

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Refuse: there are no embeddings yet."""
        raise ValueError("a pre-trained model tells no embeddings; train WaveTask with it as pretrained")

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the portable folder, see `PretrainedWave`."""
        PretrainedWave(self.model, self.parcels).save_pretrained(folder)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put sizes and parcels into the checkpoint."""
        parcels = None if self.parcels is None else self.parcels.to_dict()
        checkpoint["pretrained"] = {"config": self.model.config, "parcels": parcels}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Rebuild the network that the checkpoint is of, and refuse data of other parcels."""
        if "pretrained" not in checkpoint:
            raise ValueError("not a checkpoint of PretrainingTask: it names no parcels")
        about = checkpoint["pretrained"]
        parcels = None if about["parcels"] is None else Parcels.from_dict(about["parcels"])
        if parcels is not None and self.parcels is not None:
            parcels.require(self.parcels, "runs", "the checkpoint")
        self.parcels = parcels or self.parcels
        if self.model is None or self.model.config != about["config"]:
            self._take(Wave(**about["config"]))

    def _take(self, model: Wave) -> None:
        """Train all but what reads out whole windows: processes wait for every gradient that is asked for."""
        model.pool.requires_grad_(False)
        model.class_embedding.requires_grad_(False)
        self.model = model

    def _errors(self, batch: Batch, place: torch.Tensor) -> dict[str, torch.Tensor]:
        seconds = window_seconds(batch.brain, batch.tr, batch.times)
        predicted = self.model.predict_masked(batch.brain, seconds, place, batch.mask)
        return {"loss": (predicted.float() - _volumes(batch.brain, place)).abs().mean()}


def masked_place(batch: Batch, share: torch.Tensor) -> torch.Tensor:
    """Return which volume of each window to mask: (batch,) of int64, from 1 to the last.

    Parameters
    ----------
    batch : Batch
    share : torch.Tensor
        (batch,) in [0, 1), how far along the window's volumes but the first.
    """
    measured = batch.mask if batch.mask is None or batch.mask.ndim == 2 else batch.mask.any(-1)
    longest = torch.full_like(share, batch.brain.shape[1])
    lengths = longest if measured is None else measured.sum(1).to(share)
    return 1 + (share * (lengths - 1)).long().minimum((lengths - 2).long())


def baseline_errors(batch: Batch, place: torch.Tensor) -> dict[str, torch.Tensor]:
    """Compute the mean absolute error of predictions that need no network.

    Parameters
    ----------
    batch : Batch
        ``brain`` (batch, volumes, parcels).
    place : torch.Tensor
        (batch,) of int64, the volume to predict, from 1.

    Returns
    -------
    dict of str to torch.Tensor
        Scalars: ``zero``, ``window_mean`` and ``last``; see `PretrainingTask`.
    """
    brain, true = batch.brain, _volumes(batch.brain, place)
    before = torch.arange(brain.shape[1], device=brain.device) < place[:, None]
    mean = (brain * before[..., None]).sum(1) / place[:, None]
    guesses = {"zero": torch.zeros_like(true), "window_mean": mean, "last": _volumes(brain, place - 1)}
    return {name: (guess - true).abs().mean() for name, guess in guesses.items()}


def _volumes(brain: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    return brain[torch.arange(len(brain), device=brain.device), place].float()
