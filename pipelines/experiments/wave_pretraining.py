"""What pre-training and the whole brain are worth to WAVE, on the simulated whole-brain subjects.

    python pipelines/experiments/wave_pretraining.py

1. At four amounts of labelled data: WAVE pre-trained on `SimulatedCorpus` (other people, no pictures), the same network
   not pre-trained, an MLP on the same windows, and ridge. With fewer pictures networks see them more often: as many
   steps as with all of them.
2. With all of them, decoding from all 300 parcels against those of the visual network alone.

One decoder serves four subjects (ridge: one each). Every network keeps the epoch that does best on validation pictures;
only that one meets the test pictures. Trained networks and their test ranks are kept in ``--work``, and a run that was
cut goes on. Writes ``wave_pretraining.csv`` (accuracies and paired differences, intervals over concepts) and
``wave_pretraining.png``.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from fitting import Rows
from wave_fitting import (
    ALL,
    MLP,
    RIDGE,
    SCRATCH,
    WAVE,
    KeptWindows,
    data_of,
    experiment_parser,
    fitted,
    pretrained,
    tasks,
    test_ranks,
)

from braindecode_x.files import atomic_path, write_figure
from braindecode_x.metrics.significance import bootstrap_difference, bootstrap_interval

AMOUNTS = (108, 269, 538, ALL)
PARCELS = {"whole brain": None, "visual network": ["Visual"]}
SYSTEMS = (WAVE, SCRATCH, MLP, RIDGE)
COLOURS = dict(zip(SYSTEMS, ("#1f4e79", "#7fa8d1", "#d98c3f", "#777777"), strict=True))


def measure(rows: Rows, cohort: KeptWindows, work: Path, epochs: int, seeds: int) -> None:
    """Train what is missing, and append its ranks."""
    jobs = [("whole brain", amount, system) for amount in AMOUNTS for system in SYSTEMS]
    jobs += [("visual network", ALL, system) for system in SYSTEMS]
    for seed in range(seeds):
        for parcels, amount, system in jobs:
            about = {"parcels": parcels, "pictures": amount, "system": system, "seed": seed}
            if rows.has(about) or (system == RIDGE and seed):  # ridge draws nothing
                continue
            data = data_of(cohort, PARCELS[parcels], amount)
            folder = work / f"{parcels}, {amount} pictures, {system}, seed {seed}"
            task = tasks(pretrained(work / f"pre-trained, seed {seed}", seed), seed)[system]()
            ranked = test_ranks(fitted(folder, task, data, epochs, seed), data)
            rows.add(*[{**about, **row} for row in ranked.to_dict("records")])
            print(about, f"top-1 {(ranked['rank'] == 0).mean():.3f}", flush=True)


def hits(table: pd.DataFrame, parcels: str, pictures: int, system: str) -> pd.DataFrame:
    """Return the share of hits over seeds by subject and picture, with the concept."""
    chosen = table[(table["parcels"] == parcels) & (table["pictures"] == pictures) & (table["system"] == system)]
    found = chosen.assign(hit=chosen["rank"] == 0).groupby(["subject", "concept"], sort=True)["hit"].mean()
    return found.reset_index()


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return top-1 of every condition, and differences of conditions, with intervals over concepts."""
    known = table[["parcels", "pictures", "system"]].drop_duplicates().itertuples(index=False)
    conditions = {tuple(key): hits(table, *key) for key in known}
    rows = []
    for key, own in conditions.items():
        low, high = bootstrap_interval(own["hit"], 0, groups=own["concept"])
        rows.append({**_named(key), "minus": "", "value": own["hit"].mean(), "low": low, "high": high})
    pairs = [(("whole brain", n, WAVE), ("whole brain", n, other)) for n in AMOUNTS for other in (SCRATCH, MLP, RIDGE)]
    pairs += [(("whole brain", ALL, system), ("visual network", ALL, system)) for system in SYSTEMS]
    for one, other in pairs:
        if one in conditions and other in conditions:
            a, b = conditions[one], conditions[other]
            low, high = bootstrap_difference(a["hit"], b["hit"], 0, groups=a["concept"])
            minus = other[2] if one[0] == other[0] else other[0]
            value = (a["hit"] - b["hit"]).mean()
            rows.append({**_named(one), "minus": minus, "value": value, "low": low, "high": high})
    return pd.DataFrame(rows)


def _named(key: tuple) -> dict[str, object]:
    return dict(zip(("parcels", "pictures", "system"), key, strict=True))


def draw(table: pd.DataFrame, target: Path) -> None:
    """Draw accuracy against the amount of labelled data, and whole brain beside the visual network."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    values = table[table["minus"] == ""]
    for place, system in enumerate(SYSTEMS):
        own = values[(values["parcels"] == "whole brain") & (values["system"] == system)].sort_values("pictures")
        shift = 1.03 ** (place - 1.5)  # so that intervals do not lie on each other
        _bars(left, own["pictures"] * shift, own, fmt="o-", color=COLOURS[system], label=system)
    left.set(xscale="log", xlabel="training pictures, three trials each", title="Amounts of labelled data")
    left.set_xticks(AMOUNTS, map(str, AMOUNTS))
    left.minorticks_off()
    for place, parcels in enumerate(PARCELS):
        own = (
            values[(values["parcels"] == parcels) & (values["pictures"] == ALL)].set_index("system").loc[list(SYSTEMS)]
        )
        at = np.arange(len(SYSTEMS)) + 0.38 * (place - 0.5)
        right.bar(at, 100 * own["value"], 0.36, color=("#1f4e79", "#9db8d6")[place], label=parcels)
        _bars(right, at, own, fmt="none", color="black")
    right.set_xticks(range(len(SYSTEMS)), [name.replace(", ", ",\n") for name in SYSTEMS])
    right.set_title("Parcels that are decoded")
    for axes in (left, right):
        axes.set_ylabel("right picture of 200 (%)")
        axes.axhline(0.5, color="grey", linestyle=":")
        axes.set_ylim(0)
        axes.grid(axis="y", alpha=0.3)
        axes.legend(fontsize=9)
    write_figure(figure, target)


def _bars(axes: plt.Axes, at: object, own: pd.DataFrame, **options: object) -> None:
    spread = 100 * np.abs(own[["low", "high"]].to_numpy().T - own["value"].to_numpy())
    axes.errorbar(at, 100 * own["value"], yerr=spread, capsize=3, **options)


def main() -> None:
    arguments = experiment_parser(__doc__).parse_args()
    rows = Rows(arguments.work / "wave_pretraining_ranks.csv")
    measure(rows, KeptWindows(), arguments.work, arguments.epochs, arguments.seeds)
    table = summary(rows.table)
    with atomic_path(arguments.output / "wave_pretraining.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.4g")
    print(table.to_string(index=False, float_format="%.3f"))
    draw(table, arguments.output / "wave_pretraining.png")


if __name__ == "__main__":
    main()
