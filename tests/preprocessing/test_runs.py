"""The stage from fMRIPrep's derivatives to parcels, and its command."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from bids_fmri.make import PICTURES, make_bids, write_labels

from braindecode_x.cli import main
from braindecode_x.datasets.bold_recordings import BoldRecordings
from braindecode_x.datasets.preprocessed_runs import PreprocessedRuns
from braindecode_x.preprocessing import runs as stage
from braindecode_x.preprocessing.runs import preprocess_runs
from braindecode_x.preprocessing.settings import FmriSettings

IMAGE = "space-MNI152NLin2009cAsym_desc-preproc_bold"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bold")
    write_labels(folder)
    return make_bids(folder / "study")


@pytest.fixture
def study(made, tmp_path) -> Path:
    """Return a copy that may be changed."""
    return Path(shutil.copytree(made, tmp_path / "study"))


def derivatives(study: Path) -> Path:
    return study / "derivatives" / "fmriprep"


def settings(made: Path, **options) -> FmriSettings:
    """Take the atlas of labels, which is quick."""
    atlas = {"atlas": str(made.parent / "atlas_dseg.nii.gz"), "atlas_table": str(made.parent / "atlas_dseg.tsv")}
    return FmriSettings(**{**atlas, **options})


def process(made: Path, study: Path, output: Path, subjects=("sub-02",), overwrite=False, **options):
    recordings = BoldRecordings(derivatives(study), subjects=subjects)
    return preprocess_runs(recordings, output, settings(made, **options), overwrite=overwrite, progress=False)


def test_the_command_makes_parcels_that_answer_pictures(made, tmp_path):
    command = [sys.executable, "-m", "braindecode_x", "preprocess", "fmri", derivatives(made), tmp_path / "out"]
    command += ["--delay", "4", "--n_volumes", "3", "--confounds", "[motion, high_pass]"]
    command += ["--confound_options", "{motion: basic}"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4 runs of 2 subjects (sub-01, sub-02); 1 runs without events, for pre-training alone" in done.stdout
    assert "1 volumes before steady state left out" in done.stdout
    cohort = PreprocessedRuns(tmp_path / "out")
    assert len(cohort.parcels) == 300
    subject = cohort.subject("sub-01")
    assert subject.windows.shape == (20, 3, 300)
    assert {"run", "trial_type"} <= set(subject.trials)
    answers = subject.windows[:, 0, cohort.parcels.in_network("Visual")].mean(axis=1)
    numbers = [PICTURES.index(f"{name}.png") + 1 for name in subject.trials["stimulus"]]
    assert np.corrcoef(answers, numbers)[0, 1] > 0.9
    others = subject.windows[:, 0, cohort.parcels.in_network("FrontoParietal")].mean(axis=1)
    assert abs(np.corrcoef(others, numbers)[0, 1]) < 0.6
    assert isinstance(cohort.runs("sub-01")[0].bold, np.memmap)
    assert PreprocessedRuns(tmp_path / "out", n_volumes=6, delay=2.0).subject("sub-02").windows.shape == (10, 6, 300)


def test_movement_is_regressed_out(made, tmp_path):
    moved = pd.read_csv(next(derivatives(made).rglob("sub-02*_desc-confounds_timeseries.tsv")), sep="\t")["trans_x"]
    found = {}
    for confounds in ((), ("motion", "high_pass")):
        cohort = process(made, made, tmp_path / str(len(confounds)), confounds=confounds)
        found[len(confounds)] = abs(np.corrcoef(cohort.runs("sub-02")[0].bold[:, 0], moved)[0, 1])
    assert found[0] > 0.4
    assert found[2] < 1e-3


def test_runs_say_where_they_come_from(made, tmp_path):
    cohort = process(made, made, tmp_path / "out", subjects=("sub-01",))
    assert cohort.parcels.networks == ("Rest", "Vis", "Rest")
    _, second, rest = (tmp_path / "out" / "sub-01" / run.name for run in cohort.runs("sub-01"))
    about = json.loads((second / "run.json").read_text())
    assert (about["left_out"], about["volumes"], about["tr"]) == (1, 89, 2.0)
    assert "trans_x_derivative1" in about["confounds"]
    assert {"bold", "events", "confounds"} == set(about["inputs"])
    assert len(about["inputs"]["bold"]["hash"]) == 16
    assert not (rest / "events.tsv").exists()
    assert cohort.table["labelled"].tolist() == [True, True, False]
    onsets = [cohort.runs("sub-01")[number].events["onset"].iloc[0] for number in (0, 1)]
    assert onsets == [4.0, 2.0]  # the run that lost its first volume begins 2 s later
    whole = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert set(whole["atlas"]["files"]) == {"atlas_dseg.nii.gz", "atlas_dseg.tsv"}
    assert "nilearn" in whole["software"]


def test_runs_are_resampled_to_one_repetition_time(made, study, tmp_path):
    slow = make_bids(tmp_path / "slow", tr=2.5)
    for file in derivatives(slow).glob("*/func/sub-02*"):
        shutil.copy(file, derivatives(study) / file.relative_to(derivatives(slow)))
    with pytest.raises(ValueError, match=r"sub-02_.*: repetition time 2.5 s, but sub-01_.* has 2 s; choose one"):
        process(made, study, tmp_path / "out", subjects=("sub-01", "sub-02"))
    cohort = process(made, study, tmp_path / "one", subjects=("sub-01", "sub-02"), tr=2.0, confounds=("high_pass",))
    assert [len(run.bold) for run in cohort.runs("sub-02")] == [112]
    assert cohort.table["recorded_tr"].tolist() == [2.0, 2.0, 2.0, 2.5]
    cohort.n_volumes, cohort.delay = 1, 4.0
    for name in cohort.subjects:
        subject = cohort.subject(name)
        numbers = [PICTURES.index(f"{picture}.png") for picture in subject.trials["stimulus"]]
        assert np.corrcoef(subject.windows[:, 0, 1], numbers)[0, 1] > 0.8


def test_a_cut_run_goes_on_and_more_subjects_can_come(made, study, tmp_path, monkeypatch):
    calls = []

    def counted(run, *arguments):
        calls.append(run.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(run, *arguments)

    plain = stage.parcellate_run
    monkeypatch.setattr(stage, "parcellate_run", counted)
    with pytest.raises(KeyboardInterrupt):
        process(made, study, tmp_path / "out", subjects=("sub-01",))
    with pytest.raises(FileNotFoundError, match="holds no subject whose runs are all there"):
        PreprocessedRuns(tmp_path / "out")
    process(made, study, tmp_path / "out", subjects=("sub-01",))
    assert calls == [f"sub-01_task-{run}" for run in ("look_run-1", "look_run-2", "look_run-2", "rest")]
    before = (tmp_path / "out" / "sub-01" / "sub-01_task-rest" / "bold.npy").stat().st_mtime_ns
    cohort = process(made, study, tmp_path / "out")
    assert cohort.subjects == ("sub-01", "sub-02")
    assert (tmp_path / "out" / "sub-01" / "sub-01_task-rest" / "bold.npy").stat().st_mtime_ns == before


def test_other_settings_or_inputs_do_not_mix(made, study, tmp_path):
    process(made, study, tmp_path / "out")
    with pytest.raises(ValueError, match=r"out: holds runs of other settings \(different: detrend\)"):
        process(made, study, tmp_path / "out", detrend=False)
    image = next(derivatives(study).rglob(f"sub-02*_{IMAGE}.nii.gz"))
    shutil.copy(next(derivatives(study).rglob(f"sub-01*run-1*_{IMAGE}.nii.gz")), image)
    with pytest.raises(ValueError, match=r"_bold.nii.gz has changed since this run was made of it; remove it"):
        process(made, study, tmp_path / "out")
    assert len(PreprocessedRuns(tmp_path / "out").subject("sub-02").windows) == 10
    process(made, study, tmp_path / "out", detrend=False, overwrite=True)


def test_another_task_may_follow_but_not_other_events(made, tmp_path):
    def done(**options) -> list[str]:
        recordings = BoldRecordings(derivatives(made), subjects=["sub-01"], **options)
        cohort = preprocess_runs(recordings, tmp_path / "out", settings(made), progress=False)
        return [run.name.partition("_task-")[2] for run in cohort.runs("sub-01")]

    assert done(task="look") == ["look_run-1", "look_run-2"]
    with pytest.raises(ValueError, match=r"runs of other settings \(different: trial_types\)"):
        done(task="look", trial_types=["picture"])
    assert done(task="rest") == ["look_run-1", "look_run-2", "rest"]
    assert len(PreprocessedRuns(tmp_path / "out").subject("sub-01").windows) == 20


def test_the_same_twice_is_the_same(made, tmp_path):
    first, second = (process(made, made, tmp_path / name).runs("sub-02")[0] for name in ("a", "b"))
    np.testing.assert_array_equal(first.bold, second.bold)
    pd.testing.assert_frame_equal(first.events, second.events)


def change_header(image: Path, tr: float) -> None:
    loaded = nib.load(image)
    changed = nib.Nifti1Image(np.asarray(loaded.dataobj), loaded.affine, loaded.header)
    changed.header.set_zooms((12, 12, 12, tr))
    nib.save(changed, image)


def drop_confounds(image: Path) -> None:
    next(image.parent.glob("sub-02*confounds_timeseries.tsv")).unlink()


def no_csf(image: Path) -> None:
    file = next(image.parent.glob("sub-02*confounds_timeseries.tsv"))
    pd.read_csv(file, sep="\t").drop(columns=["csf", "white_matter"]).to_csv(file, sep="\t", index=False, na_rep="n/a")


def few_volumes(image: Path) -> None:
    loaded = nib.load(image)
    nib.save(loaded.slicer[..., :20], image)
    file = next(image.parent.glob("sub-02*confounds_timeseries.tsv"))
    pd.read_csv(file, sep="\t").iloc[:20].to_csv(file, sep="\t", index=False, na_rep="n/a")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda image: image.write_bytes(image.read_bytes()[:9000]), r"sub-02.*_bold.nii.gz: damaged"),
        (lambda image: change_header(image, 1.5), r"repetition time 1.5 s in the header, 2 s in the sidecar"),
        (drop_confounds, r"no \*_desc-confounds_timeseries.tsv of this run"),
        (no_csf, r"confounds_timeseries.tsv: cannot be used with motion, high_pass, wm_csf .*csf"),
        (few_volumes, r"20 volumes are too few to regress out 27 confounds"),
    ],
)
def test_a_run_that_cannot_be_used_is_named(made, study, tmp_path, capsys, damage, message):
    damage(next(derivatives(study).rglob(f"sub-02*_{IMAGE}.nii.gz")))
    atlas = ("--atlas", made.parent / "atlas_dseg.nii.gz")
    command = ["preprocess", "fmri", derivatives(study), tmp_path / "out", "--subjects", "[sub-02]", *atlas]
    with pytest.raises(SystemExit):
        main([str(each) for each in command])
    found = capsys.readouterr().err
    assert re.search(message, found), found
    assert not list((tmp_path / "out").glob("*/*/run.json"))


def test_plain_tables_of_confounds_are_taken(made, study, tmp_path):
    image = next(derivatives(study).rglob(f"sub-02*_{IMAGE}.nii.gz")).relative_to(study)
    moved = np.random.default_rng(0).standard_normal(90)
    table = pd.DataFrame({"move": moved, "slope": np.diff(moved, prepend=np.nan), "note": "x"})
    table.to_csv(study / "own.tsv", sep="\t", index=False, na_rep="n/a")
    (study / "runs.csv").write_text(f"subject,run,bold,confounds\nanna,1,{image},own.tsv\n")
    recordings = BoldRecordings(study / "runs.csv")
    with pytest.raises(ValueError, match=r"own.tsv: the column 'note' holds text"):
        preprocess_runs(recordings, tmp_path / "out", settings(made), progress=False)
    chosen = settings(made, confound_columns=("move", "slope"))
    cohort = preprocess_runs(recordings, tmp_path / "out", chosen, progress=False)
    run = cohort.runs("anna")[0]
    assert run.events is None
    assert abs(np.corrcoef(run.bold[:, 0], moved)[0, 1]) < 1e-3
    assert len(cohort.stimuli) == 0
    with pytest.raises(ValueError, match="anna: none of its 1 runs has events"):
        cohort.subject("anna")


def test_damaged_arrays_are_named(made, tmp_path):
    cohort = process(made, made, tmp_path / "out")
    file = next((tmp_path / "out").rglob("bold.npy"))
    whole = file.read_bytes()
    file.write_bytes(whole[:500])
    with pytest.raises(ValueError, match=r"bold.npy: damaged, or not there .* remove .* and make it anew"):
        cohort.runs("sub-02")
    np.save(file, np.zeros((90, 2), np.float32))
    with pytest.raises(ValueError, match=r"bold.npy: of shape \(90, 2\); expected \(90, 3\)"):
        cohort.runs("sub-02")
    with pytest.raises(ValueError, match="unknown subject 'sub-03'; did you mean 'sub-02'"):
        PreprocessedRuns(tmp_path / "out", subjects=["sub-03"])
    with pytest.raises(ValueError, match="n_volumes: expected at least 1, found 0"):
        PreprocessedRuns(tmp_path / "out", n_volumes=0)
