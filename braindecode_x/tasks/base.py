"""What the tasks share: from a batch of brain activity to embeddings, scored by retrieval."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from torch import nn

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.datamodules.batch import Batch
from braindecode_x.datasets.windows_layout import TrialsLayout, layout_from_dict, require_layout
from braindecode_x.decoder import BrainDecoder
from braindecode_x.metrics.retrieval_metric import RetrievalAccuracy
from braindecode_x.tasks.distributed import gathered


class RunTask(L.LightningModule, ABC):
    """What ``fit`` trains.

    Parameters
    ----------
    lr : float
        Largest learning rate.
    weight_decay : float
        Of weights; biases and normalisation are left alone.
    warmup_epochs : float
        Length of the one-cycle schedule's rise.

    Attributes
    ----------
    monitor : tuple of str
        What the best checkpoint is chosen by, and whether the largest or the smallest is best.
    saved_as : str
        Name of the folder that a training leaves behind, see `save_pretrained`.
    """

    monitor: tuple[str, Literal["max", "min"]] = ("val/loss", "min")
    saved_as: str

    model: Any

    def __init__(self, lr: float, weight_decay: float, warmup_epochs: float):
        super().__init__()
        if lr <= 0:
            raise ValueError(f"lr: expected a number above 0, found {lr}")
        self.lr, self.weight_decay, self.warmup_epochs = lr, weight_decay, warmup_epochs
        self.model = None

    @abstractmethod
    def save_pretrained(self, folder: str | Path) -> None:
        """Write the portable folder of what is trained."""

    @property
    def n_steps(self) -> int:
        """Steps of the whole training, 3 at least; a ValueError when they are not known."""
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise ValueError("trainer.max_steps: needed for the learning rate's schedule, as the data have no length")
        return max(3, int(steps))

    @property
    def steps_per_epoch(self) -> float:
        """Steps of an epoch of the training, on average."""
        return self.n_steps / max(1, self.trainer.max_epochs or 1)

    def groups(self, parameters: Iterable[nn.Parameter], **options: Any) -> list[dict[str, Any]]:
        """Divide what is trained of some parameters for an optimiser: those that decay, and those that do not.

        Parameters
        ----------
        parameters : iterable of torch.nn.Parameter
        **options
            Of both groups, for example ``lr``.
        """
        trained = [p for p in parameters if p.requires_grad]
        return [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.weight_decay, **options},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0, **options},
        ]

    def configure_optimizers(self) -> Any:
        """AdamW with a one-cycle schedule (as published with MindBridge, arXiv 2404.07850)."""
        total = self.n_steps
        optimiser = torch.optim.AdamW(self.groups(self.parameters()), lr=self.lr)
        rise = min(0.5, max(2.0, self.warmup_epochs * self.steps_per_epoch) / total)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, self.lr, total_steps=total, pct_start=rise, final_div_factor=100
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class EmbeddingTask(RunTask):
    """A decoder that is trained to predict embeddings of what was seen.

    A subclass builds its network in `configure_models` once it is known who is decoded and to which space, its losses
    in `configure_losses`. Where that network answers otherwise than with ``image`` and ``text``, it has a
    `predict_embeddings` of its own.

    Parameters
    ----------
    lr, weight_decay, warmup_epochs : float
        See `RunTask`.

    Attributes
    ----------
    subjects : dict of str to int
        Names with the number of values in a trial of each; a subject's id is its place here.
    layout : EpochsLayout, WindowsLayout or None
        Channels or parcels, and times, where trials have them.
    """

    monitor: tuple[str, Literal["max", "min"]] = ("val/top1", "max")
    saved_as = "decoder"

    space: EmbeddingSpace
    text_space: EmbeddingSpace
    subjects: dict[str, int]
    layout: TrialsLayout | None = None
    loss: Any

    def __init__(self, lr: float, weight_decay: float, warmup_epochs: float):
        super().__init__(lr, weight_decay, warmup_epochs)
        self.standardisations: dict[str, dict[str, torch.Tensor]] = {}
        self.new_subjects: list[str] = []
        self.configure_losses()
        self.configure_metrics()

    @abstractmethod
    def configure_models(self) -> None:
        """Build ``self.model`` for ``self.subjects``, ``self.layout``, ``self.space`` and ``self.text_space``."""

    def configure_losses(self) -> None:
        """Build what the training minimises."""

    def configure_metrics(self) -> None:
        """Build the metrics: retrieval on validation and test pictures."""
        self.retrieval: Any = nn.ModuleDict({"validation": RetrievalAccuracy(), "testing": RetrievalAccuracy()})

    def predict_embeddings(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return image and text embeddings of a batch; text is None where the picture's serves both."""
        output = self.model(batch.brain, batch.subject, batch.mask)
        return output.image, output.text

    @property
    def names(self) -> list[str]:
        """Names by id: the subjects of the network, then new ones."""
        return [*self.subjects, *self.new_subjects]

    def configure_model(self) -> None:
        """Build the network for the subjects and the space of the data module (callbacks that average copy it)."""
        if self.model is None and self._trainer is not None:
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            self.subjects, self.layout = dict(data.sizes), data.layout
            self.space, self.text_space = data.space, data.text_space
            self.configure_models()

    def setup(self, stage: str) -> None:
        """Build the network, and note the data that it is trained on."""
        trained = bool(self.standardisations)
        self.configure_model()
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if stage == "fit":
            self.note_data()
        elif trained:  # on other data, perhaps: ids and statistics are the network's
            require_layout(self.layout, data.layout, "the checkpoint")
            self._bring_to(data)

    def note_data(self) -> None:
        """Keep the statistics by which the data module standardises, and take over ids of subjects."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        self._share_ids(data)
        for name, each in data.standardisations.items():
            self.standardisations[name] = {"mean": torch.from_numpy(each.mean), "std": torch.from_numpy(each.std)}

    @property
    def decoder(self) -> BrainDecoder:
        """What is trained, as it is used on recordings."""
        return BrainDecoder(self.model, self.space, self.standardisations, self.text_space, self.layout)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the portable folder of what is trained: a `BrainDecoder`."""
        self.decoder.save_pretrained(folder)

    def target(self, batch: Batch, stage: str = "training") -> torch.Tensor:
        """Return what the image embeddings of a batch shall be; a ValueError when its pictures are not known."""
        if batch.image_target is None:
            raise ValueError(f"{stage} needs pictures: the trials of a batch are unlabelled")
        return batch.image_target

    def joint_loss(self, output: Any, image: torch.Tensor, text: torch.Tensor | None, n: int) -> torch.Tensor:
        """Compute and log the loss over the trials of all processes: their pictures are contrasted with each other.

        Parameters
        ----------
        output : DecoderOutput
            What the network answers for this process's trials.
        image : torch.Tensor
            (n, *image_dim), targets.
        text : torch.Tensor or None
            (n, *text_dim).
        n : int
            Trials of this process.
        """
        if self.trainer.world_size > 1:
            output = type(output)(*(None if part is None else gathered(part) for part in output))
            image, text = gathered(image), None if text is None else gathered(text)
        return self.logged(self.loss(output, image, text), n)

    def logged(self, terms: dict[str, torch.Tensor], n: int) -> torch.Tensor:
        """Log the terms of a loss, means over the epoch's trials, and return their total."""
        for name, value in terms.items():
            self.log(f"train/{name}", value, on_step=False, on_epoch=True, batch_size=n)
        return terms["total"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score a batch of validation pictures."""
        self._score("validation", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Score a batch of test pictures."""
        self._score("testing", batch)

    def on_validation_epoch_end(self) -> None:
        """Log retrieval of each subject, and the mean by which the checkpoint is chosen."""
        self._log_scores("validation")

    def on_test_epoch_end(self) -> None:
        """Log retrieval of each subject, and the mean."""
        self._log_scores("testing")

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Decode a batch; no targets needed. Embeddings go to the CPU: tokens of a whole split would fill a GPU."""
        image, text = self.predict_embeddings(batch)
        return {
            "image": self.space.normalised(image).cpu(),
            "text": None if text is None else self.text_space.normalised(text).cpu(),
            "subject": batch.subject,
            "stimulus": batch.stimulus,
            "repeats": batch.repeats,
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put into the checkpoint what a decoder needs beside its weights."""
        checkpoint["decoder"] = {
            "subjects": dict(self.subjects),
            "space": self.space.to_dict(),
            "text_space": self.text_space.to_dict(),
            "layout": None if self.layout is None else self.layout.to_dict(),
            "standardisations": self.standardisations,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Rebuild the network that the checkpoint is of, and refuse data that it cannot decode."""
        if "decoder" not in checkpoint:
            raise ValueError(f"not a checkpoint of {type(self).__name__}: it names no subjects and no embedding space")
        about = checkpoint["decoder"]
        space = EmbeddingSpace.from_dict(about["space"])
        self.standardisations = about["standardisations"]
        changed = self.model is None or about["subjects"] != self.subjects or space != self.space
        previous = self.subjects if self.model is not None else {}
        self.subjects, found = dict(about["subjects"]), getattr(self, "space", space)
        self.space, self.text_space = space, EmbeddingSpace.from_dict(about.get("text_space", about["space"]))
        self.layout = layout_from_dict(about.get("layout"))
        data = getattr(self._trainer, "datamodule", None) if self._trainer is not None else None
        if data is not None:
            space.require(found, "the checkpoint")
            require_layout(self.layout, data.layout, "the checkpoint")
            for name in previous.keys() & self.subjects.keys():
                if previous[name] != self.subjects[name]:
                    raise ValueError(
                        f"betas of {name}: {previous[name]} voxels, but the checkpoint expects {self.subjects[name]}; "
                        "give it the voxels, of the same mask, that it was trained on"
                    )
            self._bring_to(data)
        if changed:
            self.configure_models()

    def _bring_to(self, data: Any) -> None:
        self._share_ids(data)
        data.use_standardisations(
            {name: (s["mean"].numpy(), s["std"].numpy()) for name, s in self.standardisations.items()}
        )

    def _share_ids(self, data: Any) -> None:
        new = getattr(self.model, "takes_new_subjects", False)  # a network that decodes whom it was not trained on
        self.new_subjects = data.use_subjects(list(self.subjects), new)[len(self.subjects) :]

    def _score(self, stage: str, batch: Batch) -> None:
        image, _ = self.predict_embeddings(batch)
        self.retrieval[stage].update(image, self.target(batch, stage), batch.subject)

    def _log_scores(self, stage: str) -> None:
        metric, short = self.retrieval[stage], {"validation": "val", "testing": "test"}[stage]
        names = self.names
        scores = metric.by_subject()
        for number, score in scores.items():
            self.log(f"{short}/top1_{names[number]}", score.float())
        self.log(f"{short}/top1", metric.compute().float(), prog_bar=True)
        metric.reset()
