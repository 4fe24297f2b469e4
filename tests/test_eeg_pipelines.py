"""The configurations of ATM and what stands beside it, built as `fit` builds them."""

from __future__ import annotations

import pytest
from lightning.pytorch.cli import LightningCLI
from quick_training import built
from things_eeg2.make import make

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.datamodules import EpochsDataModule, PredictedEmbeddings
from braindecode_x.losses import MIXES
from braindecode_x.models.eeg import ENCODERS
from braindecode_x.tasks import EegTask, LowLevelTask, PriorTask, RidgeTask

TASKS = {
    "atm_simulated": EegTask,
    "low_level_simulated": LowLevelTask,
    "prior_simulated": PriorTask,
    "ridge_simulated_eeg": RidgeTask,
}


@pytest.mark.parametrize("name", TASKS)
def test_configurations_on_the_simulated_subjects(name):
    run = built(name)
    assert type(run.model) is TASKS[name]
    data = run.datamodule.data if isinstance(run.datamodule, PredictedEmbeddings) else run.datamodule
    assert isinstance(data, EpochsDataModule)
    assert data.subjects == ("sub-01", "sub-02", "sub-03", "sub-04")


def test_every_encoder_has_a_configuration_that_differs_in_nothing_else():
    named = {"ATM-S": "atm_simulated"} | {
        name: f"{name.lower().replace('-', '_')}_simulated" for name in ENCODERS if name != "ATM-S"
    }
    reference = built("atm_simulated")
    for encoder, name in named.items():
        run = built(name)
        assert run.model.encoder == encoder
        assert {**run.model.hparams, "encoder": ""} == {**reference.model.hparams, "encoder": ""}
        assert (run.datamodule.tmin, run.datamodule.tmax) == (reference.datamodule.tmin, reference.datamodule.tmax)
        assert run.trainer.max_epochs == reference.trainer.max_epochs
        assert run.trainer.default_root_dir.endswith(name)


@pytest.fixture
def published(tmp_path, monkeypatch) -> LightningCLI:
    """Return what the paper's configuration builds in a folder with the miniature of THINGS-EEG2."""
    make(tmp_path / "things_eeg2")
    (tmp_path / "things_eeg2" / "Preprocessed_data_250Hz" / "sub-01").rename(
        tmp_path / "things_eeg2" / "Preprocessed_data_250Hz" / "sub-08"
    )
    monkeypatch.chdir(tmp_path)
    return built("atm_things_eeg2", "--data.init_args.cohort.init_args.validation_concepts", "1")


def test_the_papers_configuration_trains_as_published(published):
    data, task = published.datamodule, published.model
    assert (data.subjects, data.clip, data.clip_pretrained) == (("sub-08",), "ViT-H-14", "laion2b_s32b_b79k")
    assert (data.batch_size, data.mix_repeats, task.lr) == (64, "one", 3e-4)
    assert data.layout.shape == (63, 250)
    assert task.loss.published_loss
    assert task.loss.weights == MIXES["retrieval"]
    assert (task.unknown_share, task.mixup, task.text_head) == (0, 0, False)
    assert published.trainer.gradient_clip_val is None


def test_the_papers_network_has_the_published_size(published):
    """As the parity case says: all parameters but those that are not used, and one subject instead of ten."""
    task = published.model
    task.subjects, task.layout = {"sub-08": 63 * 250}, published.datamodule.layout
    task.space = task.text_space = EmbeddingSpace("ViT-H-14", "laion2b_s32b_b79k", "pooled", (1024,), "unit")
    task.configure_models()
    embedding, attention = 250 * 250 + 250 + 2 * 250, 3 * (248 * 251) + 250 * 249 + 256 * 251 + 250 * 257 + 6 * 250
    convolution = 40 * 26 + 40 * (40 * 63 + 1) + 40 * 41 + 4 * 40
    projector = 1024 * 1441 + 1024 * 1025 + 2 * 1024
    found = sum(parameter.numel() for parameter in task.model.parameters())
    assert found == embedding + attention + convolution + projector
