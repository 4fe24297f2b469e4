"""Guidance by the CLIP model of the conditions: while a picture is sampled, it is moved towards what was decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from braindecode_x.clip import ClipEncoder

SMALLEST = 1e-3  # of a noise level that is divided by


def pulled(
    output: torch.Tensor,
    noisy: torch.Tensor,
    time: torch.Tensor,
    scheduler: Any,
    wanted: torch.Tensor,
    encoder: ClipEncoder,
    decode: Callable[[torch.Tensor], torch.Tensor],
    step: float,
) -> torch.Tensor:
    """Change what the network tells of the noise so that the picture in it is more like the condition.

    The latents that the output means are moved by ``step`` up the gradient of the cosine between the embedding of their
    picture and the condition (universal guidance, arXiv 2302.07121, section 3.1, with a normalised gradient). What was
    seen is never looked at.

    Parameters
    ----------
    output, noisy : torch.Tensor
        (n, channels, height, width): of the network, and the latents that it was given.
    time : torch.Tensor
        The time step.
    scheduler : diffusers scheduler
    wanted : torch.Tensor
        (n, d), the image conditions.
    encoder : ClipEncoder
        Of their space.
    decode : callable
        Latents to pictures (n, 3, height, width) in [0, 1], with gradients.
    step : float
        Euclidean length, in units of the latents.

    Returns
    -------
    torch.Tensor
        Of the shape of ``output``, and of its kind.
    """
    kind = scheduler.config.prediction_type
    power = scheduler.alphas_cumprod[time.long().cpu()].to(noisy)
    signal, noise = power.sqrt(), (1 - power).sqrt().clamp_min(SMALLEST)
    clean = {
        "v_prediction": signal * noisy - noise * output,
        "epsilon": (noisy - noise * output) / signal.clamp_min(SMALLEST),
        "sample": output,
    }[kind]
    with torch.enable_grad():
        variable = clean.detach().requires_grad_()
        embedded = encoder.embed_pixels(decode(variable))
        (gradient,) = torch.autograd.grad((embedded * wanted.to(embedded)).sum(), variable)
    length = gradient.flatten(1).norm(dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
    clean = clean + step * gradient / length.view(-1, 1, 1, 1)
    changed = {
        "v_prediction": (signal * noisy - clean) / noise,
        "epsilon": (noisy - signal * clean) / noise,
        "sample": clean,
    }
    return changed[kind]
