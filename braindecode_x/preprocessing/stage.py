"""The stage from continuous recordings to a folder of epochs that training starts from."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindecode_x.datasets.epochs import SubjectEpochs
from braindecode_x.datasets.preprocessed_epochs import (
    SESSIONS,
    PreprocessedEpochs,
    session_file,
    write_session,
)
from braindecode_x.datasets.recordings import Recordings
from braindecode_x.datasets.stimuli_tables import splits_hash, write_stimuli
from braindecode_x.files import SETTINGS, read_json, write_json
from braindecode_x.preprocessing.eeg import EpochSettings, make_epochs, normalise


def preprocess(
    recordings: Recordings,
    output: str | Path,
    settings: EpochSettings,
    overwrite: bool = False,
    progress: bool = True,
) -> PreprocessedEpochs:
    """Make epochs of every session.

    A run that was cut goes on: sessions that are there are kept. More subjects can be added later.

    Parameters
    ----------
    recordings : Recordings
    output : str or Path
        Folder of the epochs; see `PreprocessedEpochs` for what is in it.
    settings : EpochSettings
    overwrite : bool
        Remove the folder first when it holds epochs of other settings or recordings.
    progress : bool
        Show a bar.

    Returns
    -------
    PreprocessedEpochs
        Of the subjects in the folder whose sessions are all there.

    Raises
    ------
    ValueError
        The folder holds epochs of other settings or recordings, or a recording does not fit; sessions that were
        finished before stay.
    """
    output = Path(output)
    _claim(output, recordings, settings, overwrite)
    for name in recordings.subjects:
        sessions = recordings.sessions(name)
        for session in sessions:
            if not session_file(output, name, session).is_file():
                write_session(output, session, session_epochs(recordings, name, session, settings, progress))
        write_json(output / name / SESSIONS, list(sessions))
    return PreprocessedEpochs(output)


def _claim(output: Path, recordings: Recordings, settings: EpochSettings, overwrite: bool) -> None:
    """Note settings and pictures in the folder; when it holds epochs of others, remove it or refuse."""
    table = recordings.stimuli.table
    wanted: dict[str, Any] = {
        "recordings": recordings.name,
        "splits": splits_hash(table),
        **{name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()},
    }
    made = [file for file in output.glob("*/*/*_epo.fif") if not file.parent.name.startswith(".")]
    if made and (output / SETTINGS).is_file():
        found = read_json(output / SETTINGS)
        changed = sorted(key for key in wanted.keys() | found.keys() if found.get(key) != wanted.get(key))
        if changed and not overwrite:
            raise ValueError(
                f"{output}: holds epochs of other settings (different: {', '.join(changed)}); choose another output "
                "folder, or overwrite this one"
            )
        if changed:
            shutil.rmtree(output)
    write_json(output / SETTINGS, wanted)
    write_stimuli(output, table)


def session_epochs(
    recordings: Recordings, subject: str, session: str, settings: EpochSettings, progress: bool
) -> SubjectEpochs:
    """Make the epochs of all runs of a session, and normalise them together.

    Parameters
    ----------
    recordings : Recordings
    subject, session : str
        Names.
    settings : EpochSettings
    progress : bool
        Show a bar.

    Returns
    -------
    SubjectEpochs
        Trials have the column ``run`` besides.

    Raises
    ------
    ValueError
        A run does not fit its trials or the first run, or the session cannot be normalised.
    """
    runs = [make_epochs(run, settings, progress) for run in recordings.runs(subject, session)]
    if not runs:
        raise ValueError(f"{subject} {session}: holds no run")
    for run in runs[1:]:
        runs[0].layout.require(run.layout, run.name, runs[0].name)
    trials = pd.concat([run.trials.assign(run=run.name) for run in runs], ignore_index=True)
    epochs = normalise(np.concatenate([run.epochs for run in runs]), trials, settings, progress)
    return SubjectEpochs(subject, epochs, trials, runs[0].info, runs[0].tmin)
