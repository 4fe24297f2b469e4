"""A miniature of an fMRI study in BIDS with fMRIPrep's derivatives: 4-D images in MNI space, events, confounds.

``python make.py FOLDER``. Two subjects, the first with a resting run too; voxels of 12 mm, every 2 s. Picture number k
(from 1) makes the visual network answer with k percent of 100, convolved with Glover's response; all voxels follow the
head's movement. Answers follow with ``n/a`` for a picture. The first volume of run 2 was not in steady state.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.glm.first_level import compute_regressor
from PIL import Image

from braindecode_x.datasets.parcels import seitzman

CONCEPTS = ("ant", "bee", "cat", "dog", "elk")
PICTURES = tuple(f"{concept}/{concept}_{exemplar}.png" for concept in CONCEPTS for exemplar in (1, 2))
RUNS = {"01": ("task-look_run-1", "task-look_run-2", "task-rest"), "02": ("task-look_run-1",)}
TR, N_VOLUMES, FIRST, APART = 2.0, 90, 4.0, 16.0
SHAPE, VOXEL, ORIGIN = (15, 17, 14), 12.0, (-84.0, -120.0, -72.0)
AFFINE = np.array([[VOXEL, 0, 0, ORIGIN[0]], [0, VOXEL, 0, ORIGIN[1]], [0, 0, VOXEL, ORIGIN[2]], [0, 0, 0, 1]])
SPACE = "space-MNI152NLin2009cAsym"
MOVEMENT = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


def make_bids(root: Path, tr: float = TR) -> Path:
    """Write the study; the folder of derivatives is ``derivatives/fmriprep`` in it."""
    for number, picture in enumerate(PICTURES):
        file = root / "stimuli" / picture
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (20 * number, 255 - 20 * number, 120)).save(file)
    for folder, kind in ((root, "raw"), (root / "derivatives" / "fmriprep", "derivative")):
        folder.mkdir(parents=True, exist_ok=True)
        about = {"Name": "miniature", "BIDSVersion": "1.8.0", "DatasetType": kind}
        (folder / "dataset_description.json").write_text(json.dumps(about))
    for subject, runs in RUNS.items():
        for run in runs:
            _write_run(root, subject, run, tr)
    return root


def visual_voxels() -> np.ndarray:
    """Return which voxels answer, (x, y, z) of bool: those that hold the centre of a visual sphere."""
    places = seitzman().coordinates[seitzman().in_network("Visual")]
    voxels = np.rint(nib.affines.apply_affine(np.linalg.inv(AFFINE), places)).astype(int)
    answers = np.zeros(SHAPE, bool)
    answers[tuple(voxels.T)] = True
    return answers


def write_image(file: Path, values: np.ndarray, tr: float = TR, code: int = 4) -> Path:
    """Write an image on the study's grid; ``code`` of its space: 4 is MNI."""
    image = nib.Nifti1Image(values, AFFINE)
    image.set_sform(AFFINE, code)
    image.set_qform(AFFINE, code)
    if values.ndim == 4:
        image.header.set_zooms((*[VOXEL] * 3, tr))
        image.header.set_xyzt_units("mm", "sec")
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, file)
    return file


def write_labels(folder: Path) -> tuple[Path, Path]:
    """Write an atlas of labels and its table: 5 is all visual voxels, 2 and 9 are left and right of the others."""
    left = np.broadcast_to((np.arange(SHAPE[0]) < 7)[:, None, None], SHAPE)
    labels = np.where(visual_voxels(), 5, np.where(left, 2, 9)).astype(np.int16)
    table = folder / "atlas_dseg.tsv"
    table.write_text("index\tname\tnetwork\n2\tleft\tRest\n9\tright\tRest\n5\tseeing\tVis\n")
    return write_image(folder / "atlas_dseg.nii.gz", labels), table


def write_maps(folder: Path) -> tuple[Path, Path]:
    """Write an atlas of two maps, visual and other voxels, and its table without networks."""
    answers = visual_voxels()
    table = folder / "atlas_probseg.tsv"
    table.write_text("name\nseeing\nothers\n")
    maps = np.stack([answers, ~answers], axis=3).astype(np.float32)
    return write_image(folder / "atlas_probseg.nii.gz", maps), table


def shown(subject: str, run: str) -> np.ndarray:
    """Return the pictures of a run in order, numbers from 0."""
    return np.random.default_rng([int(subject), int(run[-1])]).permutation(len(PICTURES))


def _write_run(root: Path, subject: str, run: str, tr: float) -> None:
    stem, folder = f"sub-{subject}_{run}", root / "derivatives" / "fmriprep" / f"sub-{subject}" / "func"
    rng = np.random.default_rng([int(subject), len(run), ord(run[-1])])
    times = np.arange(N_VOLUMES) * tr
    movement = rng.standard_normal((N_VOLUMES, len(MOVEMENT))) * 0.3
    values = 100 + rng.standard_normal((*SHAPE, N_VOLUMES)) * 0.2 + 3 * movement[:, 0]
    if "look" in run:
        pictures = shown(subject, run)
        onsets = FIRST + APART * np.arange(len(pictures))
        design = np.array([onsets, np.ones(len(onsets)), pictures + 1.0])
        answer, _ = compute_regressor(design, "glover", times)
        values[visual_voxels()] += 10 * answer[:, 0]
        _write_events(root, subject, run, onsets, pictures)
    if run.endswith("2"):
        values[..., 0] += 40
    bold = write_image(folder / f"{stem}_{SPACE}_desc-preproc_bold.nii.gz", values.astype(np.float32), tr)
    sidecar = {"RepetitionTime": tr, "TaskName": "look", "StartTime": 0.0, "SkullStripped": False}
    bold.with_name(bold.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar))
    _write_confounds(folder / f"{stem}_desc-confounds_timeseries.tsv", movement, run.endswith("2"), rng)


def _write_events(root: Path, subject: str, run: str, onsets: np.ndarray, pictures: np.ndarray) -> None:
    lines = ["onset\tduration\ttrial_type\tstim_file"]
    for onset, picture in zip(onsets, pictures, strict=True):
        lines += [f"{onset:.2f}\t1.0\tpicture\t{PICTURES[picture]}", f"{onset + 2:.2f}\t0\tanswer\tn/a"]
    file = root / f"sub-{subject}" / "func" / f"sub-{subject}_{run}_events.tsv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def _write_confounds(file: Path, movement: np.ndarray, unsteady: bool, rng: np.random.Generator) -> None:
    table = pd.DataFrame(movement, columns=MOVEMENT)
    for name in MOVEMENT:
        table[f"{name}_derivative1"] = table[name].diff()
        table[f"{name}_power2"] = table[name] ** 2
        table[f"{name}_derivative1_power2"] = table[f"{name}_derivative1"] ** 2
    table[["csf", "white_matter"]] = rng.standard_normal((len(table), 2))
    table["cosine00"] = np.cos(np.pi * (np.arange(len(table)) + 0.5) / len(table))
    if unsteady:
        table["non_steady_state_outlier00"] = (np.arange(len(table)) == 0).astype(int)
    table.to_csv(file, sep="\t", index=False, na_rep="n/a")
    file.with_suffix(".json").write_text("{}")


if __name__ == "__main__":
    make_bids(Path(sys.argv[1]))
