"""EEG from training to pictures as its user runs it: decoder, prior, low-level branch, captions, reconstruction."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from braindecode_x.cli import main
from braindecode_x.decoder import BrainDecoder
from braindecode_x.diffusion.prior import EmbeddingPrior
from braindecode_x.embeddings import Embeddings

DATA = """
class_path: braindecode_x.datamodules.EpochsDataModule
init_args: {{cohort: {{class_path: small_epochs.SmallEpochs}}, subjects: [anna], batch_size: 40, clip: {clip}}}
"""
TRAINER = """
default_root_dir: {folder}
max_epochs: 1
accelerator: cpu
logger: false
enable_progress_bar: false
enable_model_summary: false
"""
EEG = "{class_path: braindecode_x.tasks.EegTask, init_args: {encoder: ATM-S, options: {d_model: 12, d_ff: 8}}}"
LOW_LEVEL = "{{class_path: braindecode_x.tasks.LowLevelTask, init_args: {{reconstructor: {decoder}, d_channel: 4}}}}"
PRIOR = """
class_path: braindecode_x.tasks.PriorTask
init_args: {widths: [16, 8], time_dim: 8, sampling: {steps: 4, guidance: 2.0}}
"""
PREDICTED = """
class_path: braindecode_x.datamodules.PredictedEmbeddings
init_args:
  decoder: eeg/decoder
  data:
"""


def indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.strip().splitlines())


def config(name: str, model: str, data: str) -> Path:
    parts = {"model": model, "data": data, "trainer": TRAINER.format(folder=name)}
    Path(f"{name}.yaml").write_text("".join(f"{key}:\n{indented(text, 2)}" for key, text in parts.items()))
    return Path(f"{name}.yaml")


@pytest.fixture
def study(tiny_clip, tiny_decoder, tmp_path, monkeypatch):
    """Write the configurations of three trainings into an empty folder, and go there."""
    monkeypatch.chdir(tmp_path)
    data = DATA.format(clip=tiny_clip)
    config("eeg", EEG, data)
    config("low_level", LOW_LEVEL.format(decoder=tiny_decoder), data)
    config("prior", PRIOR, PREDICTED + indented(data, 4))
    return tmp_path


def test_from_eeg_to_pictures(study, tiny_clip, tiny_decoder, capsys):
    for name in ("eeg", "low_level", "prior"):
        main(["fit", "--config", f"{name}.yaml"])
        main(["predict", "--config", f"{name}.yaml"])
    decoded, latents, likely = (
        Embeddings.load(f"{name}/predictions.safetensors") for name in ("eeg", "low_level", "prior")
    )
    assert decoded.ids == latents.ids == likely.ids
    assert BrainDecoder.from_pretrained("eeg/decoder").space == decoded.space
    assert BrainDecoder.from_pretrained("low_level/decoder").space == latents.space

    main(["prior", "eeg/predictions.safetensors", "likely.safetensors", "prior/prior"])
    torch.testing.assert_close(Embeddings.load("likely.safetensors").image, likely.image, atol=1e-5, rtol=1e-4)
    main(["prior", "eeg/predictions.safetensors", "other.safetensors", "prior/prior", "--steps", "2", "--seed", "1"])
    assert not torch.allclose(Embeddings.load("other.safetensors").image, likely.image, atol=1e-3)

    main(["caption", "likely.safetensors", "told.safetensors", "--model", str(tiny_clip)])
    told = Embeddings.load("told.safetensors")
    assert told.index["caption"].str.len().gt(0).all()
    assert torch.equal(told.image, Embeddings.load("likely.safetensors").image)

    options = ["--reconstructor", str(tiny_decoder), "--low_level", "low_level/predictions.safetensors"]
    main(["reconstruct", "told.safetensors", "out", *options, "--strength", "0.5", "--guidance_text", "1"])
    assert sorted(file.name for file in Path("out").glob("*.png")) == sorted(f"{name}.png" for name in told.ids)
    assert "12 pictures: out" in capsys.readouterr().out
    assert EmbeddingPrior.from_pretrained("prior/prior").sampling.guidance == 2.0


def refused(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit):
        main(list(arguments))
    return capsys.readouterr().err


def test_bad_input_ends_with_what_it_is(study, tiny_clip, capsys):
    message = refused(capsys, "fit", "--config", "prior.yaml")
    assert "eeg/decoder: not a decoder folder, config.json is missing" in message
    main(["fit", "--config", "eeg.yaml"])
    main(["predict", "--config", "eeg.yaml"])
    predictions = "eeg/predictions.safetensors"
    message = refused(capsys, "prior", predictions, "x.safetensors", "eeg/decoder")
    assert "eeg/decoder: not the folder of a prior, prior.json is missing" in message
    message = refused(capsys, "caption", predictions, "x.safetensors")
    assert "embeddings of another space" in message
    message = refused(capsys, "caption", predictions, "x.safetensors", "--captions", "nowhere.csv")
    assert "nowhere.csv: no such caption file" in message
    Path("captions.csv").write_text("id,text\na,b\n")
    message = refused(capsys, "caption", predictions, "x.safetensors", "--captions", "captions.csv")
    assert "captions.csv: needs the column caption; found ['id', 'text']" in message
    message = refused(capsys, "caption", predictions, "x.safetensors", "--captioner", "git")
    assert "pictures and captioner: give both" in message
    assert not Path("x.safetensors").exists()
