"""Epochs that ``braindecode-x preprocess`` made, in a folder of FIF files.

Format
    ``settings.json``: how the epochs were made. ``stimuli.csv``: ``id``, ``file``, ``caption``, ``split`` and more of
    each picture. ``sub-01/sessions.json``: the subject's sessions, written when all are there.
    ``sub-01/ses-01/sub-01_ses-01_epo.fif``: a session's epochs, as ``mne.read_epochs`` reads them, with ``stimulus``,
    ``split`` and ``run`` of each trial as metadata. Numbers are in single precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np
import pandas as pd

from braindecode_x.datasets.epoch_files import open_epochs, read_signal
from braindecode_x.datasets.epochs import EpochsCohort, SubjectEpochs, join_sessions
from braindecode_x.datasets.stimuli_tables import STIMULI, read_stimuli
from braindecode_x.files import SETTINGS, atomic_folder, read_json, unknown_name

SESSIONS = "sessions.json"


class PreprocessedEpochs(EpochsCohort):
    """Epochs that ``braindecode-x preprocess`` made.

    Parameters
    ----------
    folder : str or Path
        The command's output.
    subjects : sequence of str, optional
        Default all whose sessions are there.
    pictures : str or Path, optional
        Folder of the pictures, when they were moved since.

    Raises
    ------
    FileNotFoundError
        The folder holds no finished subject.
    ValueError
        An unknown subject; later, damaged files.
    """

    def __init__(self, folder: str | Path, subjects: Sequence[str] | None = None, pictures: str | Path | None = None):
        self.folder = Path(folder)
        self._sessions = {file.parent.name: list(read_json(file)) for file in sorted(self.folder.glob(f"*/{SESSIONS}"))}
        if not self._sessions:
            raise FileNotFoundError(
                f"{self.folder}: holds no subject whose sessions are all there; run braindecode-x preprocess, which "
                "goes on where it was cut"
            )
        for name in subjects or ():
            if name not in self._sessions:
                raise unknown_name("subject", name, self._sessions)
        self.subjects = tuple(subjects or self._sessions)
        self.stimuli = read_stimuli(self.folder, str(read_json(self.folder / SETTINGS)["recordings"]), pictures)

    def subject(self, name: str) -> SubjectEpochs:
        """Read one subject; trials have the columns ``session`` and ``run`` besides.

        Parameters
        ----------
        name : str
            One of ``subjects``.

        Raises
        ------
        ValueError
            No such subject, or a damaged file, or sessions that do not fit each other.
        """
        if name not in self.subjects:
            raise unknown_name("subject", name, self.subjects)
        files = {session: session_file(self.folder, name, session) for session in self._sessions[name]}
        return join_sessions({session: self._session(name, file) for session, file in files.items()})

    def _session(self, name: str, file: Path) -> SubjectEpochs:
        epochs = open_epochs(file)
        signal = read_signal(epochs, np.arange(len(epochs)), file)
        return SubjectEpochs(name, signal, self._trials(file, epochs), epochs.info, float(epochs.tmin))

    def _trials(self, file: Path, epochs: mne.BaseEpochs) -> pd.DataFrame:
        trials = epochs.metadata
        missing = {"stimulus", "split"} - set(() if trials is None else trials)
        if missing:
            raise ValueError(f"{file}: expected metadata with stimulus and split; missing {', '.join(sorted(missing))}")
        assert trials is not None
        unknown = trials[(trials["stimulus"] != "") & ~trials["stimulus"].isin(self.stimuli.table.index)]
        if len(unknown):
            raise ValueError(
                f"{file}: {len(unknown)} trials show pictures that {STIMULI} does not list, for example "
                f"{unknown['stimulus'].iloc[0]!r}"
            )
        return trials.reset_index(drop=True)


def session_file(folder: Path, subject: str, session: str) -> Path:
    """Return the path of a session's epochs."""
    return folder / subject / session / f"{subject}_{session}_epo.fif"


def write_session(folder: Path, session: str, epochs: SubjectEpochs) -> None:
    """Write a session's epochs as FIF, so that either all of its files are there or none."""
    file = session_file(folder, epochs.name, session)
    events = np.column_stack([np.arange(len(epochs.trials)), *np.ones((2, len(epochs.trials)), int)])
    array = mne.EpochsArray(
        epochs.epochs, epochs.info, events, epochs.tmin, metadata=epochs.trials, proj=False, verbose="error"
    )
    with atomic_folder(file.parent) as temporary:  # mne divides what is larger than 2 GB among several files
        array.save(temporary / file.name, verbose="error")
