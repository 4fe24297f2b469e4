"""The analyses of imagination and of semantic clusters as their user runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from braindecode_x.cli import main
from braindecode_x.embeddings import Embeddings

CONFIG = """
model: {{class_path: braindecode_x.tasks.RidgeTask}}
data:
  class_path: braindecode_x.datamodules.WindowsDataModule
  init_args:
    cohort: {{class_path: small_runs.SmallRuns}}
    subjects: [anna, ben]
    clip: {clip}
trainer: {{default_root_dir: run, max_epochs: 1, limit_train_batches: 1, accelerator: cpu, enable_progress_bar: false}}
"""
QUICK = ["--permutations", "200"]


@pytest.fixture
def run(tiny_clip, analyse_command):
    """Run an analysis of the small cohort's windows in an empty folder; give what it said."""
    Path("fit.yaml").write_text(CONFIG.format(clip=tiny_clip))

    def analyse(*arguments: str, ok: bool = True) -> str:
        given = [] if "--decoder" in arguments else ["--data", "fit.yaml"]
        return analyse_command(*arguments, *given, ok=ok)

    return analyse


def read(name: str, folder: str = "runs/analysis") -> pd.DataFrame:
    return pd.read_csv(f"{folder}/{name}.csv")


def test_imagination(run, tiny_decoder):
    """The small cohort imagines nothing: its test pictures stand in, their captions are the prompts."""
    options = ["imagination", "--split", "test", *QUICK]
    said = run(*options)
    assert "effect size" in said
    statistics = read("imagination/statistics").set_index(["decoded", "against", "subject", "metric"]).sort_index()
    assert set(statistics.index.droplevel([2, 3])) == {
        (decoded, against) for decoded in ("text", "image") for against in ("prompts", "pictures")
    }
    pictures = statistics.loc[("image", "pictures", "all")]
    assert pictures.loc["2-way", "value"] > 0.6
    assert pictures.loc["2-way", "p_value"] < 0.05
    assert pictures.loc["2-way", "n"] == 24
    prompts = read("imagination/prompts")
    assert len(prompts) == 4 * 24
    assert set(prompts["found"]) <= set(prompts["prompt"])

    kept = Path("runs/analysis/imagination/decoded/anna.safetensors")
    before = kept.stat().st_mtime_ns
    run(*options, "--reconstructor", str(tiny_decoder), "--pictures", "3")
    assert kept.stat().st_mtime_ns == before
    more = read("imagination/statistics").set_index(["decoded", "against", "subject", "metric"]).sort_index()
    pd.testing.assert_frame_equal(more.loc[["image", "text"]], statistics)
    assert set(more.loc["reconstruction"].index.get_level_values("against")) == {"prompts", "pictures"}
    for name in ("permutations", "effect sizes", "reconstructions"):
        with Image.open(f"runs/analysis/imagination/{name}.png") as picture:
            assert min(picture.size) > 200
    assert len(list(Path("runs/analysis/imagination/reconstructions").glob("*/*.png"))) == 24
    # what is reconstructed has the mean of the training pictures, what is scored has not
    moved = Embeddings.load("runs/analysis/imagination/reconstructions/anna.safetensors")
    assert not np.allclose(moved.image, Embeddings.load(kept).image, atol=1e-3)

    assert "unknown metric '3-way'" in run(*options, "--metric", "3-way", ok=False)
    assert "no imagination trials of the split 'imagination'" in run("imagination", "--output", "other", ok=False)
    assert "holds an analysis of other settings (different: centred)" in run(*options, "--centred", "false", ok=False)


def test_a_trained_decoder_imagines_as_ridge_does(run):
    main(["fit", "--config", "fit.yaml"])
    options = ["imagination", "--split", "test", "--subjects", "[anna]", *QUICK]
    run(*options, "--decoder", "run")
    run(*options, "--output", "ridge")
    first, second = (
        read("imagination/statistics", folder).set_index(["decoded", "against", "metric"])["value"]
        for folder in ("runs/analysis", "ridge")
    )
    np.testing.assert_allclose(first, second, atol=0.02)


def test_clusters(run):
    said = run("clusters", "--by", "category", *QUICK)
    assert "tables and figures: runs/analysis/clusters" in said
    table = read("clusters/separation")
    assert set(table["network"]) == {"whole brain", "visual", "default", "motor"}
    assert set(table["subject"]) == {"anna", "ben", "all"}
    assert table.groupby("network")["parcels"].first().to_dict() == {
        "whole brain": 12, "visual": 6, "default": 3, "motor": 3
    }  # fmt: skip
    members = read("clusters/clusters").set_index("stimulus")
    assert members["split"].value_counts().to_dict() == {"train": 120, "test": 12}
    for file in ("clusters", "subjects/anna"):
        with Image.open(f"runs/analysis/clusters/{file}.png") as picture:
            assert min(picture.size) > 200
    before = Path("runs/analysis/clusters/scores/anna.csv").stat().st_mtime_ns
    run("clusters", "--by", "category", *QUICK)
    assert Path("runs/analysis/clusters/scores/anna.csv").stat().st_mtime_ns == before
    pd.testing.assert_frame_equal(read("clusters/separation"), table)

    assert "different: by, k" in run("clusters", "--k", "3", ok=False)
    run("clusters", "--by", "captions", "--k", "3", "--output", "own", *QUICK)
    assert read("clusters/clusters", "own")["cluster"].nunique() == 3
    assert "k: expected 2 to" in run("clusters", "--k", "100", "--output", "third", ok=False)
