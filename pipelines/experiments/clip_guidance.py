"""What it is worth to guide the embedded decoder by the gradient of CLIP, on the 100 validation pictures.

    python pipelines/experiments/clip_guidance.py

Pictures are made of true embeddings with the decoder's own settings, at several lengths of the gradient's step, and the
best of 1, 2 and 4 candidates is kept, ranked by the embedding. Test pictures are not touched. Each length is written to
``clip_guidance.csv`` when it is measured, so a run that was cut goes on; draws ``clip_guidance.png``.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from fitting import Rows
from tqdm import tqdm

from braindecode_x.diffusion.latent import LatentReconstructor
from braindecode_x.files import write_figure
from braindecode_x.resources import asset

sys.path.append(str(Path(__file__).parents[1] / "assets"))
from choose_sampling import Validation

STEPS = (0.0, 0.5, 1.0, 1.5)
CANDIDATES = (1, 2, 4)


def draw(table: pd.DataFrame, mean_pixcorr: float, target: Path) -> None:
    """Draw scores against the length of the step, a line a number of candidates."""
    figure, panels = plt.subplots(1, 4, figsize=(14, 3.4), layout="constrained")
    table = table.sort_values(["candidates", "clip_guidance"])
    for axes, metric in zip(panels, ("100-way", "two-way", "PixCorr", "CPU seconds"), strict=True):
        for number, own in table.groupby("candidates"):
            label = f"best of {number}" if number > 1 else "one candidate"
            axes.plot(own["clip_guidance"], own[metric], "o-", markersize=4, label=label)
        axes.set(xlabel="length of the step", title=metric if metric != "CPU seconds" else "CPU seconds a picture")
        axes.grid(alpha=0.3)
    panels[2].axhline(mean_pixcorr, color="grey", linestyle="--", label="mean picture")
    panels[2].legend(fontsize=8)
    write_figure(figure, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("pipelines/experiments"))
    arguments = parser.parse_args()
    validation = Validation(LatentReconstructor.from_folder(asset("decoder")))
    rows, sampling = Rows(arguments.output / "clip_guidance.csv"), validation.reconstructor.sampling
    for step in tqdm(STEPS, desc="lengths of the step"):
        if rows.has({"clip_guidance": step}):
            continue
        started = time.process_time()
        scores = validation.score_candidates(replace(sampling, clip_guidance=step), CANDIDATES)
        cpu = (time.process_time() - started) / (max(CANDIDATES) * len(validation.ids))
        names = ("clip_guidance", "candidates", "100-way", "two-way", "PixCorr")
        rows.add(*({**{name: row[name] for name in names}, "CPU seconds": cpu * row["candidates"]} for row in scores))
    print(rows.table.to_string(index=False))
    draw(rows.table, validation.mean_pixcorr, arguments.output / "clip_guidance.png")


if __name__ == "__main__":
    main()
