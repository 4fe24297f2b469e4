"""What the experiments on the simulated EEG subjects share: recordings that are kept, and the ranks of every epoch."""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from fitting import fit_best

from braindecode_x.analysis.parts import labelled, picture_ranks
from braindecode_x.callbacks import SaveDecoder
from braindecode_x.datamodules import EpochsDataModule
from braindecode_x.datamodules.batch import Batch
from braindecode_x.datasets import SimulatedEeg
from braindecode_x.datasets.epochs import EpochsCohort, SubjectEpochs
from braindecode_x.files import atomic_path
from braindecode_x.tasks import EegTask

RIDGE, ATM = "ridge", "ATM-S"
PUBLISHED = f"{ATM}, published loss"
WITHIN = ("sub-01", "sub-02")  # whom every system decodes by itself
SPLITS = ("validation", "test")
EPOCHS, BATCH_SIZE = 30, 128


class KeptEeg(EpochsCohort):
    """`SimulatedEeg` whose epochs are simulated once and kept in a folder: it takes the better part of a minute each.

    Parameters
    ----------
    folder : Path
        Remove it when the simulation has changed.
    seed : int
    """

    def __init__(self, folder: Path, seed: int = 0):
        self.folder, self.simulation = folder / f"seed-{seed}", SimulatedEeg(seed)
        self.subjects, self.stimuli = self.simulation.subjects, self.simulation.stimuli
        self.truth = self.simulation.truth

    def subject(self, name: str) -> SubjectEpochs:
        """Return the recording of a subject, memory-mapped."""
        source, simulation = self.folder / f"{name}.npy", self.simulation
        if not source.exists():
            with atomic_path(source) as temporary:
                np.save(temporary, simulation.subject(name).epochs)
        trials, tmin = simulation.trials(simulation.repeats), float(simulation.times[0])
        return SubjectEpochs(name, np.load(source, mmap_mode="r"), trials, simulation.info, tmin)


def data_of(cohort: EpochsCohort, subjects: Sequence[str], **options: object) -> EpochsDataModule:
    """Make the data module of the experiments, see ``atm_simulated.yaml``."""
    return EpochsDataModule(cohort, subjects, **{"tmin": 0.0, "batch_size": BATCH_SIZE, **options})


def eeg_task(encoder: str = ATM, **options: Any) -> EegTask:
    """Make the task of the experiments; ATM's tokens are as long as a trial, as published."""
    if encoder.startswith("ATM"):
        options["options"] = {"d_model": 125, **options.get("options", {})}
    return EegTask(encoder, **options)


@dataclass
class Responses:
    """One subject's validation and test pictures, repeats averaged, with their embeddings.

    Attributes
    ----------
    name : str
    number : int
        The subject's id.
    brain, targets : dict of str to numpy.ndarray
        By split: (pictures, channels, times) and (pictures, d).
    """

    name: str
    number: int
    brain: dict[str, np.ndarray]
    targets: dict[str, np.ndarray]

    @classmethod
    def of(cls, data: EpochsDataModule, name: str) -> Responses:
        """Take a subject of a data module."""
        pairs = {split: labelled(data, name, split)[1:] for split in SPLITS}
        brain, targets = ({split: pair[place] for split, pair in pairs.items()} for place in (0, 1))
        return cls(name, data.ids[name], brain, targets)

    @torch.inference_mode()
    def decode(self, task: EegTask) -> dict[str, np.ndarray]:
        """Decode all: by split (pictures, d)."""
        decoded = {}
        for split, responses in self.brain.items():
            brain = torch.from_numpy(responses)
            batch = Batch(brain, torch.full((len(brain),), self.number), [""] * len(brain))
            decoded[split] = task.predict_embeddings(batch)[0].numpy()
        return decoded

    def ranks(self, decoded: dict[str, np.ndarray], split: str, centred: bool = False) -> np.ndarray:
        """Rank the right picture of each response: (pictures,).

        ``centred``: what decoded embeddings have in common is taken off, and what true ones have, by their means over
        validation pictures; a plain cosine favours systems whose predictions do not shrink towards their mean.
        """
        common = [each["validation"].mean(axis=0) if centred else 0 for each in (decoded, self.targets)]
        return picture_ranks(decoded[split] - common[0], self.targets[split] - common[1])


class EpochPredictions(L.Callback):
    """Decode the responses of some subjects after each epoch.

    Test pictures are decoded only to tell, afterwards, what choosing the epoch by them would have been worth.

    Parameters
    ----------
    tested : sequence of Responses

    Attributes
    ----------
    chosen_by : list of float
        By epoch: top-1 on validation pictures of the subjects that were trained on.
    decoded : dict of str to list
        By subject, epoch and split: (pictures, d).
    seconds : float
        That it took.
    """

    def __init__(self, tested: Sequence[Responses]):
        self.tested, self.chosen_by = tested, list[float]()
        self.decoded: dict[str, list[dict[str, np.ndarray]]] = {who.name: [] for who in tested}
        self.seconds = 0.0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._started = time.time()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Decode all responses."""
        self.chosen_by.append(float(trainer.callback_metrics["val/top1"]))
        for who in self.tested:
            self.decoded[who.name].append(who.decode(pl_module))
        self.seconds = time.time() - self._started

    @property
    def best(self) -> int:
        """The epoch whose weights are kept: the first of the best validation."""
        return int(np.argmax(self.chosen_by))


def train_eeg(
    task: EegTask,
    data: EpochsDataModule,
    tested: Sequence[Responses],
    *,
    epochs: int,
    seed: int,
    decoder: Path | None = None,
) -> EpochPredictions:
    """Train a network; ``decoder`` is the folder that gets what it was after the best validation epoch."""
    after = EpochPredictions(tested)
    callbacks = (after, SaveDecoder(decoder)) if decoder else (after,)
    with tempfile.TemporaryDirectory() as folder:
        fit_best(task, data, folder, epochs=epochs, seed=seed, callbacks=callbacks)
    return after


def atm_folder(work: Path, epochs: int, seed: int) -> Path:
    """Return where the ATM-S that is trained for all subjects is kept."""
    return work / f"decoders/{ATM} {epochs} epochs, seed {seed}"


def atm_for_all(cohort: KeptEeg, work: Path, epochs: int, seed: int) -> Path:
    """Return the folder of the ATM-S for all subjects; it is trained when it is not there."""
    folder, everyone = atm_folder(work, epochs, seed), cohort.subjects
    if not (folder / "config.json").exists():
        options = {"epochs": epochs_for(len(everyone), epochs), "seed": seed, "decoder": folder}
        train_eeg(eeg_task(seed=seed), data_of(cohort, everyone), [], **options)
    return folder


def epochs_for(n_subjects: int, epochs: int) -> int:
    """Tell how long to train on several subjects: an epoch has more steps then, and half as many do."""
    return epochs if n_subjects == 1 else epochs // 2


def experiment_parser(description: str | None) -> argparse.ArgumentParser:
    """Make the parser of a script, with the arguments that all of them have."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("pipelines/experiments"))
    parser.add_argument(
        "--work", type=Path, default=Path("runs/eeg_experiments"), help="keeps recordings and trained decoders"
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of every training within one subject")
    parser.add_argument("--seed", type=int, default=0)
    return parser
