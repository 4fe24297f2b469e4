"""Cases of what the published implementations answer; tests/data/parity/README.md has their format.

``PARITY_DIR`` may name another folder of cases. A case that a test asks for and that is not there is an error.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

# The cases that must be there and agree.
REQUIRED = ("metrics", "mindbridge", "mindbridge_losses", "pool_voxels", "clip_tokens", "mvnn")
FOLDER = Path(__file__).parents[1] / "data" / "parity"
FILLS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "0.05*n": lambda n: 0.05 * n,
    "1+0.05*n": lambda n: 1 + 0.05 * n,
    "1+0.1*abs": lambda n: 1 + 0.1 * np.abs(n),
}


@dataclass(frozen=True)
class ParityCase:
    """One case: inputs and expected outputs, the published constructor's values, and how its parameters are filled."""

    name: str
    seed: int
    config: dict[str, Any]
    filling: list[tuple[str, list[int], str, str]]
    arrays: dict[str, np.ndarray]

    def tensor(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[name])

    def drawn(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Draw what the fill rule calls n; inputs that are not stored are named ``input:<name>``."""
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        return rng.standard_normal(shape).astype(np.float32)

    def parameters(self, prefix: str = "") -> dict[str, torch.Tensor]:
        """Fill the published parameters whose names begin with ``prefix`` (which is cut off), all but the kept ones."""
        filled = {}
        for name, shape, dtype, fill in self.filling:
            if name.startswith(prefix) and fill != "keep":
                name = name.removeprefix(prefix)
                filled[name] = torch.from_numpy(np.asarray(FILLS[fill](self.drawn(name, tuple(shape))), dtype))
        return filled

    def error(self, name: str, ours: torch.Tensor) -> float:
        """Compare with an expected output: the norm of the difference over the norm of what was published."""
        return relative_error(ours, self.tensor(name))


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert ours.shape == theirs.shape, f"expected shape {tuple(theirs.shape)}, found {tuple(ours.shape)}"
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


def load_case(name: str) -> ParityCase:
    folder = Path(os.environ.get("PARITY_DIR", FOLDER))
    missing = [path for path in (folder / f"{name}.json", folder / f"{name}.npz") if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"{missing[0]}: this file of the parity case {name!r} is missing; see PARITY_DIR")
    about = json.loads((folder / f"{name}.json").read_text())
    with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
        arrays = dict(file)
    return ParityCase(name, about["seed"], about["config"], about["parameters"], arrays)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "required_case" in metafunc.fixturenames:
        metafunc.parametrize("required_case", REQUIRED)


@pytest.fixture
def parity_case() -> Callable[[str], ParityCase]:
    """Load a case by name."""
    return load_case
