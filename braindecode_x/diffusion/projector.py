"""From pooled embeddings to the tokens that a small U-Net attends to."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import nn


class ConditionProjector(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Project an image and a text embedding to a few tokens each; a dropped one becomes learned null tokens.

    Parameters
    ----------
    embedding_dim : int
        d of both embeddings.
    token_dim : int
        Width of the U-Net's cross-attention.
    image_tokens, text_tokens : int
        Number of tokens of each.
    """

    @register_to_config
    def __init__(self, embedding_dim: int, token_dim: int, image_tokens: int = 6, text_tokens: int = 2):
        super().__init__()
        self.register_buffer("mean", torch.zeros(embedding_dim))
        self.register_buffer("std", torch.ones(embedding_dim))
        self.image = nn.Linear(embedding_dim, image_tokens * token_dim)
        self.text = nn.Linear(embedding_dim, text_tokens * token_dim)
        self.null_image = nn.Parameter(torch.zeros(image_tokens, token_dim))
        self.null_text = nn.Parameter(torch.zeros(text_tokens, token_dim))
        self.norm = nn.LayerNorm(token_dim)

    def standardise(self, embedding: torch.Tensor) -> torch.Tensor:
        """Centre and scale image embeddings by the training pictures' statistics: (n, d) to (n, d)."""
        return (embedding - self.mean) / self.std

    def forward(
        self, image: torch.Tensor, text: torch.Tensor, with_image: torch.Tensor, with_text: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Make the U-Net's conditions.

        Parameters
        ----------
        image : torch.Tensor
            (n, d) standardised image embeddings.
        text : torch.Tensor
            (n, d) text embeddings of norm 1.
        with_image, with_text : torch.Tensor
            (n,) bool; False puts the null tokens.

        Returns
        -------
        tokens : torch.Tensor
            (n, image_tokens + text_tokens, token_dim).
        label : torch.Tensor
            (n, d): the image embedding, or zeros, for the time embedding.
        """
        n = len(image)
        drawn = self.image(image).view(n, *self.null_image.shape)
        said = self.text(text * text.shape[-1] ** 0.5).view(n, *self.null_text.shape)
        drawn = torch.where(with_image[:, None, None], drawn, self.null_image)
        said = torch.where(with_text[:, None, None], said, self.null_text)
        return self.norm(torch.cat([drawn, said], 1)), image * with_image[:, None]
