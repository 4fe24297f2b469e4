"""Runs of 4-D BOLD images with tables of events, from a folder of fMRIPrep's or a table that lists them.

Format
    A BIDS derivative folder as fMRIPrep writes it: ``sub-01/func/*_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz``
    with a JSON sidecar (``RepetitionTime``; ``StartTime``, seconds that the first volume stands for after the run
    began), and ``*_desc-confounds_timeseries.tsv``. Tables of events (``sub-01_task-objects_events.tsv``: ``onset`` and
    ``duration`` in seconds, ``stim_file``, a picture's path within ``stimuli/``) lie beside the images or in the raw
    folder. Or a table, CSV or TSV, one row a run::

        subject,run,bold,events,confounds,tr
        sub-01,1,run1_bold.nii.gz,run1_events.tsv,run1_motion.tsv,2.0

    Paths are relative to the table; ``events``, ``confounds`` and ``tr`` may be left out, or empty.
Splits
    A run without events is unlabelled. Columns ``split`` and ``concept`` of the events are used where they are; see
    `EpochsDataset`. A split whose name begins with ``imagination`` is of trials in which a picture is imagined, which
    may be seen in others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from nilearn.interfaces.bids import get_bids_files, parse_bids_filename

from braindecode_x.datasets.images import is_nifti
from braindecode_x.datasets.trial_tables import (
    match_pictures,
    picture_splits,
    read_events,
    read_table,
    refuse_rows,
    refuse_unlabelled,
)
from braindecode_x.files import read_json, unknown_name
from braindecode_x.stimuli import FileStimuli, FolderStimuli, ObjectStimuli, Stimuli

OBJECTS = "objects"  # stands for the embedded pictures instead of a folder
IMAGINATION = "imagination"
OF_THE_RUN = ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo", "part")  # not of how it was processed
FMRIPREP = ("desc-confounds_timeseries.tsv", "desc-confounds_regressors.tsv")


@dataclass(frozen=True)
class BoldRun:
    """Files of a run.

    Attributes
    ----------
    subject, name : str
        For example ``"sub-01"`` and ``"sub-01_task-objects_run-1"``.
    bold : Path
        4-D NIfTI image.
    events, confounds : Path or None
    fmriprep : bool
        Confounds are fMRIPrep's, beside the image.
    tr : float or None
        Repetition time in seconds as a sidecar or the table says.
    start : float
        Seconds from the beginning of the run to the time that the first volume stands for.
    """

    subject: str
    name: str
    bold: Path
    events: Path | None = None
    confounds: Path | None = None
    fmriprep: bool = False
    tr: float | None = None
    start: float = 0.0


class BoldRecordings:
    """Runs of several subjects and what was seen in them.

    Parameters
    ----------
    source : str or Path
        A folder of fMRIPrep's, or a table of runs.
    subjects : sequence of str, optional
        Default: all.
    task : str, optional
        Of a folder: only this task.
    space : str, optional
        Of a folder: the space of the images, for example ``"MNI152NLin6Asym"``. Default: the one MNI space that is
        there.
    raw : str or Path, optional
        The raw BIDS folder with the events. Default: where the folder lies in ``derivatives`` of one, that one.
    pictures : str or Path, optional
        Folder of pictures, or ``"objects"`` for the embedded ones, which events name by id. Default: ``stimuli`` in the
        raw folder.
    column : str
        Of the tables of events: names the picture.
    trial_types : sequence of str, optional
        Take the events whose ``trial_type`` is one of these; each of them must name a picture.
    seed : int
        Of splits, when no table of events has a column ``split``.

    Attributes
    ----------
    name : str
    column : str
    trial_types : list of str or None
    subjects : tuple of str
    stimuli : Stimuli
        The pictures that events name.

    Raises
    ------
    FileNotFoundError
        The folder, the table or a file it names does not exist.
    ValueError
        No runs, an unknown subject, several spaces, damaged tables, or pictures that are not there.
    """

    def __init__(
        self,
        source: str | Path,
        subjects: Sequence[str] | None = None,
        task: str | None = None,
        space: str | None = None,
        raw: str | Path | None = None,
        pictures: str | Path | None = None,
        column: str = "stim_file",
        trial_types: Sequence[str] | None = None,
        seed: int = 0,
    ):
        source = Path(source)
        self.name, raw = source.resolve().name, None if raw is None else Path(raw)
        self.column, self.trial_types = column, None if trial_types is None else list(trial_types)
        runs = _derivatives(source, task, space, raw) if source.is_dir() else _table(source)
        found = list(dict.fromkeys(run.subject for run in runs))
        for name in subjects or ():
            if name not in found:
                raise unknown_name("subject", name, found)
        self.subjects = tuple(subjects or found)
        self._runs = [run for run in runs if run.subject in self.subjects]
        parts = [
            read_events(run.events, column, trial_types, unlabelled=True).assign(run=run.name)
            for run in self._runs
            if run.events is not None
        ]
        folder = _pictures(pictures, source, raw)
        self._trials, self.stimuli = _join(f"{column!r} of the events", parts, folder, seed)

    def runs(self, subject: str) -> list[BoldRun]:
        """List a subject's runs; a ValueError when there is no such subject."""
        if subject not in self.subjects:
            raise unknown_name("subject", subject, self.subjects)
        return [run for run in self._runs if run.subject == subject]

    def events(self, run: BoldRun) -> pd.DataFrame | None:
        """Return the events of a run as `ParcelRun` takes them, in seconds from its first volume, by onset.

        None when the run has no table of events, or none of them shows a picture.
        """
        rows = self._trials[self._trials["run"] == run.name]
        if run.events is None or not len(rows):
            return None
        durations = (
            pd.to_numeric(rows["duration"], errors="coerce") if "duration" in rows else pd.Series(0.0, rows.index)
        )
        rows = rows.assign(onset=rows["onset"] - run.start, duration=durations.fillna(0.0))
        first = ["onset", "duration", "stimulus", "split"]
        others = [name for name in rows if name not in (*first, "place", "run")]  # the same for all runs
        return rows.sort_values("onset", kind="stable")[first + others].reset_index(drop=True)


def _derivatives(root: Path, task: str | None, space: str | None, raw: Path | None) -> list[BoldRun]:
    filters = [("desc", "preproc"), *([("task", task)] if task else [])]
    files = sorted(map(Path, get_bids_files(root, file_tag="bold", file_type="nii*", filters=filters)))
    files = [file for file in files if is_nifti(file)]
    spaces = {file: parse_bids_filename(file)["entities"].get("space", "native") for file in files}
    of_task = f" of the task {task!r}" if task else ""
    if not files:
        raise ValueError(f"{root}: holds no *_desc-preproc_bold.nii.gz{of_task} as fMRIPrep names them")
    standard = sorted({each for each in spaces.values() if each.startswith("MNI")})
    if space is not None and space not in spaces.values():
        raise unknown_name(f"space of the images in {root}", space, set(spaces.values()))
    if space is None and len(standard) != 1:
        there = ", ".join(sorted(set(spaces.values())))
        raise ValueError(
            f"{root}: images{of_task} are in the spaces {there}; expected one MNI space, or choose a space"
        )
    chosen = [file for file in files if spaces[file] == (space or standard[0])]
    runs = [_derivative(file, root, raw) for file in chosen]
    names = [run.name for run in runs]
    for run in runs:
        if names.count(run.name) > 1:
            raise ValueError(f"{run.bold}: one of {names.count(run.name)} images of the run {run.name}; expected one")
    return runs


def _derivative(file: Path, root: Path, raw: Path | None) -> BoldRun:
    entities = parse_bids_filename(file)["entities"]
    name = "_".join(f"{key}-{entities[key]}" for key in OF_THE_RUN if key in entities)
    folder = file.parent.relative_to(root)
    places = [root, *([raw] if raw is not None else [root.parent, root.parent.parent])]
    events = [place / folder / f"{name}_events.tsv" for place in places]
    events += [place / f"task-{entities.get('task')}_events.tsv" for place in places]  # one for all, by inheritance
    confounds = [file.parent / f"{name}_{ending}" for ending in FMRIPREP]
    tr, start = _sidecar(file)
    return BoldRun(f"sub-{entities['sub']}", name, file, _first(events), _first(confounds), True, tr, start)


def _first(files: Sequence[Path]) -> Path | None:
    return next((file for file in files if file.is_file()), None)


def _sidecar(file: Path) -> tuple[float | None, float]:
    """Return repetition time and start that the JSON file beside an image names."""
    sidecar = file.with_name(file.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    about = read_json(sidecar) if sidecar.is_file() else {}
    values = {key: about.get(key) for key in ("RepetitionTime", "StartTime")}
    for key, value in values.items():
        if value is not None and not isinstance(value, int | float):
            raise ValueError(f"{sidecar}: {key} is {value!r}; expected seconds")
    return values["RepetitionTime"], float(values["StartTime"] or 0.0)


def _table(file: Path) -> list[BoldRun]:
    rows = read_table(file, "bold", "\t" if file.suffix == ".tsv" else ",")
    for name in ("subject", "run"):
        if name not in rows:
            raise ValueError(f"{file}: {unknown_name('column of the table of runs', name, rows)}")
        refuse_rows(file, rows, rows[name] == "", f"no {name}")
    refuse_rows(file, rows, rows["bold"] == "", "no image")
    refuse_rows(file, rows, rows.duplicated(["subject", "run"]), "a run that an earlier line has already", "run")
    for name in ("events", "confounds", "tr"):
        rows[name] = rows.get(name, "")
    numbers = pd.to_numeric(rows["tr"], errors="coerce")
    refuse_rows(file, rows, (rows["tr"] != "") & ~(numbers > 0), "a repetition time that is no number above 0", "tr")
    runs = []
    for (_, row), tr in zip(rows.iterrows(), numbers, strict=True):
        bold, events, confounds = (_named(file, row, name) for name in ("bold", "events", "confounds"))
        assert bold is not None
        sidecar_tr, start = _sidecar(bold)
        fmriprep = confounds is not None and confounds.parent == bold.parent and confounds.name.endswith(FMRIPREP)
        name = f"{row['subject']}_{row['run'] if row['run'].startswith('run-') else 'run-' + row['run']}"
        runs.append(
            BoldRun(
                row["subject"], name, bold, events, confounds, fmriprep, sidecar_tr if pd.isna(tr) else float(tr), start
            )
        )
    return runs


def _named(table: Path, row: pd.Series, column: str) -> Path | None:
    if not row[column]:
        return None
    file = table.parent / row[column]
    if not file.is_file():
        raise FileNotFoundError(f"{table}, {row['place']}: {file} of the column {column} is not there")
    return file


def _pictures(given: str | Path | None, source: Path, raw: Path | None) -> str | Path | None:
    if given is not None:
        return given
    above = [source.parent] if source.is_file() else [source, source.parent, source.parent.parent]
    places = [raw] if raw is not None else above
    return next((place / "stimuli" for place in places if (place / "stimuli").is_dir()), None)


def _join(where: str, parts: list[pd.DataFrame], folder: str | Path | None, seed: int) -> tuple[pd.DataFrame, Stimuli]:
    """Give trials their pictures' ids and splits."""
    parts = [part for part in parts if len(part)]
    if not parts:
        nothing = pd.DataFrame({"file": [], "caption": [], "split": []}, pd.Index([], name="id", dtype=str), dtype=str)
        return pd.DataFrame({"run": []}), FileStimuli("none", nothing)
    if folder is None:
        raise ValueError(f"{where}: name pictures, but there is no folder stimuli/; say where they are with pictures")
    rows = pd.concat(parts, ignore_index=True)
    text = rows.select_dtypes(exclude="number").columns
    rows[text] = rows[text].fillna("").replace("n/a", "")
    refuse_unlabelled(where, rows)
    stimuli: Stimuli = ObjectStimuli() if str(folder) == OBJECTS else FolderStimuli(folder)
    if isinstance(stimuli, FolderStimuli):
        rows["stimulus"] = match_pictures(where, rows, stimuli)
    else:
        refuse_rows(where, rows, ~rows["stimulus"].isin([*stimuli.ids, ""]), "no embedded picture", "stimulus")
        if "split" not in rows:
            rows["split"] = rows["stimulus"].map(stimuli.table["split"])
    imagined = rows["split"].str.startswith(IMAGINATION) if "split" in rows else pd.Series(False, rows.index)
    splits = picture_splits(where, rows[~imagined], seed)
    rows["split"] = splits.reindex(rows.index).fillna(rows["split"]) if imagined.any() else splits
    named = set(rows["stimulus"]) - {""}
    chosen = stimuli.subset(ids=[name for name in stimuli.ids if name in named])
    if "split" not in chosen.table:
        seen = rows[~imagined]
        splits = dict(zip(seen["stimulus"], seen["split"], strict=True))
        chosen.table = chosen.table.assign(split=chosen.table.index.map(splits).fillna("test"))
    return rows, chosen
