from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from bids_fmri.make import PICTURES, make_bids, shown

from braindecode_x.datasets.bold_recordings import BoldRecordings
from braindecode_x.stimuli import ObjectStimuli

IMAGE = "space-MNI152NLin2009cAsym_desc-preproc_bold"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_bids(tmp_path_factory.mktemp("bold") / "study")


@pytest.fixture
def study(made, tmp_path) -> Path:
    """Return a copy that may be changed."""
    return Path(shutil.copytree(made, tmp_path / "study"))


def derivatives(study: Path) -> Path:
    return study / "derivatives" / "fmriprep"


def events_file(study: Path) -> Path:
    return study / "sub-01" / "func" / "sub-01_task-look_run-1_events.tsv"


def test_runs_events_and_confounds_are_found_in_fmripreps_folder(made):
    recordings = BoldRecordings(derivatives(made))
    assert recordings.subjects == ("sub-01", "sub-02")
    first, second, rest = recordings.runs("sub-01")
    assert [run.name for run in (first, second)] == ["sub-01_task-look_run-1", "sub-01_task-look_run-2"]
    assert (first.tr, first.fmriprep, first.confounds.name) == (
        2.0,
        True,
        "sub-01_task-look_run-1_desc-confounds_timeseries.tsv",
    )
    events = recordings.events(first)
    assert events["stimulus"].tolist() == [PICTURES[k].removesuffix(".png") for k in shown("01", "task-look_run-1")]
    assert events["onset"].tolist()[:2] == [4.0, 20.0]
    assert recordings.events(rest) is None
    splits = recordings.stimuli.table["split"]
    assert splits.groupby(lambda name: name.partition("/")[0]).nunique().eq(1).all()  # by concept
    assert BoldRecordings(derivatives(made), task="rest").stimuli.ids == []


def test_a_start_time_moves_onsets_to_the_first_volume(study):
    sidecar = next(derivatives(study).rglob(f"sub-02*_{IMAGE}.json"))
    sidecar.write_text(json.dumps({"RepetitionTime": 2.0, "StartTime": 1.0}))
    recordings = BoldRecordings(derivatives(study), subjects=["sub-02"])
    assert recordings.events(recordings.runs("sub-02")[0])["onset"].tolist()[0] == 3.0


def test_a_table_lists_runs(study):
    image = next(derivatives(study).rglob(f"sub-02*_{IMAGE}.nii.gz")).relative_to(study)
    lines = ["subject\trun\tbold\tevents\ttr", f"anna\t1\t{image}\tsub-01/func/{events_file(study).name}\t2.5"]
    table = study / "runs.tsv"
    table.write_text("\n".join([*lines, f"anna\trest\t{image}\t\t"]) + "\n")
    recordings = BoldRecordings(table)
    first, rest = recordings.runs("anna")
    assert (first.name, first.tr, first.fmriprep) == ("anna_run-1", 2.5, False)
    assert (rest.tr, rest.events, rest.confounds) == (2.0, None, None)
    assert len(recordings.events(first)) == len(PICTURES)
    for line, message in (
        (f"anna\t1\t{image}\t\t", "1 of 3 rows name a run that an earlier line has already"),
        (f"anna\t2\t{image}\t\tfast", "a repetition time that is no number above 0: line 4 .'fast'"),
        (f"anna\t2\t{image}\tno.tsv\t", "line 4: .*no.tsv of the column events is not there"),
    ):
        table.write_text("\n".join([*lines, f"anna\trest\t{image}\t\t", line]) + "\n")
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            BoldRecordings(table)


def test_imagined_and_unlabelled_trials_may_go_beside_seen_ones(study):
    rows = pd.read_csv(events_file(study), sep="\t", keep_default_na=False)
    rows = rows[rows["trial_type"] == "picture"].assign(split="train", prompt="n/a")
    rows.loc[rows.index[:3], "split"] = "test"
    imagined = rows.iloc[:2].assign(split="imagination", prompt="a cat", onset=[170.0, 174.0])
    unlabelled = rows.iloc[:1].assign(split="predict", stim_file="n/a", onset=178.0)
    pd.concat([rows, imagined, unlabelled]).to_csv(events_file(study), sep="\t", index=False)
    for file in study.glob("sub-0[12]/func/*_events.tsv"):
        if file != events_file(study):
            file.unlink()
    recordings = BoldRecordings(derivatives(study))
    events = recordings.events(recordings.runs("sub-01")[0])
    assert events["split"].value_counts().to_dict() == {"train": 7, "test": 3, "imagination": 2, "predict": 1}
    assert events[events["split"] == "imagination"]["prompt"].tolist() == ["a cat", "a cat"]
    assert events["stimulus"].iloc[-1] == ""
    assert (events[events["split"] == "train"]["prompt"] == "").all()
    assert (recordings.stimuli.table["split"] == "test").sum() == 3


def test_events_of_a_chosen_type_name_a_picture(made):
    assert BoldRecordings(derivatives(made), trial_types=["picture"]).subjects == ("sub-01", "sub-02")
    with pytest.raises(ValueError, match=r"30 of 60 rows name no picture .*: line 3 of .*sub-01"):
        BoldRecordings(derivatives(made), trial_types=["picture", "answer"])


def test_events_can_name_the_embedded_pictures(study):
    objects = ObjectStimuli().subset(rendering="fluent3d")
    chosen = [objects.subset(split=split).ids[0] for split in ("train", "validation", "test")]
    lines = [f"{10 * k}\t1\t{name}" for k, name in enumerate(chosen)]
    for file in study.glob("sub-0[12]/func/*_events.tsv"):
        file.write_text("\n".join(["onset\tduration\tstim_file", *lines]) + "\n")
    recordings = BoldRecordings(derivatives(study), pictures="objects")
    assert sorted(recordings.stimuli.ids) == sorted(chosen)
    events = recordings.events(recordings.runs("sub-01")[0])
    assert events["split"].tolist() == ["train", "validation", "test"]
    events_file(study).write_text("onset\tduration\tstim_file\n1\t1\tnobody\n")
    with pytest.raises(ValueError, match=r"1 of \d+ rows name no embedded picture: line 2 of .*'nobody'"):
        BoldRecordings(derivatives(study), pictures="objects")


def test_what_cannot_be_used_is_named(study, tmp_path):
    root = derivatives(study)
    with pytest.raises(ValueError, match="unknown subject 'sub-1'; did you mean 'sub-01'"):
        BoldRecordings(root, subjects=["sub-1"])
    with pytest.raises(ValueError, match=r"holds no \*_desc-preproc_bold.nii.gz of the task 'see'"):
        BoldRecordings(root, task="see")
    with pytest.raises(ValueError, match=r"unknown space of the images .* 'MNI152'; did you mean 'MNI152NLin"):
        BoldRecordings(root, space="MNI152")
    with pytest.raises(ValueError, match=r"sub-01_.*_events.tsv: unknown column of the events 'image'"):
        BoldRecordings(root, column="image")
    with pytest.raises(FileNotFoundError, match="no such table"):
        BoldRecordings(tmp_path / "runs.csv")
    image = next(root.rglob(f"sub-02*_{IMAGE}.nii.gz"))
    other = image.with_name(image.name.replace("2009cAsym", "6Asym"))
    shutil.copy(image, other)
    with pytest.raises(ValueError, match="in the spaces MNI152NLin2009cAsym, MNI152NLin6Asym; expected one"):
        BoldRecordings(root)
    assert BoldRecordings(root, space="MNI152NLin6Asym").subjects == ("sub-02",)
    other.unlink()
    sidecar = image.with_name(image.name.replace(".nii.gz", ".json"))
    sidecar.write_text('{"RepetitionTime": "2"}')
    with pytest.raises(ValueError, match="RepetitionTime is '2'; expected seconds"):
        BoldRecordings(root)
    sidecar.unlink()
    shutil.rmtree(study / "stimuli")
    with pytest.raises(ValueError, match="there is no folder stimuli/"):
        BoldRecordings(root, subjects=["sub-01"], task="look")
