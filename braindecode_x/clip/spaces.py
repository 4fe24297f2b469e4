"""Embedding spaces by name, so that nothing is compared or decoded across two of them by accident."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class EmbeddingSpace:
    """What an embedding is, precisely enough to refuse any other.

    Attributes
    ----------
    model : str
        open_clip's name of the architecture, or the folder's name for a local model.
    weights : str
        Pretrained tag, or ``sha256:`` and the hash of a local folder's configuration and weights.
    kind : {"pooled", "tokens", "latents"}
        One vector a picture, one a token, or a map that an image autoencoder can decode.
    shape : tuple of int
        Shape of one embedding: ``(d,)`` pooled, ``(tokens, d)``, ``(channels, height, width)`` for latents.
    normalisation : {"unit", "first-token", "end-token", "none"}
        ``unit``: Euclidean norm 1. ``first-token``, ``end-token``: divided by the norm of a picture's first token or
        of the token at a text's end, which are the pooled embeddings (MindBridge, arXiv 2404.07850).
    """

    model: str
    weights: str
    kind: Literal["pooled", "tokens", "latents"]
    shape: tuple[int, ...]
    normalisation: Literal["unit", "first-token", "end-token", "none"]

    @property
    def key(self) -> str:
        """A short name for files: the hash of all fields."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        size = " x ".join(map(str, self.shape))
        return f"{self.model} ({self.weights}), {self.kind} {size}, normalisation {self.normalisation}"

    def normalised(self, predicted: torch.Tensor) -> torch.Tensor:
        """Scale predictions (n, *shape) as the space says, in float32.

        Where a predicted text ends is not known, so ``end-token`` leaves the scale as it was predicted.
        """
        predicted = predicted.float()
        if self.normalisation == "unit":
            return F.normalize(predicted, dim=-1)
        if self.normalisation == "first-token":
            return predicted / predicted[:, :1].norm(dim=-1, keepdim=True).clamp(min=1e-12)
        return predicted

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EmbeddingSpace:
        """Build from ``to_dict``'s values.

        Raises
        ------
        ValueError
            A field is missing or unknown.
        """
        expected = set(cls.__dataclass_fields__)
        if set(values) != expected:
            raise ValueError(f"embedding space: expected the fields {sorted(expected)}, found {sorted(values)}")
        return replace(cls(**values), shape=tuple(values["shape"]))

    def require(self, other: EmbeddingSpace, who: str) -> None:
        """Refuse embeddings of another space.

        Parameters
        ----------
        other : EmbeddingSpace
            What was given.
        who : str
            What this space belongs to, for the message.

        Raises
        ------
        ValueError
            The spaces differ; the message names both.
        """
        if self != other:
            raise ValueError(
                f"embeddings of another space: {who} works in [{self}]; given were embeddings of [{other}]"
            )
