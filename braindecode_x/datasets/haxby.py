"""The embedded real recording: one subject of Haxby et al. 2001 looking at eight categories.

Format
    ``bold.nii.gz``: 4D NIfTI, all runs one after the other, one slice at full resolution; ``mask.nii.gz``: its voxels;
    ``attributes_literal.txt``: label and run of each volume, separated by a space.
    ``openfmri_layout/``: per run the whole brain at 25 mm and the blocks' onsets and durations in seconds.
    Labels and onsets are already shifted to the response; see `Haxby2001.onset_shift`.
Splits
    Leave one run out: each of the 12 runs shows every category once, in a block of 9 volumes.
Citation
    Haxby, J. V., Gobbini, M. I., Furey, M. L., Ishai, A., Schouten, J. L., & Pietrini, P. (2001). Distributed and
    overlapping representations of faces and objects in ventral temporal cortex. Science, 293(5539), 2425-2430.
Licence
    CC BY-SA 3.0, copyright of the authors; see ``assets/haxby2001/ATTRIBUTION.md`` and ``data_cards/haxby2001.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
import pandas as pd
from nilearn.maskers import NiftiMasker

from braindecode_x.resources import asset

REST = "rest"


class Recording(NamedTuple):
    """Masked BOLD with what was seen.

    Attributes
    ----------
    bold : numpy.ndarray
        (volumes, voxels) of float32, scanner units.
    labels : numpy.ndarray
        (volumes,) of str: a category or ``"rest"``.
    runs : numpy.ndarray
        (volumes,) of int.
    tr : float
        Seconds from one volume to the next.
    masker : nilearn.maskers.NiftiMasker
        Fitted; ``masker.inverse_transform`` puts values back into the image.
    """

    bold: np.ndarray
    labels: np.ndarray
    runs: np.ndarray
    tr: float
    masker: NiftiMasker


class Haxby2001:
    """One subject of Haxby et al. 2001, reduced.

    Parameters
    ----------
    folder : str or Path, optional
        A folder in the layout that the module describes; default the embedded recording.

    Attributes
    ----------
    onset_shift : float
        Seconds to add to the onsets before they are convolved with a haemodynamic response: they are given already
        shifted to it. Labels of volumes are used as they are.

    Raises
    ------
    FileNotFoundError
        The folder, or later a file of it, does not exist.

    Examples
    --------
    >>> recording = Haxby2001().volumes()
    >>> recording.bold.shape
    (1452, 530)
    """

    onset_shift = -5.0

    def __init__(self, folder: str | Path | None = None):
        self.folder = asset("haxby2001") if folder is None else Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder}: no such folder of a recording")

    def volumes(self) -> Recording:
        """Read all volumes of the slice at full resolution, rest included.

        Raises
        ------
        ValueError
            Mask and BOLD do not lie on one grid, or labels and volumes differ in number.
        """
        labels, runs = self._attributes()
        bold = self._file("bold.nii.gz")
        masker = self._masker("mask.nii.gz")
        return self._recording([bold], masker, labels, runs)

    def whole_brain(self) -> Recording:
        """Read all volumes of the whole brain at 25 mm (scanner space), rest included.

        Raises
        ------
        ValueError
            Mask and BOLD do not lie on one grid, or labels and volumes differ in number.
        """
        labels, runs = self._attributes()
        folder = "openfmri_layout/sub001"
        images = [self._file(f"{folder}/BOLD/{_run_name(run)}/bold_25mm.nii.gz") for run in np.unique(runs)]
        return self._recording(images, self._masker(f"{folder}/masks/25mm/brain.nii.gz"), labels, runs)

    def events(self, run: int) -> pd.DataFrame:
        """Read the blocks of one run as nilearn's GLM takes them.

        Parameters
        ----------
        run : int
            As in `Recording.runs`, from 0.

        Returns
        -------
        pandas.DataFrame
            Columns ``onset`` and ``duration`` (seconds from the run's first volume) and ``trial_type`` (the category),
            in order of onset. Onsets are given as recorded, already shifted to the response: add `onset_shift`.

        Raises
        ------
        ValueError
            No such run.
        """
        known = np.unique(self._attributes()[1])
        if run not in known:
            raise ValueError(f"{self.folder}: no run {run}; found {known.min()} to {known.max()}")
        keys_file = self._file("openfmri_layout/models/model001/condition_key.txt")
        keys = _read_table(keys_file, {"task": str, "condition": str, "trial_type": str})
        tables = []
        for condition, trial_type in zip(keys["condition"], keys["trial_type"], strict=True):
            file = self._file(f"openfmri_layout/sub001/model/model001/onsets/{_run_name(run)}/{condition}.txt")
            table = _read_table(file, {"onset": float, "duration": float, "weight": float})
            tables.append(table.drop(columns="weight").assign(trial_type=trial_type))
        return pd.concat(tables).sort_values("onset", ignore_index=True)

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{path}: this file of the Haxby 2001 recording is missing")
        return path

    def _attributes(self) -> tuple[np.ndarray, np.ndarray]:
        table = _read_table(self._file("attributes_literal.txt"), {"label": str, "run": int})
        return table["label"].to_numpy(dtype=str), table["run"].to_numpy()

    def _masker(self, name: str) -> NiftiMasker:
        return NiftiMasker(self._file(name), standardize=None, dtype="float32").fit()

    def _recording(self, images: list[Path], masker: NiftiMasker, labels: np.ndarray, runs: np.ndarray) -> Recording:
        for image in images:
            refuse_other_grid(image, masker)
        bold = np.concatenate([masker.transform(image) for image in images])
        if len(bold) != len(labels):
            raise ValueError(
                f"{self.folder / 'attributes_literal.txt'}: {len(labels)} labels, but "
                f"{images[0].name} has {len(bold)} volumes; expected one label a volume"
            )
        return Recording(bold, labels, runs, _repetition_time(images[0]), masker)


def _run_name(run: int) -> str:
    return f"task001_run{run + 1:03d}"


def _read_table(path: Path, columns: dict[str, type]) -> pd.DataFrame:
    """Read a text table without header whose columns are separated by white space."""
    try:
        table = pd.read_csv(path, sep=r"\s+", header=None)
        if table.shape[1] != len(columns):
            raise ValueError(f"found {table.shape[1]} columns")
        return table.set_axis(list(columns), axis=1).astype(columns)
    except ValueError as error:  # pandas' own parser errors are ValueErrors
        expected = ", ".join(f"{name} ({kind.__name__})" for name, kind in columns.items())
        raise ValueError(f"{path}: expected the columns {expected}; {error}") from error


def refuse_other_grid(image: Path, masker: NiftiMasker) -> None:
    """Refuse a mask of another shape or position; the masker would resample it without a word."""
    bold, mask = nibabel.Nifti1Image.from_filename(image), masker.mask_img_
    if bold.ndim != 4 or bold.shape[:3] != mask.shape:
        raise ValueError(f"{image}: shape {bold.shape} does not fit its mask's {mask.shape}; expected (*mask, volumes)")
    if not np.allclose(bold.affine, mask.affine, atol=1e-3):
        raise ValueError(f"{image}: its affine differs from its mask's; expected one grid for both")


def _repetition_time(image: Path) -> float:
    seconds = float(nibabel.Nifti1Image.from_filename(image).header.get_zooms()[3])
    if not seconds > 0:
        raise ValueError(f"{image}: repetition time {seconds} in the header; expected seconds above 0")
    return seconds
