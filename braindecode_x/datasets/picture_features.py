"""What simulated subjects see in a picture: oriented energy, curvature, colour and global shape.

Plain image processing, no network: a simulated brain must not answer through the space that is decoded to. What they
know about a picture's concept is in `concept_features`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.fft
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from skimage.color import rgb2lab
from skimage.transform import resize

from braindecode_x.files import atomic_path
from braindecode_x.resources import cache_folder
from braindecode_x.stimuli import Stimuli

logger = logging.getLogger(__name__)

VERSION = 1  # raise it with every change of the code below that changes a value: it is a part of the cache's key
FIELD = 10.0  # degrees of visual angle that a picture spans
EDGE, PAD, GRID = 64, 16, 16  # pixels of a picture, of the white around it, and cells of a map
BATCH = 128
WAVELENGTHS = (4.0, 8.0, 16.0, 32.0)  # pixels
ORIENTATIONS = tuple(np.arange(6) * np.pi / 6)  # of a wave's normal, radians from the horizontal, counter-clockwise
CURVED_WAVELENGTHS, CURVED_ORIENTATIONS = (8.0, 16.0), tuple(np.arange(8) * np.pi / 4)
BEND = 0.4  # of curved filters, in 1 / wavelength: a radius of 1.25 wavelengths
SEMISATURATION = 0.1  # contrast amplitude at which a filter answers half its maximum
HUES = tuple(np.arange(8) * np.pi / 4)  # angles in the a*b* plane
WHITE = 0.96  # a pixel with a channel below this belongs to the figure
SILHOUETTE, ANGLES = 8, 32
PARAMETERS = {
    "version": VERSION,
    "sizes": (EDGE, PAD, GRID, SILHOUETTE, ANGLES),
    "orientation": (WAVELENGTHS, ORIENTATIONS, SEMISATURATION),
    "curvature": (CURVED_WAVELENGTHS, CURVED_ORIENTATIONS, BEND),
    "colour": HUES,
    "shape": WHITE,
}


def picture_features(stimuli: Stimuli, folder: str | Path | None = None) -> dict[str, np.ndarray]:
    """Describe pictures by what early and intermediate visual areas are known to answer to.

    Each picture is described by itself, so that its features do not depend on the others in the set.

    Parameters
    ----------
    stimuli : Stimuli
    folder : str or Path, optional
        Where results are kept, by content; default ``picture_features`` in the cache folder.

    Returns
    -------
    dict of str to numpy.ndarray
        float32, one row a picture, in the set's order. Maps of the visual field, (n, channels, GRID * GRID), row by row
        from the upper left: ``orientation`` (amplitude of quadrature Gabor pairs in [0, 1), wavelength by orientation),
        ``curvature`` (the same of bent filters), ``colour`` (chroma by hue, then darkness, in about [0, 1]). Vectors,
        (n, d), the same wherever in the picture the figure lies: ``shape``.
    """
    key = _key(stimuli)
    file = Path(folder or cache_folder() / "picture_features") / f"{key}.safetensors"
    if file.is_file():
        try:
            return {name: values.astype(np.float32) for name, values in load_file(file).items()}
        except SafetensorError as error:
            logger.warning("%s: unreadable cache file, computed anew (%s)", file, error)
    parts = [_describe(pictures) for pictures in _batches(stimuli)]
    features = {name: np.concatenate([part[name] for part in parts]).astype(np.float16) for name in parts[0]}
    with atomic_path(file) as temporary:
        save_file(features, temporary)
    return {name: values.astype(np.float32) for name, values in features.items()}


def cell_centres() -> np.ndarray:
    """Return where a map's cells lie: (GRID * GRID, 2) degrees from the centre, x to the right, y up."""
    along = (np.arange(GRID) + 0.5) / GRID * FIELD - FIELD / 2
    x, y = np.meshgrid(along, -along)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def orientation_channels() -> np.ndarray:
    """Return the channels of ``orientation``: (channels, 2), frequency in cycles a degree and angle in radians."""
    degree = EDGE / FIELD
    return np.array([(degree / wavelength, angle) for wavelength in WAVELENGTHS for angle in ORIENTATIONS])


def _key(stimuli: Stimuli) -> str:
    digest = hashlib.sha256(json.dumps(PARAMETERS, sort_keys=True).encode())
    for stimulus in stimuli.ids:
        digest.update(stimuli.read(stimulus))
    return digest.hexdigest()[:16]


def _batches(stimuli: Stimuli) -> Iterator[np.ndarray]:
    """Decode pictures: (up to BATCH, EDGE, EDGE, 3) of float32 in [0, 1]."""
    for start in range(0, len(stimuli), BATCH):
        pixels = stimuli.pixels(EDGE, stimuli.ids[start : start + BATCH])
        yield pixels.permute(0, 2, 3, 1).numpy().astype(np.float32) / 255


def _describe(pictures: np.ndarray) -> dict[str, np.ndarray]:
    lab = rgb2lab(pictures).astype(np.float32)
    darkness = 1 - lab[..., 0] / 100
    straight = [gabor(wavelength, angle) for wavelength in WAVELENGTHS for angle in ORIENTATIONS]
    curved = [gabor(wavelength, angle, BEND) for wavelength in CURVED_WAVELENGTHS for angle in CURVED_ORIENTATIONS]
    return {
        "orientation": amplitudes(darkness, straight),
        "curvature": amplitudes(darkness, curved),
        "colour": _pool(_colours(lab, darkness)),
        "shape": np.stack([shape_of((picture < WHITE).any(axis=-1)) for picture in pictures]),
    }


def gabor(wavelength: float, angle: float, bend: float = 0.0) -> np.ndarray:
    """Make a quadrature pair of Gabor filters on the padded picture, centred at the origin of the Fourier transform.

    Parameters
    ----------
    wavelength : float
        Pixels.
    angle : float
        Of the wave's normal; the lines that it answers to are at right angles to it. Radians.
    bend : float
        How far the lines bend towards the normal's opposite, in 1 / wavelength. Bent filters are twice as long, for a
        bend is not seen in a short piece.

    Returns
    -------
    numpy.ndarray
        (EDGE + 2 PAD, EDGE + 2 PAD) of complex64, even part and odd part, zero mean; a straight grating of the filter's
        own wavelength and of amplitude 1 gives about 1.
    """
    along = scipy.fft.fftfreq(EDGE + 2 * PAD, 1 / (EDGE + 2 * PAD))
    x, y = np.meshgrid(along, -along)
    across = x * np.cos(angle) + y * np.sin(angle)
    lengthwise = -x * np.sin(angle) + y * np.cos(angle)
    across = across + bend / wavelength * lengthwise**2
    width = wavelength / 2
    length = 2 * width if bend else width
    envelope = np.exp(-((across / width) ** 2 + (lengthwise / length) ** 2) / 2)
    envelope /= envelope.sum()
    wave = np.exp(2j * np.pi * across / wavelength)
    return (2 * envelope * (wave - (envelope * wave).sum())).astype(np.complex64)


def amplitudes(darkness: np.ndarray, filters: list[np.ndarray]) -> np.ndarray:
    """Filter pictures and pool the amplitude, whatever its phase, in the cells of a map.

    Parameters
    ----------
    darkness : numpy.ndarray
        (n, EDGE, EDGE), 0 is white.
    filters : list of numpy.ndarray
        From `gabor`.

    Returns
    -------
    numpy.ndarray
        (n, filters, GRID * GRID) in [0, 1): amplitude with a saturation, as of contrast responses in V1.
    """
    padded = np.pad(darkness, ((0, 0), (PAD, PAD), (PAD, PAD)))
    spectrum = scipy.fft.fft2(padded.astype(np.complex64))
    maps = np.empty((len(darkness), len(filters), GRID * GRID), dtype=np.float32)
    for channel, kernel in enumerate(filters):
        answer = np.abs(scipy.fft.ifft2(spectrum * scipy.fft.fft2(kernel).conj()))[:, PAD:-PAD, PAD:-PAD]
        maps[:, channel] = _pool((answer / (answer + SEMISATURATION))[:, None])[:, 0]
    return maps


def _colours(lab: np.ndarray, darkness: np.ndarray) -> np.ndarray:
    """Return (n, hues + 1, EDGE, EDGE): chroma seen by channels of broad hue tuning, and darkness."""
    chroma, hue = np.hypot(lab[..., 1], lab[..., 2]) / 100, np.arctan2(lab[..., 2], lab[..., 1])
    channels = [chroma * np.cos((hue - preferred) / 2) ** 8 for preferred in HUES]
    return np.stack([*channels, darkness], axis=1)


def _pool(maps: np.ndarray) -> np.ndarray:
    """Average (n, channels, EDGE, EDGE) within cells: (n, channels, GRID * GRID)."""
    n, channels = maps.shape[:2]
    cells = maps.reshape(n, channels, GRID, EDGE // GRID, GRID, EDGE // GRID)
    return cells.mean(axis=(3, 5), dtype=np.float32).reshape(n, channels, GRID * GRID)


def shape_of(figure: np.ndarray) -> np.ndarray:
    """Describe a silhouette, wherever it lies.

    Parameters
    ----------
    figure : numpy.ndarray
        (height, width) of bool.

    Returns
    -------
    numpy.ndarray
        (d,) of float32, all 0 for an empty figure: filled share of its square (silhouette at SILHOUETTE x SILHOUETTE,
        fitted to a square around it), outline (Fourier amplitudes of the radius by angle, whatever the rotation),
        second moments (log size, elongation along the axes and the diagonals), compactness, and mirror symmetry left to
        right and top to bottom.
    """
    d = SILHOUETTE**2 + ANGLES // 2 + 6
    if not figure.any():
        return np.zeros(d, dtype=np.float32)
    rows, columns = np.nonzero(figure)
    y, x = rows - rows.mean(), columns - columns.mean()
    square = _fitted_square(figure, rows, columns)
    radius = np.hypot(x, y)
    sector = ((np.arctan2(y, x) / (2 * np.pi) + 0.5) * ANGLES).astype(int) % ANGLES
    outline = np.zeros(ANGLES)
    np.maximum.at(outline, sector, radius)
    descriptors = np.abs(np.fft.rfft(outline / outline.mean())) / ANGLES if outline.any() else np.zeros(ANGLES // 2 + 1)
    xx, yy, xy = (x * x).mean() + 1 / 12, (y * y).mean() + 1 / 12, (x * y).mean()
    border = np.abs(np.diff(np.pad(figure, 1).astype(int), axis=0)).sum()
    border += np.abs(np.diff(np.pad(figure, 1).astype(int), axis=1)).sum()
    scalars = [
        np.log(xx + yy),
        (xx - yy) / (xx + yy),
        2 * xy / (xx + yy),
        np.sqrt(len(rows)) * 4 / border,
        np.abs(square - square[:, ::-1]).mean(),
        np.abs(square - square[::-1]).mean(),
    ]
    return np.concatenate([square.ravel(), descriptors[1:], scalars]).astype(np.float32)


def _fitted_square(figure: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Cut the smallest square around a figure, centred on its bounding box, and average it to SILHOUETTE pixels."""
    cut = figure[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(float)
    edge = max(cut.shape)
    before = [(edge - length) // 2 for length in cut.shape]
    around = [(first, edge - length - first) for first, length in zip(before, cut.shape, strict=True)]
    return resize(np.pad(cut, around), (SILHOUETTE, SILHOUETTE), order=1, anti_aliasing=True)
