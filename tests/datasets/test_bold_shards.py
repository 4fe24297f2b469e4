"""Shards: what is written comes back, published ones are read, and what is damaged is skipped and counted."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import webdataset

from braindecode_x.datasets import bold_shards
from braindecode_x.datasets.bold_shards import (
    read_shard,
    shard_index,
    shard_names,
    shard_parcels,
    write_shard,
    write_shards,
)
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.runs import ParcelRun, RunsCohort

EVENTS = pd.DataFrame({"onset": [4.0, 10.5], "duration": 2.0, "stimulus": ["cat", ""], "split": ["train", "predict"]})


def make_run(name: str, volumes: int = 20, parcels: int = 3, **changes: object) -> ParcelRun:
    bold = np.random.default_rng(len(name) + volumes).standard_normal((volumes, parcels)).astype(np.float32)
    return ParcelRun(**{"name": name, "bold": bold, "tr": 2.0, **changes})


class SmallRuns(RunsCohort):
    """Two subjects with three runs each; says how often it was read."""

    subjects, tr, n_volumes, delay = ("sub-01", "sub-02"), 2.0, 3, 4.0
    parcels = Parcels(("a", "b", "c"), ("Visual", "Visual", "Default"), None, "small")

    def __init__(self) -> None:
        self.asked: list[str] = []

    def runs(self, subject: str) -> Sequence[ParcelRun]:
        self.asked.append(subject)
        return [make_run(f"{subject}_run-{number}", 20 + number, events=EVENTS) for number in range(3)]


def write_published(file: Path, runs: Sequence[ParcelRun], **more: object) -> None:
    with webdataset.TarWriter(str(file)) as tar:
        for run in runs:
            tar.write({"__key__": run.name, "bold.pyd": run.bold, "t_r.pyd": np.float32(run.tr), **more})


def same(found: ParcelRun, expected: ParcelRun) -> None:
    assert (found.name, found.tr) == (expected.name, expected.tr)
    np.testing.assert_array_equal(found.bold, expected.bold)
    assert found.bold.dtype == np.float32


def test_runs_come_back_whole(tmp_path: Path) -> None:
    runs = [make_run("sub-01_run-1", events=EVENTS), make_run("sub-01_run-2", 7)]
    index = write_shard(runs, tmp_path / "a.tar")
    found = list(read_shard(tmp_path / "a.tar"))
    for one, other in zip(found, runs, strict=True):
        same(one, other)
    pd.testing.assert_frame_equal(found[0].events, EVENTS)
    assert found[1].events is None
    assert index.to_numpy().tolist() == [["a.tar", "sub-01_run-1", 20, 3, 2.0], ["a.tar", "sub-01_run-2", 7, 3, 2.0]]


def test_shards_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_shard([make_run("run-1", events=EVENTS)], tmp_path / f"{name}.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_published_shards_are_read(tmp_path: Path) -> None:
    run = make_run("ds-ds000212_sub-07_task-dis_run-2")
    write_published(tmp_path / "a.tar", [run], **{"label.pyd": 3, "task_name": "dis"})
    same(next(read_shard(tmp_path / "a.tar")), run)
    same(next(read_shard(f"pipe:cat {tmp_path / 'a.tar'}")), run)


def test_a_cohort_is_written_subject_by_subject_and_goes_on(tmp_path: Path) -> None:
    cohort = SmallRuns()
    write_shards(cohort, tmp_path / "corpus", subjects=["sub-02"], runs_per_shard=2)
    index = write_shards(cohort, tmp_path / "corpus", runs_per_shard=2)
    assert cohort.asked == ["sub-02", "sub-01"]
    found = shard_index(tmp_path / "corpus")
    names = [Path(name).name for name in found["shard"]]
    assert names == ["sub-01-000.tar"] * 2 + ["sub-01-001.tar"] + ["sub-02-000.tar"] * 2 + ["sub-02-001.tar"]
    assert sorted(found["run"]) == sorted(index["run"])
    assert len(set(found["run"])) == 6
    assert shard_parcels(tmp_path / "corpus") == cohort.parcels
    with pytest.raises(ValueError, match=r"other settings \(different: runs_per_shard\)"):
        write_shards(cohort, tmp_path / "corpus", runs_per_shard=3)
    with pytest.raises(ValueError, match="unknown subject 'sub-3'; did you mean"):
        write_shards(cohort, tmp_path / "other", subjects=["sub-3"])


def test_a_subject_whose_name_begins_anothers_is_written_too(tmp_path: Path) -> None:
    cohort = SmallRuns()
    cohort.subjects = ("sub-01-late", "sub-01")
    assert len(write_shards(cohort, tmp_path)) == 6


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_truncated_shard_gives_what_is_whole_and_is_counted(tmp_path: Path, share: float) -> None:
    runs = [make_run(f"run-{number}", 2000) for number in range(4)]
    write_shard(runs, tmp_path / "a.tar")
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: int(share * len(whole)) // 512 * 512 + 100])
    skipped: list[str] = []
    with pytest.warns(UserWarning, match=r"a\.tar: cut off or damaged"):
        found = list(read_shard(tmp_path / "a.tar", skipped))
    assert 0 < len(found) < 4
    assert len(skipped) == 1
    for one, other in zip(found, runs, strict=False):
        same(one, other)


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100])
def test_a_file_that_is_no_tar_is_skipped_and_counted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.tar").write_bytes(content)
    write_shard([make_run("run-1")], tmp_path / "a.tar")
    with pytest.warns(UserWarning, match=r"b\.tar"):
        index = shard_index(tmp_path)
    assert index["run"].tolist() == ["run-1"]
    assert len(index.attrs["skipped"]) == 1


class Poison:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("kind", ["poison", "pickle", "missing", "nan", "text", "axes", "tr"])
def test_a_bad_run_is_skipped_and_its_neighbours_are_read(tmp_path: Path, kind: str) -> None:
    good = make_run("sub-01_run-1")
    bad = {"__key__": "sub-01_run-2", "bold.pyd": pickle.dumps(good.bold), "t_r.pyd": pickle.dumps(np.float32(2))}
    broken = good.bold.copy()
    broken[3, 1] = np.nan
    change, message = {
        "poison": ({"bold.pyd": pickle.dumps(Poison(tmp_path / "ran"))}, "posix.system"),
        "pickle": ({"bold.pyd": pickle.dumps(good.bold)[:-30]}, "damaged"),
        "missing": ({"t_r.pyd": None}, "without t_r.pyd"),
        "nan": ({"bold.pyd": pickle.dumps(broken)}, "1 values of its BOLD are not finite"),
        "text": ({"bold.pyd": pickle.dumps(np.array(["a"]))}, "real numbers"),
        "axes": ({"bold.pyd": pickle.dumps(good.bold[0])}, r"\(volumes, parcels\)"),
        "tr": ({"t_r.pyd": pickle.dumps(np.float32(0))}, "repetition time 0"),
    }[kind]
    with webdataset.TarWriter(str(tmp_path / "b.tar"), encoder=False) as tar:
        tar.write({name: value for name, value in {**bad, **change}.items() if value is not None})
        tar.write({**bad, "__key__": "sub-01_run-3"})
    write_published(tmp_path / "c.tar", [good])
    skipped: list[str] = []
    with pytest.warns(UserWarning, match=message):
        found = [run for name in shard_names(tmp_path) for run in read_shard(name, skipped)]
    assert [run.name for run in found] == ["sub-01_run-3", "sub-01_run-1"]
    assert len(skipped) == 1
    assert "b.tar: run 'sub-01_run-2' is skipped" in skipped[0]
    assert not (tmp_path / "ran").exists()


def test_a_member_that_is_there_twice_does_not_hide_what_is_damaged_behind_it(tmp_path: Path) -> None:
    good, file = make_run("run-1"), tmp_path / "a.tar"
    content = {"bold.pyd": pickle.dumps(good.bold), "t_r.pyd": pickle.dumps(np.float32(2))}
    with webdataset.TarWriter(str(file), encoder=False) as tar:
        for change in ({}, {"bold.pyd": content["bold.pyd"]}):
            tar.write({"__key__": "run-1", **(change or content)})
        tar.write({"__key__": "run-2", **content, "bold.pyd": b"no pickle"})
    skipped: list[str] = []
    with pytest.warns(UserWarning, match="run 'run-2' is skipped"):
        assert [run.name for run in read_shard(file, skipped)] == ["run-1"]
    assert len(skipped) == 2
    assert any("duplicate file name" in why for why in skipped)


def test_foreign_shards_are_read_once_for_their_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_published(tmp_path / "a.tar", [make_run("run-1"), make_run("run-2", 9)])
    first = shard_index(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(bold_shards, "read_shard", lambda *_: pytest.fail("read again"))
        pd.testing.assert_frame_equal(shard_index(tmp_path), first)
    write_published(tmp_path / "a.tar", [make_run("run-1", 33)])
    assert shard_index(tmp_path)["volumes"].tolist() == [33]


def test_names_that_a_tar_cannot_hold_are_refused(tmp_path: Path) -> None:
    for runs in ([make_run("run.1")], [make_run("run-1"), make_run("run-1")]):
        with pytest.raises(ValueError, match="expected names without dots, each once"):
            write_shard(runs, tmp_path / "a.tar")
    assert not list(tmp_path.iterdir())


def test_shards_are_named_by_folder_file_braces_and_url(tmp_path: Path) -> None:
    for number in range(3):
        write_shard([make_run("run-1")], tmp_path / f"x-{number:03d}.tar")
    files = [str(tmp_path / f"x-{number:03d}.tar") for number in range(3)]
    assert shard_names(tmp_path) == shard_names(str(tmp_path / "x-{000..002}.tar")) == shard_names(files) == files
    assert shard_names("https://example.org/x-{0..1}.tar") == [f"https://example.org/x-{i}.tar" for i in range(2)]
    with pytest.raises(FileNotFoundError, match=r"x-003\.tar: no such shard"):
        shard_names(str(tmp_path / "x-{000..003}.tar"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no shards"):
        shard_names(tmp_path / "empty")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(read_shard(files[0]))) == 1
