"""Write a miniature of THINGS-EEG2, in its exact layout.

    python tests/data/things_eeg2/make.py FOLDER

Two subjects and two sessions, five training concepts of two pictures and three test concepts of one, 63 electrodes.
Each picture evokes an answer of its own, 100 to 300 ms after its onset, over all electrodes. Every session shows all
training pictures twice, and test pictures four times, every 500 ms, among targets.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
from PIL import Image

TRAINING = ("aardvark", "abacus", "bat1", "bat2", "candle")
TEST = ("aircraft_carrier", "antelope", "backscratcher")
EXEMPLARS = {"training": ("01b", "02s"), "test": ("06s",)}
CONCEPTS = {"training": TRAINING, "test": TEST}
REPEATS = {"training": 2, "test": 4}  # in a session
SUBJECTS, SESSIONS = ("sub-01", "sub-02"), ("ses-01", "ses-02")
TARGET = 99999
_ELECTRODES = """
Fp1 F3 F7 FT9 FC5 FC1 C3 T7 TP9 CP5 CP1 Pz P3 P7 O1 Oz O2 P4 P8 TP10 CP6 CP2 Cz C4 T8 FT10 FC6 FC2 F4 F8 Fp2 AF7
AF3 AFz F1 F5 FT7 FC3 FCz C1 C5 TP7 CP3 P1 P5 PO7 PO3 POz PO4 PO8 P6 P2 CPz CP4 TP8 C6 C2 FC4 FT8 F6 F2 AF4 AF8
"""
_FRONT_TO_BACK = """
Fp1 Fp2 AF7 AF3 AFz AF4 AF8 F7 F5 F3 F1 F2 F4 F6 F8 FT9 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8 FT10 T7 C5 C3 C1 Cz
C2 C4 C6 T8 TP9 TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 TP10 P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO3 POz PO4 PO8 O1 Oz O2
"""
ELECTRODES, FRONT_TO_BACK = _ELECTRODES.split(), _FRONT_TO_BACK.split()  # of the amplifier, of preprocessed arrays
SFREQ, SPACING = 1000, 500  # samples between pictures, so that baselines are free of the one before


def make(folder: Path, seed: int = 0) -> None:
    """Write pictures, raw recordings and preprocessed epochs into ``folder``."""
    rng = np.random.default_rng(seed)
    for part in CONCEPTS:
        write_pictures(folder / f"{part}_images", part, rng)
    for subject in SUBJECTS:
        patterns = {part: patterns_of(part, rng) for part in CONCEPTS}
        for session in SESSIONS:
            for part in CONCEPTS:
                file = folder / "Raw_data" / subject / session / f"raw_eeg_{part}.npy"
                file.parent.mkdir(parents=True, exist_ok=True)
                np.save(file, raw(part, patterns[part], rng))
        for part in CONCEPTS:
            file = folder / "Preprocessed_data_250Hz" / subject / f"preprocessed_eeg_{part}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as stream:  # a bare pickle, as published
                pickle.dump(preprocessed(part, patterns[part], rng), stream, protocol=4)


def write_pictures(folder: Path, part: str, rng: np.random.Generator) -> None:
    for number, concept in enumerate(CONCEPTS[part], start=1):
        for exemplar in EXEMPLARS[part]:
            file = folder / f"{number:05}_{concept}" / f"{concept}_{exemplar}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).resize((32, 32)).save(file)


def patterns_of(part: str, rng: np.random.Generator) -> np.ndarray:
    """Draw what each picture evokes in each electrode, (pictures, electrodes), volts."""
    return rng.normal(0, 4e-6, (len(CONCEPTS[part]) * len(EXEMPLARS[part]), len(ELECTRODES)))


def answer(times: np.ndarray) -> np.ndarray:
    """Return the course of an answer: a bump from 100 to 300 ms."""
    return np.where((times > 0.1) & (times < 0.3), np.sin(np.pi * (times - 0.1) / 0.2), 0)


def raw(part: str, patterns: np.ndarray, rng: np.random.Generator) -> dict:
    codes = np.concatenate([np.tile(np.arange(1, len(patterns) + 1), REPEATS[part]), [TARGET, TARGET]])
    codes = rng.permutation(codes)
    onsets = 700 + SPACING * np.arange(len(codes))
    signal = np.zeros((len(ELECTRODES) + 1, onsets[-1] + 1700))
    mixing = np.eye(len(ELECTRODES)) + 0.3 * rng.normal(size=(len(ELECTRODES),) * 2) / len(ELECTRODES) ** 0.5
    signal[:-1] = mixing @ rng.normal(0, 2e-6, (len(ELECTRODES), signal.shape[1]))
    for code, onset in zip(codes, onsets, strict=True):
        signal[-1, onset] = code
        if code != TARGET:
            signal[:-1, onset : onset + 400] += np.outer(patterns[code - 1], answer(np.arange(400) / SFREQ))
    return {
        "raw_eeg_data": signal,
        "ch_names": [*ELECTRODES, "stim"],
        "ch_types": ["eeg"] * len(ELECTRODES) + ["stim"],
        "sfreq": SFREQ,
        "highpass": 0.01,
        "lowpass": 100,
    }


def preprocessed(part: str, patterns: np.ndarray, rng: np.random.Generator) -> dict:
    times = -0.2 + np.arange(300) / 250
    order = [ELECTRODES.index(name) for name in FRONT_TO_BACK]
    evoked = patterns[:, order, None] * answer(times[50:]) / 2e-6  # noise has a standard deviation of 1
    shape = (len(patterns), REPEATS[part] * len(SESSIONS), *evoked.shape[1:])
    return {
        "preprocessed_eeg_data": evoked[:, None] + rng.normal(size=shape),
        "ch_names": list(FRONT_TO_BACK),
        "times": times,
    }


if __name__ == "__main__":
    make(Path(sys.argv[1]))
