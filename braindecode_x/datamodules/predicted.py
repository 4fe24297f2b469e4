"""What a trained decoder predicts of brain activity, with the true embeddings: what a prior is trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import lightning as L
import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from torch.utils.data import DataLoader, Dataset

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.datamodules.base import CohortDataModule
from braindecode_x.datamodules.batch import Batch, Trial, collate
from braindecode_x.datasets.windows_layout import require_layout
from braindecode_x.decoder import BrainDecoder
from braindecode_x.files import unknown_name

CONDITIONS = ("noisy", "predicted")


@dataclass(frozen=True)
class PredictionNoise:
    """How predictions of pictures that a decoder was not trained on differ from their true embeddings.

    A prediction is ``slope * target + offset`` and normal noise, whose covariance is that of the residuals, shrunk
    towards one without direction (Ledoit & Wolf 2004): few pictures do not show all directions.

    Attributes
    ----------
    slope : torch.Tensor
        (subjects,).
    offset : torch.Tensor
        (subjects, d).
    scale : torch.Tensor
        (subjects,): root mean square of the residuals.
    residuals : torch.Tensor
        (n, d) of all subjects, each divided by its subject's scale. Tokens are flattened to d values.
    shrinkage : float
        Share of the noise's variance that has no direction.
    """

    slope: torch.Tensor
    offset: torch.Tensor
    scale: torch.Tensor
    residuals: torch.Tensor
    shrinkage: float

    @classmethod
    def of(cls, predicted: torch.Tensor, target: torch.Tensor, subject: torch.Tensor) -> Self:
        """Estimate it from predictions and targets (n, ...) of subjects (n,), numbered from 0."""
        predicted, target, parts = predicted.flatten(1), target.flatten(1), []
        for number in range(int(subject.max()) + 1):
            p, t = predicted[subject == number], target[subject == number]
            t_mean = t.mean(0)
            slope = ((p - p.mean(0)) * (t - t_mean)).sum() / (t - t_mean).square().sum().clamp_min(1e-12)
            offset = p.mean(0) - slope * t_mean
            residuals = p - slope * t - offset
            scale = residuals.square().mean().sqrt().clamp_min(1e-12)
            parts.append((slope, offset, scale, residuals / scale))
        slopes, offsets, scales, all_residuals = zip(*parts, strict=True)
        together = torch.cat(all_residuals)
        shrinkage = float(ledoit_wolf_shrinkage(together.numpy(), assume_centered=True))
        return cls(torch.stack(slopes), torch.stack(offsets), torch.stack(scales), together, shrinkage)

    def __call__(self, target: torch.Tensor, subject: torch.Tensor) -> torch.Tensor:
        """Draw predictions of targets (n, ...) as of subjects (n,), from torch's global generator."""
        shape, target = target.shape, target.flatten(1)
        mixes = torch.randn(len(target), len(self.residuals)) / len(self.residuals) ** 0.5
        noise = (1 - self.shrinkage) ** 0.5 * mixes @ self.residuals + self.shrinkage**0.5 * torch.randn_like(target)
        mean = self.slope[subject, None] * target + self.offset[subject]
        return (mean + self.scale[subject, None] * noise).view(shape)


class PredictedPictures(Dataset):
    """Predictions with their true embeddings.

    Parameters
    ----------
    batch : Batch
        All of them; ``brain`` is (n, ...).
    noise : PredictionNoise, optional
        Draw the predictions anew each time, by this. The batch's subjects are numbers of its subjects then.
    """

    def __init__(self, batch: Batch, noise: PredictionNoise | None = None):
        self.batch, self.noise = batch, noise

    def __len__(self) -> int:
        return len(self.batch)

    def __getitems__(self, rows: list[int]) -> list[Trial]:
        """Return several at once."""
        all_of = self.batch
        brain, subject, target = all_of.brain[rows], all_of.subject[rows], all_of.image_target
        if self.noise is not None and target is not None:
            brain = self.noise(target[rows], subject)
        repeats = torch.ones(len(all_of), dtype=torch.int64) if all_of.repeats is None else all_of.repeats
        return [
            Trial(
                brain[place],
                int(subject[place]),
                all_of.stimulus[row],
                None if target is None else target[row],
                repeats=int(repeats[row]),
            )
            for place, row in enumerate(rows)
        ]


def matched_decoder(source: str | Path | BrainDecoder, data: CohortDataModule) -> tuple[BrainDecoder, list[str]]:
    """Load a trained decoder, and bring a data module to its order of subjects and its statistics.

    Parameters
    ----------
    source : str, Path or BrainDecoder
        Its folder, or the decoder itself.
    data : CohortDataModule

    Returns
    -------
    decoder : BrainDecoder
    names : list of str
        By id: the decoder's subjects, then new ones.

    Raises
    ------
    FileNotFoundError, ValueError
        Not a decoder's folder, or one of other trials, of another space or of other subjects than the data.
    """
    decoder = source if isinstance(source, BrainDecoder) else BrainDecoder.from_pretrained(source)
    who = "the decoder" if isinstance(source, BrainDecoder) else f"decoder folder {str(source)!r}"
    decoder.space.require(data.space, who)
    require_layout(decoder.layout, data.layout, who)
    new = getattr(decoder.model, "takes_new_subjects", False)
    names = data.use_subjects(list(decoder.model.subjects), new)
    data.use_standardisations({name: (s["mean"].numpy(), s["std"].numpy()) for name, s in decoder.statistics.items()})
    return decoder, names


class PredictedEmbeddings(L.LightningDataModule):
    """Batches whose ``brain`` is what a decoder predicts, (batch, d) or (batch, tokens, d), with true embeddings.

    Parameters
    ----------
    decoder : str or Path
        Folder of a trained decoder, see `BrainDecoder`.
    data : CohortDataModule
        Brain activity and pictures.
    conditions : {"noisy", "predicted"}
        What is trained on. ``predicted``, as published: predictions of training trials, though they are better than a
        decoder can do for new ones. ``noisy``: true embeddings that are disturbed as predictions of validation trials
        are, see `PredictionNoise`; every second validation picture tells how, and validation is on the others.
    draws : int
        With ``predicted``: how often the training trials are drawn, mixed and augmented as ``data`` says, and decoded.
    batch_size : int
    seed : int
        Of these draws.

    Raises
    ------
    ValueError
        Unknown conditions, or a number below 1.
    """

    layout = None

    def __init__(
        self,
        decoder: str | Path,
        data: CohortDataModule,
        conditions: Literal["noisy", "predicted"] = "predicted",
        draws: int = 4,
        batch_size: int = 1024,
        seed: int = 0,
    ):
        super().__init__()
        if conditions not in CONDITIONS:
            raise unknown_name("conditions", conditions, CONDITIONS)
        if draws < 1 or batch_size < 1:
            raise ValueError(f"draws and batch_size: expected at least 1, found {draws} and {batch_size}")
        self.folder, self.data, self.conditions = decoder, data, conditions
        self.draws, self.batch_size, self.seed = draws, batch_size, seed
        self.standardisations: dict[str, None] = {}

    @cached_property
    def decoder(self) -> BrainDecoder:
        """The trained decoder; the data module is brought to its subjects and statistics."""
        decoder, self.names = matched_decoder(self.folder, self.data)
        return decoder

    @property
    def predict_split(self) -> str:
        """What ``predict`` takes: the data module's."""
        return self.data.predict_split

    @property
    def sizes(self) -> dict[str, int]:
        """Number of values of a prediction, by subject."""
        self.decoder  # noqa: B018 (it tells the names)
        return dict.fromkeys(self.names, math.prod(self.space.shape))

    @property
    def space(self) -> EmbeddingSpace:
        """Of predictions and true embeddings."""
        return self.data.space

    @property
    def text_space(self) -> EmbeddingSpace:
        """The data module's."""
        return self.data.text_space

    def use_subjects(self, names: list[str], new: bool = False) -> list[str]:
        """Keep the decoder's order of subjects."""
        return [*names, *(name for name in self.data.subjects if name not in names)]

    def use_standardisations(self, known: dict[str, None]) -> None:
        """Do nothing: activity is standardised by the decoder's statistics."""

    @cached_property
    def training_targets(self) -> torch.Tensor:
        """True embeddings of the training pictures in use, each once: (pictures, ...)."""
        return torch.stack([target for target, _ in self._training_pictures().values()]).float()

    def predicted(self, split: str) -> Batch:
        """Decode a split, repeats averaged but in training, subject by subject: one batch of all."""
        return collate(self._decoded(split))

    @torch.no_grad()
    def _decoded(self, split: str) -> list[Trial]:
        model, space = self.decoder.model, self.space
        loaders = {"train": self.data.train_dataloader, "validation": self.data.val_dataloader}
        loader = loaders.get(split, self.data.test_dataloader if split == "test" else self.data.predict_dataloader)
        trials: list[Trial] = []
        for batch in loader():
            image = space.normalised(model(batch.brain, batch.subject, batch.mask).image)
            targets = [None] * len(batch) if batch.image_target is None else batch.image_target
            for row, target in enumerate(targets):
                repeats = 1 if batch.repeats is None else int(batch.repeats[row])
                subject, stimulus = int(batch.subject[row]), batch.stimulus[row]
                trials.append(Trial(image[row], subject, stimulus, target, repeats=repeats))
        return trials

    @cached_property
    def noise(self) -> PredictionNoise:
        """How predictions differ from true embeddings, on every second validation picture."""
        batch = collate(self._validation(0))
        return PredictionNoise.of(batch.brain, _targets(batch), self._place(batch.subject))

    def train_dataloader(self) -> DataLoader:
        """Give shuffled batches, in whole ones where there are enough pictures."""
        data = self._noisy() if self.conditions == "noisy" else self._drawn()
        whole = len(data) >= self.batch_size
        return DataLoader(data, batch_size=self.batch_size, shuffle=True, collate_fn=collate, drop_last=whole)

    def val_dataloader(self) -> DataLoader:
        """Give predictions of validation trials, of pictures that noise was not estimated on."""
        trials = self._validation(1) if self.conditions == "noisy" else self._decoded("validation")
        return self._batches(trials)

    def test_dataloader(self) -> DataLoader:
        """Give predictions of test trials."""
        return self._ordered("test")

    def predict_dataloader(self) -> DataLoader:
        """Give predictions of the trials of ``predict_split``."""
        return self._ordered(self.predict_split)

    def _ordered(self, split: str) -> DataLoader:
        return self._batches(self._decoded(split))

    def _batches(self, trials: list[Trial]) -> DataLoader:
        return DataLoader(PredictedPictures(collate(trials)), batch_size=self.batch_size, collate_fn=collate)

    def _validation(self, half: int) -> list[Trial]:
        """Decode every second validation picture, or (1) the others."""
        trials = self._decoded("validation")
        chosen = set(sorted({trial.stimulus for trial in trials})[half::2])
        found = [trial for trial in trials if trial.stimulus in chosen]
        if len({trial.subject for trial in found}) < len(self.data.subjects):
            raise ValueError(
                "conditions: noisy needs two validation pictures or more that every subject saw, one to tell how "
                "predictions differ and one to validate on; take predicted"
            )
        return found

    def _noisy(self) -> PredictedPictures:
        pictures = self._training_pictures()
        n = len(self.data.subjects)
        target = torch.stack([image for image, _ in pictures.values()]).float().repeat_interleave(n, 0)
        subject = torch.arange(n).repeat(len(pictures))
        names = [name for name in pictures for _ in range(n)]
        return PredictedPictures(Batch(target, subject, names, image_target=target), self.noise)

    def _drawn(self) -> PredictedPictures:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return PredictedPictures(collate([trial for _ in range(self.draws) for trial in self._decoded("train")]))

    def _training_pictures(self) -> dict[str, tuple[torch.Tensor, torch.Tensor | None]]:
        pictures: dict[str, tuple[torch.Tensor, torch.Tensor | None]] = {}
        for name in self.data.subjects:
            for stimulus in self.data.shown(name, "train"):
                pictures[stimulus] = self.data.targets[stimulus]
        return pictures

    def _place(self, subject: torch.Tensor) -> torch.Tensor:
        """Turn ids into numbers of the data module's subjects."""
        order = {self.data.ids[name]: number for number, name in enumerate(self.data.subjects)}
        return torch.tensor([order[number] for number in subject.tolist()])


def _targets(batch: Batch) -> torch.Tensor:
    if batch.image_target is None:
        raise ValueError("a prior needs pictures: validation trials are unlabelled")
    return batch.image_target.float()
