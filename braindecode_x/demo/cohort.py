"""What the simulated subjects of every modality share: decoded by the package's commands, scored, and shown."""

from __future__ import annotations

import gc
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from braindecode_x.clip import ClipEncoder, image_targets
from braindecode_x.comparison import PICTURES, SEEN, compare
from braindecode_x.demo.stages import announced, stage
from braindecode_x.embeddings import Embeddings
from braindecode_x.files import file_hash
from braindecode_x.lightning_cli import BEST, OtherSettingsError
from braindecode_x.lightning_cli import main as run_training_command
from braindecode_x.metrics.comparison import retrieval_by_name
from braindecode_x.metrics.significance import bootstrap_interval
from braindecode_x.report import Page, breakable, comparison_table, read_picture, wide_table
from braindecode_x.resources import travelling
from braindecode_x.run_report import write_report
from braindecode_x.stimuli import ObjectStimuli, Stimuli

SHOWN = 10
PREDICTIONS = "predictions.safetensors"


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


def train(folder: Path, config: str, *arguments: str) -> None:
    """Run ``fit`` as on the command line; a training that is finished is not repeated."""
    try:
        _run("fit", folder, config, arguments)
    except OtherSettingsError:  # an earlier version's demonstration: begun anew, as its pictures are
        shutil.rmtree(folder)
        _run("fit", folder, config, arguments)


def train_and_predict(folder: Path, config: str, *arguments: str) -> Embeddings:
    """Run ``fit`` and ``predict`` as on the command line, as far as they were not run before."""
    train(folder, config, *arguments)
    target = folder / PREDICTIONS
    if not target.is_file() or set(Embeddings.load(target).index["checkpoint"]) != {file_hash(folder / BEST)}:
        _run("predict", folder, config, arguments)
    return Embeddings.load(target)


def _run(command: str, folder: Path, config: str, arguments: tuple[str, ...]) -> None:
    options = ["--trainer.default_root_dir", str(folder), "--trainer.enable_model_summary", "false", *arguments]
    file = str(travelling("pipelines", "*.yaml")[config])
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it says much that is not of this demonstration
    announced(
        [command, "--config", config, *options], lambda: run_training_command([command, "--config", file, *options])
    )
    gc.collect()  # trainer and task name each other: the subjects' data would stay in memory


def score_systems(
    decoded: Mapping[str, Embeddings],
    output: Path,
    encoder: ClipEncoder,
    seed: int,
    n_pictures: int,
    subjects: tuple[str, ...],
    training: Stimuli | None,
    run: Path,
) -> CohortResult:
    """Find all test pictures, and reconstruct some of some subjects.

    Parameters
    ----------
    decoded : mapping of str to Embeddings
        By system, the first one under test.
    output : Path
        Gets ``comparison/``, with a page of its own.
    encoder : ClipEncoder
    seed : int
    n_pictures : int
        How many are reconstructed of each of ``subjects``, drawn at random.
    subjects : tuple of str
    training : Stimuli or None
        See `compare`.
    run : Path
        Folder of the training that the page shows.
    """
    test = ObjectStimuli().subset(split="test", rendering="fluent3d")
    truth = dict(zip(test.ids, image_targets(test, encoder, progress=False).tensor(), strict=True))
    retrieval = pd.concat([found_pictures(name, each, truth, seed) for name, each in decoded.items()])
    chosen = sorted(np.random.default_rng(seed).choice(test.ids, n_pictures, replace=False))
    some = {}
    for name, each in decoded.items():
        rows = each.index["stimulus"].isin(chosen) & each.index["subject"].isin(subjects)
        some[name] = each[np.flatnonzero(rows).tolist()]
    folder = output / "comparison"
    comparison = compare(some, test.subset(ids=chosen), folder, encoder=encoder, training=training, seed=seed)
    stage("write the report", lambda: write_report(folder, run))
    return CohortResult(retrieval, comparison, folder)


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


def show_found(page: Page, result: CohortResult) -> None:
    """Add how many test pictures were found to the page."""
    retrieval = result.retrieval
    wide = wide_table(retrieval.assign(system=retrieval["subject"], metric=retrieval["system"] + ", 200-way"))
    page.table(
        breakable(wide), "Right picture found among all 200 test pictures (chance 0.5%); intervals over pictures"
    )


def show_pictures(page: Page, result: CohortResult) -> None:
    """Add pictures of the first reconstructed subject, and the scores of all of them, to the page."""
    pictures = pd.read_csv(result.folder / PICTURES, dtype=str, keep_default_na=False)
    subject = pictures["subject"].iloc[0]
    own = pictures[pictures["subject"] == subject].iloc[:SHOWN]
    systems = [name for name in pictures if name not in ("id", "subject", "stimulus", SEEN)]
    rows = [(name, [read_picture(result.folder / file) for file in own[name]]) for name in (SEEN, *systems)]
    page.grid(rows, [""] * len(own), f"Subject {subject}: what was seen and what was reconstructed, not picked.")
    where = "/".join((result.folder / "report.html").parts[-3:])
    page.table(
        breakable(comparison_table(result.comparison)),
        f"All reconstructed subjects, {len(pictures)} trials; more, with curves, in {where}",
    )
