"""Simulated subjects: one MindBridge for all of them beside ridge, from training to pictures."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from braindecode_x.clip import ClipEncoder, image_targets
from braindecode_x.comparison import PICTURES, SEEN, compare
from braindecode_x.demo.stages import stage
from braindecode_x.embeddings import Embeddings
from braindecode_x.lightning_cli import OtherSettingsError
from braindecode_x.lightning_cli import main as run_training_command
from braindecode_x.metrics.comparison import retrieval_by_name
from braindecode_x.metrics.significance import bootstrap_interval
from braindecode_x.report import Page, breakable, comparison_table, read_picture, wide_table
from braindecode_x.resources import travelling
from braindecode_x.run_report import write_report
from braindecode_x.stimuli import ObjectStimuli, Stimuli

RECONSTRUCTED = ("sub-01", "sub-02")
SYSTEMS = {"MindBridge": "mindbridge_simulated.yaml", "ridge": "ridge_simulated.yaml"}
SHOWN = 10


@dataclass
class CohortResult:
    """What was found.

    Attributes
    ----------
    retrieval : pandas.DataFrame
        Tidy scores of finding each subject's test pictures among all 200, see `score_table`.
    comparison : pandas.DataFrame
        Scores of the pictures, see `compare`.
    folder : Path
        That of the comparison.
    """

    retrieval: pd.DataFrame
    comparison: pd.DataFrame
    folder: Path

    @property
    def table(self) -> pd.DataFrame:
        """Both, tidy."""
        return pd.concat([self.retrieval, self.comparison], ignore_index=True)


def decode_cohort(
    output: Path, encoder: ClipEncoder, seed: int, n_pictures: int, epochs: int, training: Stimuli | None
) -> CohortResult:
    """Train on the simulated subjects, find all test pictures, and reconstruct some of them."""
    decoded = {name: train_and_predict(output / name.lower(), config, epochs) for name, config in SYSTEMS.items()}
    test = ObjectStimuli().subset(split="test", rendering="fluent3d")
    truth = dict(zip(test.ids, image_targets(test, encoder, progress=False).tensor(), strict=True))
    retrieval = pd.concat([found_pictures(name, each, truth, seed) for name, each in decoded.items()])
    chosen = sorted(np.random.default_rng(seed).choice(test.ids, n_pictures, replace=False))
    some = {}
    for name, each in decoded.items():
        rows = each.index["stimulus"].isin(chosen) & each.index["subject"].isin(RECONSTRUCTED)
        some[name] = each[np.flatnonzero(rows).tolist()]
    comparison = compare(
        some, test.subset(ids=chosen), output / "comparison", encoder=encoder, training=training, seed=seed
    )
    stage("write the report", lambda: write_report(output / "comparison", output / "mindbridge"))
    return CohortResult(retrieval, comparison, output / "comparison")


def train_and_predict(folder: Path, config: str, epochs: int) -> Embeddings:
    """Run ``fit`` and ``predict`` as on the command line; a training that is finished is not repeated."""
    common = [
        *("--config", str(travelling("pipelines", "*.yaml")[config])),
        *("--trainer.default_root_dir", str(folder)),
        *("--trainer.enable_model_summary", "false"),
    ]
    if config == SYSTEMS["MindBridge"]:
        common += ["--trainer.max_epochs", str(epochs)]
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it says much that is not of this demonstration
    for command in ("fit", "predict"):
        Console(stderr=True).print(f"braindecode-x {command} --config {config}", highlight=False)
        try:
            run_training_command([command, *common])
        except OtherSettingsError:  # an earlier version's demonstration: begun anew, as its pictures are
            shutil.rmtree(folder)
            run_training_command([command, *common])
    return Embeddings.load(folder / "predictions.safetensors")


def found_pictures(system: str, decoded: Embeddings, truth: dict, seed: int) -> pd.DataFrame:
    """Score finding what was seen among all test pictures, subject by subject."""
    rows = []
    for subject, own in decoded.index.groupby("subject", sort=False):
        seen = torch.stack([truth[name] for name in own["stimulus"]])
        scores = retrieval_by_name(decoded.image[own.index.tolist()], seen)
        hits = scores[f"image from brain, {len(own)}-way"].numpy()
        low, high = bootstrap_interval(hits, seed)
        row = {"system": system, "subject": subject, "metric": f"{len(own)}-way", "value": hits.mean()}
        rows.append(row | {"low": low, "high": high, "n": len(hits)})
    return pd.DataFrame(rows)


def show_cohort(page: Page, result: CohortResult) -> None:
    """Add what was found to the page."""
    comparison, retrieval = result.comparison, result.retrieval
    page.heading("Simulated subjects, one model")
    page.text(
        "Six simulated subjects with different numbers of voxels saw 1,076 pictures three times each. One "
        "MindBridge was trained for all of them, and ridge for each; then both decoded 200 pictures of concepts that "
        "no trained part knows. The systems were stopped and chosen on other, validation pictures."
    )
    wide = wide_table(retrieval.assign(system=retrieval["subject"], metric=retrieval["system"] + ", 200-way"))
    page.table(wide, "Right picture found among all 200 test pictures (chance 0.5%); intervals over pictures")
    pictures = pd.read_csv(result.folder / PICTURES, dtype=str, keep_default_na=False)
    own = pictures[pictures["subject"] == RECONSTRUCTED[0]].iloc[:SHOWN]
    systems = [name for name in pictures if name not in ("id", "subject", "stimulus", SEEN)]
    rows = [(name, [read_picture(result.folder / file) for file in own[name]]) for name in (SEEN, *systems)]
    page.grid(
        rows, [""] * len(own), f"Subject {RECONSTRUCTED[0]}: what was seen and what was reconstructed, not picked."
    )
    page.table(
        breakable(comparison_table(comparison)),
        f"Both reconstructed subjects, {len(pictures)} trials; more, with curves, in simulated/comparison/report.html",
    )
