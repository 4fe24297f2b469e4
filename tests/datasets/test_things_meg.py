"""THINGS-MEG in its published layout, on a miniature."""

from __future__ import annotations

import shutil
from pathlib import Path

import mne
import numpy as np
import pytest
from things_meg.make import concept_of, make, pictures

from braindecode_x.datasets.cards import differences, read_card
from braindecode_x.datasets.things_channels import channel_region
from braindecode_x.datasets.things_meg import ThingsMeg
from braindecode_x.datasets.things_pictures import counts

TRAINING = [name for name in pictures() if concept_of(name) not in ("bat1", "coat_rack")]
TEST = ["bat1_13s", "coat_rack_13s"]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("things_meg")
    make(folder)
    return folder


@pytest.fixture(scope="module")
def without_metadata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("without")
    make(folder, metadata=False)
    return folder


def opened(folder: Path, **options: object) -> ThingsMeg:
    return ThingsMeg(folder, folder / "images", **{"validation_concepts": 1, **options})


def test_trials_are_those_of_the_zero_shot_split(untouched: Path) -> None:
    """Test concepts are not in training, and catch trials are nowhere."""
    cohort = opened(untouched)
    assert cohort.subjects == ("P1", "P2")
    table = cohort.stimuli.table
    assert sorted(table.index) == sorted([*TRAINING, *TEST])
    assert sorted(table.index[table["split"] == "test"]) == TEST
    assert table["split"].value_counts().to_dict() == {"train": 9, "validation": 3, "test": 2}
    assert table.groupby("concept")["split"].nunique().eq(1).all()
    assert table.at["coat_rack_13s", "caption"] == "coat rack"
    trials = cohort.subject("P2").trials
    assert sorted(trials["stimulus"]) == sorted([*TRAINING, *TEST * 4])
    assert (trials["split"].to_numpy() == table.loc[trials["stimulus"], "split"].to_numpy()).all()
    assert set(trials["session"]) == {"ses-01", "ses-02"}


def test_epochs_are_those_of_their_trials(untouched: Path) -> None:
    subject = opened(untouched).subject("P1")
    assert subject.epochs.shape == (12 + 8, 271, 281)
    np.testing.assert_allclose(subject.times[[0, 20, -1]], [-0.1, 0, 1.3], atol=1e-9)
    published = mne.read_epochs(untouched / "preprocessed_P1-epo.fif", verbose="error")
    for row, name in enumerate(subject.trials["stimulus"]):
        same = published[published.metadata["image_path"].str.endswith(f"/{name}.jpg").to_numpy()].get_data(copy=False)
        assert np.abs(same - subject.epochs[row]).max(axis=(1, 2)).min() < 1e-5
    assert subject.info["chs"][0]["loc"][:3].any()
    assert channel_region(subject.channels[0]) == "central"


def test_the_list_of_pictures_says_what_metadata_would(untouched: Path, without_metadata: Path) -> None:
    by_metadata = opened(untouched)
    by_list = opened(without_metadata, image_paths=without_metadata / "image_paths.csv")
    by_both = opened(untouched, image_paths=untouched / "image_paths.csv")
    for other in (by_list, by_both):
        assert other.stimuli.table["split"].to_dict() == by_metadata.stimuli.table["split"].to_dict()
        for name in other.subjects:
            found, expected = other.subject(name), by_metadata.subject(name)
            assert found.trials["stimulus"].tolist() == expected.trials["stimulus"].tolist()
            np.testing.assert_array_equal(found.epochs, expected.epochs)
    with pytest.raises(ValueError, match=r"preprocessed_P1-epo\.fif: has no metadata.*give image_paths"):
        opened(without_metadata)


def test_the_miniature_is_as_the_card_says_but_smaller(untouched: Path) -> None:
    card = read_card("things_meg")
    subject = opened(untouched).subject("P1")
    layout = card["preprocessed"]
    assert subject.epochs.shape[1:] == (card["channels"], layout["samples"])
    assert subject.info["sfreq"] == layout["sfreq"]
    assert subject.tmin == pytest.approx(layout["tmin"])
    found = differences("things_meg", counts(["P1", "P2"], opened(untouched).stimuli.table))
    assert "12 training pictures instead of 19848" in found
    assert card["counts"]["training pictures"] == 12 * card["counts"]["training concepts"]


def test_validation_concepts_follow_the_seed(untouched: Path) -> None:
    drawn = {tuple(opened(untouched, seed=seed).stimuli.table["split"]) for seed in range(8)}
    assert len(drawn) > 1
    with pytest.raises(ValueError, match="as there are 4 training concepts; found 4"):
        opened(untouched, validation_concepts=4)


def test_a_list_of_other_pictures_is_refused(untouched: Path, tmp_path: Path) -> None:
    lines = (untouched / "image_paths.csv").read_text().splitlines()
    other = tmp_path / "image_paths.csv"
    other.write_text("\n".join(reversed(lines)))
    with pytest.raises(ValueError, match=r"trial 0 shows '\w+' by its metadata and '\w+' by image_paths"):
        opened(untouched, image_paths=other)
    other.write_text("\n".join(lines[:-2]))
    with pytest.raises(ValueError, match=r"P1-epo\.fif: events without a picture: 19, 20; expected 1 to 18"):
        opened(untouched, image_paths=other)
    other.write_text("path\n" + "\n".join(lines))
    with pytest.raises(ValueError, match="found line 1: 'path'"):
        opened(untouched, image_paths=other)
    with pytest.raises(FileNotFoundError, match="no such list"):
        opened(untouched, image_paths=tmp_path / "none.csv")


def test_what_is_missing_is_named(untouched: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(untouched, tmp_path / "copy"))
    with pytest.raises(ValueError, match=r"unknown subject 'P3'; did you mean 'P[12]'"):
        opened(folder, subjects=["P3"])
    (folder / "images" / "vest" / "vest_02s.jpg").unlink()
    with pytest.raises(ValueError, match=r"images: lacks 1 of the 20 pictures that were shown, for example 'vest_02s'"):
        opened(folder)
    with pytest.raises(FileNotFoundError, match=r"expected preprocessed_P1-epo\.fif and so on; found none"):
        ThingsMeg(folder / "images", folder / "images")


def test_trials_without_a_picture_are_refused(untouched: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(untouched, tmp_path / "copy"))
    file = folder / "preprocessed_P2-epo.fif"
    epochs = mne.read_epochs(file, verbose="error")
    metadata = epochs.metadata.copy()
    row = int(np.flatnonzero(metadata["trial_type"] == "exp")[1])
    metadata.loc[metadata.index[row], "image_path"] = None
    epochs.metadata = metadata
    epochs.save(file, overwrite=True, verbose="error")
    with pytest.raises(ValueError, match=rf"P2-epo\.fif: 1 trials without a picture.*first is trial {row};"):
        opened(folder)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"P2-epo\.fif: damaged"):
        opened(folder)
