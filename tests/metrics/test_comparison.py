from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.embeddings import Embeddings
from braindecode_x.metrics.comparison import (
    Pictures,
    Row,
    comparison_rows,
    deal,
    retrieved_stimuli,
    same_trials,
    trial_scores,
)

SPACE = EmbeddingSpace("model", "none", "pooled", (6,), "unit")


def decoded(trials: list[tuple[str, str]], image: torch.Tensor | None = None, space=SPACE) -> Embeddings:
    index = pd.DataFrame(trials, columns=["subject", "stimulus"])
    index.insert(0, "id", index["subject"] + "_" + index["stimulus"])
    return Embeddings(index, space, torch.eye(6)[: len(index)] if image is None else image)


TRIALS = [(subject, stimulus) for subject in ("s1", "s2") for stimulus in "abc"]


@given(st.lists(st.integers(2, 6), min_size=1, max_size=4), st.integers(0, 1000))
def test_everyone_is_dealt_another_trial_of_the_same_subject(counts, seed):
    subjects = np.random.default_rng(seed).permutation(np.repeat([f"s{k}" for k in range(len(counts))], counts))
    dealt = deal(subjects, seed)
    assert sorted(dealt) == list(range(len(subjects)))
    assert (dealt != np.arange(len(subjects))).all()
    assert (subjects[dealt] == subjects).all()
    assert (deal(subjects, seed) == dealt).all()


def test_rows_are_brought_to_one_order():
    first, order = decoded(TRIALS), [4, 2, 0, 5, 1, 3]
    other = decoded([TRIALS[row] for row in order], first.image[order])
    same = same_trials({"first": first, "other": other})["other"]
    assert torch.equal(same.image, first.image)
    assert same.ids == first.ids


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (decoded([*TRIALS[:5], ("s2", "d")]), r"'other': expected the trials of 'first'.* 2 are of one only"),
        (decoded(TRIALS[:5]), r"6 pairs of subject and stimulus, found 5; .* \('s2', 'c'\)"),
        (decoded([*TRIALS[:5], ("s3", "a")]), "two or more pictures of every subject.*'s3': 1"),
        (
            decoded(TRIALS, space=EmbeddingSpace("another", "none", "pooled", (6,), "unit")),
            r"another space: system 'first', beside which 'other'.*model.*another",
        ),
    ],
)
def test_systems_of_other_trials_or_spaces_are_refused(other, message):
    with pytest.raises(ValueError, match=message):
        same_trials({"first": decoded(TRIALS), "other": other})


def test_repeats_and_missing_subjects_are_refused():
    repeated = decoded(TRIALS)
    repeated.index.loc[1, "stimulus"] = "a"
    with pytest.raises(ValueError, match=r"several for \('s1', 'a'\); average repeats first"):
        same_trials({"first": repeated})
    nobody = decoded(TRIALS)
    nobody.index = nobody.index.drop(columns="subject")
    with pytest.raises(ValueError, match="missing the column 'subject'"):
        same_trials({"first": nobody})


@pytest.fixture
def seen():
    """Return what two subjects saw: three pictures each, and their embeddings."""
    pixels = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    pictures = Pictures(pixels, ["a.png", "b.png", "c.png"], {"judge": pixels.flatten(1)})
    which = np.array([0, 1, 2, 0, 1, 2])
    return Row(pictures, which, torch.eye(3)[which])


SUBJECTS, STIMULI = np.repeat(["s1", "s2"], 3), np.array(list("abcabc"))


def test_what_was_seen_scores_best_and_pictures_are_scored_with_their_trial(seen):
    scores = trial_scores(seen, seen, SUBJECTS)
    for metric in ("image from brain, 3-way", "brain from image, two-way", "judge judge, 3-way", "PixCorr", "SSIM"):
        assert scores["all"][metric] == pytest.approx(np.ones(6), abs=1e-5), metric
    assert scores["all"]["judge judge distance"] == pytest.approx(np.zeros(6), abs=1e-5)
    one_wrong = Row(seen.pictures, np.array([0, 1, 2, 0, 1, 1]), seen.embeddings)
    pixcorr = trial_scores(one_wrong, seen, SUBJECTS)
    assert pixcorr["s1"]["PixCorr"].min() > 0.99
    assert np.flatnonzero(pixcorr["s2"]["PixCorr"] < 0.9).tolist() == [2]
    assert np.flatnonzero(pixcorr["all"]["judge judge, 3-way"] < 1).tolist() == [5]


def test_subjects_of_different_numbers_of_pictures_share_only_what_compares(seen):
    rows = slice(0, 5)
    part = Row(seen.pictures, seen.which[rows], seen.embeddings[rows])
    scores = trial_scores(part, part, SUBJECTS[rows])
    assert "image from brain, 3-way" in scores["s1"]
    assert "image from brain, 2-way" in scores["s2"]
    assert set(scores["all"]) == set(scores["s1"]) & set(scores["s2"])
    assert len(scores["all"]["PixCorr"]) == 5


def test_differences_to_ridge_are_paired_and_signed():
    rng = np.random.default_rng(0)
    stimuli, subjects = np.tile(np.arange(20).astype(str), 2), np.repeat(["s1", "s2"], 20)
    difficulty = rng.normal(0, 10, 20)

    def scores(shift):
        values = difficulty + shift
        return {"all": {"m": np.tile(values, 2)}, "s1": {"m": values}, "s2": {"m": values}}

    table = comparison_rows({"better": scores(0.5), "ridge": scores(0), "worse": scores(-0.5)}, stimuli, subjects, 0)
    table = table.set_index(["subject", "system"])
    for subject in ("all", "s1", "s2"):
        better, worse = table.loc[(subject, "better")], table.loc[(subject, "worse")]
        assert better["difference"] == pytest.approx(0.5)
        assert (better["difference_low"], better["difference_high"]) == pytest.approx((0.5, 0.5))
        assert worse["difference_high"] < 0
        assert np.isnan(table.loc[(subject, "ridge"), "difference"])
    # The subjects agree fully, so a second one must not narrow the interval.
    assert table.loc[("all", "better"), "low"] == pytest.approx(table.loc[("s1", "better"), "low"])
    assert table.loc[("all", "better"), "n"] == 40
    alone = comparison_rows({"better": scores(0.5)}, stimuli, subjects, 0)
    assert alone["difference"].isna().all()


def test_found_pictures_are_in_order_among_those_of_the_subject(seen):
    trials = pd.DataFrame({"id": np.arange(6).astype(str), "subject": SUBJECTS, "stimulus": STIMULI})
    predicted = torch.tensor([[3.0, 2, 1], [3, 2, 1], [3, 2, 1], [1, 2, 3], [0, 1, 0], [1, 2, 3]])
    found = retrieved_stimuli(predicted, seen, trials)
    assert found["place"].tolist() == [1, 2, 3, 3, 1, 1]
    assert found.loc[0, ["1", "2", "3", "4"]].tolist() == ["a", "b", "c", ""]
    assert found.loc[3, ["1", "2", "3"]].tolist() == ["c", "b", "a"]
    assert (found["candidates"] == 3).all()
