from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from PIL import Image

from braindecode_x.clip import ClipEncoder, TargetCache, TokenEncoder, image_targets, text_targets
from braindecode_x.stimuli import FolderStimuli


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in {"a": "red", "b": "green", "c": "blue"}.items():
        Image.new("RGB", (32, 32), colour).save(folder / f"{name}.png")
    pd.DataFrame({"id": list("abc"), "caption": ["red", "green", "blue"]}).to_csv(folder / "captions.csv", index=False)
    return folder


@pytest.fixture
def counting(tiny_clip, monkeypatch):
    """Return an encoder that counts what it embeds."""
    encoder = ClipEncoder(tiny_clip)
    encoder.seen = []
    for name in ("encode_images", "encode_texts"):
        method = getattr(encoder, name)
        monkeypatch.setattr(encoder, name, lambda items, m=method: encoder.seen.extend(items) or m(items))
    return encoder


def test_the_second_time_nothing_is_computed(pictures, counting):
    stimuli = FolderStimuli(pictures)
    first = image_targets(stimuli, counting, progress=False).tensor()
    assert len(counting.seen) == 3
    assert torch.equal(first, image_targets(FolderStimuli(pictures), counting, progress=False).tensor())
    assert len(counting.seen) == 3
    assert torch.equal(first, ClipEncoder.encode_images(counting, [stimuli.image(i) for i in stimuli.ids]))


def test_rows_follow_the_order_that_is_asked_for(pictures, counting):
    stimuli = FolderStimuli(pictures)
    forward = image_targets(stimuli, counting, progress=False).tensor()
    backward = image_targets(stimuli.subset(ids=["c", "b", "a"]), counting, progress=False).tensor()
    assert torch.equal(forward.flip(0), backward)


def test_only_a_changed_picture_is_computed_anew(pictures, counting):
    before = image_targets(FolderStimuli(pictures), counting, progress=False).tensor()
    Image.new("RGB", (32, 32), "yellow").save(pictures / "b.png")
    after = image_targets(FolderStimuli(pictures), counting, progress=False).tensor()
    assert len(counting.seen) == 4
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.allclose(before[1], after[1])


def test_a_changed_caption_is_computed_anew(pictures, counting):
    before = text_targets(FolderStimuli(pictures), counting, progress=False).tensor()
    table = pd.read_csv(pictures / "captions.csv")
    table.loc[1, "caption"] = "something else"
    table.to_csv(pictures / "captions.csv", index=False)
    after = text_targets(FolderStimuli(pictures), counting, progress=False).tensor()
    assert not torch.allclose(before[1], after[1])
    assert torch.equal(before[[0, 2]], after[[0, 2]])


def test_missing_captions_are_an_error(pictures, counting):
    (pictures / "captions.csv").unlink()
    with pytest.raises(ValueError, match="3 stimuli have no caption"):
        text_targets(FolderStimuli(pictures), counting, progress=False)


def test_tokens_are_kept_in_half_precision_apart_from_pooled_embeddings(pictures, counting):
    stimuli, tokens = FolderStimuli(pictures), TokenEncoder(counting)
    for targets, encode, pooled in (
        (image_targets, lambda: tokens.encode_images([stimuli.image(i) for i in stimuli.ids]), (3, 8)),
        (text_targets, lambda: tokens.encode_texts(stimuli.captions), (3, 8)),
    ):
        found = targets(stimuli, tokens, progress=False).tensor()
        assert torch.equal(found, encode().half())
        assert targets(stimuli, counting, progress=False).tensor().shape == pooled


def test_another_model_has_its_own_cache(pictures, counting, tmp_path):
    from tiny_models.make import write_clip

    image_targets(FolderStimuli(pictures), counting, progress=False)
    other = ClipEncoder(write_clip(tmp_path / "other", seed=1))
    stimuli = FolderStimuli(pictures)
    found = image_targets(stimuli, other, progress=False).tensor()
    assert torch.equal(found, other.encode_images([stimuli.image(i) for i in stimuli.ids]))


def test_a_damaged_file_is_left_out_and_computed_again(pictures, counting):
    stimuli = FolderStimuli(pictures)
    whole = image_targets(stimuli, counting, progress=False).tensor()
    (shard,) = TargetCache(counting.space, "image").folder.glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:50])
    assert torch.equal(whole, image_targets(stimuli, counting, progress=False).tensor())
    assert len(counting.seen) == 6


def test_the_cache_survives_kill_9(tiny_clip, tmp_path):
    """A process that is killed while it fills the cache leaves only whole files, and the next one goes on."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        Image.new("RGB", (8, 8), (number * 6, 0, 0)).save(folder / f"{number:02}.png")
    program = (
        "import sys, time\n"
        "from braindecode_x.clip import ClipEncoder, cache, image_targets\n"
        "from braindecode_x.stimuli import FolderStimuli\n"
        "cache.SHARD = 5\n"
        "encoder = ClipEncoder(sys.argv[1])\n"
        "encode = encoder.encode_images\n"
        "encoder.encode_images = lambda images: time.sleep(0.05) or encode(images)\n"
        "image_targets(FolderStimuli(sys.argv[2]), encoder, progress=False)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tiny_clip), str(folder)], env=os.environ.copy())
    encoder, stimuli = ClipEncoder(tiny_clip), FolderStimuli(folder)
    unfinished = TargetCache(encoder.space, "image").folder / ".partial-killed-earlier.safetensors"
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    unfinished.write_bytes(b"half")
    keys = [stimuli.content_key(i) for i in stimuli.ids]
    deadline = time.time() + 60
    while len(TargetCache(encoder.space, "image").missing(keys)) == 40 and time.time() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = len(TargetCache(encoder.space, "image").missing(keys))
    assert 0 < left < 40
    found = image_targets(stimuli, encoder, progress=False).tensor()
    assert torch.allclose(found, encoder.encode_images([stimuli.image(i) for i in stimuli.ids]), atol=1e-6)
