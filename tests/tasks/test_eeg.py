from __future__ import annotations

from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from quick_training import decode_to_colours, in_two_processes, rows_of, trainer
from small_cohort import SmallCohort
from small_epochs import SmallEpochs

from braindecode_x.callbacks import SaveDecoder, joined
from braindecode_x.datamodules import BetasDataModule, EpochsDataModule
from braindecode_x.datamodules.batch import Batch
from braindecode_x.decoder import BrainDecoder
from braindecode_x.models.eeg import ENCODERS, EegDecoder
from braindecode_x.tasks import EegTask

SMALL = {name: {"d_model": 20, "d_ff": 16, "dropout": 0.0, "conv_dropout": 0.1} for name in ("ATM-S", "ATM-E")}


def data_module(clip, subjects=("anna", "ben"), colours: bool = False, **options) -> EpochsDataModule:
    data = EpochsDataModule(SmallEpochs(), subjects, clip=str(clip), **({"batch_size": 40} | options))
    if colours:
        decode_to_colours(data)
    return data


def task(encoder: str = "ATM-S", **options) -> EegTask:
    L.seed_everything(0, verbose=False)
    return EegTask(encoder, SMALL.get(encoder), projector_dropout=0.0, **options)


@pytest.mark.parametrize("options", [{"unknown_share": 0.3}, {"published_loss": True, "mix": "reconstruction"}])
def test_training_finds_validation_pictures_far_above_chance_and_new_subjects_too(tiny_clip, tmp_path, options):
    best = ModelCheckpoint(tmp_path, "best", monitor="val/top1", mode="max")
    run = trainer(20, callbacks=[best, SaveDecoder(tmp_path / "decoder")], enable_checkpointing=True)
    run.fit(task(lr=3e-3, **options), datamodule=data_module(tiny_clip, colours=True))
    assert run.checkpoint_callback.best_model_score >= 0.4  # of 12 pictures

    held_out = data_module(tiny_clip, ["carl"], colours=True)
    (scores,) = trainer().test(task(), held_out, tmp_path / "best.ckpt", verbose=False)
    assert scores["test/top1_carl"] >= 0.3

    decoder = BrainDecoder.from_pretrained(tmp_path / "decoder")
    assert decoder.subjects == ["anna", "ben"]
    stimuli, epochs = SmallEpochs().subject("anna").average("test")
    image, text = decoder.predict(epochs, "anna")
    assert text is None
    told = torch.stack([held_out.targets[name][0] for name in stimuli])
    assert (image @ torch.nn.functional.normalize(told, dim=1).T).argmax(1).eq(torch.arange(12)).float().mean() >= 0.3


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_folder_of_every_encoder_predicts_what_the_task_predicts(tiny_clip, tmp_path, encoder):
    run, model = trainer(), task(encoder, text_head=True)
    run.fit(model, datamodule=data_module(tiny_clip, n_training_pictures=40))
    model.save_pretrained(tmp_path)
    data = data_module(tiny_clip, ["ben"])  # other data: a subset of the subjects, other training pictures
    predicted = joined(trainer().predict(model, data), model, "test", "")
    stimuli, epochs = SmallEpochs().subject("ben").average("test")
    image, text = BrainDecoder.from_pretrained(tmp_path).predict(epochs, "ben")
    order = [predicted.index["stimulus"].tolist().index(name) for name in stimuli]
    torch.testing.assert_close(predicted.image[order], image, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(predicted.text[order], text, atol=1e-4, rtol=1e-4)


def test_the_same_seed_gives_the_same_weights(tiny_clip):
    weights = []
    for seed in (0, 0, 1):
        model = task(seed=seed, mixup=0.3, unknown_share=0.5)
        trainer(2).fit(model, datamodule=data_module(tiny_clip, n_training_pictures=40))
        weights.append(model.model.image.first.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_only_hidden_subjects_train_the_token_of_anybody(tiny_clip):
    moved = {}
    for share in (0.0, 0.5):
        model = task(unknown_share=share, weight_decay=0.0)
        data = data_module(tiny_clip, n_training_pictures=40)
        before = None

        class Note(L.Callback):
            def on_train_start(self, trainer, module):
                nonlocal before
                before = module.model.encoder.tokens.anybody.detach().clone()

        trainer(callbacks=[Note()]).fit(model, datamodule=data)
        moved[share] = not torch.equal(before, model.model.encoder.tokens.anybody)
    assert moved == {0.0: False, 0.5: True}


def test_a_mask_is_the_same_as_epochs_at_their_mean(tiny_clip, tmp_path):
    model = task()
    trainer().fit(model, datamodule=data_module(tiny_clip, n_training_pictures=40))
    model.save_pretrained(tmp_path)
    decoder = BrainDecoder.from_pretrained(tmp_path)
    _, epochs = SmallEpochs().subject("anna").average("test")
    masked, _ = decoder.predict(epochs, "anna", decoder.layout.times < 0.05)
    epochs[:, :, decoder.layout.times >= 0.05] = decoder.statistics["anna"]["mean"].numpy()
    torch.testing.assert_close(masked, decoder.predict(epochs, "anna")[0], atol=1e-4, rtol=1e-4)
    with pytest.raises(RuntimeError, match="expanded size"):
        decoder.predict(epochs, "anna", np.ones(4, bool))


def test_what_it_cannot_decode_is_refused(tiny_clip):
    betas = BetasDataModule(SmallCohort(), clip=str(tiny_clip))
    with pytest.raises(ValueError, match="EegTask decodes epochs, but the data module gives betas"):
        trainer().fit(task(), datamodule=betas)
    with pytest.raises(ValueError, match="EegTask decodes to pooled embeddings"):
        trainer().fit(task(), datamodule=data_module(tiny_clip, kind="tokens"))
    for options in ({"unknown_share": 1.5}, {"mixup": -1}, {"lr": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}: expected"):
            task(**options)


def joint_batch() -> Batch:
    drawn = torch.Generator().manual_seed(0)
    brain, image, text = (torch.randn(8, *shape, generator=drawn) for shape in ((5, 60), (6,), (6,)))
    return Batch(brain, torch.tensor([0, 1] * 4), [str(k) for k in range(8)], image_target=image, text_target=text)


class Step(torch.nn.Module):
    """The loss of a training step, of a network that neither drops out nor normalises by the batch."""

    def __init__(self, world_size: int):
        super().__init__()
        torch.manual_seed(0)
        self.task = EegTask(
            options=SMALL["ATM-S"],
            text_head=True,
            mix={"clip_image": 1.0, "clip_text": 1.0, "mse_image": 1.0},
            unknown_share=0.0,
        )
        model = EegDecoder(["a", "b"], 5, 60, image_dim=6, text_dim=6, options=SMALL["ATM-S"])
        self.task.model, self.task.subjects = model.eval(), dict.fromkeys(model.subjects, 300)
        self.task._trainer = SimpleNamespace(world_size=world_size, global_step=0)
        self.task.log = lambda *_, **__: None

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.task.training_step(batch, 0)

    def found(self, loss: torch.Tensor) -> dict[str, torch.Tensor]:
        gradients = {name: p.grad for name, p in self.task.named_parameters() if p.grad is not None}
        return {"loss": loss.detach(), **gradients}


def process(rank: int, folder: str) -> None:
    whole, rows = joint_batch(), [slice(0, 5), slice(5, 8)][rank]
    part = rows_of(whole, rows)
    step = Step(2)
    both = torch.nn.parallel.DistributedDataParallel(step)
    loss = both(part)
    loss.backward()
    torch.save(step.found(loss), f"{folder}/{rank}.pt")


def test_two_processes_give_the_loss_and_gradients_of_the_joint_batch(tmp_path):
    in_two_processes(process, tmp_path)
    step = Step(1)
    loss = step(joint_batch())
    loss.backward()
    expected = step.found(loss)
    assert len(expected) > 20
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)
