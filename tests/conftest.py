from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

# Before anything imports the libraries that read them.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from tiny_models.make import write_clip, write_decoder

from braindecode_x.cli import main
from braindecode_x.clip import ClipEncoder
from braindecode_x.stimuli import ObjectStimuli

settings.register_profile("reproducible", derandomize=True, deadline=None, max_examples=30)
settings.load_profile("reproducible")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the file that takes longest, so that no worker is left alone with it."""
    items.sort(key=lambda item: item.path.name != "test_demo.py")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Keep the user's cache out of the tests and the tests out of it."""
    monkeypatch.setenv("BRAINDECODE_X_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def objects() -> ObjectStimuli:
    return ObjectStimuli()


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory) -> Path:
    """Return the folder of a tiny random CLIP."""
    return write_clip(tmp_path_factory.mktemp("models") / "tiny-clip")


@pytest.fixture(scope="session")
def tiny_decoder(tmp_path_factory, tiny_clip) -> Path:
    """Return the folder of a tiny random decoder in the space of the tiny CLIP."""
    return write_decoder(tmp_path_factory.mktemp("models") / "tiny-decoder", ClipEncoder(tiny_clip).space)


@pytest.fixture
def analyse_command(tmp_path, monkeypatch, capsys) -> Callable[..., str]:
    """Return what runs ``braindecode-x analyse`` in an empty folder, and gives what it said, or its error."""
    monkeypatch.chdir(tmp_path)

    def analyse(*arguments: str, ok: bool = True) -> str:
        if ok:
            main(["analyse", *arguments])
            return capsys.readouterr().out
        with pytest.raises(SystemExit):
            main(["analyse", *arguments])
        return capsys.readouterr().err

    return analyse
