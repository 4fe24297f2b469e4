from __future__ import annotations

from dataclasses import replace

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from quick_training import decode_to_colours, in_two_processes, rows_of, trainer
from small_cohort import SmallCohort

from braindecode_x.callbacks import joined
from braindecode_x.datamodules import Batch, BetasDataModule
from braindecode_x.decoder import BrainDecoder
from braindecode_x.models.mindbridge import MindBridge
from braindecode_x.tasks import MindBridgeTask

SIZES = {
    "in_dim": 12,
    "hidden": 16,
    "n_blocks": 1,
    "adapter_dim": 4,
    "embedder_dropout": 0.0,
    "translator_dropout": 0.0,
}


def data_module(clip, subjects=None, **options) -> BetasDataModule:
    return BetasDataModule(SmallCohort(), subjects, clip=str(clip), batch_size=12, **options)


@pytest.fixture
def trained(tiny_clip, tmp_path):
    """Return a decoder folder of a task trained on anna."""
    L.seed_everything(0, verbose=False)
    task = MindBridgeTask(**SIZES)
    trainer().fit(task, datamodule=data_module(tiny_clip, ["anna"]))
    BrainDecoder(task.model, task.space, task.standardisations).save_pretrained(tmp_path / "anna")
    return tmp_path / "anna"


def test_training_finds_validation_pictures_far_above_chance(tiny_clip):
    L.seed_everything(0, verbose=False)
    data = data_module(tiny_clip)
    decode_to_colours(data)
    task = MindBridgeTask(**{**SIZES, "hidden": 64}, lr=1e-2, mse_image=10, mse_text=10, temperature=0.05)
    run = trainer(epochs=20)
    run.fit(task, datamodule=data)
    assert run.callback_metrics["val/top1"] >= 0.4
    assert {"val/top1_anna", "val/top1_ben", "train/cycle"} <= set(run.callback_metrics)


def test_weights_may_be_averaged_by_the_callback_of_lightning(tiny_clip, tmp_path):
    best = ModelCheckpoint(tmp_path, save_weights_only=True)
    run = trainer(epochs=2)
    run.callbacks += [EMAWeightAveraging(decay=0.5), best]
    task = MindBridgeTask(**SIZES)
    run.fit(task, datamodule=data_module(tiny_clip))
    saved = torch.load(best.best_model_path, weights_only=True)["state_dict"]
    assert {f"model.{name}" for name in task.model.state_dict()} <= set(saved)


def test_reset_tuning_keeps_the_trunk_and_gives_the_new_subject_fresh_parts(tiny_clip, trained):
    before = BrainDecoder.from_pretrained(trained).model.state_dict()
    task = MindBridgeTask(**SIZES, pretrained=trained, freeze_trunk=True)
    trainer().fit(task, datamodule=data_module(tiny_clip, ["anna", "ben"]))
    after = task.model.state_dict()
    assert list(task.model.subjects) == ["anna", "ben"]
    trunk = [name for name in before if name.startswith(("translator", "head"))]
    assert trunk
    assert all(torch.equal(before[name], after[name]) for name in trunk)
    assert any(not torch.equal(before[name], after[name]) for name in before if name.startswith("embedders.anna"))
    assert set(task.standardisations) == {"anna", "ben"}


def test_a_pretrained_decoder_of_other_voxels_is_refused(tiny_clip, trained):
    (config,) = trained.glob("config.json")
    data = data_module(tiny_clip, ["anna"])
    recording = data.recordings["anna"]
    data.recordings["anna"] = replace(recording, betas=recording.betas[:, :8])
    task = MindBridgeTask(**SIZES, pretrained=trained)
    with pytest.raises(ValueError, match="subject 'anna': 8 voxels, but"):
        trainer().fit(task, datamodule=data)
    assert config.is_file()


def test_a_decoder_folder_predicts_from_raw_betas_what_the_task_predicts(tiny_clip, trained):
    decoder = BrainDecoder.from_pretrained(trained)
    recording = SmallCohort().subject("anna")
    image, text = decoder.predict(recording.betas[:5], "anna")
    assert text.shape == image.shape
    standardised = torch.from_numpy(recording.betas[:5]) - decoder.statistics["anna"]["mean"]
    standardised = standardised / decoder.statistics["anna"]["std"]
    expected = decoder.model(standardised, torch.zeros(5, dtype=torch.int64)).image
    torch.testing.assert_close(image, torch.nn.functional.normalize(expected, dim=-1))
    with pytest.raises(ValueError, match=r"betas of anna: expected \(n, 9\)"):
        decoder.predict(recording.betas[:, :8], "anna")
    with pytest.raises(ValueError, match="unknown subject"):
        decoder.predict(recording.betas, "ben")


def test_a_damaged_decoder_folder_is_refused(trained):
    weights = trained / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match="weights of hash"):
        BrainDecoder.from_pretrained(trained)


def test_unlabelled_trials_are_each_decoded(tiny_clip):
    task = MindBridgeTask(**SIZES)
    space = data_module(tiny_clip).space
    task.subjects, task.space, task.text_space = {"anna": 9}, space, space
    task.configure_models()
    batch = Batch(torch.randn(3, 9), torch.zeros(3, dtype=torch.int64), ["", "", ""], repeats=torch.ones(3))
    embeddings = joined([task.predict_step(batch, 0)], task, "predict", "")
    assert embeddings.ids == ["anna_trial00001", "anna_trial00002", "anna_trial00003"]


def joint_batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        torch.randn(8, 9, generator=generator),
        torch.tensor([0, 0, 0, 0, 0, 1, 1, 1]),
        [str(k) for k in range(8)],
        image_target=torch.randn(8, 6, generator=generator),
        text_target=torch.randn(8, 6, generator=generator),
    )


def small_task() -> MindBridgeTask:
    torch.manual_seed(0)
    task = MindBridgeTask(**SIZES, mse_image=10, mse_text=10, mixup=0.0)
    task.model = MindBridge({"a": 9, "b": 9}, image_dim=6, text_dim=6, **SIZES)
    return task


class _World:
    """What a task asks its trainer for."""

    def __init__(self, world_size: int):
        self.world_size, self.global_step = world_size, 0
        self.lightning_module = None


def gradients(task: MindBridgeTask, module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}


def worker(rank: int, folder: str) -> None:
    batch, rows = joint_batch(), [slice(0, 5), slice(5, 8)][rank]  # subject b is on the second process only
    part = rows_of(batch, rows)
    task = small_task()
    task._trainer = _World(2)

    class Step(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = task.model

        def forward(self):
            return task.loss_terms(part)["total"]

    step = torch.nn.parallel.DistributedDataParallel(Step())
    loss = step()
    loss.backward()
    torch.save({"loss": loss.detach(), "gradients": gradients(task, task.model)}, f"{folder}/{rank}.pt")


def test_two_processes_give_the_loss_and_gradients_of_the_joint_batch(tmp_path):
    in_two_processes(worker, tmp_path)
    task = small_task()
    loss = task.loss_terms(joint_batch())["total"]
    loss.backward()
    expected = gradients(task, task.model)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(found["loss"], loss.detach())
        for name, gradient in expected.items():
            torch.testing.assert_close(found["gradients"][name], gradient, atol=1e-4, rtol=1e-3)
