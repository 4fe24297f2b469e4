from __future__ import annotations

import numpy as np
import pytest
import torch
from small_cohort import REPEATS, VOXELS, SmallCohort

from braindecode_x.datamodules import BetasDataModule


@pytest.fixture
def data(tiny_clip):
    return BetasDataModule(SmallCohort(), clip=str(tiny_clip), batch_size=10)


def test_batches_mix_subjects_and_carry_their_pictures_targets(data):
    torch.manual_seed(0)
    batch = next(iter(data.train_dataloader()))
    assert set(batch.subject.tolist()) == {0, 1}
    assert batch.mask.sum(1).tolist() == [list(VOXELS.values())[i] for i in batch.subject.tolist()]
    for row, stimulus in enumerate(batch.stimulus):
        assert torch.equal(batch.image_target[row], data.targets[stimulus][0])


def test_repeats_are_mixed_in_training_and_averaged_elsewhere(data):
    torch.manual_seed(0)
    counts = torch.cat([batch.repeats for batch in data.train_dataloader()])
    assert set(counts.tolist()) == {1, 2}
    data.mix_repeats = "one"
    assert all((batch.repeats == 1).all() for batch in data.train_dataloader())
    held_out = torch.cat([batch.repeats for batch in data.test_dataloader()])
    assert set(held_out.tolist()) == {REPEATS["test"]}


def test_voxels_are_standardised_by_training_trials_only(data):
    recording = data.recordings["ben"]
    train = (recording.trials["split"] == "train").to_numpy()
    stimuli, brain = data.averaged("ben", "test")
    rows = (recording.trials["stimulus"] == stimuli[0]).to_numpy()
    expected = (recording.betas[rows].mean(0) - recording.betas[train].mean(0)) / recording.betas[train].std(0)
    np.testing.assert_allclose(brain[0], expected, rtol=1e-4, atol=1e-5)


def test_fewer_training_pictures_are_the_same_for_everyone_and_leave_the_others_alone(tiny_clip):
    data = BetasDataModule(SmallCohort(), clip=str(tiny_clip), n_training_pictures=5, seed=1)
    first, second = (data.averaged(name, "train")[0] for name in data.subjects)
    assert first == second
    assert len(first) == 5
    assert len(data.averaged("anna", "validation")[0]) == 12
    with pytest.raises(ValueError, match="n_training_pictures: expected 2 to 120, found 121"):
        BetasDataModule(SmallCohort(), clip=str(tiny_clip), n_training_pictures=121).train_dataloader()


def test_a_value_that_is_not_finite_is_named(tiny_clip):
    with pytest.raises(ValueError, match=r"betas of anna: 1 values are not finite.*trial 3, voxel 4"):
        _ = BetasDataModule(SmallCohort(bad_voxel=4), clip=str(tiny_clip)).recordings


def test_unknown_names_are_refused(data):
    with pytest.raises(ValueError, match="did you mean 'anna'"):
        BetasDataModule(SmallCohort(), subjects=["ana"])
    with pytest.raises(ValueError, match="no trials of the split 'predict'"):
        data.averaged("anna", "predict")
    with pytest.raises(ValueError, match="unknown subject of the checkpoint"):
        data.use_subjects(["anna"])
