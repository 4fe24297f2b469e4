"""Compare ATM with ridge and with other networks on the simulated EEG subjects.

    python pipelines/experiments/eeg_baselines.py --estimate    # how long it will take
    python pipelines/experiments/eeg_baselines.py

1. Within a subject: every system is trained on one subject, and decodes this one.
2. One network for all subjects, beside ridge for each.
3. A new subject: trained on all others, without a trial of this one. Ridge too is fitted to all others' trials.

Every network is trained at two learning rates on the first subject, and everywhere else at the one that did better on
validation concepts there. It keeps the weights that do best on validation concepts. Its test accuracy after every epoch
is noted to tell what choosing the epoch by test pictures, as the published code does, would have been worth.

Each training is a row of ``eeg_baselines_runs.csv`` as soon as it is measured, with the rank of every test picture; a
run that was cut goes on with the trainings that are missing. From these ``eeg_baselines.csv`` (top-1, top-5 and exact
k-way accuracy, intervals over concepts, paired differences to ridge and to ATM-S) and ``eeg_baselines.png`` are made.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from eeg_fitting import (
    ATM,
    BATCH_SIZE,
    PUBLISHED,
    RIDGE,
    WITHIN,
    KeptEeg,
    Responses,
    atm_folder,
    data_of,
    eeg_task,
    epochs_for,
    experiment_parser,
    train_eeg,
)
from fitting import Rows

from braindecode_x.analysis.parts import labelled
from braindecode_x.datamodules import EpochsDataModule
from braindecode_x.files import atomic_path, write_figure
from braindecode_x.metrics.comparison import EVERYONE, comparison_rows
from braindecode_x.metrics.retrieval import k_way_accuracy, top_k
from braindecode_x.models.eeg import ENCODERS, EegDecoder
from braindecode_x.models.ridge import RidgeDecoder

NETWORKS: dict[str, dict[str, Any]] = {
    ATM: {},
    PUBLISHED: {"published_loss": True},
    **{name: {"encoder": name} for name in ENCODERS if name != ATM},
}
WITHIN_ONE, FOR_ALL, NEW = "within a subject", "one for all", "new subject"
RATES = {PUBLISHED: (3e-4, 1e-3)}  # where they are not 1e-3 and 3e-3
NEW_SUBJECT = (RIDGE, ATM, "ShallowFBCSPNet")
WAYS = (2, 4, 10, 50, 100, 200)
SPLITS = 1000  # of the test pictures into halves
DIFFERENCES = ["difference", "difference_low", "difference_high"]


@dataclass(frozen=True)
class Job:
    """One training."""

    setting: str
    system: str
    trained: tuple[str, ...]
    tested: tuple[str, ...]
    lr: float | None = None  # None: the rate that was better on the first subject

    def rows(self, runs: pd.DataFrame, epochs: int, seed: int) -> list[dict[str, Any]]:
        """Tell the rows of the CSV that it makes."""
        lr = chosen_rate(runs, self.system) if self.lr is None else self.lr
        epochs = 1 if self.system == RIDGE else epochs_for(len(self.trained), epochs)
        about = {"setting": self.setting, "system": self.system, "lr": lr, "epochs": epochs, "seed": seed}
        return [{**about, "subject": name} for name in self.tested]


def all_jobs(everyone: Sequence[str]) -> list[Job]:
    """List all trainings, the most wanted ones first."""
    first, second = ((name,) for name in WITHIN)
    jobs = [Job(WITHIN_ONE, RIDGE, name, name) for name in (first, second)]
    rates = [Job(WITHIN_ONE, system, first, first, lr) for system in NETWORKS for lr in RATES.get(system, (1e-3, 3e-3))]
    of_all = Job(FOR_ALL, ATM, tuple(everyone), tuple(everyone))  # the other experiments wait for it
    jobs += sorted([*rates, of_all], key=lambda job: job.system != ATM)
    jobs += [Job(WITHIN_ONE, system, second, second) for system in NETWORKS]
    for name in WITHIN:
        others = tuple(other for other in everyone if other != name)
        jobs += [Job(NEW, system, others, (name,)) for system in NEW_SUBJECT]
    return jobs + [Job(FOR_ALL, RIDGE, (name,), (name,)) for name in everyone]


def chosen_rate(runs: pd.DataFrame, system: str) -> float:
    """Return the learning rate that was better on the first subject's validation concepts; ridge has none."""
    if system == RIDGE:
        return 0.0
    tried = runs[(runs["setting"] == WITHIN_ONE) & (runs["system"] == system) & (runs["subject"] == WITHIN[0])]
    return float(tried.loc[tried["validation_mrr"].idxmax(), "lr"])


def measured(job: Job, rows: list[dict[str, Any]], cohort: KeptEeg, work: Path, epochs: int) -> list[dict[str, Any]]:
    """Run a training; fill in a row for each subject that it decodes. ATM for all subjects is kept in ``work``."""
    seed = rows[0]["seed"]
    data = data_of(cohort, job.trained)
    tested = [Responses.of(data if name in job.trained else unseen(cohort, name, data), name) for name in job.tested]
    if job.system == RIDGE:
        return [{**rows[0], **fitted_ridge(data, tested[0])}]
    task = eeg_task(**NETWORKS[job.system], lr=rows[0]["lr"], seed=seed)
    decoder = atm_folder(work, epochs, seed) if (job.setting, job.system) == (FOR_ALL, ATM) else None
    found = train_eeg(task, data, tested, epochs=rows[0]["epochs"], seed=seed, decoder=decoder)
    for row, who in zip(rows, tested, strict=True):
        epochs_of = found.decoded[who.name]
        hits = np.stack([who.ranks(decoded, "test") for decoded in epochs_of]) < 0.5
        curve = hits.mean(axis=1)
        row |= {
            **scored(who, epochs_of[found.best], found.best, found.seconds),
            "last_epoch_test_top1": curve[-1],
            "best_epoch_test_top1": curve.max(),
            "optimism": optimism(hits, seed),
            "test_curve": " ".join(f"{value:.3f}" for value in curve),
        }
    return rows


def scored(who: Responses, decoded: dict[str, np.ndarray], epoch: int, seconds: float) -> dict[str, Any]:
    """Tell how well a system found the pictures, with the rank of every test picture."""
    ranks = who.ranks(decoded, "test")
    scores = {"validation": who.ranks(decoded, "validation"), "test": ranks}
    return {
        "best_epoch": epoch,
        **{f"{split}_top1": (own < 0.5).mean() for split, own in scores.items()},
        "validation_mrr": (1 / (1 + scores["validation"])).mean(),
        "seconds": seconds,
        "ranks": " ".join(f"{rank:g}" for rank in ranks),
        "centred_ranks": " ".join(f"{rank:g}" for rank in who.ranks(decoded, "test", centred=True)),
    }


def unseen(cohort: KeptEeg, name: str, trained: EpochsDataModule) -> EpochsDataModule:
    """Make the data of a subject that a network was not trained on."""
    data = data_of(cohort, [name])
    data.use_subjects(list(trained.subjects), new=True)
    return data


def fitted_ridge(data: EpochsDataModule, who: Responses) -> dict[str, Any]:
    """Fit ridge to all subjects of the data together."""
    started = time.time()
    stimuli, brain, targets = zip(*(labelled(data, name, "train") for name in data.subjects), strict=True)
    flat = np.concatenate(brain).reshape(sum(map(len, brain)), -1)
    decoder = RidgeDecoder().fit(flat, np.concatenate(targets), np.concatenate(stimuli) if len(brain) > 1 else None)
    decoded = {split: decoder.predict(given.reshape(len(given), -1)) for split, given in who.brain.items()}
    scores = scored(who, decoded, 0, time.time() - started)
    top1 = scores["test_top1"]
    flat_curve = {"last_epoch_test_top1": top1, "best_epoch_test_top1": top1, "optimism": 0.0}
    return {**scores, **flat_curve, "test_curve": f"{top1:.3f}"}


def optimism(hits: np.ndarray, seed: int) -> float:
    """Tell by how much accuracy is overstated on the pictures that the epoch was chosen by.

    Pictures are divided into halves at random, many times: the epoch that is best on one half is scored there and on
    the other. Either half shows no difference at an epoch that was chosen otherwise.

    Parameters
    ----------
    hits : numpy.ndarray
        (epochs, pictures) of bool.
    seed : int
    """
    n = hits.shape[1]
    order = np.random.default_rng(seed).permuted(np.tile(np.arange(n), (SPLITS, 1)), axis=1)
    own, other = (hits[:, half].mean(axis=2) for half in (order[:, : n // 2], order[:, n // 2 :]))
    chosen, number = own.argmax(axis=0), np.arange(SPLITS)
    return float((own[chosen, number] - other[chosen, number]).mean())


def summary(runs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Turn the ranks of all systems that decoded all subjects of a setting into accuracies and paired differences."""
    tables = []
    for setting, own in at_chosen_rates(runs).groupby("setting", sort=False):
        subjects = own["subject"].unique()
        scores = {}
        for system, each in own.groupby("system", sort=False):
            by_subject = {row.subject: picture_scores(row.ranks, row.centred_ranks) for row in each.itertuples()}
            if set(by_subject) == set(subjects):
                pooled = {k: np.concatenate([by_subject[s][k] for s in subjects]) for k in by_subject[subjects[0]]}
                scores[system] = {EVERYONE: pooled, **by_subject}
        n = len(own["ranks"].iloc[0].split())
        trials = np.tile(np.arange(n), len(subjects)).astype(str), np.repeat(subjects, n)
        to_ridge, to_atm = (comparison_rows(scores, *trials, seed, baseline=name) for name in (RIDGE, ATM))
        renamed = to_atm[DIFFERENCES].rename(columns=lambda name: name.replace("difference", "to_ATM-S"))
        tables.append(pd.concat([to_ridge, renamed], axis=1).assign(setting=setting))
    return pd.concat(tables, ignore_index=True)


def at_chosen_rates(runs: pd.DataFrame) -> pd.DataFrame:
    """Leave out the trainings whose learning rate was not chosen."""
    return runs[runs["lr"] == runs["system"].map({name: chosen_rate(runs, name) for name in runs["system"].unique()})]


def picture_scores(ranks: str, centred: str) -> dict[str, np.ndarray]:
    """Turn the ranks of a row into scores of every test picture, by metric."""
    plain, other = (torch.tensor([float(rank) for rank in text.split()]) for text in (ranks, centred))
    scores = {f"top-{k}": top_k(plain, k) for k in (1, 5)}
    scores |= {f"{k}-way": k_way_accuracy(plain, len(plain), k) for k in WAYS if k <= len(plain)}
    scores |= {f"top-{k}, centred": top_k(other, k) for k in (1, 5)}
    return {name: values.numpy() for name, values in scores.items()}


def draw(runs: pd.DataFrame, table: pd.DataFrame, target: Path) -> None:
    """Draw accuracies, the exact k-way curves, and what choosing the epoch by the test is worth."""
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    everyone = table[table["subject"] == EVERYONE]
    draw_accuracies(axes[0], everyone[everyone["metric"] == "top-1"])
    within = everyone[everyone["setting"] == WITHIN_ONE]
    ways = [name for name in within["metric"].unique() if name.endswith("-way")]
    numbers = [int(name.removesuffix("-way")) for name in ways]
    for system, own in within.groupby("system", sort=False):
        values = own.set_index("metric").loc[ways, "value"] * 100
        axes[1].plot(numbers, values, marker="o", markersize=3, linewidth=1, label=system)
    axes[1].plot(numbers, 100 / np.array(numbers), color="0.5", linestyle="--", linewidth=1, label="chance")
    axes[1].set(
        xscale="log", xlabel="candidates", ylabel="exact k-way accuracy (%)", title=f"{WITHIN_ONE}, by candidates"
    )
    axes[1].set_xticks(numbers, numbers)
    axes[1].minorticks_off()
    axes[1].legend(fontsize=8, frameon=False)
    chosen = at_chosen_rates(runs)
    draw_selection(axes[2], chosen[(chosen["setting"] == WITHIN_ONE) & (chosen["system"] != RIDGE)])
    for each in axes:
        each.grid(alpha=0.3)
        each.spines[["top", "right"]].set_visible(False)
    write_figure(figure, target)


def draw_accuracies(axes: plt.Axes, shown: pd.DataFrame) -> None:
    """Draw top-1 with intervals, settings beside each other."""
    systems = list(dict.fromkeys(shown["system"]))[::-1]
    for number, (setting, own) in enumerate(shown.groupby("setting", sort=False)):
        places = [systems.index(system) + 0.22 * (1 - number) for system in own["system"]]
        spread = np.abs(own[["low", "high"]].to_numpy().T - own["value"].to_numpy()) * 100
        axes.errorbar(own["value"] * 100, places, xerr=spread, fmt="o", markersize=4, linewidth=1, label=setting)
    axes.axvline(0.5, color="0.5", linestyle="--", linewidth=1)
    axes.set_yticks(range(len(systems)), systems)
    axes.set(xlabel="200-way top-1 on test pictures (%)", xlim=(0, None), title="95% intervals over concepts")
    axes.legend(fontsize=8, frameon=False, loc="lower right")


def draw_selection(axes: plt.Axes, runs: pd.DataFrame) -> None:
    """Draw test accuracy of the epoch that validation chose, and of the one that the test would have chosen."""
    means = runs.groupby("system", sort=False)[["test_top1", "best_epoch_test_top1", "optimism"]].mean()[::-1] * 100
    places = np.arange(len(means))
    axes.hlines(places, means["test_top1"], means["best_epoch_test_top1"], color="0.6")
    axes.plot(means["test_top1"], places, "o", label="chosen by validation concepts")
    axes.plot(means["best_epoch_test_top1"], places, "o", fillstyle="none", color="C3", label="chosen by test pictures")
    axes.set_yticks(places, means.index)
    axes.set(xlabel="200-way top-1 on test pictures (%)", title="which epoch is kept")
    axes.legend(fontsize=8, frameon=False, loc="lower right")


def estimate(jobs: Sequence[Job], n_pictures: int, epochs: int) -> pd.DataFrame:
    """Time one batch of every network, and tell how long its trainings will take."""
    rows = []
    for system, options in NETWORKS.items():
        task = eeg_task(**options)
        network = EegDecoder(["one"], 63, 125, 125.0, image_dim=512, encoder=task.encoder, options=task.options)
        brain, subject, seconds = torch.randn(BATCH_SIZE, 63, 125), torch.zeros(BATCH_SIZE, dtype=torch.long), []
        for _ in range(3):
            started = time.time()
            network(brain, subject).image.sum().backward()
            seconds.append(time.time() - started)
        an_epoch = min(seconds) * n_pictures / BATCH_SIZE
        own = [epochs_for(len(job.trained), epochs) * len(job.trained) for job in jobs if job.system == system]
        minutes = {"trainings": len(own), "minutes in all": sum(own) * an_epoch / 60}
        rows.append({"system": system, "seconds an epoch and subject": an_epoch, **minutes})
    return pd.DataFrame(rows)


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--estimate", action="store_true", help="only time one batch of every network")
    parser.add_argument("--only", nargs="*", help="systems; default: all")
    arguments = parser.parse_args()
    cohort = KeptEeg(arguments.work / "recordings", arguments.seed)
    jobs = [job for job in all_jobs(cohort.subjects) if not arguments.only or job.system in arguments.only]
    if arguments.estimate:
        training = int((cohort.stimuli.table["split"] == "train").sum())
        print(estimate(jobs, training, arguments.epochs).to_string(index=False, float_format="%.1f"))
        return
    rows = Rows(arguments.output / "eeg_baselines_runs.csv")
    for job in jobs:
        wanted = job.rows(rows.table, arguments.epochs, arguments.seed)
        if not all(rows.has(row) for row in wanted):
            rows.add(*measured(job, wanted, cohort, arguments.work, arguments.epochs))
            new = rows.table.tail(len(job.tested))
            print(
                new.drop(columns=["ranks", "centred_ranks", "test_curve"]).to_string(index=False, header=False),
                flush=True,
            )
    table = summary(rows.table, arguments.seed)
    with atomic_path(arguments.output / "eeg_baselines.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")
    draw(rows.table, table, arguments.output / "eeg_baselines.png")


if __name__ == "__main__":
    main()
