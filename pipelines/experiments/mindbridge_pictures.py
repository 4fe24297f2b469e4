"""What a diffusion prior and guidance by CLIP are worth to MindBridge's pictures, beside recalling a training picture.

    braindecode-x fit --config pipelines/mindbridge_simulated.yaml
    braindecode-x fit --config pipelines/prior_mindbridge_simulated.yaml
    braindecode-x fit --config pipelines/ridge_simulated.yaml
    python pipelines/experiments/mindbridge_pictures.py

MindBridge's embeddings of six simulated subjects go to the embedded decoder as they are, or by way of the prior. How
the prior is sampled, and then how pictures are (plainly, or guided by CLIP), is chosen by the judge on the validation
pictures of two subjects. The test pictures of all six are reconstructed plainly, beside ridge and the controls of
`compare`, and those of the prior's embeddings in the way that was chosen; differences are to the nearest training
picture. Writes ``mindbridge_pictures.csv`` (both splits) and ``mindbridge_pictures.png``. Pictures are kept in
``--work``, so a run that was cut goes on.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from braindecode_x.clip import ClipEncoder
from braindecode_x.comparison import CEILING, CHANCE, NEAREST, compare
from braindecode_x.datamodules import BetasDataModule, PredictedEmbeddings
from braindecode_x.datasets import SimulatedFmri
from braindecode_x.diffusion.prior import EmbeddingPrior
from braindecode_x.embeddings import Embeddings
from braindecode_x.files import atomic_path, write_figure
from braindecode_x.metrics.comparison import EVERYONE
from braindecode_x.stimuli import ObjectStimuli

MINDBRIDGE, WITH_PRIOR, RIDGE = "MindBridge", "MindBridge and prior", "ridge"
CHOSEN_ON = ("sub-01", "sub-04")
GUIDANCES = (2.0, 5.0)
SAMPLES = 8  # of the prior, averaged
PLAIN = "plain"
SAMPLINGS: dict[str, dict[str, Any] | None] = {PLAIN: None, "guided by CLIP": {"clip_guidance": 1}}
CHOSEN_BY = "embedded judge, two-way"
DRAWN = (CHOSEN_BY, "embedded judge, 50-way", "embedded judge, 200-way", "PixCorr")
SYSTEMS = (WITH_PRIOR, MINDBRIDGE, RIDGE, NEAREST, CHANCE, CEILING)


class Pictures:
    """Makes and scores pictures of one split, a comparison for each way of sampling.

    Parameters
    ----------
    work : Path
    split : str
    seed : int
    """

    def __init__(self, work: Path, split: str, seed: int):
        self.work, self.split, self.seed = work / split, split, seed
        self.encoder, self.seen = ClipEncoder(), ObjectStimuli().subset(split=split, rendering="fluent3d")

    def table(self, systems: dict[str, Embeddings], sampling: str) -> pd.DataFrame:
        """Score systems; the first is the one whose nearest training pictures are shown."""
        own = {"sampling": SAMPLINGS[sampling], "encoder": self.encoder, "baseline": NEAREST, "seed": self.seed}
        table = compare(systems, self.seen, self.work / sampling, **own)
        return table.assign(split=self.split, sampling=sampling)


def decoded(data: PredictedEmbeddings, split: str, subjects: tuple[str, ...]) -> Embeddings:
    """Decode a split of some subjects."""
    batch = data.predicted(split)
    names = [data.names[number] for number in batch.subject.tolist()]
    rows = [row for row, name in enumerate(names) if name in subjects]
    index = pd.DataFrame({"subject": [names[row] for row in rows], "stimulus": [batch.stimulus[row] for row in rows]})
    return Embeddings(index.assign(id=index["subject"] + "_" + index["stimulus"]), data.space, batch.brain[rows])


def likely(prior: EmbeddingPrior, given: Embeddings, guidance: float, seed: int) -> Embeddings:
    """Sample what pictures could have, given what was decoded."""
    image: torch.Tensor = prior.with_sampling(guidance=guidance, samples=SAMPLES)(given.image, given.ids, seed)
    return Embeddings(given.index, given.space, image)


def best(table: pd.DataFrame, column: str) -> str:
    """Return what the judge finds best."""
    shown = table[(table["subject"] == EVERYONE) & (table["metric"] == CHOSEN_BY)].set_index(column)["value"]
    return str(shown.idxmax())


def draw(table: pd.DataFrame, target: Path) -> None:
    """Draw test scores with intervals: a row a system, a colour a way of sampling."""
    shown = table[(table["split"] == "test") & (table["subject"] == EVERYONE)]
    figure, panels = plt.subplots(1, len(DRAWN), figsize=(13, 3.5), layout="constrained", sharey=True)
    systems = [name for name in SYSTEMS if name in set(shown["system"])][::-1]
    for axes, metric in zip(panels, DRAWN, strict=True):
        for offset, (sampling, rows) in enumerate(shown[shown["metric"] == metric].groupby("sampling", sort=False)):
            own = rows.set_index("system")
            places = np.array([systems.index(name) for name in own.index]) + 0.2 * (0.5 - offset)
            spread = np.abs(own[["low", "high"]].to_numpy().T - own["value"].to_numpy())
            axes.errorbar(own["value"], places, xerr=spread, fmt="o", markersize=4, linewidth=1, label=sampling)
        axes.set_title(metric, size="medium")
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(systems)), systems)
    shown_by = panels[0].get_legend_handles_labels()
    figure.legend(*shown_by, loc="outside lower center", ncols=len(SAMPLINGS), frameon=False)
    write_figure(figure, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("pipelines/experiments"))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the trainings")
    parser.add_argument("--work", type=Path, default=Path("runs/mindbridge_pictures"), help="keeps pictures")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    seed, cohort = arguments.seed, SimulatedFmri(0)
    data, ridge = (
        PredictedEmbeddings(arguments.runs / name / "decoder", BetasDataModule(cohort))
        for name in ("mindbridge_simulated", "ridge_simulated")
    )
    prior = EmbeddingPrior.from_pretrained(arguments.runs / "prior_mindbridge_simulated" / "prior")

    studio, given = Pictures(arguments.work, "validation", seed), decoded(data, "validation", CHOSEN_ON)
    named = {f"prior, guidance {guidance:g}": guidance for guidance in GUIDANCES}
    systems = {name: likely(prior, given, guidance, seed) for name, guidance in named.items()}
    tables = [studio.table({**systems, MINDBRIDGE: given}, PLAIN)]
    chosen = best(tables[0][tables[0]["system"].isin(named)], "system")
    tables += [studio.table({chosen: systems[chosen]}, sampling) for sampling in SAMPLINGS if sampling != PLAIN]
    sampled = pd.concat(tables)
    sampling = best(sampled[sampled["system"] == chosen], "sampling")
    print(f"chosen on validation pictures: {chosen}; {sampling}")

    studio, given = Pictures(arguments.work, "test", seed), decoded(data, "test", cohort.subjects)
    systems = {
        WITH_PRIOR: likely(prior, given, named[chosen], seed),
        MINDBRIDGE: given,
        RIDGE: decoded(ridge, "test", cohort.subjects),
    }
    tables += [studio.table(systems, PLAIN)]
    if sampling != PLAIN:
        tables += [studio.table({WITH_PRIOR: systems[WITH_PRIOR]}, sampling)]
    table = pd.concat(tables, ignore_index=True)
    with atomic_path(arguments.output / "mindbridge_pictures.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")
    draw(table, arguments.output / "mindbridge_pictures.png")
    shown = table[(table["subject"] == EVERYONE) & (table["split"] == "test")]
    print(shown.pivot(index=["sampling", "system"], columns="metric", values="value").to_string(float_format="%.3f"))


if __name__ == "__main__":
    main()
