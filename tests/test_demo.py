"""The demonstration, small: what it leaves, and that what it says of the real recording holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindecode_x.demo import run_demo
from braindecode_x.embeddings import Embeddings
from braindecode_x.stimuli import ObjectStimuli


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINDECODE_X_CACHE", str(tmp_path_factory.mktemp("cache")))
        some = ObjectStimuli().trainable()
        run_demo(output, permutations=1000, test_pictures=6, epochs=2, training=some.subset(ids=some.ids[::40]))
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
    simulated = folder / "simulated"
    for system in ("mindbridge", "ridge"):
        decoded = Embeddings.load(simulated / system / "predictions.safetensors")
        assert decoded.index.groupby("subject").size().to_dict() == {f"sub-{k:02d}": 200 for k in range(1, 7)}
        assert (simulated / system / "checkpoints" / "best.ckpt").is_file()
    table = pd.read_parquet(folder / "metrics.parquet")
    found = table[(table["part"] == "simulated") & (table["metric"] == "200-way") & (table["system"] == "ridge")]
    assert (found["value"] > 0.2).all()  # 30 to 35% when measured; chance is 0.5%
    assert {"MindBridge", "ridge", "chance", "ceiling"} <= set(table.loc[table["part"] == "simulated", "system"])
    trials = pd.read_csv(simulated / "comparison" / "pictures.csv")
    assert trials.groupby("subject").size().to_dict() == {"sub-01": 6, "sub-02": 6}
    assert (simulated / "comparison" / "report.html").is_file()


def test_the_page_needs_no_other_file(folder):
    page = (folder / "index.html").read_text()
    assert page.count("data:image/png;base64,") > 80
    assert "http://" not in page
    assert "https://" not in page
    assert 'src="data:' in page
    assert "nearest training picture" in page
