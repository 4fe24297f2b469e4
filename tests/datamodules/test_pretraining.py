"""Windows for pre-training: which they are, and that processes and workers share them out."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from quick_training import in_two_processes

from braindecode_x.datamodules import run_windows
from braindecode_x.datamodules.pretraining import PretrainingDataModule
from braindecode_x.datasets.bold_shards import write_shard
from braindecode_x.datasets.runs import ParcelRun


def make_runs(volumes: Sequence[int] = (20, 23, 31, 12, 26, 40, 18, 22)) -> list[ParcelRun]:
    """Make runs whose first parcel holds the run's number, and whose second the volume's."""
    runs = []
    for number, length in enumerate(volumes):
        bold = np.stack([np.full(length, number), np.arange(length)], axis=1).astype(np.float32)
        runs.append(ParcelRun(f"sub-{number // 2:02d}_run-{number % 2}", bold, 2.0 if number % 2 else 1.5))
    return runs


def write_runs(folder: Path, runs: Sequence[ParcelRun], shards: int) -> Path:
    for number in range(shards):
        write_shard(runs[number::shards], folder / f"{number:03d}.tar")
    return folder


def module(source: Path | list[ParcelRun], **options) -> PretrainingDataModule:
    options = {"length": 8, "stride": 4, "min_volumes": 4, "batch_size": 3, "held_out": ["sub-03*"], **options}
    if isinstance(source, Path):
        return PretrainingDataModule(shards=source, **options)
    return PretrainingDataModule.of_runs(source, **options)


def windows_of(loader) -> list[tuple[int, int, int]]:
    """Return run, first volume and length of every window."""
    found = []
    for batch in loader:
        assert batch.mask.shape == batch.brain.shape
        for brain, mask, tr in zip(batch.brain, batch.mask, batch.tr, strict=True):
            inside = brain[mask[:, 0]]
            assert (brain[~mask] == 0).all()
            assert torch.equal(inside[:, 1], inside[0, 1] + torch.arange(len(inside)))
            run = int(inside[0, 0])
            assert tr == (2.0 if run % 2 else 1.5)
            found.append((run, int(inside[0, 1]), len(inside)))
    return found


def expected(runs: Sequence[ParcelRun], numbers: Sequence[int], length: int = 8, stride: int = 4) -> set:
    return {
        (number, start, min(length, len(runs[number].bold)))
        for number in numbers
        for start in range(0, max(1, len(runs[number].bold) - length + 1), stride)
    }


@pytest.mark.parametrize("shards", [0, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_held_out_windows_come_once_each(tmp_path: Path, shards: int, workers: int) -> None:
    runs = make_runs()
    source = write_runs(tmp_path, runs, shards) if shards else runs
    found = windows_of(module(source, workers=workers).val_dataloader())
    assert len(found) == len(set(found))
    assert set(found) == expected(runs, [6, 7])


@pytest.mark.parametrize("shards", [0, 2, 6])
def test_training_takes_every_run_but_the_held_out_and_each_window_once(tmp_path: Path, shards: int) -> None:
    runs = make_runs()
    source = write_runs(tmp_path, runs, shards) if shards else runs
    data = module(source, batch_size=1)
    found = windows_of(data.train_dataloader())
    assert len(found) == len(set(found)) == len(expected(runs, range(6)))
    count = Counter(run for run, _, _ in found)
    assert count == Counter(run for run, _, _ in expected(runs, range(6)))
    for number in range(6):
        starts = sorted(start for run, start, _ in found if run == number)
        assert set(np.diff(starts)) <= {4}
        assert starts[-1] + 8 <= len(runs[number].bold)


def test_epochs_differ_and_the_same_seed_gives_the_same(tmp_path: Path) -> None:
    source = write_runs(tmp_path, make_runs(), 4)
    loader = module(source).train_dataloader()
    first, second = windows_of(loader), windows_of(loader)
    assert first != second
    again = module(source).train_dataloader()
    assert (windows_of(again), windows_of(again)) == (first, second)
    assert windows_of(module(source, seed=1).train_dataloader()) != first


def test_shards_and_memory_give_the_same_split() -> None:
    runs = make_runs()
    drawn = module(runs, held_out=0.25).index
    assert (drawn["split"] == "validation").sum() == 2
    assert drawn.equals(module(runs, held_out=0.25).index)
    assert not drawn.equals(module(runs, held_out=0.25, seed=3).index)


def test_short_runs_are_padded_and_shorter_ones_left_out_with_a_warning() -> None:
    runs = make_runs([20, 5, 3, 20, 20, 20, 8, 6])
    data = module(runs, batch_size=4)
    with pytest.warns(UserWarning, match="1 of 8 runs are left out: fewer than 4 volumes, the first is sub-01_run-0"):
        found = windows_of(data.val_dataloader())
    assert found == [(6, 0, 8), (7, 0, 6)]
    assert {run for run, _, _ in windows_of(module(runs, batch_size=1).train_dataloader())} == {0, 1, 3, 4, 5}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_has_as_many_batches_as_it_says(tmp_path: Path, workers: int) -> None:
    source = write_runs(tmp_path, make_runs(), 8)
    data = module(source, workers=workers)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert len(list(loader)) == len(loader)


def test_a_shard_that_cannot_be_read_any_more_is_said(tmp_path: Path) -> None:
    source = write_runs(tmp_path, make_runs(), 4)
    data = module(source)
    loader = data.train_dataloader()
    (source / "001.tar").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"001\.tar.*cut off or damaged"):
        found = windows_of(loader)
    assert {run for run, _, _ in found} == {0, 2, 3, 4}


def process(rank: int, folder: str, names: dict) -> None:
    for name, source in names.items():
        data = module(source)
        loaders = {"train": data.train_dataloader(), "validation": data.val_dataloader()}
        found = {split: [windows_of([batch]) for batch in loader] for split, loader in loaders.items()}
        lengths = {split: len(loader) for split, loader in loaders.items()}
        torch.save((found, lengths), f"{folder}/{name}-{rank}.pt")


def test_two_processes_share_out_the_windows(tmp_path: Path) -> None:
    """By windows, where there are few shards or none, and by shards."""
    runs = make_runs([20, 23, 31, 12, 26, 40, 18, 22] * 3)
    few, many = (write_runs(tmp_path / str(n), runs, n) for n in (3, 24))
    names = {"memory": runs, "few": few, "many": many}
    for folder in (few, many):
        module(folder).prepare_data()
    in_two_processes(partial(process, names=names), tmp_path)
    held = [6, 7]
    for name in names:
        (first, lengths), (second, other_lengths) = (torch.load(tmp_path / f"{name}-{rank}.pt") for rank in range(2))
        for split in ("train", "validation"):
            assert len(first[split]) == len(second[split]) == lengths[split] == other_lengths[split] > 0
            windows = [window for part in (first, second) for batch in part[split] for window in batch]
            assert len(windows) == len(set(windows)), f"{name}: a window went to both processes"
        whole = expected(runs, held)
        assert set(windows) <= whole
        assert len(windows) == len(whole) - len(whole) % 2
        trained = {run for part in (first, second) for batch in part["train"] for run, _, _ in batch}
        assert not trained & set(held)
        if name == "many":  # each process reads shards of its own
            runs_of = [{run for batch in part["train"] for run, _, _ in batch} for part in (first, second)]
            assert not runs_of[0] & runs_of[1]


@pytest.mark.parametrize("shards", [5, 24])
@pytest.mark.parametrize(("world", "workers"), [(1, 3), (2, 2)])
def test_processes_with_workers_share_out_the_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: int, world: int, workers: int
) -> None:
    runs = make_runs([20, 23, 31, 12, 26, 40, 18, 22] * 3)
    source = write_runs(tmp_path, runs, shards) if shards else runs
    data = module(source, workers=workers)
    for split in ("train", "validation"):
        stream = data.stream(split, training=split == "train")
        windows, batches = [], []
        for rank in range(world):
            monkeypatch.setattr(run_windows, "_process", lambda rank=rank: (rank, world))
            batches.append(0)
            for worker in range(workers):
                monkeypatch.setattr(run_windows, "get_worker_info", lambda worker=worker: SimpleNamespace(id=worker))
                for batch in stream:
                    windows += windows_of([batch])
                    batches[-1] += 1
            assert batches[-1] == len(stream)
        assert len(set(batches)) == 1
        assert len(windows) == len(set(windows))
    whole = expected(runs, [6, 7])
    assert set(windows) <= whole
    assert len(windows) == len(whole) - len(whole) % world


@pytest.mark.parametrize(("world", "workers"), [(1, 2), (2, 1)])
def test_every_epoch_has_as_many_batches_as_the_trainer_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: int, workers: int
) -> None:
    """A trainer counts them once; where fewer came, it would not validate."""
    runs = make_runs(np.random.default_rng(0).integers(8, 80, 24).tolist())
    stream = module(write_runs(tmp_path, runs, 24), workers=workers).stream("train", training=True)
    found = set()
    for epoch in range(4):
        stream.epoch = epoch
        for rank in range(world):
            monkeypatch.setattr(run_windows, "_process", lambda rank=rank: (rank, world))
            count = 0
            for worker in range(workers):
                monkeypatch.setattr(run_windows, "get_worker_info", lambda worker=worker: SimpleNamespace(id=worker))
                count += len(list(stream))
            found |= {count, len(stream)}
    assert len(found) == 1


def test_a_process_whose_shard_is_lost_repeats_others_rather_than_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = module(write_runs(tmp_path, make_runs([20, 23, 31, 12, 26, 40, 18, 22] * 3), 24))
    stream = data.stream("train", training=True)
    for number in (1, 3, 5, 9, 12, 16):
        (tmp_path / f"{number:03d}.tar").write_bytes(b"")
    found = []
    for rank in range(2):
        monkeypatch.setattr(run_windows, "_process", lambda rank=rank: (rank, 2))
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            assert len(list(stream)) == len(stream)
        found += [str(warning.message) for warning in heard]
    assert any("are repeated, as shards could not be read" in message for message in found)
    assert any("003.tar: cut off or damaged" in message for message in found)


def test_workers_are_told_which_process_they_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that are started anew know nothing of other processes."""
    loader = module(make_runs()).val_dataloader()
    asked = iter([(1, 2)])  # by the loader, in the process itself; later answers are those that workers would get
    monkeypatch.setattr(run_windows, "_process", lambda: next(asked, (0, 1)))
    assert len(windows_of(loader)) == len(expected(make_runs(), [6, 7])) // 2


class Counting(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.seen: dict[int, list] = {}

    def training_step(self, batch, batch_idx):
        self.seen.setdefault(self.current_epoch, []).extend(windows_of([batch]))
        return self.layer(batch.brain).mean()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        assert self.trainer.estimated_stepping_batches == 3 * len(self.trainer.train_dataloader)
        return torch.optim.SGD(self.parameters(), lr=0.0)


def test_a_training_that_was_cut_goes_on_with_the_epochs_that_follow(tmp_path: Path) -> None:
    source = write_runs(tmp_path / "corpus", make_runs(), 4)
    quiet = {
        "logger": False,
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": tmp_path,
    }
    whole, cut, resumed = Counting(), Counting(), Counting()
    L.Trainer(max_epochs=3, enable_checkpointing=False, **quiet).fit(whole, datamodule=module(source))
    cut.configure_optimizers = resumed.configure_optimizers = lambda: torch.optim.SGD(cut.parameters(), lr=0.0)
    keep = ModelCheckpoint(tmp_path, "cut")  # as it is written before the epoch is counted as done
    L.Trainer(max_epochs=1, callbacks=[keep], **quiet).fit(cut, datamodule=module(source))
    resumed.configure_optimizers = lambda: torch.optim.SGD(resumed.parameters(), lr=0.0)
    trainer = L.Trainer(max_epochs=3, enable_checkpointing=False, **quiet)
    trainer.fit(resumed, datamodule=module(source), ckpt_path=tmp_path / "cut.ckpt")
    assert {**cut.seen, **resumed.seen} == whole.seen
    assert whole.seen[0] != whole.seen[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 1}, "length: expected at least 2, found 1"),
        ({"held_out": 1.0}, r"held_out: expected a share of the runs in \(0, 1\)"),
        ({"held_out": ["sub-9*"]}, "unknown run to hold out 'sub-9"),
        ({"held_out": ["*"]}, "held_out: no runs are left for train"),
        ({"subjects": ["sub-01"]}, "unknown subject 'sub-01'"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _ = module(make_runs(), **options).index


def test_runs_of_a_split_may_be_left_out() -> None:
    """So that nothing of the BOLD that is decoded later is seen."""
    splits = ["train", "test", "validation", None, "train", "test"]
    runs = []
    for run, split in zip(make_runs(), splits, strict=False):
        trial = pd.DataFrame({"onset": [0.0], "duration": 1.0, "stimulus": "cat", "split": split})
        runs.append(ParcelRun(run.name, run.bold, run.tr, None if split is None else trial))
    data = module(runs, without_splits=["test"], held_out=["sub-01*"])
    assert {run for run, _, _ in windows_of(data.train_dataloader())} == {0, 4}
    assert {run for run, _, _ in windows_of(data.val_dataloader())} == {2, 3}
    with pytest.raises(ValueError, match="unknown split to leave out 'tst'; did you mean 'test'"):
        _ = module(runs, without_splits=["tst"]).index
    with pytest.raises(ValueError, match="without_splits: shards are not looked through for events"):
        PretrainingDataModule(shards="corpus", without_splits=["test"])


def test_bad_runs_are_refused() -> None:
    runs = make_runs()
    wide = ParcelRun("wide", np.zeros((20, 5), np.float32), 2.0)
    with pytest.raises(ValueError, match=r"runs have 2 parcels \(sub-00_run-0\) and 5 \(wide\)"):
        _ = module([*runs, wide]).index
    with pytest.raises(ValueError, match="several of 'sub-00_run-0'"):
        _ = module([*runs, runs[0]]).index
    runs[3].bold[2, 1] = np.inf
    with pytest.raises(ValueError, match="sub-01_run-1: values of its BOLD are not finite"):
        _ = module(runs).index
    with pytest.raises(ValueError, match="no runs: give a cohort or shards"):
        _ = PretrainingDataModule().index
