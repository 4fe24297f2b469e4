"""A cohort of two subjects with a few voxels, who answer the pictures' mean colours: quick to decode."""

from __future__ import annotations

import numpy as np
import pandas as pd

from braindecode_x.datasets.betas import BetasCohort, SubjectBetas
from braindecode_x.files import unknown_name
from braindecode_x.stimuli import ObjectStimuli

VOXELS = {"anna": 9, "ben": 12}
PICTURES = {"train": 120, "validation": 12, "test": 12}
REPEATS = {"train": 2, "validation": 2, "test": 3}


class SmallCohort(BetasCohort):
    """120 training pictures, twelve validation and test pictures, two or three repeats of each."""

    subjects = tuple(VOXELS)

    def __init__(self, bad_voxel: int | None = None):
        objects = ObjectStimuli().subset(rendering="fluent3d")
        chosen = [objects.subset(split=split).ids[:n] for split, n in PICTURES.items()]
        self.stimuli, self.bad_voxel = objects.subset(ids=[name for part in chosen for name in part]), bad_voxel

    def subject(self, name: str) -> SubjectBetas:
        """Make one subject's betas."""
        if name not in VOXELS:
            raise unknown_name("subject", name, VOXELS)
        table = self.stimuli.table
        repeats = table["split"].map(REPEATS)
        trials = pd.DataFrame({"stimulus": table.index.repeat(repeats), "split": table["split"].repeat(repeats)})
        trials = trials.reset_index(drop=True)
        rng = np.random.default_rng(VOXELS[name])
        colours = self.stimuli.pixels(8).float().mean((2, 3)).numpy() / 255
        signal = colours @ rng.standard_normal((3, VOXELS[name])) * 5
        rows = self.stimuli.table.index.get_indexer(trials["stimulus"])
        betas = (signal[rows] + rng.standard_normal((len(trials), VOXELS[name])) * 0.2).astype(np.float32)
        if self.bad_voxel is not None:
            betas[3, self.bad_voxel] = np.nan
        return SubjectBetas(name, betas, trials, None)
