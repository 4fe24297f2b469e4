"""``fit``, ``validate``, ``test`` and ``predict``: a LightningCLI in which every run has one folder."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from braindecode_x.callbacks import SaveDecoder, WriteEmbeddings, WriteNoiseCeilings
from braindecode_x.files import write_text
from braindecode_x.tasks.base import RunTask

BEST, LAST, CONFIG = "checkpoints/best.ckpt", "checkpoints/last.ckpt", "config.yaml"


class OtherSettingsError(ValueError):
    """The folder of a run holds a training of another configuration."""


class RunConfig(SaveConfigCallback):
    """Keep the configuration of a training in its folder, and refuse a folder that holds another training."""

    @property
    def text(self) -> str:
        """The configuration as YAML."""
        return str(self.parser.dump(self.config, skip_unset=False))

    def refuse_other(self, folder: Path) -> None:
        """Raise an `OtherSettingsError` when the folder holds a training of another configuration."""
        target = folder / CONFIG
        if target.is_file() and target.read_text(encoding="utf-8") != self.text:
            raise OtherSettingsError(
                f"{target.parent}: holds a run of other settings (see {target.name}); choose another folder with "
                "--trainer.default_root_dir, or remove this one"
            )

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Write nothing yet: a training that fails before its first step does not claim the folder."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the configuration."""
        if trainer.is_global_zero:
            write_text(Path(trainer.default_root_dir) / CONFIG, self.text)


class RunCLI(LightningCLI):
    """Everything of a run lies in ``trainer.default_root_dir``.

    ``config.yaml``, ``metrics.csv``, ``tensorboard/``, ``checkpoints/best.ckpt`` (by validation retrieval) and
    ``last.ckpt``, ``noise_ceilings.csv`` (where voxels have regions), ``decoder/`` (see `BrainDecoder`),
    ``predictions.safetensors``. ``fit`` in a folder with an unfinished training goes on with it; the other commands
    take the best checkpoint when none is named.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Give runs a default folder."""
        parser.set_defaults({"trainer.default_root_dir": "runs/decoder"})

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Add the callbacks and loggers of a run, unless the configuration names its own loggers."""
        config = self._get(self.config_init, "trainer")
        folder = Path(config["default_root_dir"])
        monitor, mode = self.model.monitor
        config["callbacks"] = [
            *(config["callbacks"] or []),
            ModelCheckpoint(
                folder / "checkpoints",
                "best",
                monitor=monitor,
                mode=mode,
                save_last=True,
                enable_version_counter=False,
            ),
            WriteNoiseCeilings(folder / "noise_ceilings.csv"),
            SaveDecoder(folder / self.model.saved_as),
            WriteEmbeddings(folder / "predictions.safetensors"),
        ]
        if config["logger"] is None and self.subcommand == "fit":
            config["logger"] = [
                ResumedCSVLogger(folder, name="", version=""),
                TensorBoardLogger(folder, name="tensorboard", version=""),
            ]
        elif config["logger"] is None:
            config["logger"] = False
        return super().instantiate_trainer(**kwargs)

    def _parse_ckpt_path(self) -> None:
        """Refuse a damaged checkpoint; the network is the configuration's.

        Lightning would merge the checkpoint's hyperparameters into it, without the name of their class.
        """
        given = self.config[self.config["subcommand"]]["ckpt_path"]
        if given and Path(given).is_file():
            refuse_damaged(Path(given))

    def before_fit(self) -> None:
        """Go on with an unfinished training in this folder."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, RunConfig):
                callback.refuse_other(self._folder)
        last = self._folder / LAST
        if last.is_file() and self._given is None:
            refuse_damaged(last)
            self._set(ckpt_path=str(last))
        self._set(weights_only=True)

    def before_validate(self) -> None:
        """Take the best checkpoint."""
        self._take_best()

    def before_test(self) -> None:
        """Take the best checkpoint."""
        self._take_best()

    def before_predict(self) -> None:
        """Take the best checkpoint."""
        self._take_best()
        self._set(return_predictions=False)

    @property
    def _folder(self) -> Path:
        return Path(self.trainer.default_root_dir)

    @property
    def _given(self) -> str | None:
        return self._get(self.config_init, "ckpt_path")

    def _take_best(self) -> None:
        best = self._folder / BEST
        if self._given is None and not best.is_file():
            raise FileNotFoundError(f"{best}: no such checkpoint; run `braindecode-x fit` first, or give --ckpt_path")
        if self._given is None:
            refuse_damaged(best)
        self._set(ckpt_path=self._given or str(best), weights_only=True)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            self.config_init[str(self.subcommand)][name] = value


class ResumedCSVLogger(CSVLogger):
    """A CSV log that a resumed training goes on writing."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer; rows that are there are kept."""
        if self._experiment is None:
            self._experiment = ResumedWriter(self.log_dir)
        return self._experiment


class ResumedWriter(ExperimentWriter):
    """Lightning's writer, but for a log that is there: it is gone on with, not deleted."""

    def _check_log_dir_exists(self) -> None:
        if Path(self.metrics_file_path).is_file():
            with open(self.metrics_file_path, encoding="utf-8") as stream:
                self.metrics_keys = stream.readline().strip().split(",")


def refuse_damaged(checkpoint: Path) -> None:
    """Raise a ValueError, which names the file, when it is no checkpoint of a decoder's training."""
    try:
        found = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    except Exception as error:  # whatever the bytes lead to
        raise ValueError(
            f"{checkpoint}: damaged, or not a checkpoint; name another one with --ckpt_path, or remove it and run "
            "`braindecode-x fit` again"
        ) from error
    if not isinstance(found, dict) or not found.keys() & {"decoder", "pretrained"}:
        raise ValueError(f"{checkpoint}: not a checkpoint of `braindecode-x fit`: it names no subjects and no space")


def main(arguments: list[str]) -> None:
    """Run one of the four commands."""
    torch.set_float32_matmul_precision("high")
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    warnings.filterwarnings("ignore", message="Your `IterableDataset` has `__len__` defined")  # ours is shared out
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.* is deprecated")
    try:
        RunCLI(
            RunTask,
            L.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=RunConfig,
            seed_everything_default=0,
            trainer_defaults={"gradient_clip_val": 1.0, "num_sanity_val_steps": 0, "max_epochs": 100},
            parser_kwargs={"prog": "braindecode-x"},
            args=arguments,
            load_from_checkpoint_support=False,
        )
    except (MisconfigurationException, ModuleNotFoundError) as error:  # the latter of a logger's or device's package
        raise ValueError(str(error)) from error
    except ValueError as error:
        # jsonargparse wraps what a data set's or a task's constructor says in a listing of the types it tried.
        if str(error).startswith("Does not validate against any of the Union subtypes") and error.__cause__:
            raise error.__cause__ from None
        raise
