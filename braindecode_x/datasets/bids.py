"""Raw EEG or MEG in a BIDS folder, where the tables of events name the pictures.

Format
    BIDS (https://bids-specification.readthedocs.io), for example ``sub-01/eeg/sub-01_task-objects_eeg.vhdr`` beside
    ``sub-01_task-objects_events.tsv``, which has ``onset`` (seconds) and ``stim_file``, a picture's path within
    ``stimuli/``. Events without one (``n/a``: answers, rests) are passed over. Columns ``split`` and ``concept`` are
    used where they are; see `EpochsDataset`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pandas as pd

from braindecode_x.datasets.epochs import EpochsCohort, SubjectEpochs, join_sessions
from braindecode_x.datasets.own_epochs import join_pictures
from braindecode_x.datasets.recordings import Recordings, Run
from braindecode_x.datasets.trial_tables import read_events
from braindecode_x.files import unknown_name
from braindecode_x.preprocessing.eeg import EpochSettings
from braindecode_x.preprocessing.stage import session_epochs
from braindecode_x.stimuli import FolderStimuli

ENDINGS = {"eeg": (".vhdr", ".edf", ".bdf", ".set"), "meg": (".fif", ".ds", ".con", ".sqd", ".pdf")}
ONLY_SESSION = "ses-01"


class BidsRecordings(Recordings):
    """Continuous recordings in a BIDS folder.

    Parameters
    ----------
    root : str or Path
        The folder.
    stimuli : str or Path, optional
        Folder of pictures. Default: ``stimuli`` in the folder.
    task : str, optional
        Default: all tasks.
    subjects : sequence of str, optional
        For example ``["sub-01"]``. Default: all that have such recordings.
    datatype : {"eeg", "meg"}
    column : str
        Of the tables of events: names the picture.
    trial_types : sequence of str, optional
        Take the events whose ``trial_type`` is one of these; each of them must name a picture.
    seed : int
        Of splits, when no table has a column ``split``; see `EpochsDataset`.

    Raises
    ------
    ModuleNotFoundError
        mne-bids is not installed.
    FileNotFoundError
        No such folder.
    ValueError
        No recordings, an unknown subject, a table of events that is missing or lacks a column, or pictures that are
        not there.
    """

    def __init__(
        self,
        root: str | Path,
        stimuli: str | Path | None = None,
        task: str | None = None,
        subjects: Sequence[str] | None = None,
        datatype: Literal["eeg", "meg"] = "eeg",
        column: str = "stim_file",
        trial_types: Sequence[str] | None = None,
        seed: int = 0,
    ):
        self.root = Path(root)
        self.name = self.root.resolve().name
        files = self._files(task, datatype)
        found = list(dict.fromkeys(f"sub-{file.subject}" for file in files))
        for name in subjects or ():
            if name not in found:
                raise unknown_name("subject", name, found)
        self.subjects = tuple(subjects or found)
        self._runs = [file for file in files if f"sub-{file.subject}" in self.subjects]
        tables = [_events(file, column, trial_types).assign(number=n) for n, file in enumerate(self._runs)]
        rows = pd.concat(tables, ignore_index=True)
        if "split" in rows:
            rows["split"] = rows["split"].fillna("")
        pictures = FolderStimuli(self.root / "stimuli" if stimuli is None else stimuli)
        self._trials, self.stimuli = join_pictures(f"{column!r} of the events", rows, pictures, seed)
        splits = dict(zip(self._trials["stimulus"], self._trials["split"], strict=True))
        self.stimuli.table = self.stimuli.table.assign(split=self.stimuli.table.index.map(splits))

    def sessions(self, subject: str) -> tuple[str, ...]:
        """Name a subject's sessions; ``ses-01`` where the folder has none."""
        if subject not in self.subjects:
            raise unknown_name("subject", subject, self.subjects)
        return tuple(dict.fromkeys(_session(file) for file in self._runs if f"sub-{file.subject}" == subject))

    def runs(self, subject: str, session: str) -> Iterator[Run]:
        """Read the runs of a session, one at a time; a ValueError when one cannot be read, or has no such session."""
        if session not in self.sessions(subject):
            raise unknown_name(f"session of {subject}", session, self.sessions(subject))
        for number, file in enumerate(self._runs):
            if (f"sub-{file.subject}", _session(file)) != (subject, session):
                continue
            try:
                raw = mne_bids().read_raw_bids(file, verbose="error")
            except Exception as error:  # whatever the reader of its format meets
                raise ValueError(f"{file.fpath}: cannot be read as BIDS ({error})") from error
            trials = self._trials[self._trials["number"] == number]
            outside = trials.loc[~trials["onset"].between(0, raw.times[-1]), "place"]
            if len(outside):
                raise ValueError(
                    f"{file.fpath}: {raw.times[-1]:.1f} s long, but {len(outside)} events lie outside it, the first in "
                    f"{outside.iloc[0]}"
                )
            samples = raw.first_samp + np.round(trials["onset"].to_numpy(float) * raw.info["sfreq"]).astype(int)
            left = trials.drop(columns=["number", "place", "subject", "onset"]).assign(sample=samples)
            yield Run(file.basename, raw, left.reset_index(drop=True))

    def _files(self, task: str | None, datatype: str) -> list[Any]:
        if not self.root.is_dir():
            raise FileNotFoundError(f"{self.root}: no such folder")
        if datatype not in ENDINGS:
            raise unknown_name("datatype", datatype, ENDINGS)
        files = mne_bids().find_matching_paths(
            self.root, tasks=task, datatypes=datatype, suffixes=datatype, extensions=list(ENDINGS[datatype])
        )
        files = [file for file in files if file.split in (None, "01", "1")]  # mne follows them to their other parts
        if not files:
            of_task = f" of the task {task!r}" if task else ""
            raise ValueError(f"{self.root}: holds no {datatype} recordings{of_task} as BIDS names them")
        return sorted(files, key=lambda file: str(file.fpath))


class BidsEpochs(EpochsCohort):
    """Epochs of the recordings in a BIDS folder, made when they are asked for.

    ``braindecode-x preprocess`` makes them once and keeps them.

    Parameters
    ----------
    root : str or Path
        The folder.
    settings : EpochSettings
        How epochs are made; normalised within each session by its training trials.
    **options
        See `BidsRecordings`.

    Examples
    --------
    >>> cohort = BidsEpochs("study", task="objects", settings=EpochSettings(h_freq=40, sfreq=125))  # doctest: +SKIP
    """

    def __init__(
        self,
        root: str | Path,
        settings: EpochSettings = EpochSettings(),  # noqa: B008 (frozen)
        **options: Any,
    ):
        self.recordings, self.settings = BidsRecordings(root, **options), settings
        self.subjects, self.stimuli = self.recordings.subjects, self.recordings.stimuli

    def subject(self, name: str) -> SubjectEpochs:
        """Make one subject's epochs; trials have the columns ``session`` and ``run`` besides.

        Raises
        ------
        ValueError
            No such subject, recordings that do not fit each other, or bad channels.
        """
        sessions = self.recordings.sessions(name)
        parts = (session_epochs(self.recordings, name, session, self.settings, progress=True) for session in sessions)
        return join_sessions(dict(zip(sessions, parts, strict=True)))


def mne_bids() -> ModuleType:
    """Import mne-bids, which the package does not depend on."""
    try:
        import mne_bids as module
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "BIDS folders are read with the package mne-bids: pip install 'braindecode-x[bids]'"
        ) from error
    return module


def _session(file: Any) -> str:
    return ONLY_SESSION if file.session is None else f"ses-{file.session}"


def _events(file: Any, column: str, trial_types: Sequence[str] | None) -> pd.DataFrame:
    """Read the events of a run that show a picture."""
    found = file.copy().update(split=None).find_matching_sidecar(suffix="events", extension=".tsv", on_error="ignore")
    if found is None:
        raise ValueError(f"{file.fpath}: has no table of events ({file.basename.rpartition('_')[0]}_events.tsv)")
    source = Path(str(found))
    rows = read_events(source, column, trial_types)
    if not len(rows):
        raise ValueError(f"{source}: none of its events shows a picture (column {column!r})")
    return rows.assign(subject=f"sub-{file.subject}")
