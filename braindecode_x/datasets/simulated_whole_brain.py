"""Simulated whole-brain fMRI of subjects who look at the embedded object pictures and imagine them, with known truth.

Format
    Runs of BOLD (volumes x 300 spheres of the Seitzman atlas, with their networks), detrended and standardised, and
    their tables of events; made when asked for. `export_bids` writes them as 4-D NIfTI. Nothing is stored but the
    features of the pictures, in the cache folder.
Design
    Four people in an event-related design between those of NSD and BOLD5000: a picture for 2 s, onsets 6, 8 or 10 s
    apart, up to 45 pictures a run. Each sees the 3D renderings of the 1,076 training concepts three times, and those of
    the 100 validation and the 200 test concepts six times. In other runs they are given the captions of 40 validation
    and 40 test concepts and imagine them for 4 s, eight times each. Other people's runs of rest and other tasks are in
    `simulated_corpus`.
Splits
    By picture, as the pictures have them; a run holds pictures of one split. Imagination runs are of the splits
    ``imagination-validation`` and ``imagination``.
Truth
    A parcel's answer is a weighted sum of features of the picture (`picture_features`) and of its concept's name
    (`concept_features`), never of an embedding that is decoded to. `truth` says which share of the semantic variance
    lies in which network; imagining brings back the semantic part alone.
Licence
    Made by this package's code (MIT); see ``data_cards/simulated_whole_brain.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from rich.progress import track

from braindecode_x.datasets.cohort import SPLITS
from braindecode_x.datasets.parcels import seitzman
from braindecode_x.datasets.runs import ParcelRun, RunsCohort
from braindecode_x.datasets.simulated_bold import Nuisance, draw_nuisance, evoked
from braindecode_x.datasets.simulated_cohort import SimulatedCohort, checked_noise, checked_repeats
from braindecode_x.datasets.simulated_networks import IMAGINED, SEEN, Brain, draw_brain, truth_table
from braindecode_x.files import unknown_name
from braindecode_x.preprocessing.fmri import clean_runs
from braindecode_x.stimuli import Stimuli

TR = (0.4, 4.0)  # seconds, shortest and longest
RUNS_PER_SESSION = 12
BEFORE, AFTER = 8.0, 18.0  # seconds of a run before its first onset and after its last
IMAGERY_SPLITS = {"validation": "imagination-validation", "test": "imagination"}  # by split of the pictures
CONCEPTS, IMAGERY_REPEATS = 40, 8  # of each split that are imagined, and how often


@dataclass(frozen=True)
class Task:
    """What people do in a run: name, events, seconds that each takes, and seconds from an onset to the next."""

    name: str
    trials: int
    duration: float
    apart: tuple[float, ...]


TASKS = {SEEN: Task("objects", 45, 2.0, (6.0, 8.0, 10.0)), IMAGINED: Task("imagery", 40, 4.0, (8.0, 10.0))}
# Noise relative to the cohort's level, which `simulated_bold` tells.
PEOPLE = {"sub-01": 1.0, "sub-02": 0.9, "sub-03": 1.1, "sub-04": 0.85}


@dataclass(frozen=True)
class BrainTruth:
    """How a subject's BOLD came about.

    Attributes
    ----------
    brain : Brain
        Mean answers, strengths, delays and weights of the parcels.
    nuisance : Nuisance
    pictures : list of str
        Ids, the rows of ``visual`` and ``semantic``.
    visual, semantic : numpy.ndarray
        (pictures, parcels) of float32, percent signal change at the peak: the two parts of what tells pictures apart.
    """

    brain: Brain
    nuisance: Nuisance
    pictures: list[str]
    visual: np.ndarray
    semantic: np.ndarray

    def amplitudes(self, pictures: np.ndarray, condition: str) -> np.ndarray:
        """Answer some pictures.

        Parameters
        ----------
        pictures : numpy.ndarray
            (n,) of int, rows of the parts.
        condition : {"seen", "imagined"}

        Returns
        -------
        numpy.ndarray
            (n, parcels) of float32, percent signal change at the peak.
        """
        mean = self.brain.table[condition].to_numpy(np.float32)
        if condition == IMAGINED:
            return mean + self.semantic[pictures] * self.brain.table["imagery"].to_numpy(np.float32)
        return mean + self.visual[pictures] + self.semantic[pictures]


@dataclass(frozen=True)
class MeasuredRun:
    """A run before it is cleaned.

    Attributes
    ----------
    name : str
    percent : numpy.ndarray
        (volumes, parcels) of float32, percent signal change.
    tr : float
        Seconds.
    events : pandas.DataFrame or None
        As of `ParcelRun`; besides ``repeat`` (from 0), ``condition`` (seen or imagined) and ``prompt``, the caption of
        what is imagined, else empty.
    confounds : pandas.DataFrame
        (volumes,) rows, as of `Nuisance.draw`.
    """

    name: str
    percent: np.ndarray
    tr: float
    events: pd.DataFrame | None
    confounds: pd.DataFrame

    def cleaned(self) -> ParcelRun:
        """Take off the linear trend of every parcel and standardise it."""
        bold = clean_runs(self.percent, np.zeros(len(self.percent), int), self.tr)
        return ParcelRun(self.name, bold, self.tr, self.events)


class SimulatedWholeBrain(SimulatedCohort, RunsCohort):
    """A cohort of simulated whole-brain fMRI subjects.

    Parameters
    ----------
    seed : int
        Of everything random: another seed is another cohort of the same kind.
    stimuli : Stimuli, optional
        Pictures to show, with the columns ``split``, ``category``, ``subcategory`` and ``caption``; default the 3D
        renderings of all embedded object concepts. Brains are the same whatever the pictures; how strongly they answer
        is set on the training pictures among them.
    folder : str or Path, optional
        Where features of pictures are kept; default ``picture_features`` in the cache folder.
    tr : float
        Repetition time, seconds, 0.4 to 4.
    n_volumes : int
        Length of a trial's window.
    delay : float
        Seconds from an onset to the first volume of its window.
    repeats : mapping of str to int, optional
        How often a picture of a split is shown, in place of the defaults 3 (train), 6 (validation) and 6 (test).
    imagination : bool
        Make the imagination runs too.
    noise : float
        Standard deviation of everything that is not evoked, relative to the level that was chosen on validation
        pictures; 0 is none.

    Attributes
    ----------
    subjects : tuple of str
    truth : pandas.DataFrame
        Which network carries what; see `truth_table`.
    parcels : Parcels

    Raises
    ------
    ValueError
        A value out of range; pictures without a needed column, of an unknown split, or fewer than two for training.

    Examples
    --------
    >>> subject = SimulatedWholeBrain().subject("sub-01")
    >>> subject.windows.shape
    (5668, 5, 300)
    """

    subjects = tuple(PEOPLE)
    default_repeats: ClassVar[dict[str, int]] = {"train": 3, "validation": 6, "test": 6}

    def __init__(
        self,
        seed: int = 0,
        stimuli: Stimuli | None = None,
        folder: str | Path | None = None,
        tr: float = 2.0,
        n_volumes: int = 5,
        delay: float = 2.0,
        repeats: Mapping[str, int] | None = None,
        imagination: bool = True,
        noise: float = 1.0,
    ):
        super().__init__(seed, stimuli, folder)
        if not TR[0] <= tr <= TR[1]:
            raise ValueError(f"tr: expected {TR[0]:g} to {TR[1]:g} s, found {tr}")
        if n_volumes < 1 or not -BEFORE <= delay <= AFTER - (n_volumes + 0.5) * tr:
            raise ValueError(
                f"n_volumes, delay: expected 1 volume or more that lie between {-BEFORE:g} and {AFTER:g} s after an "
                f"onset, found {n_volumes} of {tr:g} s from {delay:g} s"
            )
        self.tr, self.n_volumes, self.delay, self.imagination = float(tr), n_volumes, float(delay), imagination
        self.repeats, self.noise = checked_repeats(repeats, self.default_repeats), checked_noise(noise)
        self.parcels = seitzman()
        self.truth = truth_table(self.parcels)

    def truth_of(self, name: str) -> BrainTruth:
        """Say how a subject's BOLD comes about; a ValueError when there is no such subject."""
        if name not in PEOPLE:
            raise unknown_name("subject", name, PEOPLE)
        rng = np.random.default_rng([self.seed, 1, self.subjects.index(name)])
        brain = draw_brain(self.parcels, self.feature_channels, np.random.default_rng([self.seed, 0]), rng)
        nuisance = draw_nuisance(self.parcels, rng)
        visual, semantic = (brain.part(part, self.features, self.training) for part in ("visual", "semantic"))
        return BrainTruth(brain, nuisance, self.stimuli.ids, visual, semantic)

    def measured(self, name: str, runs: str = "*", truth: BrainTruth | None = None) -> Iterator[MeasuredRun]:
        """Measure a subject's runs one after the other, in the order of their names, not yet cleaned.

        Parameters
        ----------
        name : str
            One of ``subjects``.
        runs : str
            Only those whose names match, for example ``"*_task-imagery_*"``.
        truth : BrainTruth, optional
            Of that subject, where it is at hand.

        Raises
        ------
        ValueError
            No such subject.
        """
        truth = truth or self.truth_of(name)
        for run, events in self._schedule(name).items():
            if fnmatchcase(run, runs):
                yield self._measure(name, truth, run, events)

    def runs(self, subject: str) -> list[ParcelRun]:
        """Let one subject see the pictures and imagine; a ValueError when there is no such subject."""
        truth = self.truth_of(subject)
        schedule = self._schedule(subject)
        steps = track(schedule.items(), f"{subject}: runs", transient=True, disable=len(schedule) < 20)
        return [self._measure(subject, truth, run, events).cleaned() for run, events in steps]

    def _measure(self, name: str, truth: BrainTruth, run: str, events: pd.DataFrame) -> MeasuredRun:
        condition = str(events["condition"].iloc[0])
        n_volumes = int(np.ceil((events["onset"].iloc[-1] + AFTER) / self.tr))
        # Every run has a seed of its own, so that it does not depend on which others are made.
        rng = np.random.default_rng([self.seed, 2, *run.encode()])
        bold, confounds = truth.nuisance.draw(n_volumes, self.tr, rng)
        rows = pd.Index(truth.pictures).get_indexer(events["stimulus"])
        signal = evoked(
            self.tr * np.arange(n_volumes),
            events["onset"].to_numpy(),
            TASKS[condition].duration,
            truth.amplitudes(rows, condition),
            truth.brain.table["lag"].to_numpy(),
        )
        bold *= np.float32(self.noise * PEOPLE[name])
        return MeasuredRun(run, signal + bold, self.tr, events, confounds)

    def _schedule(self, subject: str) -> dict[str, pd.DataFrame]:
        """List the events of every run of a subject, by name."""
        rng = np.random.default_rng([self.seed, 3, self.subjects.index(subject)])
        seen: list[pd.DataFrame] = []
        imagined: list[pd.DataFrame] = []
        for split in SPLITS:
            seen += _runs_of(self.stimuli.subset(split=split).ids, self.repeats[split], SEEN, split, rng)
        seen = [seen[place] for place in rng.permutation(len(seen))]
        for split, name in IMAGERY_SPLITS.items() if self.imagination else ():
            chosen = rng.permutation(self.stimuli.subset(split=split).ids)[:CONCEPTS].tolist()
            runs = _runs_of(chosen, IMAGERY_REPEATS, IMAGINED, name, rng)
            captions = self.stimuli.table["caption"]
            imagined += [events.assign(prompt=captions[events["stimulus"]].to_numpy()) for events in runs]
        return {_run_name(subject, number, events): events for number, events in enumerate([*seen, *imagined])}


def _runs_of(
    pictures: Sequence[str], repeats: int, condition: str, split: str, rng: np.random.Generator
) -> list[pd.DataFrame]:
    """List the events of runs that show (or ask to imagine) all pictures in a random order, then all again."""
    task = TASKS[condition]
    order = [rng.permutation(pictures) for _ in range(repeats if len(pictures) else 0)]
    if not order:
        return []
    shown, repeat = np.concatenate(order).astype(str), np.repeat(np.arange(repeats), len(pictures))
    runs = []
    for rows in np.array_split(np.arange(len(shown)), int(np.ceil(len(shown) / task.trials))):
        apart = rng.permutation(np.resize(task.apart, len(rows) - 1))
        onsets = BEFORE + np.concatenate([[0.0], np.cumsum(apart)])
        events = {"onset": onsets, "duration": task.duration, "stimulus": shown[rows], "split": split}
        runs.append(pd.DataFrame({**events, "repeat": repeat[rows], "condition": condition, "prompt": ""}))
    return runs


def _run_name(subject: str, number: int, events: pd.DataFrame) -> str:
    session, run = divmod(number, RUNS_PER_SESSION)
    task = TASKS[str(events["condition"].iloc[0])].name
    return f"{subject}_ses-{session + 1:02d}_task-{task}_run-{run + 1:02d}"
