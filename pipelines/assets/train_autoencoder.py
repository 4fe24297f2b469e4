"""Train the embedded decoder's autoencoder: 64-pixel pictures to 8 x 8 x 12 latents and back.

    python pipelines/assets/train_autoencoder.py

A ``diffusers.AutoencoderKL`` on 4 x 4-unshuffled pixels (48 x 16 x 16). Loss: L1, L1 of image gradients, L1 of blurred
pictures, a small KL. Sees only the trainable object pictures; validation pictures are scored in the log.
"""

from __future__ import annotations

import argparse

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from training import BUILD, Sitting, augment, batches, cosine_with_warmup, key_of, seeded

from braindecode_x.stimuli import ObjectStimuli

SEED, BATCH, WARMUP, PEAK, UNSHUFFLE, KL = 1, 64, 100, 1e-3, 4, 1e-5
CONFIG = {
    "in_channels": 3 * UNSHUFFLE**2,
    "out_channels": 3 * UNSHUFFLE**2,
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "block_out_channels": [128, 192],
    "layers_per_block": 1,
    "latent_channels": 12,
    "norm_num_groups": 16,
    "sample_size": 16,
    "mid_block_add_attention": False,
}


def gradients(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences of neighbouring pixels, down and across."""
    return images[..., 1:, :] - images[..., :-1, :], images[..., 1:] - images[..., :-1]


def picture_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L1 of pixels, of gradients and of blurred pictures."""
    edges = sum(F.l1_loss(a, b) for a, b in zip(gradients(output), gradients(target), strict=True))
    return F.l1_loss(output, target) + edges + F.l1_loss(F.avg_pool2d(output, 4), F.avg_pool2d(target, 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2400)
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    stimuli = ObjectStimuli()
    trainable = stimuli.trainable()
    seen = trainable.pixels(128)
    held_out = stimuli.subset(split="validation", rendering="fluent3d").pixels(64).float() / 255 * 2 - 1
    model = AutoencoderKL(**CONFIG).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=1e-4, betas=(0.9, 0.99))
    key = key_of(trainable, SEED, BATCH, PEAK, KL, arguments.steps, CONFIG)
    sitting = Sitting("autoencoder", {"model": model, "optimiser": optimiser}, key)
    order = batches(len(seen), BATCH, SEED, sitting.step)
    for step in range(sitting.step, arguments.steps):
        generator = seeded(SEED, 7, step)
        target = augment(seen[next(order)], generator, 64) * 2 - 1
        for group in optimiser.param_groups:
            group["lr"] = PEAK * cosine_with_warmup(step, arguments.steps, WARMUP)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = model.encode(F.pixel_unshuffle(target, UNSHUFFLE).contiguous(memory_format=torch.channels_last))
            posterior = posterior.latent_dist
            output = model.decode(posterior.sample(generator)).sample
        loss = picture_loss(F.pixel_shuffle(output.float(), UNSHUFFLE), target)
        total = loss + KL * posterior.kl().float().mean()
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        last = step + 1 == arguments.steps
        sitting.tick(step + 1, last)
        if (step + 1) % 200 == 0 or last:
            sitting.log(loss=loss.item(), validation=validate(model, held_out))
    model.half().save_pretrained(BUILD / "autoencoder" / "vae")


@torch.inference_mode()
def validate(model: AutoencoderKL, images: torch.Tensor) -> float:
    """Mean absolute error of validation pictures, in units of [0, 1]."""
    with torch.autocast("cpu", torch.bfloat16):
        output = model.decode(model.encode(F.pixel_unshuffle(images, UNSHUFFLE)).latent_dist.mode()).sample
    return F.l1_loss(F.pixel_shuffle(output.float(), UNSHUFFLE), images).item() / 2


if __name__ == "__main__":
    main()
