"""Captions with learned context: words that depend on brain activity and picture, before a frozen text tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from braindecode_x.clip import ClipEncoder


class PromptLearner(nn.Module):
    """Context vectors that are put before a caption's words (WAVE, arXiv 2411.07121; Zhou et al. 2022, CoCoOp).

    A small network turns what is decoded and the picture's embedding into a shift of learned vectors, and these stand
    as words behind the start of the text. The text tower is frozen, and gradients flow through it to the context. (The
    published code casts the context to numbers of words, so that no gradient reaches it and it is never learned.)

    The context is told what was decoded, so a contrast of the two is easier than with captions alone, and is no measure
    of decoding: this is for training only. A text's embedding without context is what is scored.

    Parameters
    ----------
    dim : int
        Size of the pooled embeddings.
    width : int
        Of the text tower's words.
    n_context : int
        Context vectors.
    """

    def __init__(self, dim: int, width: int, n_context: int = 8):
        super().__init__()
        if n_context < 1:
            raise ValueError(f"n_context: expected at least 1, found {n_context}")
        self.context = nn.Parameter(0.02 * torch.randn(n_context, width))
        hidden = max(16, dim // 8)
        last = nn.Linear(hidden, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.shift = nn.Sequential(nn.Linear(2 * dim, hidden), nn.ReLU(), last)

    def forward(self, decoded: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Return the context, (batch, n_context, width), given decoded and true embeddings (batch, dim)."""
        return self.context + self.shift(torch.cat([decoded, image], dim=1))[:, None]


def encode_with_context(encoder: ClipEncoder, captions: Sequence[str], context: torch.Tensor) -> torch.Tensor:
    """Embed captions behind context vectors; gradients flow to the context.

    Parameters
    ----------
    encoder : ClipEncoder
    captions : sequence of str
        Shortened from the end where they do not fit.
    context : torch.Tensor
        (n, n_context, width), on the encoder's device.

    Returns
    -------
    torch.Tensor
        (n, d), unit norm, float32.

    Raises
    ------
    ValueError
        There is no room for words.
    """
    model: Any = encoder.model
    words: nn.Embedding = token_table(encoder)
    n_context, length = context.shape[1], int(model.context_length)
    if n_context > length - 3:
        raise ValueError(f"n_context: expected at most {length - 3} in texts of {length} words, found {n_context}")
    ids = encoder.tokenizer(list(captions), context_length=length - n_context).to(context.device)
    ids = torch.cat([ids[:, :1], ids.new_zeros(len(ids), n_context), ids[:, 1:]], dim=1)

    def put(module: nn.Module, inputs: Any, embedded: torch.Tensor) -> torch.Tensor:
        return torch.cat([embedded[:, :1], context.to(embedded.dtype), embedded[:, 1 + n_context :]], dim=1)

    hook = words.register_forward_hook(put)
    try:
        return nn.functional.normalize(model.encode_text(ids).float(), dim=-1)
    finally:
        hook.remove()


def token_table(encoder: ClipEncoder) -> nn.Embedding:
    """Return the text tower's embedding of words; a ValueError when it is another network than open_clip's own."""
    tower = getattr(encoder.model, "text", encoder.model)
    table = getattr(tower, "token_embedding", None)
    if not isinstance(table, nn.Embedding):
        raise ValueError(f"prompts need open_clip's text transformer; found {type(tower).__name__}")
    return table
