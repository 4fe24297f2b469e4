"""Haxby et al. 2001 as runs with voxels as parcels: the embedded recording, and nilearn's files."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score

from braindecode_x.datasets import read_card
from braindecode_x.datasets.haxby import Haxby2001
from braindecode_x.datasets.haxby_runs import HaxbyFetched, HaxbyWholeBrain


@pytest.fixture(scope="module")
def cohort() -> HaxbyWholeBrain:
    return HaxbyWholeBrain()


def test_the_embedded_runs_have_the_counts_of_the_card(cohort: HaxbyWholeBrain) -> None:
    card = read_card("haxby2001")
    runs = cohort.runs("sub-01")
    assert [run.bold.shape for run in runs] == [(card["volumes_per_run"], card["whole_brain_voxels"])] * card["runs"]
    assert len(cohort.parcels) == card["whole_brain_voxels"]
    assert cohort.parcels.networks == ()
    for run in runs:
        assert run.tr == cohort.tr == card["tr"]
        np.testing.assert_allclose(run.bold.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(run.bold.std(axis=0, ddof=1), 1, atol=1e-3)
    trials = cohort.subject("sub-01").trials
    assert len(trials) == card["blocks"]
    assert trials["split"].value_counts().to_dict() == {"train": 80, "test": 8, "validation": 8}
    assert set(trials["stimulus"]) == set(card["categories"]) == set(cohort.stimuli.ids)
    assert set(trials.loc[trials["split"] == "test", "run"]) == {"sub-01_run-12"}


def test_windows_hold_the_volumes_that_carry_the_label(cohort: HaxbyWholeBrain) -> None:
    """Onsets lie 5 s before the labels; a shift in either direction would show here."""
    subject = cohort.subject("sub-01")
    dataset = Haxby2001()
    recording = dataset.whole_brain()
    run = cohort.runs("sub-01")[0]
    labels = recording.labels[recording.runs == 0]
    for window, (_, trial) in zip(subject.windows[:8], subject.trials[:8].iterrows(), strict=True):
        np.testing.assert_array_equal(window, run.bold[labels == trial["stimulus"]])
    assert subject.times[0] == 5.0
    events = dataset.events(0)
    np.testing.assert_allclose(run.events["onset"], events["onset"] + dataset.onset_shift)
    np.testing.assert_allclose(run.events["duration"], events["duration"])


def test_the_whole_brain_tells_categories_apart(cohort: HaxbyWholeBrain) -> None:
    subject = cohort.subject("sub-01")
    means = subject.windows.mean(axis=1)
    folds = {"cv": LeaveOneGroupOut(), "groups": subject.trials["run"]}
    assert cross_val_score(RidgeClassifier(100.0), means, subject.trials["stimulus"], **folds).mean() > 0.3


def test_pictures_stand_for_the_categories(cohort: HaxbyWholeBrain) -> None:
    stimuli = cohort.stimuli
    assert stimuli.image("face").size == (128, 128)
    assert dict(zip(stimuli.ids, stimuli.captions, strict=True))["scrambledpix"] == "scrambled picture"


def test_runs_that_are_not_there_are_refused(miniature: Path) -> None:
    with pytest.raises(ValueError, match="sub-01: no run 11; found 0 to 3"):
        HaxbyWholeBrain(miniature).runs("sub-01")
    with pytest.raises(ValueError, match="expected two runs, found 3 for both"):
        HaxbyWholeBrain(miniature, test_run=3, validation_run=3)
    with pytest.raises(ValueError, match="unknown subject 'sub-2'; did you mean 'sub-01'"):
        HaxbyWholeBrain(miniature, test_run=3, validation_run=2).runs("sub-2")
    assert HaxbyWholeBrain(miniature, test_run=3, validation_run=None, n_volumes=4).subject("sub-01").tr == 2.5


@pytest.fixture
def fetched(miniature: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay the miniature's slice out as nilearn does, for subject 3; run 2 has no labels."""
    data = tmp_path_factory.mktemp("nilearn")
    folder = data / "haxby2001" / "subj3"
    folder.mkdir(parents=True)
    (data / "haxby2001" / "mask.nii.gz").write_bytes((miniature / "mask.nii.gz").read_bytes())
    (data / "haxby2001" / "MD5SUMS").write_text("0  subj3-2010.01.14.tar.gz\n")
    (folder / "bold.nii.gz").write_bytes((miniature / "bold.nii.gz").read_bytes())
    image = nibabel.load(miniature / "mask.nii.gz")
    small = (np.arange(image.shape[0] * image.shape[1]).reshape(image.shape) < 5).astype(np.int16)
    for name in ("mask4_vt", "mask8b_face_vt", "mask8b_house_vt", "mask8_face_vt", "mask8_house_vt", "anat"):
        nibabel.save(nibabel.Nifti1Image(small, image.affine), folder / f"{name}.nii.gz")
    lines = (miniature / "attributes_literal.txt").read_text().splitlines()
    lines = [f"rest {line.split()[1]}" if line.endswith(" 2") else line for line in lines]
    (folder / "labels.txt").write_text("\n".join(["labels chunks", *lines]) + "\n")
    return data


def test_nilearns_files_go_the_same_way(fetched: Path, miniature: Path) -> None:
    options = {"subject": 3, "test_run": 3, "validation_run": 1, "n_volumes": 4}
    cohort = HaxbyFetched(fetched, mask="mask", **options)
    embedded = Haxby2001(miniature).volumes()
    subject = cohort.subject("sub-03")
    assert subject.windows.shape == (24, 4, 24)
    assert cohort.runs("sub-03")[2].events is None
    run = cohort.runs("sub-03")[0]
    assert np.corrcoef(run.bold[:, 5], embedded.bold[embedded.runs == 0, 5])[0, 1] > 0.9
    assert set(subject.trials["split"]) == {"train", "validation", "test"}
    assert HaxbyFetched(fetched, **options).subject("sub-03").windows.shape == (24, 4, 5)


def test_nilearns_files_are_checked(fetched: Path) -> None:
    options = {"subject": 3, "test_run": 3, "validation_run": 1, "n_volumes": 4}
    with pytest.raises(ValueError, match="unknown mask 'mask_vs'; did you mean 'mask_vt'"):
        HaxbyFetched(fetched, mask="mask_vs", **options)
    labels = fetched / "haxby2001" / "subj3" / "labels.txt"
    labels.write_text("\n".join(labels.read_text().splitlines()[:-3]))
    with pytest.raises(ValueError, match=r"labels\.txt: 253 labels; expected 256"):
        HaxbyFetched(fetched, **options).runs("sub-03")
