"""Write a miniature of the preprocessed THINGS-MEG, in its exact layout.

    python tests/data/things_meg/make.py FOLDER

Two participants, four training concepts and two test concepts of three pictures each, of which every one is shown once;
two more pictures, of the test concepts, are shown four times; two catch trials. 271 sensors, 281 samples. Each picture
evokes an answer of its own, 100 to 300 ms after its onset.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from PIL import Image

CONCEPTS = ("aardvark", "abacus", "bat1", "candle", "coat_rack", "vest")
TEST_CONCEPTS = ("bat1", "coat_rack")
EXEMPLARS = ("01b", "02s", "03s")
PARTICIPANTS = ("P1", "P2")
TEST_REPEATS, CATCHES, CATCH = 4, 2, 999999
SFREQ, TMIN, N_TIMES = 200, -0.1, 281


def make(folder: Path, seed: int = 0, metadata: bool = True) -> None:
    """Write epochs, pictures and the list of pictures into ``folder``; with or without the epochs' metadata."""
    rng = np.random.default_rng(seed)
    names = pictures()
    for name in names:
        file = folder / "images" / concept_of(name) / f"{name}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).resize((32, 32)).save(file)
    lines = [f"images/{concept_of(name)}/{name}.jpg" for name in names]
    (folder / "image_paths.csv").write_text("\n".join(lines) + "\n")
    for participant in PARTICIPANTS:
        trials = draw_trials(names, rng)
        signal = rng.normal(size=(len(trials), 271, N_TIMES))  # in baselines' standard deviations, as published
        times = TMIN + np.arange(N_TIMES) / SFREQ
        course = np.where((times > 0.1) & (times < 0.3), np.sin(np.pi * (times - 0.1) / 0.2), 0)
        patterns = rng.normal(0, 2, (len(names), 271))
        shown = trials["things_image_nr"].notna().to_numpy()
        numbers = trials["things_image_nr"].to_numpy()[shown].astype(int) - 1
        signal[shown] += patterns[numbers, :, None] * course
        codes = trials["things_image_nr"].fillna(CATCH).astype(int)
        events = np.column_stack([1200 + 1800 * np.arange(len(trials)), np.zeros(len(trials), int), codes])
        given = {"tmin": TMIN, "metadata": trials if metadata else None, "verbose": "error"}
        epochs = mne.EpochsArray(signal, helmet(), events, **given)
        epochs.save(folder / f"preprocessed_{participant}-epo.fif", overwrite=True, verbose="error")


def pictures() -> list[str]:
    """Name the pictures in the order of THINGS; test concepts have a fourth, the last, which is the test picture."""
    return [
        f"{concept}_{exemplar}"
        for concept in CONCEPTS
        for exemplar in (*EXEMPLARS, *(("13s",) if concept in TEST_CONCEPTS else ()))
    ]


def concept_of(name: str) -> str:
    return name.rpartition("_")[0]


def draw_trials(names: list[str], rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for number, name in enumerate(names, start=1):
        test = name.endswith("13s")
        path = f"images_test_meg/{name}.jpg" if test else f"images_meg/{concept_of(name)}/{name}.jpg"
        row = {
            "trial_type": "test" if test else "exp",
            "test_image_nr": float(TEST_CONCEPTS.index(concept_of(name)) + 1) if test else np.nan,
            "things_category_nr": float(CONCEPTS.index(concept_of(name)) + 1),
            "things_image_nr": float(number),
            "image_path": path,
        }
        rows += [row] * (TEST_REPEATS if test else 1)
    catch = {"trial_type": "catch", "image_path": "images_catch_meg/catch.jpg"}
    table = pd.DataFrame([*rows, *[catch] * CATCHES])
    table = table.iloc[rng.permutation(len(table))].reset_index(drop=True)
    return table.assign(session_nr=1 + np.arange(len(table)) % 2, run_nr=1)


def helmet() -> mne.Info:
    """Describe 271 axial gradiometers of a CTF helmet."""
    known = mne.channels.read_meg_canonical_info("ctf275", verbose=False)
    chosen = [ch for ch in known["chs"] if not ch["ch_name"].startswith(("MRO11", "MLF25", "MRF43"))]
    info = mne.create_info([ch["ch_name"].split("-")[0] + "-1609" for ch in chosen], SFREQ, "mag")
    for mine, theirs in zip(info["chs"], chosen, strict=True):
        mine.update(loc=theirs["loc"].copy(), coil_type=theirs["coil_type"], coord_frame=theirs["coord_frame"])
    return info


if __name__ == "__main__":
    make(Path(sys.argv[1]))
