"""Latents of pictures: what a low-level branch predicts, and what image-to-image diffusion starts from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.diffusion.latent import LatentReconstructor
from braindecode_x.embeddings import Embeddings
from braindecode_x.stimuli.base import to_pixels


class LatentEncoder:
    """A reconstructor's image autoencoder as an encoder of pictures, like `ClipEncoder`.

    Parameters
    ----------
    reconstructor : LatentReconstructor
    """

    def __init__(self, reconstructor: LatentReconstructor):
        self.reconstructor = reconstructor

    @property
    def space(self) -> EmbeddingSpace:
        """The latents."""
        return self.reconstructor.latent_space

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Return latents: (n, channels, height, width) of float32, on the CPU."""
        size = self.reconstructor.image_size
        pixels = torch.stack([to_pixels(image, size) for image in images]) / 255
        return self.reconstructor.encode(pixels).cpu().clone()


def matched_latents(low_level: Embeddings, given: Embeddings, reconstructor: LatentReconstructor) -> torch.Tensor:
    """Put predicted latents in the order of embeddings, by id: (n, channels, height, width).

    Raises
    ------
    ValueError
        Latents of another autoencoder, or none for an id.
    """
    reconstructor.latent_space.require(low_level.space, "the reconstructor's low-level start")
    places = {name: row for row, name in enumerate(low_level.ids)}
    without = [name for name in given.ids if name not in places]
    if without:
        raise ValueError(f"low_level: no latents of {len(without)} of {len(given.ids)} ids, for example {without[0]!r}")
    return low_level.image[[places[name] for name in given.ids]]
