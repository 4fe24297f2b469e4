"""THINGS-EEG2 in its published layouts, on a miniature."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from things_eeg2.make import ELECTRODES, FRONT_TO_BACK, make

from braindecode_x.datasets.cards import differences, read_card
from braindecode_x.datasets.things_channels import EEG_CHANNELS
from braindecode_x.datasets.things_eeg2 import CHANNELS, ThingsEeg2, ThingsEeg2Recordings
from braindecode_x.datasets.things_pictures import counts

TRAINING = "Preprocessed_data_250Hz/sub-01/preprocessed_eeg_training.npy"
RAW = "Raw_data/sub-01/ses-01/raw_eeg_training.npy"


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("things_eeg2")
    make(folder)
    return folder


@pytest.fixture
def folder(untouched: Path, tmp_path: Path) -> Path:
    """Return a copy to damage."""
    return Path(shutil.copytree(untouched, tmp_path / "copy"))


def content_of(file: Path) -> dict:
    content = np.load(file, allow_pickle=True)
    return content if isinstance(content, dict) else content.item()


def change(file: Path, **changes: object) -> None:
    content = {**content_of(file), **changes}
    with file.open("wb") as stream:
        pickle.dump({name: value for name, value in content.items() if value is not None}, stream)


def test_channel_names_are_the_published_ones() -> None:
    assert list(CHANNELS) == FRONT_TO_BACK
    assert list(EEG_CHANNELS) == ELECTRODES
    assert sorted(CHANNELS) == sorted(EEG_CHANNELS)


def test_every_repeat_is_a_trial_of_its_picture(untouched: Path) -> None:
    cohort = ThingsEeg2(untouched, validation_concepts=1)
    assert cohort.subjects == ("sub-01", "sub-02")
    subject = cohort.subject("sub-02")
    assert subject.epochs.shape == (10 * 4 + 3 * 8, 63, 250)
    assert subject.channels == FRONT_TO_BACK
    np.testing.assert_allclose(subject.times, np.arange(250) / 250, atol=1e-6)
    trials = subject.trials
    for part, ids in (("training", ["aardvark_01b", "candle_02s"]), ("test", ["aircraft_carrier_06s"])):
        published = content_of(untouched / f"Preprocessed_data_250Hz/sub-02/preprocessed_eeg_{part}.npy")
        for number, name in zip((0, -1), ids, strict=False):
            rows = np.flatnonzero(trials["stimulus"] == name)
            np.testing.assert_allclose(subject.epochs[rows], published["preprocessed_eeg_data"][number], rtol=1e-6)
            assert trials["repeat"].to_numpy()[rows].tolist() == list(range(len(rows)))
    assert subject.info.get_montage() is not None


def test_the_miniature_is_as_the_card_says_but_smaller(untouched: Path) -> None:
    card = read_card("things_eeg2")
    subject = ThingsEeg2(untouched, validation_concepts=1).subject("sub-01")
    layout = card["preprocessed"]
    assert subject.epochs.shape[1:] == (card["channels"], layout["samples"])
    assert (subject.info["sfreq"], subject.tmin) == (layout["sfreq"], layout["tmin"])
    found = counts(["sub-01", "sub-02"], ThingsEeg2(untouched, validation_concepts=1).stimuli.table)
    assert differences("things_eeg2", found) == [
        "2 subjects instead of 10",
        "5 training concepts instead of 1654",
        "10 training pictures instead of 16540",
        "3 test concepts instead of 200",
        "3 test pictures instead of 200",
    ]
    assert differences("things_eeg2", card["counts"]) == []


def test_splits_are_by_concept_and_follow_the_seed(untouched: Path) -> None:
    cohort = ThingsEeg2(untouched, validation_concepts=2)
    table = cohort.stimuli.table
    assert table.groupby("concept")["split"].nunique().eq(1).all()
    assert table["split"].value_counts().to_dict() == {"train": 6, "validation": 4, "test": 3}
    assert set(table.index[table["split"] == "test"]) == {"aircraft_carrier_06s", "antelope_06s", "backscratcher_06s"}
    drawn = {tuple(ThingsEeg2(untouched, validation_concepts=2, seed=seed).stimuli.table["split"]) for seed in range(8)}
    assert len(drawn) > 1
    trials = cohort.subject("sub-01").trials
    assert (trials["split"].to_numpy() == table.loc[trials["stimulus"], "split"].to_numpy()).all()
    with pytest.raises(ValueError, match="expected 0 to 4, as there are 5 training concepts; found 5"):
        ThingsEeg2(untouched, validation_concepts=5)


def test_captions_are_the_concepts_in_words(untouched: Path) -> None:
    table = ThingsEeg2(untouched, validation_concepts=1).stimuli.table
    assert table.at["aircraft_carrier_06s", "caption"] == "aircraft carrier"
    assert table.at["bat1_01b", "caption"] == table.at["bat2_01b", "caption"] == "bat"
    assert table.at["bat1_01b", "concept"] == "bat1"


def test_channels_are_taken_by_name_whatever_the_order_in_the_file(folder: Path) -> None:
    before = ThingsEeg2(folder, validation_concepts=1, channels=("Oz", "Fp1")).subject("sub-01")
    published = content_of(folder / TRAINING)
    reverse = published["preprocessed_eeg_data"][:, :, ::-1]
    change(folder / TRAINING, preprocessed_eeg_data=reverse, ch_names=FRONT_TO_BACK[::-1])
    after = ThingsEeg2(folder, validation_concepts=1, channels=("Oz", "Fp1")).subject("sub-01")
    assert after.channels == ["Oz", "Fp1"]
    np.testing.assert_array_equal(before.epochs, after.epochs)
    oz = FRONT_TO_BACK.index("Oz")
    np.testing.assert_allclose(after.epochs[0, 0], published["preprocessed_eeg_data"][0, 0, oz], rtol=1e-6)


WRONG = {
    "a channel of another name": (
        {"ch_names": ["Fp3", *FRONT_TO_BACK[1:]]},
        r"1 of 63 expected channels.*: Fp1; .*did you mean .*'Fp3'",
    ),
    "a channel named twice": ({"ch_names": ["Oz", *FRONT_TO_BACK[1:]]}, "found several times: Oz"),
    "pictures missing": ({"preprocessed_eeg_data": np.zeros((9, 4, 63, 250))}, r"\(10 pictures, repeats, 63 channels"),
    "no repeats": ({"preprocessed_eeg_data": np.zeros((10, 63, 250))}, r"found \(10, 63, 250\)"),
    "fewer times": ({"times": np.arange(200) / 250}, "times of 250 samples or more, found"),
    "another length": ({"preprocessed_eeg_data": np.zeros((10, 4, 63, 240))}, "differ from those of the training"),
    "another rate": ({"times": -0.2 + np.arange(300) / 200}, "differ from those of the training"),
    "no times": ({"times": None}, "expected a dictionary with preprocessed_eeg_data, ch_names, times"),
    "text": ({"preprocessed_eeg_data": np.array(["a"])}, "expected preprocessed_eeg_data of real numbers"),
    "a command": ({"times": print}, r"refused.*builtins\.print"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_preprocessed_files_are_refused_by_name(folder: Path, what: str) -> None:
    changes, message = WRONG[what]
    change(folder / TRAINING, **changes)
    with pytest.raises(ValueError, match=message) as error:
        ThingsEeg2(folder, validation_concepts=1).subject("sub-01")
    assert "preprocessed_eeg_t" in str(error.value)
    assert len(ThingsEeg2(folder, validation_concepts=1).subject("sub-02").trials)  # the other subject is whole


def test_missing_folders_and_names_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown subject 'sub-03'; did you mean 'sub-0[12]'"):
        ThingsEeg2(folder, subjects=["sub-03"])
    with pytest.raises(FileNotFoundError, match="Preprocessed_data_250Hz: no such folder"):
        ThingsEeg2(folder / "Raw_data")
    shutil.move(folder / "test_images", folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match="test_images: no such folder of pictures"):
        ThingsEeg2(folder)
    (folder / "training_images" / "astray.jpg").touch()
    with pytest.raises(ValueError, match=r"expected pictures as <concept>/<picture>, found astray"):
        ThingsEeg2(folder)


def test_a_run_has_the_signal_and_the_onsets_of_pictures_without_targets(untouched: Path) -> None:
    recordings = ThingsEeg2Recordings(untouched, validation_concepts=1)
    assert recordings.sessions("sub-01") == ("ses-01", "ses-02")
    for part, run in zip(("training", "test"), recordings.runs("sub-01", "ses-02"), strict=True):
        published = content_of(untouched / f"Raw_data/sub-01/ses-02/raw_eeg_{part}.npy")
        np.testing.assert_array_equal(run.raw.get_data(), published["raw_eeg_data"])
        assert run.raw.ch_names == [*ELECTRODES, "stim"]
        assert run.raw.info["sfreq"] == 1000
        codes = published["raw_eeg_data"][-1]
        onsets = np.flatnonzero((codes > 0) & (codes != 99999))
        assert run.trials["sample"].tolist() == onsets.tolist()
        pictures = sorted((untouched / f"{part}_images").glob("*/*"))
        assert run.trials["stimulus"].tolist() == [pictures[int(codes[at]) - 1].stem for at in onsets]
        assert (run.trials["split"] == "test").all() == (part == "test")


def test_events_without_a_picture_are_refused(folder: Path) -> None:
    signal = content_of(folder / RAW)["raw_eeg_data"]
    signal[-1, 50] = 11
    change(folder / RAW, raw_eeg_data=signal)
    with pytest.raises(ValueError, match=r"raw_eeg_training\.npy: events without a picture: 11; expected 1 to 10"):
        list(ThingsEeg2Recordings(folder, validation_concepts=1).runs("sub-01", "ses-01"))


RAW_WRONG = {
    "an unknown electrode": ({"ch_names": ["Fp3", *ELECTRODES[1:], "stim"]}, r"montage.*Fp3"),
    "a name too few": ({"ch_names": ELECTRODES}, "63 names and 64 types"),
    "no stimulus channel": ({"ch_types": ["eeg"] * 64}, "one of type stim"),
    "no rate": ({"sfreq": None}, "expected a dictionary with raw_eeg_data, ch_names, ch_types, sfreq"),
}


@pytest.mark.parametrize("what", RAW_WRONG)
def test_wrong_raw_files_are_refused_by_name(folder: Path, what: str) -> None:
    changes, message = RAW_WRONG[what]
    change(folder / RAW, **changes)
    with pytest.raises(ValueError, match=message) as error:
        list(ThingsEeg2Recordings(folder, validation_concepts=1).runs("sub-01", "ses-01"))
    assert "raw_eeg_training.npy" in str(error.value)
