"""What tests of trainings share: a quiet trainer, targets that the small cohorts answer to, built configurations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightning as L
import torch
import torch.multiprocessing as mp
from lightning.pytorch.cli import LightningCLI

from braindecode_x.datamodules import Batch
from braindecode_x.datamodules.base import CohortDataModule
from braindecode_x.lightning_cli import main
from braindecode_x.tasks.base import RunTask

PIPELINES = Path(__file__).parents[2] / "pipelines"


def trainer(epochs: int = 1, **options) -> L.Trainer:
    """Make a trainer on the CPU that shows and writes nothing."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    return L.Trainer(max_epochs=epochs, accelerator="cpu", **(quiet | {"enable_checkpointing": False} | options))


def in_two_processes(work: Callable[..., None], folder: Path) -> None:
    """Call ``work(rank, folder)`` in two processes that gloo joins.

    They are forked, which is quicker, where there is no accelerator whose autograd threads forbid it.
    """
    forked = not (torch.cuda.is_available() or torch.backends.mps.is_available())
    mp.start_processes(_joined, (work, str(folder)), nprocs=2, start_method="fork" if forked else "spawn")


def _joined(rank: int, work: Callable[..., None], folder: str) -> None:
    torch.set_num_threads(1)  # a forked process has not the threads that were there
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    work(rank, folder)
    torch.distributed.destroy_process_group()


def decode_to_colours(data: CohortDataModule) -> None:
    """Take the pictures' mean colours, what subjects of the small cohorts answer to, as embeddings of 8 values."""
    stimuli = data.cohort.stimuli
    mean = stimuli.pixels(8).float().mean((2, 3)) / 255
    embeddings = torch.nn.functional.pad(torch.nn.functional.normalize(mean - mean.mean(0), dim=1), (0, 5))
    data.targets = {name: (e, e) for name, e in zip(stimuli.ids, embeddings, strict=True)}


def rows_of(batch: Batch, rows: slice) -> Batch:
    """Take some trials of a batch with both targets."""
    return Batch(
        batch.brain[rows],
        batch.subject[rows],
        batch.stimulus[rows],
        image_target=batch.image_target[rows],
        text_target=batch.text_target[rows],
    )


def fitted_run(config: str, folder: Path) -> Path:
    """Run ``fit`` with a configuration that is written to a folder; return that of the run."""
    file, run = folder / "fit.yaml", folder / "run"
    file.write_text(config)
    main(["fit", "--config", str(file), "--trainer.default_root_dir", str(run)])
    return run


def built(name: str, *arguments: str) -> LightningCLI:
    """Build a configuration of pipelines/ as ``fit`` does."""
    return LightningCLI(
        RunTask,
        L.LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_callback=None,
        trainer_defaults={"accelerator": "cpu", "logger": False, "gradient_clip_val": 1.0},
        args=["--config", str(PIPELINES / f"{name}.yaml"), *arguments],
        run=False,
    )
