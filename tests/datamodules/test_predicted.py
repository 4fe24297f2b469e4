from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_epochs import SmallEpochs

from braindecode_x.datamodules import EpochsDataModule, PredictedEmbeddings
from braindecode_x.datamodules.predicted import PredictionNoise
from braindecode_x.decoder import BrainDecoder
from braindecode_x.models.eeg import EegDecoder


def data_module(clip, subjects=("anna", "ben", "carl"), **options) -> EpochsDataModule:
    return EpochsDataModule(SmallEpochs(), subjects, clip=str(clip), batch_size=50, **options)


@pytest.fixture
def decoder(tiny_clip, tmp_path):
    """Write the folder of an untrained decoder of ben and anna."""
    data = data_module(tiny_clip, ["ben", "anna"])
    torch.manual_seed(0)
    model = EegDecoder(["ben", "anna"], *data.layout.shape, image_dim=data.space.shape, options={"d_model": 12})
    known = {
        name: {"mean": torch.from_numpy(each.mean), "std": torch.from_numpy(each.std)}
        for name, each in data.standardisations.items()
    }
    BrainDecoder(model, data.space, known, layout=data.layout).save_pretrained(tmp_path / "decoder")
    return tmp_path / "decoder"


def test_predictions_are_those_of_the_decoder_folder_for_known_and_new_subjects(tiny_clip, decoder):
    data = PredictedEmbeddings(decoder, data_module(tiny_clip), conditions="noisy", batch_size=7)
    assert list(data.sizes) == ["ben", "anna", "carl"]
    batches = list(data.test_dataloader())
    subject = torch.cat([batch.subject for batch in batches])
    brain = torch.cat([batch.brain for batch in batches])
    assert subject.tolist() == [1] * 12 + [0] * 12 + [2] * 12
    for number, name in enumerate(data.sizes):
        names, epochs = SmallEpochs().subject(name).average("test")
        if name != "carl":  # who is standardised by training trials here
            expected, _ = BrainDecoder.from_pretrained(decoder).predict(epochs, name)
            torch.testing.assert_close(brain[subject == number], expected, atol=1e-4, rtol=1e-4)
        shown = [each for batch in batches for each in batch.stimulus][12 * [1, 0, 2][number] :][:12]
        assert shown == names
    targets = torch.cat([batch.image_target for batch in batches])
    assert torch.equal(targets[0], data.data.targets[batches[0].stimulus[0]][0])


def test_noisy_conditions_are_drawn_anew_about_the_targets(tiny_clip, decoder):
    data = PredictedEmbeddings(decoder, data_module(tiny_clip), conditions="noisy", batch_size=90)
    noise = data.noise
    assert noise.residuals.shape == (18, 8)
    validated = [name for batch in data.val_dataloader() for name in batch.stimulus]
    shaped = set(data.data.shown("anna", "validation")) - set(validated)
    assert len(validated) == 18
    assert len(shaped) == 6  # the other pictures
    first, second = (next(iter(data.train_dataloader())) for _ in range(2))
    assert first.brain.shape == (90, 8)
    assert not torch.equal(first.brain, second.brain)
    assert set(first.stimulus) <= set(data.data.shown("anna", "train"))
    assert len(data.training_targets) == 120
    row = torch.stack([data.data.targets[name][0] for name in first.stimulus])
    torch.testing.assert_close(first.image_target, row)


def test_noise_that_few_pictures_show_has_other_directions_too():
    generator = torch.Generator().manual_seed(0)
    target, residuals = torch.randn(2, 10, 40, generator=generator)
    few = PredictionNoise.of(target + residuals, target, torch.zeros(10, dtype=torch.long))
    assert few.shrinkage > 0.5  # these have no direction
    drawn = few(target.repeat(100, 1), torch.zeros(1000, dtype=torch.long)) - target.repeat(100, 1)
    assert torch.linalg.matrix_rank(drawn) == 40


def test_predicted_conditions_are_as_many_as_draws(tiny_clip, decoder):
    data = PredictedEmbeddings(decoder, data_module(tiny_clip), conditions="predicted", draws=3, batch_size=2000)
    (batch,) = data.train_dataloader()
    assert len(batch) == 3 * 350  # whole batches of 50 of 360 pictures
    again = PredictedEmbeddings(decoder, data_module(tiny_clip), conditions="predicted", draws=3, batch_size=2000)
    (other,) = again.train_dataloader()
    rows = [sorted(map(tuple, each.brain.round(decimals=5).tolist())) for each in (batch, other)]
    assert rows[0] == rows[1]


def test_noise_is_that_of_the_predictions_it_was_estimated_from():
    torch.manual_seed(0)
    n, d = 4000, 5
    target, subject = torch.randn(n, d), torch.arange(n) % 2
    mixing, slope = torch.randn(d, d), torch.tensor([0.7, 0.2])
    offset = torch.randn(2, d)
    scale = torch.tensor([1.0, 0.1])[subject, None]
    predicted = slope[subject, None] * target + offset[subject] + scale * torch.randn(n, d) @ mixing
    noise = PredictionNoise.of(predicted, target, subject)
    torch.testing.assert_close(noise.slope, slope, atol=0.05, rtol=0)
    drawn = noise(target, subject)
    residual, known = (each - slope[subject, None] * target - offset[subject] for each in (drawn, predicted))
    for number in (0, 1):
        ours, theirs = (each[subject == number].T.cov() for each in (residual, known))
        torch.testing.assert_close(ours.trace(), theirs.trace(), atol=0, rtol=0.1)
        torch.testing.assert_close(ours, theirs, atol=0.1 * float(theirs.trace()) / d, rtol=0.1)


def test_what_does_not_fit_is_refused(tiny_clip, decoder):
    with pytest.raises(ValueError, match="unknown conditions 'noise'; did you mean 'noisy'"):
        PredictedEmbeddings(decoder, data_module(tiny_clip), conditions="noise")
    with pytest.raises(ValueError, match="draws and batch_size: expected at least 1, found 0 and 1024"):
        PredictedEmbeddings(decoder, data_module(tiny_clip), draws=0)
    other = EpochsDataModule(SmallEpochs(), ["ben"])
    with pytest.raises(ValueError, match=r"embeddings of another space: decoder folder"):
        PredictedEmbeddings(decoder, other).sizes  # noqa: B018
    few = data_module(tiny_clip)
    for name, whole in few.recordings.items():
        left = whole.trials["split"].mask(whole.trials["stimulus"].isin(few.shown(name, "validation")[1:]), "predict")
        few.recordings[name] = replace(whole, trials=whole.trials.assign(split=left))
    with pytest.raises(ValueError, match="noisy needs two validation pictures or more"):
        PredictedEmbeddings(decoder, few, conditions="noisy").val_dataloader()
    short = data_module(tiny_clip, tmax=0.05)
    with pytest.raises(ValueError, match="decoder folder"):
        PredictedEmbeddings(decoder, short, conditions="noisy").sizes  # noqa: B018


def test_noise_of_tokens_is_that_of_their_values():
    torch.manual_seed(0)
    target, subject = torch.randn(20, 2, 3), torch.arange(20) % 2
    predicted = 0.5 * target + 0.1 * torch.randn(20, 2, 3)
    tokens = PredictionNoise.of(predicted, target, subject)
    flat = PredictionNoise.of(predicted.flatten(1), target.flatten(1), subject)
    assert torch.equal(tokens.residuals, flat.residuals)
    drawn = []
    for noise, like in ((tokens, target), (flat, target.flatten(1))):
        torch.manual_seed(1)
        drawn.append(noise(like, subject))
    assert drawn[0].shape == target.shape
    assert torch.equal(drawn[0].flatten(1), drawn[1])
