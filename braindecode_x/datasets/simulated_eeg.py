"""Simulated EEG and MEG subjects who look at the embedded object pictures, with known truth.

Format
    Single-trial epochs (trials x channels x times) in volts or tesla, from -0.2 to 1.0 s around the picture's onset,
    baseline-corrected, made when asked for. Nothing is stored but the features of the pictures, in the cache folder.
Design
    Four people, recorded by 63 electrodes (those of THINGS-EEG2, average reference) or by the 151 or 274 axial
    gradiometers of a CTF helmet. Each sees the 3D renderings of the 1,076 training concepts four times, and those of
    the 100 validation and the 200 test concepts 20 times (EEG) or 12 times (MEG).
Truth
    Five sources, each a patch of dipoles in both hemispheres, answer at known places and times to features of the
    picture (`picture_features`) and of its concept's name (`concept_features`), never to an embedding that is decoded
    to. A spherical head takes them to the sensors. Noise: background activity of the whole cortex with a 1/f spectrum,
    alpha from occipito-parietal generators, and the sensors' own.
Licence
    Made by this package's code (MIT); see ``data_cards/simulated_eeg.md``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import mne
import numpy as np
import pandas as pd

from braindecode_x.datasets.epochs import EpochsCohort, SubjectEpochs
from braindecode_x.datasets.simulated_cohort import SimulatedCohort, checked_noise, checked_repeats
from braindecode_x.datasets.simulated_heads import CENTRE, HELMETS, forward, meg_info
from braindecode_x.datasets.simulated_noise import (
    Component,
    add_noise,
    aperiodic,
    background_places,
    coloured,
    draw_alpha_places,
    mixed,
    peak,
)
from braindecode_x.datasets.simulated_sources import SOURCES, Dipoles, Source, draw_dipoles
from braindecode_x.datasets.things_channels import eeg_info
from braindecode_x.files import unknown_name
from braindecode_x.stimuli import Stimuli

TMIN, TMAX = -0.2, 1.0  # seconds from the picture's onset
SFREQ = (50.0, 1000.0)  # Hz, lowest and highest sampling rate


@dataclass(frozen=True)
class Person:
    """What makes a subject: noise relative to the cohort's level in EEG and in MEG, and the frequency of alpha (Hz)."""

    eeg: float
    meg: float
    alpha: float


PEOPLE = {
    "sub-01": Person(0.95, 0.65, 10.0),
    "sub-02": Person(1.05, 0.85, 9.4),
    "sub-03": Person(0.8, 0.65, 10.6),
    "sub-04": Person(0.85, 0.6, 9.8),
}
BACKGROUND_MOMENT, ALPHA_MOMENT = 3.2e-9, 4.5e-9  # standard deviation of a dipole in each direction, ampere-metres
PERSON_BACKGROUND = 0.3  # of each background dipole's strength between people, in natural logarithms
EXPONENT = 1.5  # of the background's spectrum


@dataclass(frozen=True)
class SourceTruth:
    """How a subject's epochs came about.

    Attributes
    ----------
    dipoles : Dipoles
        Places, directions, latencies, preferences and weights.
    pictures : list of str
        Ids, the rows of ``moments``.
    moments : numpy.ndarray
        (pictures, dipoles) of float32, ampere-metres at each dipole's latency.
    courses : numpy.ndarray
        (dipoles, times) of float32 in [0, 1]: how a dipole's activity rises and decays.
    gain : numpy.ndarray
        (channels, dipoles) of float32, volts or tesla for one ampere-metre.
    noise : numpy.ndarray
        (channels,) of float32: standard deviation of the noise before the baseline is taken off, volts or tesla.
    """

    dipoles: Dipoles
    pictures: list[str]
    moments: np.ndarray
    courses: np.ndarray
    gain: np.ndarray
    noise: np.ndarray

    def evoked(self, stimuli: Sequence[str] | None = None, sources: Sequence[str] | None = None) -> np.ndarray:
        """Return epochs without noise.

        Parameters
        ----------
        stimuli : sequence of str, optional
            Ids, default all pictures.
        sources : sequence of str, optional
            Only what these contribute; default all.

        Returns
        -------
        numpy.ndarray
            (stimuli, channels, times) of float32, volts or tesla.

        Raises
        ------
        ValueError
            No such source, or no such picture.
        """
        number = {stimulus: row for row, stimulus in enumerate(self.pictures)}
        wanted = self.pictures if stimuli is None else stimuli
        for stimulus in set(wanted) - set(number):
            raise unknown_name("picture", stimulus, number)
        for source in set(sources or ()) - set(SOURCES):
            raise unknown_name("source", source, SOURCES)
        chosen = self.dipoles.table["source"].isin(SOURCES if sources is None else sources).to_numpy()
        moments = self.moments[[number[stimulus] for stimulus in wanted]][:, chosen]
        return (moments[:, None] * self.gain[:, chosen]) @ self.courses[chosen]


@dataclass(frozen=True)
class SimulatedRecording(SubjectEpochs):
    """One subject's experiment.

    Attributes
    ----------
    name : str
    epochs : numpy.ndarray
        (trials, channels, times) of float32, volts or tesla.
    trials : pandas.DataFrame
        One row a trial: ``stimulus`` (id), ``repeat`` (from 0), ``split``; repeats of a picture follow each other.
    info : mne.Info
    tmin : float
    truth : SourceTruth
    """

    truth: SourceTruth

    def repeats(self, split: str) -> np.ndarray:
        """Return the epochs of a split by picture: (stimuli, repeats, channels, times), a view."""
        chosen = np.flatnonzero(self.trials["split"] == split)
        if not len(chosen):
            raise unknown_name("split", split, self.trials["split"].unique())
        repeats = int(self.trials["repeat"].iloc[chosen].max()) + 1
        return self.epochs[chosen[0] : chosen[-1] + 1].reshape(-1, repeats, *self.epochs.shape[1:])


class _SimulatedSensors(SimulatedCohort, EpochsCohort):
    """What simulated EEG and MEG share; the same seed gives the same heads."""

    subjects = tuple(PEOPLE)
    default_repeats: ClassVar[dict[str, int]]

    def __init__(
        self,
        seed: int,
        stimuli: Stimuli | None,
        folder: str | Path | None,
        sfreq: float,
        repeats: Mapping[str, int] | None,
        noise: float,
    ):
        super().__init__(seed, stimuli, folder)
        if not SFREQ[0] <= sfreq <= SFREQ[1]:
            raise ValueError(f"sfreq: expected {SFREQ[0]:g} to {SFREQ[1]:g} Hz, found {sfreq}")
        self.sfreq, self.noise = float(sfreq), checked_noise(noise)
        self.repeats = checked_repeats(repeats, self.default_repeats)
        self.truth = pd.DataFrame([_row(source) for source in SOURCES.values()], list(SOURCES)).fillna(0.0)

    @property
    @abstractmethod
    def info(self) -> mne.Info:
        """The sensors."""

    @property
    def times(self) -> np.ndarray:
        """(times,) of float64, seconds from the picture's onset."""
        return np.arange(round(TMIN * self.sfreq), round(TMAX * self.sfreq)) / self.sfreq

    @abstractmethod
    def _sensor_noise(self, n_channels: int) -> np.ndarray:
        """Return the root of the covariance of the sensors' own noise, (channels, channels)."""

    @abstractmethod
    def _noise_level(self, person: Person) -> float:
        """Return a person's noise relative to the cohort's."""

    def subject(self, name: str) -> SimulatedRecording:
        """Let one subject see the pictures.

        Parameters
        ----------
        name : str
            One of ``subjects``.

        Raises
        ------
        ValueError
            No such subject.
        """
        if name not in PEOPLE:
            raise unknown_name("subject", name, PEOPLE)
        number, info, times = self.subjects.index(name), self.info, self.times
        rng = np.random.default_rng([self.seed, 1, number])
        dipoles = draw_dipoles(SOURCES, self.feature_channels, np.random.default_rng([self.seed, 0]), rng)
        noise = self._noise(PEOPLE[name], info, rng)
        truth = SourceTruth(
            dipoles,
            self.stimuli.ids,
            dipoles.moments(SOURCES, self.features, self.training),
            dipoles.courses(SOURCES, times),
            dipoles.measured_by(info),
            np.sqrt(sum(np.square(component.space).sum(axis=1) for component in noise)),
        )
        trials = self.trials(self.repeats)
        epochs = truth.evoked()[self.stimuli.table.index.get_indexer(trials["stimulus"])]
        kind = info.get_channel_types()[0]
        add_noise(epochs, noise, np.random.default_rng([self.seed, 2, number, kind == "eeg"]), f"{name}: {kind}")
        epochs -= epochs[..., times < 0].mean(axis=-1, keepdims=True)
        return SimulatedRecording(name, epochs, trials, info, float(times[0]), truth)

    def _noise(self, person: Person, info: mne.Info, rng: np.random.Generator) -> list[Component]:
        level, n_times = self.noise * self._noise_level(person), len(self.times)
        background, alpha = background_places(), draw_alpha_places(rng)
        strengths = BACKGROUND_MOMENT * np.exp(PERSON_BACKGROUND * rng.standard_normal(len(background)))
        gain = forward(info, np.concatenate([background, alpha])) * level
        slow = coloured(partial(aperiodic, exponent=EXPONENT), n_times, self.sfreq)
        rhythm = coloured(partial(peak, centre=person.alpha), n_times, self.sfreq)
        return [
            Component(mixed(gain[:, : len(background)], strengths), slow),
            Component(mixed(gain[:, len(background) :], np.full(len(alpha), ALPHA_MOMENT)), rhythm),
            Component((self._sensor_noise(len(gain)) * level).astype(np.float32), None),
        ]


def _row(source: Source) -> dict[str, float | str]:
    x, y, z = CENTRE + np.array(source.place)
    start, stop = source.window
    where = {"region": source.region, "x": x, "y": y, "z": z}
    return {**where, "latency": source.latency, "start": start, "stop": stop, **source.features}


class SimulatedEeg(_SimulatedSensors):
    """A cohort of simulated EEG subjects.

    Parameters
    ----------
    seed : int
        Of everything random: another seed is another cohort of the same kind. `SimulatedMeg` of the same seed records
        the same brains.
    stimuli : Stimuli, optional
        Pictures to show, with the columns ``split``, ``category``, ``subcategory`` and ``caption``; default the 3D
        renderings of all embedded object concepts. Sources are the same whatever the pictures; how strongly they answer
        is set on the training pictures among them.
    folder : str or Path, optional
        Where features of pictures are kept; default ``picture_features`` in the cache folder.
    sfreq : float
        Sampling rate, Hz, 50 to 1,000. THINGS-EEG2 is published at 250 Hz; half of it has all that the sources do.
    repeats : mapping of str to int, optional
        How often a picture of a split is shown, in place of the defaults 4 (train), 20 (validation) and 20 (test).
    noise : float
        Standard deviation of the noise relative to the level that was chosen on validation pictures; 0 is none.

    Attributes
    ----------
    subjects : tuple of str
    truth : pandas.DataFrame
        Where and when which source carries what: one row a source; ``region``; ``x``, ``y``, ``z`` of the middle of its
        right patch (metres, head coordinates; the left one is its mirror image); ``latency`` of its greatest activity,
        and ``start`` and ``stop`` of the window in which it is above half of that (seconds); then the share of each
        kind of feature.

    Raises
    ------
    ValueError
        A value out of range; pictures without a needed column, of an unknown split, or fewer than two for training.

    Examples
    --------
    >>> subject = SimulatedEeg().subject("sub-01")
    >>> subject.epochs.shape
    (10304, 63, 150)
    """

    default_repeats: ClassVar[dict[str, int]] = {"train": 4, "validation": 20, "test": 20}
    density = 0.1e-6  # of an electrode's own noise, volts / sqrt(Hz)

    def __init__(
        self,
        seed: int = 0,
        stimuli: Stimuli | None = None,
        folder: str | Path | None = None,
        sfreq: float = 125.0,
        repeats: Mapping[str, int] | None = None,
        noise: float = 1.0,
    ):
        super().__init__(seed, stimuli, folder, sfreq, repeats, noise)

    @property
    def info(self) -> mne.Info:
        """The 63 electrodes."""
        return eeg_info(self.sfreq)

    def _sensor_noise(self, n_channels: int) -> np.ndarray:
        return self.density * (self.sfreq / 2) ** 0.5 * (np.eye(n_channels) - 1 / n_channels)  # average reference

    def _noise_level(self, person: Person) -> float:
        return person.eeg


class SimulatedMeg(_SimulatedSensors):
    """A cohort of simulated MEG subjects: the brains of `SimulatedEeg` in a CTF helmet.

    Parameters
    ----------
    seed, stimuli, folder, sfreq
        As of `SimulatedEeg`.
    repeats : mapping of str to int, optional
        How often a picture of a split is shown, in place of the defaults 4 (train), 12 (validation) and 12 (test).
    noise : float
        As of `SimulatedEeg`.
    helmet : {"ctf151", "ctf275"}
        151 sensors, or the 274 of a system like the one of THINGS-MEG.

    Attributes
    ----------
    subjects, truth
        As of `SimulatedEeg`.

    Raises
    ------
    ValueError
        As of `SimulatedEeg`, or no such helmet.
    """

    default_repeats: ClassVar[dict[str, int]] = {"train": 4, "validation": 12, "test": 12}
    density = 5e-15  # of a sensor's own noise, tesla / sqrt(Hz)

    def __init__(
        self,
        seed: int = 0,
        stimuli: Stimuli | None = None,
        folder: str | Path | None = None,
        sfreq: float = 125.0,
        repeats: Mapping[str, int] | None = None,
        noise: float = 1.0,
        helmet: str = "ctf151",
    ):
        super().__init__(seed, stimuli, folder, sfreq, repeats, noise)
        if helmet not in HELMETS:
            raise unknown_name("helmet", helmet, HELMETS)
        self.helmet = helmet

    @property
    def info(self) -> mne.Info:
        """The sensors of the helmet."""
        return meg_info(self.helmet, self.sfreq)

    def _sensor_noise(self, n_channels: int) -> np.ndarray:
        return self.density * (self.sfreq / 2) ** 0.5 * np.eye(n_channels)

    def _noise_level(self, person: Person) -> float:
        return person.meg
