"""Check MindBridge's two claims on the simulated subjects: one model for all, and reset-tuning with little data.

    python pipelines/experiments/mindbridge_claims.py

1. One network trained on all subjects, against one network for each, against ridge.
2. A held-out subject with few training pictures: reset-tuning of a network trained on the others, against training from
   scratch, against ridge. With few pictures the networks see them more often: as many steps as with all of them.

Every network keeps the weights that do best on validation pictures; only those meet the test pictures. Each row is
appended to the CSV when it is measured, and a run that was cut goes on with the rows that are missing. Writes
``mindbridge_claims.csv`` and ``mindbridge_claims.png`` into ``--output``.
"""

from __future__ import annotations

import argparse
import logging
import math
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from fitting import fit_best

from braindecode_x.callbacks import SaveDecoder
from braindecode_x.datamodules import BetasDataModule
from braindecode_x.datasets import SimulatedFmri
from braindecode_x.files import atomic_path, write_figure
from braindecode_x.tasks import EmbeddingTask, MindBridgeTask, RidgeTask

HELD_OUT, ALL = "sub-06", 1076
AMOUNTS = (60, 120, 250, 500, ALL)
IN_DIM = 2688  # no fewer than any subject has voxels
COLUMNS = ["claim", "system", "subject", "pictures", "top1"]


class Measurements:
    """Rows of the CSV; what is there is not measured again."""

    def __init__(self, target: Path, epochs: int, seed: int):
        self.target, self.epochs, self.seed = target, epochs, seed
        self.rows = pd.read_csv(target) if target.exists() else pd.DataFrame(columns=COLUMNS)

    def has(self, claim: str, system: str, pictures: int, subject: str) -> bool:
        """Whether this row was measured."""
        rows = self.rows
        same = (rows["claim"] == claim) & (rows["system"] == system) & (rows["subject"] == subject)
        return bool((same & (rows["pictures"] == pictures)).any())

    def add(self, claim: str, system: str, pictures: int, scores: dict[str, float]) -> None:
        """Append a row for each subject."""
        new = [
            dict(zip(COLUMNS, (claim, system, subject, pictures, top1), strict=True))
            for subject, top1 in scores.items()
        ]
        self.rows = pd.concat([self.rows, pd.DataFrame(new)], ignore_index=True)
        with atomic_path(self.target) as temporary:
            self.rows.to_csv(temporary, index=False, float_format="%.4g")
        print(pd.DataFrame(new).to_string(index=False, header=False), flush=True)

    def train(self, task: EmbeddingTask, data: BetasDataModule, decoder: Path | None = None) -> dict[str, float]:
        """Train with the best validation epoch kept; return test top-1 by subject."""
        rounds = math.ceil(ALL / (data.n_training_pictures or ALL))  # few pictures: as many steps as with all of them
        callbacks = (SaveDecoder(decoder),) if decoder else ()
        with tempfile.TemporaryDirectory() as folder:
            options = {"epochs": self.epochs * rounds, "validate_every": rounds, "seed": self.seed}
            trainer, best = fit_best(task, data, folder, callbacks=callbacks, **options)
            trainer.test(task, datamodule=data, ckpt_path=best, weights_only=True, verbose=False)
        return {name: float(trainer.callback_metrics[f"test/top1_{name}"]) for name in data.subjects}


def one_for_all(measure: Measurements, cohort: SimulatedFmri) -> None:
    """Compare one network for all subjects, one for each, and ridge."""
    everyone = list(cohort.subjects)
    for system, task in (("ridge", RidgeTask()), ("one network for all", MindBridgeTask(IN_DIM))):
        if not measure.has("one for all", system, ALL, everyone[0]):
            measure.add("one for all", system, ALL, measure.train(task, BetasDataModule(cohort)))
    for name in everyone:
        if not measure.has("one for all", "one network each", ALL, name):
            data = BetasDataModule(cohort, [name], batch_size=64)
            measure.add("one for all", "one network each", ALL, measure.train(MindBridgeTask(IN_DIM, cycle=0.0), data))


def little_data(measure: Measurements, cohort: SimulatedFmri, decoder: Path) -> None:
    """Compare reset-tuning, training from scratch and ridge for a new subject at five amounts of data."""
    if not (decoder / "config.json").exists():
        others = [name for name in cohort.subjects if name != HELD_OUT]
        measure.train(MindBridgeTask(IN_DIM), BetasDataModule(cohort, others), decoder)
    for pictures in AMOUNTS:
        tasks = {
            "ridge": RidgeTask,
            "from scratch": lambda: MindBridgeTask(IN_DIM, cycle=0.0),
            "reset-tuning": lambda: MindBridgeTask(pretrained=decoder, cycle=0.0),
        }
        for system, make in tasks.items():
            if not measure.has("little data", system, pictures, HELD_OUT):
                data = BetasDataModule(cohort, [HELD_OUT], batch_size=64, n_training_pictures=pictures)
                measure.add("little data", system, pictures, measure.train(make(), data))


def draw(rows: pd.DataFrame, target: Path) -> None:
    """Draw both claims side by side."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    first = rows[rows["claim"] == "one for all"].pivot(index="subject", columns="system", values="top1") * 100
    first.plot.bar(ax=left, rot=0, width=0.8)
    left.set(title="One network for all subjects", xlabel="", ylabel="200-way top-1 on test pictures (%)")
    second = rows[rows["claim"] == "little data"].pivot(index="pictures", columns="system", values="top1") * 100
    second.plot(ax=right, marker="o", logx=True)
    right.set(title=f"A new subject ({HELD_OUT})", xlabel="training pictures, three trials each", xticks=AMOUNTS)
    right.set_xticklabels(map(str, AMOUNTS))
    right.minorticks_off()
    for axes in (left, right):
        axes.axhline(0.5, color="grey", linestyle="--", linewidth=1)
        axes.grid(axis="y", alpha=0.3)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.12)  # room for the legend
        axes.legend(title="", fontsize=9, ncols=3, loc="upper center" if axes is left else "upper left")
    write_figure(figure, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("pipelines/experiments"))
    parser.add_argument(
        "--work", type=Path, default=Path("runs/mindbridge_claims"), help="keeps the pretrained network"
    )
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    measure = Measurements(arguments.output / "mindbridge_claims.csv", arguments.epochs, arguments.seed)
    cohort = SimulatedFmri(arguments.seed)
    one_for_all(measure, cohort)
    little_data(measure, cohort, arguments.work / "decoder")
    draw(measure.rows, arguments.output / "mindbridge_claims.png")


if __name__ == "__main__":
    main()
