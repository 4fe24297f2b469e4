"""Betas of a cohort with CLIP targets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from braindecode_x.datamodules.base import CohortDataModule, PictureTrials, Standardisation, Targets
from braindecode_x.datasets.betas import BetasCohort, SubjectBetas


class BetasDataModule(CohortDataModule):
    """Batches of betas (batch, voxels), every voxel standardised.

    Parameters
    ----------
    cohort : BetasCohort
        For example `SimulatedFmri` or `TableBetas`.
    subjects : sequence of str, optional
        Default: all of the cohort.
    **options
        See `CohortDataModule`.
    """

    cohort: BetasCohort

    def __init__(self, cohort: BetasCohort, subjects: Sequence[str] | None = None, **options: Any):
        super().__init__(cohort, subjects, **options)

    @cached_property
    def recordings(self) -> dict[str, SubjectBetas]:
        """Every subject's betas, read once; a value that is not finite is a ValueError."""
        recordings = {name: self.cohort.subject(name) for name in self.subjects}
        for name, recording in recordings.items():
            bad = np.argwhere(~np.isfinite(recording.betas))
            if len(bad):
                raise ValueError(
                    f"betas of {name}: {len(bad)} values are not finite, the first in trial {bad[0, 0]}, "
                    f"voxel {bad[0, 1]}"
                )
        return recordings

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the number of a subject's voxels, (voxels,)."""
        return self.recordings[name].betas.shape[1:]

    def standardisation(self, name: str, rows: np.ndarray) -> Standardisation:
        """Compute the mean and standard deviation of every voxel over some trials."""
        return Standardisation.of(self.recordings[name].betas[rows])

    def pictures(self, name: str, rows: np.ndarray, targets: Targets, training: bool) -> PictureTrials:
        """Make the data set of some of a subject's trials."""
        recording = self.recordings[name]
        betas = self.standardisations[name](recording.betas[rows])
        return PictureTrials(betas, recording.stimuli(rows), self.ids[name], targets, training and self.mix_repeats)
