"""THINGS-EEG2: ten people who saw 16,740 photographs of objects, 63 electrodes.

Format
    ``Raw_data/sub-01/ses-01/raw_eeg_training.npy`` and ``raw_eeg_test.npy``: pickled dictionaries with
    ``raw_eeg_data`` (64 channels, samples) of float64 in volts, ``ch_names``, ``ch_types`` (63 ``eeg``, one ``stim``)
    and ``sfreq`` (1,000 Hz). The stimulus channel holds, for one sample at its onset, a picture's number from 1 on
    within its partition, in the order of the folders of pictures; 99999 is a target to be counted, and no picture.
    ``Preprocessed_data_250Hz/sub-01/preprocessed_eeg_training.npy`` and ``preprocessed_eeg_test.npy``: bare pickles,
    whatever their ending says, of dictionaries with ``preprocessed_eeg_data`` (pictures, repeats, 63 channels, 250
    samples), ``ch_names`` and ``times``, which is 50 samples longer than the data: it begins at -0.2 s, they at 0 s.
    ``training_images/00001_aardvark/aardvark_01b.jpg`` and ``test_images/00001_aircraft_carrier/...``: the pictures.
Splits
    As published, by concept: 1,654 training concepts (10 pictures, shown 4 times each) and 200 test concepts (1
    picture, shown 80 times). Some training concepts are drawn for validation.
Citation
    Gifford, A. T., Dwivedi, K., Roig, G., & Cichy, R. M. (2022). A large and rich EEG dataset for modeling human visual
    object recognition. NeuroImage, 264, 119754.
Licence
    See ``data_cards/things_eeg2.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd

from braindecode_x.datasets.epoch_files import channel_rows, set_montage
from braindecode_x.datasets.epochs import EpochsCohort, SubjectEpochs
from braindecode_x.datasets.recordings import Recordings, Run
from braindecode_x.datasets.restricted_pickle import read_pickled_dictionary
from braindecode_x.datasets.things_channels import MONTAGE
from braindecode_x.datasets.things_pictures import draw_concepts, things_pictures
from braindecode_x.files import unknown_name
from braindecode_x.stimuli import FileStimuli

PARTITIONS = ("training", "test")
RAW, PREPROCESSED = "Raw_data", "Preprocessed_data_250Hz"
TARGET = 99999  # the event of a target picture

# The order of the preprocessed arrays, from the front to the back of the head; the raw ones have that of the amplifier.
_NAMES = """
Fp1 Fp2 AF7 AF3 AFz AF4 AF8 F7 F5 F3 F1 F2 F4 F6 F8 FT9 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8 FT10 T7 C5 C3 C1 Cz C2 C4 C6
T8 TP9 TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 TP10 P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO3 POz PO4 PO8 O1 Oz O2
"""
CHANNELS = tuple(_NAMES.split())


class _Pictures:
    """What both layouts share: subjects, pictures and splits."""

    name = "things-eeg2"

    def __init__(
        self,
        folder: str | Path,
        layout: str,
        subjects: Sequence[str] | None,
        pictures: str | Path | None,
        validation_concepts: int,
        seed: int,
    ):
        self.folder = Path(folder)
        there = self.folder / layout
        if not there.is_dir():
            raise FileNotFoundError(f"{there}: no such folder; expected {layout}/sub-01 and so on in {self.folder}")
        found = sorted(path.name for path in there.glob("sub-*") if path.is_dir())
        if not found:
            raise FileNotFoundError(f"{there}: holds no subject; expected folders sub-01 and so on")
        for name in subjects or ():
            if name not in found:
                raise unknown_name("subject", name, found)
        self.subjects = tuple(subjects or found)
        tables = {part: things_pictures(Path(pictures or folder) / f"{part}_images") for part in PARTITIONS}
        held_out = draw_concepts(tables["training"]["concept"], validation_concepts, seed)
        drawn = tables["training"]["concept"].isin(held_out)
        tables["training"]["split"] = np.where(drawn, "validation", "train")
        tables["test"]["split"] = "test"
        self.tables = tables
        self.stimuli = FileStimuli(self.name, pd.concat(tables.values()))

    def require(self, subject: str) -> None:
        if subject not in self.subjects:
            raise unknown_name("subject", subject, self.subjects)


class ThingsEeg2(EpochsCohort):
    """The preprocessed epochs of THINGS-EEG2, as the authors of NICE and ATM made them.

    A subject takes 5.2 GB of memory (20 GB while it is read, as its files are in double precision).

    Parameters
    ----------
    folder : str or Path
        With ``Preprocessed_data_250Hz/``.
    subjects : sequence of str, optional
        For example ``["sub-01"]``; default all that are there.
    pictures : str or Path, optional
        With ``training_images/`` and ``test_images/``; default the same folder.
    channels : sequence of str
        Found by name and put in this order; default the published 63 in the order that published decoders expect.
    validation_concepts : int
        How many of the training concepts are held out for validation.
    seed : int
        Draws them.

    Raises
    ------
    FileNotFoundError
        A folder, or later a file, does not exist.
    ValueError
        Unknown subjects or channels; later, files that are damaged, poisoned, or do not fit the pictures.

    Examples
    --------
    >>> subject = ThingsEeg2("things_eeg2").subject("sub-01")  # doctest: +SKIP
    >>> subject.epochs.shape  # doctest: +SKIP
    (82160, 63, 250)
    """

    def __init__(
        self,
        folder: str | Path,
        subjects: Sequence[str] | None = None,
        pictures: str | Path | None = None,
        channels: Sequence[str] = CHANNELS,
        validation_concepts: int = 100,
        seed: int = 0,
    ):
        self._pictures = _Pictures(folder, PREPROCESSED, subjects, pictures, validation_concepts, seed)
        self.subjects, self.stimuli = self._pictures.subjects, self._pictures.stimuli
        self.channels = tuple(channels)

    def subject(self, name: str) -> SubjectEpochs:
        """Read one subject; every repeat is a trial, numbered from 0 in the column ``repeat``.

        Parameters
        ----------
        name : str
            One of ``subjects``.
        """
        self._pictures.require(name)
        parts = []
        for partition, pictures in self._pictures.tables.items():
            file = self._pictures.folder / PREPROCESSED / name / f"preprocessed_eeg_{partition}.npy"
            parts.append(self._read(file, pictures))
        (train, *layout), (test, *other) = parts
        if layout != other or train[0].shape[1:] != test[0].shape[1:]:
            raise ValueError(f"{file}: sampling rate, start or length differ from those of the training partition")
        info = mne.create_info(list(self.channels), layout[0], "eeg")
        set_montage(info, MONTAGE)
        epochs, trials = np.concatenate([train[0], test[0]]), pd.concat([train[1], test[1]], ignore_index=True)
        return SubjectEpochs(name, epochs, trials, info, layout[1])

    def _read(self, file: Path, pictures: pd.DataFrame) -> tuple[tuple[np.ndarray, pd.DataFrame], float, float]:
        """Return epochs and trials of a partition, sampling rate and start."""
        content = _read(file, ("preprocessed_eeg_data", "ch_names", "times"))
        signal, names, times = (content[key] for key in ("preprocessed_eeg_data", "ch_names", "times"))
        expected = f"({len(pictures)} pictures, repeats, {len(names)} channels, times)"
        if signal.ndim != 4 or signal.shape[0] != len(pictures) or signal.shape[2] != len(names):
            raise ValueError(f"{file}: expected preprocessed_eeg_data of {expected}, found {signal.shape}")
        n_times = signal.shape[3]
        if np.ndim(times) != 1 or not 2 <= n_times <= len(times):
            raise ValueError(f"{file}: expected times of {n_times} samples or more, found {np.shape(times)}")
        rows = channel_rows(file, names, self.channels)
        repeats = signal.shape[1]
        epochs = np.empty((len(pictures), repeats, len(rows), n_times), np.float32)
        for picture, trials in zip(epochs, signal, strict=True):
            picture[:] = trials[:, rows]
        table = pd.DataFrame(
            {
                "stimulus": np.repeat(pictures.index.to_numpy(), repeats),
                "split": np.repeat(pictures["split"].to_numpy(), repeats),
                "repeat": np.tile(np.arange(repeats), len(pictures)),
            }
        )
        sfreq = round((len(times) - 1) / float(times[-1] - times[0]), 3)
        flat = epochs.reshape(-1, len(rows), n_times)
        return (flat, table), sfreq, round(float(times[len(times) - n_times]), 6)


class ThingsEeg2Recordings(Recordings):
    """The raw recordings of THINGS-EEG2, which `braindecode_x.preprocessing` turns into epochs.

    Parameters
    ----------
    folder : str or Path
        With ``Raw_data/``.
    subjects, pictures, validation_concepts, seed
        As `ThingsEeg2` takes them.

    Raises
    ------
    FileNotFoundError
        A folder, or later a file, does not exist.
    ValueError
        Unknown subjects; later, files that are damaged or poisoned, or events without a picture.
    """

    name = _Pictures.name

    def __init__(
        self,
        folder: str | Path,
        subjects: Sequence[str] | None = None,
        pictures: str | Path | None = None,
        validation_concepts: int = 100,
        seed: int = 0,
    ):
        self._pictures = _Pictures(folder, RAW, subjects, pictures, validation_concepts, seed)
        self.subjects, self.stimuli = self._pictures.subjects, self._pictures.stimuli

    def sessions(self, subject: str) -> tuple[str, ...]:
        """Name a subject's sessions."""
        self._pictures.require(subject)
        there = self._pictures.folder / RAW / subject
        found = tuple(sorted(path.name for path in there.glob("ses-*") if path.is_dir()))
        if not found:
            raise FileNotFoundError(f"{there}: holds no session; expected folders ses-01 and so on")
        return found

    def runs(self, subject: str, session: str) -> Iterator[Run]:
        """Read the training and the test partition of a session."""
        self._pictures.require(subject)
        for partition, pictures in self._pictures.tables.items():
            file = self._pictures.folder / RAW / subject / session / f"raw_eeg_{partition}.npy"
            raw = _read_raw(file)
            yield Run(f"{subject} {session} {partition}", raw, _read_trials(file, raw, pictures))


def _read(file: Path, keys: Sequence[str]) -> dict[str, Any]:
    content = read_pickled_dictionary(file)
    missing = [key for key in keys if key not in content]
    if missing:
        raise ValueError(f"{file}: expected a dictionary with {', '.join(keys)}; found {', '.join(map(str, content))}")
    signal = np.asarray(content[keys[0]])
    if signal.dtype.kind != "f":
        raise ValueError(f"{file}: expected {keys[0]} of real numbers, found {signal.dtype}")
    return {**content, keys[0]: signal, "ch_names": [str(name) for name in content["ch_names"]]}


def _read_raw(file: Path) -> mne.io.RawArray:
    content = _read(file, ("raw_eeg_data", "ch_names", "ch_types", "sfreq"))
    signal, names, types = content["raw_eeg_data"], content["ch_names"], [str(kind) for kind in content["ch_types"]]
    if signal.ndim != 2 or not len(signal) == len(names) == len(types):
        raise ValueError(
            f"{file}: expected raw_eeg_data of (channels, samples) with a name and a type for each channel, found "
            f"{signal.shape}, {len(names)} names and {len(types)} types"
        )
    channel_rows(file, names, names)  # mne would rename channels that are named twice
    wrong = sorted(set(types) - {"eeg", "stim"})
    if wrong or types.count("stim") != 1:
        raise ValueError(f"{file}: expected channels of type eeg and one of type stim, found {sorted(types)[-3:]}")
    info = mne.create_info(names, float(content["sfreq"]), types)
    set_montage(info, MONTAGE, str(file))
    return mne.io.RawArray(signal, info, copy="auto", verbose="error")


def _read_trials(file: Path, raw: mne.io.BaseRaw, pictures: pd.DataFrame) -> pd.DataFrame:
    row = mne.pick_types(raw.info, meg=False, stim=True)
    if not np.isfinite(raw.get_data(picks=row, verbose="error")).all():
        raise ValueError(f"{file}: the stimulus channel holds values that are not finite")
    options = {"shortest_event": 1, "consecutive": True, "initial_event": True, "verbose": "error"}
    events = mne.find_events(raw, [raw.ch_names[row[0]]], **options)
    events = events[events[:, 2] != TARGET]
    strange = np.unique(events[(events[:, 2] < 1) | (events[:, 2] > len(pictures)), 2])
    if len(strange):
        raise ValueError(
            f"{file}: events without a picture: {', '.join(map(str, strange[:10]))}; expected 1 to {len(pictures)}, "
            f"the pictures in their folder, and {TARGET}, a target"
        )
    shown = pictures.iloc[events[:, 2] - 1]
    return pd.DataFrame(
        {"sample": events[:, 0], "stimulus": shown.index.to_numpy(), "split": shown["split"].to_numpy()}
    )
