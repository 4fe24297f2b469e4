"""Single-trial EEG or MEG of one subject, in the one form that every data set of epochs comes in."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import mne
import numpy as np
import pandas as pd

from braindecode_x.datasets.cohort import Cohort, SubjectTrials


@dataclass(frozen=True)
class SubjectEpochs(SubjectTrials):
    """One subject's trials.

    Attributes
    ----------
    name : str
    epochs : numpy.ndarray
        (trials, channels, times) of float32, in volts or tesla, or standardised; may be memory-mapped.
    trials : pandas.DataFrame
        One row a trial: ``stimulus`` (id; empty for unlabelled trials) and ``split``; more columns are allowed.
    info : mne.Info
        Of the channels: names, types, positions, and the sampling rate.
    tmin : float
        Seconds from the onset of the picture to the first sample.

    Raises
    ------
    ValueError
        The shape of the epochs does not fit the trials or the channels.
    """

    name: str
    epochs: np.ndarray
    trials: pd.DataFrame
    info: mne.Info
    tmin: float

    def __post_init__(self) -> None:
        expected = (len(self.trials), len(self.info["ch_names"]))
        if self.epochs.ndim != 3 or self.epochs.shape[:2] != expected:
            raise ValueError(
                f"epochs of {self.name}: expected {expected[0]} trials of {expected[1]} channels, (trials, channels, "
                f"times), found {self.epochs.shape}"
            )

    @property
    def responses(self) -> np.ndarray:
        """The epochs."""
        return self.epochs

    @property
    def channels(self) -> list[str]:
        """Names, in the order of the epochs."""
        return list(self.info["ch_names"])

    @property
    def times(self) -> np.ndarray:
        """(times,) of float64, seconds from the onset of the picture."""
        return self.tmin + np.arange(self.epochs.shape[2]) / self.info["sfreq"]


class EpochsCohort(Cohort):
    """A data set of several subjects' epochs, for example `SimulatedEeg`; see `Cohort`."""

    @abstractmethod
    def subject(self, name: str) -> SubjectEpochs:
        """Read one subject; a ValueError when there is no such one."""
