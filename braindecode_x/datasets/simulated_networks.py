"""The networks of a simulated whole brain: what their parcels carry of a picture that is seen or imagined.

A parcel's answer has two parts. One is driven by the picture itself (`picture_features`); the other is semantic, by its
concept's name (`concept_features`), and comes back, weaker, when the concept is imagined.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.simulated_regions import answers, draw_weights, standardised
from braindecode_x.datasets.simulated_sources import GAIN_CONTROL, SHARED, draw_shared_preferences

SEMANTIC, VISUAL = 0.45, 0.35  # percent signal change: root mean square over the parcels of networks that carry content
SEEN, IMAGINED = "seen", "imagined"
# Of a parcel's strength of an answer, in natural logarithms; of the delay of its response for a person and for a
# parcel, in seconds; of a person's mean answers, in natural logarithms.
PARCEL_GAIN, PERSON_LAG, PARCEL_LAG, PERSON_MEAN = 0.35, 0.3, 0.2, 0.2


@dataclass(frozen=True)
class Network:
    """One network.

    Attributes
    ----------
    seen, imagined : float
        Mean answer of its parcels to a picture, and to imagining one: percent signal change at the peak.
    semantic : float
        Its share of all semantic variance: over pictures, summed over parcels. Those of all networks sum to 1.
    visual : float
        The same of what the picture itself drives.
    features : dict of str to float
        What the semantic part is made of: share of each kind of feature, as in `Region`.
    picture : dict of str to float
        The same of the part that the picture drives.
    receptive_field : tuple of float, optional
        Of that part; as in `Region`.
    imagery : float
        Strength of the semantic part when a concept is imagined, relative to when it is seen.
    lag : float
        Seconds that its haemodynamic response comes later than the canonical one.
    """

    seen: float
    imagined: float = 0.0
    semantic: float = 0.0
    visual: float = 0.0
    features: dict[str, float] = field(default_factory=dict)
    picture: dict[str, float] = field(default_factory=dict)
    receptive_field: tuple[float, float] | None = None
    imagery: float = 0.0
    lag: float = 0.0

    @property
    def parts(self) -> dict[str, tuple[float, dict[str, float]]]:
        """Share of the network, and kinds of features, by part of the answer."""
        return {"visual": (self.visual, self.picture), "semantic": (self.semantic, self.features)}


# Networks that are not named here answer to no picture.
NETWORKS = {
    "Visual": Network(
        seen=1.0,
        semantic=0.4,
        visual=0.9,
        features={"category": 0.7, "keywords": 0.3},
        picture={"orientation": 0.4, "colour": 0.2, "curvature": 0.2, "shape": 0.2},
        receptive_field=(1.5, 0.3),
        imagery=0.4,
    ),
    "DorsalAttention": Network(
        seen=0.6,
        imagined=0.3,
        semantic=0.25,
        visual=0.1,
        features={"category": 0.5, "keywords": 0.2, "places": 0.3},
        picture={"shape": 1.0},
        imagery=0.6,
        lag=0.2,
    ),
    "DefaultMode": Network(
        seen=-0.3,
        imagined=0.3,
        semantic=0.35,
        features={"category": 0.5, "keywords": 0.2, "faces": 0.3},
        imagery=0.6,
        lag=0.4,
    ),
    "FrontoParietal": Network(seen=0.2, imagined=0.4, lag=0.3),
    "CinguloOpercular": Network(seen=0.2, imagined=0.2, lag=0.3),
    "VentralAttention": Network(seen=0.3, lag=0.2),
    "Salience": Network(seen=0.2, imagined=0.2, lag=0.3),
}


def truth_table(parcels: Parcels) -> pd.DataFrame:
    """Say which network carries what.

    Parameters
    ----------
    parcels : Parcels

    Returns
    -------
    pandas.DataFrame
        One row a network of the atlas: ``parcels`` (their number); ``semantic`` and ``visual``, its shares of all
        variance of these kinds; ``imagery``, strength of the semantic part when imagined, relative to seen; ``seen``
        and ``imagined``, mean answers in percent signal change; ``lag`` in seconds; then the share of each kind of
        feature in its semantic part.
    """
    rows = {}
    for name in parcels.network_names:
        network = NETWORKS.get(name, Network(0.0))
        values = {key: getattr(network, key) for key in ("semantic", "visual", "imagery", "seen", "imagined", "lag")}
        rows[name] = {"parcels": int(parcels.in_network(name).sum()), **values, **network.features}
    return pd.DataFrame(rows).T.fillna(0.0).astype({"parcels": int})


@dataclass(frozen=True)
class Brain:
    """How a person's parcels answer.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a parcel: ``network``; ``seen`` and ``imagined``, mean answers, ``semantic`` and ``visual``, standard
        deviations over training pictures of the parts of its answers, all in percent signal change; ``imagery``, as of
        `Network`; ``lag``, seconds.
    preferences : pandas.DataFrame
        (parcels,) rows, as of `draw_preferences`; NaN where there are none.
    weights : dict of (str, str, str) to numpy.ndarray
        By network, part and kind of feature: (channels of the feature, parcels of the network).
    """

    table: pd.DataFrame
    preferences: pd.DataFrame
    weights: dict[tuple[str, str, str], np.ndarray]

    def part(self, name: str, features: dict[str, np.ndarray], training: np.ndarray) -> np.ndarray:
        """Answer pictures with one part.

        Parameters
        ----------
        name : {"visual", "semantic"}
        features : dict of str to numpy.ndarray
            (n, ...) each.
        training : numpy.ndarray
            (n,) of bool: pictures over which the mean is 0 and the standard deviation that of the table.

        Returns
        -------
        numpy.ndarray
            (n, parcels) of float32, percent signal change at the peak.
        """
        values = np.zeros((len(training), len(self.table)), np.float32)
        for network, members in self.preferences.groupby(self.table["network"], sort=False):
            kinds = NETWORKS[str(network)].parts[name][1] if network in NETWORKS else {}
            if not kinds:
                continue
            answer = sum(
                np.float32(share**0.5)
                * answers(features[kind], self.weights[str(network), name, kind], members, training)
                for kind, share in kinds.items()
            )
            answer = standardised(np.asarray(answer), training)
            if name == "visual":  # a picture's contrast would drown what tells pictures apart
                answer -= np.float32(GAIN_CONTROL) * answer.mean(axis=1, keepdims=True)
            values[:, members.index] = standardised(answer, training)
        return values * self.table[name].to_numpy(np.float32)


def draw_brain(
    parcels: Parcels, channels: dict[str, int], cohort: np.random.Generator, person: np.random.Generator
) -> Brain:
    """Draw a person's brain: an arrangement that people have in common, and what is a person's own.

    Parameters
    ----------
    parcels : Parcels
        With networks and coordinates.
    channels : dict of str to int
        How many channels each kind of feature has.
    cohort : numpy.random.Generator
        The same, freshly made, for every person of a cohort.
    person : numpy.random.Generator
        The person's own.

    Returns
    -------
    Brain
    """
    table = _draw_table(parcels, person)
    preferences = pd.DataFrame(np.nan, index=table.index, columns=["x", "y", "size", "frequency", "angle"])
    weights = {}
    for name, network in NETWORKS.items():
        members = np.flatnonzero(table["network"] == name)
        left = np.asarray(parcels.coordinates)[members, 0] < 0
        drawn = draw_shared_preferences(network.picture, network.receptive_field, left, cohort, person)
        preferences.iloc[members] = drawn.to_numpy()
        for part, (_, kinds) in network.parts.items():
            for kind in kinds:
                common, own = (draw_weights(kind, channels[kind], drawn, rng) for rng in (cohort, person))
                weights[name, part, kind] = np.float32(SHARED**0.5) * common + np.float32((1 - SHARED) ** 0.5) * own
    return Brain(table, preferences, weights)


def draw_lags(parcels: Parcels, person: np.random.Generator) -> np.ndarray:
    """Draw how late a person's haemodynamic responses are: (parcels,) seconds."""
    usual = np.array([NETWORKS[name].lag if name in NETWORKS else 0.0 for name in parcels.networks])
    return usual + PERSON_LAG * person.standard_normal() + PARCEL_LAG * person.standard_normal(len(parcels))


def _draw_table(parcels: Parcels, person: np.random.Generator) -> pd.DataFrame:
    """Draw strengths of answers; the shares of networks come out exactly."""
    table = pd.DataFrame(0.0, index=range(len(parcels)), columns=["seen", "imagined", "semantic", "visual", "imagery"])
    table.insert(0, "network", parcels.networks)
    table["lag"] = draw_lags(parcels, person)
    content = sum(int(parcels.in_network(name).sum()) for name, network in NETWORKS.items() if network.semantic)
    for name, network in NETWORKS.items():
        members = np.flatnonzero(table["network"] == name)
        table.loc[members, "imagery"] = network.imagery
        for column, mean in ((SEEN, network.seen), (IMAGINED, network.imagined)):
            table.loc[members, column] = mean * np.exp(PERSON_MEAN * person.standard_normal(len(members)))
        for column, size, share in (("semantic", SEMANTIC, network.semantic), ("visual", VISUAL, network.visual)):
            gains = np.exp(PARCEL_GAIN * person.standard_normal(len(members)))
            gains /= np.sqrt(np.square(gains).mean())
            table.loc[members, column] = size * np.sqrt(share * content / len(members)) * gains
    return table
