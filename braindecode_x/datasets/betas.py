"""Single-trial fMRI patterns of one subject, in the one form that every data set of betas comes in."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindecode_x.datasets.cohort import Cohort, SubjectTrials


@dataclass(frozen=True)
class SubjectBetas(SubjectTrials):
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

    @property
    def responses(self) -> np.ndarray:
        """The betas."""
        return self.betas


class BetasCohort(Cohort):
    """A data set of several subjects' betas, for example `SimulatedFmri`; see `Cohort`."""

    @abstractmethod
    def subject(self, name: str) -> SubjectBetas:
        """Read one subject; a ValueError when there is no such one."""
