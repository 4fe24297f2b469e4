from __future__ import annotations

import os

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from quick_training import in_two_processes, trainer
from torch.utils.data import DataLoader

from braindecode_x.callbacks import SaveDecoder
from braindecode_x.datamodules.batch import Batch
from braindecode_x.datamodules.pretraining import PretrainingDataModule
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.runs import ParcelRun
from braindecode_x.models.pretrained_wave import PretrainedWave
from braindecode_x.tasks.pretraining import PretrainingTask, baseline_errors, masked_place

PARCELS = Parcels(tuple("abcdefgh"), (), None, "small")
SIZES = {"d_model": 32, "n_layers": 1, "n_heads": 2, "dropout": 0.0, "n_positions": 16}


def data_module(**options) -> PretrainingDataModule:
    """Waves of five volumes, every parcel with its own delay: what comes next is told by what was, not by the last."""
    rng = np.random.default_rng(0)
    runs = []
    for number in range(8):
        phases = 2 * np.pi * (rng.random() + np.arange(8) / 8 + np.arange(60)[:, None] / 5)
        bold = np.sqrt(2) * np.sin(phases) + 0.1 * rng.standard_normal((60, 8))
        runs.append(ParcelRun(f"run-{number}", bold.astype(np.float32), 2.0))
    options = {"length": 10, "stride": 1, "held_out": ["run-0", "run-1"], "batch_size": 32} | options
    return PretrainingDataModule.of_runs(runs, PARCELS, **options)


class SameOrder(L.LightningDataModule):
    """The windows of held-out runs, in the same batches in every epoch."""

    parcels, n_parcels = PARCELS, len(PARCELS)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(list(data_module(stride=8).val_dataloader()), batch_size=None)


def task(**options) -> PretrainingTask:
    L.seed_everything(0, verbose=False)
    return PretrainingTask(**(SIZES | {"lr": 1e-2} | options))


def test_it_predicts_masked_volumes_better_than_what_needs_no_network(tmp_path):
    best = ModelCheckpoint(tmp_path, "best", monitor="val/loss", mode="min")
    run = trainer(15, callbacks=[best, SaveDecoder(tmp_path / "wave")], enable_checkpointing=True)
    run.fit(task(), datamodule=data_module())
    found = {name.removeprefix("val/"): float(value) for name, value in run.callback_metrics.items()}
    assert found["loss"] < 0.5 * min(found[name] for name in ("zero", "window_mean", "last"))

    folder = PretrainedWave.from_pretrained(tmp_path / "wave")
    assert folder.parcels == PARCELS
    (again,) = trainer().validate(task(), data_module(), tmp_path / "best.ckpt", verbose=False, weights_only=True)
    assert again["val/loss"] == pytest.approx(float(best.best_model_score), rel=1e-4)
    state = torch.load(tmp_path / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[f"model.{name}"]) for name, value in folder.model.state_dict().items())

    going_on = task(pretrained=tmp_path / "wave", d_model=8)
    (started,) = trainer().validate(going_on, data_module(), verbose=False)
    assert started["val/loss"] == pytest.approx(again["val/loss"], rel=1e-4)


def test_a_training_that_was_cut_ends_as_one_that_was_not(tmp_path):
    keep = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
    whole, resumed = task(), task()
    trainer(3, callbacks=[keep], enable_checkpointing=True).fit(whole, datamodule=SameOrder())
    trainer(3).fit(resumed, datamodule=SameOrder(), ckpt_path=tmp_path / "epoch=0.ckpt", weights_only=True)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_one_volume_of_each_window_may_be_drawn_as_published():
    losses = {}
    for name, options in {"a": {}, "b": {}, "other": {"seed": 1}}.items():
        model = task(masked="one", **options)
        run = trainer(2)
        run.fit(model, datamodule=SameOrder())
        losses[name] = float(run.callback_metrics["train/loss"])
    assert losses["a"] == losses["b"] != losses["other"]
    with pytest.raises(ValueError, match="unknown way to mask 'ech'; did you mean 'each'"):
        task(masked="ech")


def test_bfloat16_and_accumulated_gradients():
    model = task()
    run = trainer(6, precision="bf16-mixed", accumulate_grad_batches=2)
    run.fit(model, datamodule=data_module())
    assert run.global_step == 6 * 5  # of nine batches each
    assert run.callback_metrics["val/loss"] < 0.9 * run.callback_metrics["val/zero"]
    assert model.model.unembed.weight.dtype == torch.float32


def test_drawn_volumes_are_of_the_window_and_not_the_first():
    lengths = torch.tensor([2, 5, 9])
    mask = (torch.arange(9) < lengths[:, None])[..., None].expand(-1, -1, 4)
    batch = Batch(torch.zeros(3, 9, 4), torch.zeros(3), [""] * 3, mask=mask)
    drawn = torch.stack([masked_place(batch, torch.rand(3)) for _ in range(300)])
    for column, length in enumerate(lengths.tolist()):
        assert set(drawn[:, column].tolist()) == set(range(1, length))
    assert masked_place(batch, torch.full((3,), 1 - 1e-8)).tolist() == [1, 4, 8]
    batch.mask = None
    assert masked_place(batch, torch.zeros(3)).tolist() == [1, 1, 1]


def test_errors_of_what_needs_no_network_written_out():
    brain = torch.tensor([[[1.0], [2], [6], [0]], [[5.0], [1], [0], [0]]])
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    found = baseline_errors(Batch(brain, torch.zeros(2), ["", ""], mask=mask))
    means = (1 + 4.5 + 3) + 4
    assert found == {"zero": (2 + 6 + 0 + 1) / 4, "window_mean": means / 4, "last": (1 + 4 + 6 + 4) / 4}


def test_what_does_not_fit_is_refused(tmp_path):
    model = task()
    run = trainer(1, callbacks=[ModelCheckpoint(tmp_path, "last")], enable_checkpointing=True, limit_train_batches=1)
    run.fit(model, datamodule=data_module())
    other = data_module()
    other._parcels = Parcels(tuple("abcdefgx"), (), None, "small")
    with pytest.raises(ValueError, match="runs: parcel 7 is 'x'; expected 'h', as the checkpoint"):
        trainer().validate(task(), other, tmp_path / "last.ckpt", weights_only=True)
    model.save_pretrained(tmp_path / "wave")
    with pytest.raises(ValueError, match=r"unknown parcel of folder .*wave' 'x'"):
        trainer().fit(task(pretrained=tmp_path / "wave"), datamodule=other)
    with pytest.raises(ValueError, match="tells no embeddings; train WaveTask"):
        model.predict_step(None, 0)
    with pytest.raises(ValueError, match="lr: expected"):
        task(lr=0.0)


class Seen(L.Callback):
    """Keeps the training windows of a process."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.windows = [*getattr(self, "windows", []), batch.brain.clone()]


def process(rank: int, folder: str) -> None:
    """Train as torchrun would let one of two processes do."""
    about = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0}
    os.environ.update({name: str(value) for name, value in about.items()}, TORCHELASTIC_RUN_ID="test")
    seen, model = Seen(), task()
    run = trainer(1, strategy="ddp", devices=2, callbacks=[seen])
    run.fit(model, datamodule=data_module())
    left = {"windows": torch.cat(seen.windows), "weights": model.model.state_dict()}
    torch.save(left | {"loss": run.callback_metrics["val/loss"]}, f"{folder}/{rank}.pt")


def test_two_processes_train_one_network_on_windows_of_their_own(tmp_path):
    in_two_processes(process, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert len(first["windows"]) == len(second["windows"]) == 4 * 32
    windows = torch.cat([first["windows"], second["windows"]])
    assert len(windows.unique(dim=0)) == len(windows)
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), name
    assert first["loss"] == second["loss"]
