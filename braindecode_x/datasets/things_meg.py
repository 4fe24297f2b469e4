"""THINGS-MEG: four people who saw 22,448 photographs of objects, 271 sensors.

Format
    ``preprocessed_P1-epo.fif`` to ``P4`` (and the parts that mne divided them into): epochs from -0.1 to 1.3 s at 200
    Hz, band-passed from 0.1 to 40 Hz, in standard deviations of the baseline. A trial's event is its picture's number
    in THINGS, from 1 on; 999999 is a catch trial, which showed none. Their metadata (``sample_attributes_P1.csv``) have
    ``trial_type`` (exp, test or catch) and ``image_path`` (``images_meg/vest/vest_10s.jpg``).
    ``image_paths.csv`` of THINGS (osf.io/jum2f, ``Metadata/Image-specific/``), without a header: ``images/aardvark/
    aardvark_01b.jpg`` and so on, one picture a line, in the order of these numbers. It is needed where epochs come
    without metadata.
    ``images/aardvark/aardvark_01b.jpg``: the pictures of THINGS.
Splits
    The zero-shot split of THINGS: of 1,854 concepts, 200 have a test picture, shown 12 times. The pictures of these
    concepts that were shown once are left out; of the other 1,654 (12 pictures, shown once), some are drawn for
    validation.
Citation
    Hebart, M. N., Contier, O., Teichmann, L., Rockter, A. H., Zheng, C. Y., Kidder, A., Corriveau, A.,
    Vaziri-Pashkam, M., & Baker, C. I. (2023). THINGS-data, a multimodal collection of large-scale datasets for
    investigating object representations in human brain and behavior. eLife, 12, e82580.
Licence
    See ``data_cards/things_meg.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from braindecode_x.datasets.epoch_files import open_epochs, read_signal
from braindecode_x.datasets.epochs import EpochsCohort, SubjectEpochs
from braindecode_x.datasets.things_pictures import draw_concepts, things_pictures
from braindecode_x.files import unknown_name
from braindecode_x.stimuli import FileStimuli

CATCH = 999999  # the event of a catch trial
FILE = "preprocessed_{}-epo.fif"


class ThingsMeg(EpochsCohort):
    """The preprocessed epochs of THINGS-MEG.

    A subject takes 7 GB of memory.

    Parameters
    ----------
    folder : str or Path
        With ``preprocessed_P1-epo.fif`` and so on.
    pictures : str or Path
        With one folder a concept, the ``images/`` of THINGS.
    image_paths : str or Path, optional
        THINGS' list of pictures, see the module. Without it the epochs' metadata say what was shown.
    subjects : sequence of str, optional
        For example ``["P1"]``; default all that are there.
    validation_concepts : int
        How many of the training concepts are held out for validation.
    seed : int
        Draws them.

    Raises
    ------
    FileNotFoundError
        A folder or a file does not exist.
    ValueError
        Unknown subjects, damaged files, or trials without a picture.

    Examples
    --------
    >>> subject = ThingsMeg("things_meg", "things/images").subject("P1")  # doctest: +SKIP
    >>> subject.epochs.shape  # doctest: +SKIP
    (22248, 271, 281)
    """

    def __init__(
        self,
        folder: str | Path,
        pictures: str | Path,
        image_paths: str | Path | None = None,
        subjects: Sequence[str] | None = None,
        validation_concepts: int = 100,
        seed: int = 0,
    ):
        self.folder = Path(folder)
        first, last = FILE.split("{}")
        found = sorted(path.name[len(first) : -len(last)] for path in self.folder.glob(FILE.format("*")))
        if not found:
            raise FileNotFoundError(f"{self.folder}: expected {FILE.format('P1')} and so on; found none")
        for name in subjects or ():
            if name not in found:
                raise unknown_name("subject", name, found)
        self.subjects = tuple(subjects or found)
        listed = None if image_paths is None else _read_list(Path(image_paths))
        self._trials = {name: _read_trials(self._file(name), listed) for name in self.subjects}
        self.stimuli = self._join(things_pictures(pictures), Path(pictures), validation_concepts, seed)

    def subject(self, name: str) -> SubjectEpochs:
        """Read one subject; trials have the column ``session``, where the metadata say so.

        Parameters
        ----------
        name : str
            One of ``subjects``.
        """
        if name not in self.subjects:
            raise unknown_name("subject", name, self.subjects)
        epochs, trials = open_epochs(self._file(name)), self._trials[name]
        signal = read_signal(epochs, trials["row"].to_numpy(), self._file(name))
        kept = trials.drop(columns=["row", "test"]).reset_index(drop=True)
        return SubjectEpochs(name, signal, kept, epochs.info, float(epochs.tmin))

    def _file(self, name: str) -> Path:
        return self.folder / FILE.format(name)

    def _join(self, pictures: pd.DataFrame, folder: Path, validation_concepts: int, seed: int) -> FileStimuli:
        """Give trials and pictures their splits, and leave out training trials of test concepts."""
        trials = pd.concat(self._trials.values())
        missing = sorted(set(trials["stimulus"]) - set(pictures.index))
        if missing:
            raise ValueError(
                f"{folder}: lacks {len(missing)} of the {trials['stimulus'].nunique()} pictures that were shown, for "
                f"example {missing[0]!r}"
            )
        test = set(trials.loc[trials["test"], "stimulus"])
        concepts = pictures["concept"]
        test_concepts = set(concepts[list(test)])
        shown_once = set(trials["stimulus"]) - test
        training = [name for name in shown_once if concepts[name] not in test_concepts]
        held_out = draw_concepts(concepts[training], validation_concepts, seed)
        splits = {name: "validation" if concepts[name] in held_out else "train" for name in training}
        splits |= dict.fromkeys(test, "test")
        for name, rows in self._trials.items():
            rows = rows[rows["stimulus"].isin(splits.keys())]
            self._trials[name] = rows.assign(split=rows["stimulus"].map(splits))
        table = pictures[pictures.index.isin(splits.keys())]
        return FileStimuli("things-meg", table.assign(split=table.index.map(splits)))


def _read_list(file: Path) -> list[str]:
    """Read the names of THINGS' pictures in the order of their numbers."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such list of pictures")
    try:
        lines = file.read_text(encoding="utf-8").split()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not a list of pictures in UTF-8 ({error})") from error
    paths = [PurePosixPath(line) for line in lines]
    wrong = [number for number, path in enumerate(paths, start=1) if len(path.parts) < 2 or not path.suffix]
    if wrong or not paths:
        found = f"line {wrong[0]}: {lines[wrong[0] - 1]!r}" if wrong else "nothing"
        raise ValueError(
            f"{file}: expected a path such as images/aardvark/aardvark_01b.jpg in each line; found {found}"
        )
    return [path.stem for path in paths]


def _read_trials(file: Path, listed: list[str] | None) -> pd.DataFrame:
    """Read what the trials of a file showed: ``row``, ``stimulus``, whether it is a ``test`` picture, ``session``."""
    epochs = open_epochs(file)
    codes, metadata = epochs.events[:, 2], epochs.metadata
    rows = np.flatnonzero(codes != CATCH)
    shown = None if metadata is None else metadata.iloc[rows]
    if listed is not None:
        strange = np.unique(codes[rows][(codes[rows] < 1) | (codes[rows] > len(listed))])
        if len(strange):
            raise ValueError(
                f"{file}: events without a picture: {', '.join(map(str, strange[:10]))}; expected 1 to {len(listed)}, "
                f"the lines of image_paths, and {CATCH}, a catch trial"
            )
        names = np.array(listed, dtype=object)[codes[rows] - 1]
    trials = pd.DataFrame({"row": rows})
    if shown is None or not {"image_path", "trial_type"} <= set(shown):
        if listed is None:
            raise ValueError(
                f"{file}: has no metadata with image_path and trial_type; give image_paths, THINGS' list of pictures"
            )
        trials["stimulus"] = names
        trials["test"] = trials["stimulus"].map(trials["stimulus"].value_counts()) > 1
        return trials
    return _with_metadata(file, trials, shown, None if listed is None else names)


def _with_metadata(file: Path, trials: pd.DataFrame, shown: pd.DataFrame, listed: np.ndarray | None) -> pd.DataFrame:
    lacking = ~shown["trial_type"].isin(["exp", "test"]).to_numpy() | shown["image_path"].isna().to_numpy()
    if lacking.any():
        raise ValueError(
            f"{file}: {int(lacking.sum())} trials without a picture in their metadata, the first is trial "
            f"{trials['row'].to_numpy()[lacking][0]}; expected trial_type exp or test and an image_path, or the event "
            f"{CATCH}"
        )
    names = np.array([PurePosixPath(path).stem for path in shown["image_path"]], dtype=object)
    if listed is not None and (names != listed).any():
        place = int(np.flatnonzero(names != listed)[0])
        raise ValueError(
            f"{file}: trial {trials['row'].iloc[place]} shows {names[place]!r} by its metadata and {listed[place]!r} "
            "by image_paths; the list is of other pictures, or in another order"
        )
    trials = trials.assign(stimulus=names, test=(shown["trial_type"] == "test").to_numpy())
    if "session_nr" in shown:
        trials["session"] = [f"ses-{int(number):02}" for number in shown["session_nr"]]
    return trials
