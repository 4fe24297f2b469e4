"""Measure the pre-training of the sequence model from shards: windows a second, waiting for data, memory.

    python pipelines/benchmarks/pretraining.py
    python pipelines/benchmarks/pretraining.py --accelerator cuda --d_model 768 --heads 12 --workers 4

Sizes of the default: 300 parcels, windows of 50 volumes, 64 a batch; then other numbers of parcels and lengths, one at
a time. Runs are random numbers, written to shards in a temporary folder: speed does not depend on what they say. Every
size is measured in a process of its own, so that its peak memory is its own. ``data_wait`` is the share of time that
lies between the end of a step and the beginning of the next: waiting for a batch, and what Lightning does meanwhile.

Appends to ``pretraining.csv``, and draws ``pretraining.png``; rows that are there are not measured again.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lightning as L
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
from fitting import Rows

from braindecode_x.datamodules import PretrainingDataModule
from braindecode_x.datasets.bold_shards import write_shard
from braindecode_x.datasets.runs import ParcelRun
from braindecode_x.files import write_figure
from braindecode_x.tasks.pretraining import PretrainingTask

DEFAULT = {"parcels": 300, "length": 50}
PARCELS, LENGTHS = (100, 300, 1024), (10, 20, 50, 100)
VOLUMES, SHARDS, RUNS_A_SHARD = 300, 8, 4


class Clock(L.Callback):
    """Times of steps, and of what lies between them.

    Parameters
    ----------
    warm_up : int
        Steps that are not counted.
    """

    def __init__(self, warm_up: int):
        self.warm_up, self.waited, self.worked, self.windows = warm_up, 0.0, 0.0, 0
        self.ended = self.began = 0.0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.began = time.perf_counter()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if batch.brain.is_cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        if trainer.global_step > self.warm_up and batch_idx:  # not what begins an epoch
            self.waited += self.began - self.ended
            self.worked += now - self.began
            self.windows += len(batch)
        self.ended = now


def write_corpus(folder: Path, parcels: int) -> None:
    """Write shards of random runs."""
    rng = np.random.default_rng(0)
    for shard in range(SHARDS):
        runs = [
            ParcelRun(f"run-{shard}-{number}", rng.standard_normal((VOLUMES, parcels), np.float32), 2.0)
            for number in range(RUNS_A_SHARD)
        ]
        write_shard(runs, folder / f"{shard:03d}.tar")


def measure(size: dict[str, int], options: argparse.Namespace) -> dict:
    """Train for some steps, and return a row."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    L.seed_everything(0, verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder), size["parcels"])
        data = PretrainingDataModule(
            shards=folder, length=size["length"], batch_size=options.batch_size, workers=options.workers
        )
        task = PretrainingTask(d_model=options.d_model, n_layers=options.layers, n_heads=options.heads)
        clock = Clock(options.warm_up)
        trainer = L.Trainer(
            accelerator=options.accelerator,
            devices=1,
            precision=options.precision,
            max_steps=options.steps + options.warm_up,
            max_epochs=-1,
            limit_val_batches=0,
            callbacks=[clock],
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        trainer.fit(task, datamodule=data)
        on_gpu = torch.cuda.is_available() and task.device.type == "cuda"
        elapsed = clock.waited + clock.worked
        device = torch.cuda.get_device_name() if on_gpu else "cpu"
        return {
            "device": device,
            "windows_per_s": clock.windows / elapsed,
            "data_wait": clock.waited / elapsed,
            "step_ms": 1000 * elapsed / (clock.windows / options.batch_size),
            "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            "gpu_memory_gb": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else float("nan"),
            "parameters_m": sum(p.numel() for p in task.model.parameters()) / 1e6,
        }


def in_a_process(size: dict[str, int]) -> dict:
    """Measure in a fresh process, with the arguments of this one."""
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", json.dumps(size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def draw(table: pd.DataFrame, target: Path) -> None:
    """Draw growth with parcels and with length."""
    figure, axes = plt.subplots(3, 2, figsize=(9, 8), layout="constrained", sharey="row")
    axes_of = {"parcels": "length", "length": "parcels"}
    shown = {"windows_per_s": "windows a second", "memory_gb": "peak memory (GB)", "data_wait": "share of waiting"}
    for column, (varied, held) in enumerate(axes_of.items()):
        own = table[table[held] == DEFAULT[held]].sort_values(varied)
        for row, (name, label) in enumerate(shown.items()):
            axis = axes[row, column]
            for device, part in own.groupby("device"):
                name_here = "gpu_memory_gb" if name == "memory_gb" and part["gpu_memory_gb"].notna().all() else name
                axis.plot(part[varied], part[name_here], "o-", label=device)
            axis.set_xlabel(f"{varied if varied == 'parcels' else 'volumes in a window'}")
            if not column:
                axis.set_ylabel(label)
    for axis in axes[:, 0]:  # rows share their scale, which is set when both columns are drawn
        axis.set_ylim(bottom=0)
    for axis in axes[2]:
        axis.axhline(0.1, color="grey", linestyle=":")
        axis.set_ylim(top=max(0.15, 1.1 * table["data_wait"].max()))
    axes[0, 0].legend()
    write_figure(figure, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("pipelines/benchmarks"))
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--precision", default="32-true", help="bf16-mixed on a GPU")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--d_model", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1, help="processes that read ahead")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--warm_up", type=int, default=3)
    parser.add_argument("--only_default", action="store_true", help="measure the default size alone")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options)))
        return
    sizes = [DEFAULT]
    if not options.only_default:
        sizes += [DEFAULT | {"parcels": n} for n in PARCELS if n != DEFAULT["parcels"]]
        sizes += [DEFAULT | {"length": n} for n in LENGTHS if n != DEFAULT["length"]]
    settings = ("accelerator", "precision", "batch_size", "d_model", "layers", "heads", "workers", "steps")
    about = {name: getattr(options, name) for name in settings}
    rows = Rows(options.output / "pretraining.csv")
    for size in sizes:
        if not rows.has(about | size):
            rows.add(about | size | in_a_process(size))
    table = rows.find(about)
    print(table[[*DEFAULT, "windows_per_s", "data_wait", "step_ms", "memory_gb"]].to_string(index=False))
    draw(table, options.output / "pretraining.png")


if __name__ == "__main__":
    main()
