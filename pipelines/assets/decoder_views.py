"""Views of the trainable pictures, each with its latents and its CLIP embedding: what the decoder learns from.

A picture is seen plain, moved (as in `training.augment`), moved and recoloured, changed strongly (stretched, turned and
shifted far, channels swapped) or together with another one (beside, over, cut in). The embedding is always that of the
very view, so that what is learned is how to undo CLIP, not which pictures there are.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import nn
from tqdm import tqdm
from training import augment, darkness_of, moved, seeded

from braindecode_x.clip import ClipEncoder

SIZE, CLIP_SIZE, UNSHUFFLE, CHUNK = 64, 192, 4, 512
KINDS = ("moved", "recoloured", "strong", "together")


def strong(pixels: torch.Tensor, generator: torch.Generator, size: int) -> torch.Tensor:
    """Stretch, turn, shift and zoom far; swap the channels of every other picture: (n, 3, size, size) in [0, 1]."""
    n = len(pixels)

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    zoom, stretch = torch.exp(uniform(-0.35, 0.6)), torch.exp(uniform(-0.3, 0.3))
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    turn, x, y = uniform(-math.pi, math.pi), uniform(-0.25, 0.25), uniform(-0.25, 0.25)
    turn = torch.where(torch.rand(n, generator=generator) < 0.6, turn / 8, turn)
    cos, sin = torch.cos(turn), torch.sin(turn)
    rows = [
        torch.stack([mirror * zoom * stretch * cos, -zoom * stretch * sin, x * zoom], 1),
        torch.stack([mirror * zoom / stretch * sin, zoom / stretch * cos, y * zoom], 1),
    ]
    darkness = moved(darkness_of(pixels), torch.stack(rows, 1), size)
    order = torch.stack([torch.randperm(3, generator=generator) for _ in range(n)])
    order = torch.where(torch.rand(n, 1, generator=generator) < 0.5, order, torch.arange(3))
    darkness = darkness.gather(1, order.to(pixels.device)[:, :, None, None].expand_as(darkness))
    return (1 - darkness * uniform(0.7, 1.15).to(pixels.device).view(n, 1, 1, 1)).clamp(0, 1)


def together(pixels: torch.Tensor, others: torch.Tensor, generator: torch.Generator, size: int) -> torch.Tensor:
    """Show two pictures as one: small ones side by side, one over the other, or a piece of one cut into the other."""
    n, device = len(pixels), pixels.device
    first, second = (1 - augment(each, generator, size, recolour=0.25) for each in (pixels, others))
    angle = torch.rand(n, generator=generator) * 2 * math.pi
    shift = torch.stack([torch.cos(angle), torch.sin(angle)], 1)[:, :, None] * 0.55
    zoom = 1.5 + 0.5 * torch.rand(n, 1, 1, generator=generator)
    small = [
        moved(each, torch.cat([torch.eye(2) * zoom, sign * shift * zoom], 2), size)
        for each, sign in ((first, 1.0), (second, -1.0))
    ]
    beside = torch.maximum(*small)
    over = torch.where(second.amax(1, keepdim=True) > 0.08, second, first)
    axis = torch.linspace(-1, 1, size)
    line = axis[None, :, None] * torch.sin(angle).view(-1, 1, 1) + axis[None, None] * torch.cos(angle).view(-1, 1, 1)
    inside = (line > torch.rand(n, 1, 1, generator=generator) * 0.8 - 0.4)[:, None].to(device)
    cut = torch.where(inside, first, second)
    kind = torch.randint(3, (n, 1, 1, 1), generator=generator).to(device)
    return (1 - torch.where(kind == 0, beside, torch.where(kind == 1, over, cut))).clamp(0, 1)


def view(pixels: torch.Tensor, rows: torch.Tensor, number: int) -> torch.Tensor:
    """Give view ``number`` of some of the pictures: 0 plain, then the kinds in turn.

    Parameters
    ----------
    pixels : torch.Tensor
        (n, 3, edge, edge) of uint8, all pictures.
    rows : torch.Tensor
        (k,) places of those wanted; with the number they seed the draws.
    number : int

    Returns
    -------
    torch.Tensor
        (k, 3, 192, 192) in [0, 1].
    """
    some = pixels[rows]
    if number == 0:
        return F.interpolate(some.float() / 255, (CLIP_SIZE, CLIP_SIZE), mode="bicubic", antialias=True).clamp(0, 1)
    generator, kind = seeded(41, number, int(rows[0]), len(rows)), KINDS[number % len(KINDS)]
    if kind == "strong":
        return strong(some, generator, CLIP_SIZE)
    if kind == "together":
        partners = torch.randint(len(pixels), (len(rows),), generator=generator)
        return together(some, pixels[partners.to(pixels.device)], generator, CLIP_SIZE)
    return augment(some, generator, CLIP_SIZE, recolour=float(kind == "recoloured"))


@torch.inference_mode()
def encoded(images: torch.Tensor, encoder: ClipEncoder, vae: AutoencoderKL) -> tuple[torch.Tensor, torch.Tensor]:
    """Return latents (n, 12, 8, 8) and embeddings (n, 512), both float16, of pictures (n, 3, 192, 192)."""
    device = images.device
    small = F.interpolate(images, (SIZE, SIZE), mode="bicubic", antialias=True).clamp(0, 1) * 2 - 1
    mean, std = (torch.tensor(encoder.model.visual.preprocess_cfg[part], device=device) for part in ("mean", "std"))
    inputs = (images - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.autocast(device.type, torch.bfloat16):
        latents = vae.encode(F.pixel_unshuffle(small, UNSHUFFLE)).latent_dist.mode()
    embeddings = F.normalize(encoder.model.encode_image(inputs).float(), dim=-1)
    return latents.half(), embeddings.half()


def bank(
    pixels: torch.Tensor, encoder: ClipEncoder, vae: nn.Module, views: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """Make ``views`` views of every picture.

    Returns
    -------
    dict of str to torch.Tensor
        ``latents`` (views, n, 12, 8, 8) and ``embeddings`` (views, n, 512), float16, on the device.
    """
    pixels = pixels.to(device)
    n = len(pixels)
    latents = torch.empty(views, n, 12, 8, 8, dtype=torch.float16, device=device)
    embeddings = torch.empty(views, n, encoder.space.shape[0], dtype=torch.float16, device=device)
    for number in tqdm(range(views), desc="views", mininterval=5):
        for rows in torch.arange(n, device=device).split(CHUNK):
            latents[number, rows], embeddings[number, rows] = encoded(view(pixels, rows, number), encoder, vae)
    return {"latents": latents, "embeddings": embeddings}
