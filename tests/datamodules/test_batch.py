from __future__ import annotations

import pytest
import torch

from braindecode_x.datamodules import collate
from braindecode_x.datamodules.batch import Trial


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
