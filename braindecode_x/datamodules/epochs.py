"""Epochs of a cohort with CLIP targets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import mne
import numpy as np
import torch

from braindecode_x.datamodules.base import CohortDataModule, PictureTrials, Standardisation, Targets
from braindecode_x.datasets.epochs import BLOCK, EpochsCohort, EpochsLayout, SubjectEpochs

Cut = tuple[EpochsLayout, list[int], slice]


class EpochsPictures(PictureTrials):
    """One subject's pictures; an item is a mix of the picture's repeats, cut, standardised and augmented.

    The recording is left where it is, also on disk.

    Parameters
    ----------
    recording : SubjectEpochs
    rows : numpy.ndarray
        (n,) of int: the trials to take.
    cut : tuple
        What `EpochsLayout.cut` gave.
    standardise : Standardisation
    subject : int
    targets : mapping of str to tuple of torch.Tensor
        Image and text target of each picture.

    Attributes
    ----------
    mix, time_shift, channel_dropout
        See `EpochsDataModule`; none when made. Draws come from torch's global generator.
    """

    def __init__(
        self,
        recording: SubjectEpochs,
        rows: np.ndarray,
        cut: Cut,
        standardise: Standardisation,
        subject: int,
        targets: Targets,
    ):
        super().__init__(recording.epochs, recording.stimuli(rows), subject, targets, mix=False)
        layout, self.picks, self.window = cut
        self.trials, self.standardise = rows, standardise
        self.times = torch.from_numpy(layout.times.astype(np.float32))
        self.time_shift, self.channel_dropout = 0, 0.0

    def brain(self, rows: list[int]) -> torch.Tensor:
        """Average some of the trials: (channels, times)."""
        whole = self.responses[self.trials[rows]].mean(axis=0)
        samples = np.arange(self.window.start, self.window.stop)
        if self.time_shift:
            shift = int(torch.randint(-self.time_shift, self.time_shift + 1, ()))
            samples = (samples + shift).clip(0, whole.shape[1] - 1)
        brain = torch.from_numpy(self.standardise(whole[self.picks][:, samples]))
        if self.channel_dropout:
            brain *= torch.rand(len(brain), 1) >= self.channel_dropout
        return brain


class EpochsDataModule(CohortDataModule):
    """Batches of EEG or MEG (batch, channels, times), every channel standardised over training trials and times.

    All subjects have the same channels, in one order, and times. To decode a subject that was left out of training,
    ``fit`` with the others as ``subjects``, then ``test`` with this one: it is standardised by its own training trials
    (by all its trials where it has none; their pictures are not looked at), where the network takes new subjects.

    Parameters
    ----------
    cohort : EpochsCohort
        For example `SimulatedEeg` or `OwnEpochs`.
    subjects : sequence of str, optional
        Default: all of the cohort.
    channels : sequence of str, optional
        Take these, in this order. Default: all.
    tmin, tmax : float, optional
        Take the samples from ``tmin`` to before ``tmax``, seconds from the onset of the picture. Default: all.
    time_shift : int
        In training, shift every trial by a random number of samples, up to so many in either direction. What lies
        outside the window is taken from the recording; beyond its ends the last value is held.
    channel_dropout : float
        In training, set so large a share of channels to their mean, drawn anew for each trial.
    **options
        See `CohortDataModule`.

    Raises
    ------
    ValueError
        An option out of its range.
    """

    cohort: EpochsCohort

    def __init__(
        self,
        cohort: EpochsCohort,
        subjects: Sequence[str] | None = None,
        channels: Sequence[str] | None = None,
        tmin: float | None = None,
        tmax: float | None = None,
        time_shift: int = 0,
        channel_dropout: float = 0.0,
        **options: Any,
    ):
        super().__init__(cohort, subjects, **options)
        if time_shift < 0:
            raise ValueError(f"time_shift: expected a number of samples of at least 0, found {time_shift}")
        if not 0 <= channel_dropout < 1:
            raise ValueError(f"channel_dropout: expected a share in [0, 1), found {channel_dropout}")
        self.channels, self.tmin, self.tmax = channels, tmin, tmax
        self.time_shift, self.channel_dropout = time_shift, channel_dropout

    @cached_property
    def recordings(self) -> dict[str, SubjectEpochs]:
        """Every subject's epochs, read once.

        Raises
        ------
        ValueError
            A subject's channels or times are not those of the first one, values are not finite, or channels are flat.
        """
        recordings = {}
        first: tuple[str, EpochsLayout] | None = None
        for name in self.subjects:
            recordings[name] = self.cohort.subject(name)
            layout, picks, _ = self._cut(recordings[name])
            first = first or (name, layout)
            first[1].require(layout, f"epochs of {name}", first[0])
            recordings[name].refuse_bad_values(picks)
        return recordings

    @property
    def layout(self) -> EpochsLayout:
        """Channels and times, the same for every subject."""
        return self._cut(self.recordings[self.subjects[0]])[0]

    @property
    def info(self) -> mne.Info:
        """Of the channels, with the positions that they have on the first subject."""
        recording = self.recordings[self.subjects[0]]
        return mne.pick_info(recording.info, self._cut(recording)[1])

    def shape(self, name: str) -> tuple[int, ...]:
        """Return (channels, times)."""
        return self.layout.shape

    def standardisation(self, name: str, rows: np.ndarray) -> Standardisation:
        """Compute the mean and standard deviation of every channel over some trials, within the window: (channels, 1).

        In blocks, and the deviation from the mean in a second pass, as values are tiny beside their offset.
        """
        recording = self.recordings[name]
        layout, picks, window = self._cut(recording)
        blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
        count = len(rows) * layout.n_times

        def summed(mean: np.ndarray | float, power: int) -> np.ndarray:
            parts = (recording.epochs[block][:, picks, window].astype(np.float64) for block in blocks)
            return np.sum([((part - mean) ** power).sum(axis=(0, 2)) for part in parts], axis=0)[:, None] / count

        mean = summed(0.0, 1)
        std = np.sqrt(summed(mean, 2))
        return Standardisation(mean.astype(np.float32), np.where(std > 0, std, 1).astype(np.float32))

    def pictures(self, name: str, rows: np.ndarray, targets: Targets, training: bool) -> PictureTrials:
        """Make the data set of some of a subject's trials; in training repeats are mixed and trials augmented."""
        recording = self.recordings[name]
        data = EpochsPictures(
            recording, rows, self._cut(recording), self.standardisations[name], self.ids[name], targets
        )
        if training:
            data.mix, data.time_shift, data.channel_dropout = self.mix_repeats, self.time_shift, self.channel_dropout
        return data

    def _cut(self, recording: SubjectEpochs) -> Cut:
        return recording.layout.cut(self.channels, self.tmin, self.tmax, f"epochs of {recording.name}")
