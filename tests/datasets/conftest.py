from __future__ import annotations

import runpy
from pathlib import Path

import pytest

MAKE = Path(__file__).parents[1] / "data" / "haxby2001" / "make.py"


@pytest.fixture
def miniature(tmp_path: Path) -> Path:
    """A fresh miniature of the recording, to read or to damage."""
    runpy.run_path(str(MAKE))["make"](tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def features_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the features of pictures that simulated subjects answer to."""
    return tmp_path_factory.mktemp("features")
