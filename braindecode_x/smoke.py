"""Each stage for a few steps on whatever accelerator is there, with its time and memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import lightning as L
import pandas as pd
import torch
from rich.console import Console

from braindecode_x.clip import ClipEncoder
from braindecode_x.datamodules import Batch
from braindecode_x.diffusion import Conditions, Reconstructor
from braindecode_x.metrics.judge import Judge
from braindecode_x.models.mindbridge import MindBridge
from braindecode_x.stimuli import ObjectStimuli
from braindecode_x.tasks import MindBridgeTask

VOXELS = {"one": 15_000, "two": 13_000}


def best_device() -> str:
    """Name the accelerator that is there: "cuda", "mps" or "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def run_smoke(device: str | None = None, steps: int = 3, pictures: int = 8) -> pd.DataFrame:
    """Run every stage and measure it.

    Brain data are random numbers in the sizes of recordings: it is the machine that is tried, not a result.

    Parameters
    ----------
    device : str, optional
        Default: `best_device`.
    steps : int
        Of training, at the sizes of the embedded default and of the paper's trunk.
    pictures : int
        How many are embedded, reconstructed and judged.

    Returns
    -------
    pandas.DataFrame
        ``stage``, ``device``, ``seconds``, ``peak_mb``: the largest memory of the accelerator in that stage; on a CPU
        that of the process so far.

    Raises
    ------
    ValueError
        ``steps`` or ``pictures`` below 1.
    """
    if steps < 1 or pictures < 1:
        raise ValueError(f"steps and pictures: expected at least 1, found {steps} and {pictures}")
    device = device or best_device()
    stimuli = ObjectStimuli().subset(rendering="fluent3d")
    shown = stimuli.subset(ids=stimuli.ids[:pictures])
    results: dict[str, torch.Tensor] = {}

    def embed() -> None:
        encoder = ClipEncoder(device=device)
        results["embeddings"] = encoder.encode_images([shown.image(name) for name in shown.ids])

    def reconstruct() -> None:
        model = Reconstructor.from_pretrained("embedded", device)
        conditions = Conditions(model.space, results["embeddings"])
        results["pictures"] = model(conditions, shown.ids)[:, 0]

    stages: dict[str, Callable[[], object]] = {
        "embed pictures": embed,
        "train MindBridge, default sizes": lambda: train(device, steps, {}, (512,)),
        "train MindBridge, paper's trunk": lambda: train(
            device, steps, {"in_dim": 8192, "hidden": 2048, "n_blocks": 4}, (768,)
        ),
        "reconstruct": reconstruct,
        "judge": lambda: Judge(device=device).features(results["pictures"]),
    }
    console, rows = Console(stderr=True), []
    for name, stage in stages.items():
        with console.status(name):
            rows.append({"stage": name, "device": device, **measured(stage, device)})
    return pd.DataFrame(rows)


def train(device: str, steps: int, sizes: dict[str, Any], shape: tuple[int, ...]) -> None:
    """Take some optimiser steps on random trials of two subjects."""
    L.seed_everything(0, verbose=False)
    task = MindBridgeTask(**sizes)
    task.model = MindBridge(VOXELS, image_dim=shape, text_dim=shape, **task.sizes)
    task = task.to(device)
    optimiser = torch.optim.AdamW(task.parameters(), lr=1e-4)
    for _ in range(steps):
        trials = [torch.randn(n, voxels, device=device) for n, voxels in zip((17, 15), VOXELS.values(), strict=True)]
        subject = torch.tensor([0] * 17 + [1] * 15, device=device)
        longest = max(VOXELS.values())
        brain = torch.cat([torch.nn.functional.pad(part, (0, longest - part.shape[1])) for part in trials])
        counts = torch.tensor(list(VOXELS.values()), device=device)[subject]
        mask = torch.arange(longest, device=device) < counts[:, None]
        image, text = (torch.randn(32, *shape, device=device) for _ in range(2))
        loss = task.loss_terms(Batch(brain, subject, [""] * 32, mask, image, text))["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def measured(stage: Callable[[], object], device: str) -> dict[str, float]:
    """Run a stage: seconds and memory."""
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    stage()
    if cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"seconds": round(seconds, 2), "peak_mb": round(peak / 1e6)}
