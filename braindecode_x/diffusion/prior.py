"""A diffusion prior: from a decoded embedding to one that a picture could have (ATM, arXiv 2403.07721)."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from torch import nn

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.diffusion.latent import make_scheduler
from braindecode_x.diffusion.noise import draw, keyed_generators
from braindecode_x.diffusion.standardised import Standardised
from braindecode_x.diffusion.token_prior import TokenPriorNetwork
from braindecode_x.files import file_hash, read_weights_config, unknown_name, write_json

CONFIG, NETWORK = "prior.json", "network"
# The defaults of diffusers' DDPMScheduler, as published: samples are clipped to [-1, 1].
PUBLISHED_SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "clip_sample": True,
    "prediction_type": "epsilon",
}


class PriorNetwork(Standardised, ModelMixin, ConfigMixin):  # type: ignore[misc]
    """An MLP shaped like a U-Net that tells the noise in an embedding, given the decoded one.

    Parameters
    ----------
    embedding_dim : int
        d of what is denoised.
    condition_dim : int
        d of the condition.
    widths : sequence of int
        Of the levels, from the outermost.
    time_dim : int
        Features of a time step.
    dropout : float
    """

    @register_to_config
    def __init__(
        self,
        embedding_dim: int = 1024,
        condition_dim: int = 1024,
        widths: Sequence[int] = (1024, 512, 256, 128, 64),
        time_dim: int = 512,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.embedding_shape = (embedding_dim,)
        self.register_statistics(self.embedding_shape)
        self.time = Timesteps(time_dim, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.first = _block(embedding_dim, widths[0], 0.0)
        down = list(pairwise(widths))
        self.down = nn.ModuleList(_Level(a, b, time_dim, condition_dim, dropout) for a, b in down)
        self.up = nn.ModuleList(_Level(b, a, time_dim, condition_dim, dropout) for a, b in reversed(down))
        self.last = nn.Linear(widths[0], embedding_dim)

    def forward(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        condition: torch.Tensor | None = None,
        shown: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predict the noise (or whatever the scheduler's prediction type is).

        Parameters
        ----------
        noisy : torch.Tensor
            (n, embedding_dim).
        timesteps : torch.Tensor
            (n,) of integers, or one for all.
        condition : torch.Tensor, optional
            (n, condition_dim).
        shown : torch.Tensor, optional
            (n,) bool: rows that see their condition. Default: all.

        Returns
        -------
        torch.Tensor
            (n, embedding_dim).
        """
        time = self.time(timesteps.expand(len(noisy))).to(noisy.dtype)
        x, kept = self.first(noisy), []
        for level in self.down:
            kept.append(x)
            x = level(x, time, condition, shown)
        for level in self.up:
            x = level(x, time, condition, shown) + kept.pop()
        return self.last(x)


class _Level(nn.Module):
    """Add time and condition, then go to the next width."""

    def __init__(self, width: int, next_width: int, time_dim: int, condition_dim: int, dropout: float):
        super().__init__()
        self.time = TimestepEmbedding(time_dim, width)
        self.condition = nn.Linear(condition_dim, width)
        self.change = _block(width, next_width, dropout)

    def forward(
        self, x: torch.Tensor, time: torch.Tensor, condition: torch.Tensor | None, shown: torch.Tensor | None
    ) -> torch.Tensor:
        x = x + self.time(time)
        if condition is not None:
            told = self.condition(condition)
            x = x + (told if shown is None else told * shown[:, None])
        return self.change(x)


def _block(width: int, next_width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, next_width), nn.LayerNorm(next_width), nn.SiLU(), nn.Dropout(dropout))


AnyPriorNetwork = PriorNetwork | TokenPriorNetwork
NETWORKS: dict[str, Any] = {each.__name__: each for each in (PriorNetwork, TokenPriorNetwork)}


def prior_loss(
    network: AnyPriorNetwork,
    target: torch.Tensor,
    condition: torch.Tensor,
    scheduler: Any,
    noise: torch.Tensor,
    times: torch.Tensor,
    shown: torch.Tensor | None = None,
) -> torch.Tensor:
    """Add noise to targets, and return the mean squared error of what the network tells of it.

    Parameters
    ----------
    network : PriorNetwork or TokenPriorNetwork
    target, condition : torch.Tensor
        (n, d) or (n, tokens, d) each, standardised.
    scheduler : diffusers scheduler
        Its prediction type is ``"epsilon"``, ``"v_prediction"`` or ``"sample"``.
    noise : torch.Tensor
        Of the targets' shape, standard normal.
    times : torch.Tensor
        (n,) of integers, below the scheduler's ``num_train_timesteps``.
    shown : torch.Tensor, optional
        (n,) bool, see `PriorNetwork`.
    """
    predicted = network(scheduler.add_noise(target, noise, times), times, condition, shown)
    kind = scheduler.config.prediction_type
    if kind == "v_prediction":
        return F.mse_loss(predicted, scheduler.get_velocity(target, noise, times))
    return F.mse_loss(predicted, noise if kind == "epsilon" else target)


@torch.inference_mode()
def sample_prior(
    network: AnyPriorNetwork,
    condition: torch.Tensor,
    scheduler: Any,
    generators: list[torch.Generator],
    steps: int = 50,
    guidance: float = 5.0,
    noise: float = 1.0,
) -> torch.Tensor:
    """Sample embeddings for a whole batch at once.

    Parameters
    ----------
    network : PriorNetwork or TokenPriorNetwork
    condition : torch.Tensor
        (n, d) or (n, tokens, d), standardised.
    scheduler : diffusers scheduler
        Its state is used up.
    generators : list of torch.Generator
        n of them, on the CPU: all noise of a row is drawn from its own.
    steps : int
    guidance : float
        Weight of classifier-free guidance: without condition + weight (with condition - without). 1 does without.
    noise : float
        Scale of the initial noise.

    Returns
    -------
    torch.Tensor
        Of the condition's shape, standardised.
    """
    scheduler.set_timesteps(steps, device=condition.device)
    x = draw(generators, network.embedding_shape).to(condition) * noise * scheduler.init_noise_sigma
    extra = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
    kinds = 1 if guidance == 1 else 2
    shown = torch.arange(kinds, device=condition.device).repeat_interleave(len(condition)) == 0
    told = torch.cat([condition] * kinds)
    for time in scheduler.timesteps:
        noisy = torch.cat([scheduler.scale_model_input(x, time)] * kinds)
        outputs = network(noisy, time, told, shown).chunk(kinds)
        output = outputs[0] if kinds == 1 else outputs[1] + guidance * (outputs[0] - outputs[1])
        x = scheduler.step(output, time, x, **extra).prev_sample
    return x


@dataclass(frozen=True)
class PriorSampling:
    """How embeddings are sampled; a prior's own defaults are in its folder.

    Attributes
    ----------
    steps : int
        Denoising steps.
    scheduler : str
        Name of a diffusers scheduler.
    guidance : float
        See `sample_prior`; the published value is 5.
    noise : float
        Scale of the initial noise; below 1 embeddings are closer to the mean of what the condition allows.
    samples : int
        Embeddings that are averaged.
    """

    steps: int = 50
    scheduler: str = "DDPMScheduler"
    guidance: float = 5.0
    noise: float = 1.0
    samples: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, found {getattr(self, name)}")
        if self.noise < 0:
            raise ValueError(f"noise: expected a value of at least 0, found {self.noise}")


class EmbeddingPrior:
    """A trained prior, as a portable folder.

    Parameters
    ----------
    network : PriorNetwork or TokenPriorNetwork
    space : EmbeddingSpace
        Of what it is given and of what it answers: pooled, or tokens for the latter.
    scheduler_config : dict, optional
        A diffusers scheduler's: the noise schedule it was trained on. Default: the published one.
    sampling : PriorSampling
    """

    def __init__(
        self,
        network: AnyPriorNetwork,
        space: EmbeddingSpace,
        scheduler_config: dict[str, Any] | None = None,
        sampling: PriorSampling = PriorSampling(),
    ):
        if space.shape != network.embedding_shape:
            size = " x ".join(map(str, network.embedding_shape))
            raise ValueError(f"prior: its network is of {size} values, found [{space}]")
        self.network, self.space = network.eval(), space
        self.scheduler_config = dict(scheduler_config or PUBLISHED_SCHEDULE)
        self.sampling = sampling

    def with_sampling(self, **changes: Any) -> EmbeddingPrior:
        """Return a prior on the same network with other settings; see `PriorSampling` for their names."""
        for name in changes:
            if name not in PriorSampling.__dataclass_fields__:
                raise unknown_name("sampling setting", name, PriorSampling.__dataclass_fields__)
        sampling = replace(self.sampling, **changes)
        make_scheduler(sampling.scheduler, self.scheduler_config)  # an unknown one is refused here, not later
        return EmbeddingPrior(self.network, self.space, self.scheduler_config, sampling)

    @torch.inference_mode()
    def __call__(self, embeddings: torch.Tensor, ids: Sequence[str], seed: int = 0) -> torch.Tensor:
        """Sample the embedding of a picture for each decoded one.

        Noise is keyed by (seed, id), so an embedding does not depend on what shares its batch, to float tolerance.

        Parameters
        ----------
        embeddings : torch.Tensor
            (n, ...), in ``space``.
        ids : sequence of str
            n names.
        seed : int

        Returns
        -------
        torch.Tensor
            (n, ...), in ``space``.

        Raises
        ------
        ValueError
            Another shape, a wrong number of ids, or a scheduler that fails with so few steps.
        """
        if tuple(embeddings.shape[1:]) != self.space.shape:
            expected = ", ".join(map(str, self.space.shape))
            raise ValueError(f"prior: expected embeddings (n, {expected}), found {tuple(embeddings.shape)}")
        if len(ids) != len(embeddings):
            raise ValueError(f"ids: expected {len(embeddings)}, one an embedding, found {len(ids)}")
        settings, device = self.sampling, self.network.mean.device
        condition = self.network.standardise(embeddings.to(device).float())
        drawn = []
        for sample in range(settings.samples):
            scheduler = make_scheduler(settings.scheduler, self.scheduler_config)
            generators = keyed_generators(seed, ids, sample)
            options = (settings.steps, settings.guidance, settings.noise)
            drawn.append(sample_prior(self.network, condition, scheduler, generators, *options))
        mean = torch.stack(drawn).mean(0)
        if not mean.isfinite().all():  # some schedulers fail with few steps
            raise ValueError(
                f"prior: {settings.scheduler} with {settings.steps} steps gave values that are not finite; choose more "
                "steps, or another scheduler"
            )
        return self.space.normalised(self.network.restore(mean)).cpu()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the folder: the network as diffusers saves it, and ``prior.json``, which comes last."""
        folder = Path(folder)
        (folder / CONFIG).unlink(missing_ok=True)
        self.network.save_pretrained(folder / NETWORK)
        about = {
            "network": type(self.network).__name__,
            "space": self.space.to_dict(),
            "scheduler": {name: value for name, value in self.scheduler_config.items() if not name.startswith("_")},
            "sampling": asdict(self.sampling),
            "hash": file_hash(*sorted((folder / NETWORK).glob("*.safetensors"))),
        }
        write_json(folder / CONFIG, about)

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | torch.device = "cpu") -> Self:
        """Load what `save_pretrained` wrote.

        Raises
        ------
        FileNotFoundError
            The folder, or a part of it, is missing.
        ValueError
            Files that do not belong together.
        """
        folder = Path(folder)
        weights = [str(file.relative_to(folder)) for file in sorted((folder / NETWORK).glob("*.safetensors"))]
        others = [f"{NETWORK}/config.json"]
        about = read_weights_config(folder, "the folder of a prior", CONFIG, weights, others)
        kind = about.get("network", PriorNetwork.__name__)
        if kind not in NETWORKS:
            raise unknown_name(f"network in {folder / CONFIG}", kind, NETWORKS)
        network = NETWORKS[kind].from_pretrained(folder / NETWORK, low_cpu_mem_usage=False, local_files_only=True)
        space = EmbeddingSpace.from_dict(about["space"])
        return cls(network.to(device), space, about["scheduler"], PriorSampling(**about["sampling"]))
