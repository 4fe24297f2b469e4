"""Commands that are killed: nothing half-written, and the same command again goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open

from braindecode_x.cli import main
from braindecode_x.clip import ClipEncoder
from braindecode_x.clip.cache import SHARD
from braindecode_x.embeddings import Embeddings
from braindecode_x.stimuli import ObjectStimuli


def kill_when(ready: Callable[[], bool], *arguments: object) -> None:
    """Run a command, and kill it (as `kill -9` does) when something is there."""
    command = [sys.executable, "-m", "braindecode_x", *map(str, arguments)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.time() + 180
    while not ready():
        assert process.poll() is None, "the command ended by itself"
        assert time.time() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the command ended before it was killed"


def finished_files(folder: Path, ending: str) -> dict[Path, int]:
    """Return files by the time that they were written; a dot begins one that is being written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob(f"[!.]*{ending}")}


def test_embedding_goes_on_after_the_pictures_that_were_cached(tiny_clip, tmp_path):
    cache, output = tmp_path / "cache", tmp_path / "e.safetensors"
    command = ("embed", "objects", output, "--model", tiny_clip, "--split", "train")
    kill_when(lambda: bool(finished_files(cache, ".safetensors")), *command)
    kept = finished_files(cache, ".safetensors")
    pictures = ObjectStimuli().subset(rendering="fluent3d", split="train")
    assert SHARD <= SHARD * len(kept) < len(pictures)
    assert not output.exists()

    main([str(argument) for argument in command])
    after = finished_files(cache, ".safetensors")
    assert kept.items() <= after.items()
    assert rows_of([file for file in after if file.parent.name.endswith("-image")]) == len(pictures)  # none twice
    embedded, encoder = Embeddings.load(output), ClipEncoder(tiny_clip)
    some = [0, SHARD, len(pictures) - 1]
    expected = encoder.encode_images([pictures.image(pictures.ids[row]) for row in some])
    torch.testing.assert_close(embedded.image[some], expected)


def rows_of(shards: list[Path]) -> int:
    total = 0
    for shard in shards:
        with safe_open(shard, "pt") as file:
            total += file.get_slice("embeddings").get_shape()[0]
    return total


@pytest.fixture
def given(tiny_clip, tmp_path) -> Path:
    """Return a file of random embeddings."""
    index = pd.DataFrame({"id": [f"p{k:03}" for k in range(96)]}).assign(stimulus=lambda table: table["id"])
    vectors = F.normalize(torch.randn(len(index), 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    Embeddings(index, ClipEncoder(tiny_clip).space, vectors).save(tmp_path / "e.safetensors")
    return tmp_path / "e.safetensors"


def test_reconstruction_keeps_the_pictures_that_were_made(given, tiny_decoder, tmp_path):
    options = ("--reconstructor", tiny_decoder, "--batch_size", 4, "--steps", 20)
    command = ("reconstruct", given, tmp_path / "cut", *options)
    kill_when(lambda: len(finished_files(tmp_path / "cut", ".png")) >= 4, *command)
    kept = finished_files(tmp_path / "cut", ".png")
    assert 4 <= len(kept) < 96
    assert {Image.open(file).convert("RGB").size for file in kept} == {(16, 16)}  # whole, each of them
    assert not (tmp_path / "cut" / "manifest.csv").exists()

    main([str(argument) for argument in command])
    assert kept.items() <= finished_files(tmp_path / "cut", ".png").items()
    manifest = pd.read_csv(tmp_path / "cut" / "manifest.csv")
    assert manifest["id"].tolist() == Embeddings.load(given).ids
    main([str(argument) for argument in ("reconstruct", given, tmp_path / "whole", *options)])
    for file in manifest["file"]:
        one, other = (np.asarray(Image.open(tmp_path / folder / file), int) for folder in ("cut", "whole"))
        assert np.abs(one - other).max() <= 1
