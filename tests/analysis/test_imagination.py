from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import SmallRuns

from braindecode_x.analysis.imagination import (
    ImaginedPrompts,
    decode,
    effect_size,
    match_statistics,
    matches,
    pairing_scores,
    permuted_matchings,
    prompt_table,
)
from braindecode_x.clip import EmbeddingSpace
from braindecode_x.datamodules import WindowsDataModule
from braindecode_x.datasets.runs import SubjectWindows

NAMES = [f"prompt {number}" for number in range(12)]


def recorded(**columns: list[str]) -> WindowsDataModule:
    """Three pictures that ben imagines, one of them twice, with columns of their own."""
    data = WindowsDataModule(SmallRuns(), subjects=["ben"])
    seen = data.recordings["ben"]
    ids = data.cohort.stimuli.ids[:3]
    trials = pd.DataFrame({"stimulus": [ids[0], ids[1], ids[0], ids[2]], "split": "imagination", **columns})
    both = pd.concat([seen.trials, trials], ignore_index=True)
    windows = np.concatenate([seen.windows, np.arange(4.0, dtype=np.float32)[:, None, None] + seen.windows[:1]])
    data.recordings = {"ben": SubjectWindows("ben", windows, both, seen.tr, seen.delay, seen.parcels)}
    return data


def test_repeats_of_a_prompt_are_averaged():
    data = recorded(prompt=["a cat", "a bus", "a cat", "a dog"])
    imagined = ImaginedPrompts.of(data, "ben")
    assert imagined.prompts == ["a cat", "a bus", "a dog"]
    assert imagined.stimuli == data.cohort.stimuli.ids[:3]
    windows = data.recordings["ben"].windows[-4:]
    expected = data.standardisations["ben"](np.stack([windows[[0, 2]].mean(axis=0), windows[1], windows[3]]))
    np.testing.assert_allclose(imagined.responses, expected, atol=1e-5)


def test_where_there_is_no_prompt_the_caption_is_it():
    captions = recorded().cohort.stimuli.table["caption"].iloc[:3].tolist()
    assert ImaginedPrompts.of(recorded(), "ben").prompts == captions
    some = recorded(prompt=["a cat", "", "a cat", np.nan])
    assert ImaginedPrompts.of(some, "ben").prompts == ["a cat", captions[1], captions[2]]
    unnamed = recorded(prompt=["a cat", "a bus", "a cat", "a dog"], stimulus=[""] * 4)
    assert ImaginedPrompts.of(unnamed, "ben").stimuli == ["", "", ""]


def test_wrong_trials_are_refused():
    data = recorded()
    with pytest.raises(ValueError, match=r"ben: no imagination trials of the split 'imagery'; it has .*'imagination'"):
        ImaginedPrompts.of(data, "ben", "imagery")
    with pytest.raises(ValueError, match="ben: 1 prompt in the split 'imagination'; matching needs two or more"):
        ImaginedPrompts.of(recorded(prompt=["a cat"] * 4), "ben")
    with pytest.raises(ValueError, match="has neither a prompt nor a stimulus with a caption"):
        ImaginedPrompts.of(recorded(prompt=["a cat", "", "", ""], stimulus=[""] * 4), "ben")


def test_text_is_decoded_where_the_decoder_predicts_it():
    space = EmbeddingSpace("m", "w", "pooled", (3,), "unit")
    responses = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    for text, kinds in ((None, ["image"]), (torch.zeros(5, 3), ["image"]), (torch.ones(5, 3), ["text", "image"])):

        def model(brain, subject, text=text):
            assert subject.tolist() == [7] * 5
            return SimpleNamespace(image=brain.mean(1), text=text)

        found = decode(SimpleNamespace(model=model, space=space, text_space=space), 7, responses)
        assert list(found) == kinds
        np.testing.assert_allclose(found["image"].norm(dim=1), 1, atol=1e-6)


def test_pairings_are_scored_by_hand():
    # the first row finds its column, the second ties with one of two better ones, the third is last
    similarities = np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.3], [0.7, 0.6, 0.5]])
    scores = {name: np.diag(own) for name, own in pairing_scores(similarities).items()}
    assert scores["2-way"].tolist() == [1, 0.25, 0]
    assert scores["top-1"].tolist() == [1, 0, 0]
    assert scores["mean rank"].tolist() == [1, 2.5, 3]
    np.testing.assert_allclose(scores["difference"], [0.75, 0.3 - 0.55, 0.5 - 0.65])
    assert "top-5" not in scores
    table = prompt_table(["a", "b", "c"], ["1", "2", "3"], similarities)
    assert table["found"].tolist() == ["a", "a", "a"]
    np.testing.assert_allclose(table["unmatched"], [0.15, 0.55, 0.65])
    assert pairing_scores(similarities)["2-way"][1, 0] == 1  # the second row, if it were of the first column


def test_what_all_have_in_common_does_not_drown_what_tells_apart():
    rng = np.random.default_rng(0)
    own = torch.from_numpy(rng.standard_normal((40, 30)))
    drift = 30 * torch.from_numpy(rng.standard_normal(30))  # imagining moves all predictions alike
    decoded, candidates = own + torch.from_numpy(rng.standard_normal((40, 30))) + drift, own + 5
    scored = {centred: pairing_scores(matches(decoded, candidates, centred))["2-way"] for centred in (True, False)}
    assert np.diag(scored[True]).mean() > 0.95 > np.diag(scored[False]).mean()
    for own_scores in scored.values():  # and without a match it is at chance in both ways
        np.testing.assert_allclose(own_scores.mean(), 0.5)


def test_effect_size_on_known_numbers():
    value, low, high = effect_size(np.array([1.0, 2, 3, 4]), list("abcd"))
    assert value == pytest.approx(2.5 / np.std([1, 2, 3, 4], ddof=1))
    assert low < value < high
    assert np.isnan(effect_size(np.full(4, 0.3), list("abcd"))[0])
    rng = np.random.default_rng(0)
    drawn = 0.5 + rng.standard_normal(400)
    value, low, high = effect_size(drawn, [str(number) for number in range(400)])
    assert low < 0.5 < high
    assert (high - low) / 3.92 == pytest.approx(np.sqrt(1 / 400 + 0.5**2 / 800), rel=0.15)  # the usual standard error
    _, low_twice, high_twice = effect_size(np.repeat(drawn, 2), [str(number // 2) for number in range(800)])
    assert high_twice - low_twice == pytest.approx(high - low, rel=0.02)  # the same values again are no more prompts


def test_permutations_are_alike_for_those_who_imagined_the_same():
    orders = permuted_matchings({"anna": NAMES, "ben": NAMES[::-1], "carl": NAMES[:4]}, 4000, seed=0)
    for number in range(5):
        anna, ben = orders["anna"][number], orders["ben"][number]
        assert {NAMES[row]: NAMES[column] for row, column in enumerate(anna)} == {
            NAMES[11 - row]: NAMES[11 - column] for row, column in enumerate(ben)
        }
    assert (np.sort(orders["carl"], axis=1) == np.arange(4)).all()
    _, counts = np.unique(orders["carl"], axis=0, return_counts=True)
    assert len(counts) == 24
    assert counts.max() < 2 * counts.min()


def test_p_values_are_uniform_where_nothing_is_decoded():
    """Also for two people whose answers to a prompt are alike, but not about it."""
    p_values = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        responses, candidates = torch.from_numpy(rng.standard_normal((2, 12, 6)))
        own = matches(responses, candidates)
        table, _ = match_statistics({"anna": (NAMES, own), "ben": (NAMES, own)}, 99, seed)
        p_values.append(table.set_index(["subject", "metric"])["p_value"][[("all", "2-way"), ("all", "difference")]])
    for own in np.array(p_values).T:
        assert abs(own.mean() - 0.505) < 0.1
        assert np.mean(own <= 0.1) < 0.2


def test_statistics_of_a_match_and_of_all_together():
    rng = np.random.default_rng(0)
    subjects = {}
    for name, noise in (("anna", 0.5), ("ben", 3.0)):
        candidates = torch.from_numpy(rng.standard_normal((12, 20)))
        subjects[name] = (
            NAMES,
            matches(candidates + noise * torch.from_numpy(rng.standard_normal((12, 20))), candidates),
        )
    table, nulls = match_statistics(subjects, 999, seed=0)
    rows = table.set_index(["subject", "metric"])
    assert rows.loc[("anna", "2-way"), "p_value"] == 0.001
    assert rows.loc[("anna", "top-1"), "value"] == 1
    assert rows.loc[("anna", "mean rank"), ["value", "chance", "p_value"]].tolist() == [1, 6.5, 0.001]
    together = rows.loc["all"]["value"]
    np.testing.assert_allclose(together["2-way"], rows["value"].loc[[("anna", "2-way"), ("ben", "2-way")]].mean())
    assert rows.loc[("all", "2-way"), "n"] == 24
    differences = np.concatenate([np.diag(pairing_scores(own)["difference"]) for _, own in subjects.values()])
    assert together["effect size"] == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert nulls["all", "2-way"].shape == (999,)
    assert abs(nulls["all", "2-way"].mean() - 0.5) < 0.02
    pd.testing.assert_frame_equal(match_statistics(subjects, 999, seed=0)[0], table)


def test_two_prompts_are_enough_and_wrong_numbers_are_refused():
    own = matches(torch.eye(2), torch.eye(2))
    rows = match_statistics({"anna": (["a", "b"], own)}, 99)[0].set_index("metric")
    assert rows.loc["2-way", "value"] == 1
    assert 0.3 < rows.loc["2-way", "p_value"] < 0.7  # there is but one other matching
    assert np.isnan(rows.loc["effect size", "value"])
    with pytest.raises(ValueError, match="expected two or more, one a decoded embedding, found 3 for 2"):
        matches(torch.eye(3)[:2], torch.eye(3))
    with pytest.raises(ValueError, match="subjects and n_permutations: expected at least 1, found 1 and 0"):
        match_statistics({"anna": (["a", "b"], own)}, 0)
