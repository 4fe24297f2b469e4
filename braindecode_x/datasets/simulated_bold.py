"""From answers to BOLD: the haemodynamic response, and what a scanner measures besides.

All amounts are percent signal change. What is not evoked adds up from spontaneous activity, which has the covariance of
the networks and the spectrum of the haemodynamic response, an autocorrelated part of each parcel's own, breathing and
pulse (aliased by the repetition time), head motion, slow drifts and white noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pandas as pd
import scipy.signal
from nilearn.glm.first_level import glover_hrf

from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.simulated_noise import coloured, peak

STEP, LENGTH = 0.1, 34.0  # seconds: of the haemodynamic response's time axis
# Standard deviations. Their level was chosen on validation pictures alone (pipelines/experiments/
# calibrate_simulated_whole_brain.py), for ridge to find 15 to 20 of the 100 validation pictures.
SPONTANEOUS, OWN, PHYSIOLOGY, MOTION, DRIFT, WHITE = 0.3, 0.17, 0.17, 0.08, 0.3, 0.15
SLOWEST = 0.01  # Hz; spontaneous activity has power 1 / f above it
AUTOCORRELATION, AUTOCORRELATION_STEP = 0.88, 1.0  # of the own part, after so many seconds
BREATHING, PULSE, RATE_SPREAD = 0.27, 1.1, 0.05  # Hz; how much the rates wander, in natural logarithms
BREATH_VOLUME, BREATH_VOLUME_WIDTH = 0.03, 0.01  # Hz: depth of breathing, which moves the whole brain's signal
DRIFT_PERIOD = 128.0  # seconds: drifts are slower
NEAR = 15.0  # millimetres over which spontaneous activity of neighbours is alike
PERSON_COVARIANCE = 0.2  # share of spontaneous variance with a covariance of the person's own
# What networks have in common, so that they go together: sensory, attention and association systems. The squares of
# what is left to 1 are a network's own.
SYSTEMS = {
    "Visual": (0.6, 0.2, -0.2),
    "SomatomotorDorsal": (0.6, 0.2, -0.2),
    "SomatomotorLateral": (0.6, 0.2, -0.2),
    "Auditory": (0.6, 0.1, -0.1),
    "DorsalAttention": (0.3, 0.6, -0.3),
    "VentralAttention": (0.1, 0.5, 0.1),
    "CinguloOpercular": (0.2, 0.6, -0.2),
    "Salience": (0.1, 0.6, 0.0),
    "FrontoParietal": (-0.1, 0.4, 0.4),
    "DefaultMode": (-0.2, -0.3, 0.6),
    "ParietoMedial": (-0.1, 0.0, 0.6),
    "MedialTemporalLobe": (0.0, 0.0, 0.5),
    "Reward": (0.0, 0.1, 0.3),
}
WITHIN, LOCAL = 0.5, 0.3  # shares of spontaneous variance: of whole networks, and of neighbourhoods
MOTIONS = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")  # millimetres and radians, as fMRIPrep has them


@cache
def canonical(duration: float) -> np.ndarray:
    """Return the response to an event of some seconds, Glover's (nilearn), every STEP seconds; its peak is 1."""
    response = np.convolve(
        glover_hrf(STEP, oversampling=1, time_length=LENGTH), np.ones(max(round(duration / STEP), 1))
    )
    return response / response.max()


def response(since: np.ndarray, duration: float) -> np.ndarray:
    """Return the haemodynamic response some seconds after an event's onset: any shape, peak 1, 0 before the onset."""
    course = canonical(duration)
    return np.interp(since, STEP * np.arange(len(course)), course, left=0.0, right=0.0)


def evoked(
    frame_times: np.ndarray, onsets: np.ndarray, duration: float, amplitudes: np.ndarray, lags: np.ndarray
) -> np.ndarray:
    """Add up the responses to events.

    Parameters
    ----------
    frame_times : numpy.ndarray
        (volumes,), seconds.
    onsets : numpy.ndarray
        (events,), seconds.
    duration : float
        Of each event, seconds.
    amplitudes : numpy.ndarray
        (events, parcels), at the peak.
    lags : numpy.ndarray
        (parcels,), seconds by which a parcel's response is late; taken to the second order.

    Returns
    -------
    numpy.ndarray
        (volumes, parcels) of float32.
    """
    since, step = frame_times[:, None] - onsets, 0.5
    early, middle, late = (response(since + shift, duration).astype(np.float32) for shift in (step, 0.0, -step))
    relative = (lags / step).astype(np.float32)
    moved = (late - early) @ (amplitudes * relative) + (late + early - 2 * middle) @ (amplitudes * relative**2)
    return middle @ amplitudes + moved / 2


def spontaneous_spectrum(frequencies: np.ndarray) -> np.ndarray:
    """Return the power of 1/f activity that went through the haemodynamic response, by frequency in Hz."""
    course = canonical(STEP)
    waves = np.exp(-2j * np.pi * STEP * np.outer(frequencies, np.arange(len(course))))
    return np.abs(waves @ course) ** 2 / np.maximum(frequencies, SLOWEST)


@cache
def _colour(n_volumes: int, tr: float) -> np.ndarray:
    return coloured(spontaneous_spectrum, n_volumes, 1 / tr)


@cache
def _breath_volume(n_volumes: int, tr: float) -> np.ndarray:
    return coloured(partial(peak, centre=BREATH_VOLUME, width=BREATH_VOLUME_WIDTH), n_volumes, 1 / tr)


@dataclass(frozen=True)
class Nuisance:
    """A person's activity and noise that no picture evokes.

    Attributes
    ----------
    spontaneous : numpy.ndarray
        (parcels, parcels) of float32: root of the covariance of spontaneous activity.
    physiology : numpy.ndarray
        (3, parcels) of float32: what depth of breathing, breathing and pulse do to each parcel.
    motion : numpy.ndarray
        (6, parcels) of float32: what a unit of each standardised motion parameter does to each parcel.
    """

    spontaneous: np.ndarray
    physiology: np.ndarray
    motion: np.ndarray

    def draw(self, n_volumes: int, tr: float, rng: np.random.Generator) -> tuple[np.ndarray, pd.DataFrame]:
        """Draw a run.

        Parameters
        ----------
        n_volumes : int
        tr : float
            Seconds.
        rng : numpy.random.Generator

        Returns
        -------
        bold : numpy.ndarray
            (volumes, parcels) of float32, percent signal change.
        confounds : pandas.DataFrame
            (volumes,) rows as a preprocessing pipeline would estimate them: the columns MOTIONS, ``csf`` and
            ``white_matter``.
        """
        n_parcels = len(self.spontaneous)
        shape = (n_volumes, n_parcels)
        bold = _colour(n_volumes, tr) @ rng.standard_normal(shape, dtype=np.float32) @ self.spontaneous.T
        bold += OWN * _autocorrelated(rng.standard_normal(shape, dtype=np.float32), tr)
        physiology, motion = _physiology(n_volumes, tr, rng), _motion(n_volumes, rng)
        bold += physiology @ self.physiology
        bold += ((motion - motion.mean(axis=0)) / motion.std(axis=0)) @ self.motion
        bold += DRIFT * _drifts(n_volumes, n_parcels, tr, rng)
        bold += WHITE * rng.standard_normal(shape, dtype=np.float32)
        confounds = pd.DataFrame(motion, columns=list(MOTIONS))
        for tissue in ("csf", "white_matter"):
            seen = physiology @ rng.uniform(0.5, 1.5, 3).astype(np.float32)
            confounds[tissue] = seen + 0.3 * rng.standard_normal(n_volumes, dtype=np.float32)
        return bold, confounds


def draw_nuisance(parcels: Parcels, person: np.random.Generator) -> Nuisance:
    """Draw a person's spontaneous covariance, physiology and motion; ``parcels`` have networks and coordinates."""
    n_parcels, places = len(parcels), np.asarray(parcels.coordinates)
    own = person.standard_normal((n_parcels, 20)) / 20**0.5
    covariance = (1 - PERSON_COVARIANCE) * network_covariance(parcels) + PERSON_COVARIANCE * (own @ own.T)
    values, vectors = np.linalg.eigh(covariance)
    spontaneous = SPONTANEOUS * vectors * np.sqrt(values.clip(0))
    below = (places[:, 2].max() - places[:, 2]) / np.ptp(places[:, 2])  # vessels pulse at the base of the brain
    rise = np.array([np.ones(n_parcels), 0.3 * np.ones(n_parcels), below])
    physiology = PHYSIOLOGY * rise * np.exp(0.5 * person.standard_normal((3, n_parcels))) / 3**0.5
    outside = np.linalg.norm(places - places.mean(axis=0), axis=1)
    motion = MOTION * (outside / outside.mean()) * person.standard_normal((6, n_parcels)) / 6**0.5
    return Nuisance(*(np.asarray(part, np.float32) for part in (spontaneous, physiology, motion)))


def network_covariance(parcels: Parcels) -> np.ndarray:
    """Return what people's spontaneous activity has in common: a covariance over parcels, (parcels, parcels).

    A parcel varies with its network (share WITHIN) and networks with each other as SYSTEMS tells; it varies with its
    neighbours and those of its mirror image (share LOCAL), and by itself. Variances are 1.
    """
    axes = np.array([SYSTEMS.get(name, (0.0, 0.0, 0.0)) for name in parcels.networks])
    networks = np.array(parcels.networks)
    rest = 1 - np.square(axes).sum(axis=1)
    alike = (networks[:, None] == networks) & (networks != "unassigned")
    between = axes @ axes.T + np.where(alike, rest, 0)
    places = np.asarray(parcels.coordinates)
    one_side = places * np.array([0.0, 1.0, 1.0]) + np.abs(places) * np.array([1.0, 0.0, 0.0])
    distance = np.linalg.norm(one_side[:, None] - one_side, axis=-1)
    near = np.exp(-np.square(distance / NEAR) / 2)
    return WITHIN * between + LOCAL * near + np.diag(1 - WITHIN * np.diag(between) - LOCAL)


def _autocorrelated(white: np.ndarray, tr: float) -> np.ndarray:
    """Make white noise (volumes, parcels) a stationary autoregressive process of the first order and variance 1."""
    rho = AUTOCORRELATION ** (tr / AUTOCORRELATION_STEP)
    white[1:] *= np.float32((1 - rho**2) ** 0.5)
    return scipy.signal.lfilter([1.0], [1.0, -rho], white, axis=0).astype(np.float32)


def _physiology(n_volumes: int, tr: float, rng: np.random.Generator) -> np.ndarray:
    """Draw depth of breathing, breathing and pulse: (volumes, 3) of float32, of variance 1."""
    depth = _breath_volume(n_volumes, tr) @ rng.standard_normal(n_volumes, dtype=np.float32)
    waves = []
    for rate in (BREATHING, PULSE):
        wander = np.cumsum(rng.standard_normal(n_volumes)) * RATE_SPREAD * tr**0.5 / 4
        frequency = rate * np.exp(RATE_SPREAD * rng.standard_normal() + wander - wander.mean())
        phase = 2 * np.pi * (rng.uniform() + np.cumsum(frequency) * tr)
        waves.append(2**0.5 * np.sin(phase))
    return np.stack([depth, *waves], axis=1).astype(np.float32)


def _motion(n_volumes: int, rng: np.random.Generator) -> np.ndarray:
    """Draw six motion parameters: (volumes, 6) of float32, millimetres and radians."""
    steps = rng.standard_t(3, (n_volumes, 6))  # now and then a jerk
    return (np.cumsum(steps, axis=0) * np.array([0.01] * 3 + [0.0002] * 3)).astype(np.float32)


def _drifts(n_volumes: int, n_parcels: int, tr: float, rng: np.random.Generator) -> np.ndarray:
    """Draw drifts slower than DRIFT_PERIOD, partly of the whole brain: (volumes, parcels) of float32."""
    waves = np.stack(list(cosines(n_volumes, tr).values()), axis=1)
    own, common = rng.standard_normal((waves.shape[1], n_parcels)), rng.standard_normal((waves.shape[1], 1))
    drawn = waves @ (0.7**0.5 * own + 0.3**0.5 * common)
    return (drawn / waves.shape[1] ** 0.5).astype(np.float32)


def cosines(n_volumes: int, tr: float) -> dict[str, np.ndarray]:
    """Return the cosines slower than DRIFT_PERIOD, as fMRIPrep names them: (volumes,) each, of variance about 1."""
    count = max(int(2 * n_volumes * tr / DRIFT_PERIOD), 1)
    time = (np.arange(n_volumes) + 0.5) / n_volumes
    return {f"cosine{k:02d}": 2**0.5 * np.cos(np.pi * (k + 1) * time) for k in range(count)}
