"""The demonstration, small: what it leaves, and that what it says of the real recording holds."""

from __future__ import annotations

import re
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest

from braindecode_x import cli
from braindecode_x.decoder import BrainDecoder
from braindecode_x.demo import run_demo
from braindecode_x.demo.eeg import EegSettings
from braindecode_x.demo.run import SYSTEMS
from braindecode_x.demo.whole_brain import WholeBrainSettings
from braindecode_x.embeddings import Embeddings
from braindecode_x.stimuli import ObjectStimuli

REPEATS = {"train": 1, "validation": 1, "test": 4}
EEG = EegSettings(("sub-02",), sfreq=50, repeats=REPEATS, d_model=100, epochs=1, prior_epochs=1, step=0.45)
WHOLE_BRAIN = WholeBrainSettings(
    repeats={"train": 1, "validation": 1, "test": 1},
    resolution=8,
    people=2,
    pretraining_epochs=1,
    epochs=1,
    permutations=100,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, cache):
    output = tmp_path_factory.mktemp("runs") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINDECODE_X_CACHE", str(cache))
        some = ObjectStimuli().trainable()
        some = some.subset(ids=some.ids[::40])
        small = {"epochs": 2, "eeg": EEG, "whole_brain": WHOLE_BRAIN, "training": some}
        run_demo(output, test_pictures=6, **small)
    return output


@pytest.fixture(scope="module")
def accuracy(folder):
    table = pd.read_parquet(folder / "metrics.parquet")
    return table[table["part"] == "haxby2001"].set_index("system")


def test_real_fmri_is_decoded_through_clip_space(accuracy):
    assert accuracy.at["blocks, through CLIP", "n"] == 96
    assert accuracy.at["blocks, through CLIP", "value"] >= 0.78
    assert accuracy.at["single volumes, through CLIP", "n"] == 864
    assert accuracy.at["single volumes, through CLIP", "value"] >= 0.65
    assert (accuracy.loc[["blocks, through CLIP", "single volumes, through CLIP"], "p"] < 0.001).all()


def test_pictures_of_held_out_blocks_show_their_category_and_the_control_does_not(accuracy):
    judged = accuracy.loc["pictures of blocks, named by the judge"]
    assert judged["low"] > 0.3
    for control in ("pictures, shuffled brain", "blocks, shuffled brain"):
        assert abs(accuracy.at[control, "value"] - 1 / 8) < 0.12, control


def test_files_for_the_next_stage(folder):
    decoded = Embeddings.load(folder / "haxby2001" / "decoded.safetensors")
    assert len(decoded.ids) == 96
    assert np.allclose(decoded.image.norm(dim=1), 1, atol=1e-5)
    assert len(list((folder / "haxby2001" / "pictures").glob("run*.png"))) == 96
    assert len(list((folder / "objects" / "pictures").glob("*.png"))) == 6


def test_simulated_subjects_are_decoded_by_the_commands_of_the_package(folder):
    simulated = folder / "simulated_fmri"
    for system in ("mindbridge", "ridge"):
        decoded = Embeddings.load(simulated / system / "predictions.safetensors")
        assert decoded.index.groupby("subject").size().to_dict() == {f"sub-{k:02d}": 200 for k in range(1, 4)}
        assert (simulated / system / "checkpoints" / "best.ckpt").is_file()
    table = pd.read_parquet(folder / "metrics.parquet")
    found = table[(table["part"] == "simulated_fmri") & (table["metric"] == "200-way") & (table["system"] == "ridge")]
    assert (found["value"] > 0.2).all()  # 30 to 35% when measured; chance is 0.5%
    assert {"MindBridge", "ridge", "chance", "ceiling"} <= set(table.loc[table["part"] == "simulated_fmri", "system"])
    trials = pd.read_csv(simulated / "comparison" / "pictures.csv")
    assert trials.groupby("subject").size().to_dict() == {"sub-01": 6, "sub-02": 6}
    assert (simulated / "comparison" / "report.html").is_file()


def test_eeg_goes_from_epochs_to_pictures_and_is_asked_when_and_where(folder):
    simulated = folder / "simulated_eeg"
    decoded = Embeddings.load(simulated / "atm" / "predictions.safetensors")
    likely = Embeddings.load(simulated / "likely.safetensors")
    assert likely.ids == decoded.ids
    assert set(decoded.index["subject"]) == {"sub-02"}
    assert set(decoded.index["repeats"]) == {4}
    assert not np.allclose(likely.image, decoded.image, atol=0.01)
    table = pd.read_parquet(folder / "metrics.parquet")
    table = table[table["part"] == "simulated_eeg"]
    found = table[table["metric"] == "200-way"].set_index("system")
    assert found.at["ridge", "low"] > 0.005  # chance
    assert set(table["system"]) >= {"ATM and prior", "ATM", "ridge", "chance", "ceiling", "nearest training picture"}
    assert len(list((simulated / "comparison" / "ATM and prior").glob("*.png"))) == 6
    windows = pd.read_csv(simulated / "analysis" / "windows" / "accuracy.csv")
    assert set(windows["mode"]) == {"masked", "retrained"}
    assert set(windows["start"]) == {0, 0.45, 0.9}
    regions = pd.read_csv(simulated / "analysis" / "regions" / "accuracy.csv")
    assert {"occipital", "frontal"} <= set(regions["region"])


def test_whole_brain_goes_from_images_to_pictures_networks_and_imagination(folder):
    simulated = folder / "simulated_whole_brain"
    images = sorted(simulated.glob("nifti/**/*_bold.nii.gz"))
    assert len(images) == 24 + 3 + 5 + 2 * 8
    decoded = Embeddings.load(simulated / "wave" / "predictions.safetensors")
    assert decoded.index.groupby("subject").size().to_dict() == {"sub-01": 200}
    assert BrainDecoder.from_pretrained(simulated / "wave" / "decoder").layout.parcels.atlas == "seitzman"
    table = pd.read_parquet(folder / "metrics.parquet")
    table = table[table["part"] == "simulated_whole_brain"]
    assert table[table["metric"] == "200-way"].set_index("system").at["ridge", "low"] > 0.005  # chance
    assert len(list((simulated / "comparison" / "WAVE").glob("*.png"))) == 6
    tests = pd.read_csv(simulated / "analysis" / "networks" / "tests.csv")
    assert set(tests["mode"]) == {"masked"}
    assert {"Visual", "DefaultMode"} <= set(tests["network"])
    statistics = pd.read_csv(simulated / "analysis" / "imagination" / "statistics.csv")
    assert {"text", "image", "reconstruction"} == set(statistics["decoded"])
    assert statistics["p_value"].dropna().between(1 / 101, 1).all()


def test_one_system_again_keeps_what_is_there(folder, cache, monkeypatch):
    monkeypatch.setenv("BRAINDECODE_X_CACHE", str(cache))
    made = [
        *(folder / "simulated_eeg").glob("*/checkpoints/best.ckpt"),
        *(folder / "simulated_eeg" / "atm").rglob("predictions.safetensors"),
        *(folder / "simulated_eeg" / "comparison" / "ridge").glob("*.png"),
        *(folder / "simulated_eeg" / "analysis").glob("*/ranks/*.csv"),
        *folder.glob("*.html"),
        *folder.glob("metrics.*"),
    ]
    assert len(made) > 12
    before = {file: file.stat().st_mtime_ns for file in made}
    page = run_demo(folder, "atm", test_pictures=6, eeg=EEG)
    assert {file: file.stat().st_mtime_ns for file in made} == before
    assert page == folder / "atm.html"
    assert "Simulated EEG" in page.read_text()
    assert "MindBridge" not in page.read_text()
    assert set(pd.read_parquet(folder / "metrics_atm.parquet")["part"]) == {"simulated_eeg"}


def test_systems_are_those_of_the_command(tmp_path):
    assert set(get_args(get_type_hints(cli.demo)["system"])) == set(SYSTEMS)
    with pytest.raises(ValueError, match="unknown system 'atn'; did you mean 'atm'"):
        run_demo(tmp_path, "atn")


def test_the_page_needs_no_other_file(folder):
    page, views = re.subn('srcdoc="[^"]*"', "", (folder / "index.html").read_text())
    assert views == 1
    assert page.count("data:image/png;base64,") > 80
    assert "http://" not in page
    assert "https://" not in page
    assert 'src="data:' in page
    for part in (
        "Real fMRI",
        "Simulated fMRI",
        "Simulated EEG",
        "Simulated whole-brain fMRI",
        "nearest training picture",
    ):
        assert part in page, part
