"""Windows of unlabelled runs, for the pre-training of sequence models."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import lightning as L
import numpy as np
import pandas as pd

from braindecode_x.datamodules.run_windows import EpochLoader, RunEntry, RunInMemory, RunSource, Shard, WindowStream
from braindecode_x.datasets.bold_shards import COLUMNS, shard_index, shard_parcels
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.runs import ParcelRun, RunsCohort
from braindecode_x.files import unknown_name


class PretrainingDataModule(L.LightningDataModule):
    """Batches of windows of runs: ``brain`` (batch, volumes, parcels), ``mask`` of its shape and ``tr`` (batch,).

    What was seen is not looked at, so runs without events serve as well. Runs from memory and runs from shards are
    given out in the same way, see `WindowStream`: shuffled by the seed and the epoch, every window to one process.

    Parameters
    ----------
    cohort : RunsCohort, optional
        Whose runs to take; or give ``shards``, or see `of_runs`.
    shards : str, Path or sequence of these, optional
        Tars of runs: a folder, files or URLs, see `shard_names`.
    subjects : sequence of str, optional
        Of the cohort. Default: all.
    length : int
        Volumes in a window; the published model was trained on 10 to 50.
    stride : int, optional
        Volumes from one window to the next. Default: half the length.
    min_volumes : int
        A run that is shorter than a window is one window, padded, if it has at least so many volumes; others are left
        out, with a warning that counts them.
    held_out : float or sequence of str
        Runs for validation: a share of all, drawn by the seed, or patterns of names, for example ``["*sub-04*"]``.
    batch_size : int
        Windows.
    workers : int
        Processes that read ahead. Default 0: those of memory need none.
    shuffle_buffer : int
        Windows among which the next one is drawn.
    seed : int
        Of everything random.
    without_splits : sequence of str
        Leave out runs that hold trials of these splits, for example ``["test"]``: then nothing of the BOLD that is
        decoded later was seen. Not of shards, whose runs are not looked through for events.

    Attributes
    ----------
    parcels : Parcels or None
        None when the shards do not say.

    Raises
    ------
    FileNotFoundError
        No such shards.
    ValueError
        Neither or both of cohort and shards, an option out of its range, or runs of different parcels.

    Examples
    --------
    >>> data = PretrainingDataModule(shards="corpus", length=50, workers=2)  # doctest: +SKIP
    >>> next(iter(data.train_dataloader())).brain.shape  # doctest: +SKIP
    torch.Size([64, 50, 1024])
    """

    def __init__(
        self,
        cohort: RunsCohort | None = None,
        shards: str | Path | Sequence[str] | None = None,
        subjects: Sequence[str] | None = None,
        length: int = 50,
        stride: int | None = None,
        min_volumes: int = 10,
        held_out: float | Sequence[str] = 0.1,
        batch_size: int = 64,
        workers: int = 0,
        shuffle_buffer: int = 2000,
        seed: int = 0,
        without_splits: Sequence[str] = (),
    ):
        super().__init__()
        if cohort is not None and shards is not None:
            raise ValueError("runs come from a cohort or from shards; found both")
        stride = max(1, length // 2) if stride is None else stride
        for name, value, least in (
            ("length", length, 2),
            ("stride", stride, 1),
            ("min_volumes", min_volumes, 2),
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
            ("shuffle_buffer", shuffle_buffer, 1),
        ):
            if value < least:
                raise ValueError(f"{name}: expected at least {least}, found {value}")
        if isinstance(held_out, int | float) and not 0 < held_out < 1:
            raise ValueError(f"held_out: expected a share of the runs in (0, 1), or names, found {held_out}")
        for name in subjects or ():
            if cohort is None or name not in cohort.subjects:
                raise unknown_name("subject", name, cohort.subjects if cohort else ["(of shards, name runs held out)"])
        if without_splits and shards is not None:
            raise ValueError("without_splits: shards are not looked through for events")
        self.cohort, self.shards, self.subjects, self.without_splits = cohort, shards, subjects, tuple(without_splits)
        self.length, self.stride, self.min_volumes, self.held_out = length, stride, min_volumes, held_out
        self.batch_size, self.workers, self.shuffle_buffer, self.seed = batch_size, workers, shuffle_buffer, seed
        self._runs: Sequence[ParcelRun] | None = None
        self._parcels: Parcels | None = None

    @classmethod
    def of_runs(cls, runs: Sequence[ParcelRun], parcels: Parcels | None = None, **options: Any) -> Self:
        """Take runs that are at hand.

        Parameters
        ----------
        runs : sequence of ParcelRun
        parcels : Parcels, optional
        **options
            See the class.
        """
        data = cls(**options)
        data._runs, data._parcels = runs, parcels
        return data

    def prepare_data(self) -> None:
        """Read what the shards hold, once, so that every process finds it."""
        if self.shards is not None:
            shard_index(self.shards, progress=True)

    @property
    def parcels(self) -> Parcels | None:
        """Of all runs, where they are known."""
        if self.cohort is not None:
            return self.cohort.parcels
        return shard_parcels(self.shards) if self.shards is not None else self._parcels

    @property
    def n_parcels(self) -> int:
        """How many there are."""
        return int(self.index["parcels"].iloc[0])

    @cached_property
    def index(self) -> pd.DataFrame:
        """What there is: one row a run with ``shard``, ``run``, ``volumes``, ``parcels``, ``tr`` and ``split``.

        ``split`` is train, validation, or empty for runs that are too short.
        """
        index = shard_index(self.shards) if self.shards is not None else _memory_index(self._in_memory)
        index = index.copy()
        sizes = index["parcels"].unique()
        if len(sizes) > 1:
            examples = [index.loc[index["parcels"] == size, "run"].iloc[0] for size in sizes[:2]]
            raise ValueError(
                f"runs have {sizes[0]} parcels ({examples[0]}) and {sizes[1]} ({examples[1]}); expected one"
            )
        short = index["volumes"] < min(self.min_volumes, self.length)
        if short.any():
            warnings.warn(
                f"{short.sum()} of {len(index)} runs are left out: fewer than {self.min_volumes} volumes, the first is "
                f"{index.loc[short, 'run'].iloc[0]}",
                stacklevel=2,
            )
        held = self._held_out(index["run"][~short])
        index["split"] = np.where(short, "", np.where(index["run"].isin(held), "validation", "train"))
        for split in ("train", "validation"):
            if not (index["split"] == split).any():
                raise ValueError(f"held_out: no runs are left for {split}, of {(~short).sum()}")
        return index

    def stream(self, split: str, training: bool = False) -> WindowStream:
        """Make the stream of a split's windows.

        Parameters
        ----------
        split : {"train", "validation"}
        training : bool
            Shuffle.
        """
        index = self.index[self.index["split"] == split]
        if not len(index):
            raise unknown_name("split", split, ("train", "validation"))
        names = index["shard"].unique().tolist()
        places = {name: place for place, name in enumerate(names)}
        entries = [RunEntry(places[row.shard], row.run, row.volumes) for row in index.itertuples()]
        sources: list[RunSource]
        if self.shards is not None:
            sources = [Shard(name) for name in names]
        else:
            sources = [RunInMemory(self._in_memory[int(name)]) for name in names]
        return WindowStream(
            sources,
            entries,
            self.length,
            self.stride,
            self.batch_size,
            training=training,
            workers=self.workers,
            shuffle_buffer=self.shuffle_buffer,
            seed=self.seed,
        )

    def train_dataloader(self) -> EpochLoader:
        """Give shuffled windows of the training runs."""
        trainer = self.trainer
        return EpochLoader(
            self.stream("train", training=True), None if trainer is None else lambda: trainer.current_epoch
        )

    def val_dataloader(self) -> EpochLoader:
        """Give the windows of the held-out runs, in order."""
        return EpochLoader(self.stream("validation"))

    @cached_property
    def _in_memory(self) -> Sequence[ParcelRun]:
        runs = self._runs
        if runs is None:
            if self.cohort is None:
                raise ValueError("no runs: give a cohort or shards")
            names = self.cohort.subjects if self.subjects is None else self.subjects
            runs = [run for name in names for run in self.cohort.runs(name)]
        splits = [set() if run.events is None else set(run.events["split"]) for run in runs]
        for name in self.without_splits:
            if not any(name in each for each in splits):
                raise unknown_name("split to leave out", name, set().union(*splits))
        return [run for run, each in zip(runs, splits, strict=True) if not each.intersection(self.without_splits)]

    def _held_out(self, runs: pd.Series) -> set[str]:
        names = sorted(set(runs))
        if isinstance(self.held_out, int | float):
            order = np.random.default_rng(self.seed).permutation(names)
            return set(order[: max(1, round(self.held_out * len(names)))].tolist())
        patterns = [self.held_out] if isinstance(self.held_out, str) else self.held_out
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise unknown_name("run to hold out", pattern, names)
        return {name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)}


def _memory_index(runs: Sequence[ParcelRun]) -> pd.DataFrame:
    """Index runs as `shard_index` does; a shard is a run's place."""
    rows = [(str(place), run.name, *run.bold.shape, run.tr) for place, run in enumerate(runs)]
    index = pd.DataFrame(rows, columns=list(COLUMNS))
    repeated = index["run"][index["run"].duplicated()]
    if len(repeated):
        raise ValueError(f"runs are held out by name, so expected each once; found several of {repeated.iloc[0]!r}")
    for run in runs:
        if not np.isfinite(run.bold).all():
            raise ValueError(f"{run.name}: values of its BOLD are not finite")
    return index
