"""Training of the diffusion priors: from decoded embeddings to ones that pictures could have."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import DDPMScheduler
from diffusers.optimization import get_cosine_schedule_with_warmup

from braindecode_x.datamodules.batch import Batch
from braindecode_x.datamodules.predicted import PredictedEmbeddings
from braindecode_x.diffusion.noise import draw, keyed_generators
from braindecode_x.diffusion.prior import (
    PUBLISHED_SCHEDULE,
    EmbeddingPrior,
    PriorNetwork,
    PriorSampling,
    prior_loss,
)
from braindecode_x.diffusion.token_prior import PUBLISHED_TOKEN_SCHEDULE, TokenPriorNetwork
from braindecode_x.files import unknown_name
from braindecode_x.tasks.base import EmbeddingTask

# Embeddings are standardised, so their values have no bound to clip samples to.
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "clip_sample": False,
    "prediction_type": "v_prediction",
}
PUBLISHED_SCHEDULES = {"mlp": PUBLISHED_SCHEDULE, "tokens": PUBLISHED_TOKEN_SCHEDULE}
TIMES = 8  # noise levels at which each validation picture is scored


class PriorTask(EmbeddingTask):
    """Train `PriorNetwork` (ATM, arXiv 2403.07721) or `TokenPriorNetwork` (WAVE, arXiv 2411.07121).

    Both are trained on `PredictedEmbeddings`; the latter also takes tokens, if the decoder predicts them.

    The best checkpoint is that of the least loss on the decoder's predictions of validation trials, with the same noise
    every time. ``test`` and ``predict`` sample: retrieval is that of the embeddings that the prior makes. A training
    leaves the folder ``prior``, which ``braindecode-x prior`` applies to any file of predictions.

    Parameters
    ----------
    widths : sequence of int
        See `PriorNetwork`.
    time_dim : int
        Features of a time step.
    dropout : float
    network : {"mlp", "tokens"}
        `PriorNetwork`, of which the three sizes before are, or `TokenPriorNetwork`.
    options : dict, optional
        Of `TokenPriorNetwork`: ``depth``, ``n_heads``, ``head``, ``feed_forward``, ``published_null``.
    drop_condition : float
        Share of training pairs whose condition is not shown, for classifier-free guidance.
    published : bool
        Diffuse embeddings as they are, on the published schedule, and clip samples to [-1, 1]; tokens are scaled by the
        root of their size, and the clean ones are predicted. Default: standardised embeddings on a cosine schedule,
        nothing clipped.
    sampling : PriorSampling, optional
        The prior's own settings.
    lr, weight_decay : float
        See `EmbeddingTask`.
    warmup_steps : int
        Of the learning rate's cosine schedule; at most a tenth of all steps.
    seed : int
        Of the noise of samples.

    Raises
    ------
    ValueError
        A value out of its range.
    """

    monitor = ("val/loss", "min")
    saved_as = "prior"

    def __init__(
        self,
        widths: list[int] = [1024, 512, 256, 128, 64],  # noqa: B006 (never changed)
        time_dim: int = 512,
        dropout: float = 0.0,
        network: Literal["mlp", "tokens"] = "mlp",
        options: dict[str, Any] | None = None,
        drop_condition: float = 0.1,
        published: bool = False,
        sampling: PriorSampling | None = None,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        warmup_steps: int = 500,
        seed: int = 0,
    ):
        if not 0 <= drop_condition < 1:
            raise ValueError(f"drop_condition: expected a share in [0, 1), found {drop_condition}")
        if network not in PUBLISHED_SCHEDULES:
            raise unknown_name("network", network, PUBLISHED_SCHEDULES)
        super().__init__(lr, weight_decay, warmup_epochs=0.0)
        self.sizes: dict[str, Any] = {"widths": list(widths), "time_dim": time_dim, "dropout": dropout}
        self.drop_condition, self.published, self.sampling = drop_condition, published, sampling or PriorSampling()
        self.warmup_steps, self.seed = warmup_steps, seed
        self.network, self.options = network, dict(options or {})
        self.scheduler_config = PUBLISHED_SCHEDULES[network] if published else SCHEDULE
        self.scheduler: Any = DDPMScheduler.from_config(self.scheduler_config)
        self.save_hyperparameters(ignore=["sampling"])

    def configure_models(self) -> None:
        """Build the network."""
        if self.network == "tokens":
            try:
                self.model = TokenPriorNetwork(self.space.shape, **self.options)
            except TypeError as error:
                raise ValueError(f"options: {error}") from error
            return
        if self.space.kind != "pooled":
            raise ValueError(
                f"this prior is of pooled embeddings, network: tokens of any; found [{self.space}] (the data module's "
                "kind)"
            )
        (d,) = self.space.shape
        self.model = PriorNetwork(d, d, **self.sizes)

    def on_fit_start(self) -> None:
        """Take the statistics by which embeddings are standardised from the training pictures."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, PredictedEmbeddings):
            raise ValueError(f"PriorTask is trained on PredictedEmbeddings, found {type(data).__name__}")
        if self.published and self.network == "tokens":
            self.model.std.fill_(self.space.shape[-1] ** -0.5)
        if not self.published:
            targets = data.training_targets.to(self.model.mean)
            self.model.mean.copy_(targets.mean(0))
            self.model.std.copy_(targets.std(0, correction=0).clamp_min(1e-6))

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Compute the loss of one batch at random noise levels."""
        target = self.target(batch).float()
        noise = torch.randn_like(target)
        times = torch.randint(len(self.scheduler.alphas_cumprod), (len(target),), device=target.device)
        shown = torch.rand(len(target), device=target.device) >= self.drop_condition
        loss = self._loss(batch, target, noise, times, shown)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Compute the loss of one batch at noise levels that are spread evenly, with noise that belongs to a trial."""
        target = self.target(batch, "validation").float()
        generators = keyed_generators(0, self._ids(batch), 0)
        noise = draw(generators, (TIMES, *target.shape[1:])).to(target).flatten(0, 1)
        levels = ((torch.arange(TIMES) + 0.5) * len(self.scheduler.alphas_cumprod) / TIMES).long()
        times = levels.repeat(len(target)).to(target.device)
        repeated = Batch(batch.brain.repeat_interleave(TIMES, 0), batch.subject, batch.stimulus)
        loss = self._loss(repeated, target.repeat_interleave(TIMES, 0), noise, times, None)
        self.log("val/loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch))

    def on_validation_epoch_end(self) -> None:
        """Log nothing more: sampling takes too long to be done after every epoch."""

    def on_predict_epoch_start(self) -> None:
        """Count unlabelled trials from the first."""
        self._unlabelled: Counter[int] = Counter()

    def predict_embeddings(self, batch: Batch) -> tuple[torch.Tensor, None]:
        """Sample embeddings given what the decoder predicted."""
        return self.prior()(batch.brain, self._ids(batch), self.seed).to(batch.brain.device), None

    def prior(self) -> EmbeddingPrior:
        """Return what is trained, as it is."""
        return EmbeddingPrior(self.model, self.space, self.scheduler_config, self.sampling)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the portable folder of the prior, see `EmbeddingPrior`."""
        self.prior().save_pretrained(folder)

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine schedule, as published."""
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = get_cosine_schedule_with_warmup(optimiser, min(self.warmup_steps, steps // 10), steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _loss(
        self,
        batch: Batch,
        target: torch.Tensor,
        noise: torch.Tensor,
        times: torch.Tensor,
        shown: torch.Tensor | None,
    ) -> torch.Tensor:
        clean, condition = self.model.standardise(target), self.model.standardise(batch.brain.float())
        return prior_loss(self.model, clean, condition, self.scheduler, noise, times, shown)

    def _ids(self, batch: Batch) -> list[str]:
        """Name trials as files of predictions do."""
        ids = []
        for number, stimulus in zip(batch.subject.tolist(), batch.stimulus, strict=True):
            if not stimulus:
                self._unlabelled[number] += 1
                stimulus = f"trial{self._unlabelled[number]:05d}"
            ids.append(f"{self.names[number]}_{stimulus}")
        return ids
