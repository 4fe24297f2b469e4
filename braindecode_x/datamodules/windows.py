"""Windows of whole-brain BOLD of a cohort with CLIP targets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from braindecode_x.datamodules.base import CohortDataModule, PictureTrials, Standardisation, Targets
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.runs import RunsCohort, SubjectWindows
from braindecode_x.datasets.windows_layout import WindowsLayout

BLOCK = 256  # windows that are looked at together: those of a whole recording may take gigabytes


class WindowsPictures(PictureTrials):
    """One subject's pictures; an item is a mix of the picture's repeats, parcels picked, standardised.

    Parameters
    ----------
    recording : SubjectWindows
    rows : numpy.ndarray
        (n,) of int: the trials to take.
    picks : numpy.ndarray
        Places of the parcels.
    standardise : Standardisation
        Of these parcels.
    subject, targets, mix
        See `PictureTrials`.
    """

    def __init__(
        self,
        recording: SubjectWindows,
        rows: np.ndarray,
        picks: np.ndarray,
        standardise: Standardisation,
        subject: int,
        targets: Targets,
        mix: Any,
    ):
        super().__init__(recording.windows, recording.stimuli(rows), subject, targets, mix)
        self.trials, self.picks, self.standardise = rows, picks, standardise
        self.times, self.tr = torch.from_numpy(recording.times.astype(np.float32)), recording.tr

    def brain(self, rows: list[int]) -> torch.Tensor:
        """Average some of the trials: (volumes, parcels)."""
        return torch.from_numpy(self.standardise(self.responses[self.trials[rows]].mean(axis=0)[:, self.picks]))


class WindowsDataModule(CohortDataModule):
    """Batches of windows (batch, volumes, parcels), with ``times`` (batch, volumes) and ``tr`` (batch,) in seconds.

    Parameters
    ----------
    cohort : RunsCohort
        For example `PreprocessedRuns` or `SimulatedWholeBrain`.
    subjects : sequence of str, optional
        Default: all of the cohort.
    networks : sequence of str, optional
        Take the parcels of these networks, in the order of the atlas. Default: all parcels.
    standardise : bool
        Make every parcel's mean 0 and standard deviation 1 over the volumes of training trials. False: leave it as it
        is standardised in its run, as a network that was pre-trained on runs knows it.
    **options
        See `CohortDataModule`.

    Raises
    ------
    ValueError
        Unknown subject or network, no network, or an option out of its range.
    """

    cohort: RunsCohort

    def __init__(
        self,
        cohort: RunsCohort,
        subjects: Sequence[str] | None = None,
        networks: Sequence[str] | None = None,
        standardise: bool = True,
        **options: Any,
    ):
        super().__init__(cohort, subjects, **options)
        self.networks, self.standardise = networks, standardise
        every = cohort.parcels
        if networks is not None and not len(networks):
            raise ValueError(f"networks: expected some of {', '.join(every.network_names)}, found none")
        chosen = np.ones(len(every), bool)
        if networks is not None:
            chosen = np.any([every.in_network(name) for name in networks], axis=0)
        self.picks = np.flatnonzero(chosen)

    @property
    def parcels(self) -> Parcels:
        """Those that batches hold."""
        return self.cohort.parcels if self.networks is None else self.cohort.parcels.take(self.picks.tolist())

    @cached_property
    def recordings(self) -> dict[str, SubjectWindows]:
        """Every subject's windows, read once.

        Raises
        ------
        ValueError
            Parcels or times are not those of the first subject, or values are not finite.
        """
        recordings = {}
        first: tuple[str, WindowsLayout] | None = None
        for name in self.subjects:
            recordings[name] = self.cohort.subject(name)
            layout = _layout(recordings[name])
            first = first or (name, layout)
            first[1].require(layout, f"windows of {name}", first[0])
            _refuse_bad_values(recordings[name], self.picks)
        return recordings

    @property
    def layout(self) -> WindowsLayout:
        """Parcels and times, the same for every subject."""
        whole = _layout(self.recordings[self.subjects[0]])
        return WindowsLayout(self.parcels, whole.n_volumes, whole.tr, whole.delay)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return (volumes, parcels)."""
        return self.layout.shape

    def standardisation(self, name: str, rows: np.ndarray) -> Standardisation:
        """Compute the mean and standard deviation of every parcel over some trials: (1, parcels)."""
        if not self.standardise:
            return Standardisation(
                np.zeros((1, len(self.picks)), np.float32), np.ones((1, len(self.picks)), np.float32)
            )
        windows = self.recordings[name].windows
        volumes = windows[rows].reshape(-1, windows.shape[2])[:, self.picks]
        whole = Standardisation.of(volumes)
        return Standardisation(whole.mean[None], whole.std[None])

    def pictures(self, name: str, rows: np.ndarray, targets: Targets, training: bool) -> PictureTrials:
        """Make the data set of some of a subject's trials; in training repeats are mixed."""
        mix = training and self.mix_repeats
        standardise = self.standardisations[name]
        return WindowsPictures(self.recordings[name], rows, self.picks, standardise, self.ids[name], targets, mix)


def _layout(recording: SubjectWindows) -> WindowsLayout:
    return WindowsLayout(recording.parcels, recording.windows.shape[1], recording.tr, recording.delay)


def _refuse_bad_values(recording: SubjectWindows, picks: np.ndarray) -> None:
    for start in range(0, len(recording.windows), BLOCK):
        bad = np.argwhere(~np.isfinite(recording.windows[start : start + BLOCK][:, :, picks]))
        if len(bad):
            trial, _, parcel = bad[0]
            raise ValueError(
                f"windows of {recording.name}: values are not finite, the first in trial {start + trial}, parcel "
                f"{recording.parcels.names[picks[parcel]]!r}; leave out the run or the parcel"
            )
