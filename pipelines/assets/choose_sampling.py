"""Choose the embedded decoder's sampling on the 100 validation pictures, and draw quality against seconds.

    python pipelines/assets/choose_sampling.py

Guidance and noise are chosen with UniPC at 6 steps, then scheduler and steps, then the number of candidates (ranked by
the condition) that a picture's time allows. Test pictures are not touched. Writes
``build/assets/decoder/sampling.csv``, the picture ``data_cards/decoder_quality.png`` and the defaults in
``decoder.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from tqdm import tqdm
from training import BUILD

from braindecode_x.clip import ClipEncoder, image_targets
from braindecode_x.diffusion import Conditions
from braindecode_x.diffusion.latent import LatentReconstructor, Sampling
from braindecode_x.diffusion.reranking import most_similar
from braindecode_x.files import write_figure, write_json, write_text
from braindecode_x.metrics.evaluate import mean_picture
from braindecode_x.metrics.identification import centred_unit
from braindecode_x.metrics.image_quality import pixcorr
from braindecode_x.metrics.judge import Judge
from braindecode_x.metrics.retrieval import k_way_accuracy, ranks
from braindecode_x.stimuli import ObjectStimuli

GUIDANCES, NOISES = (2.5, 3.25, 4.0), (0.5, 0.75)
SCHEDULERS, STEPS = ("DDIMScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"), (4, 6, 10)
CANDIDATES = (1, 2, 4, 8)
LIMIT = 0.3  # seconds a picture
MARGIN = 0.065  # PixCorr above the mean picture that the choice must keep


class Validation:
    """Validation pictures, their embeddings, and the judge."""

    def __init__(self, reconstructor: LatentReconstructor):
        stimuli = ObjectStimuli()
        pictures, encoder = stimuli.subset(split="validation", rendering="fluent3d"), ClipEncoder()
        reconstructor.encoder = encoder  # ranks and guides
        self.ids, self.reconstructor, self.judge = pictures.ids, reconstructor, Judge()
        self.conditions = Conditions(encoder.space, image_targets(pictures, encoder).tensor())
        self.seen = pictures.pixels(reconstructor.image_size).float() / 255
        self.features = self.judge.features(self.seen)
        blank = mean_picture(stimuli.trainable(), reconstructor.image_size).expand_as(self.seen)
        self.mean_pixcorr = pixcorr(blank, self.seen).mean().item()

    def score(self, sampling: Sampling) -> dict:
        """Reconstruct all with these settings: scores and seconds a picture."""
        return self.score_candidates(sampling, (1,))[0]

    def score_candidates(self, sampling: Sampling, counts: tuple[int, ...]) -> list[dict]:
        """Draw the largest number of candidates once; score the best of the first 1, 2, ... of them."""
        model = self.reconstructor.with_sampling(**asdict(sampling))
        drawn: list[torch.Tensor] = []
        scores, drawing = [], 0.0
        for number in range(max(counts)):
            started = time.time()
            drawn.append(model.draw(self.conditions, self.ids, 0, number))
            drawing += time.time() - started
            if number + 1 not in counts:
                continue
            started, best = time.time(), drawn[0]
            if number:
                best = most_similar(torch.stack(drawn, dim=1), self.conditions, self.reconstructor.encoder)
            seconds = (drawing + time.time() - started) / len(self.ids)
            settings = asdict(replace(sampling, candidates=number + 1))
            scores.append({**settings, "seconds": seconds, **self.judged(best)})
        return scores

    def judged(self, pictures: torch.Tensor) -> dict[str, float]:
        """Score one picture a condition."""
        features = self.judge.features(pictures)
        rank = ranks(centred_unit(features) @ centred_unit(self.features).T)
        scores = {
            "100-way": k_way_accuracy(rank, len(rank), len(rank)),
            "two-way": k_way_accuracy(rank, len(rank), 2),
            "PixCorr": pixcorr(pictures, self.seen),
        }
        return {name: float(each.mean()) for name, each in scores.items()}


def choose(table: pd.DataFrame, mean_pixcorr: float) -> pd.Series:
    """Best judged among the settings that keep the margin in PixCorr (best PixCorr when none does)."""
    good = table[table["PixCorr"] >= mean_pixcorr + MARGIN]
    if good.empty:
        return table.loc[table["PixCorr"].idxmax()]
    return good.loc[(good["100-way"] + good["two-way"]).idxmax()]


def fastest(table: pd.DataFrame, mean_pixcorr: float) -> pd.Series:
    """Return the quickest setting that is nearly as good as the best one (1% in two-way and PixCorr, 3% in 100-way)."""
    best = choose(table, mean_pixcorr)
    near = (table["two-way"] >= best["two-way"] - 0.01) & (table["PixCorr"] >= best["PixCorr"] - 0.01)
    near &= table["100-way"] >= best["100-way"] - 0.03
    return table.loc[table.loc[near, "seconds"].idxmin()]


def draw(table: pd.DataFrame, chosen: pd.Series, mean_pixcorr: float, target: Path) -> None:
    """Quality against seconds a picture: a line a scheduler, points labelled with steps, and one of candidates."""
    ranked = table["part"] == "candidates"
    figure, panels = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    for axes, metric in zip(panels, ("100-way", "two-way", "PixCorr"), strict=True):
        lines = {name.removesuffix("Scheduler"): each for name, each in table[~ranked].groupby("scheduler")}
        lines["best of several candidates"] = table[ranked]
        for label, line in lines.items():
            axes.plot(line["seconds"], line[metric], "o-", label=label, markersize=4)
        numbered = [
            (lines[SCHEDULERS[0].removesuffix("Scheduler")], "steps"),
            (lines["best of several candidates"], "candidates"),
        ]
        for points, what in numbered:
            for _, row in points.iterrows():
                place = (row["seconds"], row[metric])
                axes.annotate(int(row[what]), place, xytext=(3, 4), textcoords="offset points", fontsize=8)
        axes.set_xscale("log")
        axes.plot(chosen["seconds"], chosen[metric], "k*", markersize=13, label="chosen")
        axes.set(xlabel="seconds a picture (2 CPU cores)", title=metric)
        axes.grid(alpha=0.3)
    panels[2].axhline(mean_pixcorr, color="grey", linestyle="--", label="mean picture")
    panels[2].legend(fontsize=8)
    write_figure(figure, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decoder", type=Path, default=BUILD / "decoder" / "export")
    parser.add_argument("--picture", type=Path, default=Path("data_cards/decoder_quality.png"))
    arguments = parser.parse_args()
    validation = Validation(LatentReconstructor.from_folder(arguments.decoder))
    base = Sampling(steps=6, scheduler="UniPCMultistepScheduler")
    grid = [replace(base, guidance_image=g, noise=n) for g in GUIDANCES for n in NOISES]
    first = pd.DataFrame([validation.score(s) for s in tqdm(grid, desc="guidance and noise")])
    print(first.to_string(), flush=True)
    best = choose(first, validation.mean_pixcorr)
    base = replace(base, guidance_image=float(best["guidance_image"]), noise=float(best["noise"]))
    grid = [replace(base, scheduler=name, steps=n) for name in SCHEDULERS for n in STEPS]
    second = pd.DataFrame([validation.score(s) for s in tqdm(grid, desc="scheduler and steps")])
    best = fastest(second, validation.mean_pixcorr)
    base = replace(base, scheduler=best["scheduler"], steps=int(best["steps"]))
    third = pd.DataFrame(validation.score_candidates(base, CANDIDATES))
    chosen = choose(third[third["seconds"] <= LIMIT], validation.mean_pixcorr)
    parts = {"guidance and noise": first, "scheduler and steps": second, "candidates": third}
    table = pd.concat([each.assign(part=part) for part, each in parts.items()])
    table["mean_picture_PixCorr"] = validation.mean_pixcorr
    table.to_csv(arguments.decoder.parent / "sampling.csv", index=False, float_format="%.4g")
    draw(table[table["part"] != "guidance and noise"], chosen, validation.mean_pixcorr, arguments.picture)
    write_text(arguments.decoder / "chosen_on.txt", "\n".join(validation.ids) + "\n")
    about = json.loads((arguments.decoder / "decoder.json").read_text())
    names = asdict(base)
    about["sampling"] = {name: type(value)(chosen[name]) for name, value in names.items()}
    write_json(arguments.decoder / "decoder.json", about)
    print(table.to_string())
    print(chosen.to_string())


if __name__ == "__main__":
    main()
