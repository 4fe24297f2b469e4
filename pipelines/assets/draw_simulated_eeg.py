"""Draw what the simulated EEG and MEG look like, ``data_cards/simulated_eeg.png``.

    python pipelines/assets/draw_simulated_eeg.py

Averages of sub-01 over the validation pictures and repeats with their topographies, the noise's spectrum, and when the
sources tell pictures apart. Test pictures are not shown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mne
import numpy as np

from braindecode_x.datasets.simulated_eeg import SimulatedEeg, SimulatedMeg, SimulatedRecording
from braindecode_x.datasets.simulated_sources import SOURCES
from braindecode_x.datasets.things_channels import REGIONS, channel_region
from braindecode_x.files import write_figure
from braindecode_x.stimuli import ObjectStimuli

UNITS = {"EEG": (1e6, "µV"), "MEG": (1e15, "fT")}
SHOWN = ("early visual", "object", "semantic temporal")  # whose latencies have topographies
REGION_COLOURS = dict(zip(REGIONS, ("#4477aa", "#66ccee", "#ccbb44", "#228833", "#ee6677"), strict=True))


def regions_of(subject: SimulatedRecording) -> np.ndarray:
    return np.array([channel_region(channel) for channel in subject.channels])


def draw_averages(row: list[plt.Axes], subject: SimulatedRecording, kind: str) -> None:
    """Draw the average over pictures, a line a channel, and its topographies."""
    factor, unit = UNITS[kind]
    evoked = subject.repeats("validation").mean(axis=(0, 1)) * factor
    regions = regions_of(subject)
    for region, colour in REGION_COLOURS.items():
        lines = row[0].plot(subject.times, evoked[regions == region].T, color=colour, linewidth=0.7)
        lines[0].set_label(region)
    row[0].axvline(0, color="0.6", linewidth=0.8)
    for source in SHOWN:
        row[0].axvline(SOURCES[source].latency, color="0.6", linewidth=0.8, linestyle=":")
    row[0].set(title=f"{kind}: average over pictures", xlabel="s after onset", ylabel=unit, xlim=(-0.2, 1.0))
    for axes, source in zip(row[1:], SHOWN, strict=True):
        latency = SOURCES[source].latency
        sample = int(np.abs(subject.times - latency).argmin())
        image, _ = mne.viz.plot_topomap(evoked[:, sample], subject.info, axes=axes, show=False, contours=4)
        axes.set_title(f"{1000 * latency:.0f} ms ({unit})")
        plt.colorbar(image, ax=axes, shrink=0.6)


def draw_spectrum(axes: plt.Axes, subject: SimulatedRecording, kind: str) -> None:
    """Draw the noise's spectrum: of differences between two trials of a picture, which hold no signal."""
    factor, unit = UNITS[kind]
    repeats = subject.repeats("validation")[:, :2].astype(float) * factor
    noise = (repeats[:, 0] - repeats[:, 1]) / np.sqrt(2)
    power, frequencies = mne.time_frequency.psd_array_multitaper(
        noise, subject.info["sfreq"], fmin=1, fmax=45, bandwidth=2.5, verbose=False
    )
    regions = regions_of(subject)
    for region in ("frontal", "occipital"):
        mean = power.mean(axis=0)[regions == region].mean(axis=0)
        axes.loglog(frequencies, mean, color=REGION_COLOURS[region], label=region)
    axes.set_xticks([1, 3, 10, 30], ["1", "3", "10", "30"])
    axes.set(title=f"{kind}: spectrum of the noise", xlabel="Hz", ylabel=f"{unit}²/Hz")
    axes.legend(frameon=False)


def draw_information(axes: plt.Axes, subject: SimulatedRecording, kind: str) -> None:
    """Draw when pictures differ: what each source contributes, and what two halves of the trials share."""
    factor, unit = UNITS[kind]
    for source in SOURCES:
        parts = subject.truth.evoked(subject.average("validation")[0], [source]) * factor
        axes.plot(subject.times, parts.var(axis=0).mean(axis=0), label=source)
    repeats = subject.repeats("validation") * factor
    first, second = (repeats[:, half::2].mean(axis=1) for half in (0, 1))
    shared = ((first - first.mean(axis=0)) * (second - second.mean(axis=0))).mean(axis=(0, 1))
    axes.plot(subject.times, shared, color="0.2", linewidth=0.9, label="found from repeats")
    axes.set(title=f"{kind}: variance over pictures", xlabel="s after onset", ylabel=f"{unit}²", xlim=(-0.2, 1.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, default=Path("data_cards/simulated_eeg.png"))
    arguments = parser.parse_args()
    pictures = ObjectStimuli().subset(rendering="fluent3d", split=["train", "validation"])
    once = {"train": 1}
    recorded = {
        "EEG": SimulatedEeg(stimuli=pictures, repeats=once).subject("sub-01"),
        "MEG": SimulatedMeg(stimuli=pictures, repeats=once).subject("sub-01"),
    }
    figure = plt.figure(figsize=(11, 9), layout="constrained")
    grid = figure.add_gridspec(3, 4, width_ratios=[1.6, 1, 1, 1])
    for number, (kind, subject) in enumerate(recorded.items()):
        draw_averages([figure.add_subplot(grid[number, column]) for column in range(4)], subject, kind)
    figure.axes[0].legend(frameon=False, fontsize=7, loc="upper right")
    last = grid[2, :].subgridspec(1, 4)
    for number, (kind, subject) in enumerate(recorded.items()):
        draw_spectrum(figure.add_subplot(last[2 * number]), subject, kind)
        draw_information(figure.add_subplot(last[2 * number + 1]), subject, kind)
    figure.legend(*figure.axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    write_figure(figure, arguments.target, dpi=90)


if __name__ == "__main__":
    main()
