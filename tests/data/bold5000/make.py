"""Write a miniature of BOLD5000 in its two distributed layouts.

    python tests/data/bold5000/make.py FOLDER

Two people; nine training pictures, shown once, and three repeated pictures, shown four times (three times to the
second, who also saw one of them in a trial for training). ``FOLDER/tars``: as distributed with the whole-brain paper,
trials of five volumes of 1,024 parcels (here 16), with the visual voxels (here 7 and 5). ``FOLDER/own``: betas of ten
regions, lists of pictures, and the pictures.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import webdataset
from PIL import Image

TRAINING = ("COCO_train2014_1.jpg", "COCO_train2014_2.jpg", "COCO_train2014_3.jpg", "n01440764_1.JPEG",
            "n01440764_2.JPEG", "n02110958_7.JPEG", "airportterminal1.jpg", "bakery2.jpg", "barn3.jpg")  # fmt: skip
REPEATED = ("COCO_train2014_9.jpg", "n07768694_5.JPEG", "volcano4.jpg")
SUBJECTS = {"CSI1": (7, 4), "CSI2": (5, 3)}  # visual voxels, repeats
PARCELS, VOLUMES, TR = 16, 5, 2.0
REGIONS = {"EarlyVis": (3, 4), "LOC": (2, 2), "OPA": (1, 2), "PPA": (2, 1), "RSC": (1, 1)}  # voxels left and right
PER_TAR = 4


def make(folder: Path, seed: int = 0) -> None:
    """Write both layouts into ``folder``."""
    write_tars(folder / "tars", seed)
    write_own(folder / "own", seed)


def source_of(name: str) -> str:
    """Say which set a picture is from."""
    return "COCO" if name.startswith("COCO") else "ImageNet" if name.startswith("n0") else "Scene"


def picture(name: str) -> Image.Image:
    """Draw a picture of one colour for each name."""
    colour = np.random.default_rng(sum(name.encode())).integers(0, 255, 3, dtype=np.uint8)
    return Image.fromarray(np.broadcast_to(colour, (24, 24, 3)).copy())


def shown_to(subject: str, rng: np.random.Generator) -> list[str]:
    """Return the pictures of a subject's trials in order."""
    return rng.permutation([*TRAINING, *REPEATED * SUBJECTS[subject][1]]).tolist()


def write_tars(folder: Path, seed: int) -> None:
    """Write the layout of the whole-brain paper."""
    for number, (subject, (voxels, _)) in enumerate(SUBJECTS.items()):
        rng = np.random.default_rng((seed, number))
        shown = shown_to(subject, rng)
        late = shown.index(REPEATED[0]) if subject == "CSI2" else None
        test = [place for place, name in enumerate(shown) if name in REPEATED and place != late]
        train = [place for place in range(len(shown)) if place not in test]
        for split, places in (("train", train), ("test", test)):
            (folder / subject / split).mkdir(parents=True)
            for start in range(0, len(places), PER_TAR):
                with webdataset.TarWriter(str(folder / subject / split / f"{subject}_{split}_{start:04d}.tar")) as tar:
                    for place in places[start : start + PER_TAR]:
                        tar.write(trial(f"{subject}_trial{place:04d}", shown[place], voxels, rng))


def trial(key: str, name: str, voxels: int, rng: np.random.Generator) -> dict:
    """Make the members of a trial, whose activity tells its picture."""
    own = np.random.default_rng(sum(name.encode()))
    png = io.BytesIO()
    picture(name).save(png, format="PNG")
    bold = own.standard_normal(PARCELS) + 0.3 * rng.standard_normal((VOLUMES, PARCELS))
    return {
        "__key__": key,
        "bold.pyd": bold.astype(np.float32),
        "t_r.pyd": np.float32(TR),
        "voxel.pyd": (own.standard_normal(voxels) + 0.3 * rng.standard_normal(voxels))[None],
        "stimuli.png": png.getvalue(),
        "config.json": {"label": source_of(name).lower(), "img_name": name},
    }


def write_own(folder: Path, seed: int) -> None:
    """Write the layout of release 2.0; the lists put ``rep_`` before repeated pictures."""
    stimuli = folder / "BOLD5000_Stimuli"
    scenes = stimuli / "Scene_Stimuli"
    for name in (*TRAINING, *REPEATED):
        file = scenes / "Presented_Stimuli" / source_of(name) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(name).save(file)
    (scenes / "repeated_stimuli_113_list.txt").write_text("\n".join(REPEATED) + "\n")
    betas = folder / "BOLD5000_GLMsingle_ROI_betas" / "py"
    betas.mkdir(parents=True)
    for number, subject in enumerate(SUBJECTS):
        rng = np.random.default_rng((seed, number))
        shown = shown_to(subject, rng)
        lines = [f"rep_{name}" if name in REPEATED else name for name in shown]
        runs = np.array_split(lines, 4)
        for place, run in enumerate(runs):
            session = stimuli / "Stimuli_Presentation_Lists" / subject / f"{subject}_sess{place // 2 + 1:02d}"
            session.mkdir(parents=True, exist_ok=True)
            file = session / f"{subject}_sess{place // 2 + 1:02d}_run{place % 2 + 1:02d}.txt"
            file.write_text("\n".join(run) + "\n")
        for area, (left, right) in REGIONS.items():
            for side, voxels in (("LH", left), ("RH", right)):
                values = rng.standard_normal((len(shown), voxels)).astype(np.float32)
                np.save(betas / f"{subject}_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_{side}{area}.npy", values)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
