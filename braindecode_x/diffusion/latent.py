"""Guided latent diffusion from the parts of a decoder folder; the embedded decoder is one."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import diffusers
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel

from braindecode_x.clip import ClipEncoder, EmbeddingSpace
from braindecode_x.diffusion.clip_guidance import pulled
from braindecode_x.diffusion.conditions import Conditions
from braindecode_x.diffusion.noise import draw, keyed_generators
from braindecode_x.diffusion.projector import ConditionProjector
from braindecode_x.diffusion.reconstructor import Reconstructor
from braindecode_x.diffusion.reranking import encoder_of, most_similar
from braindecode_x.files import file_hash, read_json, unknown_name


@dataclass(frozen=True)
class Sampling:
    """How a picture is sampled; a decoder's own defaults are in its ``decoder.json``.

    Attributes
    ----------
    steps : int
        Denoising steps.
    scheduler : str
        Name of any diffusers scheduler.
    guidance_image, guidance_text : float
        Weights of classifier-free guidance: null + image weight (image - null) + text weight (text - null).
    noise : float
        Scale of the initial noise; below 1 pictures are closer to the mean of what the conditions allow.
    strength : float
        With a low-level picture, the share of the schedule that is run from it; 1 ignores it.
    candidates : int
        Pictures drawn for each that is returned: the one whose embedding is nearest to the condition.
    clip_guidance : float
        How far every step moves the picture towards the image condition by the gradient of the CLIP model, in units of
        latents, see `pulled`; 0 does without, and is several times as quick.
    """

    steps: int = 20
    scheduler: str = "DDIMScheduler"
    guidance_image: float = 2.0
    guidance_text: float = 0.0
    noise: float = 1.0
    strength: float = 0.8
    candidates: int = 1
    clip_guidance: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, found {getattr(self, name)}")
        if not 0 < self.strength <= 1:
            raise ValueError(f"strength: expected a value in (0, 1], found {self.strength}")
        for name in ("noise", "clip_guidance"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected a value of at least 0, found {getattr(self, name)}")


class LatentReconstructor(Reconstructor):
    """Latent diffusion in a small U-Net, guided by pooled image and text embeddings.

    Parameters
    ----------
    unet : diffusers.UNet2DConditionModel
    vae : diffusers.AutoencoderKL
        On pixels unshuffled by ``unshuffle``; its config holds ``latents_mean`` and ``latents_std`` per channel.
    projector : ConditionProjector
    scheduler_config : dict
        A diffusers scheduler's config: the noise schedule the U-Net was trained on.
    space : EmbeddingSpace
    image_size, unshuffle : int
    sampling : Sampling
    fingerprint : str
        Hash of the weights.

    Attributes
    ----------
    encoder : ClipEncoder or None
        Ranks candidates and guides; None: the space's own model, loaded when it is needed.
    """

    encoder: ClipEncoder | None = None

    def __init__(
        self,
        unet: Any,
        vae: Any,
        projector: ConditionProjector,
        scheduler_config: dict[str, Any],
        space: EmbeddingSpace,
        image_size: int,
        unshuffle: int,
        sampling: Sampling,
        fingerprint: str,
    ):
        self.unet, self.vae, self.projector = unet.eval(), vae.eval(), projector.eval()
        for network in (unet, vae, projector):
            network.requires_grad_(False)
        self.scheduler_config = scheduler_config
        self.space, self.image_size, self.unshuffle = space, image_size, unshuffle
        self.sampling, self.fingerprint = sampling, fingerprint
        self.device = next(unet.parameters()).device
        self._mean = torch.tensor(vae.config.latents_mean, device=self.device).view(-1, 1, 1)
        self._std = torch.tensor(vae.config.latents_std, device=self.device).view(-1, 1, 1)

    @classmethod
    def from_folder(cls, folder: str | Path, device: str | torch.device = "cpu") -> LatentReconstructor:
        """Load a decoder folder; see `Reconstructor.from_pretrained`."""
        folder = Path(folder)
        for part in ("decoder.json", "scheduler/scheduler_config.json", "unet", "vae", "projector"):
            if not (folder / part).exists():
                raise FileNotFoundError(f"{folder}: not a decoder folder, {part} is missing")
        about = read_json(folder / "decoder.json")
        weights = sorted(folder.glob("*/*.safetensors"))
        options = {"torch_dtype": torch.float32, "low_cpu_mem_usage": False, "local_files_only": True}
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", **options)
        return cls(
            unet.to(device).to(memory_format=torch.channels_last),
            AutoencoderKL.from_pretrained(folder / "vae", **options).to(device),
            ConditionProjector.from_pretrained(folder / "projector", **options).to(device),
            read_json(folder / "scheduler" / "scheduler_config.json"),
            EmbeddingSpace.from_dict(about["space"]),
            about["image_size"],
            about["unshuffle"],
            sampling_from(about.get("sampling", {})),
            file_hash(*weights, folder / "scheduler" / "scheduler_config.json"),
        )

    def with_sampling(self, **changes: Any) -> LatentReconstructor:
        """Return a reconstructor on the same networks with other settings; see `Sampling` for their names."""
        other = object.__new__(LatentReconstructor)
        other.__dict__.update(self.__dict__, sampling=sampling_from({**asdict(self.sampling), **changes}))
        make_scheduler(other.sampling.scheduler, self.scheduler_config)  # an unknown one is refused here, not later
        return other

    def sample(self, conditions: Conditions, ids: Sequence[str], seed: int, sample: int) -> torch.Tensor:
        """Make one batch; see `Reconstructor.sample`."""
        k = self.sampling.candidates
        drawn = [self.draw(conditions, ids, seed, number) for number in range(sample * k, (sample + 1) * k)]
        if k == 1:
            return drawn[0]
        return most_similar(torch.stack(drawn, dim=1), conditions, self._own_encoder())

    @torch.no_grad()
    def draw(self, conditions: Conditions, ids: Sequence[str], seed: int, number: int) -> torch.Tensor:
        """Draw one batch, candidate ``number`` of every condition: (n, 3, image_size, image_size) in [0, 1]."""
        settings = self.sampling
        scheduler = make_scheduler(settings.scheduler, self.scheduler_config)
        scheduler.set_timesteps(settings.steps, device=self.device)
        generators = keyed_generators(seed, ids, number)
        shape = (self.unet.config.in_channels, self.unet.config.sample_size, self.unet.config.sample_size)
        noise = draw(generators, shape).to(self.device)
        times = scheduler.timesteps
        if conditions.low_level is None or settings.strength == 1:
            latents = noise * settings.noise * scheduler.init_noise_sigma
        else:
            times = times[len(times) - max(1, round(len(times) * settings.strength)) :]
            start = self.encode(conditions.low_level)
            latents = scheduler.add_noise(start, noise * settings.noise, times[:1].expand(len(noise)))
        extra = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
        guide = self._guide(conditions)
        for time in times:
            noisy = scheduler.scale_model_input(latents, time)
            output = guide(noisy, time)
            if settings.clip_guidance:
                wanted, encoder = conditions.image, self._own_encoder()
                output = pulled(output, noisy, time, scheduler, wanted, encoder, self._decode, settings.clip_guidance)
            latents = scheduler.step(output, time, latents, **extra).prev_sample
        return self.decode(latents).cpu()

    def _own_encoder(self) -> ClipEncoder:
        self.encoder = self.encoder or encoder_of(self.space, self.device)
        self.space.require(self.encoder.space, "the CLIP model that ranks and guides")
        return self.encoder

    def _guide(self, conditions: Conditions) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Return a function (latents, time) -> guided network output; conditions are projected once."""
        settings, n = self.sampling, len(conditions)
        image = self.projector.standardise(conditions.image.to(self.device).float())
        weights, text = {"image": settings.guidance_image}, torch.zeros_like(image)
        if conditions.text is not None and settings.guidance_text != 0:
            weights["text"], text = settings.guidance_text, conditions.text.to(self.device).float()
        null = 1 - sum(weights.values())
        kinds = [*weights, *(["null"] if null != 0 else [])]
        factors = torch.tensor([*weights.values(), null][: len(kinds)], device=self.device).view(-1, 1, 1, 1, 1)
        shown = torch.tensor([kind == "image" for kind in kinds], device=self.device).repeat_interleave(n)
        told = torch.tensor([kind == "text" for kind in kinds], device=self.device).repeat_interleave(n)
        tokens, label = self.projector(image.repeat(len(kinds), 1), text.repeat(len(kinds), 1), shown, told)

        def guided(latents: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            output = self.unet(latents.repeat(len(kinds), 1, 1, 1), time, tokens, class_labels=label).sample
            return (factors * output.unflatten(0, (len(kinds), n))).sum(0)

        return guided

    @cached_property
    def latent_space(self) -> EmbeddingSpace:
        """What `encode` gives and `decode` takes; it is another one where the autoencoder's weights are others."""
        digest = hashlib.sha256()
        for value in self.vae.state_dict().values():
            digest.update(value.cpu().contiguous().numpy().tobytes())
        size = self.unet.config.sample_size
        shape = (self.unet.config.in_channels, size, size)
        return EmbeddingSpace("image autoencoder", f"sha256:{digest.hexdigest()[:16]}", "latents", shape, "none")

    @torch.inference_mode()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Turn pictures (n, 3, height, width) in [0, 1] into normalised latents."""
        images = F.interpolate(images.to(self.device).float(), (self.image_size, self.image_size), mode="area")
        latents = self.vae.encode(F.pixel_unshuffle(images * 2 - 1, self.unshuffle)).latent_dist.mode()
        return (latents - self._mean) / self._std

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Turn normalised latents into pictures (n, 3, image_size, image_size) in [0, 1]."""
        return self._decode(latents)

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        pixels = self.vae.decode(latents * self._std + self._mean).sample
        return (F.pixel_shuffle(pixels, self.unshuffle) / 2 + 0.5).clamp(0, 1)


def sampling_from(settings: dict[str, Any]) -> Sampling:
    """Make settings from a dictionary; an unknown name is a ValueError that offers the nearest."""
    for name in settings:
        if name not in Sampling.__dataclass_fields__:
            raise unknown_name("sampling setting", name, Sampling.__dataclass_fields__)
    return Sampling(**settings)


def make_scheduler(name: str, config: dict[str, Any]) -> Any:
    """Make a diffusers scheduler by name on a trained noise schedule.

    Any of diffusers' schedulers that can run on the schedule, except ``DPMSolverSDEScheduler``, whose noise cannot
    belong to one picture.

    Raises
    ------
    ValueError
        No such scheduler.
    """
    fitting = {scheduler.__name__ for scheduler in diffusers.DDIMScheduler.from_config(config).compatibles}
    known = (fitting | {"DDIMScheduler"}) - {"DPMSolverSDEScheduler"}
    if name not in known:
        raise unknown_name("scheduler", name, known)
    return getattr(diffusers, name).from_config(config)
