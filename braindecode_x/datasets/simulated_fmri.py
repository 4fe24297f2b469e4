"""Simulated fMRI subjects who look at the embedded object pictures, with known truth.

Format
    Single-trial betas (trials x voxels) in percent signal change, as a general linear model would give them, made when
    asked for. Nothing is stored but the features of the pictures, in the cache folder.
Design
    Six subjects with 1,100 to 2,600 voxels in seven regions. Each sees the 3D renderings of the 1,076 training concepts
    three times, and those of the 100 validation and the 200 test concepts six times. The flat renderings are not shown,
    so that training and test pictures are of one kind and an experiment has a length that people could bear.
Truth
    A voxel's signal is a weighted sum of features of the picture (`picture_features`) and of its concept's name
    (`concept_features`), never of an embedding that is decoded to. Voxels of V1, V2, V3 and hV4 see them through
    receptive fields. Weights are drawn anew for each subject. Noise is independent and normal.
Licence
    Made by this package's code (MIT); see ``data_cards/simulated_fmri.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from braindecode_x.datasets.betas import BetasCohort, SubjectBetas
from braindecode_x.datasets.simulated_cohort import SimulatedCohort
from braindecode_x.datasets.simulated_regions import Region, answers, draw_voxels, draw_weights, standardised
from braindecode_x.files import unknown_name
from braindecode_x.metrics.noise_ceiling import noise_ceiling
from braindecode_x.stimuli import Stimuli

REPEATS = {"train": 3, "validation": 6, "test": 6}
GAIN_SPREAD = 0.35  # of voxels' gains, in natural logarithms; their median is 1 percent signal change

# Noise ceilings fall along the visual hierarchy, as they do in recordings. Their level was chosen, on validation
# pictures alone (pipelines/experiments/calibrate_simulated_fmri.py), for ridge to find about 35 of the 100 validation
# pictures: it finds 30 to 37; with half the noise 40 to 50, with twice the noise 19 to 28. The subjects' noise makes up
# for their numbers of voxels, so that none is much easier than another.
REGIONS = {
    "V1": Region(0.20, {"orientation": 1.0}, 0.32, (0.5, 0.08)),
    "V2": Region(0.18, {"orientation": 1.0}, 0.30, (0.6, 0.16)),
    "V3": Region(0.14, {"orientation": 1.0}, 0.27, (0.8, 0.24)),
    "hV4": Region(0.14, {"colour": 0.5, "curvature": 0.5}, 0.26, (1.2, 0.36)),
    "LO": Region(0.16, {"shape": 0.6, "category": 0.4}, 0.24),
    "FFA": Region(0.09, {"faces": 0.4, "category": 0.3, "keywords": 0.3}, 0.20),
    "PPA": Region(0.09, {"places": 0.4, "category": 0.3, "keywords": 0.3}, 0.20),
}


@dataclass(frozen=True)
class Person:
    """What makes a subject: number of voxels, and noise relative to the regions' level."""

    voxels: int
    noise: float


PEOPLE = {
    "sub-01": Person(2000, 1.0),
    "sub-02": Person(1600, 0.9),
    "sub-03": Person(2600, 1.15),
    "sub-04": Person(1300, 0.85),
    "sub-05": Person(1100, 0.9),
    "sub-06": Person(2300, 1.1),
}


@dataclass(frozen=True)
class SubjectTruth:
    """How a subject's betas came about.

    Attributes
    ----------
    voxels : pandas.DataFrame
        One row a voxel: ``region``; ``x``, ``y``, ``size``, ``frequency``, ``angle`` as in `draw_voxels`; ``gain``, the
        mean answer, which is also the signal's standard deviation over training pictures; ``noise``, the standard
        deviation between trials of one picture. Both in percent signal change.
    weights : dict of (str, str) to numpy.ndarray
        By region and kind of feature: (channels, voxels of the region).
    pictures : list of str
        Ids, the rows of ``signal``.
    signal : numpy.ndarray
        (pictures, voxels) of float32: answers without noise, percent signal change.
    """

    voxels: pd.DataFrame
    weights: dict[tuple[str, str], np.ndarray]
    pictures: list[str]
    signal: np.ndarray


@dataclass(frozen=True)
class SimulatedSubject(SubjectBetas):
    """One subject's experiment.

    Attributes
    ----------
    name : str
    betas : numpy.ndarray
        (trials, voxels) of float32, percent signal change.
    trials : pandas.DataFrame
        One row a trial: ``stimulus`` (id), ``repeat`` (from 0), ``split``; repeats of a picture follow each other.
    regions : numpy.ndarray
        (voxels,) of str.
    noise_ceiling : numpy.ndarray
        (voxels,) of float32 in [0, 1]: share of signal in the variance of single trials, over training pictures.
    truth : SubjectTruth
    """

    regions: np.ndarray
    noise_ceiling: np.ndarray
    truth: SubjectTruth

    def repeats(self, split: str) -> np.ndarray:
        """Return the betas of a split by picture: (stimuli, repeats, voxels), a view."""
        chosen = np.flatnonzero(self.trials["split"] == split)
        if not len(chosen):
            raise unknown_name("split", split, self.trials["split"].unique())
        betas = self.betas[chosen[0] : chosen[-1] + 1]
        return betas.reshape(-1, REPEATS[split], betas.shape[1])


class SimulatedFmri(SimulatedCohort, BetasCohort):
    """A cohort of simulated subjects.

    Parameters
    ----------
    seed : int
        Of everything random: another seed is another cohort of the same kind.
    stimuli : Stimuli, optional
        Pictures to show, with the columns ``split``, ``category``, ``subcategory`` and ``caption``; default the 3D
        renderings of all embedded object concepts. Voxels are the same whatever the pictures; how strongly they answer
        is set on the training pictures among them.
    folder : str or Path, optional
        Where features of pictures are kept; default ``picture_features`` in the cache folder.

    Attributes
    ----------
    subjects : tuple of str
    truth : pandas.DataFrame
        Which region carries what: one row a region, share of each kind of feature in its signal.

    Raises
    ------
    ValueError
        A negative seed, pictures without a needed column, of an unknown split, or fewer than two for training.

    Examples
    --------
    >>> subject = SimulatedFmri().subject("sub-01")
    >>> subject.betas.shape
    (5028, 2000)
    """

    subjects = tuple(PEOPLE)

    def __init__(self, seed: int = 0, stimuli: Stimuli | None = None, folder: str | Path | None = None):
        super().__init__(seed, stimuli, folder)
        self.truth = pd.DataFrame({name: region.features for name, region in REGIONS.items()}).T.fillna(0.0)

    def subject(self, name: str) -> SimulatedSubject:
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
        person, number = PEOPLE[name], self.subjects.index(name)
        rng = np.random.default_rng([self.seed, number, 0])
        voxels = draw_voxels(REGIONS, person.voxels, rng)
        voxels["gain"] = np.exp(GAIN_SPREAD * rng.standard_normal(person.voxels))
        ceiling = voxels["region"].map({name: region.noise_ceiling for name, region in REGIONS.items()})
        voxels["noise"] = person.noise * np.sqrt(1 / ceiling - 1)
        signal, weights = self._signal(voxels, rng)
        trials = self.trials(REPEATS)
        noise = np.random.default_rng([self.seed, number, 1])
        betas = noise.standard_normal((len(trials), person.voxels), dtype=np.float32)
        betas *= voxels["noise"].to_numpy(np.float32)
        betas += signal[self.stimuli.table.index.get_indexer(trials["stimulus"])]
        ceilings = noise_ceiling(voxels["gain"].to_numpy(), voxels["noise"].to_numpy()).astype(np.float32)
        truth = SubjectTruth(voxels, weights, self.stimuli.ids, signal)
        return SimulatedSubject(name, betas, trials, voxels["region"].to_numpy(dtype=str), ceilings, truth)

    def _signal(
        self, voxels: pd.DataFrame, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[tuple[str, str], np.ndarray]]:
        training = self.training
        signal = np.zeros((len(training), len(voxels)), dtype=np.float32)
        weights = {}
        for region, members in voxels.groupby("region", sort=False):
            part = np.zeros((len(training), len(members)), dtype=np.float32)
            for kind, share in REGIONS[str(region)].features.items():
                features = self.features[kind]
                drawn = draw_weights(kind, features.shape[1], members, rng)
                part += np.sqrt(share, dtype=np.float32) * answers(features, drawn, members, training)
                weights[str(region), kind] = drawn
            signal[:, members.index] = standardised(part, training)
        return (1 + signal) * voxels["gain"].to_numpy(np.float32), weights
