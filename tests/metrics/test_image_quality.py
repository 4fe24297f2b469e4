from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity

from braindecode_x.metrics import pixcorr, ssim


def pictures(seed: int, n: int = 6, height: int = 24, width: int = 24) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((n, 3, height, width), dtype=np.float32))


@given(st.integers(0, 100), st.floats(0.05, 1), st.floats(0, 1), st.sampled_from([None, 30]))
def test_pixcorr_ignores_contrast_and_brightness(seed, contrast, brightness, size):
    a, b = pictures(seed), pictures(seed + 1)
    dimmed = contrast * b + (1 - contrast) * brightness
    torch.testing.assert_close(pixcorr(a, dimmed, size), pixcorr(a, b, size), atol=1e-4, rtol=0)
    torch.testing.assert_close(pixcorr(b, dimmed, size), torch.ones(6))
    torch.testing.assert_close(pixcorr(b, 1 - dimmed, size), -torch.ones(6))


def test_pixcorr_is_pearson_over_pixels_and_channels():
    a, b = pictures(0), pictures(1) * 0.5 + pictures(0) * 0.5
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    np.testing.assert_allclose(pixcorr(a, b, size=None), expected, rtol=1e-5)


def test_pixcorr_of_a_constant_picture_is_zero():
    assert pixcorr(torch.full((6, 3, 24, 24), 0.1), pictures(0)).tolist() == [0] * 6


def test_ssim_against_scikit_image():
    a, b = (
        pictures(0, height=20, width=31),
        pictures(1, height=20, width=31) * 0.3 + pictures(0, height=20, width=31) * 0.7,
    )
    expected = [
        structural_similarity(
            *(rgb2gray(picture.permute(1, 2, 0).numpy()) for picture in pair),
            gaussian_weights=True,
            use_sample_covariance=False,
            data_range=1.0,
        )
        for pair in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(ssim(a, b, size=None), expected, rtol=1e-5)


@given(st.integers(0, 100))
def test_ssim_of_the_same_picture_is_one_and_order_does_not_matter(seed):
    a, b = pictures(seed), pictures(seed + 1)
    torch.testing.assert_close(ssim(a, a, 30), torch.ones(6))
    torch.testing.assert_close(ssim(a, b, 30), ssim(b, a, 30))
    assert (ssim(a, b, 30) < 0.9).all()


@pytest.mark.parametrize("score", [pixcorr, ssim])
def test_larger_pictures_are_averaged_down_not_sampled(score):
    fine = (torch.arange(96)[:, None] + torch.arange(96)) % 2 * 0.8 + 0.1  # a chequered pattern flat on average
    coarse = torch.linspace(0, 0.1, 96)
    a, b = (coarse + 0.5).expand(1, 3, 96, 96), (coarse + fine).clamp(0, 1).expand(1, 3, 96, 96)
    assert score(a, b, size=32).item() > 0.95
    assert score(a, b, size=None).item() < 0.2


@pytest.mark.parametrize("score", [pixcorr, ssim])
def test_a_picture_is_scored_the_same_alone_and_among_others(score):
    a, b = pictures(0), (pictures(0) + pictures(1)) / 2
    alone = torch.cat([score(a[i : i + 1], b[i : i + 1], size=40) for i in range(6)])
    torch.testing.assert_close(score(a, b, size=40), alone)
    assert torch.equal(score(a.half(), a.half(), size=None), score(a.half().float(), a.half().float(), size=None))


@pytest.mark.parametrize("score", [pixcorr, ssim])
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (pictures(0), pictures(0, n=5), r"b: expected the shape of a, \(6, 3, 24, 24\), found \(5, 3, 24, 24\)"),
        (pictures(0) * 255, pictures(0), r"a: expected pixels in \[0, 1\], found .* to 25\d"),
        (pictures(0), pictures(0) - 0.5, r"b: expected pixels in \[0, 1\], found -0\.49"),
        (pictures(0), pictures(0) * torch.nan, r"b: expected pixels in \[0, 1\], found nan"),
        ((pictures(0) * 255).byte(), pictures(0), "a: expected floating point"),
        (pictures(0)[:, :1], pictures(0)[:, :1], r"a: expected .*\(6, 1, 24, 24\)"),
        (pictures(0)[:0], pictures(0)[:0], r"a: expected .*\(0, 3, 24, 24\)"),
    ],
)
def test_bad_pictures_are_named(score, a, b, message):
    with pytest.raises(ValueError, match=message):
        score(a, b)


def test_ssim_needs_room_for_a_window():
    small = pictures(0, height=10)
    with pytest.raises(ValueError, match=r"size: expected at least 11 .*found 10"):
        ssim(small, small, size=None)
    torch.testing.assert_close(ssim(small, small, size=11), torch.ones(6))
