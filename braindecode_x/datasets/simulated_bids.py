"""Simulated whole-brain runs as 4-D NIfTI in MNI space, in the layout of fMRIPrep's derivatives.

Format
    ``sub-01/ses-01/func/sub-01_ses-01_task-objects_run-01_space-MNI152NLin2009aSym_desc-preproc_bold.nii.gz`` with its
    JSON sidecar, and beside it ``*_desc-brain_mask.nii.gz``, ``*_events.tsv`` (``stim_file`` is the picture's id) and
    ``*_desc-confounds_timeseries.tsv``. Voxels of a sphere of the Seitzman atlas follow their parcel with noise of
    their own; the rest of the brain is noise.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.datasets import load_mni152_brain_mask, load_mni152_template
from rich.progress import track
from scipy.spatial import cKDTree

from braindecode_x.datasets.simulated_bold import MOTIONS, cosines
from braindecode_x.datasets.simulated_networks import SEEN
from braindecode_x.datasets.simulated_whole_brain import MeasuredRun, SimulatedWholeBrain
from braindecode_x.files import atomic_path, write_json, write_text
from braindecode_x.preprocessing.atlases import Atlas, open_atlas

SPACE = "MNI152NLin2009aSym"  # of nilearn's template
MNI = 4  # NIfTI's code of that space
LOWEST, CONTRAST = 6000.0, 4000.0  # scanner units: of the darkest voxel in the brain, and what the brightest has more
VOXEL_NOISE = 0.3  # percent signal change, standard deviation
DESCRIPTION = {
    "Name": "Simulated whole-brain fMRI",
    "BIDSVersion": "1.8.0",
    "DatasetType": "derivative",
    "GeneratedBy": [{"Name": "braindecode_x", "Description": "simulated, no brain was measured"}],
}


def export_bids(
    cohort: SimulatedWholeBrain,
    folder: str | Path,
    subjects: Sequence[str] | None = None,
    runs: str = "*",
    resolution: int = 4,
) -> Path:
    """Write runs as NIfTI, so that they can be preprocessed like a recording.

    Runs that are there already are left as they are, so that an export that was cut goes on. A run of 190 volumes at
    4 mm takes some 10 MB.

    Parameters
    ----------
    cohort : SimulatedWholeBrain
    folder : str or Path
        Made when missing.
    subjects : sequence of str, optional
        Default: all.
    runs : str
        Only those whose names match, for example ``"*_task-imagery_*"`` or ``"*_ses-01_*"``.
    resolution : int
        Edge of a voxel in mm.

    Returns
    -------
    Path
        The folder; with ``--pictures objects`` the command ``braindecode-x preprocess fmri`` takes it.

    Raises
    ------
    ValueError
        No such subject, no run matches, or a resolution below 1.
    """
    if resolution < 1:
        raise ValueError(f"resolution: expected 1 mm or more, found {resolution}")
    folder, written = Path(folder), 0
    for subject in cohort.subjects if subjects is None else subjects:
        for run in track(cohort.measured(subject, runs), f"{subject}: NIfTI", transient=True):
            write_run(run, folder, grid(resolution), cohort.seed)
            written += 1
    if not written:
        raise ValueError(f"runs: no run matches {runs!r}; names are like sub-01_ses-01_task-objects_run-01")
    write_json(folder / "dataset_description.json", DESCRIPTION)
    return folder


@cache
def grid(resolution: int) -> Grid:
    """Return the grid of voxels of some millimetres, made once."""
    return Grid(resolution)


class Grid:
    """Voxels in MNI space and the spheres in it.

    Parameters
    ----------
    resolution : int
        Millimetres.

    Attributes
    ----------
    affine : numpy.ndarray
        (4, 4).
    brain : numpy.ndarray
        (x, y, z) of bool: nilearn's brain mask, and the spheres that reach out of it.
    parcel : numpy.ndarray
        (voxels of the brain,) of int: number of the parcel, -1 outside of all.
    baseline : numpy.ndarray
        (voxels of the brain,) of float32, scanner units.
    """

    def __init__(self, resolution: int):
        template = load_mni152_template(resolution)
        self.affine = template.affine
        inside = np.asarray(load_mni152_brain_mask(resolution).dataobj) > 0
        parcel = spheres_of(open_atlas("seitzman"), self.affine, inside.shape)
        self.brain = inside | (parcel >= 0)
        self.parcel = parcel[self.brain]
        self.baseline = (LOWEST + CONTRAST * np.asarray(template.dataobj)[self.brain]).astype(np.float32)

    def image(self, values: np.ndarray, tr: float | None = None) -> nib.Nifti1Image:
        """Make an image of (x, y, z) or (x, y, z, volumes)."""
        image = nib.Nifti1Image(values, self.affine)
        image.set_sform(self.affine, MNI)
        image.set_qform(self.affine, MNI)
        image.header.set_xyzt_units("mm", "sec")
        if tr is not None:
            image.header.set_zooms((*image.header.get_zooms()[:3], tr))
        return image

    def bold(self, percent: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Give voxels the courses of their parcels (volumes, parcels): (x, y, z, volumes) of int16."""
        values = VOXEL_NOISE * rng.standard_normal((len(self.parcel), len(percent)), dtype=np.float32)
        member = self.parcel >= 0
        values[member] += percent.T[self.parcel[member]]
        values *= self.baseline[:, None] / 100
        volumes = np.zeros((*self.brain.shape, len(percent)), np.int16)
        volumes[self.brain] = np.rint(values + self.baseline[:, None])
        return volumes


def spheres_of(atlas: Atlas, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Say which sphere every voxel lies in, the nearest: (x, y, z) of int, -1 for none; each has its centre's voxel."""
    places = np.asarray(atlas.parcels.coordinates)
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    distance, nearest = cKDTree(places).query(nib.affines.apply_affine(affine, voxels))
    parcel = np.where(distance <= np.asarray(atlas.radii)[nearest], nearest, -1)
    centres = np.rint(nib.affines.apply_affine(np.linalg.inv(affine), places)).astype(int)
    parcel[tuple(centres.T)] = np.arange(len(places))
    return parcel


def write_run(run: MeasuredRun, folder: Path, where: Grid, seed: int) -> None:
    """Write a run with everything that belongs to it; the image comes last, and one that is there is left alone."""
    subject, session = run.name.split("_")[:2]
    func = folder / subject / session / "func"
    stem = f"{run.name}_space-{SPACE}_desc-"
    image = func / f"{stem}preproc_bold.nii.gz"
    if image.is_file():
        return
    if run.events is not None:
        _write_table(func / f"{run.name}_events.tsv", _events(run.events))
    _write_table(func / f"{run.name}_desc-confounds_timeseries.tsv", _confounds(run))
    write_json(func / f"{run.name}_desc-confounds_timeseries.json", {})
    task = run.name.split("_task-")[1].split("_")[0]
    about = {"RepetitionTime": run.tr, "TaskName": task, "StartTime": 0.0, "SkullStripped": True}
    write_json(func / f"{stem}preproc_bold.json", about)
    rng = np.random.default_rng([seed, 6, *run.name.encode()])
    mask = where.image(where.brain.astype(np.uint8))
    for file, made in (
        (func / f"{stem}brain_mask.nii.gz", mask),
        (image, where.image(where.bold(run.percent, rng), run.tr)),
    ):
        with atomic_path(file) as temporary:  # the time of writing stays out, so that the same run gives the same file
            temporary.write_bytes(gzip.compress(made.to_bytes(), compresslevel=1, mtime=0))


def _write_table(file: Path, table: pd.DataFrame) -> None:
    write_text(file, table.to_csv(sep="\t", index=False, na_rep="n/a"))


def _events(events: pd.DataFrame) -> pd.DataFrame:
    kinds = np.where(events["condition"] == SEEN, "picture", "imagery")
    table = events.drop(columns="condition").rename(columns={"stimulus": "stim_file"})
    table.insert(2, "trial_type", kinds)
    return table.replace({"prompt": {"": np.nan}})


def _confounds(run: MeasuredRun) -> pd.DataFrame:
    """Lay out confounds as fMRIPrep does."""
    table = run.confounds.copy()
    for name in MOTIONS:
        table[f"{name}_derivative1"] = table[name].diff()
        table[f"{name}_power2"] = table[name] ** 2
        table[f"{name}_derivative1_power2"] = table[f"{name}_derivative1"] ** 2
    table["global_signal"] = run.percent.mean(axis=1)
    return table.assign(**cosines(len(table), run.tr))
