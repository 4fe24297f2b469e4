"""The sources in a simulated head: where they lie, when they are active and what they carry.

A source is a patch of current dipoles in each hemisphere. Every dipole answers to pictures as a voxel of
`simulated_regions` does, and its answer rises and decays with a latency of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import mne
import numpy as np
import pandas as pd

from braindecode_x.datasets.picture_features import FIELD
from braindecode_x.datasets.simulated_heads import CENTRE, forward, nearest_region, within_cortex
from braindecode_x.datasets.simulated_regions import answers, draw_preferences, draw_weights, standardised

DIPOLES = 8  # of a source in one hemisphere; each stands for a few square centimetres of cortex
PATCH = 0.02  # metres, standard deviation of their places
BENT = 0.8  # of the directions of their currents, relative to what those of a source have in common
CONTRAST = 3.0  # standard deviation of a dipole's answers over training pictures, relative to their mean
GAIN_CONTROL = 0.9  # share of the mean answer of a source's dipoles that is taken off each
SHARED = 0.6  # share of the variance of dipoles' weights that people have in common
# Standard deviations of what is drawn for each person and source, and for each dipole: of places in metres, of
# latencies and moments in natural logarithms.
PERSON_PLACE, PERSON_LATENCY, PERSON_MOMENT = 0.004, 0.05, 0.2
DIPOLE_LATENCY, DIPOLE_MOMENT = 0.12, 0.3


@dataclass(frozen=True)
class Source:
    """One source.

    Attributes
    ----------
    place : tuple of float
        Middle of the right patch, metres from the centre of the head: to the right, to the front, up. The left one is
        its mirror image.
    onset, latency : float
        Seconds after the picture's onset at which activity begins and is greatest.
    sharpness : float
        How steeply it rises and decays; see `time_course`.
    moment : float
        Sum of a hemisphere's dipole moments at the latency, mean over pictures, ampere-metres. Above 0, currents flow
        outwards, and the scalp over them becomes positive.
    features : dict of str to float
        Share of each kind of feature in a dipole's answer, as in `Region`.
    receptive_field : tuple of float, optional
        As in `Region`; maps need one. Dipoles look at the half of the visual field opposite to their hemisphere.
    """

    place: tuple[float, float, float]
    onset: float
    latency: float
    sharpness: float
    moment: float
    features: dict[str, float]
    receptive_field: tuple[float, float] | None = None

    @property
    def region(self) -> str:
        """The part of the cortex that it lies in, by the nearest electrode."""
        return nearest_region(CENTRE + np.array(self.place))

    @property
    def window(self) -> tuple[float, float]:
        """When its activity is above half of its greatest: from and to, seconds after the picture's onset."""
        times = np.arange(0, 2, 0.001)
        course = time_course(times, np.array([self.onset]), np.array([self.latency]), self.sharpness)[0]
        above = times[course >= 0.5]
        return float(above[0]), float(above[-1])


def time_course(times: np.ndarray, onset: np.ndarray, latency: np.ndarray, sharpness: float) -> np.ndarray:
    """Let activity rise and decay: a gamma function of time since the onset, 0 before it and 1 at the latency.

    Parameters
    ----------
    times : numpy.ndarray
        (times,), seconds.
    onset, latency : numpy.ndarray
        (d,), seconds.
    sharpness : float
        Power of the rise; the width at half height is about 2.4 (latency - onset) / sqrt(sharpness).

    Returns
    -------
    numpy.ndarray
        (d, times) of float32 in [0, 1].
    """
    since = np.maximum((times - onset[:, None]) / (latency - onset)[:, None], 0)
    return (since**sharpness * np.exp(sharpness * (1 - since))).astype(np.float32)


SOURCES = {
    "early visual": Source(
        place=(0.016, -0.062, 0.006),
        onset=0.05,
        latency=0.10,
        sharpness=4.0,
        moment=60e-9,
        features={"orientation": 0.7, "colour": 0.3},
        receptive_field=(2.0, 0.3),
    ),
    "colour": Source(
        place=(0.040, -0.050, -0.012),
        onset=0.07,
        latency=0.14,
        sharpness=4.0,
        moment=50e-9,
        features={"colour": 0.6, "curvature": 0.4},
        receptive_field=(2.5, 0.3),
    ),
    "object": Source(
        place=(0.058, -0.016, -0.010),
        onset=0.09,
        latency=0.17,
        sharpness=4.0,
        moment=-60e-9,
        features={"shape": 0.5, "curvature": 0.4, "category": 0.1},
        receptive_field=(3.0, 0.3),
    ),
    "semantic temporal": Source(
        place=(0.058, 0.012, 0.0),
        onset=0.18,
        latency=0.32,
        sharpness=4.0,
        moment=-45e-9,
        features={"category": 0.6, "shape": 0.2, "keywords": 0.1, "faces": 0.1},
    ),
    "semantic parietal": Source(
        place=(0.028, -0.042, 0.045),
        onset=0.22,
        latency=0.38,
        sharpness=4.0,
        moment=40e-9,
        features={"category": 0.5, "shape": 0.2, "keywords": 0.1, "places": 0.2},
    ),
}


@dataclass(frozen=True)
class Dipoles:
    """A person's dipoles of all sources.

    Attributes
    ----------
    table : pandas.DataFrame
        (d,) rows: ``source``; ``hemisphere`` (left, right); ``region``; ``x``, ``y``, ``z``, metres in head
        coordinates; ``nx``, ``ny``, ``nz``, direction of the current, of length 1; ``onset`` and ``latency``, seconds;
        ``moment``, the mean over pictures of the greatest moment, ampere-metres.
    preferences : pandas.DataFrame
        (d,) rows, as of `draw_preferences`.
    weights : dict of (str, str) to numpy.ndarray
        By source and kind of feature: (channels of the feature, dipoles of the source).
    """

    table: pd.DataFrame
    preferences: pd.DataFrame
    weights: dict[tuple[str, str], np.ndarray]

    def measured_by(self, info: mne.Info) -> np.ndarray:
        """Return what sensors measure of one ampere-metre of each dipole: (channels, d) of float32, volts or tesla."""
        places, directions = (self.table[list(axes)].to_numpy() for axes in (("x", "y", "z"), ("nx", "ny", "nz")))
        return np.einsum("cdk,dk->cd", forward(info, places), directions).astype(np.float32)

    def courses(self, sources: dict[str, Source], times: np.ndarray) -> np.ndarray:
        """Return every dipole's time course: (d, times) of float32."""
        parts = [
            time_course(times, part["onset"].to_numpy(), part["latency"].to_numpy(), sources[str(name)].sharpness)
            for name, part in self.table.groupby("source", sort=False)
        ]
        return np.concatenate(parts)

    def moments(self, sources: dict[str, Source], features: dict[str, np.ndarray], training: np.ndarray) -> np.ndarray:
        """Answer pictures.

        Parameters
        ----------
        sources : dict of str to Source
        features : dict of str to numpy.ndarray
            (n, ...) each.
        training : numpy.ndarray
            (n,) of bool: pictures over which the mean is ``moment``.

        Returns
        -------
        numpy.ndarray
            (n, d) of float32, ampere-metres at the latency.
        """
        parts = []
        for name, part in self.preferences.groupby(self.table["source"], sort=False):
            kinds = sources[str(name)].features.items()
            answer = sum(
                np.float32(share**0.5) * answers(features[kind], self.weights[str(name), kind], part, training)
                for kind, share in kinds
            )
            answer = standardised(np.asarray(answer), training)
            # What drives all of a source alike, above all a picture's contrast, would drown what tells pictures apart.
            answer -= np.float32(GAIN_CONTROL) * answer.mean(axis=1, keepdims=True)
            parts.append(standardised(answer, training))
        relative = 1 + np.float32(CONTRAST) * np.concatenate(parts, axis=1)
        return relative * self.table["moment"].to_numpy(np.float32)


def draw_dipoles(
    sources: dict[str, Source], channels: dict[str, int], cohort: np.random.Generator, person: np.random.Generator
) -> Dipoles:
    """Draw a person's dipoles: an arrangement that people have in common, and what is a person's own.

    Parameters
    ----------
    sources : dict of str to Source
    channels : dict of str to int
        How many channels each kind of feature has.
    cohort : numpy.random.Generator
        The same, freshly made, for every person of a cohort.
    person : numpy.random.Generator
        The person's own.

    Returns
    -------
    Dipoles
    """
    tables, preferences, weights = [], [], {}
    for name, source in sources.items():
        table = _draw_patches(source, cohort, person)
        left = (table["hemisphere"] == "left").to_numpy()
        preference = draw_shared_preferences(source.features, source.receptive_field, left, cohort, person)
        for kind in source.features:
            common, own = (draw_weights(kind, channels[kind], preference, rng) for rng in (cohort, person))
            weights[name, kind] = np.float32(SHARED**0.5) * common + np.float32((1 - SHARED) ** 0.5) * own
        tables.append(table.assign(source=name))
        preferences.append(preference)
    return Dipoles(pd.concat(tables, ignore_index=True), pd.concat(preferences, ignore_index=True), weights)


def _draw_patches(source: Source, cohort: np.random.Generator, person: np.random.Generator) -> pd.DataFrame:
    hemispheres = np.repeat(["left", "right"], DIPOLES)
    mirror = np.where(hemispheres == "left", -1, 1)
    middle = np.array(source.place) + PERSON_PLACE * person.standard_normal(3)
    places = middle + PATCH * cohort.standard_normal((2 * DIPOLES, 3))
    places[:, 0] *= mirror
    places = within_cortex(places)
    normals = _normals(places, cohort)
    slower = np.exp(PERSON_LATENCY * person.standard_normal() + DIPOLE_LATENCY * cohort.standard_normal(2 * DIPOLES))
    stronger = np.exp(PERSON_MOMENT * person.standard_normal() + DIPOLE_MOMENT * person.standard_normal(2 * DIPOLES))
    table = pd.DataFrame({"source": "", "hemisphere": hemispheres, "region": ""})
    table[["x", "y", "z"]] = CENTRE + places
    table["region"] = [nearest_region(place) for place in table[["x", "y", "z"]].to_numpy()]
    table[["nx", "ny", "nz"]] = normals
    table["onset"], table["latency"] = source.onset * slower, source.latency * slower
    table["moment"] = source.moment / DIPOLES * stronger
    return table


def _normals(places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw directions of currents: outwards and upwards along the surface, and bent at random as by gyri and sulci."""
    outwards = places / np.linalg.norm(places, axis=1, keepdims=True)
    upwards = np.array([0.0, 0.0, 1.0]) - outwards * outwards[:, 2:]
    upwards /= np.linalg.norm(upwards, axis=1, keepdims=True)
    normals = outwards + 0.6 * upwards + BENT * rng.standard_normal(places.shape)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def draw_shared_preferences(
    features: Iterable[str],
    receptive_field: tuple[float, float] | None,
    left: np.ndarray,
    cohort: np.random.Generator,
    person: np.random.Generator,
) -> pd.DataFrame:
    """Draw preferences that people have in common but for small shifts; left hemispheres see the right half.

    Arguments are as of `draw_preferences` and `draw_dipoles`; ``left`` is (n,) of bool.
    """
    drawn = draw_preferences(features, receptive_field, len(left), cohort)
    shifts = person.standard_normal((4, len(left)))
    edge = FIELD / 2
    drawn["x"] = np.abs(drawn["x"] + 0.3 * shifts[0]).clip(upper=edge) * np.where(left, 1, -1)
    drawn["y"] = (drawn["y"] + 0.3 * shifts[1]).clip(-edge, edge)
    drawn["frequency"] *= np.exp(0.2 * shifts[2])
    drawn["angle"] = (drawn["angle"] + 0.2 * shifts[3]) % np.pi
    return drawn
