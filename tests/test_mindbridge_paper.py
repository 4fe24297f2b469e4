"""The paper's setting, pipelines/mindbridge_paper.yaml, against what the paper says."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.cli import LightningCLI
from PIL import Image

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.losses import MindBridgeLoss
from braindecode_x.tasks import EmbeddingTask

CONFIG = Path(__file__).parent.parent / "pipelines" / "mindbridge_paper.yaml"
SUBJECTS = ("subj01", "subj02", "subj05", "subj07")
SPACE = EmbeddingSpace("ViT-L-14", "openai", "tokens", (257, 768), "first-token")
TEXT_SPACE = EmbeddingSpace("ViT-L-14", "openai", "tokens", (77, 768), "end-token")


@pytest.fixture
def run(tmp_path, monkeypatch) -> LightningCLI:
    """Return what the configuration builds in a folder with small betas."""
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / "a.png")
    pd.DataFrame({"subject": SUBJECTS, "stimulus": "a", "split": "train"}).to_csv(tmp_path / "trials.csv", index=False)
    for name in SUBJECTS:
        np.save(tmp_path / f"{name}.npy", np.zeros((1, 3), np.float32))
    monkeypatch.chdir(tmp_path)
    return LightningCLI(
        EmbeddingTask,
        L.LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_callback=None,
        trainer_defaults={"accelerator": "cpu", "gradient_clip_val": 1.0},
        args=["--config", str(CONFIG)],
        run=False,
    )


def test_it_trains_as_published(run):
    data, task = run.datamodule, run.model
    assert (data.subjects, data.clip, data.clip_pretrained, data.kind) == (SUBJECTS, "ViT-L-14", "openai", "tokens")
    assert (data.batch_size, data.mix_repeats) == (50 * len(SUBJECTS), "one")
    published = MindBridgeLoss()
    assert (task.loss.weights, task.loss.temperature) == (published.weights, published.temperature)
    assert (task.lr, task.weight_decay, task.warmup_epochs, task.mixup) == (1.5e-4, 1e-2, 2, 0)
    assert (task.voxel_dropout, task.mixup) == (0, 0)
    assert (run.trainer.max_epochs, run.trainer.gradient_clip_val) == (600, None)


def test_its_network_has_the_published_size(run):
    """542,394,880 weights in translator and heads; 18,888,832 in an embedder, 18,907,264 in a builder."""
    task = run.model
    task.subjects, task.space, task.text_space = dict.fromkeys(SUBJECTS, 15_000), SPACE, TEXT_SPACE
    with torch.device("meta"):
        task.configure_models()
    count = sum(parameter.numel() for parameter in task.model.parameters())
    assert count == 542_394_880 + len(SUBJECTS) * (18_888_832 + 18_907_264)
    assert task.model.config["aggregation"] == "max"
