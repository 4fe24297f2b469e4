"""Write tiny random models in the layouts of the real ones."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.diffusion.projector import ConditionProjector

CLIP = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "patch_size": 16, "head_width": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
}


def write_clip(folder: Path, seed: int = 0) -> Path:
    """Write an open_clip folder: a vision transformer of one block."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP, "preprocess_cfg": {}}))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def write_decoder(folder: Path, space: EmbeddingSpace, seed: int = 0) -> Path:
    """Write a decoder folder for a pooled space: 16-pixel pictures from 4 x 2 x 2 latents."""
    torch.manual_seed(seed)
    (width,) = space.shape
    UNet2DConditionModel(
        sample_size=2,
        in_channels=4,
        out_channels=4,
        down_block_types=["CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D"],
        block_out_channels=[16],
        layers_per_block=1,
        cross_attention_dim=8,
        attention_head_dim=2,
        norm_num_groups=4,
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=width,
    ).save_pretrained(folder / "unet")
    vae = AutoencoderKL(
        in_channels=48, out_channels=48, block_out_channels=[8, 8], down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=4, layers_per_block=1, norm_num_groups=4,
        sample_size=4,
    )  # fmt: skip
    vae.register_to_config(latents_mean=[0.0] * 4, latents_std=[1.0] * 4)
    vae.save_pretrained(folder / "vae")
    ConditionProjector(width, 8, image_tokens=2, text_tokens=1).save_pretrained(folder / "projector")
    DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False).save_pretrained(
        folder / "scheduler"
    )
    about = {"space": space.to_dict(), "image_size": 16, "unshuffle": 4, "sampling": {"steps": 3}}
    (folder / "decoder.json").write_text(json.dumps(about))
    return folder
