"""NIfTI images of anybody's: opened, read and compared with errors that name the file."""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

ENDINGS = (".nii", ".nii.gz")
_DAMAGE = (ImageFileError, OSError, EOFError, ValueError, zlib.error)
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}


def is_nifti(file: Path) -> bool:
    """Say whether a file is a NIfTI image by its ending."""
    return file.name.lower().endswith(ENDINGS)


def open_image(file: Path, *dimensions: str) -> nib.Nifti1Image:
    """Open an image without reading its values.

    Parameters
    ----------
    file : Path
    *dimensions : str
        What its shape may be, for example ``"(x, y, z, trials)"``.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is damaged, no NIfTI image, or of another number of dimensions.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        image = nib.load(file)
    except _DAMAGE as error:
        raise ValueError(f"{file}: not a readable NIfTI image ({error})") from error
    if not isinstance(image, nib.Nifti1Image):
        raise ValueError(f"{file}: expected a NIfTI image, found {type(image).__name__}")
    if len(image.shape) not in [each.count(",") + 1 for each in dimensions]:
        expected = " or ".join(dimensions)
        raise ValueError(f"{file}: expected {expected}, found {len(image.shape)} dimensions, shape {image.shape}")
    return image


def image_values(file: Path | str, image: nib.Nifti1Image) -> np.ndarray:
    """Read the values of an opened image as float32; a ValueError when it is damaged."""
    try:
        return np.asarray(image.dataobj, dtype=np.float32)
    except _DAMAGE as error:
        raise ValueError(f"{file}: damaged, its values cannot be read ({error})") from error


def same_grid(image: nib.Nifti1Image, other: nib.Nifti1Image) -> bool:
    """Say whether two images have their voxels in the same places."""
    return image.shape[:3] == other.shape[:3] and np.allclose(image.affine, other.affine, atol=1e-3)


def refuse_other_grid(
    file: Path | str, image: nib.Nifti1Image, other: Path | str, expected: nib.Nifti1Image, remedy: str
) -> None:
    """Raise a ValueError that names both files when two images' voxels are not in the same places."""
    if image.shape[:3] != expected.shape[:3]:
        raise ValueError(f"{file}: a grid of {image.shape[:3]}; expected {expected.shape[:3]}, the grid of {other}")
    if not same_grid(image, expected):
        raise ValueError(f"{file}: lies elsewhere in space than {other} (their affines differ); {remedy}")


def header_tr(image: nib.Nifti1Image) -> float | None:
    """Return the repetition time in seconds that a header names; None where it names none."""
    seconds = float(image.header.get_zooms()[3]) * _SECONDS.get(image.header.get_xyzt_units()[1], 1.0)
    return seconds if seconds > 0 and np.isfinite(seconds) else None
