"""Runs of parcellated BOLD, and the windows of volumes that answer a picture."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindecode_x.datasets.cohort import Cohort, SubjectTrials
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.files import unknown_name

SAME_TR = 1e-3  # relative: headers hold repetition times in single precision


@dataclass(frozen=True)
class ParcelRun:
    """One run.

    Attributes
    ----------
    name : str
        For example ``"sub-01_ses-01_task-objects_run-01"``.
    bold : numpy.ndarray
        (volumes, parcels) of float32, cleaned, every parcel standardised within the run; may be memory-mapped.
    tr : float
        Repetition time, seconds from one volume to the next.
    events : pandas.DataFrame or None
        ``onset`` and ``duration`` (seconds from the first volume), ``stimulus`` (id; empty for unlabelled trials) and
        ``split``; more columns are allowed. None: nothing is known of what was seen.

    Raises
    ------
    ValueError
        The BOLD has another number of axes, the repetition time is not above 0, or the events lack a column.
    """

    name: str
    bold: np.ndarray
    tr: float
    events: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        if self.bold.ndim != 2:
            raise ValueError(f"{self.name}: expected BOLD of (volumes, parcels), found shape {self.bold.shape}")
        if not self.tr > 0:
            raise ValueError(f"{self.name}: repetition time {self.tr}; expected seconds above 0")
        if self.events is not None:
            missing = {"onset", "duration", "stimulus", "split"} - set(self.events)
            if missing:
                raise ValueError(f"events of {self.name}: missing the columns {', '.join(sorted(missing))}")


def trial_windows(run: ParcelRun, n_volumes: int, delay: float) -> tuple[np.ndarray, pd.DataFrame]:
    """Cut out the volumes that follow each onset by a delay.

    A window begins with the volume nearest to ``onset + delay``, so that it lies up to half a repetition time beside
    its nominal times. Windows that do not lie wholly within the run are dropped with a warning that counts them, if
    need be all of them.

    Parameters
    ----------
    run : ParcelRun
    n_volumes : int
        Length of a window.
    delay : float
        Seconds from the onset to the first volume: the haemodynamic delay.

    Returns
    -------
    windows : numpy.ndarray
        (trials, volumes, parcels) of float32.
    trials : pandas.DataFrame
        The events that are left, with the column ``run`` besides.

    Raises
    ------
    ValueError
        The run has no events.
    """
    if run.events is None:
        raise ValueError(f"{run.name}: no events, so that no windows can be cut")
    onsets = run.events["onset"].to_numpy(dtype=float)
    starts = np.floor((onsets + delay) / run.tr + 0.5).astype(int)
    inside = (starts >= 0) & (starts + n_volumes <= len(run.bold))
    if not inside.all():
        warnings.warn(
            f"{run.name}: {(~inside).sum()} of {len(onsets)} trials are dropped: their windows of {n_volumes} volumes "
            f"from {delay:g} s do not lie within its {len(run.bold)} volumes of {run.tr:g} s",
            stacklevel=2,
        )
    volumes = starts[inside, None] + np.arange(n_volumes)
    trials = run.events[inside].reset_index(drop=True).assign(run=run.name)
    return np.asarray(run.bold[volumes], np.float32), trials


@dataclass(frozen=True)
class SubjectWindows(SubjectTrials):
    """One subject's trials as windows of volumes.

    Attributes
    ----------
    name : str
    windows : numpy.ndarray
        (trials, volumes, parcels) of float32.
    trials : pandas.DataFrame
        One row a trial: ``stimulus`` (id; empty for unlabelled trials) and ``split``; more columns are allowed.
    tr : float
        Repetition time, seconds.
    delay : float
        Seconds from the onset of the picture to the first volume of a window.
    parcels : Parcels

    Raises
    ------
    ValueError
        The shape of the windows does not fit the trials or the parcels.
    """

    name: str
    windows: np.ndarray
    trials: pd.DataFrame
    tr: float
    delay: float
    parcels: Parcels

    def __post_init__(self) -> None:
        shape = self.windows.shape
        if len(shape) != 3 or (shape[0], shape[2]) != (len(self.trials), len(self.parcels)):
            raise ValueError(
                f"windows of {self.name}: expected {len(self.trials)} trials of {len(self.parcels)} parcels, (trials, "
                f"volumes, parcels), found {shape}"
            )

    @property
    def responses(self) -> np.ndarray:
        """The windows."""
        return self.windows

    @property
    def times(self) -> np.ndarray:
        """(volumes,) of float64, seconds from the onset of the picture."""
        return self.delay + self.tr * np.arange(self.windows.shape[1])


class RunsCohort(Cohort):
    """A data set of several subjects' runs, whose trials are windows of them; see `Cohort`.

    Attributes
    ----------
    parcels : Parcels
        The same for all runs.
    tr : float
        Repetition time in seconds, the same for all runs.
    n_volumes : int
        Length of a trial's window.
    delay : float
        Seconds from an onset to the first volume of its window.
    """

    parcels: Parcels
    tr: float
    n_volumes: int
    delay: float

    @abstractmethod
    def runs(self, subject: str) -> Sequence[ParcelRun]:
        """Read a subject's runs, those without events too; a ValueError when there is no such subject."""

    def subject(self, name: str) -> SubjectWindows:
        """Cut one subject's windows out of those of its runs that have events.

        Parameters
        ----------
        name : str
            One of ``subjects``.

        Returns
        -------
        SubjectWindows
            Trials have the column ``run`` besides.

        Raises
        ------
        ValueError
            No such subject, none of its runs has events, no window lies within its run, or a run has another repetition
            time or number of parcels.
        """
        if name not in self.subjects:
            raise unknown_name("subject", name, self.subjects)
        runs = self.runs(name)
        labelled = [run for run in runs if run.events is not None and len(run.events)]
        if not labelled:
            raise ValueError(f"{name}: none of its {len(runs)} runs has events; they can serve for pre-training alone")
        for run in labelled:
            self._check(run)
        parts = [trial_windows(run, self.n_volumes, self.delay) for run in labelled]
        trials = pd.concat([trials for _, trials in parts], ignore_index=True)
        windows = np.concatenate([windows for windows, _ in parts])
        if not len(windows):
            raise ValueError(
                f"{name}: none of its trials has a window of {self.n_volumes} volumes from {self.delay:g} s after the "
                "onset that lies within its run"
            )
        return SubjectWindows(name, windows, trials, self.tr, self.delay, self.parcels)

    def _check(self, run: ParcelRun) -> None:
        if not np.isclose(run.tr, self.tr, rtol=SAME_TR):
            raise ValueError(f"{run.name}: repetition time {run.tr:g} s; expected {self.tr:g} s, as the other runs")
        if run.bold.shape[1] != len(self.parcels):
            raise ValueError(
                f"{run.name}: {run.bold.shape[1]} parcels; expected {len(self.parcels)}, those of the atlas "
                f"{self.parcels.atlas!r}"
            )
