from __future__ import annotations

import zipfile

import pytest
from build_objects import RECORDING_CONCEPTS, write_pack
from pictures.make import make_pictures

from braindecode_x.datasets.cards import read_card
from braindecode_x.resources import asset
from braindecode_x.stimuli.objects import RENDERINGS


@pytest.fixture(scope="module")
def card():
    return read_card("objects")


@pytest.fixture(scope="module")
def concepts(objects):
    return objects.table.drop_duplicates("concept").set_index("concept")


def test_counts_are_those_of_the_card(objects, concepts, card):
    sizes = concepts.groupby("family").size()
    assert len(objects) == card["pictures"]
    assert len(concepts) == card["concepts"]
    assert concepts["split"].value_counts().to_dict() == card["splits"]
    assert concepts["category"].value_counts().to_dict() == card["categories"]
    assert card["families"] == {
        "total": len(sizes),
        "with_several_members": (sizes > 1).sum(),
        "concepts_in_them": sizes[sizes > 1].sum(),
    }
    assert len(objects.trainable()) == card["trainable_pictures"]


def test_every_concept_has_every_rendering_with_one_description(objects):
    for concept, rows in objects.table.groupby("concept"):
        assert rows.index.tolist() == [f"{concept}-{rendering}" for rendering in RENDERINGS]
        assert len(rows.drop(columns="rendering").drop_duplicates()) == 1


def test_no_family_is_divided_between_splits(concepts):
    assert concepts.groupby("family")["split"].nunique().max() == 1


def test_near_twins_share_a_family(concepts):
    for twins in [
        ["woman_running", "man_running", "runner"],
        ["clock_face_one_oclock", "clock_face_twelve_thirty"],
        ["boy", "girl", "adult", "child"],
        ["white_left_pointing_backhand_index", "white_down_pointing_backhand_index"],
        ["open_lock", "lock"],
    ]:
        assert concepts.loc[twins, "family"].nunique() == 1, twins


def test_concepts_of_the_recording_are_training_concepts(concepts, card):
    assert set(concepts.loc[sorted(RECORDING_CONCEPTS), "split"]) == {"train"}
    assert set(card["recording_concepts"].values()) == RECORDING_CONCEPTS


def test_trained_parts_never_see_held_out_3d_pictures(objects):
    hidden = objects.table.drop(index=objects.trainable().ids)
    held_out = objects.subset(split=["validation", "test"], rendering="fluent3d")
    assert hidden.index.tolist() == held_out.ids


@pytest.mark.parametrize("model", ["clip", "decoder"])
def test_embedded_models_were_trained_on_trainable_pictures_alone(objects, model):
    seen = asset(model, "training_index.txt").read_text().split()
    assert set(seen) == set(objects.trainable().ids)


def test_captions_say_something(objects):
    assert min(map(len, objects.captions)) > 1
    assert objects.table.at["cat-noto", "caption"].startswith("cat")


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_pictures_decode_at_the_card_s_size_and_are_not_blank(objects, card, rendering):
    chosen = objects.subset(rendering=rendering).ids[::25]
    images = [objects.image(stimulus) for stimulus in chosen]
    assert {image.size for image in images} == {(card["renderings"][rendering]["edge"],) * 2}
    assert all(low < 200 for image in images for low, high in [image.convert("L").getextrema()])


def test_corners_are_white(objects):
    pixels = objects.subset(split="test", rendering="fluent3d").pixels(64).float()
    corners = pixels[:, :, ::63, ::63].mean((1, 2, 3))
    assert (corners > 240).float().mean() > 0.9


def test_same_pictures_give_the_same_pack(tmp_path):
    folder = make_pictures(tmp_path / "pictures")
    pictures = {rendering: {"1f408": (folder / "see-through.PNG").read_bytes()} for rendering in RENDERINGS}
    row = {"concept": "cat", "codepoints": "1f408", "family": "cat2", "category": "Animals & Nature"}
    rows = [{**row, "subcategory": "animal-mammal", "caption": "cat", "split": "train"}]
    for name in ("one.zip", "two.zip"):
        write_pack(rows, pictures, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert zipfile.ZipFile(tmp_path / "one.zip").namelist()[-1] == "index.csv"
