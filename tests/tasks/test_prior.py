from __future__ import annotations

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from quick_training import trainer
from small_epochs import SmallEpochs

from braindecode_x.callbacks import SaveDecoder, joined
from braindecode_x.datamodules import EpochsDataModule, PredictedEmbeddings
from braindecode_x.decoder import BrainDecoder
from braindecode_x.diffusion.prior import EmbeddingPrior, PriorSampling
from braindecode_x.models.eeg import EegDecoder
from braindecode_x.tasks import PriorTask

SIZES = {"widths": [32, 16], "time_dim": 16, "sampling": PriorSampling(steps=10, guidance=1.0)}


@pytest.fixture
def data(tiny_clip, tmp_path, monkeypatch):
    """Predict the true embeddings with noise, as a good decoder would; pictures lie around four points of the space."""
    data = EpochsDataModule(SmallEpochs(), ["anna", "ben"], clip=str(tiny_clip), batch_size=50)
    generator = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(4, 8, generator=generator), dim=1)
    near = [centres[k % 4] + 0.05 * torch.randn(8, generator=generator) for k in range(len(data.cohort.stimuli))]
    data.targets = {
        name: (torch.nn.functional.normalize(e, dim=0), None)
        for name, e in zip(data.cohort.stimuli.ids, near, strict=True)
    }
    model = EegDecoder(["anna", "ben"], *data.layout.shape, image_dim=8, options={"d_model": 12})
    known = {name: {"mean": torch.zeros(6, 1), "std": torch.ones(6, 1)} for name in data.subjects}
    BrainDecoder(model, data.space, known, layout=data.layout).save_pretrained(tmp_path / "decoder")
    made = PredictedEmbeddings(tmp_path / "decoder", data, conditions="noisy", batch_size=60)
    decoded = PredictedEmbeddings._decoded

    def disturbed(self, split):
        trials = decoded(self, split)
        noise = torch.randn(len(trials), 8, generator=torch.Generator().manual_seed(len(split)))
        for trial, each in zip(trials, noise, strict=True):
            trial.brain = torch.nn.functional.normalize(trial.image_target + 0.3 * each, dim=0)
        return trials

    monkeypatch.setattr(PredictedEmbeddings, "_decoded", disturbed)
    return made


def task(**options) -> PriorTask:
    L.seed_everything(0, verbose=False)
    return PriorTask(**(SIZES | {"lr": 1e-2, "warmup_steps": 20} | options))


def cosine(task: PriorTask, data: PredictedEmbeddings, made: torch.Tensor) -> float:
    return float(torch.cosine_similarity(made, data.predicted("test").image_target).mean())


def test_the_prior_brings_predictions_nearer_to_pictures(data, tmp_path):
    best = ModelCheckpoint(tmp_path, "best", monitor="val/loss", mode="min")
    run = trainer(60, callbacks=[best, SaveDecoder(tmp_path / "prior")], enable_checkpointing=True)
    model = task()
    run.fit(model, datamodule=data)
    decoded = data.predicted("test")
    made = joined(trainer().predict(model, data), model, "test", "")
    before, after = (cosine(model, data, each) for each in (decoded.brain, made.image))
    assert before < 0.8
    assert after > before + 0.05

    folder = EmbeddingPrior.from_pretrained(tmp_path / "prior")
    state = torch.load(tmp_path / "best.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(folder.network.last.weight, state["model.last.weight"])
    torch.testing.assert_close(folder.network.mean, data.training_targets.mean(0))
    ids = [f"{data.names[s]}_{name}" for s, name in zip(decoded.subject.tolist(), decoded.stimulus, strict=True)]
    assert made.ids == ids  # so the command makes of the decoder's file what the task predicts
    (scores,) = trainer().test(task(), data, tmp_path / "best.ckpt", verbose=False)
    again = trainer().predict(task(), data, ckpt_path=tmp_path / "best.ckpt", weights_only=True)
    torch.testing.assert_close(torch.cat([each["image"] for each in again]), folder(decoded.brain, ids))
    assert scores["test/top1"] > 1 / 12


def test_published_settings_leave_embeddings_as_they_are(data):
    model = task(published=True)
    trainer(2).fit(model, datamodule=data)
    assert model.model.mean.abs().sum() == 0
    assert model.prior().scheduler_config["clip_sample"]


def test_the_same_seed_gives_the_same_weights(data):
    weights, _ = [], data.noise
    for _ in range(2):
        model = task()
        trainer(2).fit(model, datamodule=data)
        weights.append(model.model.last.weight.detach().clone())
    assert torch.equal(*weights)


def test_what_does_not_fit_is_refused(data):
    with pytest.raises(ValueError, match="PriorTask is trained on PredictedEmbeddings, found EpochsDataModule"):
        trainer().fit(task(), datamodule=data.data)
    with pytest.raises(ValueError, match="drop_condition: expected a share"):
        task(drop_condition=1.0)
