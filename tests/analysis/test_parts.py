from __future__ import annotations

from dataclasses import replace

import mne
import numpy as np
import pandas as pd
import pytest
import torch
from small_cohort import SmallCohort
from small_epochs import CHANNELS, SmallEpochs
from small_runs import DELAY, N_VOLUMES, PARCELS, TR, SmallRuns

from braindecode_x.analysis.parts import (
    Part,
    SubjectPictures,
    accuracy_table,
    fit_ridge,
    part_decoder,
    part_ranks,
    predictor,
)
from braindecode_x.analysis.saliency import subject_model
from braindecode_x.clip import ClipEncoder
from braindecode_x.datamodules import BetasDataModule, EpochsDataModule, WindowsDataModule
from braindecode_x.decoder import BrainDecoder
from braindecode_x.metrics.retrieval import retrieval_scores
from braindecode_x.models.eeg import EegDecoder
from braindecode_x.models.wave_decoder import WaveDecoder

N, C, T, D = 12, 3, 5, 4


@pytest.fixture
def pictures() -> SubjectPictures:
    """Responses whose middle channel alone, in the last two samples, holds the embedding."""
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((3 * N, D)).astype(np.float32)
    epochs = rng.standard_normal((3 * N, C, T)).astype(np.float32)
    epochs[:, 1, 3:] = targets[:, :2]
    names = [f"picture {number}" for number in range(N)]
    info = mne.create_info(["Fz", "Cz", "Oz"], 100.0, "eeg")
    parts = epochs[N:], epochs[:N], targets[N:], targets[:N]
    return SubjectPictures("anna", info, np.arange(T) / 100, *parts, names, np.array(names))


def part(channels: list[int], samples: list[int], **about: str) -> Part:
    return Part(about, np.isin(range(C), channels), np.isin(range(T), samples))


def linear(weights: np.ndarray):
    return lambda epochs: np.einsum("nct,ctd->nd", epochs, weights).astype(np.float32)


def test_masked_samples_are_the_mean_of_training_pictures(pictures):
    seen = []
    part_decoder(pictures, part([0, 1], [1, 2]), predict=seen.append)(pictures.test)
    (given,) = seen
    np.testing.assert_array_equal(given[:, :2, 1:3], pictures.test[:, :2, 1:3])
    rest = np.broadcast_to(pictures.train.mean(axis=0), given.shape)
    np.testing.assert_array_equal(given[:, 2], rest[:, 2])
    np.testing.assert_array_equal(given[:, :2, [0, 3, 4]], rest[:, :2, [0, 3, 4]])
    assert given.dtype == np.float32


def test_a_retrained_decoder_knows_the_part_alone(pictures):
    shapes = []

    def fit(epochs, targets):
        shapes.append(epochs.shape)
        assert targets is pictures.train_targets
        return lambda given: shapes.append(given.shape)

    part_decoder(pictures, part([0, 2], [1, 3, 4]), fit=fit)(pictures.test)
    assert shapes == [(2 * N, 2, 3), (N, 2, 3)]


def test_a_part_without_the_signal_finds_nothing_and_the_part_with_it_all(pictures):
    with_it, without = part([1], [3, 4], what="with"), part([0, 2], [0, 1, 2, 3, 4], what="without")
    weights = np.zeros((C, T, D))
    weights[1, 3, 0] = weights[1, 4, 1] = 1
    for how in ({"fit": fit_ridge}, {"predict": linear(weights)}):
        ranked = part_ranks(pictures, [with_it, without], **how)
        assert list(ranked.columns) == ["subject", "mode", "what", "stimulus", "concept", "rank", "candidates"]
        assert set(ranked["mode"]) == {"retrained" if "fit" in how else "masked"}
        mean = ranked.groupby("what")["rank"].mean()
        assert mean["with"] < 2.5
        assert mean["without"] > 4


def test_the_whole_trial_masked_is_the_decoder_itself(pictures):
    weights = np.random.default_rng(1).standard_normal((C, T, D))
    whole = part([0, 1, 2], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(
        part_decoder(pictures, whole, predict=linear(weights))(pictures.test), linear(weights)(pictures.test)
    )


def test_centring_takes_off_what_predictions_have_in_common(pictures):
    """A decoder that is right but for a small amplitude and one direction that it always predicts."""
    whole, away = part([0, 1, 2], [0, 1, 2, 3, 4]), np.array([3, 3, 3, 3], np.float32)

    def predict(epochs):
        weights = np.zeros((C, T, D))
        weights[1, 3, 0] = weights[1, 4, 1] = 0.1
        return linear(weights)(epochs) + away

    plain = part_ranks(pictures, [whole], predict=predict, centred=False)
    centred = part_ranks(pictures, [whole], predict=predict)
    assert centred["rank"].mean() < 2.5 < plain["rank"].mean()
    scores = retrieval_scores(torch.from_numpy(predict(pictures.test)), torch.from_numpy(pictures.test_targets))
    assert (plain["rank"] < 1).mean() == scores["image top-1"].mean()


def test_parts_that_cannot_be_are_refused(pictures):
    with pytest.raises(ValueError, match="found 0 of 3 and 5 of 5"):
        part_decoder(pictures, part([], [0, 1, 2, 3, 4]), fit=fit_ridge)
    with pytest.raises(ValueError, match="expected some of 3 channels and 5 samples, found 2 of 2"):
        part_decoder(pictures, Part({}, np.ones(2, bool), np.ones(T, bool)), fit=fit_ridge)
    with pytest.raises(ValueError, match="fit and predict: expected one of them"):
        part_decoder(pictures, part([0], [0]), fit=fit_ridge, predict=linear(np.zeros((C, T, D))))
    with pytest.raises(ValueError, match="fit and predict: expected one of them"):
        part_decoder(pictures, part([0], [0]))


def ranked(subject: str, ranks: list[float], candidates: int, concepts: list[str] | None = None) -> pd.DataFrame:
    names = [f"{number}" for number in range(len(ranks))]
    own = {"stimulus": names, "concept": concepts or names, "rank": ranks, "candidates": candidates}
    return pd.DataFrame({"subject": subject, "mode": "masked", **own})


def test_accuracies_are_those_of_the_ranks():
    table = accuracy_table(ranked("anna", [0, 0.5, 1, 3], 4), ways=(2, 4, 10)).set_index("metric")
    assert table["value"].to_dict() == pytest.approx({"top-1": 0.375, "2-way": 1 - 4.5 / 4 / 3, "4-way": 0.375})
    assert table["chance"].to_dict() == pytest.approx({"top-1": 0.25, "2-way": 0.5, "4-way": 0.25})
    assert (table["low"] < table["value"]).all()
    assert (table["value"] < table["high"]).all()
    assert set(table["n"]) == {4}
    assert set(table["subject"]) == {"anna"}


def test_all_subjects_together_keep_their_own_numbers_of_candidates():
    both = pd.concat([ranked("anna", [0, 1, 2, 3], 4), ranked("ben", [0, 4], 5)])
    table = accuracy_table(both, ways=(2,)).set_index(["subject", "metric"])
    assert list(table.index.get_level_values("subject").unique()) == ["anna", "ben", "all"]
    assert table.loc[("all", "top-1"), "value"] == pytest.approx(2 / 6)
    assert table.loc[("all", "top-1"), "chance"] == pytest.approx((4 / 4 + 2 / 5) / 6)
    assert table.loc[("all", "2-way"), "value"] == pytest.approx((4 * 0.5 + 2 * 0.5) / 6)
    assert table.loc[("ben", "2-way"), "value"] == pytest.approx(0.5)


def test_pictures_of_one_concept_are_resampled_together():
    ranks, concepts = [0.0, 0.0, 3.0, 3.0] * 5, ["cat", "cat", "dog", "dog"] * 5
    alone = accuracy_table(ranked("anna", ranks, 20), ways=(2,)).set_index("metric").loc["2-way"]
    together = accuracy_table(ranked("anna", ranks, 20, concepts), ways=(2,)).set_index("metric").loc["2-way"]
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])
    one = accuracy_table(ranked("anna", ranks, 20, ["cat"] * 20), ways=(2,))
    assert one[["low", "high"]].isna().all(axis=None)


def test_a_subject_of_a_data_module(tiny_clip):
    data = EpochsDataModule(SmallEpochs(), ["ben"], channels=["Oz", "Cz"], tmin=0.0, clip=str(tiny_clip))
    pictures = SubjectPictures.of(data, "ben")
    names, test = data.averaged("ben", "test")
    assert pictures.stimuli == names
    np.testing.assert_array_equal(pictures.test, test)
    assert pictures.train.shape[1:] == (2, 10)
    assert pictures.info["ch_names"] == ["Oz", "Cz"]
    np.testing.assert_allclose(pictures.times, np.arange(10) / 100, atol=1e-9)
    for name, target in zip(names, pictures.test_targets, strict=True):
        np.testing.assert_array_equal(target, data.targets[name][0].numpy())
    assert pictures.concepts.tolist() == data.cohort.stimuli.table["concept"].loc[names].tolist()


def test_unlabelled_trials_are_not_analysed(tiny_clip, monkeypatch):
    cohort = SmallEpochs()
    subject = cohort.subject("anna")
    trials = subject.trials.assign(stimulus=subject.trials["stimulus"].where(subject.trials["split"] != "test", ""))
    monkeypatch.setattr(cohort, "subject", lambda name: replace(subject, trials=trials))
    data = EpochsDataModule(cohort, ["anna"], clip=str(tiny_clip))
    with pytest.raises(ValueError, match="anna: 0 pictures of the split 'test'; an analysis needs two or more"):
        SubjectPictures.of(data, "anna")


def test_a_trained_decoder_predicts_what_it_does_of_recordings(tiny_clip):
    space = ClipEncoder(tiny_clip).space
    data = EpochsDataModule(SmallEpochs(), ["anna", "ben"], clip=str(tiny_clip))
    torch.manual_seed(0)
    model = EegDecoder(["anna", "ben"], len(CHANNELS), 15, 100.0, space.shape, encoder="ATM-S", options={"d_model": 16})
    statistics = {
        name: {"mean": torch.from_numpy(each.mean), "std": torch.from_numpy(each.std)}
        for name, each in data.standardisations.items()
    }
    decoder = BrainDecoder(model, space, statistics, layout=data.layout)
    pictures = SubjectPictures.of(data, "ben")
    raw = SmallEpochs().subject("ben").average("test")[1]
    np.testing.assert_allclose(predictor(decoder, 1)(pictures.test), decoder.predict(raw, "ben")[0], atol=1e-3)


def test_a_subject_of_windows_has_parcels_as_channels_and_volumes_as_samples(tiny_clip):
    data = WindowsDataModule(SmallRuns(), ["ben"], networks=["default", "visual"], clip=str(tiny_clip))
    pictures = SubjectPictures.of(data, "ben")
    names, test = data.averaged("ben", "test")
    assert pictures.stimuli == names
    np.testing.assert_array_equal(pictures.test, test.transpose(0, 2, 1))
    assert pictures.info == PARCELS.take(range(9))
    assert pictures.channels == list(PARCELS.names[:9])
    np.testing.assert_allclose(pictures.times, DELAY + TR * np.arange(N_VOLUMES))
    with pytest.raises(ValueError, match="expected epochs or windows, found BetasDataModule"):
        SubjectPictures.of(BetasDataModule(SmallCohort(), ["anna"], clip=str(tiny_clip)), "anna")


def test_a_trained_decoder_of_windows_predicts_what_it_does_of_recordings(tiny_clip):
    space = ClipEncoder(tiny_clip).space
    data = WindowsDataModule(SmallRuns(), ["anna", "ben"], clip=str(tiny_clip))
    torch.manual_seed(0)
    options = {"d_model": 16, "n_layers": 1, "n_heads": 2}
    model = WaveDecoder(["anna", "ben"], *data.layout.shape, TR, space.shape, options=options)
    statistics = {
        name: {"mean": torch.from_numpy(each.mean), "std": torch.from_numpy(each.std)}
        for name, each in data.standardisations.items()
    }
    decoder = BrainDecoder(model, space, statistics, layout=data.layout)
    pictures = SubjectPictures.of(data, "ben")
    expected = decoder.predict(SmallRuns().subject("ben").average("test")[1], "ben")[0]
    np.testing.assert_allclose(predictor(decoder, 1)(pictures.test), expected, atol=1e-3)
    with torch.no_grad():
        found = subject_model(decoder, 1)(torch.from_numpy(pictures.test))
    np.testing.assert_allclose(space.normalised(found), expected, atol=1e-3)
    kept = part_decoder(pictures, Part({}, PARCELS.in_network("visual"), np.ones(N_VOLUMES, bool)), predict=lambda x: x)
    np.testing.assert_array_equal(kept(pictures.test)[:, :6], pictures.test[:, :6])
