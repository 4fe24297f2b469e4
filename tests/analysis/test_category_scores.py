from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from braindecode_x.analysis.category_scores import CategoryDecoding, category_scores, paired_difference, score_decoding

LABELS, RUNS = np.tile(["cat", "shoe", "face"], 8), np.repeat(np.arange(8), 3)


def decoding(right: np.ndarray) -> CategoryDecoding:
    """Make a decoding that is right where asked, and elsewhere names the next category."""
    predicted = np.where(right, LABELS, np.roll(LABELS, 1))
    nothing = np.zeros((len(LABELS), 2), np.float32)
    return score_decoding(LABELS, predicted, RUNS, nothing, nothing, np.array([0.3, 0.5]), {}, seed=0)


def test_accuracy_and_p_value_follow_from_what_was_decoded() -> None:
    half = decoding(RUNS < 4)
    assert half.accuracy == 0.5
    assert half.interval[0] < 0.5 < half.interval[1]
    assert half.p_value == pytest.approx(2 / 3)
    assert half.categories == ["cat", "face", "shoe"]


def test_a_better_decoding_differs_from_a_worse_one() -> None:
    difference = paired_difference(decoding(RUNS < 8), decoding(RUNS % 2 == 0))
    assert difference.value == pytest.approx(0.5)
    assert 0 < difference.low < 0.5 < difference.high
    back = paired_difference(decoding(RUNS % 2 == 0), decoding(RUNS < 8))
    assert (back.value, back.low, back.high) == pytest.approx((-0.5, -difference.high, -difference.low))


def test_the_difference_is_paired() -> None:
    """Two decodings that fail on the same runs differ by nothing, however wide their own intervals are."""
    one = decoding(RUNS < 4)
    assert tuple(paired_difference(one, one)) == (0, 0, 0)


def test_other_samples_are_not_compared() -> None:
    one = decoding(RUNS < 4)
    for name, values in (("labels", LABELS[::-1]), ("runs", RUNS + 1), ("labels", LABELS[1:])):
        with pytest.raises(ValueError, match=f"differ in {name}, of 24 and {len(values)} samples"):
            paired_difference(one, replace(one, **{name: values}))


def test_what_all_categories_share_does_not_decide() -> None:
    """A prediction near the mean goes where it leans, not to the prototype with most of the shared part."""
    targets = np.array([[10.0, 1.0, 0.0], [12.0, 0.0, 1.0]])
    leaning = np.array([[11.0, 0.9, 0.1], [11.0, 0.1, 0.9]])
    assert category_scores(leaning, targets, targets.mean(axis=0)).argmax(axis=1).tolist() == [0, 1]
