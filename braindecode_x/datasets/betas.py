"""Single-trial fMRI patterns of one subject, in the one form that every data set of betas comes in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindecode_x.files import unknown_name
from braindecode_x.stimuli import Stimuli

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class SubjectBetas:
    """One subject's trials.

    Attributes
    ----------
    name : str
    betas : numpy.ndarray
        (trials, voxels) of float32.
    trials : pandas.DataFrame
        One row a trial: ``stimulus`` (id; empty for unlabelled trials) and ``split``.
    regions : numpy.ndarray or None
        (voxels,) of str, when voxels have names of regions.
    """

    name: str
    betas: np.ndarray
    trials: pd.DataFrame
    regions: np.ndarray | None

    def average(self, split: str) -> tuple[list[str], np.ndarray]:
        """Average the repeats of each picture; unlabelled trials are left out.

        Parameters
        ----------
        split : {"train", "validation", "test"}

        Returns
        -------
        stimuli : list of str
            Ids, in the order of their first trials.
        betas : numpy.ndarray
            (stimuli, voxels) of float32.

        Raises
        ------
        ValueError
            There are no trials of this split.
        """
        if split not in set(self.trials["split"]):
            raise unknown_name("split", split, self.trials["split"].unique())
        rows = np.flatnonzero((self.trials["split"] == split) & (self.trials["stimulus"] != ""))
        codes, stimuli = pd.factorize(self.trials["stimulus"].to_numpy()[rows])
        sums = np.zeros((len(stimuli), self.betas.shape[1]), np.float32)
        np.add.at(sums, codes, self.betas[rows])
        return stimuli.tolist(), sums / np.bincount(codes)[:, None].astype(np.float32)


class Cohort(ABC):
    """A data set of several subjects' betas, for example `SimulatedFmri`.

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
    def subject(self, name: str) -> SubjectBetas:
        """Read one subject; a ValueError when there is no such one."""
