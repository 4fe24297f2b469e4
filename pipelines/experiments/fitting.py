"""What the experiments' trainings share: a quiet trainer that keeps the weights of the best validation epoch."""

from __future__ import annotations

from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint

from braindecode_x.datamodules import BetasDataModule
from braindecode_x.tasks import EmbeddingTask, RidgeTask


def fit_best(
    task: EmbeddingTask,
    data: BetasDataModule,
    folder: str | Path,
    *,
    epochs: int,
    seed: int,
    validate_every: int = 1,
    callbacks: tuple[L.Callback, ...] = (),
) -> tuple[L.Trainer, str]:
    """Train (ridge in its one step); return the trainer and the checkpoint, in ``folder``, of the best validation."""
    L.seed_everything(seed, verbose=False)
    ridge = isinstance(task, RidgeTask)
    best = ModelCheckpoint(folder, monitor="val/top1", mode="max")
    trainer = L.Trainer(
        max_epochs=1 if ridge else epochs,
        check_val_every_n_epoch=1 if ridge else validate_every,
        limit_train_batches=1 if ridge else None,
        callbacks=[best, *callbacks],
        logger=False,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(task, datamodule=data)
    return trainer, best.best_model_path
