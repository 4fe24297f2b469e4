from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models.make import write_clip

from braindecode_x.clip import ClipEncoder
from braindecode_x.diffusion import Conditions, Reconstructor
from braindecode_x.diffusion.noise import draw, keyed_generators
from braindecode_x.stimuli.base import to_image

IDS = [f"picture {k}" for k in range(5)]


@pytest.fixture(scope="module")
def reconstructor(tiny_decoder):
    return Reconstructor.from_pretrained(tiny_decoder)


@pytest.fixture(scope="module")
def conditions(reconstructor):
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(5, 8, generator=generator), dim=1)
    return Conditions(reconstructor.space, embeddings, text=embeddings.flip(0))


def test_shape_range_and_samples(reconstructor, conditions):
    pictures = reconstructor(conditions, IDS, n_samples=2)
    assert pictures.shape == (5, 2, 3, 16, 16)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert not torch.allclose(pictures[:, 0], pictures[:, 1], atol=1e-3)


@pytest.mark.parametrize(
    "scheduler", ["DDIMScheduler", "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler"]
)
def test_a_picture_does_not_depend_on_its_batch(reconstructor, conditions, scheduler):
    model = reconstructor.with_sampling(scheduler=scheduler)
    together = model(conditions, IDS, seed=3)
    assert torch.allclose(together, model(conditions, IDS, seed=3, batch_size=2), atol=1e-4)
    alone = model(conditions[[3]], IDS[3:4], seed=3)
    assert torch.allclose(together[3], alone[0], atol=1e-4)


def test_seed_and_id_key_the_noise(reconstructor, conditions):
    first = reconstructor(conditions, IDS, seed=0)
    assert torch.equal(first, reconstructor(conditions, IDS, seed=0))
    assert not torch.allclose(first, reconstructor(conditions, IDS, seed=1), atol=1e-3)
    assert not torch.allclose(first, reconstructor(conditions, IDS[::-1], seed=0), atol=1e-3)


@given(st.integers(0, 2**31), st.text(max_size=8), st.integers(0, 3))
def test_noise_is_a_function_of_seed_id_and_sample(seed, name, sample):
    one = draw(keyed_generators(seed, ["other", name], sample), (2, 2))[1]
    assert torch.equal(one, draw(keyed_generators(seed, [name], sample), (2, 2))[0])
    assert not torch.equal(one, draw(keyed_generators(seed, [name], sample + 1), (2, 2))[0])


def test_each_condition_and_its_weight_matter(reconstructor, conditions):
    plain = reconstructor.with_sampling(guidance_text=0)(conditions, IDS)
    assert torch.allclose(plain, reconstructor(Conditions(conditions.space, conditions.image), IDS), atol=1e-5)
    for changes in ({"guidance_text": 2.0}, {"guidance_image": 5.0}, {"guidance_image": 0.0}, {"noise": 0.5}):
        assert not torch.allclose(plain, reconstructor.with_sampling(**changes)(conditions, IDS), atol=1e-3), changes


def test_no_guidance_ignores_the_embedding(reconstructor, conditions):
    model = reconstructor.with_sampling(guidance_image=0.0)
    other = Conditions(conditions.space, conditions.image.flip(0))
    assert torch.allclose(model(conditions, IDS), model(other, IDS), atol=1e-5)


def test_a_low_level_start_is_kept_more_the_lower_the_strength(reconstructor, conditions):
    start = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with_start = replace(conditions, low_level=start)
    target = reconstructor.decode(reconstructor.encode(start)).unsqueeze(1)

    def distance(strength: float) -> float:
        return (reconstructor.with_sampling(strength=strength, steps=10)(with_start, IDS) - target).abs().mean().item()

    assert distance(0.1) < distance(0.9)
    ignored = reconstructor.with_sampling(strength=1.0)(with_start, IDS)
    assert torch.allclose(ignored, reconstructor(conditions, IDS), atol=1e-5)


def test_of_several_candidates_the_one_nearest_to_the_condition_is_kept(reconstructor, conditions, tiny_clip):
    model, encoder = reconstructor.with_sampling(candidates=3), ClipEncoder(tiny_clip)
    with pytest.raises(
        ValueError, match=r"candidates and clip_guidance need the CLIP model of .* give it as the encoder"
    ):
        model(conditions, IDS)
    model.encoder = encoder
    kept = model(conditions, IDS, n_samples=2)
    drawn = reconstructor(conditions, IDS, n_samples=6).unflatten(1, (2, 3))
    for row in range(5):
        for sample in range(2):
            vectors = encoder.encode_images([to_image(picture) for picture in drawn[row, sample]])
            best = int((vectors @ conditions.image[row]).argmax())
            assert torch.allclose(kept[row, sample], drawn[row, sample, best], atol=1e-5)


def test_clip_guidance_brings_pictures_nearer_to_the_condition(reconstructor, conditions, tiny_clip):
    encoder = ClipEncoder(tiny_clip)

    def similarity(step: float) -> float:
        model = reconstructor.with_sampling(clip_guidance=step)
        model.encoder = encoder
        return (encoder.embed_pixels(model(conditions, IDS)[:, 0]) * conditions.image).sum(1).mean().item()

    assert similarity(1.0) > similarity(0.3) > similarity(0.0)


def test_a_guided_picture_does_not_depend_on_its_batch(reconstructor, conditions, tiny_clip):
    model = reconstructor.with_sampling(clip_guidance=0.3)
    model.encoder = ClipEncoder(tiny_clip)
    assert torch.allclose(model(conditions, IDS), model(conditions, IDS, batch_size=2), atol=1e-4)


def test_a_clip_model_of_another_space_does_not_guide(reconstructor, conditions, tmp_path):
    model = reconstructor.with_sampling(clip_guidance=0.3)
    model.encoder = ClipEncoder(write_clip(tmp_path / "other", seed=1))
    with pytest.raises(ValueError, match="the CLIP model that ranks and guides"):
        model(conditions, IDS)


def test_another_space_is_refused_with_both_names(reconstructor, conditions):
    other = Conditions(replace(conditions.space, model="ViT-L-14"), conditions.image)
    with pytest.raises(ValueError, match=r"local folder.*ViT-L-14"):
        reconstructor(other, IDS)


@pytest.mark.parametrize(
    ("ids", "message"), [(IDS[:4], "expected 5, one a condition, found 4"), (["a"] * 5, "must be distinct")]
)
def test_ids_are_checked(reconstructor, conditions, ids, message):
    with pytest.raises(ValueError, match=message):
        reconstructor(conditions, ids)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stpes": 3}, "did you mean 'steps'"),
        ({"steps": 0}, "steps: expected at least 1"),
        ({"candidates": 0}, "candidates: expected at least 1"),
        ({"strength": 0.0}, "strength"),
        ({"noise": -1.0}, "noise"),
        ({"clip_guidance": -1.0}, "clip_guidance: expected a value of at least 0"),
    ],
)
def test_settings_are_checked(reconstructor, settings, message):
    with pytest.raises(ValueError, match=message):
        reconstructor.with_sampling(**settings)


@pytest.mark.parametrize("name", ["DDIMSchedular", "FlowMatchEulerDiscreteScheduler", "DPMSolverSDEScheduler"])
def test_schedulers_that_do_not_fit_are_refused_at_once(reconstructor, name):
    with pytest.raises(ValueError, match="unknown scheduler"):
        reconstructor.with_sampling(scheduler=name)


def test_unknown_names_and_broken_folders(tiny_decoder, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'embedded'"):
        Reconstructor.from_pretrained("embeded")
    with pytest.raises(FileNotFoundError, match="no such decoder folder"):
        Reconstructor.from_pretrained(tmp_path / "nothing")
    broken = shutil.copytree(tiny_decoder, tmp_path / "broken", ignore=shutil.ignore_patterns("vae"))
    with pytest.raises(FileNotFoundError, match="vae is missing"):
        Reconstructor.from_pretrained(broken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": torch.zeros(5, 9)}, r"conditions.image: expected \(n, 8\), found \(5, 9\)"),
        ({"image": torch.full((5, 8), torch.nan)}, "not finite"),
        ({"text": torch.zeros(4, 8)}, "conditions.text: expected 5 rows"),
        ({"low_level": torch.zeros(5, 16, 16)}, "conditions.low_level"),
    ],
)
def test_conditions_are_checked(conditions, change, message):
    with pytest.raises(ValueError, match=message):
        replace(conditions, **change)
