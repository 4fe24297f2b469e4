"""The small cohort's pictures, seen by three people with a few parcels, whose answer comes four seconds after onset."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from small_cohort import SmallCohort

from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.runs import ParcelRun, RunsCohort
from braindecode_x.files import unknown_name
from braindecode_x.stimuli import Stimuli

NETWORKS = ("visual",) * 6 + ("default",) * 3 + ("motor",) * 3
PARCELS = Parcels(tuple(f"parcel-{number:02d}" for number in range(12)), NETWORKS, None, "small")
TR, DELAY, N_VOLUMES, SPACING = 1.0, 4.0, 4, 5


@cache
def seen() -> tuple[Stimuli, pd.DataFrame, np.ndarray]:
    """Return pictures, trials, and the pictures' mean colours (pictures, 3)."""
    cohort = SmallCohort()
    colours = cohort.stimuli.pixels(8).float().mean((2, 3)).numpy() / 255
    return cohort.stimuli, cohort.subject("anna").trials, (colours - colours.mean(0)) / colours.std(0)


class SmallRuns(RunsCohort):
    """Two runs a person and one without events; the motor network does not answer."""

    subjects = ("anna", "ben", "carl")

    def __init__(self) -> None:
        self.stimuli, self._trials, self._colours = seen()
        self.parcels, self.tr, self.delay, self.n_volumes = PARCELS, TR, DELAY, N_VOLUMES

    def runs(self, subject: str) -> list[ParcelRun]:
        """Make a person's runs."""
        if subject not in self.subjects:
            raise unknown_name("subject", subject, self.subjects)
        rng = np.random.default_rng(self.subjects.index(subject))
        halves = [self._trials[start::2].reset_index(drop=True) for start in (0, 1)]
        made = [self._run(f"{subject}_run-{number}", trials, rng) for number, trials in enumerate(halves, start=1)]
        rest = rng.standard_normal((40, len(PARCELS))).astype(np.float32)
        return [*made, ParcelRun(f"{subject}_rest", rest, TR)]

    def _run(self, name: str, trials: pd.DataFrame, rng: np.random.Generator) -> ParcelRun:
        weights = np.random.default_rng(7).standard_normal((3, len(PARCELS)))  # alike in all
        weights = (weights + 0.1 * rng.standard_normal(weights.shape)) * (np.array(NETWORKS) != "motor")
        onsets = np.arange(len(trials)) * SPACING
        bold = 0.3 * rng.standard_normal((len(trials) * SPACING + 10, len(PARCELS)))
        answers = self._colours[self.stimuli.table.index.get_indexer(trials["stimulus"])] @ weights
        for number, share in enumerate((0.5, 1.0, 1.0, 0.5)):
            bold[onsets + int(DELAY) + number] += share * answers
        events = trials.assign(onset=onsets.astype(float), duration=1.0)
        return ParcelRun(name, bold.astype(np.float32), TR, events)
