"""When and where pictures can be read from the simulated EEG subjects, beside what was planted there.

    python pipelines/experiments/eeg_windows.py

Growing and sliding windows of time, generalisation from one sample to others, and regions of electrodes (these alone,
and all but these): ridge that is retrained on each part of the trials, for all four subjects; and the ATM-S of
``eeg_baselines.py`` that was trained for all of them on whole trials (trained here if it is not in ``--work``), with
the rest of a trial masked. Every subject's table is kept in ``--work``, so a run that was cut goes on.

Writes ``eeg_windows.csv`` and ``eeg_regions.csv`` (accuracies with intervals over concepts), and ``eeg_windows.png``,
``eeg_generalisation.png`` and ``eeg_regions_*.png``; prints when decoding begins and is best, and what was planted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from eeg_fitting import KeptEeg, atm_for_all, data_of, experiment_parser
from matplotlib.figure import Figure

from braindecode_x.analysis.eeg_plots import accuracy_figure, generalisation_figure, region_figure
from braindecode_x.analysis.parts import Part, SubjectPictures, accuracy_table, fit_ridge, part_ranks, predictor
from braindecode_x.analysis.regions import channel_regions, region_parts
from braindecode_x.analysis.time_windows import (
    GROWING,
    SLIDING,
    growing_windows,
    latencies,
    sliding_windows,
    temporal_generalisation,
    window_parts,
)
from braindecode_x.datamodules import EpochsDataModule
from braindecode_x.datamodules.predicted import matched_decoder
from braindecode_x.datasets.simulated_sources import SOURCES
from braindecode_x.files import atomic_path, write_figure
from braindecode_x.metrics.comparison import EVERYONE

MODES = ("retrained", "masked")
STEP, WIDTH = 0.05, 0.1  # seconds
GENERALISATION_STEP = 5  # samples
METRIC = "50-way"


def kept(target: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Read a table that is there, or make and write it."""
    if not target.exists():
        write(make(), target)
    return pd.read_csv(target)


def write(table: pd.DataFrame, target: Path) -> None:
    with atomic_path(target) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def draw(figure: Figure, target: Path) -> None:
    write_figure(figure, target)


def compare_to_truth(accuracy: pd.DataFrame, regions: pd.DataFrame, truth: pd.DataFrame) -> None:
    """Print when decoding begins and where it is best, beside the planted sources."""
    planted = truth[["region", "latency", "start", "stop"]].assign(onset=[SOURCES[name].onset for name in truth.index])
    print("planted\n", planted.to_string(float_format="%.3f"))
    found = latencies(accuracy[(accuracy["subject"] == EVERYONE) & (accuracy["metric"] == METRIC)])
    print("found\n", found.to_string(index=False, float_format="%.3f"))
    shown = regions[(regions["subject"] == EVERYONE) & (regions["metric"] == METRIC)]
    wide = shown.pivot(index="region", columns=["mode", "channels"], values="value")
    print(wide.to_string(float_format="%.3f"))


def parts_of(data: EpochsDataModule) -> dict[str, list[Part]]:
    """Make the parts of trials: windows of time, and regions."""
    channels, times = data.layout.channels, data.layout.times
    windows = {GROWING: growing_windows(times, STEP), SLIDING: sliding_windows(times, WIDTH, STEP)}
    over_time = [part for kind, own in windows.items() for part in window_parts(own, kind, len(channels), times)]
    return {"windows": over_time, "regions": region_parts(channel_regions(channels), len(times))}


def main() -> None:
    arguments = experiment_parser(__doc__).parse_args()
    work, output = arguments.work, arguments.output
    cohort = KeptEeg(work / "recordings", arguments.seed)
    folder = atm_for_all(cohort, work, arguments.epochs, arguments.seed)
    data = data_of(cohort, cohort.subjects)
    decoder, names = matched_decoder(folder, data)
    parts = parts_of(data)
    ranked: dict[str, list[pd.DataFrame]] = {name: [] for name in parts}
    generalised = []
    for person in cohort.subjects:
        pictures = SubjectPictures.of(data, person)
        ways = {"retrained": {"fit": fit_ridge}, "masked": {"predict": predictor(decoder, names.index(person))}}
        for name, own in parts.items():
            for mode, way in ways.items():
                target = (folder if mode == "masked" else work) / name / f"{person}.csv"
                ranked[name].append(kept(target, partial(part_ranks, pictures, own, **way, progress=True)))
        make = partial(temporal_generalisation, pictures, step=GENERALISATION_STEP, progress=True)
        generalised.append(kept(work / "generalisation" / f"{person}.csv", make))
    tables = {name: accuracy_table(pd.concat(own), seed=arguments.seed) for name, own in ranked.items()}
    for name, table in tables.items():
        write(table, output / f"eeg_{name}.csv")
    marks = {name: source.latency for name, source in SOURCES.items()}
    draw(accuracy_figure(tables["windows"], METRIC, marks), output / "eeg_windows.png")
    draw(generalisation_figure(pd.concat(generalised)), output / "eeg_generalisation.png")
    places = channel_regions(data.layout.channels)
    for mode in MODES:
        draw(region_figure(tables["regions"], METRIC, places, data.info, mode), output / f"eeg_regions_{mode}.png")
    compare_to_truth(tables["windows"], tables["regions"], cohort.truth)


if __name__ == "__main__":
    main()
