"""Runs of parcellated BOLD that ``braindecode-x preprocess fmri`` made, in a folder of NumPy arrays.

Format
    ``settings.json``: how runs were made. ``parcels.json``: `Parcels`. ``windows.json``: length of a trial's window in
    volumes and delay in seconds, unless others are asked for. ``stimuli.csv``: ``id``, ``file``, ``caption``, ``split``
    of each picture. ``provenance.json``: the atlas, with hashes of its files, and versions of software.
    ``sub-01/runs.json``: the subject's runs, written when all are there. ``sub-01/<run>/bold.npy``: (volumes, parcels)
    of float32. ``events.tsv`` beside it, not of unlabelled runs: ``onset`` and ``duration`` in seconds from the first
    volume, ``stimulus``, ``split`` and more. ``run.json``: repetition time, volumes, and the files that it was made of
    with their hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.runs import ParcelRun, RunsCohort
from braindecode_x.datasets.stimuli_tables import read_stimuli
from braindecode_x.files import SETTINGS, atomic_folder, read_json, unknown_name, write_json
from braindecode_x.stimuli import ObjectStimuli

PARCELS, WINDOWS, RUNS, PROVENANCE = "parcels.json", "windows.json", "runs.json", "provenance.json"
BOLD, EVENTS, RUN = "bold.npy", "events.tsv", "run.json"


class PreprocessedRuns(RunsCohort):
    """Runs that ``braindecode-x preprocess fmri`` made.

    Parameters
    ----------
    folder : str or Path
        The command's output.
    subjects : sequence of str, optional
        Default all whose runs are there.
    pictures : str or Path, optional
        Folder of the pictures, when they were moved since.
    n_volumes : int, optional
        Length of a trial's window; default as the command was told.
    delay : float, optional
        Seconds from an onset to the first volume of its window; default as the command was told.

    Raises
    ------
    FileNotFoundError
        The folder holds no finished subject.
    ValueError
        An unknown subject, or no volume in a window; later, damaged files.

    Examples
    --------
    >>> cohort = PreprocessedRuns("parcels", n_volumes=6, delay=3.0)  # doctest: +SKIP
    """

    def __init__(
        self,
        folder: str | Path,
        subjects: Sequence[str] | None = None,
        pictures: str | Path | None = None,
        n_volumes: int | None = None,
        delay: float | None = None,
    ):
        self.folder = Path(folder)
        self._names = {file.parent.name: list(read_json(file)) for file in sorted(self.folder.glob(f"*/{RUNS}"))}
        if not self._names:
            raise FileNotFoundError(
                f"{self.folder}: holds no subject whose runs are all there; run braindecode-x preprocess fmri, which "
                "goes on where it was cut"
            )
        for name in subjects or ():
            if name not in self._names:
                raise unknown_name("subject", name, self._names)
        self.subjects = tuple(subjects or self._names)
        windows, settings = read_json(self.folder / WINDOWS), read_json(self.folder / SETTINGS)
        self.n_volumes = int(windows["n_volumes"] if n_volumes is None else n_volumes)
        self.delay = float(windows["delay"] if delay is None else delay)
        if self.n_volumes < 1:
            raise ValueError(f"n_volumes: expected at least 1, found {self.n_volumes}")
        self.parcels = Parcels.from_dict(read_json(self.folder / PARCELS))
        first = self.subjects[0]
        self.tr = float(read_json(run_folder(self.folder, first, self._names[first][0]) / RUN)["tr"])
        self.stimuli = read_stimuli(self.folder, str(settings["recordings"]), pictures)
        if settings["pictures"] == "objects":
            self.stimuli = ObjectStimuli().subset(ids=self.stimuli.ids)  # type: ignore[assignment]

    @property
    def table(self) -> pd.DataFrame:
        """One row a run: ``subject``, ``run``, ``labelled``, and what its ``run.json`` says of it."""
        rows = []
        for subject in self.subjects:
            for name in self._names[subject]:
                folder = run_folder(self.folder, subject, name)
                about = {key: value for key, value in read_json(folder / RUN).items() if key != "inputs"}
                rows.append({"subject": subject, "run": name, "labelled": (folder / EVENTS).is_file(), **about})
        return pd.DataFrame(rows)

    def runs(self, subject: str) -> list[ParcelRun]:
        """Open a subject's runs; their BOLD is memory-mapped.

        Raises
        ------
        ValueError
            No such subject, or a damaged file.
        """
        if subject not in self.subjects:
            raise unknown_name("subject", subject, self.subjects)
        return [self._run(run_folder(self.folder, subject, name)) for name in self._names[subject]]

    def _run(self, folder: Path) -> ParcelRun:
        about = read_json(folder / RUN)
        file, expected = folder / BOLD, (int(about["volumes"]), len(self.parcels))
        try:
            bold = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise ValueError(f"{file}: damaged, or not there ({error}); remove {folder} and make it anew") from error
        if bold.shape != expected:
            raise ValueError(f"{file}: of shape {bold.shape}; expected {expected}; remove {folder} and make it anew")
        events = _read_events(folder / EVENTS) if (folder / EVENTS).is_file() else None
        return ParcelRun(folder.name, bold, float(about["tr"]), events)


def run_folder(folder: Path, subject: str, run: str) -> Path:
    """Return the folder of a run."""
    return folder / subject / run


def write_run(folder: Path, subject: str, run: ParcelRun, about: dict[str, Any]) -> None:
    """Write a run, so that either all of its files are there or none.

    Parameters
    ----------
    folder : Path
        Of all runs.
    subject : str
    run : ParcelRun
    about : dict
        For ``run.json``; volumes and repetition time are added.
    """
    with atomic_folder(run_folder(folder, subject, run.name)) as temporary:
        np.save(temporary / BOLD, np.asarray(run.bold, np.float32))
        if run.events is not None:
            run.events.to_csv(temporary / EVENTS, sep="\t", index=False)
        write_json(temporary / RUN, {"tr": run.tr, "volumes": len(run.bold), **about})


def _read_events(file: Path) -> pd.DataFrame:
    try:
        rows = pd.read_csv(file, sep="\t", dtype=str, keep_default_na=False)
        return rows.assign(onset=rows["onset"].astype(float), duration=rows["duration"].astype(float))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{file}: damaged ({error}); remove its folder and make it anew") from error
