"""Unseen pictures rebuilt from their true embeddings: the bound of the embedded decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from braindecode_x.clip import ClipEncoder, image_targets
from braindecode_x.diffusion.reconstruct import reconstruct_file
from braindecode_x.embeddings import Embeddings
from braindecode_x.metrics.evaluate import evaluate_folder, read_reconstructions
from braindecode_x.report import Page, wide_table
from braindecode_x.stimuli import ObjectStimuli, Stimuli


def rebuild_objects(
    output: Path, encoder: ClipEncoder, seed: int, n_pictures: int, training: Stimuli | None
) -> pd.DataFrame:
    """Reconstruct test pictures, new to every trained part, from their true embeddings; return their scores."""
    test = ObjectStimuli().subset(split="test", rendering="fluent3d")
    chosen = np.random.default_rng(seed).choice(test.ids, n_pictures, replace=False)
    shown = test.subset(ids=sorted(chosen))
    index = shown.table.reset_index()[["id", "concept", "split"]].assign(stimulus=shown.ids)
    embeddings = image_targets(shown, encoder, progress=False).tensor()
    Embeddings(index, encoder.space, embeddings).save(output / "true.safetensors")
    reconstruct_file(output / "true.safetensors", output / "pictures", seed=seed, overwrite=True)
    return evaluate_folder(output / "pictures", ObjectStimuli(), output / "metrics", seed=seed, training=training)


def show_objects(page: Page, folder: Path, table: pd.DataFrame) -> None:
    """Add seen and rebuilt pictures and their scores to the page."""
    manifest, pictures = read_reconstructions(folder)
    seen = ObjectStimuli().pixels(pictures.shape[-1], manifest["stimulus"].tolist()).float() / 255
    page.heading("Unseen pictures, from their true embeddings")
    page.text(
        f"The bound of this decoder: {len(seen)} pictures that no trained part has seen, rebuilt from their own "
        "CLIP embeddings. Two baselines need no decoder: the mean training picture, and the training picture nearest "
        "in CLIP space (often a flat drawing of the same concept, which recalls rather than rebuilds)."
    )
    rows = []
    for start in range(0, len(seen), 10):
        rows += [("seen", seen[start : start + 10]), ("rebuilt", pictures[start : start + 10, 0])]
    page.grid(
        [(name, list(row)) for name, row in rows], [""] * 10, "Test pictures and their reconstructions, one draw each."
    )
    page.table(
        wide_table(table),
        f"n = {len(seen)}; intervals over pictures; judged in the space of a network that took no part",
    )
