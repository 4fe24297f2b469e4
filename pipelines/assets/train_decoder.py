"""Train the embedded decoder's U-Net: latents of object pictures, guided by CLIP embeddings of the same view.

    python pipelines/assets/train_decoder.py

1. Latents and embeddings of many views of every trainable picture (`decoder_views`), made anew at each start.
2. A ``diffusers.UNet2DConditionModel`` on the 8 x 8 grid: v-prediction, cosine schedule, condition dropout, a little
   noise on the embeddings (decoded ones are noisy), exponential moving average, bfloat16.
3. ``build/assets/<name>/export``: the folder that ``Reconstructor.from_pretrained`` loads.

Meant for a GPU, where the defaults take some ten minutes (on 2 CPU cores: days).
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from decoder_views import KINDS, SIZE, UNSHUFFLE, bank, encoded, view
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from training import BUILD, Sitting, cosine_with_warmup, key_of

from braindecode_x.clip import ClipEncoder
from braindecode_x.diffusion.projector import ConditionProjector
from braindecode_x.files import file_hash, write_json, write_text
from braindecode_x.stimuli import ObjectStimuli

SEED, WARMUP, EMA, DROPOUT, WEIGHT_DECAY = 3, 500, 0.999, 0.1, 0.02
DROP_IMAGE, DROP_TEXT, EMBEDDING_NOISE = 0.12, 0.5, 0.5
SOLID_WEIGHT = 2.0  # of the 3D pictures, which are what will be asked for
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


@dataclass
class Pairs:
    """What is learned from: latents and embeddings (views, n, ...), captions' (n, 512), and how they are drawn."""

    latents: torch.Tensor
    image: torch.Tensor
    text: torch.Tensor
    weights: torch.Tensor
    plain_share: float

    def draw(self, n: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Draw pictures by their weights and a view of each."""
        device = self.latents.device
        rows = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        plain = torch.rand(n, generator=generator, device=device) < self.plain_share
        views = torch.randint(1, len(self.latents), (n,), generator=generator, device=device)
        views = torch.where(plain, 0, views)
        return {
            "latents": self.latents[views, rows].float(),
            "image": self.image[views, rows].float(),
            "text": self.text[rows],
        }


class Denoiser(torch.nn.Module):
    """U-Net and projector as one module, for the optimiser and the average."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(**UNET, dropout=DROPOUT)
        self.projector = ConditionProjector(512, UNET["cross_attention_dim"])

    def forward(self, latents, times, image, text, with_image, with_text):
        tokens, label = self.projector(image, text, with_image, with_text)
        return self.unet(latents, times, tokens, class_labels=label).sample


def noisy(embedding: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Add noise of up to half the (standardised) embedding's size, of a size drawn for each."""
    device = embedding.device
    size = EMBEDDING_NOISE * torch.rand(len(embedding), 1, generator=generator, device=device) ** 2
    return embedding + size * torch.randn(embedding.shape, generator=generator, device=device)


def loss_of(
    network: torch.nn.Module, model: Denoiser, scheduler: DDIMScheduler, batch: dict, generator: torch.Generator
) -> torch.Tensor:
    """v-prediction error of one batch at random times; ``network`` may be the compiled ``model``."""
    clean = batch["latents"]
    n, device = len(clean), clean.device
    noise = torch.randn(clean.shape, generator=generator, device=device)
    times = torch.randint(0, scheduler.config.num_train_timesteps, (n,), generator=generator, device=device)
    with_image = torch.rand(n, generator=generator, device=device) > DROP_IMAGE
    with_text = torch.rand(n, generator=generator, device=device) > DROP_TEXT
    image = noisy(model.projector.standardise(batch["image"]), generator)
    latents = scheduler.add_noise(clean, noise, times).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16):
        output = network(latents, times, image, batch["text"], with_image, with_text)
    return F.mse_loss(output.float(), scheduler.get_velocity(clean, noise, times))


def train(
    model: Denoiser, pairs: Pairs, held_out: dict, arguments: argparse.Namespace, device: torch.device, key: str
) -> Denoiser:
    """Train and return the moving average."""
    scheduler = DDIMScheduler(**SCHEDULE)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=arguments.lr, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.99), fused=True
    )
    sitting = Sitting(arguments.name, {"model": model, "average": average, "optimiser": optimiser}, key)
    network = torch.compile(model) if device.type == "cuda" else model
    generator = torch.Generator(device)
    for step in range(sitting.step, arguments.steps):
        generator.manual_seed(SEED * 1_000_003 + step)
        loss = loss_of(network, model, scheduler, pairs.draw(arguments.batch, generator), generator)
        for group in optimiser.param_groups:
            group["lr"] = arguments.lr * cosine_with_warmup(step, arguments.steps, WARMUP)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            weight = 1 - min(EMA, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)
        last = step + 1 == arguments.steps
        sitting.tick(step + 1, last)
        if (step + 1) % arguments.log_every == 0 or last:
            sitting.log(loss=loss.item(), validation=validate(average, scheduler, held_out, generator))
    return average


@torch.inference_mode()
def validate(average: Denoiser, scheduler: DDIMScheduler, held_out: dict, generator: torch.Generator) -> float:
    """v-prediction error on the validation pictures, mean of eight draws that are the same each time."""
    generator.manual_seed(SEED)
    losses = [loss_of(average, average, scheduler, held_out, generator) for _ in range(8)]
    return torch.stack(losses).mean().item()


def normalise_latents(vae: AutoencoderKL, pairs: Pairs, held_out: dict) -> None:
    """Scale latents to mean 0 and deviation 1 per channel of plain views, and note both in the autoencoder's config."""
    plain = pairs.latents[0].float()
    mean, std = plain.mean((0, 2, 3)), plain.std((0, 2, 3))
    vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())
    for number in range(len(pairs.latents)):  # one by one: all at once in float32 would need three times the memory
        pairs.latents[number] = (pairs.latents[number].float() - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    held_out["latents"] = (held_out["latents"].float() - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)


def export(average: Denoiser, vae: AutoencoderKL, encoder: ClipEncoder, ids: list[str], target: Path) -> None:
    """Write the decoder's folder, weights in fp16, with the ids of the pictures that it was trained on."""
    write_text(target / "training_index.txt", "\n".join(ids) + "\n")
    average.cpu().unet.half().save_pretrained(target / "unet")
    average.projector.half().save_pretrained(target / "projector")
    vae.cpu().half().save_pretrained(target / "vae")
    DDIMScheduler(**SCHEDULE).save_pretrained(target / "scheduler")
    write_json(
        target / "decoder.json",
        {"space": encoder.space.to_dict(), "image_size": SIZE, "unshuffle": UNSHUFFLE},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="decoder", help="folder in build/assets of checkpoint, log and export")
    parser.add_argument("--start", type=Path, help="decoder folder whose weights to begin with")
    parser.add_argument("--steps", type=int, default=7000)
    parser.add_argument("--lr", type=float, default=1e-3, help="at its peak")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--plain-share", type=float, default=0.4, help="of pictures that are shown as they are")
    parser.add_argument("--views", type=int, default=81, help=f"of every picture: plain, then {', '.join(KINDS)}")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--log-every", type=int, default=1000)
    parser.add_argument("--vae", type=Path, default=BUILD / "autoencoder" / "vae")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    device = torch.device(arguments.device)
    stimuli = ObjectStimuli()
    seen, unseen = stimuli.trainable(), stimuli.subset(split="validation", rendering="fluent3d")
    encoder = ClipEncoder(device=device)
    vae = (
        AutoencoderKL.from_pretrained(arguments.vae, torch_dtype=torch.float32, low_cpu_mem_usage=False)
        .eval()
        .to(device)
    )
    views = bank(seen.pixels(128), encoder, vae, arguments.views, device)
    solid = torch.tensor((seen.table["rendering"] == "fluent3d").to_numpy(), device=device)
    texts = encoder.encode_texts(seen.captions).to(device)
    pairs = Pairs(
        views["latents"], views["embeddings"], texts, torch.where(solid, SOLID_WEIGHT, 1.0), arguments.plain_share
    )
    images = view(unseen.pixels(128).to(device), torch.arange(len(unseen), device=device), 0)
    latents, embeddings = encoded(images, encoder, vae)
    held_out = {
        "latents": latents,
        "image": embeddings.float(),
        "text": encoder.encode_texts(unseen.captions).to(device),
    }
    normalise_latents(vae, pairs, held_out)
    model = Denoiser().to(device, memory_format=torch.channels_last)
    for part in ("unet", "projector") if arguments.start else ():
        getattr(model, part).load_state_dict(load_file(arguments.start / part / "diffusion_pytorch_model.safetensors"))
    model.projector.mean.copy_(pairs.image[0].float().mean(0))
    model.projector.std.copy_(pairs.image[0].float().std(0).mean().expand(512))
    asked = {name: value for name, value in vars(arguments).items() if name not in ("device", "log_every")}
    vae_hash = file_hash(arguments.vae / "diffusion_pytorch_model.safetensors")
    key = key_of(seen, encoder.space, vae_hash, SEED, EMA, DROPOUT, SOLID_WEIGHT, UNET, SCHEDULE, asked)
    average = train(model, pairs, held_out, arguments, device, key)
    export(average, vae, encoder, seen.ids, BUILD / arguments.name / "export")


if __name__ == "__main__":
    main()
