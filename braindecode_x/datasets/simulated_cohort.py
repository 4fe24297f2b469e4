"""What simulated cohorts of every modality share: pictures that are checked, their features, and the list of trials."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from braindecode_x.datasets.cohort import SPLITS, Cohort
from braindecode_x.datasets.concept_features import COLUMNS, concept_features
from braindecode_x.datasets.picture_features import picture_features
from braindecode_x.files import unknown_name
from braindecode_x.stimuli import ObjectStimuli, Stimuli


class SimulatedCohort(Cohort):
    """Simulated subjects who look at pictures.

    Parameters
    ----------
    seed : int
        Of everything random.
    stimuli : Stimuli, optional
        Pictures to show, with the columns ``split``, ``category``, ``subcategory`` and ``caption``; default the 3D
        renderings of all embedded object concepts.
    folder : str or Path, optional
        Where features of pictures are kept; default ``picture_features`` in the cache folder.

    Raises
    ------
    ValueError
        A negative seed, pictures without a needed column, of an unknown split, or fewer than two for training.
    """

    def __init__(self, seed: int, stimuli: Stimuli | None, folder: str | Path | None):
        if seed < 0:
            raise ValueError(f"seed: expected 0 or more, found {seed}")
        self.seed, self.folder = seed, folder
        self.stimuli = ObjectStimuli().subset(rendering="fluent3d") if stimuli is None else stimuli
        table = self.stimuli.table
        missing = {"split", *COLUMNS} - set(table)
        if missing:
            raise ValueError(f"stimulus set {self.stimuli.name!r}: needs the columns {sorted(missing)}")
        unknown = set(table["split"]) - set(SPLITS)
        if unknown or (table["split"] == "train").sum() < 2:
            raise ValueError(
                f"stimulus set {self.stimuli.name!r}: expected the splits {list(SPLITS)} and two or more pictures for "
                f"training, found {table['split'].value_counts().to_dict()}"
            )

    @cached_property
    def features(self) -> dict[str, np.ndarray]:
        """What the subjects answer to: maps and vectors, one row a picture."""
        return picture_features(self.stimuli, self.folder) | concept_features(self.stimuli.table)

    @property
    def feature_channels(self) -> dict[str, int]:
        """How many channels each kind of features has."""
        return {kind: features.shape[1] for kind, features in self.features.items()}

    @property
    def training(self) -> np.ndarray:
        """(pictures,) of bool: those for training."""
        return (self.stimuli.table["split"] == "train").to_numpy()

    def trials(self, repeats: Mapping[str, int]) -> pd.DataFrame:
        """List the trials, split by split, a picture's repeats one after the other: stimulus, repeat and split."""
        split = self.stimuli.table["split"]
        parts = []
        for name in SPLITS:
            shown = split.index[split == name]
            repeat = np.tile(np.arange(repeats[name]), len(shown))
            parts.append(pd.DataFrame({"stimulus": shown.repeat(repeats[name]), "repeat": repeat, "split": name}))
        return pd.concat(parts, ignore_index=True)


def checked_repeats(repeats: Mapping[str, int] | None, default: Mapping[str, int]) -> dict[str, int]:
    """Fill in how often a picture of each split is shown; a ValueError for an unknown split or a number below 1."""
    for split, number in (repeats or {}).items():
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        if number < 1:
            raise ValueError(f"repeats: expected 1 or more of {split}, found {number}")
    return {**default, **(repeats or {})}


def checked_noise(noise: float) -> float:
    """Return it; a ValueError when it is below 0."""
    if noise < 0:
        raise ValueError(f"noise: expected 0 or more, found {noise}")
    return noise
