"""The small cohort's pictures, seen by three subjects with a few electrodes, whose answer begins 40 ms after onset."""

from __future__ import annotations

from functools import cache

import mne
import numpy as np
import pandas as pd
from small_cohort import SmallCohort

from braindecode_x.datasets.epochs import EpochsCohort, SubjectEpochs
from braindecode_x.files import unknown_name
from braindecode_x.stimuli import Stimuli

CHANNELS = ("Fz", "Cz", "Pz", "O1", "Oz", "O2")
SFREQ, TMIN, ONSET, N_TIMES = 100.0, -0.05, 0.04, 15
VOLT = 1e-6


@cache
def seen() -> tuple[Stimuli, pd.DataFrame, np.ndarray]:
    """Return pictures, trials, and the pictures' mean colours (pictures, 3)."""
    cohort = SmallCohort()
    colours = cohort.stimuli.pixels(8).float().mean((2, 3)).numpy() / 255
    return cohort.stimuli, cohort.subject("anna").trials, colours


class SmallEpochs(EpochsCohort):
    """Epochs in volts; every channel has an offset that is large beside its answer."""

    subjects = ("anna", "ben", "carl")

    def __init__(self) -> None:
        self.stimuli, self._trials, self._colours = seen()

    def subject(self, name: str) -> SubjectEpochs:
        """Make one subject's epochs."""
        if name not in self.subjects:
            raise unknown_name("subject", name, self.subjects)
        rng = np.random.default_rng(self.subjects.index(name))
        weights = np.random.default_rng(7).standard_normal((3, len(CHANNELS)))  # alike in all: one can be decoded by
        weights = weights + 0.1 * rng.standard_normal(weights.shape)  # what was learned of the others
        answer = (TMIN + np.arange(N_TIMES) / SFREQ >= ONSET - 1e-9).astype(float)
        signal = np.einsum("pf,fc,t->pct", self._colours, weights * 5, answer)
        signal = signal[self.stimuli.table.index.get_indexer(self._trials["stimulus"])]
        noise = rng.standard_normal(signal.shape) * 0.3 + 50 * np.arange(1, 7)[:, None]
        info = mne.create_info(list(CHANNELS), SFREQ, "eeg")
        info.set_montage("biosemi64")
        return SubjectEpochs(name, ((signal + noise) * VOLT).astype(np.float32), self._trials, info, TMIN)
