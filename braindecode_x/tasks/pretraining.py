"""Pre-training of WAVE's sequence model by causal masked modelling (arXiv 2411.07121)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from braindecode_x.datamodules.batch import Batch
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.files import unknown_name
from braindecode_x.models.pretrained_wave import PretrainedWave
from braindecode_x.models.wave import Wave, window_seconds
from braindecode_x.tasks.base import RunTask

MASKED = ("each", "one")


class PretrainingTask(RunTask):
    """Train `Wave` to predict masked volumes of a window from those before them, on windows of any runs.

    The loss is the mean absolute difference. In validation every volume but the first is predicted: ``val/loss`` is
    logged beside what needs no network, ``val/zero`` (a run's mean), ``val/window_mean`` (the mean of the volumes
    before) and ``val/last`` (the volume before). A training leaves the folder ``wave``, a `PretrainedWave`, which
    `WaveTask` takes. The trainer accumulates gradients (``trainer.accumulate_grad_batches``) and computes in bfloat16
    (``trainer.precision: bf16-mixed``).

    Parameters
    ----------
    d_model, n_layers, n_heads, dropout, n_positions, time_step, max_time, carry
        See `Wave`; defaults here are for a few hundred parcels and a few hours of recordings.
    masked : {"each", "one"}
        What is predicted of each window in a step: every volume but the first, each masked by itself, in one pass; or
        one that is drawn, as published.
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
        carry: bool = True,
        masked: Literal["each", "one"] = "each",
        pretrained: str | Path | None = None,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        warmup_epochs: float = 1.0,
        seed: int = 0,
    ):
        if masked not in MASKED:
            raise unknown_name("way to mask", masked, MASKED)
        super().__init__(lr, weight_decay, warmup_epochs)
        self.sizes: dict[str, Any] = {
            "d_model": d_model,
            "n_layers": n_layers,
            "n_heads": n_heads,
            "dropout": dropout,
            "n_positions": n_positions,
            "time_step": time_step,
            "max_time": max_time,
            "carry": carry,
        }
        self.masked, self.pretrained, self.seed = masked, pretrained, seed
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
        """Compute the loss of one batch, at every volume or at volumes drawn at random."""
        if self.masked == "each":
            loss = self._error_of_each(batch)
        else:
            drawn = np.random.SeedSequence([self.seed, self.current_epoch, batch_idx, self.global_rank])
            generator = torch.Generator().manual_seed(int(drawn.generate_state(1)[0]))
            place = masked_place(batch, torch.rand(len(batch), generator=generator).to(batch.brain.device))
            seconds = window_seconds(batch.brain, batch.tr, batch.times)
            predicted = self.model.predict_masked(batch.brain, seconds, place, batch.mask)
            true = batch.brain[torch.arange(len(place), device=place.device), place]
            loss = (predicted.float() - true.float()).abs().mean()
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Compute the loss of one batch, and the error of what needs no network."""
        for name, value in {"loss": self._error_of_each(batch), **baseline_errors(batch)}.items():
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

    def _error_of_each(self, batch: Batch) -> torch.Tensor:
        seconds = window_seconds(batch.brain, batch.tr, batch.times)
        return mean_error(self.model.predict_each(batch.brain, seconds, batch.mask), batch)


def masked_place(batch: Batch, share: torch.Tensor) -> torch.Tensor:
    """Return which volume of each window to mask: (batch,) of int64, from 1 to the last.

    Parameters
    ----------
    batch : Batch
    share : torch.Tensor
        (batch,) in [0, 1), how far along the window's volumes but the first.
    """
    lengths = measured_volumes(batch).sum(1)
    return 1 + (share * (lengths - 1)).long().minimum(lengths - 2)


def baseline_errors(batch: Batch) -> dict[str, torch.Tensor]:
    """Compute the mean absolute error of predictions of every volume but the first that need no network.

    Parameters
    ----------
    batch : Batch
        ``brain`` (batch, volumes, parcels).

    Returns
    -------
    dict of str to torch.Tensor
        Scalars: ``zero``, ``window_mean`` and ``last``; see `PretrainingTask`.
    """
    before = batch.brain[:, :-1].float()
    counts = torch.arange(1, before.shape[1] + 1, device=before.device)[:, None]
    guesses = {"zero": torch.zeros_like(before), "window_mean": before.cumsum(1) / counts, "last": before}
    return {name: mean_error(guess, batch) for name, guess in guesses.items()}


def mean_error(predicted: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Average the absolute error of what is predicted of every volume but the first, (batch, volumes - 1, parcels)."""
    errors = (predicted.float() - batch.brain[:, 1:].float()).abs().mean(2)
    measured = measured_volumes(batch)[:, 1:]
    return (errors * measured).sum() / measured.sum()


def measured_volumes(batch: Batch) -> torch.Tensor:
    """Say which volumes of padded windows were measured: (batch, volumes) of bool."""
    if batch.mask is None:
        return torch.ones(batch.brain.shape[:2], dtype=torch.bool, device=batch.brain.device)
    return batch.mask if batch.mask.ndim == 2 else batch.mask.any(-1)
