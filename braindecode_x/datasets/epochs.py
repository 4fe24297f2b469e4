"""Single-trial EEG or MEG of one subject, in the one form that every data set of epochs comes in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import mne
import numpy as np
import pandas as pd

from braindecode_x.datasets.cohort import Cohort, SubjectTrials
from braindecode_x.files import unknown_name

BLOCK = 256  # trials that are looked at together: those of a whole recording may take gigabytes
FLAT = 1e-9  # of the channels' median range; magnetometers beside electrodes have 1e-8


@dataclass(frozen=True)
class EpochsLayout:
    """Channels and times of epochs: what a decoder that was trained on some expects of others.

    Attributes
    ----------
    channels : tuple of str
        Names, in order.
    sfreq : float
        Hertz.
    tmin : float
        Seconds from the onset of the picture to the first sample.
    n_times : int
        Samples.
    """

    trials: ClassVar[str] = "epochs"
    pooled_axes: ClassVar[tuple[int, int]] = (0, 2)  # of (trials, channels, times): what statistics are taken over

    channels: tuple[str, ...]
    sfreq: float
    tmin: float
    n_times: int

    @property
    def shape(self) -> tuple[int, int]:
        """(channels, times)."""
        return len(self.channels), self.n_times

    @property
    def times(self) -> np.ndarray:
        """(times,) of float64, seconds from the onset of the picture."""
        return self.tmin + np.arange(self.n_times) / self.sfreq

    @property
    def tmax(self) -> float:
        """Seconds from the onset of the picture to the end of the last sample."""
        return self.tmin + self.n_times / self.sfreq

    @classmethod
    def of(cls, epochs: mne.BaseEpochs) -> Self:
        """Return the layout of mne's epochs."""
        return cls(tuple(epochs.ch_names), epochs.info["sfreq"], float(epochs.tmin), len(epochs.times))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {**asdict(self), "channels": list(self.channels)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Take what `to_dict` gave."""
        return cls(**{**values, "channels": tuple(values["channels"])})

    def cut(
        self, channels: Sequence[str] | None, tmin: float | None, tmax: float | None, what: str
    ) -> tuple[EpochsLayout, list[int], slice]:
        """Choose channels and a window of time.

        Parameters
        ----------
        channels : sequence of str or None
            Names; None: all.
        tmin, tmax : float or None
            Seconds from the onset of the picture; the sample at ``tmax`` is not in the window, so that windows that
            follow each other share none. None: from the first, to the last sample.
        what : str
            What this layout is of, for errors.

        Returns
        -------
        layout : EpochsLayout
            Of what is left.
        picks : list of int
            Places of the channels.
        window : slice
            Of the samples.

        Raises
        ------
        ValueError
            A channel or a time that is not there, or an empty window.
        """
        channels = self.channels if channels is None else tuple(channels)
        refuse_missing_channels(channels, self.channels, what)
        cut_from, cut_to = self.tmin if tmin is None else tmin, self.tmax if tmax is None else tmax
        start, stop = (round((edge - self.tmin) * self.sfreq) for edge in (cut_from, cut_to))
        if not 0 <= start < stop <= self.n_times:
            asked = " to ".join(f"{edge:g} s" for edge in (cut_from, cut_to))
            raise ValueError(f"{what}: no window from {asked}; there are samples from {self.tmin:g} to {self.tmax:g} s")
        chosen = replace(self, channels=channels, tmin=self.tmin + start / self.sfreq, n_times=stop - start)
        return chosen, [self.channels.index(name) for name in channels], slice(start, stop)

    def take(self, epochs: mne.BaseEpochs) -> np.ndarray:
        """Cut epochs of anybody's to these channels and times.

        Parameters
        ----------
        epochs : mne.BaseEpochs
            May have more channels, in any order, and more time on either side.

        Returns
        -------
        numpy.ndarray
            (trials, channels, times) of float32.

        Raises
        ------
        ValueError
            Channels or times are missing, or the sampling rate differs.
        """
        left, picks, window = EpochsLayout.of(epochs).cut(self.channels, self.tmin, self.tmax, "epochs")
        self.require(left, "epochs", "the decoder")
        return epochs.get_data(picks=picks, copy=False)[:, :, window].astype(np.float32)

    def require(self, found: EpochsLayout, what: str, whose: str) -> None:
        """Refuse epochs of other channels or times.

        Parameters
        ----------
        found : EpochsLayout
        what : str
            Where it was found, for example ``"epochs of sub-02"``.
        whose : str
            Where this one is from, for example ``"the checkpoint"``.

        Raises
        ------
        ValueError
            Says what was found and what is expected.
        """
        refuse_missing_channels(self.channels, found.channels, what)
        for number, (ours, theirs) in enumerate(zip(self.channels, found.channels, strict=False)):
            if ours != theirs:
                raise ValueError(
                    f"{what}: channel {number} is {theirs!r}; expected {ours!r}, as {whose}; name the channels to "
                    "take, in one order, with data.init_args.channels"
                )
        if more := found.channels[len(self.channels) :]:
            raise ValueError(
                f"{what}: {len(found.channels)} channels; expected {len(self.channels)}, as {whose}, without "
                f"{', '.join(more[:5])}; name the channels to take with data.init_args.channels"
            )
        if not np.isclose(found.sfreq, self.sfreq, rtol=1e-4):
            raise ValueError(f"{what}: sampled at {found.sfreq:g} Hz; expected {self.sfreq:g} Hz, as {whose}; resample")
        if found.n_times != self.n_times or abs(found.tmin - self.tmin) > 0.5 / self.sfreq:
            theirs, ours = (f"{each.n_times} samples from {each.tmin:g} s" for each in (found, self))
            raise ValueError(f"{what}: {theirs}; expected {ours}, as {whose}; cut all epochs alike")


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
    def layout(self) -> EpochsLayout:
        """Channels and times."""
        return EpochsLayout(tuple(self.info["ch_names"]), self.info["sfreq"], self.tmin, self.epochs.shape[2])

    @property
    def channels(self) -> list[str]:
        """Names, in the order of the epochs."""
        return list(self.info["ch_names"])

    @property
    def times(self) -> np.ndarray:
        """(times,) of float64, seconds from the onset of the picture."""
        return self.layout.times

    def refuse_bad_values(self, picks: Sequence[int]) -> None:
        """Refuse values that are not finite and flat channels among some of the channels.

        Parameters
        ----------
        picks : sequence of int
            Places of channels.

        Raises
        ------
        ValueError
            Names the channels.
        """
        names = np.array(self.channels)[picks]
        bad, spread = np.zeros((len(self.epochs), len(picks)), bool), np.zeros(len(picks))
        for start in range(0, len(self.epochs), BLOCK):
            block = self.epochs[start : start + BLOCK][:, picks]
            bad[start : start + BLOCK] = ~np.isfinite(block).all(axis=2)
            with np.errstate(invalid="ignore"):
                spread = np.maximum(spread, np.ptp(block, axis=2).max(axis=0))
        trials, channels = (np.flatnonzero(bad.any(axis=axis)) for axis in (1, 0))
        if len(trials):
            raise ValueError(
                f"epochs of {self.name}: values that are not finite in {len(trials)} trials, the first is trial "
                f"{trials[0]}, of the channels {_listed(names[channels])}; drop these trials, or interpolate the "
                "channels"
            )
        flat = np.flatnonzero(spread <= FLAT * np.median(spread))
        if self.epochs.shape[2] > 1 and len(flat):
            raise ValueError(
                f"epochs of {self.name}: the channels {_listed(names[flat])} are flat in all trials; interpolate them, "
                "or leave them out"
            )


class EpochsCohort(Cohort):
    """A data set of several subjects' epochs, for example `SimulatedEeg`; see `Cohort`."""

    @abstractmethod
    def subject(self, name: str) -> SubjectEpochs:
        """Read one subject; a ValueError when there is no such one."""


def join_sessions(sessions: Mapping[str, SubjectEpochs]) -> SubjectEpochs:
    """Put a subject's sessions together.

    Parameters
    ----------
    sessions : mapping of str to SubjectEpochs
        By what a session is called.

    Returns
    -------
    SubjectEpochs
        Trials have the column ``session`` besides.

    Raises
    ------
    ValueError
        Sessions differ in channels or times.
    """
    name, first = next(iter(sessions.items()))
    for session, part in sessions.items():
        first.layout.require(part.layout, f"{first.name} {session}", name)
    trials = pd.concat([part.trials.assign(session=session) for session, part in sessions.items()], ignore_index=True)
    return replace(first, epochs=np.concatenate([part.epochs for part in sessions.values()]), trials=trials)


def refuse_missing_channels(expected: Sequence[str], found: Sequence[str], what: str) -> None:
    """Raise a ValueError that names the channels which are expected and not found, with the nearest that are found."""
    missing = [name for name in expected if name not in found]
    if missing:
        alike = [name for name in found if name.casefold() == missing[0].casefold()]
        raise ValueError(
            f"{what}: {len(missing)} of {len(expected)} expected channels are not among the {len(found)} found: "
            f"{_listed(missing)}; {unknown_name('channel', missing[0], alike or found)}"
        )


def _listed(names: Sequence[str] | np.ndarray) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
