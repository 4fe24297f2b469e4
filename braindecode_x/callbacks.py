"""What a run leaves behind: noise ceilings and a portable decoder of a training, embeddings of a prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import BasePredictionWriter

from braindecode_x.datamodules.betas import BetasDataModule
from braindecode_x.datasets.betas import SubjectBetas
from braindecode_x.embeddings import Embeddings
from braindecode_x.files import atomic_path, file_hash
from braindecode_x.metrics.noise_ceiling import split_half_noise_ceiling
from braindecode_x.tasks.base import EmbeddingTask, RunTask


class WriteNoiseCeilings(L.Callback):
    """Write the noise ceilings of the regions of a training's subjects, see `region_ceilings`.

    Parameters
    ----------
    target : str or Path
        CSV: a row a subject, a column a region. Not written when no subject has regions and repeats.
    """

    def __init__(self, target: str | Path):
        self.target = Path(target)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Estimate them from the data module's recordings."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not trainer.is_global_zero or not isinstance(data, BetasDataModule):
            return
        ceilings = region_ceilings(data.recordings)
        if len(ceilings):
            with atomic_path(self.target) as temporary:
                ceilings.to_csv(temporary, float_format="%.4f")


class SaveDecoder(L.Callback):
    """Write the best checkpoint of a finished training as a portable folder, see `RunTask.save_pretrained`.

    Parameters
    ----------
    folder : str or Path
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Load the best checkpoint's weights and save them with statistics and space."""
        best = getattr(trainer.checkpoint_callback, "best_model_path", "")
        if not trainer.is_global_zero or not best or not isinstance(pl_module, RunTask):
            return
        state = torch.load(best, weights_only=True, map_location="cpu")
        weights = {k.removeprefix("model."): v for k, v in state["state_dict"].items() if k.startswith("model.")}
        current = {name: value.clone() for name, value in pl_module.model.state_dict().items()}
        pl_module.model.load_state_dict(weights)
        pl_module.save_pretrained(self.folder)
        pl_module.model.load_state_dict(current)


class WriteEmbeddings(BasePredictionWriter):
    """Write what `predict` decoded as one file of embeddings with its index.

    Parameters
    ----------
    target : str or Path
        The index has ``id``, ``stimulus``, ``subject``, ``repeats``, ``split`` and ``checkpoint`` (the file's hash).
    """

    def __init__(self, target: str | Path):
        super().__init__("epoch")
        self.target = Path(target)

    def write_on_epoch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        """Collect all batches of all processes and write them."""
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, list(predictions))
            predictions = [batch for part in parts for batch in part]
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, EmbeddingTask)
        split = trainer.datamodule.predict_split  # type: ignore[attr-defined]
        embeddings = joined(predictions, pl_module, split, checkpoint_hash(trainer.ckpt_path))
        embeddings.save(self.target)


def region_ceilings(recordings: Mapping[str, SubjectBetas]) -> pd.DataFrame:
    """Estimate the noise ceiling of single trials from the repeats of training pictures, median of a region's voxels.

    Pictures that were shown once are passed over; of the others as many repeats are taken as all of them have.

    Parameters
    ----------
    recordings : mapping of str to SubjectBetas
        By subject.

    Returns
    -------
    pandas.DataFrame
        A row for each ``subject`` that has regions and three or more repeated training pictures, a column a region in
        the order of voxels. May come out below 0 where there is no signal; NaN where a subject lacks the region or
        none of its voxels varies.
    """
    rows = {}
    for name, recording in recordings.items():
        repeats = _training_repeats(recording)
        if recording.regions is not None and len(repeats) >= 3:
            ceiling = pd.Series(split_half_noise_ceiling(recording.betas[repeats]))
            rows[name] = ceiling.groupby(recording.regions, sort=False).median().to_dict()
    return pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), name="subject"))


def _training_repeats(recording: SubjectBetas) -> np.ndarray:
    """Return the trials of every repeated training picture: (pictures, repeats) of int."""
    trials = recording.trials
    training = np.flatnonzero((trials["split"] == "train") & (trials["stimulus"] != ""))
    shown = pd.Series(training).groupby(trials["stimulus"].to_numpy()[training], sort=False)
    repeated = [rows.to_numpy() for _, rows in shown if len(rows) > 1]
    count = min((len(rows) for rows in repeated), default=0)
    return np.array([rows[:count] for rows in repeated], dtype=int)


def joined(predictions: Sequence[dict[str, Any]], task: EmbeddingTask, split: str, checkpoint: str) -> Embeddings:
    """Put predicted batches together with an index; the same trial from two processes is kept once."""
    names = task.names
    index = pd.DataFrame(
        {
            "subject": [names[i] for batch in predictions for i in batch["subject"].tolist()],
            "stimulus": [name for batch in predictions for name in batch["stimulus"]],
            "repeats": [n for batch in predictions for n in batch["repeats"].tolist()],
        }
    ).assign(split=split, checkpoint=checkpoint)
    unlabelled = index["stimulus"] == ""
    number = index.groupby("subject").cumcount() + 1
    what = index["stimulus"].where(~unlabelled, "trial" + number.astype(str).str.zfill(5))
    index.insert(0, "id", index["subject"] + "_" + what)
    keep = ~index["id"].duplicated().to_numpy()
    image = torch.cat([batch["image"].cpu() for batch in predictions])[keep]
    texts = [batch["text"] for batch in predictions]
    text = None if texts[0] is None else torch.cat(texts).cpu()[keep]
    text_space = task.text_space if text is not None and task.text_space != task.space else None
    return Embeddings(index[keep].reset_index(drop=True), task.space, image, text, text_space)


def checkpoint_hash(path: str | Path | None) -> str:
    """Hash of a checkpoint file, empty for weights that were never saved."""
    return file_hash(path) if path else ""
