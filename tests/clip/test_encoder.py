from __future__ import annotations

import shutil

import pytest
import torch
from PIL import Image

from braindecode_x.clip import ClipEncoder
from braindecode_x.stimuli.base import to_image

PICTURES = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "white")]


def test_a_local_folder_gives_unit_vectors_of_its_own_space(tiny_clip):
    encoder = ClipEncoder(tiny_clip)
    for embeddings in (encoder.encode_images(PICTURES), encoder.encode_texts(["red", "blue", "white"])):
        assert embeddings.shape == (3, 8)
        assert torch.allclose(embeddings.norm(dim=1), torch.ones(3), atol=1e-5)
    assert encoder.space.shape == (8,)
    assert encoder.space.weights.startswith("sha256:")


def test_the_weights_are_loaded_not_drawn(tiny_clip):
    torch.manual_seed(1)
    first = ClipEncoder(tiny_clip).encode_images(PICTURES)
    torch.manual_seed(2)
    assert torch.equal(first, ClipEncoder(tiny_clip).encode_images(PICTURES))


def test_pictures_as_tensors_are_embedded_alike_and_pass_gradients(tiny_clip):
    encoder = ClipEncoder(tiny_clip)
    pictures = torch.nn.functional.interpolate(torch.rand(3, 3, 6, 6, generator=torch.manual_seed(0)), 64)
    pictures = (pictures * 255).round() / 255
    known = encoder.encode_images([to_image(picture) for picture in pictures])
    embedded = encoder.embed_pixels(pictures.requires_grad_())
    assert torch.allclose(embedded, known, atol=0.01)
    (gradient,) = torch.autograd.grad(embedded[0, 0], pictures)
    assert gradient[0].abs().max() > 0
    assert gradient[1:].abs().max() == 0


def test_other_weights_are_another_space(tiny_clip, tmp_path):
    from tiny_models.make import write_clip

    assert ClipEncoder(write_clip(tmp_path / "tiny-clip", seed=1)).space != ClipEncoder(tiny_clip).space


def test_a_folder_without_weights_is_refused(tiny_clip, tmp_path):
    shutil.copytree(tiny_clip, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"no weights; put open_clip_model\.safetensors"):
        ClipEncoder(tmp_path / "bare")


def test_damaged_weights_are_refused(tiny_clip, tmp_path):
    folder = shutil.copytree(tiny_clip, tmp_path / "damaged")
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(FileNotFoundError, match="could not be loaded"):
        ClipEncoder(folder)


def test_a_mistyped_name_gets_the_nearest():
    with pytest.raises(ValueError, match="ViT-L-14"):
        ClipEncoder("ViT-L14", "openai")


def test_a_mistyped_tag_gets_the_nearest():
    with pytest.raises(ValueError, match="openai"):
        ClipEncoder("ViT-L-14", "opena1")


def test_a_name_without_weights_says_which_there_are():
    with pytest.raises(ValueError, match=r"needs pretrained weights: name one of .*openai"):
        ClipEncoder("ViT-L-14")


def test_a_missing_folder_is_not_taken_for_a_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such model folder"):
        ClipEncoder(tmp_path / "nothing")
