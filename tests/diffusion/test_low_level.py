from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from braindecode_x.diffusion.latent import LatentReconstructor
from braindecode_x.diffusion.low_level import LatentEncoder, matched_latents
from braindecode_x.diffusion.reconstruct import reconstruct_file
from braindecode_x.embeddings import Embeddings


@pytest.fixture
def decoder(tiny_decoder) -> LatentReconstructor:
    return LatentReconstructor.from_folder(tiny_decoder)


def decoded(space, n: int = 3, seed: int = 0) -> Embeddings:
    image = torch.randn(n, *space.shape, generator=torch.Generator().manual_seed(seed))
    if space.normalisation == "unit":
        image = torch.nn.functional.normalize(image, dim=1)
    index = pd.DataFrame({"id": [f"s_{k}" for k in range(n)], "stimulus": [str(k) for k in range(n)]})
    return Embeddings(index, space, image)


def test_pictures_are_encoded_as_the_reconstructor_does(decoder):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    latents = LatentEncoder(decoder).encode_images([Image.fromarray(each) for each in pixels])
    expected = decoder.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(latents, expected)
    assert decoder.latent_space.shape == latents.shape[1:]


def test_other_weights_of_the_autoencoder_are_another_space(decoder):
    before = decoder.latent_space
    with torch.no_grad():
        next(decoder.vae.parameters()).add_(1)
    del decoder.latent_space
    assert decoder.latent_space != before


def test_latents_are_matched_by_id(decoder):
    given, latents = decoded(decoder.space), decoded(decoder.latent_space)
    torch.testing.assert_close(matched_latents(latents[[2, 0, 1]], given, decoder), latents.image)
    with pytest.raises(ValueError, match=r"low_level: no latents of 1 of 3 ids, for example 's_1'"):
        matched_latents(latents[[2, 0]], given, decoder)
    with pytest.raises(ValueError, match="embeddings of another space: the reconstructor's low-level start"):
        matched_latents(given, given, decoder)


def test_reconstructions_start_from_latents(decoder, tiny_decoder, tmp_path):
    decoded(decoder.space).save(tmp_path / "e.safetensors")

    def pictures(name: str, low_level: Embeddings | None, strength: float) -> list[bytes]:
        file = None
        if low_level is not None:
            file = tmp_path / f"{name}.safetensors"
            low_level.save(file)
        reconstruct_file(
            tmp_path / "e.safetensors", tmp_path / name, tiny_decoder,
            sampling={"strength": strength, "steps": 4}, low_level=file, progress=False,
        )  # fmt: skip
        return [(tmp_path / name / f"s_{k}.png").read_bytes() for k in range(3)]

    plain = pictures("plain", None, 0.5)
    one, other = (pictures(f"from{seed}", decoded(decoder.latent_space, seed=seed), 0.5) for seed in (1, 2))
    assert len({plain[0], one[0], other[0]}) == 3
    assert pictures("ignored", decoded(decoder.latent_space), 1.0) == plain
    with pytest.raises(ValueError, match=r"other settings \(different: low_level\)"):
        reconstruct_file(
            tmp_path / "e.safetensors", tmp_path / "from1", tiny_decoder,
            sampling={"strength": 0.5, "steps": 4}, progress=False,
        )  # fmt: skip
