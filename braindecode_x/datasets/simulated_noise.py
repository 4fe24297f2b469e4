"""The noise of simulated EEG and MEG: brain activity that pictures do not drive, and the sensors' own.

All of it is Gaussian and is drawn as ``space @ white @ time.T``: sources of one spectrum add up to noise whose
covariance over channels is that of their fields, so that no source needs to be drawn by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from rich.progress import track

from braindecode_x.datasets.simulated_heads import CENTRE, within_cortex

SLOWEST = 0.1  # Hz; slower drifts are taken off recordings before they are cut into epochs
BACKGROUND = 300  # dipoles that make the background, evenly over the cortex
BACKGROUND_RADII = (0.055, 0.07)  # metres from the centre
LOWEST = -0.03  # metres below the centre: there the cortex ends
ALPHA_WIDTH = 1.0  # Hz, standard deviation of the alpha peak
# Right patch of the alpha generators, metres from the centre of the head, and the spread of their dipoles.
ALPHA_PLACE, ALPHA_SPREAD, ALPHA_DIPOLES = (0.02, -0.058, 0.025), 0.012, 20


@dataclass(frozen=True)
class Component:
    """One kind of noise.

    Attributes
    ----------
    space : numpy.ndarray
        (channels, k), volts or tesla: what one unit of each of k independent courses does to the channels.
    time : numpy.ndarray or None
        (times, times): makes white noise one of the wanted spectrum; None leaves it white.
    """

    space: np.ndarray
    time: np.ndarray | None

    def add(self, epochs: np.ndarray, rng: np.random.Generator) -> None:
        """Draw noise and add it to epochs (trials, channels, times) in place."""
        trials, _, times = epochs.shape
        drawn = rng.standard_normal((trials, self.space.shape[1], times), dtype=np.float32)
        if self.time is not None:
            drawn = drawn @ self.time.T
        epochs += self.space @ drawn


def add_noise(
    epochs: np.ndarray, components: list[Component], rng: np.random.Generator, what: str, batch: int = 256
) -> None:
    """Add noise to epochs (trials, channels, times) in place, some trials at a time, with a progress bar."""
    starts = range(0, len(epochs), batch)
    for start in track(starts, what, transient=True, disable=len(starts) < 20):
        for component in components:
            component.add(epochs[start : start + batch], rng)


def background_places() -> np.ndarray:
    """Return where background activity comes from: (n, 3) metres in head coordinates, even over the cortex."""
    number = np.arange(BACKGROUND) + 0.5
    height, turn = 1 - 2 * number / BACKGROUND, np.pi * (1 + 5**0.5) * number
    around = np.sqrt(1 - height**2)
    directions = np.stack([around * np.cos(turn), around * np.sin(turn), height], axis=1)
    places = np.concatenate([radius * directions for radius in BACKGROUND_RADII])
    return CENTRE + places[places[:, 2] > LOWEST]


def draw_alpha_places(rng: np.random.Generator) -> np.ndarray:
    """Draw where alpha comes from: (n, 3) metres in head coordinates, in both occipito-parietal cortices."""
    places = np.array(ALPHA_PLACE) + ALPHA_SPREAD * rng.standard_normal((ALPHA_DIPOLES, 3))
    places[::2, 0] *= -1
    return CENTRE + within_cortex(places)


def mixed(gain: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Add up independent dipoles without a preferred direction.

    Parameters
    ----------
    gain : numpy.ndarray
        (channels, n, 3).
    strengths : numpy.ndarray
        (n,) standard deviations of their moments in each direction, ampere-metres.

    Returns
    -------
    numpy.ndarray
        (channels, channels) of float32: a root of the covariance over channels.
    """
    fields = (gain * strengths[:, None]).reshape(len(gain), -1)
    values, vectors = np.linalg.eigh(fields @ fields.T)
    return (vectors * np.sqrt(values.clip(0))).astype(np.float32)


def aperiodic(frequencies: np.ndarray, exponent: float) -> np.ndarray:
    """Return the power spectrum 1 / f^exponent, without what is slower than SLOWEST."""
    return np.where(frequencies >= SLOWEST, np.maximum(frequencies, SLOWEST) ** -exponent, 0.0)


def peak(frequencies: np.ndarray, centre: float, width: float = ALPHA_WIDTH) -> np.ndarray:
    """Return a power spectrum with one peak; its centre and standard deviation are in Hz."""
    return np.exp(-(((frequencies - centre) / width) ** 2) / 2)


def coloured(spectrum: Callable[[np.ndarray], np.ndarray], n_times: int, sfreq: float) -> np.ndarray:
    """Make the matrix that gives white noise a spectrum.

    Parameters
    ----------
    spectrum : callable
        Power of frequencies in Hz, in any unit.
    n_times : int
    sfreq : float
        Hz.

    Returns
    -------
    numpy.ndarray
        (times, times) of float32. White noise of variance 1 becomes stationary noise of variance 1, cut out of a far
        longer course: its end does not lead back to its beginning.
    """
    length = int(max(16 * n_times, 60 * sfreq))
    power = spectrum(np.fft.rfftfreq(length, 1 / sfreq))
    covariance = np.fft.irfft(power)[:n_times]
    covariance /= covariance[0]
    covariance[0] += 1e-6  # a narrow peak's covariance is singular to rounding
    return scipy.linalg.cholesky(scipy.linalg.toeplitz(covariance), lower=True).astype(np.float32)
