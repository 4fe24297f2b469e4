"""Own epochs, in memory and in files, join their pictures; what does not fit is named."""

from __future__ import annotations

import mne
import numpy as np
import pandas as pd
import pytest
import yaml
from jsonargparse import ArgumentParser
from PIL import Image

from braindecode_x.datasets import EpochsDataset
from braindecode_x.datasets.epochs import EpochsCohort

CHANNELS = ("Fz", "Cz", "Pz", "Oz")
SIGNAL = np.random.default_rng(0).standard_normal((6, 4, 30)) * 1e-6
SHOWN = ["cat", "dogs/rex.jpg", "tree", "cat.png", "car", None]
SPLIT = ["train", "train", "validation", "train", "test", "predict"]


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "pictures" / "dogs").mkdir(parents=True)
    for name in ("cat.png", "dogs/rex.jpg", "tree.png", "car.png", "unseen.png"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / "pictures" / name)
    return tmp_path / "pictures"


def made(signal=SIGNAL, channels=CHANNELS, sfreq=100.0, tmin=-0.1, events=None, **columns) -> mne.EpochsArray:
    columns = columns or {"stimulus": SHOWN, "split": SPLIT}
    metadata = pd.DataFrame(columns)
    info = mne.create_info(list(channels), sfreq, "eeg")
    return mne.EpochsArray(signal, info, events, tmin, metadata=metadata, verbose="error")


def saved(folder, epochs: mne.BaseEpochs, name: str = "a") -> str:
    file = folder / f"{name}-epo.fif"
    epochs.save(file, verbose="error")
    return str(file)


def test_epochs_in_memory_meet_their_pictures(pictures):
    cohort = EpochsDataset(made(), pictures)
    assert cohort.subjects == ("sub-01",)
    assert cohort.stimuli.ids == ["car", "cat", "dogs/rex", "tree"]
    subject = cohort.subject("sub-01")
    assert subject.trials["stimulus"].tolist() == ["cat", "dogs/rex", "tree", "cat", "car", ""]
    assert subject.trials["split"].tolist() == SPLIT
    np.testing.assert_allclose(subject.epochs, SIGNAL, rtol=1e-6)
    assert subject.epochs.dtype == np.float32
    assert (subject.channels, subject.tmin, subject.info["sfreq"]) == (list(CHANNELS), -0.1, 100)


def test_files_of_sessions_follow_each_other_by_names_of_channels(pictures, tmp_path):
    second = made(SIGNAL[:, ::-1] * 2, CHANNELS[::-1])
    files = [saved(tmp_path, made()), saved(tmp_path, second, "b")]
    cohort = EpochsDataset({"anna": files, "ben": made()}, str(pictures))
    assert cohort.subjects == ("anna", "ben")
    anna = cohort.subject("anna")
    np.testing.assert_allclose(anna.epochs, np.concatenate([SIGNAL, 2 * SIGNAL]), rtol=1e-5)
    assert anna.trials["stimulus"].tolist()[6:] == ["cat", "dogs/rex", "tree", "cat", "car", ""]
    assert len(cohort.subject("ben").epochs) == 6


def test_bad_channels_and_those_of_another_kind_are_left_out_unless_picked(pictures, tmp_path):
    epochs = made()
    epochs.set_channel_types({"Fz": "eog"}, verbose="error")
    epochs.info["bads"] = ["Pz"]
    file = saved(tmp_path, epochs)
    assert EpochsDataset(file, pictures).subject("sub-01").channels == ["Cz", "Oz"]
    picked = EpochsDataset(file, pictures, picks=["Oz", "Pz"]).subject("sub-01")
    np.testing.assert_allclose(picked.epochs, SIGNAL[:, [3, 2]], rtol=1e-5)


def test_projections_of_a_file_are_applied(pictures, tmp_path):
    epochs = made()
    epochs.set_eeg_reference(projection=True, verbose="error")
    subject = EpochsDataset(saved(tmp_path, epochs), pictures).subject("sub-01")
    np.testing.assert_allclose(subject.epochs.mean(axis=1), 0, atol=1e-11)


def test_a_table_of_events_serves_for_the_epochs_that_are_left_of_them(pictures, tmp_path):
    epochs = made().drop([1, 4], verbose="error")
    events = pd.DataFrame({"image": SHOWN, "split": SPLIT}).fillna("")
    events.to_csv(tmp_path / "all.csv", index=False)
    events.drop([1, 4]).to_csv(tmp_path / "left.csv", index=False)
    for name in ("all.csv", "left.csv"):
        cohort = EpochsDataset(epochs, pictures, tmp_path / name, column="image")
        subject = cohort.subject("sub-01")
        assert subject.trials["stimulus"].tolist() == ["cat", "tree", "cat", ""]
        np.testing.assert_allclose(subject.epochs, SIGNAL[[0, 2, 3, 5]], rtol=1e-6)
    events.iloc[:5].to_csv(tmp_path / "five.csv", index=False)
    with pytest.raises(ValueError, match=r"five\.csv: 5 rows of sub-01; expected 4, one for each epoch, or 6, one for"):
        EpochsDataset(epochs, pictures, tmp_path / "five.csv", column="image")


def test_a_table_of_several_subjects_names_them(pictures, tmp_path):
    rows = pd.DataFrame({"subject": ["ben", "anna"] * 6, "stimulus": np.repeat(SHOWN, 2), "split": np.repeat(SPLIT, 2)})
    rows.iloc[::-1].fillna("").to_csv(tmp_path / "e.csv", index=False)
    cohort = EpochsDataset({"anna": made(), "ben": made()}, pictures, tmp_path / "e.csv")
    assert cohort.subject("ben").trials["split"].tolist() == SPLIT[::-1]
    rows.drop(columns="subject").to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(ValueError, match="needs the column subject"):
        EpochsDataset({"anna": made(), "ben": made()}, pictures, tmp_path / "f.csv")
    with pytest.raises(ValueError, match="unknown subject of the events 'ana'; did you mean 'anna'"):
        EpochsDataset({"anna": made()}, pictures, {"ana": tmp_path / "e.csv"})
    with pytest.raises(ValueError, match="subject 'ben' has no table"):
        EpochsDataset({"anna": made(), "ben": made()}, pictures, {"anna": tmp_path / "e.csv"})


@pytest.fixture
def animals(tmp_path):
    """Thirty pictures of ten concepts, in folders and with names that do not tell them."""
    for folder in ("nested", "flat"):
        for concept in range(10):
            for exemplar in range(3):
                name = f"{concept}/{exemplar}" if folder == "nested" else f"{concept}{exemplar}"
                file = tmp_path / folder / f"{name}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8)).save(file)
    return tmp_path


@pytest.mark.parametrize("how", ["folder", "column"])
def test_splits_are_drawn_by_concept_alike_for_all_subjects(how, animals):
    concepts = np.repeat(np.arange(10), 3)
    shown = [f"{c}/{k % 3}" if how == "folder" else f"{c}{k % 3}" for k, c in enumerate(concepts)]
    columns = {"stimulus": shown} if how == "folder" else {"stimulus": shown, "concept": concepts}
    epochs = made(np.random.default_rng(0).standard_normal((30, 4, 5)), **columns)
    folder = animals / ("nested" if how == "folder" else "flat")

    def drawn(seed: int) -> pd.DataFrame:
        cohort = EpochsDataset({"anna": epochs, "ben": epochs[::-1]}, folder, seed=seed)
        anna, ben = (cohort.subject(name).trials for name in cohort.subjects)
        assert anna.set_index("stimulus")["split"].to_dict() == ben.set_index("stimulus")["split"].to_dict()
        return anna.assign(concept=concepts)

    trials = drawn(0)
    assert trials.groupby("concept")["split"].nunique().max() == 1
    assert trials["split"].value_counts().to_dict() == {"train": 24, "validation": 3, "test": 3}
    assert trials["split"].tolist() == drawn(0)["split"].tolist()
    assert any(trials["split"].tolist() != drawn(seed)["split"].tolist() for seed in (1, 2))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"stimulus": ["cat", "tre", *SHOWN[2:]], "split": SPLIT}, r"1 of 6 rows name a picture .*epoch 1 .*\('tre'\)"),
        ({"stimulus": SHOWN, "split": [*SPLIT[:5], ""]}, "1 of 6 rows name no picture .*'predict'.*: epoch 5 of"),
        ({"stimulus": SHOWN, "split": [*SPLIT[:5], "test"]}, "1 of 6 rows name no picture .*: epoch 5 of"),
        ({"stimulus": SHOWN}, "1 of 6 rows name no picture"),
        ({"stimulus": SHOWN, "split": ["tain", *SPLIT[1:]]}, r"a split other than .*\('tain'\)"),
        ({"stimulus": SHOWN, "split": [*SPLIT[:3], "test", *SPLIT[4:]]}, "'cat' is in train and test"),
        ({"stimuli": SHOWN, "split": SPLIT}, "unknown column of the metadata 'stimulus'; did you mean 'stimuli'"),
        ({"stimulus": ["cat", "car"] * 3}, "2 concepts are too few to draw"),
    ],
)
def test_trials_that_do_not_fit_are_named(columns, message, pictures):
    with pytest.raises(ValueError, match=message):
        EpochsDataset(made(**columns), pictures)


def test_epochs_without_metadata_are_refused(pictures, tmp_path):
    epochs = made()
    epochs.metadata = None
    with pytest.raises(ValueError, match=r"a-epo\.fif: no metadata .* column 'stimulus'"):
        EpochsDataset(saved(tmp_path, epochs), pictures)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": ("Fz", "Cz", "pz", "Oz")}, r"b-epo\.fif: 1 of 4 .*: Pz; .*did you mean 'pz'"),
        ({"sfreq": 200.0}, r"b-epo\.fif: sampled at 200 Hz; expected 100 Hz, as .*a-epo\.fif"),
        ({"signal": SIGNAL[..., 1:]}, r"b-epo\.fif: 29 samples .*; expected 30 samples"),
        ({"tmin": -0.2}, r"b-epo\.fif: 30 samples from -0.2 s; expected 30 samples from -0.1 s"),
    ],
)
def test_sessions_that_differ_are_refused(options, message, pictures, tmp_path):
    cohort = EpochsDataset([saved(tmp_path, made()), saved(tmp_path, made(**options), "b")], pictures)
    with pytest.raises(ValueError, match=message):
        cohort.subject("sub-01")


def test_files_that_are_missing_or_damaged_are_named(pictures, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none-epo\.fif: no such file"):
        EpochsDataset(tmp_path / "none-epo.fif", pictures)
    file = tmp_path / "bad-epo.fif"
    file.write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"bad-epo\.fif: damaged"):
        EpochsDataset(file, pictures)
    with pytest.raises(ValueError, match="unknown subject 'ann'"):
        EpochsDataset({"anna": made()}, pictures).subject("ann")
    with pytest.raises(ValueError, match=r"epochs of anna: expected a file or mne\.Epochs"):
        EpochsDataset({"anna": []}, pictures)
    with pytest.raises(ValueError, match="picks 'egg'"):
        EpochsDataset(made(), pictures, picks="egg").subject("sub-01")


def test_a_configuration_can_name_it(pictures, tmp_path):
    file = saved(tmp_path, made())
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(EpochsCohort, "cohort")
    for epochs in (file, {"anna": file, "ben": [file, file]}):
        arguments = {"epochs": epochs, "stimuli": str(pictures)}
        built = {"class_path": "braindecode_x.datasets.EpochsDataset", "init_args": arguments}
        cohort = parser.instantiate(parser.parse_string(yaml.safe_dump({"cohort": built}))).cohort
        assert len(cohort.subject(cohort.subjects[-1]).trials) == (6 if epochs == file else 12)
