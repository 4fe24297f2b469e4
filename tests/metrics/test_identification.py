from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from braindecode_x.metrics import correlation_distance, k_way_accuracy, ranks, similarity, two_way_identification


def features(seed: int, n: int = 12, d: int = 30) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32))


def test_two_way_against_every_pair_spelled_out():
    true = features(0)
    predicted = true + 3 * features(1)
    r = np.corrcoef(predicted, true)[:12, 12:]
    expected = [np.mean([r[i, i] > r[i, j] for j in range(12) if j != i]) for i in range(12)]
    np.testing.assert_allclose(two_way_identification(predicted, true), expected)


def test_the_prediction_stays_and_the_true_items_change():
    true = torch.tensor([[1.0, -1, 0], [1, 1, -2]])
    predicted = torch.stack([true[0] + 0.3 * true[1], true[0] + 0.1 * true[1]])
    assert two_way_identification(predicted, true).tolist() == [1, 0]
    assert two_way_identification(true, predicted).tolist() == [0, 0]


def test_cosine_instead_of_correlation():
    predicted, true = features(0) + 2, features(0) + 2 + features(1)
    expected = k_way_accuracy(ranks(similarity(predicted, true)), 12, 2)
    assert torch.equal(two_way_identification(predicted, true, similarity="cosine"), expected)
    assert not torch.equal(two_way_identification(predicted, true), expected)


def test_a_constant_prediction_is_at_chance():
    assert two_way_identification(torch.full((12, 30), 0.1), features(0)).tolist() == [0.5] * 12


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-10, 10))
def test_correlation_distance_ignores_scale_and_offset(seed, scale, offset):
    a, b = features(seed), features(seed + 1)
    expected = [1 - np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(correlation_distance(a, scale * b + offset * scale), expected, atol=1e-4)
    torch.testing.assert_close(correlation_distance(a, -scale * a), torch.full((12,), 2.0))


def test_distance_flattens_features_and_is_one_for_a_constant():
    a, b = features(0), features(1)
    assert torch.equal(correlation_distance(a.view(12, 5, 6), b.view(12, 5, 6)), correlation_distance(a, b))
    assert correlation_distance(torch.full((12, 30), 0.1), b).tolist() == [1] * 12


@pytest.mark.parametrize("score", [two_way_identification, correlation_distance])
def test_bad_input_is_named(score):
    with pytest.raises(ValueError, match=r"same shape, found \(12, 30\) and \(11, 30\)"):
        score(features(0), features(1, n=11))
    with pytest.raises(ValueError, match="NaN or infinity in item 3"):
        score(features(0), features(1).index_fill(0, torch.tensor([3]), torch.nan))
    with pytest.raises(ValueError, match="not empty"):
        score(torch.ones(0, 3), torch.ones(0, 3))


def test_bad_choice_is_named():
    with pytest.raises(ValueError, match="'euclidean'"):
        two_way_identification(features(0), features(1), similarity="euclidean")
    with pytest.raises(ValueError, match="two items or more, found 1"):
        two_way_identification(features(0)[:1], features(1)[:1])
