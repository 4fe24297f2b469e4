from __future__ import annotations

import pytest
import torch

from braindecode_x.metrics.retrieval_metric import RetrievalAccuracy


def test_candidates_are_the_subjects_own_pictures():
    metric = RetrievalAccuracy()
    targets = torch.eye(4)
    right, wrong = targets[:2], targets[[3, 2]]
    metric.update(right, targets[:2], torch.tensor([0, 0]))
    metric.update(wrong, targets[2:], torch.tensor([1, 1]))
    assert {number: float(score) for number, score in metric.by_subject().items()} == {0: 1.0, 1: 0.0}
    assert metric.compute() == pytest.approx(0.5)


def test_a_picture_shown_twice_is_one_candidate():
    metric = RetrievalAccuracy()
    metric.update(torch.eye(3)[[0, 0, 1]], torch.eye(3)[[0, 0, 1]], torch.zeros(3, dtype=torch.int64))
    assert metric.compute() == 1.0


def test_tokens_count_together_whatever_the_scale_of_a_prediction():
    """Half precision neither overflows nor is a prediction found by its length."""
    torch.manual_seed(0)
    targets = torch.randn(6, 5, 8)
    predicted = targets * torch.tensor([1e-6, 1, 1e6, 1, 1e-3, 1e3]).view(6, 1, 1)
    predicted[0] = targets[1]  # every token of another picture
    metric = RetrievalAccuracy()
    metric.update(predicted, targets.half(), torch.zeros(6, dtype=torch.int64))
    assert metric.compute() == pytest.approx(5 / 6)
