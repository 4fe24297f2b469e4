from __future__ import annotations

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from quick_training import decode_to_colours, trainer
from small_cohort import SmallCohort
from small_runs import PARCELS, SmallRuns

from braindecode_x.callbacks import SaveDecoder, joined
from braindecode_x.datamodules import BetasDataModule, WindowsDataModule
from braindecode_x.decoder import BrainDecoder
from braindecode_x.losses import WaveLoss
from braindecode_x.models.base import DecoderOutput
from braindecode_x.models.pretrained_wave import PretrainedWave
from braindecode_x.models.wave import Wave
from braindecode_x.tasks import RidgeTask, WaveTask
from braindecode_x.tasks.wave import augmented, cosine_with_warmup

SIZES = {"d_model": 32, "n_layers": 1, "n_heads": 2, "n_positions": 16, "dropout": 0.0}
OPTIONS = {"wave": SIZES, "mlp": {"hidden": 32, "dropout": 0.1}}


def data_module(clip, subjects=("anna", "ben"), colours: bool = False, **options) -> WindowsDataModule:
    data = WindowsDataModule(SmallRuns(), subjects, clip=str(clip), **({"batch_size": 40} | options))
    if colours:
        decode_to_colours(data)
    return data


def task(encoder: str = "wave", **options) -> WaveTask:
    L.seed_everything(0, verbose=False)
    return WaveTask(encoder, **({"options": OPTIONS[encoder]} | options))


@pytest.fixture
def pretrained(tmp_path):
    """Return the folder of a small network; it knows the parcels in another order, and one more."""
    torch.manual_seed(3)
    names = [*reversed(PARCELS.names), "another"]
    order = [PARCELS.names.index(name) for name in names[:-1]]
    parcels = PARCELS.take(order)
    parcels = type(parcels)(tuple(names), (*parcels.networks, "none"), None, "small")
    model = Wave(len(parcels), **SIZES)
    PretrainedWave(model, parcels).save_pretrained(tmp_path / "wave")
    return tmp_path / "wave"


@pytest.mark.parametrize("encoder", OPTIONS)
def test_training_finds_validation_pictures_far_above_chance_and_new_subjects_too(tiny_clip, tmp_path, encoder):
    best = ModelCheckpoint(tmp_path, "best", monitor="val/top1", mode="max")
    run = trainer(15, callbacks=[best, SaveDecoder(tmp_path / "decoder")], enable_checkpointing=True)
    run.fit(task(encoder, lr=5e-3), datamodule=data_module(tiny_clip, colours=True))
    assert best.best_model_score >= 0.4  # of 12 pictures

    held_out = data_module(tiny_clip, ["carl"], colours=True)
    (scores,) = trainer().test(task(encoder), held_out, tmp_path / "best.ckpt", verbose=False, weights_only=True)
    assert scores["test/top1_carl"] >= 0.3

    decoder = BrainDecoder.from_pretrained(tmp_path / "decoder")
    assert decoder.layout.parcels == PARCELS
    stimuli, windows = SmallRuns().subject("anna").average("test")
    image, text = decoder.predict(windows, "anna")
    told = torch.nn.functional.normalize(torch.stack([held_out.targets[name][0] for name in stimuli]), dim=1)
    for predicted in (image, text):
        assert (predicted @ told.T).argmax(1).eq(torch.arange(12)).float().mean() >= 0.3
    assert decoder.predict(windows, "someone new")[0].shape == image.shape


def test_the_folder_predicts_what_the_task_predicts_also_with_a_mask(tiny_clip, tmp_path):
    run, model = trainer(), task(text_head=False)
    run.fit(model, datamodule=data_module(tiny_clip, n_training_pictures=40, networks=["visual", "default"]))
    model.save_pretrained(tmp_path)
    data = data_module(tiny_clip, ["ben"], networks=["visual", "default"])
    predicted = joined(trainer().predict(model, data), model, "test", "")
    stimuli, windows = SmallRuns().subject("ben").average("test")
    decoder = BrainDecoder.from_pretrained(tmp_path)
    image, text = decoder.predict(windows[..., :9], "ben")
    assert text is None
    order = [predicted.index["stimulus"].tolist().index(name) for name in stimuli]
    torch.testing.assert_close(predicted.image[order], image, atol=1e-4, rtol=1e-4)
    visual = decoder.layout.parcels.in_network("visual")
    masked, _ = decoder.predict(windows[..., :9], "ben", visual)
    mean = decoder.statistics["ben"]["mean"].numpy()
    at_mean = windows[..., :9] * visual + mean * ~visual
    torch.testing.assert_close(masked, decoder.predict(at_mean, "ben")[0], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(masked, image, atol=1e-3)
    with pytest.raises(ValueError, match="windows of ben: expected"):
        decoder.predict(windows, "ben")


def test_windows_that_were_left_as_in_their_runs_are_left_so_of_new_subjects(tiny_clip):
    model = task()
    trainer().fit(model, datamodule=data_module(tiny_clip, n_training_pictures=40, standardise=False))
    _, windows = SmallRuns().subject("carl").average("test")
    known, new = (model.decoder.predict(windows, name)[0] for name in ("anna", "carl"))
    torch.testing.assert_close(new, known)


def test_pretrained_weights_are_taken_by_name_and_thaw(tiny_clip, tmp_path, pretrained):
    known = PretrainedWave.from_pretrained(pretrained).for_parcels(PARCELS, "folder").model.state_dict()
    moved = {}

    class Note(L.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            assert module.model.encoder.training == (frozen is not None and trainer.current_epoch >= frozen)

        def on_train_epoch_end(self, trainer, module):
            now = module.model.encoder.wave.state_dict()
            moved[frozen, trainer.current_epoch] = not torch.equal(now["embed.0.weight"], known["embed.0.weight"])

    for frozen in (0, 1, None):
        model = task(options=None, pretrained=pretrained, frozen_epochs=frozen)
        checkpoint = ModelCheckpoint(tmp_path, "last")
        run = trainer(2, callbacks=[Note(), checkpoint], enable_checkpointing=True)
        run.fit(model, datamodule=data_module(tiny_clip, n_training_pictures=40))
        first = model.model.image.weight
        assert first.grad is None or first.requires_grad
    assert moved == {(0, 0): True, (0, 1): True, (1, 0): False, (1, 1): True, (None, 0): False, (None, 1): False}

    # the checkpoint tells the network; the folder that it began with is not needed any more
    for file in pretrained.iterdir():
        file.unlink()
    again = task(options=None)
    trainer().test(again, data_module(tiny_clip), checkpoint.best_model_path, verbose=False, weights_only=True)
    assert again.model.options["d_model"] == SIZES["d_model"]
    assert torch.equal(again.model.encoder.wave.time.weight, known["time.weight"])


def test_context_of_captions_is_learned(tiny_clip, tmp_path):
    model = task(n_context=2)
    before = {}

    class Note(L.Callback):
        def on_train_start(self, trainer, module):
            before.update({name: p.detach().clone() for name, p in module.prompts.named_parameters()})

    run = trainer(3, callbacks=[Note(), ModelCheckpoint(tmp_path, "last")], enable_checkpointing=True)
    run.fit(model, datamodule=data_module(tiny_clip, n_training_pictures=40))
    assert not [name for name, p in model.prompts.named_parameters() if torch.equal(before[name], p)]
    (again,) = trainer().test(
        task(n_context=2), data_module(tiny_clip), tmp_path / "last.ckpt", verbose=False, weights_only=True
    )
    loaded = WaveTask.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert torch.equal(loaded.model.image.weight, model.model.image.weight)
    assert 0 <= again["test/top1"] <= 1


def test_the_same_seed_gives_the_same_weights(tiny_clip):
    weights = []
    for seed in (0, 0, 1):
        model = task(seed=seed, mixup=0.3, shuffle_times=True)
        trainer(2).fit(model, datamodule=data_module(tiny_clip, n_training_pictures=40))
        weights.append(model.model.image.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_windows_are_sparsified_and_their_volumes_shuffled():
    brain = torch.arange(1.0, 1 + 200 * 5 * 4).view(200, 5, 4)
    generator = torch.Generator().manual_seed(0)
    sparse = augmented(brain, 0.2, False, generator)
    assert set((sparse / brain).unique().tolist()) == {0.0, 1.0}
    assert float((sparse == 0).float().mean()) == pytest.approx(0.2, abs=0.03)
    shuffled = augmented(brain, 0.0, True, generator)
    assert torch.equal(shuffled.sort(1).values, brain)
    firsts = (shuffled[:, 0, 0] == brain[:, :, 0].T).float().mean(1)
    assert firsts.min() > 0.1
    assert torch.equal(augmented(brain, 0.0, False, generator), brain)


def test_the_learning_rate_rises_and_falls_after_the_frozen_part():
    factor = cosine_with_warmup(10, 5, 110)
    assert [factor(step) for step in (0, 9)] == [0, 0]
    assert factor(10) == pytest.approx(0.2)
    assert factor(14) > 0.99
    assert factor(60) == pytest.approx(0.5)
    assert factor(110) == pytest.approx(0)


def test_trials_of_one_picture_are_right_for_each_other():
    torch.manual_seed(0)
    target = torch.nn.functional.normalize(torch.randn(4, 6), dim=1)
    output = DecoderOutput(torch.randn(4, 6), None)
    ours, published = WaveLoss(), WaveLoss(published_loss=True)
    terms = ours(output, target, target)
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(
        {name: float(value) for name, value in published(output, target, target).items()}
    )
    assert float(terms["total"]) == pytest.approx(float(terms["clip_image"]))
    target[1] = target[0]
    right = DecoderOutput(target, None)
    for loss in (ours, published):
        with torch.no_grad():
            loss.image_scale.fill_(100.0)  # far above what it may be
            loss.text_scale.fill_(100.0)
    # of two right answers each gets a half: that is the least that cross-entropy can be
    least = torch.tensor([0.5 * torch.log(torch.tensor(2.0))])
    assert float(ours(right, target, target)["total"]) == pytest.approx(float(least), abs=1e-3)
    assert float(published(right, target, target)["total"]) == pytest.approx(float(least), abs=1e-3)
    wrong = DecoderOutput(target[[0, 0, 2, 3]] + 0.01 * torch.eye(4, 6), None)
    assert ours(wrong, target, None)["total"].isfinite()


def test_ridge_reads_the_same_windows(tiny_clip):
    run = trainer(1, limit_train_batches=1)
    run.fit(RidgeTask(alphas=[1.0, 100.0], n_folds=2), datamodule=data_module(tiny_clip, colours=True))
    assert run.callback_metrics["val/top1"] >= 0.4


def test_what_it_cannot_decode_is_refused(tiny_clip, pretrained):
    with pytest.raises(ValueError, match="WaveTask decodes windows of BOLD, but the data module gives betas"):
        trainer().fit(task(), datamodule=BetasDataModule(SmallCohort(), clip=str(tiny_clip)))
    with pytest.raises(ValueError, match="WaveTask decodes to pooled embeddings"):
        trainer().fit(task(), datamodule=data_module(tiny_clip, kind="tokens"))
    with pytest.raises(ValueError, match="options: n_layers are those of"):
        trainer().fit(task(options={"n_layers": 3}, pretrained=pretrained), datamodule=data_module(tiny_clip))
    with pytest.raises(ValueError, match="only the sequence model is pre-trained, found the encoder 'mlp'"):
        task("mlp", pretrained=pretrained)
    with pytest.raises(ValueError, match="mixup and n_context"):
        task(mixup=0.3, n_context=2)
    for options in ({"sparsity": 1.0}, {"mixup": -1}, {"encoder_lr": 0}, {"frozen_epochs": -1}, {"lr": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}: expected"):
            task(**options)
