"""Files of single-trial betas: NumPy arrays and 4-D NIfTI images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from nilearn.masking import apply_mask

from braindecode_x.datasets import images as nifti
from braindecode_x.datasets.images import image_values, is_nifti, open_image, refuse_other_grid

ENDINGS = (".npy", *nifti.ENDINGS)
TRIALS = "(x, y, z, trials)"
TO_BETAS = "resample it to the betas"


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
    return open_image(file, TRIALS).shape[3] if is_nifti(file) else len(_open_array(file))


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


def _read_images(files: Sequence[Path], mask: Path | None) -> list[np.ndarray]:
    images = [open_image(file, TRIALS) for file in files]
    for file, image in zip(files, images, strict=True):
        refuse_other_grid(file, image, files[0], images[0], TO_BETAS)
    inside = _varying(files, images) if mask is None else _read_mask(mask, files[0], images[0])
    mask_image = nib.Nifti1Image(inside.astype(np.uint8), images[0].affine)
    parts = []
    for file, image in zip(files, images, strict=True):  # one at a time: a session may take gigabytes
        whole = nib.Nifti1Image(image_values(file, image), images[0].affine)
        # nilearn would turn NaN into zero, which nobody would notice.
        parts.append(apply_mask(whole, mask_image, ensure_finite=False))
    return parts


def _varying(files: Sequence[Path], images: Sequence[nib.Nifti1Image]) -> np.ndarray:
    inside = np.ones(images[0].shape[:3], bool)
    for file, image in zip(files, images, strict=True):
        values = image_values(file, image)
        inside &= np.isfinite(values).all(axis=3) & (values != values[..., :1]).any(axis=3)
    if not inside.any():
        names = ", ".join(file.name for file in files[:3])
        raise ValueError(
            f"{files[0]}: no voxel is finite and changes over the trials of {names}; give a mask to say which to take"
        )
    return inside


def _read_mask(mask: Path, file: Path, image: nib.Nifti1Image) -> np.ndarray:
    if is_nifti(mask):
        mask_image = open_image(mask, "(x, y, z)")
        refuse_other_grid(mask, mask_image, file, image, TO_BETAS)
        values = image_values(mask, mask_image)
    else:
        values = np.asarray(_open_array(mask, "(x, y, z)"))
    if values.shape != image.shape[:3]:
        raise ValueError(f"{mask}: a mask of {values.shape}; expected {image.shape[:3]}, the grid of {file}")
    if not np.isfinite(values).all() or not values.any():
        raise ValueError(
            f"{mask}: expected a mask of zeros and ones, found no voxel inside, or values that are not finite"
        )
    return values != 0
