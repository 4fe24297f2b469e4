"""Token targets: every token of a CLIP vision or text transformer, as MindBridge normalises them (arXiv 2404.07850)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import open_clip
import torch
from PIL import Image
from torch import nn

from braindecode_x.clip.encoder import ClipEncoder
from braindecode_x.clip.spaces import EmbeddingSpace


def image_tokens(model: open_clip.CLIP, pixels: torch.Tensor) -> torch.Tensor:
    """Give a picture's tokens in the joint space: 257 x 768 for ViT-L/14.

    The last hidden state goes through the final LayerNorm and the visual projection and is divided by the class token's
    norm. (open_clip's own ``output_tokens`` are neither projected nor do they hold the class token.)

    Parameters
    ----------
    model : open_clip.CLIP
        With a vision transformer that pools at its class token.
    pixels : torch.Tensor
        (n, 3, height, width), normalised as the model expects them.

    Returns
    -------
    torch.Tensor
        (n, 1 + patches, d); the first token, the class token, is the unit vector that `ClipEncoder` gives.

    Raises
    ------
    ValueError
        The picture tower is another network.
    """
    tower: Any = model.visual
    _require_class_token(tower)
    hidden, _ = _captured(tower.ln_post, lambda: model.encode_image(pixels))
    tokens = (hidden @ tower.proj).float()
    return tokens / tokens[:, :1].norm(dim=-1, keepdim=True)


def text_tokens(model: open_clip.CLIP, ids: torch.Tensor) -> torch.Tensor:
    """Give a caption's tokens in the joint space: 77 x 768 for ViT-L/14.

    The last hidden state goes through the final LayerNorm and the text projection and is divided by the norm of the
    pooled text embedding.

    Parameters
    ----------
    model : open_clip.CLIP
    ids : torch.Tensor
        (n, tokens) of token ids. What stands after the end of a text shapes the tokens there, see `pad_with_end`.

    Returns
    -------
    torch.Tensor
        (n, tokens, d); the token where a text ends is the unit vector that `ClipEncoder` gives.

    Raises
    ------
    ValueError
        The text tower is another network.
    """
    tower: Any = getattr(model, "text", model)
    if not isinstance(getattr(tower, "ln_final", None), nn.Module) or tower.text_projection is None:
        raise ValueError(
            f"text tokens need open_clip's text transformer with a projection; found {type(tower).__name__}"
        )
    hidden, pooled = _captured(tower.ln_final, lambda: model.encode_text(ids))
    projection = tower.text_projection
    tokens = projection(hidden) if isinstance(projection, nn.Linear) else hidden @ projection
    return tokens.float() / pooled.float()[:, None].norm(dim=-1, keepdim=True)


def pad_with_end(ids: torch.Tensor) -> torch.Tensor:
    """Repeat the end token to the end of each row (n, tokens), as the tokeniser of the published targets pads.

    open_clip pads with zeros. The end token is the largest id of a row, which is how CLIP finds it.
    """
    end = ids.argmax(dim=1, keepdim=True)
    return torch.where(torch.arange(ids.shape[1], device=ids.device) > end, ids.gather(1, end), ids)


class TokenEncoder:
    """Token targets of pictures and captions, through the model of a `ClipEncoder`.

    Parameters
    ----------
    encoder : ClipEncoder
        With a vision transformer.

    Attributes
    ----------
    space, text_space : EmbeddingSpace
        Of the pictures' tokens, (1 + patches, d), and of the captions', (context length, d).

    Raises
    ------
    ValueError
        The model's picture tower is another network.
    """

    def __init__(self, encoder: ClipEncoder):
        self.encoder = encoder
        tower: Any = encoder.model.visual
        _require_class_token(tower)
        self.space: EmbeddingSpace = replace(
            encoder.space,
            kind="tokens",
            shape=(len(tower.positional_embedding), *encoder.space.shape),
            normalisation="first-token",
        )
        context: int = encoder.model.context_length
        self.text_space = replace(self.space, shape=(context, *encoder.space.shape), normalisation="end-token")

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Embed pictures: (n, 1 + patches, d), float32 on the CPU; see `image_tokens`."""
        pixels = torch.stack([self.encoder.transform(image) for image in images])
        return image_tokens(self.encoder.model, pixels.to(self.encoder.device)).cpu()

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed captions: (n, context length, d), float32 on the CPU; see `text_tokens` and `pad_with_end`."""
        ids = pad_with_end(self.encoder.tokenizer(list(texts)))
        return text_tokens(self.encoder.model, ids.to(self.encoder.device)).cpu()


def _require_class_token(tower: Any) -> None:
    transformer = isinstance(tower, open_clip.transformer.VisionTransformer)
    if not transformer or tower.pool_type != "tok" or tower.final_ln_after_pool or tower.proj is None:
        raise ValueError(
            "image tokens need a vision transformer that pools at its class token, for example ViT-L-14; found "
            f"{type(tower).__name__}"
        )


def _captured(layer: nn.Module, run: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what a layer gives while ``run`` runs, and what ``run`` returns."""
    outputs: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        result = run()
    finally:
        hook.remove()
    return outputs[-1], result
