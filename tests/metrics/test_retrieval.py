from __future__ import annotations

import time
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from braindecode_x.metrics import k_way_accuracy, ranks, retrieval_scores, similarity, top_k


def win_share(scores: list[float], k: int) -> float:
    """Enumerate all draws of k - 1 distractors; scores[0] is the target's, and a coin breaks a tie with one of them."""
    draws = list(combinations(scores[1:], k - 1))
    wins = [Fraction(0) if max(draw) > scores[0] else Fraction(1, 1 + draw.count(scores[0])) for draw in draws]
    return float(sum(wins, Fraction(0)) / len(draws))


@given(st.permutations(list(range(9))), st.integers(2, 9), st.booleans())
def test_k_way_accuracy_is_the_share_of_all_draws(scores, k, with_a_tie):
    if with_a_tie:
        scores = [*scores, scores[0]]
    rank = ranks(torch.tensor([scores], dtype=torch.float32), torch.tensor([0]))
    assert k_way_accuracy(rank, len(scores), k).item() == pytest.approx(win_share(scores, k), abs=1e-12)


@given(st.lists(st.integers(0, 3), min_size=3, max_size=8), st.data())
def test_many_ties_never_give_more_than_coins_would(scores, data):
    k = data.draw(st.integers(2, len(scores)))
    rank = ranks(torch.tensor([scores], dtype=torch.float32), torch.tensor([0]))
    ours = k_way_accuracy(rank, len(scores), k).item()
    assert ours <= win_share(scores, k) + 1e-12
    if k == 2:
        assert ours == pytest.approx(win_share(scores, k))


@given(st.integers(2, 300), st.data())
def test_two_way_is_the_share_beaten_and_n_way_is_top_1(n, data):
    doubled = data.draw(st.lists(st.integers(0, 2 * (n - 1)), min_size=1, max_size=20))
    rank = torch.tensor(doubled, dtype=torch.float64) / 2
    torch.testing.assert_close(k_way_accuracy(rank, n, 2), 1 - rank / (n - 1))
    torch.testing.assert_close(k_way_accuracy(rank, n, n), top_k(rank, 1))


def test_chance_is_one_in_k():
    rank = torch.arange(1000)
    for k in (2, 50, 200, 1000):
        assert k_way_accuracy(rank, 1000, k).mean().item() == pytest.approx(1 / k, rel=1e-10)


def test_top_k_and_its_tie_at_the_border():
    assert top_k(torch.tensor([0, 0.5, 1, 4, 4.5, 5]), 5).tolist() == [1, 1, 1, 1, 0.5, 0]
    assert top_k(torch.tensor([0, 0.5, 1]), 1).tolist() == [1, 0.5, 0]


def test_ranks_against_counting():
    matrix = torch.from_numpy(np.random.default_rng(0).integers(0, 5, (20, 7)).astype(np.float32))
    targets = torch.from_numpy(np.random.default_rng(1).integers(0, 7, 20))
    expected = [
        sum((row[j] > row[t]) + 0.5 * (row[j] == row[t]) for j in range(7) if j != t)
        for row, t in zip(matrix.tolist(), targets.tolist(), strict=True)
    ]
    assert ranks(matrix, targets).tolist() == expected
    assert torch.equal(ranks(matrix, torch.nn.functional.one_hot(targets, 7).bool()), ranks(matrix, targets))
    assert torch.equal(ranks(matrix[:7]), ranks(matrix[:7], torch.arange(7)))


def test_the_best_right_column_stands_against_the_wrong_ones_only():
    matrix = torch.tensor([[0.9, 0.8, 0.7, 0.1], [0.9, 0.2, 0.9, 0.1]])
    right = torch.tensor([[False, True, True, False], [True, False, False, True]])
    assert ranks(matrix, right).tolist() == [1, 0.5]


def test_similarity_is_the_cosine_whatever_the_scale():
    a, b = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[6.0, 8.0], [-4.0, 3.0], [-3.0, -4.0]])
    torch.testing.assert_close(similarity(a, b), torch.tensor([[1.0, 0, -1], [0, 0, 0]]))
    torch.testing.assert_close(
        similarity(a.unflatten(1, (2, 1)), 100 * b.half().unflatten(1, (2, 1))), similarity(a, b)
    )


def test_retrieval_directions():
    """Both predictions are nearest to the first picture, so that each picture still finds its own prediction."""
    predicted, targets = torch.tensor([[1.0, 0.1], [0.9, 0.5]]), torch.eye(2)
    scores = retrieval_scores(predicted, targets)
    assert set(scores) == {
        f"{direction} {score}" for direction in ("image", "brain") for score in ("top-1", "top-5", "2-way")
    }
    assert scores["image top-1"].tolist() == [1, 0]
    assert scores["brain top-1"].tolist() == [1, 1]
    assert scores["image 2-way"].tolist() == [1, 0]


def test_a_whole_test_set_of_ten_subjects_is_scored_in_well_under_a_second():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(200, 1024, generator=generator)
    predicted = targets + 20 * torch.randn(10, 200, 1024, generator=generator)
    seconds = []
    for _ in range(3):  # the machine may be busy with something else at one time or other
        started = time.thread_time()
        scores = [retrieval_scores(own, targets, ways=(2, 4, 10, 50, 100, 200)) for own in predicted]
        seconds.append(time.thread_time() - started)
    assert min(seconds) < 0.5
    assert 0.005 < torch.stack([own["image 200-way"] for own in scores]).mean() < 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: similarity(torch.ones(2, 3), torch.ones(2, 4)), r"b: expected 3 .* found 4"),
        (lambda: similarity(torch.ones(2, 3, dtype=torch.long), torch.ones(2, 3)), "a: expected floating point"),
        (lambda: similarity(torch.ones(2, 3), torch.ones(0, 3)), "b: .*not empty"),
        (lambda: similarity(torch.tensor([[1.0], [torch.nan]]), torch.ones(2, 1)), "a: .*NaN or infinity in item 1"),
        (lambda: ranks(torch.ones(2, 3)), r"similarity: expected \(n, n\)"),
        (lambda: ranks(torch.ones(0, 3)), "similarity: .*not empty"),
        (lambda: ranks(torch.tensor([[1.0, 2], [torch.nan, 1]])), "similarity: .*NaN in row 1"),
        (lambda: ranks(torch.ones(2, 3), torch.tensor([0, 3])), "targets: expected columns 0 to 2, found 0 to 3"),
        (lambda: ranks(torch.ones(2, 3), torch.tensor([0])), r"targets: expected int \(2,\)"),
        (lambda: ranks(torch.ones(2, 3), torch.tensor([0.0, 1.0])), "targets: expected int"),
        (lambda: ranks(torch.ones(2, 2), torch.tensor([[True, False], [False, False]])), "targets: row 1"),
        (lambda: ranks(torch.ones(2, 2), torch.tensor([True, False])), r"targets: expected bool \(2, 2\)"),
        (lambda: k_way_accuracy(torch.tensor([0.0]), 10, 1), "k: expected 2 to n_candidates, 10, found 1"),
        (lambda: k_way_accuracy(torch.tensor([0.0]), 10, 11), "k: .*found 11"),
        (lambda: k_way_accuracy(torch.tensor([10.0]), 10, 2), "ranks: expected at most .*9, found 10"),
        (lambda: k_way_accuracy(torch.tensor([torch.nan]), 10, 2), "ranks: .*found"),
        (lambda: top_k(torch.tensor([-1.0]), 1), "ranks: .*0 or more"),
        (lambda: top_k(torch.tensor([1.0]), 0), "k: expected at least 1"),
        (lambda: retrieval_scores(torch.ones(3, 2), torch.ones(2, 2)), "found 3 and 2"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
