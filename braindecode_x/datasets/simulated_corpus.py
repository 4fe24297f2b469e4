"""Simulated whole-brain fMRI without pictures: rest and other tasks of many people, to pre-train sequence models on.

Format
    Runs of BOLD on the parcels of `SimulatedWholeBrain`, cleaned in the same way, without events; made when asked for.
Design
    64 people with six runs of 300 volumes each, 115,200 volumes in all. Every other run is rest; in the others blocks
    of 20 s of one task and 20 s of rest take turns.
Truth
    What these runs have in common with those of `SimulatedWholeBrain`: parcels, haemodynamic response and its delays,
    covariance of the networks, physiology, motion, drift. What they have not: pictures, and anything semantic. People
    are others.
Licence
    Made by this package's code (MIT); see ``data_cards/simulated_whole_brain.md``.
"""

from __future__ import annotations

import numpy as np

from braindecode_x.datasets.parcels import seitzman
from braindecode_x.datasets.runs import ParcelRun, RunsCohort
from braindecode_x.datasets.simulated_bold import draw_nuisance, evoked
from braindecode_x.datasets.simulated_cohort import checked_noise
from braindecode_x.datasets.simulated_networks import draw_lags
from braindecode_x.datasets.simulated_whole_brain import MeasuredRun
from braindecode_x.files import unknown_name
from braindecode_x.stimuli import ObjectStimuli

BLOCK = 20.0  # seconds of a task, and of the rest after it
STRENGTH = 0.3  # of a parcel's answer to a block, in natural logarithms
# Mean answers of networks to blocks, percent signal change.
TASKS = {
    "motor": {"SomatomotorDorsal": 0.8, "SomatomotorLateral": 0.5, "CinguloOpercular": 0.2},
    "language": {"Auditory": 0.8, "VentralAttention": 0.4, "DefaultMode": 0.2},
    "memory": {"FrontoParietal": 0.6, "DorsalAttention": 0.4, "DefaultMode": -0.4},
    "checkerboard": {"Visual": 1.0, "DorsalAttention": 0.2},
}


class SimulatedCorpus(RunsCohort):
    """Unlabelled runs of many simulated people.

    Parameters
    ----------
    seed : int
        Of everything random; people are others than those of `SimulatedWholeBrain` of the same seed.
    n_people, n_runs, run_volumes : int
        People, runs of each, and volumes of a run; 16 or more of these.
    tr : float
        Repetition time, seconds.
    noise : float
        As of `SimulatedWholeBrain`.

    Attributes
    ----------
    subjects : tuple of str
        For example ``"person-001"``.
    parcels : Parcels
    stimuli : ObjectStimuli
        None of them.

    Raises
    ------
    ValueError
        A value out of range.

    Examples
    --------
    >>> SimulatedCorpus().runs("person-001")[0].bold.shape
    (300, 300)
    """

    n_volumes, delay = 1, 0.0

    def __init__(
        self,
        seed: int = 0,
        n_people: int = 64,
        n_runs: int = 6,
        run_volumes: int = 300,
        tr: float = 2.0,
        noise: float = 1.0,
    ):
        given = {"seed": (seed, 0), "n_people": (n_people, 1), "n_runs": (n_runs, 1), "run_volumes": (run_volumes, 16)}
        for name, (value, least) in given.items():
            if value < least:
                raise ValueError(f"{name}: expected {least} or more, found {value}")
        if not tr > 0:
            raise ValueError(f"tr: expected seconds above 0, found {tr}")
        self.seed, self.n_runs, self.run_volumes = seed, n_runs, run_volumes
        self.tr, self.noise, self.parcels = float(tr), checked_noise(noise), seitzman()
        self.subjects = tuple(f"person-{number + 1:03d}" for number in range(n_people))
        self.stimuli = ObjectStimuli().subset(ids=[])

    def runs(self, subject: str) -> list[ParcelRun]:
        """Measure and clean a person's runs; a ValueError when there is no such person."""
        if subject not in self.subjects:
            raise unknown_name("subject", subject, self.subjects)
        number = self.subjects.index(subject)
        person = np.random.default_rng([self.seed, 4, number])
        lags, nuisance = draw_lags(self.parcels, person), draw_nuisance(self.parcels, person)
        runs = []
        for run in range(self.n_runs):
            rng = np.random.default_rng([self.seed, 5, number, run])
            task = "rest" if run % 2 == 0 else list(TASKS)[(number + run // 2) % len(TASKS)]
            bold, confounds = nuisance.draw(self.run_volumes, self.tr, rng)
            bold *= np.float32(self.noise)
            if task in TASKS:
                bold += self._blocks(task, lags, rng)
            name = f"{subject}_task-{task}_run-{run + 1:02d}"
            runs.append(MeasuredRun(name, bold, self.tr, None, confounds).cleaned())
        return runs

    def _blocks(self, task: str, lags: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Answer the blocks of a run: (volumes, parcels) of float32, percent signal change."""
        frame_times = self.tr * np.arange(self.run_volumes)
        onsets = np.arange(rng.uniform(0, 2 * BLOCK), frame_times[-1], 2 * BLOCK)
        means = np.array([TASKS[task].get(name, 0.0) for name in self.parcels.networks])
        answer = means * np.exp(STRENGTH * rng.standard_normal(len(means)))
        return evoked(frame_times, onsets, BLOCK, np.tile(answer, (len(onsets), 1)).astype(np.float32), lags)
