"""What a picture is reconstructed from."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from braindecode_x.clip import EmbeddingSpace


@dataclass
class Conditions:
    """Conditions of n pictures, in one embedding space.

    Attributes
    ----------
    space : EmbeddingSpace
        The space of ``image`` and ``text``.
    image : torch.Tensor
        (n, ...) image embeddings.
    text : torch.Tensor, optional
        (n, ...) text embeddings.
    low_level : torch.Tensor, optional
        (n, 3, height, width) in [0, 1]: pictures to start from.
    """

    space: EmbeddingSpace
    image: torch.Tensor
    text: torch.Tensor | None = None
    low_level: torch.Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("image", "text"):
            value = getattr(self, name)
            if value is None:
                continue
            if tuple(value.shape[1:]) != self.space.shape:
                expected = ", ".join(map(str, self.space.shape))
                raise ValueError(f"conditions.{name}: expected (n, {expected}), found {tuple(value.shape)}")
            if not torch.isfinite(value).all():
                raise ValueError(f"conditions.{name}: holds values that are not finite")
        for name in ("text", "low_level"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.image):
                raise ValueError(f"conditions.{name}: expected {len(self.image)} rows as in image, found {len(value)}")
        if self.low_level is not None and (self.low_level.ndim != 4 or self.low_level.shape[1] != 3):
            found = tuple(self.low_level.shape)
            raise ValueError(f"conditions.low_level: expected (n, 3, height, width), found {found}")

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, rows: slice | list[int]) -> Conditions:
        """Take some of the pictures."""
        text = None if self.text is None else self.text[rows]
        low_level = None if self.low_level is None else self.low_level[rows]
        return Conditions(self.space, self.image[rows], text, low_level)
