from __future__ import annotations

import pandas as pd
import pytest
import torch

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.diffusion.reconstruct import CONDITIONS, MANIFEST, write_png
from braindecode_x.embeddings import Embeddings
from braindecode_x.metrics.evaluate import (
    evaluate_folder,
    nearest_pictures,
    picture_scores,
    read_reconstructions,
    score_table,
)
from braindecode_x.metrics.judge import Judge

SPACE = EmbeddingSpace("other", "none", "pooled", (4,), "unit")


@pytest.fixture(scope="module")
def judge():
    return Judge()


@pytest.fixture(scope="module")
def seen(objects):
    return objects.subset(ids=objects.subset(split="validation", rendering="fluent3d").ids[:6])


@pytest.fixture(scope="module")
def truth(seen):
    return seen.pixels(64).float() / 255


def test_the_seen_pictures_score_best_and_others_worse(truth, judge):
    perfect = picture_scores(truth, truth, judge)
    for metric in ("6-way", "two-way", "PixCorr", "SSIM"):
        assert perfect[metric].mean() == pytest.approx(1, abs=1e-4), metric
    assert perfect["judge distance"].mean() == pytest.approx(0, abs=1e-4)
    swapped = picture_scores(truth.roll(1, 0), truth, judge)
    assert swapped["6-way"].max() == 0
    assert (swapped["PixCorr"] < perfect["PixCorr"]).all()


def test_pictures_of_one_kind_are_at_chance(truth, judge):
    scores = picture_scores(truth.mean(0).expand_as(truth), truth, judge)
    assert scores["two-way"].mean() == pytest.approx(0.5, abs=1e-3)
    assert scores["6-way"].mean() == pytest.approx(1 / 6, abs=1e-6)


def test_samples_are_averaged_in_scores_not_in_pixels(truth, judge):
    good_and_bad = torch.stack([truth, truth.roll(1, 0)], 1)
    table = score_table({"both": good_and_bad}, truth, judge).set_index("metric")["value"]
    assert table["6-way"] == pytest.approx(0.5)


def test_judge_wants_floats_in_range(judge):
    with pytest.raises(ValueError, match=r"expected float \(n, 3, height, width\), found torch.uint8"):
        judge.features(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_unknown_judge_gets_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'embedded'"):
        Judge("embeded")


def test_nearest_picture_is_the_one_with_the_nearest_embedding(seen, truth):
    embeddings = torch.eye(6)
    shuffled = [2, 0, 1, 5, 4, 3]
    assert torch.equal(nearest_pictures(embeddings[shuffled], embeddings, seen, 64), truth[shuffled])


@pytest.fixture
def folder(tmp_path, seen, truth):
    """Write reconstructions, two samples each, in an order that is not that of names."""
    ids = [f"r{k}" for k in (3, 1, 2, 0, 5, 4)]
    index = pd.DataFrame({"id": ids, "stimulus": seen.ids})
    rows = []
    for row, (name, stimulus) in enumerate(zip(ids, seen.ids, strict=True)):
        for sample in (0, 1):
            write_png(tmp_path / f"{name}.{sample}.png", truth[row])
            rows.append({"id": name, "stimulus": stimulus, "sample": sample, "file": f"{name}.{sample}.png"})
    pd.DataFrame(rows).to_csv(tmp_path / MANIFEST, index=False)
    Embeddings(index, SPACE, torch.zeros(6, 4)).save(tmp_path / CONDITIONS)
    return tmp_path


def test_pictures_meet_their_own_stimulus(folder, objects):
    table = evaluate_folder(folder, objects, folder / "metrics", training=objects.subset(ids=objects.ids[:5]))
    scores = table.set_index(["system", "metric"])["value"]
    assert scores["reconstruction", "6-way"] == 1
    assert scores["reconstruction", "PixCorr"] > 0.99
    assert scores["mean training picture", "6-way"] < 0.5
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "metrics.parquet"), table)
    assert pd.read_csv(folder / "metrics.csv").shape == table.shape


def test_missing_pictures_are_named(folder):
    (folder / "r2.1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 pictures of manifest.csv are missing, for example r2\.1\.png"):
        read_reconstructions(folder)


def test_stimuli_must_be_known(folder, seen):
    with pytest.raises(ValueError, match="stimuli that 'objects' does not hold"):
        evaluate_folder(folder, seen.subset(ids=seen.ids[:3]), folder / "metrics")
