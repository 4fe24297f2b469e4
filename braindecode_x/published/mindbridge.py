"""Published MindBridge (arXiv 2404.07850)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from braindecode_x.models.mindbridge import MindBridge
from braindecode_x.models.voxels import Aggregation
from braindecode_x.published.states import count, fill, read_state, rename, size_of, wrong_state

_TOKEN_SHAPES = {257 * 768: (257, 768), 77 * 768: (77, 768)}  # the paper's targets, of CLIP ViT-L/14
_MINDBRIDGE_NAMES = {  # ours: published
    r"^embedders\.": "embedder.",
    r"^builders\.": "builder.",
    r"^translator\.blocks\.": "translator.mlp.",
    r"\.down\.": ".down_proj.",
    r"\.up\.": ".up_proj.",
}


def load_published_mindbridge(
    source: str | Path | Mapping[str, Any],
    n_voxels: Mapping[str, int] | None = None,
    image_dim: int | Sequence[int] | None = None,
    text_dim: int | Sequence[int] | None = None,
    aggregation: Aggregation = "max",
) -> MindBridge:
    """Load a MindBridge network, of many subjects or of one; sizes are read off the weights.

    Parameters
    ----------
    source : str, Path or mapping
        A file that torch saved, or its content: a state dict, or a training checkpoint with a ``model_state_dict``.
    n_voxels : mapping of str to int, optional
        Voxels of each subject by its name in the checkpoint ("1", "2", ...); batches are then checked against it.
    image_dim, text_dim : int or sequence of int, optional
        Shapes of the embeddings, which the weights hold flat. Default: the paper's token shapes where the size is
        theirs, else flat.
    aggregation : {"max", "average", "resize"}
        How voxels were aggregated in training; the checkpoint does not say.

    Returns
    -------
    MindBridge
        In eval mode, on the CPU; subjects in the checkpoint's order.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file holds more than tensors and plain values, or weights of something else: what is missing, unexpected
        or of another shape is named.
    """
    origin, state = read_state(source)
    subjects = list(dict.fromkeys(name.split(".")[1] for name in state if name.startswith("embedder.")))
    if not subjects:
        raise wrong_state(origin, "MindBridge network", ["embedder.<subject>.0.down_proj.weight"], [], [], state)
    first = f"embedder.{subjects[0]}"
    hidden, in_dim = size_of(origin, "MindBridge network", state, f"{first}.1.weight")
    adapter_dim, _ = size_of(origin, "MindBridge network", state, f"{first}.0.down_proj.weight")
    image_size, _ = size_of(origin, "MindBridge network", state, "head_image.weight")
    text_size, _ = size_of(origin, "MindBridge network", state, "head_text.weight")
    if n_voxels is not None and set(n_voxels) != set(subjects):
        raise ValueError(f"n_voxels: {origin} has the subjects {subjects}, found {list(n_voxels)}")
    with torch.device("meta"):
        model = MindBridge(
            subjects if n_voxels is None else {name: n_voxels[name] for name in subjects},
            in_dim=in_dim,
            hidden=hidden,
            n_blocks=count(r"translator\.mlp\.(\d+)\.", state),
            image_dim=_TOKEN_SHAPES.get(image_size, image_size) if image_dim is None else image_dim,
            text_dim=_TOKEN_SHAPES.get(text_size, text_size) if text_dim is None else text_dim,
            aggregation=aggregation,
            adapter_dim=adapter_dim,
            build_voxels=any(name.startswith("builder.") for name in state),
        )
    model.to_empty(device="cpu")
    expected = {rename(name, _MINDBRIDGE_NAMES): tensor for name, tensor in model.state_dict().items()}
    fill(origin, "MindBridge network", expected, state)
    return model.eval()
