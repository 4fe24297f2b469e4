"""The commands ``braindecode-x preprocess eeg``, ``meg`` and ``fmri``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from braindecode_x.preprocessing.settings import EpochSettings, FmriSettings, MegSettings

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


def fmri(
    recordings: Path,
    output: Path,
    subjects: list[str] | None = None,
    task: str | None = None,
    space: str | None = None,
    raw: Path | None = None,
    pictures: Path | None = None,
    column: str = "stim_file",
    trial_types: list[str] | None = None,
    n_volumes: int = 5,
    delay: float = 4.0,
    seed: int = 0,
    overwrite: bool = False,
    **settings: Any,
) -> None:
    """Turn 4-D BOLD images in standard space into parcels that training starts from; a run that was cut goes on.

    Parameters
    ----------
    recordings
        A folder of fMRIPrep's derivatives, or a table (CSV or TSV) of runs with the columns subject, run, bold and,
        where there are such, events, confounds and tr.
    output
        Folder for the runs, one NumPy array each, with their events and where they come from.
    subjects
        For example [sub-01, sub-02]; default: all.
    task
        With a folder: only this task.
    space
        With a folder: the space of the images, for example MNI152NLin6Asym; default: the one MNI space that is there.
    raw
        With a folder: the raw BIDS folder with the events; default: the one in whose derivatives/ it lies.
    pictures
        The folder of pictures, or "objects" for the embedded ones; default: stimuli/ in the raw folder, or beside the
        table.
    column
        The column of the tables of events that names the picture.
    trial_types
        Only events of these types; default: those that name a picture.
    n_volumes
        Length of a trial's window in volumes; it can be changed later.
    delay
        Seconds from the onset of a picture to the first volume of its window; it can be changed later.
    seed
        Of splits that are drawn.
    overwrite
        Remove the output folder first when it holds runs of other settings.
    **settings
        How runs are parcellated and cleaned.
    """
    from braindecode_x.datasets.bold_recordings import BoldRecordings
    from braindecode_x.preprocessing.runs import preprocess_runs

    chosen = FmriSettings(**settings)
    source = BoldRecordings(recordings, subjects, task, space, raw, pictures, column, trial_types, seed)
    made = preprocess_runs(source, output, chosen, n_volumes, delay, overwrite)
    runs = made.table
    said = f"{len(runs)} runs of {len(made.subjects)} subjects ({', '.join(made.subjects)})"
    empty = {name for names in runs["empty_parcels"] for name in names}
    counts = {
        "runs without events, for pre-training alone": int((~runs["labelled"]).sum()),
        "volumes before steady state left out": int(runs["left_out"].sum()),
        "parcels without a voxel in some run, set to their mean": len(empty),
        "runs with voxels that are not finite, which were left out": int((runs["voxels_not_finite"] > 0).sum()),
    }
    said += "".join(f"; {count} {what}" for what, count in counts.items() if count)
    sys.stdout.write(f"{said}: {output}\n")


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


COMMANDS = {
    "_help": "Turn recordings into epochs or parcels that training starts from.",
    "eeg": eeg,
    "meg": meg,
    "fmri": fmri,
}
