"""Train the embedded decoder's U-Net: latents of object pictures, guided by CLIP embeddings of the same view.

    python pipelines/assets/train_decoder.py

1. Latents and embeddings of 9 views of every trainable picture, cached in ``build/assets/decoder``.
2. A ``diffusers.UNet2DConditionModel`` on the 8 x 8 grid: v-prediction, cosine schedule, condition dropout, a little
   noise on the embeddings (decoded ones are noisy), exponential moving average, bfloat16.
3. ``build/assets/<name>/export``: the folder that ``Reconstructor.from_pretrained`` loads.
"""

from __future__ import annotations

import argparse
import copy
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from tqdm import tqdm
from training import BUILD, VIEWS, Sitting, batches, cached, cosine_with_warmup, key_of, seeded, view

from braindecode_x.clip import ClipEncoder
from braindecode_x.diffusion.projector import ConditionProjector
from braindecode_x.files import file_hash, write_json, write_text
from braindecode_x.stimuli import ObjectStimuli

SEED, BATCH, WARMUP, PEAK, EMA, UNSHUFFLE = 3, 64, 200, 8e-4, 0.998, 4
DROP_IMAGE, DROP_TEXT, EMBEDDING_NOISE = 0.12, 0.5, 0.5
# Plain pictures are what will be asked for; the others teach what the embedding says of place and colour.
VIEW_SHARES = torch.tensor([0.76] + [0.03] * 8)
FOLDER, VAE = BUILD / "decoder", BUILD / "autoencoder" / "vae"
UNET = {
    "sample_size": 8,
    "in_channels": 12,
    "out_channels": 12,
    "down_block_types": ["CrossAttnDownBlock2D"] * 2,
    "up_block_types": ["CrossAttnUpBlock2D"] * 2,
    "block_out_channels": [160, 224],
    "layers_per_block": 1,
    "cross_attention_dim": 256,
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "class_embed_type": "simple_projection",
    "projection_class_embeddings_input_dim": 512,
    "resnet_time_scale_shift": "scale_shift",
}
SCHEDULE = {
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "timestep_spacing": "trailing",  # the first step is at pure noise, which is what sampling starts from
}


@torch.inference_mode()
def view_pairs(
    pixels: torch.Tensor, features: torch.Tensor, encoder: ClipEncoder, vae: AutoencoderKL, number: int
) -> dict[str, torch.Tensor]:
    """Return latents (n, 12, 8, 8) and image embeddings (n, 512) of one view."""
    latents = []
    for rows in tqdm(torch.arange(len(pixels)).split(64), desc=f"latents of view {number}", mininterval=10):
        small = view(pixels[rows], number, rows, 64) * 2 - 1
        with torch.autocast("cpu", torch.bfloat16):
            latents.append(vae.encode(F.pixel_unshuffle(small, UNSHUFFLE)).latent_dist.mode().half())
    return {"latents": torch.cat(latents), "embeddings": F.normalize(encoder.model.visual.head(features), dim=-1)}


def cached_pairs(
    name: str, stimuli: ObjectStimuli, encoder: ClipEncoder, vae: AutoencoderKL, views: int
) -> list[dict[str, torch.Tensor]]:
    """Return `view_pairs` of every view; one file a view, made when missing.

    The embeddings are those of the features that `train_clip` cached: the same views, drawn in the same batches of 64.
    """
    key, pixels = (
        key_of(stimuli, encoder.space, file_hash(VAE / "diffusion_pytorch_model.safetensors")),
        stimuli.pixels(128),
    )
    pairs = []
    for number in range(views):
        features = load_file(BUILD / "clip" / f"{name}_{number}.safetensors")["features"]
        make = partial(view_pairs, pixels, features, encoder, vae, number)
        pairs.append(cached(FOLDER / f"{name}_{number}.safetensors", key, make))
    return pairs


def noisy(embedding: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Add noise of up to half the (standardised) embedding's size, of a size drawn for each."""
    size = EMBEDDING_NOISE * torch.rand(len(embedding), 1, generator=generator) ** 2
    return embedding + size * torch.randn(embedding.shape, generator=generator)


class Denoiser(torch.nn.Module):
    """U-Net and projector as one module, for the optimiser and the average."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(**UNET, dropout=dropout)
        self.projector = ConditionProjector(512, UNET["cross_attention_dim"])

    def forward(self, latents, times, image, text, with_image, with_text):
        tokens, label = self.projector(image, text, with_image, with_text)
        return self.unet(latents, times, tokens, class_labels=label).sample


def loss_of(model: Denoiser, scheduler: DDIMScheduler, batch: dict, generator: torch.Generator) -> torch.Tensor:
    """v-prediction error of one batch at random times."""
    n = len(batch["latents"])
    noise = torch.randn(batch["latents"].shape, generator=generator)
    times = torch.randint(0, scheduler.config.num_train_timesteps, (n,), generator=generator)
    with_image = torch.rand(n, generator=generator) > DROP_IMAGE
    with_text = torch.rand(n, generator=generator) > DROP_TEXT
    image = noisy(model.projector.standardise(batch["image"]), generator)
    latents = scheduler.add_noise(batch["latents"], noise, times).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(latents, times, image, batch["text"], with_image, with_text)
    return F.mse_loss(output.float(), scheduler.get_velocity(batch["latents"], noise, times))


def train(model: Denoiser, pairs: list[dict], held_out: dict, texts: dict, steps: int, name: str, key: str) -> Denoiser:
    """Train and return the moving average."""
    scheduler = DDIMScheduler(**SCHEDULE)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=0.01, betas=(0.9, 0.99), fused=True)
    sitting = Sitting(name, {"model": model, "average": average, "optimiser": optimiser}, key)
    n = len(pairs[0]["latents"])
    order = batches(n, BATCH, SEED, sitting.step)
    running = 0.0
    for step in range(sitting.step, steps):
        generator = seeded(SEED, 11, step)
        rows = next(order)
        views = torch.multinomial(VIEW_SHARES, BATCH, replacement=True, generator=generator).tolist()
        batch = {
            key: torch.stack([pairs[v][source][r] for v, r in zip(views, rows.tolist(), strict=True)]).float()
            for key, source in (("latents", "latents"), ("image", "embeddings"))
        }
        batch["text"] = texts["train"][rows]
        loss = loss_of(model, scheduler, batch, generator)
        for group in optimiser.param_groups:
            group["lr"] = PEAK * cosine_with_warmup(step, steps, WARMUP)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            weight = 1 - min(EMA, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)
        running = loss.item() if not running else 0.98 * running + 0.02 * loss.item()
        last = step + 1 == steps
        sitting.tick(step + 1, last)
        if (step + 1) % 200 == 0 or last:
            with torch.inference_mode():
                batch = {"latents": held_out["latents"], "image": held_out["embeddings"], "text": texts["validation"]}
                scores = [loss_of(average, scheduler, batch, seeded(SEED, 13, k)).item() for k in range(4)]
            sitting.log(loss=running, validation=sum(scores) / len(scores))
    return average


def normalised_latents(vae: AutoencoderKL, pairs: list[dict], held_out: dict) -> None:
    """Scale latents to mean 0 and deviation 1 per channel, and note the statistics in the autoencoder's config."""
    mean = pairs[0]["latents"].float().mean((0, 2, 3))
    std = pairs[0]["latents"].float().std((0, 2, 3))
    vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())
    for part in [*pairs, held_out]:
        part["latents"] = (part["latents"].float() - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)


def export(average: Denoiser, vae: AutoencoderKL, encoder: ClipEncoder, ids: list[str], target: Path) -> None:
    """Write the decoder's folder, weights in fp16, with the ids of the pictures that it was trained on."""
    write_text(target / "training_index.txt", "\n".join(ids) + "\n")
    average.unet.half().save_pretrained(target / "unet")
    average.projector.half().save_pretrained(target / "projector")
    vae.half().save_pretrained(target / "vae")
    DDIMScheduler(**SCHEDULE).save_pretrained(target / "scheduler")
    write_json(
        target / "decoder.json",
        {"space": encoder.space.to_dict(), "image_size": 64, "unshuffle": UNSHUFFLE},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="decoder", help="folder in build/assets of checkpoint, log and export")
    parser.add_argument("--steps", type=int, default=4200)
    parser.add_argument("--dropout", type=float, default=0.0, help="in the U-Net's residual blocks")
    parser.add_argument("--start", type=Path, help="decoder folder whose weights to begin with, to train on from it")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    stimuli = ObjectStimuli()
    seen, unseen = stimuli.trainable(), stimuli.subset(split="validation", rendering="fluent3d")
    encoder = ClipEncoder()
    vae = AutoencoderKL.from_pretrained(VAE, torch_dtype=torch.float32).eval()
    FOLDER.mkdir(parents=True, exist_ok=True)
    pairs = cached_pairs("train", seen, encoder, vae, VIEWS)
    (held_out,) = cached_pairs("validation", stimuli.subset(split="validation"), encoder, vae, 1)
    held_out = {key: value[::3] for key, value in held_out.items()}  # the 3D renderings come first of three
    normalised_latents(vae, pairs, held_out)
    texts = {"train": encoder.encode_texts(seen.captions), "validation": encoder.encode_texts(unseen.captions)}
    model = Denoiser(arguments.dropout).to(memory_format=torch.channels_last)
    for name in ("unet", "projector") if arguments.start else ():
        weights = load_file(arguments.start / name / "diffusion_pytorch_model.safetensors")
        getattr(model, name).load_state_dict(weights)
    embeddings = torch.cat([part["embeddings"] for part in pairs])
    model.projector.mean.copy_(embeddings.mean(0))
    model.projector.std.copy_(embeddings.std(0).mean().expand(512))
    key = key_of(
        seen, encoder.space, SEED, BATCH, PEAK, EMA, arguments.steps, arguments.start, arguments.dropout, UNET, SCHEDULE
    )
    average = train(model, pairs, held_out, texts, arguments.steps, arguments.name, key)
    export(average, vae, encoder, seen.ids, BUILD / arguments.name / "export")


if __name__ == "__main__":
    main()
