"""What the asset trainings share: augmented views, resumable checkpoints, learning-rate schedule, logs, fp16 export."""

from __future__ import annotations

import csv
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from braindecode_x.files import atomic_path
from braindecode_x.stimuli import Stimuli

BUILD = Path("build/assets")
MOVED_VIEWS, VIEWS = 4, 9  # of every training picture: plain, 4 moved, 4 moved and recoloured


def augment(pixels: torch.Tensor, generator: torch.Generator, size: int, recolour: float = 0.5) -> torch.Tensor:
    """Draw one changed view of each picture: mirror, zoom, shift, turn, lightness and, for some, hue.

    Parameters
    ----------
    pixels : torch.Tensor
        (n, 3, edge, edge) of uint8, on white.
    generator : torch.Generator
        Source of all draws.
    size : int
        Edge of the result.
    recolour : float
        Share of the pictures whose hue is turned.

    Returns
    -------
    torch.Tensor
        (n, 3, size, size), float in [0, 1].
    """
    n = len(pixels)

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    zoom, turn, x, y = uniform(0.9, 1.2), uniform(-0.15, 0.15), uniform(-0.1, 0.1), uniform(-0.1, 0.1)
    cos, sin = zoom * torch.cos(turn), zoom * torch.sin(turn)
    theta = torch.stack([torch.stack([mirror * cos, -sin, x], 1), torch.stack([mirror * sin, cos, y], 1)], 1)
    grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
    darkness = F.grid_sample(1 - pixels.float() / 255, grid, padding_mode="zeros", align_corners=False)
    change = torch.rand(n, generator=generator) < recolour
    hue = torch.where(change, uniform(-math.pi, math.pi), torch.zeros(n))
    turned = torch.einsum("nij,njhw->nihw", _hue_rotation(hue), darkness)
    return (1 - turned * uniform(0.85, 1.1).view(n, 1, 1, 1)).clamp(0, 1)


def _hue_rotation(angle: torch.Tensor) -> torch.Tensor:
    """(n, 3, 3) matrices that turn colours about the grey axis."""
    axis = torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    cos, sin = torch.cos(angle).view(-1, 1, 1), torch.sin(angle).view(-1, 1, 1)
    return cos * torch.eye(3) + (1 - cos) * axis + sin * cross


def view(pixels: torch.Tensor, index: int, rows: torch.Tensor, size: int) -> torch.Tensor:
    """Give the numbered view of pictures: 0 as they are, 1 to 4 moved, 5 and more moved and recoloured.

    Parameters
    ----------
    pixels : torch.Tensor
        (n, 3, edge, edge) of uint8, the chosen pictures.
    index : int
        Number of the view.
    rows : torch.Tensor
        (n,) positions of the pictures in the training set; with the view's number they seed the draws.
    size : int
        Edge of the result.

    Returns
    -------
    torch.Tensor
        (n, 3, size, size), float in [0, 1].
    """
    if index == 0:
        return F.interpolate(pixels.float() / 255, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
    generator = seeded(index, int(rows[0]), len(rows))
    return augment(pixels, generator, size, recolour=float(index > MOVED_VIEWS))


def seeded(*key: int) -> torch.Generator:
    """Make a generator from a tuple of whole numbers."""
    seed = 0
    for part in key:
        seed = (seed * 1_000_003 + part + 1) % (2**63)
    return torch.Generator().manual_seed(seed)


def batches(n: int, size: int, seed: int, start: int) -> Iterator[torch.Tensor]:
    """Yield endless shuffled index batches; beginning at step ``start`` gives what an unbroken run would see there."""
    per_epoch = n // size
    epoch, skip = divmod(start, per_epoch)
    while True:
        order = torch.randperm(n, generator=seeded(seed, epoch))[: per_epoch * size].view(per_epoch, size)
        yield from order[skip:]
        epoch, skip = epoch + 1, 0


def cosine_with_warmup(step: int, total: int, warmup: int) -> float:
    """Give the learning rate's factor at a step."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


class Sitting:
    """A training's log and checkpoint in ``build/assets/<name>``; a run that was cut goes on where it saved last.

    Parameters
    ----------
    name : str
    parts : dict of str to object with ``state_dict``
        What to save: modules, optimiser.
    key : str
        What the training rests on, see `key_of`; a checkpoint of another key is refused.
    every : float
        Seconds between checkpoints.
    """

    def __init__(self, name: str, parts: dict, key: str, every: float = 120):
        self.folder, self.parts, self.key, self.every = BUILD / name, parts, key, every
        self.folder.mkdir(parents=True, exist_ok=True)
        self.step, self.seconds = 0, 0.0
        if (self.folder / "checkpoint.pt").exists():
            state = torch.load(self.folder / "checkpoint.pt", weights_only=True)
            if state.pop("key", None) != key:
                raise ValueError(f"{self.folder}: its checkpoint is of other pictures or settings; remove the folder")
            self.step, self.seconds = state.pop("step"), state.pop("seconds")
            for key, part in parts.items():
                part.load_state_dict(state[key])
        self._started, self._saved = time.time(), time.time()

    def tick(self, step: int, last: bool = False) -> None:
        """Call after every step; saves when it is time."""
        self.step = step
        if last or time.time() - self._saved > self.every:
            now = time.time()
            state = {key: part.state_dict() for key, part in self.parts.items()}
            with atomic_path(self.folder / "checkpoint.pt") as temporary:
                torch.save(
                    {**state, "key": self.key, "step": step, "seconds": self.seconds + now - self._started}, temporary
                )
            self._saved = now

    def log(self, **values: float) -> None:
        """Append a row to ``log.csv`` and print it."""
        row = {"step": self.step, "seconds": round(self.seconds + time.time() - self._started), **values}
        new = not (self.folder / "log.csv").exists()
        with open(self.folder / "log.csv", "a", newline="") as stream:
            writer = csv.DictWriter(stream, row)
            if new:
                writer.writeheader()
            writer.writerow(row)
        print(" ".join(f"{k}={v:.4g}" for k, v in row.items()), flush=True)


def key_of(stimuli: Stimuli, *rests_on: object) -> str:
    """Hash pictures with their order and captions, and whatever else a result rests on (settings, file hashes)."""
    parts = [*stimuli.ids, *map(stimuli.content_key, stimuli.ids), *map(repr, rests_on)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def cached(target: Path, key: str, make: Callable[[], dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Read tensors from a file, or make them and write it when it is missing or of another key."""
    if target.exists():
        with safe_open(target, "pt") as file:
            if (file.metadata() or {}).get("key") == key:
                return load_file(target)
    tensors = make()
    with atomic_path(target) as temporary:
        save_file(tensors, temporary, {"key": key})
    return tensors


def save_half(module: torch.nn.Module, target: Path) -> None:
    """Write a module's weights as fp16 safetensors, atomically."""
    state = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in module.state_dict().items()}
    with atomic_path(target) as temporary:
        save_file(state, temporary)
