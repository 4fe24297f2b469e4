"""The configurations of MindBridge and its prior, run as the README of the pipelines says."""

from __future__ import annotations

from quick_training import PIPELINES

from braindecode_x.cli import main
from braindecode_x.diffusion.prior import EmbeddingPrior
from braindecode_x.embeddings import Embeddings

LIKELY, DECODED = "likely.safetensors", "runs/mindbridge_simulated/predictions.safetensors"


def test_from_betas_to_likely_embeddings(tiny_clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    data = ["--data.init_args.cohort", "small_cohort.SmallCohort", "--data.init_args.clip", str(tiny_clip)]
    config = ["--config", str(PIPELINES / "mindbridge_simulated.yaml"), *data, *quick]
    main(["fit", *config, "--model.init_args.hidden", "16"])
    main(["predict", *config, "--model.init_args.hidden", "16"])

    nested = [part.replace("data.init_args", "data.init_args.data.init_args") for part in data]
    main(["fit", "--config", str(PIPELINES / "prior_mindbridge_simulated.yaml"), *nested, *quick])
    folder = "runs/prior_mindbridge_simulated/prior"
    assert EmbeddingPrior.from_pretrained(folder).sampling.samples == 8
    main(["prior", DECODED, LIKELY, folder, "--steps", "2"])
    decoded, likely = Embeddings.load(DECODED), Embeddings.load(LIKELY)
    assert likely.ids == decoded.ids
    assert likely.image.shape == decoded.image.shape
    assert not likely.image.allclose(decoded.image)
