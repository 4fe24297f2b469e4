"""The command line, run as its user runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_models.make import write_decoder

from braindecode_x.embeddings import Embeddings


def run(*arguments: object, ok: bool = True) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "braindecode_x", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    assert (done.returncode == 0) == ok, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for name in ("a", "b", "more/c"):
        colour = tuple(torch.randint(0, 255, (3,), generator=generator).tolist())
        Image.new("RGB", (48, 32), colour).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def embedded(pictures, tiny_clip, tmp_path):
    run("embed", pictures, tmp_path / "e.safetensors", "--model", tiny_clip)
    return tmp_path / "e.safetensors"


def test_own_pictures_with_any_model_go_to_pictures_and_scores(pictures, embedded, tiny_decoder, tmp_path):
    assert Embeddings.load(embedded).ids == ["a", "b", "more/c"]
    run("reconstruct", embedded, tmp_path / "r", "--reconstructor", tiny_decoder, "--samples", 2, "--steps", 2)
    manifest = pd.read_csv(tmp_path / "r" / "manifest.csv")
    assert manifest["file"].tolist() == [f"{name}.{k}.png" for name in ("a", "b", "more/c") for k in (0, 1)]
    assert {Image.open(tmp_path / "r" / file).size for file in manifest["file"]} == {(16, 16)}
    settings = json.loads((tmp_path / "r" / "settings.json").read_text())
    assert settings["sampling"]["steps"] == 2
    done = run("evaluate", tmp_path / "r", "--seen", pictures)
    table = pd.read_parquet(tmp_path / "r" / "metrics.parquet")
    assert set(table["system"]) == {"reconstruction", "mean training picture"}
    assert set(table["n"]) == {3}
    assert "PixCorr" in done.stdout


def test_a_cut_reconstruction_goes_on(embedded, tiny_decoder, tmp_path):
    command = ("reconstruct", embedded, tmp_path / "r", "--reconstructor", tiny_decoder)
    run(*command)
    first = {p.name: p.read_bytes() for p in (tmp_path / "r").rglob("*.png")}
    kept = (tmp_path / "r" / "a.png").stat().st_mtime_ns
    (tmp_path / "r" / "b.png").unlink()
    (tmp_path / "r" / "manifest.csv").unlink()
    run(*command)
    assert {p.name: p.read_bytes() for p in (tmp_path / "r").rglob("*.png")} == first
    assert (tmp_path / "r" / "a.png").stat().st_mtime_ns == kept
    assert (tmp_path / "r" / "manifest.csv").is_file()


def test_other_settings_do_not_mix_into_a_folder(embedded, tiny_decoder, tmp_path):
    run("reconstruct", embedded, tmp_path / "r", "--reconstructor", tiny_decoder)
    done = run("reconstruct", embedded, tmp_path / "r", "--reconstructor", tiny_decoder, "--seed", 1, ok=False)
    assert "other settings (different: seed)" in done.stderr


def test_embeddings_of_another_space_are_refused(embedded, tmp_path):
    done = run("reconstruct", embedded, tmp_path / "r", ok=False)
    assert "another space" in done.stderr
    assert done.stderr.count("sha256:") == 2
    assert not (tmp_path / "r").exists()


def test_a_config_file_and_a_typo_in_it(pictures, tiny_clip, tmp_path):
    config = tmp_path / "embed.yaml"
    config.write_text(f"pictures: {pictures}\noutput: {tmp_path / 'c.safetensors'}\nmodel: {tiny_clip}\n")
    run("embed", "--config", config)
    assert (tmp_path / "c.safetensors").is_file()
    config.write_text(config.read_text().replace("model:", "modle:"))
    assert "modle" in run("embed", "--config", config, ok=False).stderr


def test_a_typo_in_an_option_says_so():
    assert "--stpes" in run("reconstruct", "e", "r", "--stpes", 3, ok=False).stderr


@pytest.mark.parametrize("command", ["embed", "reconstruct", "evaluate", "demo"])
def test_help_says_what_every_option_is(command):
    text = run(command, "--help").stdout
    assert "usage" in text
    assert "<function" not in text
    options = [line for line in text.splitlines() if line.startswith("  --")]
    assert options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("embed", "nowhere", "e.safetensors"), "no such folder of pictures"),
        (("reconstruct", "nothing.safetensors", "r"), "no such file of embeddings"),
        (("evaluate", "nowhere"), "no manifest.csv"),
    ],
)
def test_missing_input_is_one_clear_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = run(*arguments, ok=False).stderr.strip()
    assert message in error
    assert error.splitlines()[-1].startswith("braindecode-x: ")


def test_the_package_s_own_config_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = run("embed", "--config", "embed_test_pictures.yaml", "--print_config").stdout
    assert "split: test" in shown


def test_a_mistyped_scheduler_does_not_claim_the_folder(embedded, tiny_decoder, tmp_path):
    command = ("reconstruct", embedded, tmp_path / "r", "--reconstructor", tiny_decoder)
    done = run(*command, "--scheduler", "DDIM", ok=False)
    assert "DDIMScheduler" in done.stderr
    run(*command, "--scheduler", "DDIMScheduler")


def test_equal_embeddings_are_equal_files_and_another_decoder_is_noticed(pictures, embedded, tiny_clip, tmp_path):
    run("embed", pictures, tmp_path / "again.safetensors", "--model", tiny_clip)
    assert (tmp_path / "again.safetensors").read_bytes() == embedded.read_bytes()
    folder = write_decoder(tmp_path / "decoder", Embeddings.load(embedded).space, seed=0)
    command = ("reconstruct", embedded, tmp_path / "r", "--reconstructor", folder)
    run(*command)
    first = (tmp_path / "r" / "a.png").read_bytes()
    shutil.rmtree(folder)
    write_decoder(folder, Embeddings.load(embedded).space, seed=1)
    assert "different: reconstructor" in run(*command, ok=False).stderr
    run(*command, "--overwrite", "true")
    assert (tmp_path / "r" / "a.png").read_bytes() != first
