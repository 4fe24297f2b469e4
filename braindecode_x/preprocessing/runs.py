"""The stage from 4-D images of BOLD to a folder of parcellated runs."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.progress import track

from braindecode_x import __version__
from braindecode_x.datasets.bold_recordings import OBJECTS, BoldRecordings, BoldRun
from braindecode_x.datasets.images import open_image
from braindecode_x.datasets.preprocessed_runs import (
    PARCELS,
    PROVENANCE,
    RUN,
    RUNS,
    WINDOWS,
    PreprocessedRuns,
    run_folder,
    write_run,
)
from braindecode_x.datasets.runs import SAME_TR, ParcelRun
from braindecode_x.datasets.stimuli_tables import STIMULI, read_stimuli, write_stimuli
from braindecode_x.files import SETTINGS, claim_folder, file_hash, read_json, write_json
from braindecode_x.preprocessing.atlases import Atlas, open_atlas
from braindecode_x.preprocessing.confounds import read_confounds
from braindecode_x.preprocessing.parcels import Parcellator, clean_signals, repetition_time
from braindecode_x.preprocessing.settings import FmriSettings
from braindecode_x.stimuli import ObjectStimuli

SOFTWARE = ("nilearn", "nibabel", "numpy", "scipy", "pandas")


def preprocess_runs(
    recordings: BoldRecordings,
    output: str | Path,
    settings: FmriSettings = FmriSettings(),  # noqa: B008 (frozen)
    n_volumes: int = 5,
    delay: float = 4.0,
    overwrite: bool = False,
    progress: bool = True,
) -> PreprocessedRuns:
    """Parcellate and clean every run.

    A run of this that was cut goes on: runs that are there are kept. More subjects, and more of their runs, can be
    added later; a run whose folder is removed is made anew, or gone when it is none of the recordings any more.

    Parameters
    ----------
    recordings : BoldRecordings
    output : str or Path
        Folder of the runs; see `PreprocessedRuns` for what is in it.
    settings : FmriSettings
    n_volumes : int
        Length of a trial's window, noted for `PreprocessedRuns`.
    delay : float
        Seconds from an onset to the first volume of its window, noted likewise.
    overwrite : bool
        Remove the folder first when it holds runs of other settings or recordings.
    progress : bool
        Show a bar.

    Returns
    -------
    PreprocessedRuns
        Of the subjects in the folder whose runs are all there.

    Raises
    ------
    ValueError
        The folder holds runs of other settings or files, or a run cannot be used; those finished before stay.
    """
    output = Path(output)
    if n_volumes < 1:
        raise ValueError(f"n_volumes: expected at least 1, found {n_volumes}")
    atlas = open_atlas(settings.atlas, settings.atlas_table)
    _claim(output, recordings, settings, atlas, overwrite)
    write_json(output / WINDOWS, {"n_volumes": n_volumes, "delay": delay})
    parcellator = Parcellator(atlas, settings.smoothing, settings.any_space)
    every = [(name, run) for name in recordings.subjects for run in recordings.runs(name)]
    first: tuple[str, float] | None = None
    for name, run in track(every, "runs", disable=not progress):
        folder = run_folder(output, name, run.name)
        if not (folder / RUN).is_file():
            made, about = parcellate_run(run, recordings.events(run), parcellator, settings)
            _refuse_other_tr(first, made.name, made.tr)
            write_run(output, name, made, {**about, "inputs": _inputs(run)})
        else:
            _refuse_changed(folder, run)
        tr = float(read_json(folder / RUN)["tr"])
        _refuse_other_tr(first, run.name, tr)
        first = first or (run.name, tr)
    for name in recordings.subjects:
        _list_runs(output, name, [run.name for run in recordings.runs(name)])
    return PreprocessedRuns(output)


def parcellate_run(
    run: BoldRun, events: pd.DataFrame | None, parcellator: Parcellator, settings: FmriSettings
) -> tuple[ParcelRun, dict[str, Any]]:
    """Make one run.

    Parameters
    ----------
    run : BoldRun
    events : pandas.DataFrame or None
        Onsets in seconds from the first volume of the image.
    parcellator : Parcellator
    settings : FmriSettings

    Returns
    -------
    run : ParcelRun
        Onsets are counted from the first volume that is kept.
    about : dict
        ``recorded_tr``; ``left_out``, volumes at the start that were not in steady state; ``confounds``, names;
        ``empty_parcels``; ``voxels_not_finite``.

    Raises
    ------
    ValueError
        The image, its repetition time or its confounds cannot be used.
    """
    where = str(run.bold)
    image = open_image(run.bold, "(x, y, z, volumes)")
    recorded = repetition_time(image, run.tr, settings.recorded_tr, where)
    confounds, first = read_confounds(run, settings)
    signals, empty, not_finite = parcellator(image, where)
    bold, tr = clean_signals(signals[first:], recorded, settings, confounds, where)
    if events is not None:
        events = events.assign(onset=events["onset"] - first * recorded)
    about = {
        "recorded_tr": recorded,
        "left_out": first,
        "confounds": [] if confounds is None else list(map(str, confounds)),
        "empty_parcels": list(empty),
        "voxels_not_finite": not_finite,
    }
    return ParcelRun(run.name, bold, tr, events), about


def _claim(output: Path, recordings: BoldRecordings, settings: FmriSettings, atlas: Atlas, overwrite: bool) -> None:
    """Note settings, atlas and pictures in the folder; when it holds runs of others, remove it or refuse."""
    if not _holds_runs(output):
        (output / SETTINGS).unlink(missing_ok=True)  # nothing was made with them
    hashes = {file.name: file_hash(file) for file in atlas.files}
    objects = isinstance(recordings.stimuli, ObjectStimuli)
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}
    events = {"column": recordings.column, "trial_types": recordings.trial_types}
    wanted = {"recordings": recordings.name, "pictures": OBJECTS if objects else "folder", **events, **plain}
    claim_folder(output, {**wanted, "atlas_files": hashes}, "runs", overwrite)
    table = recordings.stimuli.table
    _write_pictures(output, table.assign(file="") if objects else table)
    write_json(output / PARCELS, atlas.parcels.to_dict())
    about = {"name": settings.atlas, "kind": atlas.kind, "parcels": len(atlas.parcels), "files": hashes}
    software = {"braindecode_x": __version__, **{name: version(name) for name in SOFTWARE}}
    write_json(output / PROVENANCE, {"atlas": about, "software": software})


def _holds_runs(output: Path) -> bool:
    return any(not file.parent.name.startswith(".") for file in output.glob(f"*/*/{RUN}"))


def _write_pictures(output: Path, table: pd.DataFrame) -> None:
    """Add pictures to those that runs in the folder show."""
    if (output / STIMULI).is_file() and _holds_runs(output):
        before = read_stimuli(output, "before").table
        both = before.index.intersection(table.index)
        moved = both[(before.loc[both, "split"] != table.loc[both, "split"]).to_numpy()]
        if len(moved):
            raise ValueError(
                f"{output}: {len(moved)} pictures were in another split when its runs were made, for example "
                f"{moved[0]!r}; name splits in the events, or preprocess all subjects at once"
            )
        table = pd.concat([table, before.drop(index=both)]).fillna("")
    write_stimuli(output, table)


def _list_runs(output: Path, subject: str, names: list[str]) -> None:
    """Note the runs of a subject: those of another task, that were made before, and these."""
    file = output / subject / RUNS
    before = read_json(file) if file.is_file() else []
    there = [name for name in before if (run_folder(output, subject, name) / RUN).is_file()]
    write_json(file, list(dict.fromkeys([*there, *names])))


def _inputs(run: BoldRun) -> dict[str, dict[str, Any]]:
    files = {"bold": run.bold, "events": run.events, "confounds": run.confounds}
    return {what: _note(file) for what, file in files.items() if file is not None}


def _note(file: Path) -> dict[str, Any]:
    about = file.stat()
    return {"file": str(file), "size": about.st_size, "modified": about.st_mtime_ns, "hash": file_hash(file)}


def _refuse_changed(folder: Path, run: BoldRun) -> None:
    """Refuse to go on beside a run whose files are others now; those of one size and time are not read again."""
    made_of = read_json(folder / RUN)["inputs"]
    for what, file in (("bold", run.bold), ("events", run.events), ("confounds", run.confounds)):
        noted = made_of.get(what)
        if (file is None) != (noted is None):
            raise ValueError(f"{folder}: was made {'with' if noted else 'without'} {what}; remove it to make it anew")
        if file is None:
            continue
        about = file.stat()
        same = (about.st_size, about.st_mtime_ns) == (noted["size"], noted["modified"])
        if not same and file_hash(file) != noted["hash"]:
            raise ValueError(f"{folder}: {file} has changed since this run was made of it; remove it to make it anew")


def _refuse_other_tr(first: tuple[str, float] | None, name: str, tr: float) -> None:
    if first is not None and not np.isclose(first[1], tr, rtol=SAME_TR):
        raise ValueError(
            f"{name}: repetition time {tr:g} s, but {first[0]} has {first[1]:g} s; choose one for all with tr"
        )
