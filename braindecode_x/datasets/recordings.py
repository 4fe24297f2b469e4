"""Continuous recordings before they are cut into epochs, in the one form that every source comes in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import mne
import pandas as pd

from braindecode_x.stimuli import FileStimuli


class Run(NamedTuple):
    """A stretch of continuous recording.

    Attributes
    ----------
    name : str
        For error messages and progress bars, for example ``"sub-01 ses-02 training"``.
    raw : mne.io.BaseRaw
        In volts or tesla, with names and places of the channels; whoever gets it may change it in place.
    trials : pandas.DataFrame
        One row a trial: ``sample``, the onset of the picture as mne counts (the first sample of the recording is
        ``raw.first_samp``); ``stimulus`` (id); ``split``, the same as its picture's; more columns are allowed.
    """

    name: str
    raw: mne.io.BaseRaw
    trials: pd.DataFrame


class Recordings(ABC):
    """Recordings of several subjects in several sessions.

    Attributes
    ----------
    name : str
        Of the data set.
    subjects : tuple of str
        Names.
    stimuli : FileStimuli
        Every picture that a trial names, with the column ``split``.
    """

    name: str
    subjects: tuple[str, ...]
    stimuli: FileStimuli

    @abstractmethod
    def sessions(self, subject: str) -> tuple[str, ...]:
        """Name a subject's sessions; a ValueError when there is no such subject."""

    @abstractmethod
    def runs(self, subject: str, session: str) -> Iterator[Run]:
        """Read the runs of a session, one at a time, since each may take gigabytes."""
