"""What the data modules share: subjects, splits, the pictures' embeddings."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from braindecode_x.clip import ClipEncoder, EmbeddingSpace, TokenEncoder, image_targets, text_targets
from braindecode_x.datamodules.batch import Trial, collate
from braindecode_x.datasets.cohort import Cohort, SubjectTrials
from braindecode_x.datasets.windows_layout import TrialsLayout
from braindecode_x.files import unknown_name

Mix = bool | int | Literal["one"]
Targets = Mapping[str, tuple[torch.Tensor, torch.Tensor | None]]


@dataclass(frozen=True)
class Standardisation:
    """Mean and standard deviation over a subject's training trials.

    Attributes
    ----------
    mean, std : numpy.ndarray
        Of float32, such that a trial less ``mean``, divided by ``std``, is standardised: (voxels,) for betas,
        (channels, 1) for epochs. What never varies has ``std`` 1.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, responses: np.ndarray) -> Standardisation:
        """Compute it from training trials (trials, ...), for every voxel by itself."""
        std = responses.std(axis=0)
        return cls(responses.mean(axis=0), np.where(std > 0, std, 1).astype(np.float32))

    def __call__(self, responses: np.ndarray) -> np.ndarray:
        """Standardise trials (..., *trial)."""
        return (responses - self.mean) / self.std


class PictureTrials(Dataset):
    """One subject's pictures; an item is a mix of the picture's repeats.

    Parameters
    ----------
    responses : numpy.ndarray
        (trials, ...), standardised.
    stimuli : numpy.ndarray
        (trials,) of str.
    subject : int
    targets : mapping of str to tuple of torch.Tensor
        Image and text target of each picture; a picture that is not there has none.
    mix : bool, int or "one"
        Draw a random number of the repeats (up to so many of them, or one of them) and average these, instead of
        averaging all. Draws come from torch's global generator.
    """

    times: torch.Tensor | None = None
    tr: float | None = None

    def __init__(self, responses: np.ndarray, stimuli: np.ndarray, subject: int, targets: Targets, mix: Mix):
        self.responses, self.subject, self.targets, self.mix = responses, subject, targets, mix
        self.rows: dict[str, list[int]] = {}
        for row, stimulus in enumerate(stimuli.tolist()):
            self.rows.setdefault(stimulus or f"\0{row}", []).append(row)  # unlabelled trials are not averaged
        self.names = list(self.rows)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Trial:
        name = self.names[index]
        rows = self._drawn(self.rows[name])
        image, text = self.targets.get(name, (None, None))
        stimulus = "" if name.startswith("\0") else name
        return Trial(self.brain(rows), self.subject, stimulus, image, text, self.times, self.tr, len(rows))

    def brain(self, rows: list[int]) -> torch.Tensor:
        """Average some of the trials."""
        return torch.from_numpy(self.responses[rows]).mean(0)

    def _drawn(self, rows: list[int]) -> list[int]:
        if self.mix is False or len(rows) == 1:
            return rows
        most = len(rows) if self.mix is True else 1 if self.mix == "one" else min(int(self.mix), len(rows))
        order = torch.randperm(len(rows)).tolist()
        count = int(torch.randint(1, most + 1, ())) if most > 1 else 1
        return [rows[place] for place in order[:count]]


class CohortDataModule(L.LightningDataModule, ABC):
    """Batches that mix the trials of several subjects, with their pictures' embeddings.

    `BetasDataModule`, `EpochsDataModule` and `WindowsDataModule` say what a trial is. Trials are standardised with the
    training trials' statistics. Validation, test and prediction average a picture's repeats.

    Parameters
    ----------
    cohort : Cohort
    subjects : sequence of str, optional
        Default: all of the cohort.
    clip, clip_pretrained, clip_device : str
        See `ClipEncoder`; gives the targets.
    kind : {"pooled", "tokens"}
        Targets: one vector a picture and caption, or every token, see `TokenEncoder`. Tokens are read from the cache as
        they are needed, in float16.
    batch_size : int
        Trials, of all subjects together.
    mix_repeats : bool, int or "one"
        Train on averages of a random number of a picture's repeats (of up to so many; or on one of them, as MindBridge
        was published), instead of all of them.
    n_training_pictures : int, optional
        Use only so many training pictures, drawn at random; the same for every subject.
    seed : int
        Of that draw.
    predict_split : {"train", "validation", "test", "predict"}
        What ``predict`` decodes.

    Attributes
    ----------
    subjects : tuple of str
        Who is decoded.
    ids : dict of str to int
        The id of each, by which batches name it.

    Raises
    ------
    ValueError
        Unknown subject, kind or split, or a number that is out of its range.
    """

    def __init__(
        self,
        cohort: Cohort,
        subjects: Sequence[str] | None = None,
        clip: str = "embedded",
        clip_pretrained: str | None = None,
        clip_device: str = "cpu",
        kind: Literal["pooled", "tokens"] = "pooled",
        batch_size: int = 256,
        mix_repeats: bool | int | Literal["one"] = True,
        n_training_pictures: int | None = None,
        seed: int = 0,
        predict_split: str = "test",
    ):
        super().__init__()
        if kind not in ("pooled", "tokens"):
            raise unknown_name("kind of targets", kind, ("pooled", "tokens"))
        if mix_repeats != "one" and (isinstance(mix_repeats, str) or (mix_repeats < 1 and mix_repeats is not False)):
            raise ValueError(
                f"mix_repeats: expected true, false, one, or a number of at least 1, found {mix_repeats!r}"
            )
        self.cohort, self.kind = cohort, kind
        self.clip, self.clip_pretrained, self.clip_device = clip, clip_pretrained, clip_device
        self.subjects = tuple(cohort.subjects if subjects is None else subjects)
        for name in self.subjects:
            if name not in cohort.subjects:
                raise unknown_name("subject", name, cohort.subjects)
        self.batch_size, self.mix_repeats, self.seed = batch_size, mix_repeats, seed
        self.n_training_pictures, self.predict_split = n_training_pictures, predict_split
        self.ids = {name: number for number, name in enumerate(self.subjects)}

    @property
    def layout(self) -> TrialsLayout | None:
        """Channels or parcels, and times, of the trials; None where trials have none."""
        return None

    @cached_property
    @abstractmethod
    def recordings(self) -> Mapping[str, SubjectTrials]:
        """Every subject's trials, read once; a ValueError when they cannot be decoded as they are."""

    @abstractmethod
    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of one trial of a subject as batches hold it."""

    @abstractmethod
    def standardisation(self, name: str, rows: np.ndarray) -> Standardisation:
        """Compute a subject's mean and standard deviation over some of its trials, numbers (n,)."""

    @abstractmethod
    def pictures(self, name: str, rows: np.ndarray, targets: Targets, training: bool) -> PictureTrials:
        """Make the data set of some of a subject's trials, numbers (n,); repeats are mixed in training only."""

    @cached_property
    def standardisations(self) -> dict[str, Standardisation]:
        """Every subject's, from the training trials in use."""
        return {name: self.standardisation(name, self._rows(name, "train")) for name in self.subjects}

    @property
    def sizes(self) -> dict[str, int]:
        """Number of values in a trial by subject: voxels, or channels times samples."""
        return {name: math.prod(self.shape(name)) for name in self.subjects}

    @cached_property
    def encoder(self) -> ClipEncoder | TokenEncoder:
        """The model behind the targets."""
        encoder = ClipEncoder(self.clip, self.clip_pretrained, self.clip_device)
        return TokenEncoder(encoder) if self.kind == "tokens" else encoder

    @property
    def space(self) -> EmbeddingSpace:
        """What is predicted of pictures."""
        return self.encoder.space

    @property
    def text_space(self) -> EmbeddingSpace:
        """What is predicted of captions; pooled, the pictures' own."""
        return self.encoder.text_space

    @cached_property
    def targets(self) -> dict[str, tuple[torch.Tensor, torch.Tensor | None]]:
        """Image and text embedding of every picture of the cohort, in memory-mapped files.

        Text is None when a picture has no caption.
        """
        stimuli = self.cohort.stimuli
        if not len(stimuli):
            return {}
        image = image_targets(stimuli, self.encoder)
        text: Any = [None] * len(image)
        if all(stimuli.captions):
            text = text_targets(stimuli, self.encoder)
        return dict(zip(stimuli.ids, zip(image, text, strict=True), strict=True))

    def use_subjects(self, names: Sequence[str], new: bool = False) -> list[str]:
        """Take a trained network's order of subjects, so that ids mean the same; it may know more than are here.

        Parameters
        ----------
        names : sequence of str
            Subjects of the network, by id.
        new : bool
            The network takes subjects that it was not trained on: they get the ids that follow.

        Returns
        -------
        list of str
            The subjects of ``names``, then new ones, by id.

        Raises
        ------
        ValueError
            A subject is unknown to the network, which takes no new ones.
        """
        known = list(names)
        for name in self.subjects:
            if name not in known and not new:
                raise ValueError(
                    f"unknown subject of the checkpoint {name!r}: it knows {', '.join(names)}; name known ones in "
                    "data.init_args.subjects, or adapt a trained decoder with model.init_args.pretrained"
                )
            if name not in known:
                known.append(name)
        self.ids = {name: known.index(name) for name in self.subjects}
        return known

    def use_standardisations(self, known: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Standardise by means and standard deviations that a trained decoder brings, not by those of this data.

        A new subject's are those of its training trials, or of all trials when it has none.
        """
        self.standardisations = {
            name: Standardisation(*known[name]) if name in known else self.standardisation(name, self._any_rows(name))
            for name in self.subjects
        }

    def averaged(self, name: str, split: str) -> tuple[list[str], np.ndarray]:
        """Return a subject's pictures of a split and standardised trials (pictures, ...), repeats averaged."""
        data = self.pictures(name, self._rows(name, split), {}, training=False)
        return data.names, np.stack([data[row].brain.numpy() for row in range(len(data))])

    def shown(self, name: str, split: str) -> list[str]:
        """Return the pictures of a split that a subject saw, each once, in the order of their first trials."""
        stimuli = self.recordings[name].stimuli(self._rows(name, split))
        return [stimulus for stimulus in dict.fromkeys(stimuli.tolist()) if stimulus]

    def train_dataloader(self) -> DataLoader:
        """Give shuffled batches over all subjects; a rest that is smaller than a batch is left out."""
        data = self._dataset("train", training=True)
        whole = len(data) >= self.batch_size
        return DataLoader(data, batch_size=self.batch_size, shuffle=True, collate_fn=collate, drop_last=whole)

    def val_dataloader(self) -> DataLoader:
        """Give validation pictures, repeats averaged, subject by subject."""
        return self._ordered("validation")

    def test_dataloader(self) -> DataLoader:
        """Give test pictures, repeats averaged, subject by subject."""
        return self._ordered("test")

    def predict_dataloader(self) -> DataLoader:
        """Give pictures (or unlabelled trials) of ``predict_split``."""
        return self._ordered(self.predict_split)

    def _ordered(self, split: str) -> DataLoader:
        return DataLoader(self._dataset(split), batch_size=self.batch_size, collate_fn=collate)

    def _dataset(self, split: str, training: bool = False) -> ConcatDataset:
        parts = [self.pictures(name, self._rows(name, split), self.targets, training) for name in self.subjects]
        return ConcatDataset(parts)

    def _any_rows(self, name: str) -> np.ndarray:
        trials = self.recordings[name].trials
        return self._rows(name, "train") if (trials["split"] == "train").any() else np.arange(len(trials))

    def _rows(self, name: str, split: str) -> np.ndarray:
        """Return the numbers of a subject's trials of a split."""
        trials = self.recordings[name].trials
        chosen = (trials["split"] == split).to_numpy()
        if not chosen.any():
            raise ValueError(
                f"{name}: no trials of the split {split!r}; it has {sorted(trials['split'].astype(str).unique())}"
            )
        if split == "train" and self.n_training_pictures is not None:
            chosen = chosen & trials["stimulus"].isin(self._drawn).to_numpy()
        return np.flatnonzero(chosen)

    @cached_property
    def _drawn(self) -> set[str]:
        pictures: set[str] = set()
        for recording in self.recordings.values():
            pictures |= set(recording.trials.loc[recording.trials["split"] == "train", "stimulus"]) - {""}
        wanted = self.n_training_pictures or 0
        if not 2 <= wanted <= len(pictures):
            raise ValueError(f"n_training_pictures: expected 2 to {len(pictures)}, found {wanted}")
        order = np.random.default_rng(self.seed).permutation(sorted(pictures))
        return set(order[:wanted].tolist())
