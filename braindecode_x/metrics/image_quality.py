"""Image quality: how much the pixels of two pictures are alike.

Both scores follow the field's custom of first bringing pictures to 425 x 425, the size of the Natural Scenes Dataset,
so that numbers compare with published tables whatever size was reconstructed.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from braindecode_x.metrics.identification import centred_unit

PUBLISHED_SIZE = 425
LUMINANCE = (0.2125, 0.7154, 0.0721)  # of scikit-image's rgb2gray, which the published scores use
SIGMA, RADIUS = 1.5, 5  # of the Gaussian window, in pixels
C1, C2 = 0.01**2, 0.03**2  # the stabilising constants of the SSIM paper, for values in [0, 1]
BATCH = 4  # resized pictures are large: few at a time stay in the processor's cache


def pixcorr(a: torch.Tensor, b: torch.Tensor, size: int | None = PUBLISHED_SIZE) -> torch.Tensor:
    """Correlate the pixels of two pictures (Pearson, over all pixels and channels).

    Parameters
    ----------
    a, b : torch.Tensor
        (n, 3, height, width) of the same shape, floating point in [0, 1].
    size : int or None
        Pictures are resized to ``size`` x ``size`` first (bilinear, antialiased); None compares them as they are.

    Returns
    -------
    torch.Tensor
        (n,) in [-1, 1]; 0 where a picture is constant.

    Raises
    ------
    ValueError
        Not such pictures, or their shapes differ.
    """
    _check_pictures(a, b)

    def unit(pictures: torch.Tensor) -> torch.Tensor:
        return centred_unit(_resized(pictures, size).flatten(1))

    return torch.cat([(unit(x) * unit(y)).sum(1) for x, y in _batches(a, b)])


def ssim(a: torch.Tensor, b: torch.Tensor, size: int | None = PUBLISHED_SIZE) -> torch.Tensor:
    """Compare two pictures' grey values by structural similarity (Wang et al. 2004, IEEE Trans. Image Processing 13).

    Gaussian windows of sigma 1.5 (11 x 11 pixels), the covariance of the population, windows inside the picture only:
    scikit-image's ``structural_similarity`` with ``gaussian_weights=True, use_sample_covariance=False, data_range=1``.

    Parameters
    ----------
    a, b : torch.Tensor
        (n, 3, height, width) of the same shape, floating point in [0, 1].
    size : int or None
        Pictures are resized to ``size`` x ``size`` first (bilinear, antialiased); None compares them as they are.

    Returns
    -------
    torch.Tensor
        (n,) in [-1, 1].

    Raises
    ------
    ValueError
        Not such pictures, their shapes differ, or they are compared at less than 11 pixels a side.
    """
    _check_pictures(a, b)
    smallest = min(a.shape[-2:]) if size is None else size
    if smallest < 2 * RADIUS + 1:
        raise ValueError(f"size: expected at least {2 * RADIUS + 1} pixels a side, the window's, found {smallest}")
    # Grey first: resizing one channel costs a third, and both are linear.
    return torch.cat([_grey_ssim(_resized(_grey(x), size), _resized(_grey(y), size)) for x, y in _batches(a, b)])


def _grey_ssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Average the similarity of all windows of grey pictures (n, 1, height, width): (n,)."""
    down, along = (_window_weights(length, a) for length in a.shape[-2:])

    def window_means(values: torch.Tensor) -> torch.Tensor:
        return down @ values @ along.T

    mean_a, mean_b = window_means(a), window_means(b)
    product, squares = mean_a * mean_b, mean_a.square() + mean_b.square()
    covariance = window_means(a * b) - product
    variances = window_means(a.square() + b.square()) - squares
    similarity = (2 * product + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))
    return similarity.mean((1, 2, 3))


def _window_weights(length: int, like: torch.Tensor) -> torch.Tensor:
    """Return (windows, length): each row a Gaussian that fits in, so that a product with it is a weighted mean."""
    pixels = torch.arange(length, device=like.device)
    distance = pixels - pixels[RADIUS : length - RADIUS, None]
    weights = torch.exp(-0.5 * (distance / SIGMA).square()).where(distance.abs() <= RADIUS, 0)
    return (weights / weights.sum(1, keepdim=True)).to(like.dtype)


def _check_pictures(a: torch.Tensor, b: torch.Tensor) -> None:
    for name, pictures in (("a", a), ("b", b)):
        shape = tuple(pictures.shape)
        if pictures.ndim != 4 or shape[1] != 3 or pictures.numel() == 0 or not pictures.is_floating_point():
            raise ValueError(f"{name}: expected floating point (n, 3, height, width), found {pictures.dtype} {shape}")
        low, high = pictures.min().item(), pictures.max().item()  # NaN when any pixel is
        if not (low >= -1e-4 and high <= 1 + 1e-4):
            raise ValueError(f"{name}: expected pixels in [0, 1], found {low:g} to {high:g}")
    if a.shape != b.shape:
        raise ValueError(f"b: expected the shape of a, {tuple(a.shape)}, found {tuple(b.shape)}")


def _batches(a: torch.Tensor, b: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield a few pictures of each at a time, in float32 at least."""
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    for x, y in zip(a.split(BATCH), b.split(BATCH), strict=True):
        yield x.to(dtype), y.to(dtype)


def _resized(pictures: torch.Tensor, size: int | None) -> torch.Tensor:
    if size is None or pictures.shape[-2:] == (size, size):
        return pictures
    return F.interpolate(pictures, (size, size), mode="bilinear", antialias=True)


def _grey(pictures: torch.Tensor) -> torch.Tensor:
    return (pictures * pictures.new_tensor(LUMINANCE).view(3, 1, 1)).sum(1, keepdim=True)
