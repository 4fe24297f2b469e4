"""Draw what the demonstration made of simulated EEG, ``data_cards/simulated_eeg_decoded.png``.

    braindecode-x demo --system atm
    python pipelines/assets/draw_eeg_demo.py [--demo runs/demo]

The first pictures of the first subject, as the page shows them, and how often the picture seen is found from windows of
time. The systems that made the pictures were chosen on validation pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from braindecode_x.comparison import PICTURES, SEEN
from braindecode_x.demo.eeg import WITH_PRIOR
from braindecode_x.files import write_figure
from braindecode_x.metrics.comparison import EVERYONE
from braindecode_x.report import read_picture

ROWS = {SEEN: "seen", WITH_PRIOR: "ATM and prior", "ATM": "ATM", "ridge": "ridge"}
MODES = {"masked": "ATM, all else masked", "retrained": "ridge, fitted to the window"}
SHOWN = 10


def draw_pictures(figure: SubFigure, folder: Path) -> None:
    """Draw a row of pictures for what was seen and for each system."""
    pictures = pd.read_csv(folder / PICTURES, dtype=str, keep_default_na=False)
    own = pictures[pictures["subject"] == pictures["subject"].iloc[0]].iloc[:SHOWN]
    grid = figure.subplots(len(ROWS), len(own), gridspec_kw={"wspace": 0.05, "hspace": 0.05, "left": 0.14, "right": 1})
    for line, (name, title) in zip(grid, ROWS.items(), strict=True):
        line[0].text(-0.15, 0.5, title, ha="right", va="center", transform=line[0].transAxes)
        for axes, file in zip(line, own[name], strict=True):
            axes.imshow(read_picture(folder / file).permute(1, 2, 0))
            axes.set_axis_off()


def draw_accuracy(axes: Axes, accuracy: pd.DataFrame) -> None:
    """Draw accuracy over time, all subjects together or the one there is, with 95% intervals and chance."""
    subject = EVERYONE if EVERYONE in set(accuracy["subject"]) else accuracy["subject"].iloc[0]
    shown = accuracy[(accuracy["metric"] == "top-1") & (accuracy["subject"] == subject)]
    for mode, title in MODES.items():
        own = shown[shown["mode"] == mode]
        middle = 1000 * (own["start"] + own["stop"]) / 2
        (line,) = axes.plot(middle, 100 * own["value"], label=title)
        axes.fill_between(middle, 100 * own["low"], 100 * own["high"], color=line.get_color(), alpha=0.2, linewidth=0)
    axes.axhline(100 * shown["chance"].mean(), color="0.5", linewidth=0.8, linestyle="--", label="chance")
    axes.set(xlabel="middle of the window (ms after onset)", ylabel="found among 200 (%)", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"))
    parser.add_argument("--target", type=Path, default=Path("data_cards/simulated_eeg_decoded.png"))
    arguments = parser.parse_args()
    folder = arguments.demo / "simulated_eeg"
    figure = Figure(figsize=(13, 3.6))
    left, right = figure.subfigures(1, 2, width_ratios=(2.4, 1))
    draw_pictures(left, folder / "comparison")
    axes = right.add_axes((0.2, 0.17, 0.76, 0.74))
    draw_accuracy(axes, pd.read_csv(folder / "analysis" / "windows" / "accuracy.csv"))
    write_figure(figure, arguments.target, dpi=110)


if __name__ == "__main__":
    main()
