"""A miniature study in BIDS comes out as epochs that hold the pictures they should."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from bids_eeg.make import PICTURES, make_bids
from jsonargparse import ArgumentParser

from braindecode_x.datasets.bids import BidsEpochs, BidsRecordings
from braindecode_x.datasets.epochs import EpochsCohort
from braindecode_x.preprocessing.eeg import EpochSettings
from braindecode_x.preprocessing.stage import preprocess

PLAIN = EpochSettings(sfreq=None, normalise="none", baseline=(None, -0.01))
EVENTS = "sub-02/ses-01/eeg/sub-02_ses-01_task-look_events.tsv"


@pytest.fixture
def study(tmp_path) -> Path:
    return make_bids(tmp_path / "study")


def edited(study: Path, **columns) -> Path:
    """Change columns of the events of sub-02; None takes one away."""
    events = pd.read_csv(study / EVENTS, sep="\t", keep_default_na=False, dtype=str)
    for name, values in columns.items():
        events = events.drop(columns=name) if values is None else events.assign(**{name: values(events)})
    events.to_csv(study / EVENTS, sep="\t", index=False)
    return study


def held(subject) -> np.ndarray:
    """Read the number of each trial's picture from the signal at Oz."""
    after = (subject.times > 0.01) & (subject.times < 0.19)
    return subject.epochs[:, subject.channels.index("Oz")][:, after].mean(axis=1) * 1e6


def test_epochs_hold_the_picture_that_their_event_names(study):
    cohort = BidsEpochs(study, PLAIN)
    assert cohort.subjects == ("sub-01", "sub-02")
    assert len(cohort.stimuli) == len(PICTURES)
    for name, trials in (("sub-01", 40), ("sub-02", 20)):
        subject = cohort.subject(name)
        assert subject.channels == ["Fz", "Cz", "Oz"]  # without the bad one, and the EOG
        assert len(subject.trials) == trials
        expected = [PICTURES.index(f"{stimulus}.png") + 1 for stimulus in subject.trials["stimulus"]]
        np.testing.assert_allclose(held(subject), expected, atol=0.05)
    assert subject.trials.groupby(subject.trials["stimulus"].str.partition("/")[0])["split"].nunique().max() == 1
    assert subject.trials["split"].value_counts().to_dict() == {"train": 16, "validation": 2, "test": 2}


def test_sessions_are_whitened_by_their_training_trials(study):
    subject = BidsEpochs(study, EpochSettings(sfreq=50.0, tmax=0.4)).subject("sub-01")
    assert subject.info["sfreq"] == 50
    assert set(subject.trials["session"]) == {"ses-01", "ses-02"}
    train = subject.epochs[(subject.trials["split"] == "train").to_numpy()]
    covariance = np.mean([np.cov(trial) for trial in train.astype(float)], axis=0)
    assert np.diag(covariance) == pytest.approx(np.ones(3), rel=0.5)


def test_the_preprocessing_stage_takes_them(study, tmp_path):
    made = preprocess(BidsRecordings(study, task="look"), tmp_path / "epochs", PLAIN, progress=False)
    assert made.subjects == ("sub-01", "sub-02")
    np.testing.assert_allclose(
        made.subject("sub-01").epochs, BidsEpochs(study, PLAIN).subject("sub-01").epochs, rtol=1e-5, atol=1e-12
    )


def test_events_may_bring_splits_and_be_chosen_by_their_type(study):
    def split(events: pd.DataFrame) -> pd.Series:
        concept = events["stim_file"].str.partition("/")[0]
        return concept.map({"ant": "test", "bee": "validation", "n/a": "n/a"}).fillna("train")

    recordings = BidsRecordings(edited(study, split=split), subjects=["sub-02"], trial_types=["picture"])
    table = recordings.stimuli.table
    assert set(table.index[table["split"] == "test"]) == {"ant/ant_1", "ant/ant_2"}
    with pytest.raises(ValueError, match=r"20 of 40 rows name no picture .*: line 3 of .*sub-02"):
        BidsRecordings(study, subjects=["sub-02"], trial_types=["picture", "answer"])


def test_a_folder_without_sessions_has_one(study):
    for file in sorted((study / "sub-02" / "ses-01" / "eeg").iterdir()):
        moved = study / "sub-02" / "eeg" / file.name.replace("_ses-01", "")
        moved.parent.mkdir(exist_ok=True)
        text = file.read_bytes()
        moved.write_bytes(text if file.suffix == ".eeg" else text.replace(b"_ses-01", b""))
        file.unlink()
    (study / "sub-02" / "ses-01" / "eeg").rmdir()
    (study / "sub-02" / "ses-01").rmdir()
    recordings = BidsRecordings(study)
    assert recordings.sessions("sub-02") == ("ses-01",)
    assert len(BidsEpochs(study, PLAIN).subject("sub-02").trials) == 20


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"stim_file": lambda e: e["stim_file"].replace("cat/cat_1.png", "cat/cat_9.png")}, r"line \d+ of .*cat_9"),
        ({"stim_file": None}, "_events.tsv: unknown column of the events 'stim_file'"),
        ({"stim_file": lambda e: "n/a"}, "none of its events shows a picture"),
        ({"onset": lambda e: e["onset"].where(e.index != 4, "soon")}, "1 events have an onset that is no number"),
        ({"onset": lambda e: e["onset"].where(e.index != 2, e["onset"][0])}, "two trials begin at sample 100"),
        (
            {"onset": lambda e: (900 + e.index).astype(str)},
            r"18\.2 s long, but 20 events lie outside it, the first in line 2 of",
        ),
    ],
)
def test_events_that_do_not_fit_are_named(columns, message, study):
    with pytest.raises(ValueError, match=message):
        BidsEpochs(edited(study, **columns), PLAIN, subjects=["sub-02"]).subject("sub-02")


def test_what_is_not_there_is_named(study, monkeypatch):
    with pytest.raises(FileNotFoundError, match="none: no such folder"):
        BidsRecordings(study / "none")
    with pytest.raises(ValueError, match="unknown subject 'sub-1'; did you mean 'sub-01'"):
        BidsRecordings(study, subjects=["sub-1"])
    with pytest.raises(ValueError, match="holds no eeg recordings of the task 'rest'"):
        BidsRecordings(study, task="rest")
    with pytest.raises(ValueError, match="holds no meg recordings"):
        BidsRecordings(study, datatype="meg")
    (study / EVENTS).unlink()
    with pytest.raises(ValueError, match="has no table of events"):
        BidsRecordings(study)
    monkeypatch.setitem(sys.modules, "mne_bids", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'braindecode-x\[bids\]'"):
        BidsRecordings(study)


def test_a_damaged_recording_is_named(study):
    (study / EVENTS).with_name("sub-02_ses-01_task-look_eeg.vhdr").write_text("hello")
    with pytest.raises(ValueError, match=r"sub-02_ses-01_task-look_eeg\.vhdr: cannot be read as BIDS"):
        BidsEpochs(study, PLAIN).subject("sub-02")


def test_a_configuration_can_name_it(study):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(EpochsCohort, "cohort")
    settings = {"sfreq": None, "normalise": "none", "tmax": 0.3}
    arguments = {"root": str(study), "task": "look", "subjects": ["sub-02"], "settings": settings}
    built = {"class_path": "braindecode_x.datasets.bids.BidsEpochs", "init_args": arguments}
    cohort = parser.instantiate(parser.parse_string(yaml.safe_dump({"cohort": built}))).cohort
    assert cohort.subject("sub-02").epochs.shape == (20, 3, 51)
