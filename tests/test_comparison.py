"""A comparison of tiny systems: what is in the table, in the folder, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from braindecode_x.clip import ClipEncoder, image_targets
from braindecode_x.comparison import compare
from braindecode_x.embeddings import Embeddings

SUBJECTS = ("s1", "s2")


@pytest.fixture(scope="module")
def encoder(tiny_clip):
    return ClipEncoder(tiny_clip)


@pytest.fixture(scope="module")
def seen(objects):
    return objects.subset(ids=objects.subset(split="test", rendering="fluent3d").ids[:6])


@pytest.fixture(scope="module")
def training(objects, seen):
    """Return pictures of which some show, in another rendering, what was seen."""
    other = objects.subset(concept=seen.table["concept"].tolist(), rendering="twemoji")
    return objects.subset(ids=[*objects.subset(split="train").ids[:8], *other.ids])


@pytest.fixture(scope="module")
def systems(seen, encoder, tmp_path_factory):
    """Return a perfect system, and a ridge that guesses; in different orders of rows."""
    truth = image_targets(seen, encoder, tmp_path_factory.mktemp("targets"), progress=False).tensor()
    index = pd.DataFrame(
        [(f"{s}_{i}", s, i) for s in SUBJECTS for i in seen.ids], columns=["id", "subject", "stimulus"]
    )
    guess = F.normalize(torch.randn(12, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    order = np.random.default_rng(0).permutation(12)
    perfect = Embeddings(index.assign(checkpoint="c0ffee"), encoder.space, truth.repeat(2, 1))
    return {"perfect": perfect, "ridge": Embeddings(index.iloc[order], encoder.space, guess[order])}


@pytest.fixture(scope="module")
def options(tiny_decoder, encoder, training):
    return {"reconstructor": tiny_decoder, "encoder": encoder, "training": training, "progress": False}


@pytest.fixture(scope="module")
def folder(systems, seen, options, tmp_path_factory):
    output = tmp_path_factory.mktemp("comparison")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINDECODE_X_CACHE", str(tmp_path_factory.mktemp("cache")))
        compare(systems, seen, output, **options)
    return output


@pytest.fixture(scope="module")
def table(folder):
    return pd.read_csv(folder / "comparison.csv")


@pytest.fixture(scope="module")
def pictures(folder):
    return pd.read_csv(folder / "pictures.csv").set_index("id")


def test_every_system_and_control_is_scored_for_everyone(table):
    rows = ["perfect", "ridge", "nearest training picture", "chance", "ceiling"]
    metrics = [
        *(f"{way}, {n}" for way in ("image from brain", "brain from image") for n in ("6-way", "two-way")),
        *("embedded judge, 6-way", "embedded judge, two-way", "embedded judge distance", "PixCorr", "SSIM"),
    ]
    found = table.groupby(["subject", "system"], sort=False)["metric"].agg(list)
    assert found.index.tolist() == [(subject, row) for subject in ("all", *SUBJECTS) for row in rows]
    assert all(own == metrics for own in found)
    assert set(table.loc[table["subject"] == "all", "n"]) == {12}


def test_perfect_embeddings_find_their_picture_and_dealt_ones_do_not(table):
    top1 = table.set_index(["subject", "system", "metric"])["value"].xs("image from brain, 6-way", level="metric")
    for subject in ("all", *SUBJECTS):
        assert top1[subject, "perfect"] == top1[subject, "ceiling"] == 1
        assert top1[subject, "chance"] == 0
        assert top1[subject, "ridge"] < 0.7
    difference = table.set_index(["subject", "system", "metric"]).loc[("all", "perfect", "image from brain, 6-way")]
    assert difference["difference"] == pytest.approx(1 - top1["all", "ridge"], abs=1e-5)
    assert difference["difference_low"] > 0
    assert table.loc[table["system"] == "ridge", "difference"].isna().all()


def test_the_ceiling_is_the_same_for_every_subject(table):
    ceiling = table[table["system"] == "ceiling"].pivot(index="metric", columns="subject", values="value")
    assert np.allclose(ceiling["s1"], ceiling["s2"], atol=1e-6)
    assert np.allclose(ceiling["s1"], ceiling["all"], atol=1e-6)


def test_chance_deals_the_pictures_of_the_first_system(pictures):
    for subject in SUBJECTS:
        own = pictures[pictures["subject"] == subject]
        assert sorted(own["chance"]) == sorted(own["perfect"])
        assert (own["chance"] != own["perfect"]).all()


def test_the_nearest_picture_never_shows_what_was_seen(pictures, objects):
    used = pictures["nearest training picture"].str.extract(r"/(.*)\.png")[0]
    assert (objects.table.loc[used, "split"] == "train").all()


def test_every_picture_is_there_and_the_run_is_described(folder, pictures):
    for column in pictures.columns.drop(["subject", "stimulus"]):
        assert all((folder / file).is_file() for file in pictures[column]), column
    about = json.loads((folder / "comparison.json").read_text())
    assert about["systems"] == {"perfect": ["c0ffee"], "ridge": []}
    assert about["subjects"] == {"s1": 6, "s2": 6}
    assert about["training"] == {"set": "objects", "pictures": 8}
    assert about["seed"] == 0
    assert about["judges"] == {"embedded": "tf_efficientnet_lite2"}
    assert (pd.read_csv(folder / "retrieved.csv")["place"] == 1).all()


def test_pictures_are_kept_until_something_changes(folder, systems, seen, options, table, tmp_path):
    folder = shutil.copytree(folder, tmp_path / "again")
    file, lost = folder / "perfect" / f"s1_{seen.ids[0]}.png", folder / "ceiling" / f"{seen.ids[1]}.png"
    before = file.stat().st_mtime_ns
    lost.unlink()
    again = compare(systems, seen, folder, **options)
    assert file.stat().st_mtime_ns == before
    assert lost.is_file()
    assert np.allclose(again["value"], table["value"], atol=1e-5)
    changed = systems | {"perfect": systems["ridge"]}
    compare(changed, seen, folder, **options)
    assert file.stat().st_mtime_ns != before


def test_without_an_encoder_pictures_alone_are_scored_unless_targets_are_given(systems, seen, options, tmp_path):
    perfect = systems["perfect"]
    options = options | {"encoder": None}
    blind = compare({"perfect": perfect}, seen, tmp_path / "blind", **options)
    assert blind["system"].unique().tolist() == ["perfect", "chance"]
    assert not blind["metric"].str.contains("brain").any()
    assert blind["difference"].isna().all()
    targets = Embeddings(perfect.index[:6], perfect.space, perfect.image[:6])
    told = compare(systems, seen, tmp_path / "told", targets=targets, **options).set_index(
        ["subject", "system", "metric"]
    )
    assert told.loc[("all", "perfect", "image from brain, 6-way"), "value"] == 1
    assert ("all", "ceiling", "PixCorr") in told.index
    assert ("all", "nearest training picture", "PixCorr") not in told.index
    with pytest.raises(ValueError, match="targets: expected one embedding of every stimulus"):
        compare(systems, seen, tmp_path / "part", targets=perfect, **options)


@pytest.mark.parametrize("name", ["chance", "seen", "subject", "a/b", "", ".."])
def test_names_of_systems_must_make_folders_of_their_own(name, systems, seen, options, tmp_path):
    with pytest.raises(ValueError, match="expected a name for a folder"):
        compare({name: systems["ridge"]}, seen, tmp_path, **options)


def test_training_pictures_must_not_have_been_seen(systems, seen, options, tmp_path):
    leaky = seen.subset(ids=seen.ids[:2])
    leaky.table = leaky.table.drop(columns="split")
    with pytest.raises(ValueError, match="other than those seen, found 2 that were seen"):
        compare(systems, seen, tmp_path, **options | {"training": leaky})
    with pytest.raises(ValueError, match="no picture to train on"):
        compare(systems, seen, tmp_path, **options | {"training": seen})


def test_stimuli_must_be_known(systems, seen, options, tmp_path):
    with pytest.raises(KeyError, match="has no"):
        compare(systems, seen.subset(ids=seen.ids[1:]), tmp_path, **options)


def test_differences_are_to_the_baseline_that_is_asked_for(systems, seen, options, tmp_path):
    table = compare(systems, seen, tmp_path, baseline="nearest training picture", **options)
    own = table[(table["subject"] == "all") & (table["metric"] == "PixCorr")].set_index("system")
    assert own["difference"].isna().tolist() == [name == "nearest training picture" for name in own.index]
    expected = own["value"] - own.loc["nearest training picture", "value"]
    assert own["difference"].drop("nearest training picture").tolist() == pytest.approx(
        expected[expected != 0].tolist()
    )
    assert json.loads((tmp_path / "comparison.json").read_text())["baseline"] == "nearest training picture"
    with pytest.raises(ValueError, match=r"baseline.*'nearest'.*nearest training picture"):
        compare(systems, seen, tmp_path, baseline="nearest", **options)
