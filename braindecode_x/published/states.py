"""State dicts of published checkpoints: read safely, renamed, and copied into networks of this package."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

State = Mapping[str, torch.Tensor]


def read_state(source: str | Path | Mapping[str, Any]) -> tuple[str, State]:
    """Return a name for messages and the state dict."""
    origin = "state dict" if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else _read_file(Path(source))
    if isinstance(content, Mapping) and "model_state_dict" in content:
        content = content["model_state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        found = list(content)[:5] if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"{origin}: expected tensors by name, or a model_state_dict of them, found {found}")
    return origin, content


def _read_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path}: damaged, or holds more than tensors and plain values, which could run code when it is read "
            f"({reason}). If you trust it, load it with torch yourself and give its model_state_dict"
        ) from error


def rename(name: str, patterns: Mapping[str, str]) -> str:
    """Replace every pattern that a name has, one after the other."""
    for pattern, replacement in patterns.items():
        name = re.sub(pattern, replacement, name)
    return name


def count(pattern: str, state: State) -> int:
    """Count the different numbers that the pattern's group finds in names, for example layers."""
    numbers = (match.group(1) for name in state if (match := re.match(pattern, name)))
    return len(set(numbers))


def size_of(origin: str, kind: str, state: State, name: str, n_dims: int = 2) -> torch.Size:
    """Return the shape of a tensor; a ValueError, as of `wrong_state`, when it is not there or has other dimensions."""
    if name not in state:
        raise wrong_state(origin, kind, [name], [], [], state)
    if state[name].ndim != n_dims:
        shape = f"{name} {tuple(state[name].shape)} instead of {n_dims} dimensions"
        raise wrong_state(origin, kind, [], [], [shape], state)
    return state[name].shape


def fill(origin: str, kind: str, expected: State, state: State) -> None:
    """Copy weights into ``expected``, which holds the network's own memory, after names and shapes are found right."""
    counter = "num_batches_tracked"  # of batch normalisation; no answer depends on it, and older files lack it
    expected = {name: tensor for name, tensor in expected.items() if name in state or not name.endswith(counter)}
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if missing or unexpected or shapes:
        raise wrong_state(origin, kind, missing, unexpected, shapes, state)
    for name, tensor in expected.items():
        tensor.copy_(state[name])


def wrong_state(
    origin: str, kind: str, missing: Sequence[str], unexpected: Sequence[str], shapes: Sequence[str], state: State
) -> ValueError:
    """Make the error that names what is missing, unexpected or of another shape."""
    parts = [
        f"{len(names)} {what} ({_some(names)})"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if names
    ]
    return ValueError(f"{origin}: not the weights of a {kind}: {', '.join(parts)}; it holds {_some(state)}")


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:4]) + (f", ... ({len(names)} in all)" if len(names) > 4 else "")
