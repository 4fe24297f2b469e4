"""From published layouts to decoded embeddings, by the same commands: the miniatures of THINGS-EEG2 and THINGS-MEG."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import things_eeg2.make
import things_meg.make
import yaml

from braindecode_x.cli import main
from braindecode_x.embeddings import Embeddings


def config_of(folder: Path, clip: Path, cohort: dict) -> Path:
    content = {
        "model": {"class_path": "braindecode_x.tasks.RidgeTask"},
        "data": {
            "class_path": "braindecode_x.datamodules.EpochsDataModule",
            "init_args": {"cohort": cohort, "clip": str(clip)},
        },
        "trainer": {
            "default_root_dir": str(folder / "run"),
            "max_epochs": 1,
            "limit_train_batches": 1,
            "accelerator": "cpu",
            "enable_progress_bar": False,
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder / "config.yaml"


def cohort_of(name: str, folder: Path) -> dict:
    data, options = folder / name, {"validation_concepts": 1}
    if name == "things_meg":
        things_meg.make.make(data)
        return {
            "class_path": "braindecode_x.datasets.ThingsMeg",
            "init_args": {"folder": str(data), "pictures": str(data / "images"), **options},
        }
    things_eeg2.make.make(data)
    if name == "preprocessed":
        main(["preprocess", "eeg", str(data), str(folder / "epochs"), "--validation_concepts", "1", "--sfreq", "100"])
        return {
            "class_path": "braindecode_x.datasets.PreprocessedEpochs",
            "init_args": {"folder": str(folder / "epochs")},
        }
    return {"class_path": "braindecode_x.datasets.ThingsEeg2", "init_args": {"folder": str(data), **options}}


@pytest.mark.parametrize(
    ("name", "subjects"), [("preprocessed", "sub-0"), ("things_eeg2", "sub-0"), ("things_meg", "P")]
)
def test_a_decoder_is_trained_and_used(name: str, subjects: str, tiny_clip: Path, tmp_path: Path) -> None:
    config = config_of(tmp_path, tiny_clip, cohort_of(name, tmp_path))
    for command in ("fit", "predict"):
        main([command, "--config", str(config)])
    decoded = Embeddings.load(tmp_path / "run" / "predictions.safetensors")
    tests = (
        ["bat1_13s", "coat_rack_13s"]
        if name == "things_meg"
        else ["aircraft_carrier_06s", "antelope_06s", "backscratcher_06s"]
    )
    expected = pd.MultiIndex.from_product([[f"{subjects}1", f"{subjects}2"], tests])
    assert sorted(zip(decoded.index["subject"], decoded.index["stimulus"], strict=True)) == sorted(expected)
    assert decoded.image.isfinite().all()
    metrics = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert any(column.startswith("val") for column in metrics)
