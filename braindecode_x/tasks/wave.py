"""Alignment of whole-brain BOLD with pictures and captions (WAVE, arXiv 2411.07121)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from braindecode_x.clip import ClipEncoder
from braindecode_x.datamodules.batch import Batch, mix_within_subjects
from braindecode_x.datasets.windows_layout import WindowsLayout, trials_of
from braindecode_x.losses import WaveLoss
from braindecode_x.models.pretrained_wave import PretrainedWave
from braindecode_x.models.prompt_learner import PromptLearner, encode_with_context, token_table
from braindecode_x.models.wave_decoder import WaveDecoder
from braindecode_x.published import load_published_wave
from braindecode_x.tasks.base import EmbeddingTask


class WaveTask(EmbeddingTask):
    """Train `WaveDecoder` on windows of all subjects; it decodes new subjects too.

    Parameters
    ----------
    encoder : {"wave", "mlp"}
        The sequence model, or what it is compared to; see `WaveDecoder`.
    options : dict, optional
        Of the encoder, see `Wave` and `MlpEncoder`. Default: 128 features in 2 layers of 4 heads, without dropout. With
        ``pretrained`` its sizes are the folder's, and ``dropout`` alone may be given (``n_heads`` and ``time_step`` of
        a file).
    pretrained : str or Path, optional
        Folder that `PretrainingTask` left, or a published checkpoint, to start from. Of more parcels than windows have,
        the weights of theirs are taken.
    frozen_epochs : int or None
        Leave the encoder as it is for so many epochs; None: to the end.
    encoder_lr : float
        Largest learning rate of the encoder, in that of the rest.
    text_head : bool
        Predict text embeddings by a projection of their own. False: the picture's embedding serves both, as published.
    clip_image, clip_text, mse_image, mse_text : float
        Weights of the losses, see `WaveLoss`.
    published_loss : bool
        See `WaveLoss`.
    n_context : int
        Contrast with captions behind so many learned context vectors, see `PromptLearner`; the paper has 8. 0: captions
        alone.
    sparsity : float
        Share of values that are set to 0 in training, drawn anew for each trial; 0.2 as published.
    shuffle_times : bool
        Shuffle the volumes of training windows, as published; their times stay.
    mixup : float
        Train on mixes of a subject's trials, shares drawn from Beta(mixup, mixup); see `mix_within_subjects`. 0: none.
    lr, weight_decay, warmup_epochs : float
        See `RunTask`; after the rise the learning rate falls as a cosine.
    seed : int
        Of mixes and of what is changed in training windows.

    Raises
    ------
    ValueError
        A value out of its range, or options that do not go together.
    """

    def __init__(
        self,
        encoder: Literal["wave", "mlp"] = "wave",
        options: dict[str, Any] | None = None,
        pretrained: str | Path | None = None,
        frozen_epochs: int | None = 0,
        encoder_lr: float = 1.0,
        text_head: bool = True,
        clip_image: float = 0.5,
        clip_text: float = 0.5,
        mse_image: float = 0.0,
        mse_text: float = 0.0,
        published_loss: bool = False,
        n_context: int = 0,
        sparsity: float = 0.2,
        shuffle_times: bool = False,
        mixup: float = 0.0,
        lr: float = 3e-3,
        weight_decay: float = 1e-2,
        warmup_epochs: float = 2.0,
        seed: int = 0,
    ):
        if not 0 <= sparsity < 1:
            raise ValueError(f"sparsity: expected a share in [0, 1), found {sparsity}")
        for name, value in (("mixup", mixup), ("n_context", n_context), ("frozen_epochs", frozen_epochs or 0)):
            if value < 0:
                raise ValueError(f"{name}: expected a number of at least 0, found {value}")
        if encoder_lr <= 0:
            raise ValueError(f"encoder_lr: expected a number above 0, found {encoder_lr}")
        if mixup and n_context:
            raise ValueError("mixup and n_context: captions with context cannot be mixed; choose one")
        if pretrained is not None and encoder != "wave":
            raise ValueError(f"pretrained: only the sequence model is pre-trained, found the encoder {encoder!r}")
        self._weights = {"clip_image": clip_image, "clip_text": clip_text, "mse_image": mse_image, "mse_text": mse_text}
        self.published_loss = published_loss
        super().__init__(lr, weight_decay, warmup_epochs)
        usual: dict[str, Any] = {"dropout": 0.0} if encoder == "wave" else {}
        if encoder == "wave" and pretrained is None:
            usual |= {"d_model": 128, "n_layers": 2, "n_heads": 4}
        self.encoder, self.options = encoder, usual | dict(options or {})
        self.pretrained, self.frozen_epochs, self.encoder_lr = pretrained, frozen_epochs, encoder_lr
        self.text_head, self.n_context = text_head, n_context
        self.sparsity, self.shuffle_times, self.mixup, self.seed = sparsity, shuffle_times, mixup, seed
        self.prompts: PromptLearner | None = None
        self.save_hyperparameters(ignore=["pretrained"])

    def configure_losses(self) -> None:
        """Build the sum of contrasts and squared distances."""
        self.loss = WaveLoss(**self._weights, published_loss=self.published_loss)

    def configure_models(self) -> None:
        """Build the network for the windows' parcels and times, or around a pre-trained one."""
        layout = self.layout
        if not isinstance(layout, WindowsLayout):
            raise ValueError(
                f"WaveTask decodes windows of BOLD, but the data module gives {trials_of(layout)}; use "
                "WindowsDataModule"
            )
        if self.space.kind != "pooled":
            raise ValueError(f"WaveTask decodes to pooled embeddings; found [{self.space}] (the data module's kind)")
        started = None
        if self.pretrained is not None:
            started = self._pretrained(layout)
            config = {name: value for name, value in started.config.items() if name != "n_parcels"}
            self.options = config | {name: value for name, value in self.options.items() if name == "dropout"}
        self.model = WaveDecoder(
            self.subjects,
            *layout.shape,
            tr=layout.tr,
            image_dim=self.space.shape,
            text_dim=self.text_space.shape if self.text_head else None,
            encoder=self.encoder,
            options=self.options,
        )
        if started is not None:
            self.model.encoder.wave.load_state_dict(started.state_dict())
        if self.frozen_epochs is None:
            self.model.encoder.requires_grad_(False)
        if self.n_context and self._trainer is not None:
            width = token_table(self._clip).embedding_dim
            (dim,) = self.space.shape
            self.prompts = PromptLearner(dim, width, self.n_context)

    def on_fit_start(self) -> None:
        """Bring the frozen text tower to where the network is, and look up captions."""
        if not self.n_context:
            return
        stimuli = self.trainer.datamodule.cohort.stimuli  # type: ignore[attr-defined]
        if not all(stimuli.captions):
            raise ValueError("n_context: every picture needs a caption, found some without")
        self._captions = dict(zip(stimuli.ids, stimuli.captions, strict=True))
        self._clip.to(self.device).model.requires_grad_(False)

    def on_train_epoch_start(self) -> None:
        """Let a frozen encoder drop nothing out."""
        frozen = self.frozen_epochs is None or self.current_epoch < self.frozen_epochs
        self.model.encoder.train(not frozen)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Compute the loss of one batch, over the trials of all processes."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        if self.mixup:
            batch = mix_within_subjects(batch, self.mixup, generator)
        batch = replace(batch, brain=augmented(batch.brain, self.sparsity, self.shuffle_times, generator))
        output = self.model(batch.brain, batch.subject, batch.mask)
        image, text = self.target(batch), batch.text_target
        if self.prompts is not None:
            context = self.prompts(output.image.detach().float(), image.float())
            text = encode_with_context(self._clip, [self._captions[name] for name in batch.stimulus], context)
        return self.joint_loss(output, image, text, len(batch))

    def configure_optimizers(self) -> Any:
        """AdamW; encoder and the rest have schedules of their own."""
        total = self.n_steps
        rise = max(1.0, min(0.5 * total, self.warmup_epochs * self.steps_per_epoch))
        start = round((self.frozen_epochs or 0) * self.steps_per_epoch)
        inside = {id(parameter) for parameter in self.model.encoder.parameters()}
        groups, schedules = [], []
        for chosen, lr, first in ((True, self.lr * self.encoder_lr, start), (False, self.lr, 0)):
            mine = [p for p in self.parameters() if (id(p) in inside) == chosen]
            own = [group for group in self.groups(mine, lr=lr) if group["params"]]
            groups += own
            schedules += [cosine_with_warmup(first, rise, total)] * len(own)
        optimiser = torch.optim.AdamW(groups)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, schedules)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the encoder's options into the checkpoint besides: they may be a pre-trained network's."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["decoder"]["options"] = dict(self.model.options)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Rebuild the network that the checkpoint is of; the pre-trained one is not needed any more."""
        options = checkpoint.get("decoder", {}).get("options", self.options)
        self.pretrained = None
        if self.model is not None and self.model.options != options:
            self.model = None
        self.options = options
        if self._trainer is None:  # context of captions is for training, and no text tower is at hand
            state = checkpoint["state_dict"]
            checkpoint["state_dict"] = {name: v for name, v in state.items() if not name.startswith("prompts.")}
        super().on_load_checkpoint(checkpoint)

    @property
    def _clip(self) -> ClipEncoder:
        return self.trainer.datamodule.encoder  # type: ignore[attr-defined]

    def _pretrained(self, layout: WindowsLayout) -> Any:
        source, allowed = Path(self.pretrained or ""), {"dropout"}
        if source.is_file():
            allowed = {"dropout", "n_heads", "time_step"}
        if wrong := sorted(self.options.keys() - allowed):
            raise ValueError(f"options: {', '.join(wrong)} are those of {source}; leave them out")
        if source.is_file():
            known = PretrainedWave(load_published_wave(source, **_without(self.options, "dropout")))
        else:
            known = PretrainedWave.from_pretrained(source)
        return known.for_parcels(layout.parcels, f"pretrained {str(source)!r}").model


def augmented(brain: torch.Tensor, sparsity: float, shuffle_times: bool, generator: torch.Generator) -> torch.Tensor:
    """Set a share of the values of windows (batch, volumes, parcels) to 0, and shuffle each window's volumes.

    Parameters
    ----------
    brain : torch.Tensor
    sparsity : float
        The share.
    shuffle_times : bool
    generator : torch.Generator
        On the CPU.
    """
    if sparsity:
        brain = brain * (torch.rand(brain.shape, generator=generator) >= sparsity).to(brain)
    if shuffle_times:
        order = torch.rand(brain.shape[:2], generator=generator).argsort(1).to(brain.device)
        brain = brain.gather(1, order[..., None].expand_as(brain))
    return brain


def cosine_with_warmup(first: int, rise: float, total: int) -> Callable[[int], float]:
    """Return a learning rate's factor by step: 0 before the first, then a linear rise, then a cosine to 0."""
    return partial(_factor, first, rise, total)


def _factor(first: int, rise: float, total: int, step: int) -> float:
    if step < first:
        return 0.0
    done = (step - first) / max(1, total - first)
    return min(1.0, (step - first + 1) / rise) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _without(options: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != name}
