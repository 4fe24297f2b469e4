"""The configurations of WAVE: built as `fit` builds them, and run one after the other on a small cohort."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from bold5000.make import make
from quick_training import PIPELINES, built
from small_runs import PARCELS, SmallRuns

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.datamodules import PredictedEmbeddings, PretrainingDataModule, WindowsDataModule
from braindecode_x.datasets.bold_recordings import OBJECTS
from braindecode_x.datasets.preprocessed_runs import PARCELS as RUN_PARCELS
from braindecode_x.datasets.preprocessed_runs import RUNS, WINDOWS, write_run
from braindecode_x.datasets.stimuli_tables import write_stimuli
from braindecode_x.datasets.windows_layout import WindowsLayout
from braindecode_x.decoder import BrainDecoder
from braindecode_x.diffusion.prior import EmbeddingPrior
from braindecode_x.embeddings import Embeddings
from braindecode_x.files import SETTINGS, write_json
from braindecode_x.lightning_cli import main
from braindecode_x.models.pretrained_wave import PretrainedWave
from braindecode_x.tasks import PretrainingTask, PriorTask, WaveTask

TASKS = {
    "wave_pretraining_simulated": (PretrainingTask, PretrainingDataModule),
    "wave_simulated": (WaveTask, WindowsDataModule),
    "token_prior_simulated": (PriorTask, PredictedEmbeddings),
}


@pytest.mark.parametrize("name", TASKS)
def test_configurations_on_the_simulated_subjects(name):
    run = built(name)
    task, data = TASKS[name]
    assert (type(run.model), type(run.datamodule)) == (task, data)
    assert run.trainer.default_root_dir.endswith(name)


def write_preprocessed(folder: Path) -> None:
    """Write the small cohort's runs as ``preprocess fmri`` does."""
    cohort = SmallRuns()
    write_json(folder / SETTINGS, {"recordings": "small", "pictures": OBJECTS})
    write_json(folder / WINDOWS, {"n_volumes": cohort.n_volumes, "delay": cohort.delay})
    write_json(folder / RUN_PARCELS, cohort.parcels.to_dict())
    write_stimuli(folder, cohort.stimuli.table.assign(file=""))
    for subject in cohort.subjects:
        for run in cohort.runs(subject):
            write_run(folder, subject, run, {})
        write_json(folder / subject / RUNS, [run.name for run in cohort.runs(subject)])


def test_runs_of_ones_own_are_trained_on(tiny_clip, tmp_path, monkeypatch):
    write_preprocessed(tmp_path / "parcels")
    monkeypatch.chdir(tmp_path)
    quick = ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    small = ["--model.init_args.d_model", "16", "--model.init_args.n_layers", "1", "--data.init_args.stride", "20"]
    main(["fit", "--config", str(PIPELINES / "wave_pretraining_own_runs.yaml"), *quick, *small])
    assert PretrainedWave.from_pretrained("runs/wave_pretraining_own_runs/wave").parcels == PARCELS
    main(["fit", "--config", str(PIPELINES / "wave_own_runs.yaml"), "--data.init_args.clip", str(tiny_clip), *quick])
    decoder = BrainDecoder.from_pretrained("runs/wave_own_runs/decoder")
    assert decoder.model.options["d_model"] == 16
    assert decoder.layout.shape == (4, 12)
    assert decoder.subjects == list(SmallRuns.subjects)


def test_the_papers_configuration_trains_as_published(tmp_path, monkeypatch):
    make(tmp_path)
    (tmp_path / "tars").rename(tmp_path / "bold5000")
    monkeypatch.chdir(tmp_path)
    run = built("wave_paper", "--data.init_args.cohort.init_args.validation_pictures", "1")
    data, task = run.datamodule, run.model
    assert (data.subjects, data.clip, data.clip_pretrained, data.batch_size) == (("CSI1",), "ViT-L-14", "openai", 16)
    assert (task.lr, task.sparsity, task.shuffle_times, task.text_head, task.n_context) == (1e-5, 0.2, True, False, 8)
    assert task.loss.published_loss
    assert task.loss.weights == {"clip_image": 0.5, "clip_text": 0.5, "mse_image": 0, "mse_text": 0}
    assert run.trainer.gradient_clip_val is None
    assert all(data.cohort.stimuli.captions)  # context needs them

    # of the paper's size: GPT-2 small's blocks, four of them, between linear maps of 1,024 parcels
    task.pretrained, task.options = None, {"d_model": 768, "n_layers": 4, "n_heads": 12}
    parcels = type(PARCELS)(tuple(map(str, range(1024))), (), None, "difumo")
    task.subjects, task.layout = {"CSI1": 5120}, WindowsLayout(parcels, 5, 2.0, 0.0)
    task.space = task.text_space = EmbeddingSpace("ViT-L-14", "openai", "pooled", (768,), "unit")
    task.n_context = 0
    task.configure_models()
    d = 768
    blocks = 4 * (12 * d * d + 13 * d) + 512 * d + d + 2 * d
    ends = 2 * 1024 + (1024 * d + 3 * d) + 1501 * d + (d * d + d) + (1024 * d + 1024)
    assert sum(parameter.numel() for parameter in task.model.encoder.parameters()) == blocks + ends


def test_from_runs_to_embeddings(tiny_clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    small = ["--model.init_args.d_model", "16", "--model.init_args.n_layers", "1", "--data.init_args.stride", "20"]
    cohort = ["--data.init_args.cohort", "small_runs.SmallRuns"]
    config = ["--config", str(PIPELINES / "wave_pretraining_simulated.yaml"), *cohort, *quick]
    main(["fit", *config, *small])
    folder = Path("runs/wave_pretraining_simulated")
    assert PretrainedWave.from_pretrained(folder / "wave").parcels == PARCELS
    found = pd.read_csv(folder / "metrics.csv")
    assert found[["val/loss", "val/zero", "val/window_mean", "val/last"]].notna().any().all()

    clip = ["--data.init_args.clip", str(tiny_clip)]
    config = ["--config", str(PIPELINES / "wave_simulated.yaml"), *cohort, *clip, *quick]
    main(["fit", *config])
    main(["predict", *config])
    decoder = BrainDecoder.from_pretrained("runs/wave_simulated/decoder")
    assert decoder.model.options["d_model"] == 16
    predicted = Embeddings.load("runs/wave_simulated/predictions.safetensors")
    assert len(predicted.ids) == 3 * 12
    assert predicted.text.shape == predicted.image.shape

    nested = [part.replace("data.init_args", "data.init_args.data.init_args") for part in (*cohort, *clip)]
    options = ["--model.init_args.options", "{depth: 1, n_heads: 2, head: 4}"]
    main(["fit", "--config", str(PIPELINES / "token_prior_simulated.yaml"), *nested, *options, *quick])
    prior = EmbeddingPrior.from_pretrained("runs/token_prior_simulated/prior").with_sampling(steps=2)
    assert prior(predicted.image, predicted.ids).shape == predicted.image.shape
