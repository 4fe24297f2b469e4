"""What the experiments on simulated whole-brain fMRI share: trained decoders that are kept, and the ranks they give."""

from __future__ import annotations

import argparse
import logging
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from fitting import fit_best

from braindecode_x.analysis.parts import labelled, picture_ranks, predictor
from braindecode_x.callbacks import SaveDecoder
from braindecode_x.datamodules import PretrainingDataModule, WindowsDataModule
from braindecode_x.datasets import SimulatedCorpus, SimulatedWholeBrain
from braindecode_x.datasets.runs import RunsCohort, SubjectWindows
from braindecode_x.decoder import BrainDecoder
from braindecode_x.tasks import EmbeddingTask, PretrainingTask, RidgeTask, WaveTask

RIDGE, MLP, WAVE, SCRATCH = "ridge", "MLP", "WAVE, pre-trained", "WAVE, not pre-trained"
ALL = 1076  # training pictures
SIZES = {"d_model": 256, "n_layers": 2, "n_heads": 4}  # as wave_pretraining_simulated.yaml pre-trains


class KeptWindows(RunsCohort):
    """`SimulatedWholeBrain` whose windows are made once for all trainings of a script."""

    def __init__(self, seed: int = 0):
        self.simulation = SimulatedWholeBrain(seed)
        for name in ("subjects", "stimuli", "parcels", "tr", "n_volumes", "delay"):
            setattr(self, name, getattr(self.simulation, name))
        self._made: dict[str, SubjectWindows] = {}

    def runs(self, subject: str) -> list:
        """Simulate a subject's runs."""
        return self.simulation.runs(subject)

    def subject(self, name: str) -> SubjectWindows:
        """Return a subject's windows."""
        if name not in self._made:
            self._made[name] = super().subject(name)
        return self._made[name]


def data_of(cohort: RunsCohort, networks: list[str] | None = None, pictures: int | None = None) -> WindowsDataModule:
    """Make the data module of the experiments, see ``wave_simulated.yaml``."""
    return WindowsDataModule(cohort, networks=networks, standardise=False, n_training_pictures=pictures)


def pretrained(folder: Path, seed: int, width: int = SIZES["d_model"]) -> Path:
    """Return the folder of the pre-trained network of so many features; it is trained when it is not there."""
    folder = folder if width == SIZES["d_model"] else folder.with_name(f"{folder.name}, {width} features")
    if not (folder / "wave.json").is_file():
        data = PretrainingDataModule(SimulatedCorpus(seed), length=20, stride=20, seed=seed)
        with tempfile.TemporaryDirectory() as checkpoints:
            task = PretrainingTask(**SIZES | {"d_model": width}, lr=2e-3, seed=seed)
            fit_best(task, data, checkpoints, epochs=6, seed=seed, callbacks=(SaveDecoder(folder),))
    return folder


def tasks(pretrained_folder: Path, seed: int) -> dict[str, Callable[[], EmbeddingTask]]:
    """Return what makes the task of each system."""
    return {
        WAVE: lambda: WaveTask(pretrained=pretrained_folder, seed=seed),
        SCRATCH: lambda: WaveTask(options=SIZES, seed=seed),
        MLP: lambda: WaveTask("mlp", seed=seed),
        RIDGE: RidgeTask,
    }


def fitted(folder: Path, task: EmbeddingTask, data: WindowsDataModule, epochs: int, seed: int) -> BrainDecoder:
    """Train a decoder that does best on validation pictures, or read it when that was done.

    Networks see few pictures more often: as many steps as with all of them.
    """
    if not (folder / "config.json").is_file():
        rounds = math.ceil(ALL / (data.n_training_pictures or ALL))
        with tempfile.TemporaryDirectory() as checkpoints:
            options = {"epochs": epochs * rounds, "validate_every": rounds, "seed": seed}
            fit_best(task, data, checkpoints, callbacks=(SaveDecoder(folder),), **options)
    return BrainDecoder.from_pretrained(folder)


def test_ranks(decoder: BrainDecoder, data: WindowsDataModule) -> pd.DataFrame:
    """Rank what was seen among all test pictures: ``subject``, ``stimulus``, ``concept``, ``rank``, ``candidates``."""
    data.setup("test")
    concepts, tables = data.cohort.stimuli.table["concept"], []
    for name in data.subjects:
        stimuli, windows, targets = labelled(data, name, "test")
        ranked = picture_ranks(predictor(decoder, decoder.model.subject_id(name))(windows), targets)
        about = {"subject": name, "stimulus": stimuli, "concept": concepts.loc[stimuli].to_numpy()}
        tables.append(pd.DataFrame({**about, "rank": ranked, "candidates": len(ranked)}))
    return pd.concat(tables, ignore_index=True)


def experiment_parser(description: str | None) -> argparse.ArgumentParser:
    """Make the parser of a script, with the arguments that all of them have."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("pipelines/experiments"))
    parser.add_argument("--work", type=Path, default=Path("runs/wave_experiments"), help="keeps trained networks")
    parser.add_argument("--epochs", type=int, default=20, help="of every training with all pictures")
    parser.add_argument("--seeds", type=int, default=1, help="how often every network is trained")
    return parser
