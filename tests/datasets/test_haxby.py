from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from braindecode_x.datasets import Haxby2001, read_card
from braindecode_x.preprocessing.fmri import block_averages
from braindecode_x.resources import asset


def test_the_embedded_recording_has_the_counts_of_its_card() -> None:
    card = read_card("haxby2001")
    dataset = Haxby2001()
    recording = dataset.volumes()
    assert recording.bold.shape == (card["volumes"], card["voxels"])
    assert recording.bold.dtype == np.float32
    assert recording.bold.std(axis=0).min() > 0
    assert recording.tr == card["tr"]
    assert dataset.onset_shift == card["onset_shift"]
    assert np.bincount(recording.runs).tolist() == [card["volumes_per_run"]] * card["runs"]
    task = recording.labels[recording.labels != "rest"]
    assert len(task) == card["task_volumes"]
    assert sorted(set(task)) == card["categories"]
    blocks = block_averages(recording.bold, recording.labels, recording.runs)
    assert len(blocks.brain) == card["blocks"] == card["task_volumes"] / card["volumes_per_block"]


def test_the_embedded_whole_brain_has_the_counts_of_its_card() -> None:
    card = read_card("haxby2001")
    recording = Haxby2001().whole_brain()
    assert recording.bold.shape == (card["volumes"], card["whole_brain_voxels"])
    assert recording.tr == card["tr"]


def test_the_embedded_recording_travels_with_licence_and_attribution() -> None:
    attribution = asset("haxby2001", "ATTRIBUTION.md").read_text()
    card = read_card("haxby2001")
    assert card["licence"] in attribution
    assert card["doi"] in attribution


def test_onsets_are_where_the_labels_change() -> None:
    """Both are shifted to the response by the same amount; a mix-up of conditions or runs would show here."""
    dataset = Haxby2001()
    recording = dataset.volumes()
    for run in range(12):
        labels = recording.labels[recording.runs == run]
        events = dataset.events(run)
        assert events["onset"].is_monotonic_increasing
        for event in events.itertuples():
            assert labels[round(event.onset / recording.tr)] == event.trial_type
            assert labels[round(event.onset / recording.tr) - 1] == "rest"


def test_the_miniature_is_read_through_every_door(miniature: Path) -> None:
    dataset = Haxby2001(miniature)
    recording, brain = dataset.volumes(), dataset.whole_brain()
    assert recording.bold.shape == (256, 24)
    assert brain.bold.shape == (256, 8)
    assert len(dataset.events(3)) == 8


def test_voxels_are_those_of_the_mask_and_go_back_into_the_image(miniature: Path) -> None:
    recording = Haxby2001(miniature).volumes()
    image = np.asarray(nibabel.load(miniature / "bold.nii.gz").dataobj)
    np.testing.assert_array_equal(recording.masker.inverse_transform(recording.bold).get_fdata(), image)


@pytest.mark.parametrize("name", ["bold.nii.gz", "mask.nii.gz", "attributes_literal.txt"])
def test_a_missing_file_is_named(miniature: Path, name: str) -> None:
    (miniature / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        Haxby2001(miniature).volumes()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Haxby2001(tmp_path / "nowhere")


@pytest.mark.parametrize("change", ["shape", "affine"])
def test_a_mask_on_another_grid_is_refused(miniature: Path, change: str) -> None:
    """Nilearn would resample it without a word."""
    mask = nibabel.load(miniature / "mask.nii.gz")
    values, affine = np.asarray(mask.dataobj), mask.affine.copy()
    if change == "shape":
        values = values[1:]
    else:
        affine[0, 3] += 10
    nibabel.save(nibabel.Nifti1Image(values, affine), miniature / "mask.nii.gz")
    with pytest.raises(ValueError, match=rf"bold\.nii\.gz.*{change}"):
        Haxby2001(miniature).volumes()


def test_labels_and_volumes_must_be_equally_many(miniature: Path) -> None:
    file = miniature / "attributes_literal.txt"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    with pytest.raises(ValueError, match=r"255 labels, but .*256 volumes"):
        Haxby2001(miniature).volumes()


@pytest.mark.parametrize("line", ["face", "face 3 extra", "face third"])
def test_a_label_file_of_another_format_is_refused(miniature: Path, line: str) -> None:
    (miniature / "attributes_literal.txt").write_text(f"{line}\n" * 256)
    with pytest.raises(ValueError, match=r"attributes_literal\.txt: expected the columns label \(str\), run \(int\)"):
        Haxby2001(miniature).volumes()


def test_an_unknown_run_is_refused(miniature: Path) -> None:
    with pytest.raises(ValueError, match="no run 4; found 0 to 3"):
        Haxby2001(miniature).events(4)


def test_an_image_without_repetition_time_is_refused(miniature: Path) -> None:
    image = nibabel.load(miniature / "bold.nii.gz")
    still = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine)
    still.header["pixdim"][4] = 0
    nibabel.save(still, miniature / "bold.nii.gz")
    with pytest.raises(ValueError, match=r"bold\.nii\.gz: repetition time 0"):
        Haxby2001(miniature).volumes()
