from __future__ import annotations

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from quick_training import trainer
from small_cohort import SmallCohort
from small_epochs import SmallEpochs

from braindecode_x.callbacks import SaveDecoder, joined
from braindecode_x.datamodules import BetasDataModule, EpochsDataModule
from braindecode_x.decoder import BrainDecoder
from braindecode_x.tasks import LowLevelTask


def data_module(clip, subjects=("anna", "ben")) -> EpochsDataModule:
    return EpochsDataModule(SmallEpochs(), subjects, clip=str(clip), batch_size=40)


def task(decoder, **options) -> LowLevelTask:
    L.seed_everything(0, verbose=False)
    return LowLevelTask(str(decoder), **({"d_channel": 8, "last_width": 8, "lr": 1e-2} | options))


@pytest.mark.parametrize("loss", ["mse", "l1"])
def test_latents_of_new_pictures_are_told_better_than_by_the_mean(tiny_clip, tiny_decoder, tmp_path, loss):
    best = ModelCheckpoint(tmp_path, "best", monitor="val/loss", mode="min")
    run = trainer(20, callbacks=[best, SaveDecoder(tmp_path / "decoder")], enable_checkpointing=True)
    model, data = task(tiny_decoder, loss=loss), data_module(tiny_clip)
    stimuli = data.cohort.stimuli
    colours = (stimuli.pixels(2).float() - 210) / 32  # latents that the subjects' answers tell something of
    model.latents = {
        i: torch.nn.functional.pad(c, (0, 0, 0, 0, 0, 1)) for i, c in zip(stimuli.ids, colours, strict=True)
    }
    run.fit(model, datamodule=data)
    latents = {
        split: torch.stack([model.latents[i] for i in stimuli.subset(split=split).ids]) for split in ("train", "test")
    }
    decoder = BrainDecoder.from_pretrained(tmp_path / "decoder")
    names, epochs = SmallEpochs().subject("anna").average("test")
    found, text = decoder.predict(epochs, "anna")
    assert text is None
    assert names == stimuli.subset(split="test").ids
    error, of_mean = ((each - latents["test"]).square().mean() for each in (found, latents["train"].mean(0)))
    assert error < 0.8 * of_mean

    predicted = joined(trainer().predict(model, data), model, "test", "")
    assert predicted.space == model.pictures.space
    predicted.save(tmp_path / "latents.safetensors")


def test_a_checkpoint_of_another_autoencoder_is_refused(tiny_clip, tiny_decoder, tmp_path):
    best = ModelCheckpoint(tmp_path, "best", monitor="val/loss")
    trainer(callbacks=[best], enable_checkpointing=True).fit(task(tiny_decoder), datamodule=data_module(tiny_clip))
    with pytest.raises(ValueError, match="embeddings of another space: the checkpoint works in"):
        trainer().test(task("embedded", widths=[8, 8, 8]), data_module(tiny_clip), tmp_path / "best.ckpt")


def test_what_does_not_fit_is_refused(tiny_clip, tiny_decoder):
    with pytest.raises(ValueError, match="LowLevelTask decodes epochs, but the data module gives betas"):
        trainer().fit(task(tiny_decoder), datamodule=BetasDataModule(SmallCohort(), clip=str(tiny_clip)))
    with pytest.raises(ValueError, match="unknown loss 'l2'"):
        task(tiny_decoder, loss="l2")


def test_targets_are_the_latents_of_the_pictures_seen(tiny_clip, tiny_decoder, tmp_path):
    best = ModelCheckpoint(tmp_path, "best", monitor="val/loss")
    model, data = task(tiny_decoder), data_module(tiny_clip)
    trainer(callbacks=[best], enable_checkpointing=True).fit(model, datamodule=data)
    (batch,) = data.test_dataloader()
    pixels = data.cohort.stimuli.pixels(16, batch.stimulus) / 255
    torch.testing.assert_close(model.target(batch), model.pictures.reconstructor.encode(pixels))
    (scores,) = trainer().test(task(tiny_decoder), data_module(tiny_clip), tmp_path / "best.ckpt", verbose=False)
    assert set(scores) == {"test/top1", "test/top1_anna", "test/top1_ben"}
