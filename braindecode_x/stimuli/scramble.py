"""Pictures without their object: the amplitudes stay, the phases are drawn."""

from __future__ import annotations

import numpy as np
from PIL import Image


def phase_scramble(image: Image.Image, seed: int) -> Image.Image:
    """Scramble a picture's Fourier phases, the same way in all three channels, so that colours stay together.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB.
    seed : int

    Returns
    -------
    PIL.Image.Image
        RGB, same size; mean and (but for clipping) spectrum of the original.
    """
    pixels = np.asarray(image, dtype=float)
    noise = np.random.default_rng(seed).standard_normal(pixels.shape[:2])
    turn = np.angle(np.fft.fft2(noise))  # of real noise: antisymmetric, so the result is real
    spectrum = np.fft.fft2(pixels, axes=(0, 1))
    turned = np.fft.ifft2(spectrum * np.exp(1j * turn)[..., None], axes=(0, 1)).real
    turned += pixels.mean((0, 1)) - turned.mean((0, 1))  # the phase of the mean may flip its sign
    return Image.fromarray(turned.clip(0, 255).round().astype(np.uint8))
