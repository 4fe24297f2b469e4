from __future__ import annotations

import numpy as np
from PIL import Image

from braindecode_x.datasets.haxby_prototypes import category_prototypes
from braindecode_x.stimuli.scramble import phase_scramble


def gentle_picture() -> np.ndarray:
    """Return a picture of low contrast, so that nothing is clipped."""
    waves = np.random.default_rng(0).standard_normal((32, 32, 3))
    return (128 + 12 * waves).clip(0, 255).astype(np.uint8)


def test_scrambling_keeps_the_spectrum_and_the_mean_but_not_the_picture():
    before = gentle_picture()
    after = np.asarray(phase_scramble(Image.fromarray(before), seed=1))
    amplitude = [np.abs(np.fft.fft2(image.astype(float), axes=(0, 1))) for image in (before, after)]
    assert np.corrcoef(amplitude[0][1:].ravel(), amplitude[1][1:].ravel())[0, 1] > 0.98
    assert np.allclose(before.mean((0, 1)), after.mean((0, 1)), atol=1)
    assert abs(np.corrcoef(before.ravel(), after.ravel())[0, 1]) < 0.3


def test_the_seed_decides():
    image = Image.fromarray(gentle_picture())
    assert phase_scramble(image, 1).tobytes() == phase_scramble(image, 1).tobytes()
    assert phase_scramble(image, 1).tobytes() != phase_scramble(image, 2).tobytes()


def test_channels_turn_together():
    grey = np.repeat(gentle_picture()[..., :1], 3, axis=2)
    after = np.asarray(phase_scramble(Image.fromarray(grey), seed=3))
    assert (after[..., 0] == after[..., 1]).all()
    assert (after[..., 0] == after[..., 2]).all()


def test_every_category_of_the_recording_has_three_pictures():
    pictures = category_prototypes()
    assert list(pictures) == ["bottle", "cat", "chair", "face", "house", "scissors", "scrambledpix", "shoe"]
    assert {len(images) for images in pictures.values()} == {3}
    assert len({image.tobytes() for images in pictures.values() for image in images}) == 24
