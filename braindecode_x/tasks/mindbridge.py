"""Training of MindBridge (arXiv 2404.07850): many subjects, one model; reset-tuning for a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from braindecode_x.datamodules.batch import Batch, mix_within_subjects
from braindecode_x.decoder import BrainDecoder
from braindecode_x.losses import MindBridgeLoss
from braindecode_x.models.mindbridge import MindBridge, cycle_pair
from braindecode_x.models.mindbridge_parts import MindBridgeOutput
from braindecode_x.models.voxels import Aggregation
from braindecode_x.tasks.base import EmbeddingTask
from braindecode_x.tasks.distributed import gathered


class MindBridgeTask(EmbeddingTask):
    """Train MindBridge on the subjects of a data module, or adapt a trained one to new subjects.

    Defaults suit pooled embeddings and a few thousand trials a subject; they were chosen on the validation pictures of
    the simulated subjects (``pipelines/experiments/tune_mindbridge.py``). The paper's are in
    ``pipelines/mindbridge_paper.yaml``.

    Parameters
    ----------
    in_dim, hidden, n_blocks, adapter_dim, aggregation, embedder_dropout, translator_dropout
        See `MindBridge`.
    clip_image, mse_image, clip_text, mse_text, reconstruction, cycle, temperature : float
        See `MindBridgeLoss`.
    lr, weight_decay, warmup_epochs : float
        See `EmbeddingTask`.
    voxel_dropout : float
        Share of voxels set to their mean in training, drawn anew for each trial.
    mixup : float
        Train on mixes of a subject's trials, shares drawn from Beta(mixup, mixup); see `mix_within_subjects`. 0: none.
    pretrained : str or Path, optional
        Decoder folder to start from: reset-tuning. Its trunk is kept; subjects of the data module that it does not
        know get fresh embedders and builders.
    reset : bool
        With ``pretrained``: draw the embedders and builders of the data module's subjects anew even where known.
    freeze_trunk : bool
        With ``pretrained``: train embedders and builders only.
    seed : int
        Of the pairs of subjects that are cycled.

    Raises
    ------
    ValueError
        A value out of its range, or ``freeze_trunk`` without ``pretrained``.
    """

    def __init__(
        self,
        in_dim: int = 2048,
        hidden: int = 768,
        n_blocks: int = 2,
        adapter_dim: int = 128,
        aggregation: Aggregation = "max",
        embedder_dropout: float = 0.5,
        translator_dropout: float = 0.15,
        clip_image: float = 1.0,
        mse_image: float = 100.0,
        clip_text: float = 1.0,
        mse_text: float = 100.0,
        reconstruction: float = 1.0,
        cycle: float = 1.0,
        temperature: float = 0.03,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        warmup_epochs: float = 2.0,
        voxel_dropout: float = 0.0,
        mixup: float = 0.3,
        pretrained: str | Path | None = None,
        reset: bool = False,
        freeze_trunk: bool = False,
        seed: int = 0,
    ):
        if not 0 <= voxel_dropout < 1:
            raise ValueError(f"voxel_dropout: expected a share in [0, 1), found {voxel_dropout}")
        if mixup < 0:
            raise ValueError(f"mixup: expected a number of at least 0, found {mixup}")
        if freeze_trunk and pretrained is None:
            raise ValueError("freeze_trunk: only a pretrained trunk can be kept; give pretrained")
        self._loss_weights = {
            "clip_image": clip_image,
            "mse_image": mse_image,
            "clip_text": clip_text,
            "mse_text": mse_text,
            "reconstruction": reconstruction,
            "cycle": cycle,
            "temperature": temperature,
        }
        super().__init__(lr, weight_decay, warmup_epochs)
        self.sizes: dict[str, Any] = {
            "in_dim": in_dim,
            "hidden": hidden,
            "n_blocks": n_blocks,
            "adapter_dim": adapter_dim,
            "aggregation": aggregation,
            "embedder_dropout": embedder_dropout,
            "translator_dropout": translator_dropout,
        }
        self.voxel_dropout, self.mixup, self.seed = voxel_dropout, mixup, seed
        self.pretrained, self.reset, self.freeze_trunk = pretrained, reset, freeze_trunk
        self.save_hyperparameters(ignore=["pretrained"])

    def configure_losses(self) -> None:
        """Build the sum of contrast, MSE, reconstruction and cycle."""
        self.loss = MindBridgeLoss(**self._loss_weights)

    def configure_models(self) -> None:
        """Build the network, or take the pretrained one and give new subjects their parts."""
        if self.pretrained is None or self._trainer is None:
            image, text = self.space.shape, self.text_space.shape
            self.model = MindBridge(self.subjects, image_dim=image, text_dim=text, **self.sizes)
            return
        trained = BrainDecoder.from_pretrained(self.pretrained)
        trained.space.require(self.space, f"decoder folder {str(self.pretrained)!r}")
        self.model = trained.model.float().train()
        for name, n_voxels in self.subjects.items():
            if name not in self.model.subjects:
                self.model.add_subject(name, n_voxels)
            elif self.model.subjects[name] != n_voxels:
                raise ValueError(
                    f"subject {name!r}: {n_voxels} voxels, but {self.pretrained} expects {self.model.subjects[name]}"
                )
            elif self.reset:
                self.model.reset_subject(name)
        self.subjects = {name: int(n or 0) for name, n in self.model.subjects.items()}
        self.standardisations = dict(trained.statistics)
        self.model.freeze_trunk(self.freeze_trunk)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Compute the loss of one batch, over the trials of all processes."""
        return self.logged(self.loss_terms(batch), len(batch))

    def loss_terms(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Compute every term of the loss; see `MindBridgeLoss`."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        if self.mixup:
            batch = mix_within_subjects(batch, self.mixup, generator)
        brain = batch.brain
        if self.voxel_dropout:
            brain = brain * (torch.rand_like(brain) >= self.voxel_dropout)
        world = self.trainer.world_size if self._trainer is not None else 1
        present = batch.subject if world == 1 else gathered(batch.subject)
        pair = cycle_pair(present, generator) if self.loss.weights["cycle"] else None
        output = self.model(brain, batch.subject, batch.mask, pair)
        image_target, text_target = self.target(batch), batch.text_target
        if world == 1:
            return self.loss(output, image_target, text_target)
        output, image_target, text_target = joint(output, image_target, text_target)
        terms = self.loss(output, image_target, text_target)
        # Subjects that are on other processes only must take part too, or gradients wait for them forever.
        terms["total"] = terms["total"] + 0 * sum(p.sum() for p in self.model.parameters() if p.requires_grad)
        return terms


def joint(
    output: MindBridgeOutput, image_target: torch.Tensor, text_target: torch.Tensor | None
) -> tuple[MindBridgeOutput, torch.Tensor, torch.Tensor | None]:
    """Gather everything that the loss looks at, so that it is the loss of the joint batch on every process.

    Every process computes the same loss; gradients of gathered values add up over processes and are then averaged.
    """
    changes = {"image": gathered(output.image), "text": gathered(output.text)}
    if output.reconstruction is not None:
        changes |= {"reconstruction": gathered(output.reconstruction), "aggregated": gathered(output.aggregated)}
    empty = output.embedding[:0]
    cycle = gathered(empty if output.cycle is None else output.cycle)
    if len(cycle):
        source = gathered(empty if output.cycle_source is None else output.cycle_source)
        changes |= {"cycle": cycle, "cycle_source": source}
    text_target = None if text_target is None else gathered(text_target)
    return output._replace(**changes), gathered(image_target), text_target
