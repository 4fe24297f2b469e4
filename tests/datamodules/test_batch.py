from __future__ import annotations

import pytest
import torch

from braindecode_x.datamodules.batch import Batch, Trial, collate, mix_within_subjects


def test_trials_of_different_lengths_are_padded_with_a_mask():
    batch = collate([Trial(torch.ones(3), 0, "a"), Trial(torch.ones(5), 1, "b")])
    assert batch.brain.shape == (2, 5)
    assert batch.mask.sum(1).tolist() == [3, 5]
    assert batch.brain.sum(1).tolist() == [3, 5]
    assert batch.subject.tolist() == [0, 1]
    assert batch.stimulus == ["a", "b"]
    assert batch.image_target is None


def test_equal_lengths_need_no_mask_and_keep_times_and_repetition_times():
    trials = [Trial(torch.ones(2, 4), k, times=torch.arange(4.0), tr=1.5 + k, repeats=k + 1) for k in range(2)]
    batch = collate(trials)
    assert batch.mask is None
    assert batch.times.shape == (2, 4)
    assert batch.tr.tolist() == [1.5, 2.5]
    assert batch.repeats.tolist() == [1, 2]


def test_channels_that_differ_are_refused():
    with pytest.raises(ValueError, match="last axis only"):
        collate([Trial(torch.ones(2, 4), 0), Trial(torch.ones(3, 4), 0)])


def test_targets_of_some_trials_only_are_refused():
    with pytest.raises(ValueError, match="image_target: 1 of 2"):
        collate([Trial(torch.ones(3), 0, image_target=torch.ones(2)), Trial(torch.ones(3), 0)])


def test_mixing_stays_within_a_subject_and_mixes_brain_and_target_alike():
    generator = torch.Generator().manual_seed(0)
    subject = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1])
    target = torch.nn.functional.normalize(torch.randn(8, 4, generator=generator), dim=1)
    batch = Batch(brain=target * 3 + 10.0 * subject[:, None], subject=subject, stimulus=[""] * 8, image_target=target)
    mixed = mix_within_subjects(batch, 0.5, generator)
    pulled = (mixed.brain - 10.0 * subject[:, None]) / 3  # a mix across subjects would leave an offset
    assert pulled.norm(dim=1).max() <= 1 + 1e-5
    assert torch.allclose(torch.nn.functional.normalize(pulled, dim=1), mixed.image_target, atol=1e-5)
    assert (mixed.brain - batch.brain).abs().amax(dim=1).gt(1e-3).sum() >= 4
    again = mix_within_subjects(batch, 0.5, torch.Generator().manual_seed(7))
    assert torch.equal(again.brain, mix_within_subjects(batch, 0.5, torch.Generator().manual_seed(7)).brain)
