from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from braindecode_x.datasets import SimulatedWholeBrain
from braindecode_x.datasets.bold_recordings import BoldRecordings
from braindecode_x.datasets.simulated_bids import export_bids, grid
from braindecode_x.preprocessing.runs import preprocess_runs
from braindecode_x.preprocessing.settings import FmriSettings
from braindecode_x.stimuli import ObjectStimuli


@pytest.fixture(scope="module")
def cohort(objects: ObjectStimuli, tmp_path_factory: pytest.TempPathFactory) -> SimulatedWholeBrain:
    table = objects.subset(rendering="fluent3d").table
    training = table.index[table["split"] == "train"][:12].tolist()
    test = table.index[table["split"] == "test"][:2].tolist()
    pictures = objects.subset(ids=[*training, *test])
    repeats = {"train": 1, "test": 2}
    return SimulatedWholeBrain(stimuli=pictures, folder=tmp_path_factory.mktemp("features"), repeats=repeats)


@pytest.fixture(scope="module")
def exported(cohort: SimulatedWholeBrain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_bids(cohort, tmp_path_factory.mktemp("study") / "derivatives", ["sub-01"], resolution=5)


def test_a_run_comes_back_through_preprocessing(cohort: SimulatedWholeBrain, exported: Path, tmp_path: Path) -> None:
    recordings = BoldRecordings(exported, pictures="objects")
    settings = FmriSettings(confounds=())
    made = preprocess_runs(recordings, tmp_path / "runs", settings, cohort.n_volumes, cohort.delay, progress=False)
    back, source = made.runs("sub-01"), cohort.runs("sub-01")
    assert sorted(run.name for run in back) == sorted(run.name for run in source)
    by_name = {run.name: run for run in source}
    for run in back:
        assert run.bold.shape == by_name[run.name].bold.shape
        assert run.tr == cohort.tr
        alike = (run.bold * by_name[run.name].bold).sum(axis=0) / (len(run.bold) - 1)
        assert np.median(alike) > 0.9
        assert alike.min() > 0.5
    ours, theirs = cohort.subject("sub-01"), made.subject("sub-01")
    order = ["run", "stimulus", "repeat"]
    columns = ["stimulus", "split", "prompt", "run"]
    tables = []
    for subject in (ours, theirs):
        table = subject.trials.astype({"repeat": int}).sort_values(order)
        tables.append(table[columns].reset_index(drop=True).astype(str).replace("n/a", ""))
    pd.testing.assert_frame_equal(*tables)


def test_confounds_take_off_what_they_stand_for(exported: Path, cohort: SimulatedWholeBrain, tmp_path: Path) -> None:
    recordings = BoldRecordings(exported, task="imagery", pictures="objects")
    made = preprocess_runs(recordings, tmp_path / "runs", FmriSettings(), progress=False)
    run = made.runs("sub-01")[0]
    confounds = next(exported.rglob(f"{run.name}_desc-confounds_timeseries.tsv"))
    table = pd.read_csv(confounds, sep="\t", na_values="n/a")
    for name in ("trans_x", "csf", "cosine00"):
        assert np.abs(np.corrcoef(table[name], run.bold.mean(axis=1))[0, 1]) < 0.05
    assert table["trans_x_derivative1"].isna().sum() == 1


def test_files_are_laid_out_as_fmriprep_does(exported: Path, cohort: SimulatedWholeBrain) -> None:
    name = next(iter(cohort._schedule("sub-01")))
    func = exported / "sub-01" / "ses-01" / "func"
    image = nib.load(func / f"{name}_space-MNI152NLin2009aSym_desc-preproc_bold.nii.gz")
    mask = nib.load(func / f"{name}_space-MNI152NLin2009aSym_desc-brain_mask.nii.gz")
    assert image.shape[:3] == mask.shape
    assert image.header.get_zooms() == pytest.approx((5, 5, 5, cohort.tr))
    assert image.header.get_data_dtype() == np.int16
    assert image.get_sform(coded=True)[1] == 4
    values, inside = np.asarray(image.dataobj), np.asarray(mask.dataobj) > 0
    assert values[~inside].max() == 0
    assert values[inside].min() > 3000
    sidecar = json.loads((func / f"{name}_space-MNI152NLin2009aSym_desc-preproc_bold.json").read_text())
    assert sidecar["RepetitionTime"] == cohort.tr
    assert json.loads((exported / "dataset_description.json").read_text())["DatasetType"] == "derivative"


def test_an_export_goes_on_and_gives_the_same_files(cohort: SimulatedWholeBrain, exported: Path) -> None:
    images = sorted(exported.rglob("*_bold.nii.gz"))
    assert len(images) == len(cohort._schedule("sub-01"))
    before, written = images[0].read_bytes(), images[1].stat().st_mtime_ns
    images[0].unlink()
    export_bids(cohort, exported, ["sub-01"], resolution=5)
    assert images[0].read_bytes() == before
    assert images[1].stat().st_mtime_ns == written


def test_every_sphere_has_voxels() -> None:
    for resolution in (5, 8):
        assert set(range(300)) <= set(grid(resolution).parcel)


def test_bad_values_are_refused(cohort: SimulatedWholeBrain, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run matches 'ses-09'"):
        export_bids(cohort, tmp_path, ["sub-01"], "ses-09")
    with pytest.raises(ValueError, match="unknown subject 'sub-1'"):
        export_bids(cohort, tmp_path, ["sub-1"])
    with pytest.raises(ValueError, match="resolution: expected 1 mm or more, found 0"):
        export_bids(cohort, tmp_path, resolution=0)
