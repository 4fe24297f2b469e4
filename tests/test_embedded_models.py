"""The embedded models still do what their cards say: on validation pictures, since test pictures are scored once."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from braindecode_x.clip import ClipEncoder, image_targets, text_targets
from braindecode_x.diffusion import Conditions, Reconstructor
from braindecode_x.metrics.evaluate import mean_picture, picture_scores
from braindecode_x.metrics.judge import Judge
from braindecode_x.resources import asset
from braindecode_x.stimuli import ObjectStimuli


@pytest.fixture(scope="module")
def encoder():
    return ClipEncoder()


@pytest.fixture(scope="module")
def shown():
    return ObjectStimuli().subset(split="validation", rendering="fluent3d")


def test_clip_finds_other_renderings_and_captions_of_unseen_pictures(encoder, shown, tmp_path):
    solid = image_targets(shown, encoder, tmp_path).tensor()
    others = [
        image_targets(ObjectStimuli().subset(split="validation", rendering=r), encoder, tmp_path)
        for r in ("noto", "twemoji")
    ]
    same = torch.arange(len(shown))
    to_image = [((solid @ other.tensor().T).argmax(1) == same).float().mean().item() for other in others]
    to_text = ((solid @ text_targets(shown, encoder, tmp_path).tensor().T).argmax(1) == same).float().mean().item()
    assert sum(to_image) / 2 > 0.82
    assert to_text > 0.78


def test_rebuilt_pictures_are_nearer_than_the_mean_picture(encoder, shown, tmp_path):
    some = shown.subset(ids=shown.ids[::4])
    conditions = Conditions(encoder.space, image_targets(some, encoder, tmp_path).tensor())
    reconstructor = Reconstructor.from_pretrained("embedded")
    rebuilt = reconstructor(conditions, some.ids)[:, 0]
    seen = some.pixels(64).float() / 255
    judge = Judge()
    scores = picture_scores(rebuilt, seen, judge)
    mean = mean_picture(ObjectStimuli().trainable().subset(rendering="fluent3d"), 64).expand_as(seen)
    baseline = picture_scores(mean, seen, judge)
    assert scores["PixCorr"].mean() > baseline["PixCorr"].mean() + 0.03
    assert scores["two-way"].mean() > 0.9


def test_sampling_was_chosen_on_validation_pictures_alone(shown):
    assert asset("decoder", "chosen_on.txt").read_text().split() == shown.ids


def test_measured_table_holds_what_the_readme_quotes():
    table = pd.read_csv(asset("measured.csv"))
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    way = table[table["metric"] == "200-way"].set_index("system")["value"]
    guided = "reconstruction, guided by CLIP, best of 4 candidates"
    for system in ("CLIP, 3D to other renderings", "CLIP, 3D to caption", "reconstruction", guided):
        assert f"{100 * way[system]:.1f}%" in readme, system
