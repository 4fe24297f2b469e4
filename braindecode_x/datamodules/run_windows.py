"""Windows of runs as a stream of batches, dealt out among processes and workers, from memory or from shards."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.distributed as dist
import webdataset
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from braindecode_x.datamodules.batch import Batch
from braindecode_x.datasets.bold_shards import read_shard
from braindecode_x.datasets.runs import ParcelRun

SHARDS_EACH = 4  # with fewer for each worker, some would have much more to do than others


class RunSource(Protocol):
    """What runs are read from, one after the other."""

    def read(self) -> Iterator[ParcelRun]:
        """Read the runs."""


@dataclass(frozen=True)
class RunInMemory:
    """A source of one run; may be memory-mapped."""

    run: ParcelRun

    def read(self) -> Iterator[ParcelRun]:
        """Give the run."""
        yield self.run


@dataclass(frozen=True)
class Shard:
    """A tar of runs: a file or a URL."""

    name: str

    def read(self) -> Iterator[ParcelRun]:
        """Read the runs; what is damaged is skipped with a warning."""
        return read_shard(self.name)


class RunEntry(NamedTuple):
    """Where a run is, and how long.

    Attributes
    ----------
    source : int
        Place of its source.
    run : str
        Name.
    volumes : int
    """

    source: int
    run: str
    volumes: int


class Window(NamedTuple):
    """A stretch of a run: BOLD (volumes, parcels) of float32, and the repetition time in seconds."""

    bold: torch.Tensor
    tr: float


class WindowStream(IterableDataset):
    """Batches of windows of runs.

    A run has as many windows as fit into it, one every ``stride`` volumes; a shorter one is a window as a whole. In
    training the windows of a run are shifted together, within what is left over, and shuffled, anew in each epoch.

    Every window goes to one process and one worker. Where there are enough shards each reads its own, else each reads
    all and takes its windows. All processes get equally many batches, so that none waits for another; in training every
    epoch has as many as the first, as a trainer counts them once. What is over is left out, in training other windows
    in each epoch; where an epoch's shards hold less for a worker, some of its windows come twice.

    Parameters
    ----------
    sources : sequence of RunSource
    entries : sequence of RunEntry
        The runs to take.
    length, stride : int
        Volumes.
    batch_size : int
        Windows. In training a rest that is smaller is left out, unless batches are lacking.
    training : bool
    workers : int
        Of the loader.
    shuffle_buffer : int
        Windows among which the next one is drawn.
    seed : int

    Attributes
    ----------
    epoch : int
        Of which the order is; set by `EpochLoader`.
    process : tuple of int or None
        Number of this process and how many there are; set by `EpochLoader`, since workers cannot ask. None: asks.
    """

    def __init__(
        self,
        sources: Sequence[RunSource],
        entries: Sequence[RunEntry],
        length: int,
        stride: int,
        batch_size: int,
        training: bool = False,
        workers: int = 0,
        shuffle_buffer: int = 2000,
        seed: int = 0,
    ):
        self.sources, self.entries = sources, entries
        self.length, self.stride, self.batch_size = length, stride, batch_size
        self.training, self.workers, self.shuffle_buffer, self.seed = training, workers, shuffle_buffer, seed
        self.epoch = 0
        self.process: tuple[int, int] | None = None
        volumes = np.array([entry.volumes for entry in entries])
        self.counts = np.maximum(0, volumes - length) // stride + 1  # windows of each run

    def __len__(self) -> int:
        """Count the batches of a process."""
        return sum(self._caps())

    def __iter__(self) -> Iterator[Batch]:
        """Give this process's and this worker's batches."""
        rank, world = self.process or _process()
        worker = get_worker_info()
        place = worker.id if worker else 0
        order, dealt = self._dealt(self.epoch)
        cap = self._caps()[place]
        consumer = place * world + rank
        mine = dealt == consumer
        batches = self._read(order, mine, consumer)
        given = 0
        for batch in itertools.islice(batches, cap):
            given += 1
            yield batch
        if given < cap and (world > 1 or self.training):  # processes and the trainer wait for as many as were promised
            if given < min(cap, mine.sum() // self.batch_size):
                warnings.warn(f"{cap - given} batches are repeated, as shards could not be read", stacklevel=2)
            yield from self._repeated(order, mine, consumer, cap - given)

    def _dealt(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the order of the sources, and who gets each window (worker x processes + process; -1: nobody)."""
        world = (self.process or _process())[1]
        consumers = world * max(1, self.workers)
        order = np.arange(len(self.sources))
        if self.training:
            order = np.random.default_rng((self.seed, epoch)).permutation(order)
        place = np.empty(len(order), int)
        place[order] = np.arange(len(order))
        by_window = np.repeat(place[[entry.source for entry in self.entries]], self.counts)
        taken = np.unique(by_window)
        if self.training and len(taken) >= SHARDS_EACH * consumers:
            return order, np.searchsorted(taken, by_window) % consumers
        number = np.empty(len(by_window), int)
        number[np.argsort(by_window, kind="stable")] = np.arange(len(by_window))
        return order, np.where(number < len(number) - len(number) % world, number % consumers, -1)

    def _caps(self) -> list[int]:
        """Count the batches that every process gets from each worker, in every epoch."""
        dealt = self._dealt(epoch=0)[1]
        world, workers = (self.process or _process())[1], max(1, self.workers)
        counts = np.bincount(dealt[dealt >= 0], minlength=world * workers).reshape(workers, world).min(axis=1)
        whole = counts // self.batch_size
        some = np.minimum(counts, 1)
        return (np.maximum(whole, some) if self.training else -(-counts // self.batch_size)).tolist()

    def _read(self, order: np.ndarray, mine: np.ndarray, consumer: int) -> Iterator[Batch]:
        windows = self._windows(order, mine)
        if self.training:
            rng = Random(f"{self.seed} {self.epoch} {consumer}")
            windows = webdataset.shuffle(self.shuffle_buffer, initial=self.shuffle_buffer, rng=rng)(windows)
        while chosen := list(itertools.islice(windows, self.batch_size)):
            yield collate_windows(chosen)

    def _repeated(self, order: np.ndarray, mine: np.ndarray, consumer: int, missing: int) -> Iterator[Batch]:
        while missing:
            given = 0
            for batch in itertools.islice(self._read(order, mine, consumer), missing):
                given += 1
                yield batch
            missing -= given
            if not given:
                raise RuntimeError("none of the shards of this process can be read any more")

    def _windows(self, order: np.ndarray, mine: np.ndarray) -> Iterator[Window]:
        ends = self.counts.cumsum()
        rows: dict[int, dict[str, int]] = {}
        for row, entry in enumerate(self.entries):
            if mine[ends[row] - self.counts[row] : ends[row]].any():
                rows.setdefault(entry.source, {})[entry.run] = row
        for source in order.tolist():
            awaited = rows.get(source, {})
            for run in self.sources[source].read() if awaited else ():
                if run.name in awaited:
                    row = awaited.pop(run.name)
                    yield from self._cut(run, row, mine[ends[row] - self.counts[row] : ends[row]])
                if not awaited:
                    break
            if awaited:
                warnings.warn(f"{self.sources[source]}: the runs {sorted(awaited)[:5]} are skipped", stacklevel=2)

    def _cut(self, run: ParcelRun, row: int, mine: np.ndarray) -> Iterator[Window]:
        rest = max(0, len(run.bold) - self.length - (len(mine) - 1) * self.stride)
        shift = int(np.random.default_rng((self.seed, self.epoch, row)).integers(rest + 1)) if self.training else 0
        for number in np.flatnonzero(mine).tolist():
            start = shift + number * self.stride
            yield Window(torch.from_numpy(np.array(run.bold[start : start + self.length], np.float32)), run.tr)


class EpochLoader(DataLoader):
    """A loader of a `WindowStream` whose epochs differ, also after a training was cut and went on.

    Parameters
    ----------
    stream : WindowStream
    epoch : callable, optional
        Says the number of the epoch that begins. Default: counts from 0.
    """

    dataset: WindowStream

    def __init__(self, stream: WindowStream, epoch: Callable[[], int] | None = None):
        super().__init__(stream, batch_size=None, num_workers=stream.workers)
        self.number_epoch = epoch or itertools.count().__next__

    def __iter__(self) -> Any:
        """Begin an epoch when its first batch is asked for: before that, a trainer that resumes names the last one."""
        # Workers get a copy of the stream when they start.
        self.dataset.epoch, self.dataset.process = self.number_epoch(), _process()
        yield from super().__iter__()


def collate_windows(windows: Sequence[Window]) -> Batch:
    """Put windows together: ``brain`` (batch, volumes, parcels), padded with zeros at the end; ``mask`` of its shape.

    Raises
    ------
    ValueError
        They differ in parcels.
    """
    parcels = {window.bold.shape[1] for window in windows}
    if len(parcels) > 1:
        raise ValueError(f"windows of a batch differ in parcels: {sorted(parcels)}")
    lengths = torch.tensor([len(window.bold) for window in windows])
    brain = torch.nn.utils.rnn.pad_sequence([window.bold for window in windows], batch_first=True)
    inside = torch.arange(brain.shape[1]) < lengths[:, None]
    return Batch(
        brain=brain,
        subject=torch.zeros(len(windows), dtype=torch.long),
        stimulus=[""] * len(windows),
        mask=inside[..., None].expand_as(brain),
        tr=torch.tensor([window.tr for window in windows]),
    )


def _process() -> tuple[int, int]:
    """Return the number of this process and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
