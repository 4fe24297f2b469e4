"""Draw what the simulated whole-brain fMRI looks like, ``data_cards/simulated_whole_brain.png``.

    python pipelines/assets/draw_simulated_whole_brain.py

Where semantic content is planted, answers to pictures and to imagination by network, two minutes of a run, and the
spectrum of what is not evoked. Sub-01; test pictures are not shown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from nilearn.plotting import plot_markers
from scipy.signal import welch

from braindecode_x.datasets.simulated_networks import IMAGINED, NETWORKS, SEEN
from braindecode_x.datasets.simulated_whole_brain import MeasuredRun, SimulatedWholeBrain
from braindecode_x.files import write_figure
from braindecode_x.stimuli import ObjectStimuli

COLOURS = {"Visual": "#4477aa", "DorsalAttention": "#228833", "DefaultMode": "#ee6677", "SomatomotorDorsal": "#bbbbbb"}
AFTER = 20.0  # seconds after an onset
SHOWN = (60.0, 180.0)  # seconds of a run
APART = 2  # percent from a parcel's course to the next one's


def draw_networks(axes: plt.Axes, cohort: SimulatedWholeBrain) -> None:
    """Draw the networks that carry content on the glass brain; a sphere's size is its share of semantic variance."""
    semantic = cohort.truth_of("sub-01").semantic.var(axis=0)
    carrying = semantic > 0
    networks = np.array(cohort.parcels.networks)[carrying]
    number = [list(COLOURS).index(name) for name in networks]
    colours = matplotlib.colors.ListedColormap(list(COLOURS.values())[:3])
    plot_markers(
        number,
        cohort.parcels.coordinates[carrying],
        node_cmap=colours,
        node_size=15 + 60 * semantic[carrying] / semantic.max(),
        node_vmin=-0.5,
        node_vmax=2.5,
        display_mode="lyrz",
        axes=axes,
        colorbar=False,
    )
    for name, colour in list(COLOURS.items())[:3]:
        share = f"{name}: {cohort.truth.at[name, 'semantic']:.0%} of semantic variance"
        axes.scatter([], [], color=colour, label=share)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=3, frameon=False)
    axes.set_title("Planted semantic content (area of a sphere: its share)")


def responses(cohort: SimulatedWholeBrain, runs: list[MeasuredRun], condition: str) -> tuple[np.ndarray, np.ndarray]:
    """Estimate mean courses after onsets by least squares, with a drift a run: seconds, (times, parcels)."""
    chosen = [run for run in runs if run.events["condition"].iloc[0] == condition]
    lags = np.arange(0, AFTER, cohort.tr)
    designs, measured = [], []
    for run in chosen:
        since = cohort.tr * np.arange(len(run.percent))[:, None] - run.events["onset"].to_numpy()
        impulses = np.stack([(np.abs(since - lag) < cohort.tr / 2).any(axis=1) for lag in lags], axis=1).astype(float)
        trend = np.vander(np.linspace(-1, 1, len(impulses)), 4)
        design = impulses - trend @ np.linalg.lstsq(trend, impulses)[0]
        designs.append(design)
        measured.append(run.percent - trend @ np.linalg.lstsq(trend, run.percent)[0])
    return lags, np.linalg.lstsq(np.concatenate(designs), np.concatenate(measured))[0]


def draw_responses(axes: plt.Axes, cohort: SimulatedWholeBrain, runs: list[MeasuredRun], condition: str) -> None:
    lags, courses = responses(cohort, runs, condition)
    for name, colour in COLOURS.items():
        course = courses[:, cohort.parcels.in_network(name)].mean(axis=1)
        axes.plot(lags, course - course[0], "o-", color=colour, markersize=3, label=name)
    axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    axes.set(title=f"Mean answer, {condition}", xlabel="s after onset", ylabel="% signal change", ylim=(-0.5, 1.3))


def draw_course(axes: plt.Axes, cohort: SimulatedWholeBrain, run: MeasuredRun) -> None:
    """Draw a parcel of each network over two minutes, one below the other, with the onsets of pictures."""
    times = cohort.tr * np.arange(len(run.percent))
    for place, (name, colour) in enumerate(COLOURS.items()):
        parcel = np.flatnonzero(cohort.parcels.in_network(name))[2]
        course = run.percent[:, parcel] - run.percent[:, parcel].mean()
        axes.plot(times, course - APART * place, color=colour)
        axes.text(SHOWN[1] + 1, -APART * place, cohort.parcels.names[parcel], color=colour, va="center")
    for onset in run.events["onset"]:
        axes.axvline(onset, color="0.85", linewidth=0.8, zorder=0)
    axes.set(title="A run, before cleaning; lines: pictures", xlabel="s", ylabel="% signal change", xlim=SHOWN)
    axes.set_yticks(np.arange(-3 * APART, 2), ["0", "1"] * 4)
    axes.set_ylim(-3 * APART - 1.5, 2.5)


def draw_spectrum(axes: plt.Axes, cohort: SimulatedWholeBrain) -> None:
    """Draw the spectrum of all that is not evoked, mean over parcels, at two repetition times."""
    nuisance = cohort.truth_of("sub-01").nuisance
    for tr, colour in ((0.4, "#aa3377"), (2.0, "#222222")):
        drawn = [nuisance.draw(int(400 / tr), tr, np.random.default_rng([7, k]))[0] for k in range(4)]
        frequencies, power = welch(np.stack(drawn), 1 / tr, nperseg=int(100 / tr), axis=1)
        axes.semilogy(frequencies[1:], power[:, 1:].mean(axis=(0, 2)), color=colour, label=f"every {tr:g} s")
    axes.set(title="Spectrum of what is not evoked", xlabel="Hz", ylabel="%²/Hz")
    axes.legend(frameon=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, default=Path("data_cards/simulated_whole_brain.png"))
    arguments = parser.parse_args()
    pictures = ObjectStimuli().subset(rendering="fluent3d", split=["train", "validation"])
    cohort = SimulatedWholeBrain(stimuli=pictures, repeats={"train": 1})
    assert set(COLOURS) > {name for name, network in NETWORKS.items() if network.semantic}
    runs = list(cohort.measured("sub-01"))
    figure = plt.figure(figsize=(11, 9))  # nilearn places its brains before a layout engine would move the axes
    draw_networks(figure.add_axes((0.02, 0.7, 0.96, 0.26)), cohort)
    draw_responses(figure.add_axes((0.07, 0.36, 0.24, 0.24)), cohort, runs, SEEN)
    draw_responses(figure.add_axes((0.39, 0.36, 0.24, 0.24)), cohort, runs, IMAGINED)
    figure.axes[-1].legend(frameon=False, fontsize=8)
    draw_spectrum(figure.add_axes((0.73, 0.36, 0.24, 0.24)), cohort)
    draw_course(figure.add_axes((0.07, 0.06, 0.75, 0.21)), cohort, runs[0])
    write_figure(figure, arguments.target, dpi=90)


if __name__ == "__main__":
    main()
