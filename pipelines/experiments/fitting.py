"""What the experiments share: trainings that keep the best validation epoch, and tables that a cut run goes on with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
from lightning.pytorch.callbacks import ModelCheckpoint

from braindecode_x.files import atomic_path
from braindecode_x.tasks import EmbeddingTask, RidgeTask


class Rows:
    """Rows of a CSV, written as they are measured; what is there is not measured again.

    Parameters
    ----------
    target : Path
    """

    def __init__(self, target: Path):
        self.target = target
        self.table = pd.read_csv(target) if target.exists() else pd.DataFrame()

    def find(self, about: Mapping[str, Any]) -> pd.DataFrame:
        """Return the rows that have these values; none when a column is missing."""
        if not set(about) <= set(self.table):
            return self.table.iloc[:0]
        return self.table[(self.table[list(about)] == pd.Series(about)).all(axis=1)]

    def has(self, about: Mapping[str, Any]) -> bool:
        """Whether a row with these values was measured."""
        return len(self.find(about)) > 0

    def add(self, *rows: Mapping[str, Any]) -> None:
        """Append rows."""
        self.table = pd.concat([self.table, pd.DataFrame(list(rows))], ignore_index=True)
        with atomic_path(self.target) as temporary:
            self.table.to_csv(temporary, index=False, float_format="%.4g")


def fit_best(
    task: EmbeddingTask,
    data: L.LightningDataModule,
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
    monitor, mode = task.monitor
    best = ModelCheckpoint(folder, monitor=monitor, mode=mode)
    trainer = L.Trainer(
        accelerator="cpu",
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
