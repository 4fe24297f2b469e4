"""Choose how MindBridge is trained on the simulated subjects: one change at a time, scored on validation pictures.

    python pipelines/experiments/tune_mindbridge.py

Test pictures are not touched. Each row is appended to ``tune_mindbridge.csv`` when it is measured; a run that was cut
goes on with the settings that are missing. Scores are of the best validation epoch: retrieval of the 100 validation
pictures (top-1, mean reciprocal rank) by cosine, and by cosine after the mean decoded embedding is taken off.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from fitting import fit_best
from lightning.pytorch.callbacks import EMAWeightAveraging

from braindecode_x.datamodules import BetasDataModule
from braindecode_x.datasets import SimulatedFmri
from braindecode_x.files import atomic_path
from braindecode_x.metrics.retrieval import ranks, similarity
from braindecode_x.tasks import EmbeddingTask, MindBridgeTask, RidgeTask

BASE = {"lr": 3e-4, "mixup": 0.0}  # where the search began; the task's own defaults are what it chose
# name: arguments of the task, of the data module, and the decay of an average of the weights
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any], float | None]] = {
    "base": ({}, {}, None),
    "paper's loss weights": ({"mse_image": 10_000.0, "mse_text": 10_000.0, "temperature": 0.005}, {}, None),
    "no repeat mixing": ({}, {"mix_repeats": False}, None),
    "averaged weights": ({}, {}, 0.98),
    "voxel dropout 0.3": ({"voxel_dropout": 0.3}, {}, None),
    "voxel dropout 0.6": ({"voxel_dropout": 0.6}, {}, None),
    "mixup 0.3": ({"mixup": 0.3}, {}, None),
    "in_dim 2688": ({"in_dim": 2688}, {}, None),
    "linear resize": ({"aggregation": "resize"}, {}, None),
    "weight decay 0.3": ({"weight_decay": 0.3}, {}, None),
    "learning rate 1e-3": ({"lr": 1e-3}, {}, None),
    "learning rate 2e-3": ({"lr": 2e-3}, {}, None),
    "learning rate 1e-3, mixup 0.3": ({"lr": 1e-3, "mixup": 0.3}, {}, None),
    "learning rate 2e-3, mixup 0.3": ({"lr": 2e-3, "mixup": 0.3}, {}, None),
    "learning rate 4e-3, mixup 0.3": ({"lr": 4e-3, "mixup": 0.3}, {}, None),
    "all three": ({"lr": 2e-3, "mixup": 0.3, "in_dim": 2688}, {}, None),
    "hidden 1024": ({"hidden": 1024}, {}, None),
    "batches of 128": ({}, {"batch_size": 128}, None),
}


def validation_scores(task: EmbeddingTask, data: BetasDataModule) -> dict[str, float]:
    """Score every subject's validation pictures; return means over subjects."""
    rows = []
    task.eval()
    for batch in data.val_dataloader():
        with torch.inference_mode():
            rows.append((task.predict_embeddings(batch)[0].float(), batch.image_target, batch.subject))
    decoded, truth, subject = (torch.cat(parts) for parts in zip(*rows, strict=True))
    scores: dict[str, list[float]] = {}
    for number in subject.unique():
        own, seen = decoded[subject == number], truth[subject == number]
        for kind, vectors, targets in (("", own, seen), ("centred ", own - own.mean(0), seen - seen.mean(0))):
            rank = ranks(similarity(vectors, targets))
            scores.setdefault(f"{kind}top1", []).append((rank < 1).double().mean().item())
            scores.setdefault(f"{kind}mrr", []).append((1 / (1 + rank)).mean().item())
    return {name: sum(values) / len(values) for name, values in scores.items()}


def train(task: EmbeddingTask, data: BetasDataModule, epochs: int, decay: float | None, seed: int) -> dict[str, float]:
    """Train; return validation scores of the best epoch, and seconds."""
    started = time.time()
    callbacks = (EMAWeightAveraging(decay=decay),) if decay else ()
    with tempfile.TemporaryDirectory() as folder:
        _, best = fit_best(task, data, folder, epochs=epochs, seed=seed, callbacks=callbacks)
        task.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
    return {**validation_scores(task, data), "seconds": time.time() - started}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, default=Path("pipelines/experiments/tune_mindbridge.csv"))
    parser.add_argument("--only", nargs="*", help="names of settings; default: all")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    cohort = SimulatedFmri(arguments.seed)
    rows = pd.read_csv(arguments.target) if arguments.target.exists() else pd.DataFrame(columns=["setting"])
    for name in arguments.only or ["ridge", *SETTINGS]:
        if (rows["setting"] == name).any():
            continue
        task_changes, data_changes, decay = SETTINGS.get(name, ({}, {}, None))
        task = RidgeTask() if name == "ridge" else MindBridgeTask(**BASE | task_changes)
        data = BetasDataModule(cohort, **data_changes)
        scores = train(task, data, arguments.epochs, decay, arguments.seed)
        row = {"setting": name, "epochs": arguments.epochs, **scores}
        rows = pd.concat([rows, pd.DataFrame([row])], ignore_index=True)
        with atomic_path(arguments.target) as temporary:
            rows.to_csv(temporary, index=False, float_format="%.4g")
        print(rows.tail(1).to_string(header=False), flush=True)


if __name__ == "__main__":
    main()
