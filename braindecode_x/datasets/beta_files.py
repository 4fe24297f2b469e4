"""Files of single-trial betas: NumPy arrays and 4-D NIfTI images."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nilearn.masking import apply_mask

ENDINGS = (".npy", ".nii", ".nii.gz")
_DAMAGE = (ImageFileError, OSError, EOFError, ValueError, zlib.error)


def is_nifti(file: Path) -> bool:
    """Say whether a file is a NIfTI image by its ending."""
    return file.name.lower().endswith((".nii", ".nii.gz"))


def n_trials(file: Path) -> int:
    """Count the trials of a file of betas without reading them.

    Parameters
    ----------
    file : Path
        ``.npy`` (trials, voxels), or ``.nii``, ``.nii.gz`` (x, y, z, trials).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        Another ending, a damaged file, or an array of another number of dimensions.
    """
    return _open_image(file).shape[3] if is_nifti(file) else len(_open_array(file))


def read_betas(files: Sequence[Path], mask: Path | None) -> list[np.ndarray]:
    """Read one subject's files of betas.

    Parameters
    ----------
    files : sequence of Path
        All ``.npy``, or all NIfTI on one grid.
    mask : Path or None
        For NIfTI: the voxels, a 3-D NIfTI image on the betas' grid or an (x, y, z) ``.npy``; not zero is inside.
        Default: the voxels that in every file are finite and not constant over its trials.

    Returns
    -------
    list of numpy.ndarray
        (trials, voxels) of real numbers each, with the same voxels; ``.npy`` files are memory-mapped.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        Files that do not fit each other or the mask, or a damaged one.
    """
    if all(is_nifti(file) for file in files):
        return _read_images(files, mask)
    if any(is_nifti(file) for file in files):
        raise ValueError(f"{files[0]}: one subject's betas are all .npy or all NIfTI; found both")
    if mask is not None:
        raise ValueError(f"{mask}: a mask is for NIfTI betas; found {files[0]}")
    arrays = [_open_array(file) for file in files]
    for file, array in zip(files, arrays, strict=True):
        if array.shape[1] != arrays[0].shape[1]:
            raise ValueError(
                f"{file}: {array.shape[1]} voxels; expected {arrays[0].shape[1]}, as {files[0]} of the same subject has"
            )
    return arrays


def _open_array(file: Path, dimensions: str = "(trials, voxels)") -> np.ndarray:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    if file.suffix.lower() != ".npy":
        raise ValueError(f"{file}: expected a file ending in {', '.join(ENDINGS)}")
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(
            f"{file}: damaged, or no NumPy array of numbers ({error}); write it with numpy.save"
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        found = array.dtype if isinstance(array, np.ndarray) else "an archive of arrays"
        raise ValueError(f"{file}: expected one array of real numbers, found {found}")
    if array.ndim != dimensions.count(",") + 1 or not array.size:
        raise ValueError(f"{file}: expected {dimensions}, found {array.ndim} dimensions, shape {array.shape}")
    return array


def _open_image(file: Path, dimensions: str = "(x, y, z, trials)") -> nib.Nifti1Image:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        image = nib.load(file)
    except _DAMAGE as error:
        raise ValueError(f"{file}: not a readable NIfTI image ({error})") from error
    if not isinstance(image, nib.Nifti1Image):
        raise ValueError(f"{file}: expected a NIfTI image, found {type(image).__name__}")
    if len(image.shape) != dimensions.count(",") + 1:
        raise ValueError(f"{file}: expected {dimensions}, found {len(image.shape)} dimensions, shape {image.shape}")
    return image


def _values(file: Path, image: nib.Nifti1Image) -> np.ndarray:
    try:
        return np.asarray(image.dataobj, dtype=np.float32)
    except _DAMAGE as error:
        raise ValueError(f"{file}: damaged, its values cannot be read ({error})") from error


def _read_images(files: Sequence[Path], mask: Path | None) -> list[np.ndarray]:
    images = [_open_image(file) for file in files]
    for file, image in zip(files, images, strict=True):
        _check_grid(file, image, files[0], images[0])
    inside = _varying(files, images) if mask is None else _read_mask(mask, files[0], images[0])
    mask_image = nib.Nifti1Image(inside.astype(np.uint8), images[0].affine)
    parts = []
    for file, image in zip(files, images, strict=True):  # one at a time: a session may take gigabytes
        whole = nib.Nifti1Image(_values(file, image), images[0].affine)
        # nilearn would turn NaN into zero, which nobody would notice.
        parts.append(apply_mask(whole, mask_image, ensure_finite=False))
    return parts


def _varying(files: Sequence[Path], images: Sequence[nib.Nifti1Image]) -> np.ndarray:
    inside = np.ones(images[0].shape[:3], bool)
    for file, image in zip(files, images, strict=True):
        values = _values(file, image)
        inside &= np.isfinite(values).all(axis=3) & (values != values[..., :1]).any(axis=3)
    if not inside.any():
        names = ", ".join(file.name for file in files[:3])
        raise ValueError(
            f"{files[0]}: no voxel is finite and changes over the trials of {names}; give a mask to say which to take"
        )
    return inside


def _read_mask(mask: Path, file: Path, image: nib.Nifti1Image) -> np.ndarray:
    if is_nifti(mask):
        mask_image = _open_image(mask, "(x, y, z)")
        _check_grid(mask, mask_image, file, image)
        values = _values(mask, mask_image)
    else:
        values = np.asarray(_open_array(mask, "(x, y, z)"))
    if values.shape != image.shape[:3]:
        raise ValueError(f"{mask}: a mask of {values.shape}; expected {image.shape[:3]}, the grid of {file}")
    if not np.isfinite(values).all() or not values.any():
        raise ValueError(
            f"{mask}: expected a mask of zeros and ones, found no voxel inside, or values that are not finite"
        )
    return values != 0


def _check_grid(file: Path, image: nib.Nifti1Image, other: Path, expected: nib.Nifti1Image) -> None:
    if image.shape[:3] != expected.shape[:3]:
        raise ValueError(f"{file}: a grid of {image.shape[:3]}; expected {expected.shape[:3]}, the grid of {other}")
    if not np.allclose(image.affine, expected.affine, atol=1e-3):
        raise ValueError(
            f"{file}: lies elsewhere in space than {other} (their affines differ); resample it to the betas"
        )
