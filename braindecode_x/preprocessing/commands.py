"""The commands ``braindecode-x preprocess eeg`` and ``meg``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from braindecode_x.preprocessing.settings import EpochSettings, MegSettings

if TYPE_CHECKING:
    from braindecode_x.datasets.recordings import Recordings


def eeg(
    recordings: Path,
    output: Path,
    layout: Literal["things-eeg2", "bids"] = "things-eeg2",
    subjects: list[str] | None = None,
    pictures: Path | None = None,
    task: str | None = None,
    column: str = "stim_file",
    trial_types: list[str] | None = None,
    validation_concepts: int = 100,
    seed: int = 0,
    overwrite: bool = False,
    **settings: Any,
) -> None:
    """Turn raw EEG into epochs that training starts from; a run that was cut goes on where it stopped.

    Parameters
    ----------
    recordings
        The folder of THINGS-EEG2, with Raw_data/, or a BIDS folder.
    output
        Folder for the epochs, one FIF file a session, and the settings.
    layout
        What the folder of recordings is.
    subjects
        For example [sub-01, sub-02]; default: all.
    pictures
        The folder of pictures; default: the recordings' own, or its stimuli/ in a BIDS folder.
    task
        With BIDS: only this task.
    column
        With BIDS: the column of the tables of events that names the picture.
    trial_types
        With BIDS: only events of these types; default: those that name a picture.
    validation_concepts
        With THINGS-EEG2: how many training concepts are held out for validation; they take no part in normalisation.
    seed
        Of the splits that are drawn.
    overwrite
        Remove the output folder first when it holds epochs of other settings.
    **settings
        How epochs are made; with THINGS-EEG2 the channels are by default the published 63, in the published order.
    """
    chosen = EpochSettings(**settings)
    if layout == "bids":
        return _preprocess(
            _bids(recordings, pictures, task, subjects, "eeg", column, trial_types, seed), output, chosen, overwrite
        )
    from braindecode_x.datasets.cards import differences
    from braindecode_x.datasets.things_eeg2 import CHANNELS, ThingsEeg2Recordings
    from braindecode_x.datasets.things_pictures import counts

    source = ThingsEeg2Recordings(recordings, subjects, pictures, validation_concepts, seed)
    if missing := differences("things_eeg2", counts(source.subjects, source.stimuli.table)):
        sys.stdout.write(f"{recordings}: a part of THINGS-EEG2, with {', '.join(missing)}\n")
    _preprocess(source, output, replace(chosen, channels=chosen.channels or CHANNELS), overwrite)


def meg(
    recordings: Path,
    output: Path,
    subjects: list[str] | None = None,
    pictures: Path | None = None,
    task: str | None = None,
    column: str = "stim_file",
    trial_types: list[str] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    **settings: Any,
) -> None:
    """Turn raw MEG in a BIDS folder into epochs that training starts from; a run that was cut goes on.

    Parameters
    ----------
    recordings
        The BIDS folder.
    output
        Folder for the epochs, one FIF file a session, and the settings.
    subjects
        For example [sub-01, sub-02]; default: all.
    pictures
        The folder of pictures; default: stimuli/ in the BIDS folder.
    task
        Only this task.
    column
        The column of the tables of events that names the picture.
    trial_types
        Only events of these types; default: those that name a picture.
    seed
        Of the splits that are drawn.
    overwrite
        Remove the output folder first when it holds epochs of other settings.
    **settings
        How epochs are made.
    """
    source = _bids(recordings, pictures, task, subjects, "meg", column, trial_types, seed)
    _preprocess(source, output, MegSettings(**settings), overwrite)


def _bids(
    root: Path,
    pictures: Path | None,
    task: str | None,
    subjects: list[str] | None,
    datatype: Literal["eeg", "meg"],
    column: str,
    trial_types: list[str] | None,
    seed: int,
) -> Recordings:
    from braindecode_x.datasets.bids import BidsRecordings

    return BidsRecordings(root, pictures, task, subjects, datatype, column, trial_types, seed)


def _preprocess(source: Recordings, output: Path, settings: EpochSettings, overwrite: bool) -> None:
    from braindecode_x.preprocessing.stage import preprocess

    made = preprocess(source, output, settings, overwrite)
    sys.stdout.write(f"epochs of {len(made.subjects)} subjects ({', '.join(made.subjects)}): {output}\n")


COMMANDS = {"_help": "Turn raw recordings into epochs that training starts from.", "eeg": eeg, "meg": meg}
