"""Pre-train the sequence model on the embedded whole-brain recording, and see what it is good for on held-out runs.

    python pipelines/experiments/haxby_pretraining.py

One subject of Haxby et al. 2001, 12 runs, 129 voxels of 25 mm as parcels. Twelve folds: one run is held out, the one
before it is for choosing (epochs, penalties), ten are for training; nothing else sees the held-out run.

1. Masked prediction on the held-out run: every volume of a window from the fourth on, from those before it, beside the
   run's mean, the mean of the volumes before, the last volume, and linear autoregressive models (of all voxels
   together, and voxel by voxel). Mean absolute difference, in standard deviations of a voxel.
2. Which of eight categories a block of the held-out run showed, from the nine volumes of its window: the network
   fine-tuned from its pre-trained weights and from random ones, and ridge on the same windows and on their means.

Each fold's rows are appended to ``haxby_pretraining.csv`` when they are measured; pre-trained networks are kept in
``--work``; a run that was cut goes on. Writes ``haxby_pretraining.png`` and prints means with intervals over runs.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from fitting import Rows, fit_best
from sklearn.linear_model import Ridge, RidgeClassifier
from torch import nn

from braindecode_x.callbacks import SaveDecoder
from braindecode_x.datamodules import PretrainingDataModule
from braindecode_x.datasets.haxby_runs import HaxbyWholeBrain
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.runs import ParcelRun
from braindecode_x.files import write_figure
from braindecode_x.metrics.significance import bootstrap_interval
from braindecode_x.models.pretrained_wave import CONFIG, PretrainedWave
from braindecode_x.models.wave import Wave, window_seconds
from braindecode_x.tasks.pretraining import PretrainingTask

RUNS, TR, CATEGORIES = 12, 2.5, 8
LENGTH, STRIDE, FIRST = 20, 2, 4  # volumes; places before the fourth have too little before them
ORDERS, ALPHAS = (1, 2, 4), tuple(10.0**power for power in range(0, 6))
SIZES = {"d_model": 64, "n_layers": 2, "n_heads": 4, "n_positions": 64}
WAVE, SCRATCH = "pre-trained", "not pre-trained"
PREDICTION, DECODING = "prediction", "decoding"


def windows(runs: list[ParcelRun]) -> np.ndarray:
    """Cut runs into windows: (n, LENGTH, parcels)."""
    starts = [(run, start) for run in runs for start in range(0, len(run.bold) - LENGTH + 1, STRIDE)]
    return np.stack([run.bold[start : start + LENGTH] for run, start in starts])


def pretrained(
    runs: list[ParcelRun], chosen_by: ParcelRun, parcels: Parcels, folder: Path, epochs: int, seed: int
) -> Wave:
    """Pre-train a network, or read it when that was done."""
    if not (folder / CONFIG).is_file():
        data = PretrainingDataModule.of_runs(
            [*runs, chosen_by], parcels, length=LENGTH, stride=STRIDE, held_out=[chosen_by.name], batch_size=32,
            seed=seed,
        )  # fmt: skip
        task, save = PretrainingTask(**SIZES, lr=3e-3, seed=seed), SaveDecoder(folder)
        with tempfile.TemporaryDirectory() as checkpoints:
            fit_best(task, data, checkpoints, epochs=epochs, seed=seed, callbacks=(save,))
    return PretrainedWave.from_pretrained(folder).model


def network_error(model: Wave, held_out: np.ndarray) -> float:
    """Return the network's error over all places of windows."""
    brain = torch.from_numpy(held_out)
    with torch.inference_mode():
        predicted = model.eval().predict_each(brain, window_seconds(brain, TR))  # from the second volume on
    return float((predicted[:, FIRST - 1 :] - brain[:, FIRST:]).abs().mean())


def lagged(cut: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return volumes before each place, the last first (n, order, parcels), and the volumes there (n, parcels)."""
    places = range(FIRST, LENGTH)
    before = np.concatenate([cut[:, place - order : place][:, ::-1] for place in places])
    return before, np.concatenate([cut[:, place] for place in places])


def together(train: np.ndarray, order: int, alpha: float):
    """Fit an autoregressive model of all voxels together."""
    before, now = lagged(train, order)
    model = Ridge(alpha=alpha).fit(before.reshape(len(before), -1), now)
    return lambda cut: model.predict(cut.reshape(len(cut), -1))


def voxel_by_voxel(train: np.ndarray, order: int, alpha: float):
    """Fit an autoregressive model of each voxel by itself."""
    before, now = lagged(train, order)
    products = np.einsum("nov,npv->vop", before, before) + alpha * np.eye(order)
    weights = np.linalg.solve(products, np.einsum("nov,nv->vo", before, now)[..., None])[..., 0]
    return lambda cut: np.einsum("nov,vo->nv", cut, weights)


def autoregressive_error(fit, train: np.ndarray, choosing: np.ndarray, held_out: np.ndarray) -> float:
    """Choose order and penalty by one run, and return the error on another."""

    def error(model, cut: np.ndarray, order: int) -> float:
        before, now = lagged(cut, order)
        return float(np.abs(model(before) - now).mean())

    fitted = [(fit(train, order, alpha), order) for order in ORDERS for alpha in ALPHAS]
    best = min(fitted, key=lambda each: error(each[0], choosing, each[1]))
    return error(best[0], held_out, best[1])


def prediction_rows(model: Wave, runs: list[ParcelRun], train: list[int], choose: int, test: int) -> dict[str, float]:
    """Return the errors on the held-out run."""
    cuts = [windows([runs[number] for number in numbers]) for numbers in (train, [choose], [test])]
    held_out = cuts[2]
    last, now = lagged(held_out, 1)
    means = np.concatenate([held_out[:, :place].mean(axis=1) for place in range(FIRST, LENGTH)])
    return {
        "mean of the run": float(np.abs(now).mean()),
        "mean of the volumes before": float(np.abs(means - now).mean()),
        "last volume": float(np.abs(last[:, 0] - now).mean()),
        "autoregressive, each voxel": autoregressive_error(voxel_by_voxel, *cuts),
        "autoregressive, all voxels": autoregressive_error(together, *cuts),
        "sequence model": network_error(model, held_out),
    }


class Classifier(nn.Module):
    """The sequence model with a layer that names the category."""

    def __init__(self, wave: Wave):
        super().__init__()
        self.wave, self.head = wave, nn.Linear(wave.d_model, CATEGORIES)

    def forward(self, brain: torch.Tensor) -> torch.Tensor:
        return self.head(self.wave(brain, window_seconds(brain, TR)).pooled)


def fine_tuned(model: Classifier, data: dict[str, tuple[torch.Tensor, torch.Tensor]], epochs: int, lr: float) -> float:
    """Train a classifier, keep the epoch that does best on the run for choosing, return the share of hits."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-2)
    best, hits = np.inf, 0.0
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(data["train"][1])).split(20):
            loss = nn.functional.cross_entropy(model(data["train"][0][rows]), data["train"][1][rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        model.eval()
        with torch.inference_mode():
            choosing = float(nn.functional.cross_entropy(model(data["choose"][0]), data["choose"][1]))
            if choosing < best:
                best, hits = choosing, float((model(data["test"][0]).argmax(1) == data["test"][1]).float().mean())
    return hits


def ridge_hits(data: dict[str, tuple[torch.Tensor, torch.Tensor]], mean: bool) -> float:
    """Return the share of hits of ridge whose penalty is chosen by one run."""
    flat = {name: (brain.mean(1) if mean else brain.flatten(1), labels) for name, (brain, labels) in data.items()}
    models = [RidgeClassifier(alpha).fit(*flat["train"]) for alpha in ALPHAS]
    best = max(models, key=lambda model: model.score(*flat["choose"]))
    return float(best.score(*flat["test"]))


def decoding_rows(
    model_folder: Path, trials: dict[str, tuple[torch.Tensor, torch.Tensor]], epochs: int, seeds: int
) -> dict[str, float]:
    """Return the shares of hits on the held-out run, of networks the mean over seeds."""
    hits: dict[str, list[float]] = {WAVE: [], SCRATCH: []}
    for seed in range(seeds):
        for name in hits:
            torch.manual_seed(seed)
            whole = PretrainedWave.from_pretrained(model_folder).model
            wave = whole if name == WAVE else Wave(**whole.config)
            hits[name].append(fine_tuned(Classifier(wave), trials, epochs, lr=1e-3))
    return {
        "ridge, mean of the window": ridge_hits(trials, mean=True),
        "ridge, window": ridge_hits(trials, mean=False),
        **{f"sequence model, {name}": float(np.mean(own)) for name, own in hits.items()},
    }


def fold_trials(test: int, choose: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return windows and numbers of categories of a fold."""
    subject = HaxbyWholeBrain(test_run=test, validation_run=choose).subject("sub-01")
    codes = torch.from_numpy(np.unique(subject.trials["stimulus"], return_inverse=True)[1])
    parts = {"train": "train", "choose": "validation", "test": "test"}
    rows = {name: (subject.trials["split"] == split).to_numpy(copy=True) for name, split in parts.items()}
    return {name: (torch.from_numpy(subject.windows[chosen]), codes[chosen]) for name, chosen in rows.items()}


def measure_fold(rows: Rows, runs: list[ParcelRun], parcels: Parcels, test: int, options: argparse.Namespace) -> None:
    """Measure what is missing of one fold."""
    about = {"run": test + 1, "epochs": options.epochs, "seed": options.seed}
    missing = [part for part in (PREDICTION, DECODING) if not rows.has(about | {"part": part})]
    if not missing:
        return
    choose = (test - 1) % RUNS
    train = [number for number in range(RUNS) if number not in (test, choose)]
    folder = options.work / f"epochs-{options.epochs}-seed-{options.seed}" / f"without-run-{test + 1:02d}"
    shown = [runs[number] for number in train]
    model = pretrained(shown, runs[choose], parcels, folder, options.epochs, options.seed)
    for part in missing:
        if part == PREDICTION:
            found = prediction_rows(model, runs, train, choose, test)
        else:
            found = decoding_rows(folder, fold_trials(test, choose), options.fine_tuning_epochs, options.seeds)
        rows.add(*[about | {"part": part, "system": name, "value": value} for name, value in found.items()])


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over runs with 95% intervals."""
    rows = []
    for (part, system), own in table.groupby(["part", "system"], sort=False):
        low, high = bootstrap_interval(own["value"], seed=0)
        rows.append({"part": part, "system": system, "value": own["value"].mean(), "low": low, "high": high})
    return pd.DataFrame(rows)


def difference(table: pd.DataFrame, one: str, other: str) -> str:
    """Compare two systems run by run."""
    wide = table.pivot(index="run", columns="system", values="value")
    gaps = (wide[one] - wide[other]).to_numpy()
    low, high = bootstrap_interval(gaps, seed=0)
    return f"{one} - {other}: {gaps.mean():+.4f} [{low:+.4f}, {high:+.4f}]"


def draw(table: pd.DataFrame, target: Path) -> None:
    """Draw both parts: means with intervals, and a pale dot for each run."""
    figure, axes = plt.subplots(1, 2, figsize=(13, 4.2), layout="constrained")
    labels = {PREDICTION: "mean absolute difference (standard deviations)", DECODING: "blocks named rightly"}
    for axis, (part, label) in zip(axes, labels.items(), strict=True):
        shown = summary(table[table["part"] == part])
        places = np.arange(len(shown))
        spread = np.abs(shown[["low", "high"]].to_numpy().T - shown["value"].to_numpy())
        axis.errorbar(shown["value"], places, xerr=spread, fmt="o", color="#1f4e79", capsize=3)
        for place, system in zip(places, shown["system"], strict=True):
            values = table.loc[(table["part"] == part) & (table["system"] == system), "value"]
            axis.plot(values, np.full(len(values), place + 0.25), ".", color="#9db8d6", markersize=5)
        axis.grid(axis="x", alpha=0.3)
        axis.set_yticks(places, shown["system"])
        axis.invert_yaxis()
        axis.set_xlabel(label)
    axes[0].set_title("Masked prediction on held-out runs (less is better)")
    axes[1].axvline(1 / CATEGORIES, color="grey", linestyle=":")
    axes[1].set_xlim(left=0)
    axes[1].set_title("Categories of held-out blocks (dotted: chance)")
    write_figure(figure, target)


def main() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("pipelines/experiments"))
    parser.add_argument("--work", type=Path, default=Path("runs/haxby_pretraining"), help="keeps pre-trained networks")
    parser.add_argument("--epochs", type=int, default=40, help="of pre-training")
    parser.add_argument("--fine_tuning_epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=2, help="of fine-tuning, averaged")
    parser.add_argument("--folds", type=int, default=RUNS, choices=range(2, RUNS + 1), help="the first so many")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = Rows(arguments.output / "haxby_pretraining.csv")
    cohort = HaxbyWholeBrain()
    runs = list(cohort.runs("sub-01"))
    for test in range(arguments.folds):
        measure_fold(rows, runs, cohort.parcels, test, arguments)
    table = rows.find({"epochs": arguments.epochs, "seed": arguments.seed})
    print(summary(table).to_string(index=False, float_format="%.4f"))
    print(difference(table, "sequence model", "autoregressive, all voxels"))
    print(difference(table, f"sequence model, {WAVE}", f"sequence model, {SCRATCH}"))
    draw(table, arguments.output / "haxby_pretraining.png")


if __name__ == "__main__":
    main()
