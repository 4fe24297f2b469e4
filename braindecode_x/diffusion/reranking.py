"""Of several pictures of one condition, the one that shows most of it; what was seen is never looked at."""

from __future__ import annotations

import torch

from braindecode_x.clip import ClipEncoder, EmbeddingSpace
from braindecode_x.diffusion.conditions import Conditions
from braindecode_x.stimuli.base import to_image


def encoder_of(space: EmbeddingSpace, device: str | torch.device = "cpu") -> ClipEncoder:
    """Load the CLIP model that a pooled space is of, to rank or guide pictures in it.

    Raises
    ------
    ValueError
        The space belongs to a folder that is not the embedded one: only the user knows where it lies.
    """
    embedded = ClipEncoder()
    if embedded.space == space:
        return embedded.to(device)
    if space.model == "local folder" or space.weights.startswith("sha256:"):
        raise ValueError(f"candidates and clip_guidance need the CLIP model of [{space}]; give it as the encoder")
    return ClipEncoder(space.model, space.weights, device)


@torch.inference_mode()
def most_similar(pictures: torch.Tensor, conditions: Conditions, encoder: ClipEncoder) -> torch.Tensor:
    """Choose, for every condition, the picture whose embedding has the largest cosine with the image condition.

    Parameters
    ----------
    pictures : torch.Tensor
        (n, candidates, 3, height, width) in [0, 1].
    conditions : Conditions
        n of them.
    encoder : ClipEncoder
        Of their space.

    Returns
    -------
    torch.Tensor
        (n, 3, height, width).

    Raises
    ------
    ValueError
        The encoder is of another space.
    """
    conditions.space.require(encoder.space, "the ranking of candidates")
    n, k = pictures.shape[:2]
    vectors = encoder.encode_images([to_image(picture) for picture in pictures.flatten(0, 1)]).view(n, k, -1)
    return pictures[torch.arange(n), torch.einsum("nkd,nd->nk", vectors, conditions.image.float().cpu()).argmax(1)]
