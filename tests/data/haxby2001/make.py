"""Write a miniature of the embedded Haxby et al. 2001 recording, in its exact layout.

    python tests/data/haxby2001/make.py FOLDER

Four runs of 64 volumes, eight categories in blocks of four volumes, 24 voxels that answer categories, and a whole brain
of eight voxels.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np

CATEGORIES = ["house", "scrambledpix", "cat", "shoe", "bottle", "scissors", "chair", "face"]  # by condition number
RUNS, REST, BLOCK, TR = 4, 4, 4, 2.5
SLICE, BRAIN = (6, 5, 1), (2, 3, 3)
SLICE_AFFINE = np.array([[-3.1, 0, 0, 60.45], [0, 3.75, 0, -35.625], [0, 0, 3.75, 0], [0, 0, 0, 1]])
BRAIN_AFFINE = np.array([[-25.0, 0, 0, 62.5], [0, 25, 0, -112.5], [0, 0, 25, -112.5], [0, 0, 0, 1]])


def make(folder: Path, seed: int = 0) -> None:
    """Write the miniature into ``folder``."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(CATEGORIES) for _ in range(RUNS)]
    labels = [label for order in orders for name in order for label in ["rest"] * REST + [name] * BLOCK]
    runs = np.repeat(np.arange(RUNS), len(labels) // RUNS)
    write_text(folder / "attributes_literal.txt", [f"{label} {run}" for label, run in zip(labels, runs, strict=True)])

    mask = _mask(SLICE, 24)
    _write_image(folder / "mask.nii.gz", mask, SLICE_AFFINE)
    _write_image(folder / "bold.nii.gz", _bold(mask, labels, rng), SLICE_AFFINE)

    layout = folder / "openfmri_layout"
    write_text(layout / "scan_key.txt", [f"TR {TR}"])
    conditions = [f"task001 cond{i:03d} {name}" for i, name in enumerate(CATEGORIES, start=1)]
    write_text(layout / "models/model001/condition_key.txt", conditions)
    brain = _mask(BRAIN, 8)
    _write_image(layout / "sub001/masks/25mm/brain.nii.gz", brain, BRAIN_AFFINE)
    bold = _bold(brain, labels, rng)
    for run, order in enumerate(orders):
        name = f"task001_run{run + 1:03d}"
        _write_image(layout / f"sub001/BOLD/{name}/bold_25mm.nii.gz", bold[..., runs == run], BRAIN_AFFINE)
        for condition, category in enumerate(CATEGORIES, start=1):
            onset = (np.flatnonzero(order == category)[0] * (REST + BLOCK) + REST) * TR
            file = layout / f"sub001/model/model001/onsets/{name}/cond{condition:03d}.txt"
            write_text(file, [f"{onset}\t{BLOCK * TR}\t1"])


def write_text(path: Path, lines: list[str]) -> None:
    """Write lines, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def _mask(shape: tuple[int, ...], voxels: int) -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) < voxels).astype(np.int16)


def _bold(mask: np.ndarray, labels: list[str], rng: np.random.Generator) -> np.ndarray:
    """Every category has a pattern of its own over the mask, under noise."""
    patterns = {name: rng.normal(0, 30, mask.shape) for name in CATEGORIES} | {"rest": np.zeros(mask.shape)}
    signal = np.stack([patterns[label] for label in labels], axis=-1)
    bold = 1000 + signal + rng.normal(0, 30, signal.shape)
    return (bold * mask[..., None]).round().astype(np.int16)


def _write_image(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, affine)
    if values.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], TR))
    nibabel.save(image, path)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
