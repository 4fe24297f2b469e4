"""CLIP in Hugging Face's names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import torch

from braindecode_x.published.states import count, fill, read_state, rename, size_of

_CLIP_NAMES = {  # open_clip: Hugging Face
    r"^visual\.class_embedding$": "vision_model.embeddings.class_embedding",
    r"^visual\.conv1\.": "vision_model.embeddings.patch_embedding.",
    r"^visual\.positional_embedding$": "vision_model.embeddings.position_embedding.weight",
    r"^visual\.ln_pre\.": "vision_model.pre_layrnorm.",
    r"^visual\.ln_post\.": "vision_model.post_layernorm.",
    r"^visual\.transformer\.resblocks\.": "vision_model.encoder.layers.",
    r"^visual\.proj$": "visual_projection.weight",
    r"^token_embedding\.": "text_model.embeddings.token_embedding.",
    r"^positional_embedding$": "text_model.embeddings.position_embedding.weight",
    r"^ln_final\.": "text_model.final_layer_norm.",
    r"^transformer\.resblocks\.": "text_model.encoder.layers.",
    r"^text_projection$": "text_projection.weight",
    r"\.attn\.out_proj\.": ".self_attn.out_proj.",
    r"\.ln_([12])\.": r".layer_norm\1.",
    r"\.mlp\.c_fc\.": ".mlp.fc1.",
    r"\.mlp\.c_proj\.": ".mlp.fc2.",
}


def load_published_clip(
    source: str | Path | Mapping[str, Any], vision_heads: int | None = None, text_heads: int | None = None
) -> open_clip.CLIP:
    """Load CLIP weights in Hugging Face's names (``CLIPModel``) into open_clip's model; sizes are read off them.

    Parameters
    ----------
    source : str, Path or mapping
        A file that torch saved, or its content: a state dict of picture and text tower together.
    vision_heads, text_heads : int, optional
        Attention heads, which weights do not tell. Default: one for 64 features, as in every model of OpenAI.

    Returns
    -------
    open_clip.CLIP
        In eval mode, on the CPU, with OpenAI's quick GELU. Texts are pooled at their largest token id.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        As for `load_published_mindbridge`.
    """
    origin, state = read_state(source)
    # older files also hold the fixed table of positions
    state = {name: tensor for name, tensor in state.items() if not name.endswith(".position_ids")}
    kind = "CLIP model in Hugging Face's names"
    vision_width, _, patch, _ = size_of(origin, kind, state, "vision_model.embeddings.patch_embedding.weight", n_dims=4)
    n_tokens, _ = size_of(origin, kind, state, "vision_model.embeddings.position_embedding.weight")
    vision_mlp, _ = size_of(origin, kind, state, "vision_model.encoder.layers.0.mlp.fc1.weight")
    vocabulary, text_width = size_of(origin, kind, state, "text_model.embeddings.token_embedding.weight")
    context, _ = size_of(origin, kind, state, "text_model.embeddings.position_embedding.weight")
    text_mlp, _ = size_of(origin, kind, state, "text_model.encoder.layers.0.mlp.fc1.weight")
    embed_dim, _ = size_of(origin, kind, state, "visual_projection.weight")
    vision = {
        "image_size": math.isqrt(n_tokens - 1) * patch,
        "patch_size": patch,
        "width": vision_width,
        "head_width": vision_width // vision_heads if vision_heads else 64,
        "layers": count(r"vision_model\.encoder\.layers\.(\d+)\.", state),
        "mlp_ratio": vision_mlp / vision_width,
    }
    text = {
        "context_length": context,
        "vocab_size": vocabulary,
        "width": text_width,
        "heads": text_heads or text_width // 64,
        "layers": count(r"text_model\.encoder\.layers\.(\d+)\.", state),
        "mlp_ratio": text_mlp / text_width,
    }
    model = open_clip.CLIP(embed_dim, open_clip.CLIPVisionCfg(**vision), open_clip.CLIPTextCfg(**text), quick_gelu=True)
    expected = _hugging_face_views(model)
    if "logit_scale" not in state:  # towers saved apart have none
        del expected["logit_scale"]
    fill(origin, kind, expected, state)
    return model.eval()


def _hugging_face_views(model: open_clip.CLIP) -> dict[str, torch.Tensor]:
    """Give the parameters under Hugging Face's names, in its layout; they share the model's memory."""
    views = {}
    for ours, tensor in model.state_dict().items():
        name = rename(ours, _CLIP_NAMES)
        if ".attn.in_proj_" in name:  # queries, keys and values in one
            for part, view in zip("qkv", tensor.chunk(3), strict=True):
                views[name.replace(".attn.in_proj_", f".self_attn.{part}_proj.")] = view
        else:
            views[name] = tensor.T if ours in ("visual.proj", "text_projection") else tensor
    return views
