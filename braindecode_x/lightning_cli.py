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

from braindecode_x.callbacks import SaveDecoder, WriteEmbeddings
from braindecode_x.files import write_text
from braindecode_x.tasks.base import EmbeddingTask

BEST, LAST, CONFIG = "checkpoints/best.ckpt", "checkpoints/last.ckpt", "config.yaml"


class RunConfig(SaveConfigCallback):
    """Keep the configuration of a training in its folder, and refuse a folder that holds another training."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Compare and write the configuration."""
        if stage != "fit" or not trainer.is_global_zero:
            return
        target = Path(trainer.default_root_dir) / CONFIG
        text = self.parser.dump(self.config, skip_none=False)
        if target.is_file() and target.read_text(encoding="utf-8") != text:
            raise ValueError(
                f"{target.parent}: holds a run of other settings (see {target.name}); choose another folder with "
                "--trainer.default_root_dir, or remove this one"
            )
        write_text(target, text)


class RunCLI(LightningCLI):
    """Everything of a run lies in ``trainer.default_root_dir``.

    ``config.yaml``, ``metrics.csv``, ``tensorboard/``, ``checkpoints/best.ckpt`` (by validation retrieval) and
    ``last.ckpt``, ``decoder/`` (see `BrainDecoder`), ``predictions.safetensors``. ``fit`` in a folder with an
    unfinished training goes on with it; the other commands take the best checkpoint when none is named.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Give runs a default folder."""
        parser.set_defaults({"trainer.default_root_dir": "runs/decoder"})

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Add the callbacks and loggers of a run, unless the configuration names its own loggers."""
        config = self._get(self.config_init, "trainer")
        folder = Path(config["default_root_dir"])
        config["callbacks"] = [
            *(config["callbacks"] or []),
            ModelCheckpoint(
                folder / "checkpoints",
                "best",
                monitor="val/top1",
                mode="max",
                save_last=True,
                enable_version_counter=False,
            ),
            SaveDecoder(folder / "decoder"),
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

    def before_fit(self) -> None:
        """Go on with an unfinished training in this folder."""
        last = self._folder / LAST
        if last.is_file() and self._given is None:
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
        self._set(ckpt_path=self._given or str(best), weights_only=True)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            self.config_init[str(self.subcommand)][name] = value


class ResumedCSVLogger(CSVLogger):
    """A CSV log that a resumed training goes on writing."""

    @property
    def experiment(self) -> Any:
        """The writer; rows that are there are kept."""
        folder = self.log_dir
        new = getattr(self, "_experiment", None) is None
        earlier = Path(folder, "metrics.csv")
        kept = earlier.read_text(encoding="utf-8") if new and earlier.is_file() else None
        experiment = super().experiment
        if kept is not None:
            write_text(earlier, kept)
            experiment.metrics_keys = kept.splitlines()[0].split(",")
        return experiment


def main(arguments: list[str]) -> None:
    """Run one of the four commands."""
    torch.set_float32_matmul_precision("high")
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    RunCLI(
        EmbeddingTask,
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
