"""What data sets of every modality share: subjects whose trials answer pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import pandas as pd

from braindecode_x.files import unknown_name
from braindecode_x.stimuli import Stimuli

SPLITS = ("train", "validation", "test")


class SubjectTrials(ABC):
    """One subject's trials, for example `SubjectBetas` or `SubjectEpochs`.

    Attributes
    ----------
    name : str
    trials : pandas.DataFrame
        One row a trial: ``stimulus`` (id; empty for unlabelled trials) and ``split``; more columns are allowed.
    """

    name: str
    trials: pd.DataFrame

    @property
    @abstractmethod
    def responses(self) -> np.ndarray:
        """What was measured, (trials, ...) of float32."""

    def stimuli(self, rows: np.ndarray) -> np.ndarray:
        """Return the ids of the pictures of some trials, (n,) of str."""
        return self.trials["stimulus"].to_numpy(dtype=str)[rows]

    def average(self, split: str) -> tuple[list[str], np.ndarray]:
        """Average the repeats of each picture; unlabelled trials are left out.

        Parameters
        ----------
        split : {"train", "validation", "test"}

        Returns
        -------
        stimuli : list of str
            Ids, in the order of their first trials.
        responses : numpy.ndarray
            (stimuli, ...) of float32.

        Raises
        ------
        ValueError
            There are no trials of this split.
        """
        if split not in set(self.trials["split"]):
            raise unknown_name("split", split, self.trials["split"].unique())
        rows = np.flatnonzero((self.trials["split"] == split) & (self.trials["stimulus"] != ""))
        codes, stimuli = pd.factorize(self.trials["stimulus"].to_numpy()[rows])
        means = np.empty((len(stimuli), *self.responses.shape[1:]), np.float32)
        repeats = np.split(rows[np.argsort(codes, kind="stable")], np.bincount(codes).cumsum()[:-1])
        for number, chosen in enumerate(repeats):  # one at a time: all trials at once may take gigabytes
            means[number] = self.responses[chosen].mean(axis=0)
        return stimuli.tolist(), means


class Cohort(ABC):
    """A data set of several subjects, for example `SimulatedFmri`.

    Attributes
    ----------
    subjects : tuple of str
        Names.
    stimuli : Stimuli
        Every picture that a labelled trial names.
    """

    subjects: tuple[str, ...]
    stimuli: Stimuli

    @abstractmethod
    def subject(self, name: str) -> SubjectTrials:
        """Read one subject; a ValueError when there is no such one."""
