"""Training, prediction and comparison as their user runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from small_cohort import SmallCohort

from braindecode_x.embeddings import Embeddings

DATA = Path(__file__).parent / "data"
CONFIG = """
model:
  class_path: {task}
data:
  class_path: braindecode_x.datamodules.BetasDataModule
  init_args: {{cohort: {{class_path: small_cohort.SmallCohort}}, batch_size: 32, clip: {clip}}}
trainer: {{default_root_dir: {folder}, max_epochs: {epochs}, accelerator: cpu, enable_progress_bar: false}}
"""
SMALL = "{class_path: braindecode_x.tasks.MindBridgeTask, init_args: {in_dim: 12, hidden: 16, n_blocks: 1}}"

WITH_REGIONS = """
from dataclasses import replace

import numpy as np
from small_cohort import SmallCohort


class RegionCohort(SmallCohort):
    def subject(self, name):
        recording = super().subject(name)
        return replace(recording, regions=np.array(["V1"] * 4 + ["LO"] * (recording.betas.shape[1] - 4)))
"""


def command(*arguments: object) -> dict:
    environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(DATA), "HF_HUB_OFFLINE": "1"}
    return {"args": [sys.executable, "-m", "braindecode_x", *map(str, arguments)], "env": environment, "text": True}


def run(*arguments: object, ok: bool = True, cwd: Path | None = None) -> subprocess.CompletedProcess:
    done = subprocess.run(**command(*arguments), capture_output=True, cwd=cwd)
    assert (done.returncode == 0) == ok, done.stderr
    return done


@pytest.fixture
def config(tiny_clip, tmp_path):
    def write(name: str, task: str, epochs: int) -> Path:
        text = CONFIG.format(task=task, clip=tiny_clip, folder=tmp_path / name, epochs=epochs)
        if task.endswith("MindBridgeTask"):
            text = text.replace(f"\n  class_path: {task}", f" {SMALL}", 1)
        (tmp_path / f"{name}.yaml").write_text(text)
        return tmp_path / f"{name}.yaml"

    return write


def test_from_betas_to_table_and_page(config, tiny_decoder, tiny_clip, tmp_path):
    (tmp_path / "region_cohort.py").write_text(WITH_REGIONS)
    for name, task in (("mindbridge", "MindBridgeTask"), ("ridge", "RidgeTask")):
        path = config(name, f"braindecode_x.tasks.{task}", 2 if name == "mindbridge" else 1)
        path.write_text(path.read_text().replace("small_cohort.SmallCohort", "region_cohort.RegionCohort"))
        run("fit", "--config", path, cwd=tmp_path)
        run("predict", "--config", path, cwd=tmp_path)
    folder = tmp_path / "mindbridge"
    predicted = Embeddings.load(folder / "predictions.safetensors")
    assert predicted.index["subject"].tolist() == ["anna"] * 12 + ["ben"] * 12
    assert set(predicted.index["repeats"]) == {3}
    assert set(predicted.index["split"]) == {"test"}
    assert predicted.index["checkpoint"].nunique() == 1
    assert (folder / "decoder" / "model.safetensors").is_file()
    log = pd.read_csv(folder / "metrics.csv")
    assert {"val/top1", "val/top1_anna", "train/total"} <= set(log)
    ceilings = pd.read_csv(folder / "noise_ceilings.csv", index_col="subject")
    assert ceilings.index.tolist() == ["anna", "ben"]
    assert list(ceilings) == ["V1", "LO"]
    assert ceilings.to_numpy().min() > 0.5
    systems = "{MindBridge: %s, ridge: %s}" % (  # noqa: UP031 (braces)
        folder / "predictions.safetensors",
        tmp_path / "ridge" / "predictions.safetensors",
    )
    options = ["--reconstructor", tiny_decoder, "--run", folder, "--model", tiny_clip]
    run("compare", systems, tmp_path / "out", *options)
    table = pd.read_csv(tmp_path / "out" / "comparison.csv")
    assert set(table["system"]) == {"MindBridge", "ridge", "chance", "nearest training picture", "ceiling"}
    assert "image from brain, 12-way" in set(table["metric"])
    assert set(table["subject"]) == {"all", "anna", "ben"}
    assert "<h2>How much signal there is</h2>" in (tmp_path / "out" / "report.html").read_text()


def test_own_betas_pictures_and_table_go_to_pictures(tiny_clip, tiny_decoder, tmp_path):
    cohort = SmallCohort()
    recording, pictures = cohort.subject("anna"), tmp_path / "pictures"
    pictures.mkdir()
    for name, pixels in zip(cohort.stimuli.ids, cohort.stimuli.pixels(16), strict=True):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(pictures / f"{name}.png")
    np.save(tmp_path / "betas.npy", recording.betas)
    recording.trials.to_csv(tmp_path / "trials.csv", index=False)
    small = ["--trainer.max_epochs", 1, "--model.init_args.hidden", 16, "--data.init_args.clip", tiny_clip]
    run("fit", "--config", "mindbridge_own_betas.yaml", *small, cwd=tmp_path)
    run("predict", "--config", "mindbridge_own_betas.yaml", *small, cwd=tmp_path)
    predictions = tmp_path / "runs" / "own_betas" / "predictions.safetensors"
    run("reconstruct", predictions, tmp_path / "out", "--reconstructor", tiny_decoder, "--steps", 2)
    assert len(list((tmp_path / "out").glob("sub-01_*.png"))) == 12
    unlabelled = recording.trials.assign(stimulus="", split="predict").iloc[:5]
    unlabelled.to_csv(tmp_path / "trials.csv", index=False)
    np.save(tmp_path / "betas.npy", recording.betas[:5])
    only = ["--data.init_args.predict_split", "predict"]
    run("predict", "--config", "mindbridge_own_betas.yaml", *small, *only, cwd=tmp_path)
    assert Embeddings.load(predictions).ids == [f"sub-01_trial{k:05d}" for k in range(1, 6)]


def test_a_killed_training_goes_on_where_it_saved(config, tmp_path):
    path, folder = config("cut", "braindecode_x.tasks.MindBridgeTask", 400), tmp_path / "cut"
    process = subprocess.Popen(**command("fit", "--config", path), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.time() + 120
    while not (folder / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None
        assert time.time() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"]
    done = run("fit", "--config", path, "--trainer.max_epochs", saved + 3, ok=False)
    assert "holds a run of other settings" in done.stderr
    path.write_text(path.read_text().replace("max_epochs: 400", f"max_epochs: {saved + 3}"))
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("max_epochs: 400", f"max_epochs: {saved + 3}"))
    done = run("fit", "--config", path)
    assert "Restored all states" in done.stderr
    epochs = pd.read_csv(folder / "metrics.csv")["epoch"].dropna().astype(int)
    assert sorted(set(epochs)) == list(range(saved + 3))


def test_mistakes_end_with_one_clear_line(config, tmp_path):
    path = config("none", "braindecode_x.tasks.MindBridgeTask", 1)
    done = run("predict", "--config", path, ok=False)
    assert "no such checkpoint; run `braindecode-x fit` first" in done.stderr
    assert "Traceback" not in done.stderr
    done = run("fit", "--config", path, "--data.init_args.subjects", "[carl]", ok=False)
    assert "carl" in done.stderr
    done = run("fit", "--config", path, "--model.hiden", 3, ok=False)
    assert "hiden" in done.stderr
    done = run("compare", "{a: %s}" % (tmp_path / "x.safetensors"), tmp_path / "o", ok=False)
    assert "no such file of embeddings" in done.stderr
