"""Betas of a cohort with CLIP targets."""

from __future__ import annotations

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
from braindecode_x.datasets.betas import BetasCohort, SubjectBetas
from braindecode_x.files import unknown_name


@dataclass(frozen=True)
class Standardisation:
    """Mean and standard deviation of every voxel over a subject's training trials.

    Attributes
    ----------
    mean, std : numpy.ndarray
        (voxels,) of float32; a voxel that never varies has ``std`` 1.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, betas: np.ndarray) -> Standardisation:
        """Compute it from training trials (trials, voxels)."""
        std = betas.std(axis=0)
        return cls(betas.mean(axis=0), np.where(std > 0, std, 1).astype(np.float32))

    def __call__(self, betas: np.ndarray) -> np.ndarray:
        """Standardise (..., voxels)."""
        return (betas - self.mean) / self.std


class PictureTrials(Dataset):
    """One subject's pictures; an item is a mix of the picture's repeats.

    Parameters
    ----------
    betas : numpy.ndarray
        (trials, voxels), standardised.
    stimuli : numpy.ndarray
        (trials,) of str.
    subject : int
    targets : mapping of str to tuple of torch.Tensor
        Image and text target of each picture; a picture that is not there has none.
    mix : bool or "one"
        Draw a random number of the repeats (or one of them) and average these, instead of averaging all. Draws come
        from torch's global generator.
    """

    def __init__(
        self,
        betas: np.ndarray,
        stimuli: np.ndarray,
        subject: int,
        targets: Mapping[str, tuple[torch.Tensor, torch.Tensor | None]],
        mix: bool | Literal["one"],
    ):
        self.betas, self.subject, self.targets, self.mix = torch.from_numpy(betas), subject, targets, mix
        self.rows: dict[str, list[int]] = {}
        for row, stimulus in enumerate(stimuli.tolist()):
            self.rows.setdefault(stimulus or f"\0{row}", []).append(row)  # unlabelled trials are not averaged
        self.names = list(self.rows)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Trial:
        name = self.names[index]
        rows = torch.tensor(self.rows[name])
        if self.mix and len(rows) > 1:
            order = torch.randperm(len(rows))
            rows = rows[order[: 1 if self.mix == "one" else int(torch.randint(1, len(rows) + 1, ()))]]
        image, text = self.targets.get(name, (None, None))
        stimulus = "" if name.startswith("\0") else name
        return Trial(self.betas[rows].mean(0), self.subject, stimulus, image, text, repeats=len(rows))


class BetasDataModule(L.LightningDataModule):
    """Batches that mix the trials of several subjects, with their pictures' embeddings.

    Voxels are standardised with the training trials' statistics. Validation, test and prediction average a picture's
    repeats.

    Parameters
    ----------
    cohort : BetasCohort
        For example `SimulatedFmri` or `TableBetas`.
    subjects : sequence of str, optional
        Default: all of the cohort.
    clip, clip_pretrained, clip_device : str
        See `ClipEncoder`; gives the targets.
    kind : {"pooled", "tokens"}
        Targets: one vector a picture and caption, or every token, see `TokenEncoder`. Tokens are read from the cache as
        they are needed, in float16.
    batch_size : int
        Trials, of all subjects together.
    mix_repeats : bool or "one"
        Train on averages of a random number of a picture's repeats (or on one of them, as MindBridge was published),
        instead of all of them.
    n_training_pictures : int, optional
        Use only so many training pictures, drawn at random; the same for every subject.
    seed : int
        Of that draw.
    predict_split : {"train", "validation", "test", "predict"}
        What ``predict`` decodes.

    Raises
    ------
    ValueError
        Unknown subject, kind or split, or a number of pictures that is not there.
    """

    def __init__(
        self,
        cohort: BetasCohort,
        subjects: Sequence[str] | None = None,
        clip: str = "embedded",
        clip_pretrained: str | None = None,
        clip_device: str = "cpu",
        kind: Literal["pooled", "tokens"] = "pooled",
        batch_size: int = 256,
        mix_repeats: bool | Literal["one"] = True,
        n_training_pictures: int | None = None,
        seed: int = 0,
        predict_split: str = "test",
    ):
        super().__init__()
        if kind not in ("pooled", "tokens"):
            raise unknown_name("kind of targets", kind, ("pooled", "tokens"))
        self.cohort, self.kind = cohort, kind
        self.clip, self.clip_pretrained, self.clip_device = clip, clip_pretrained, clip_device
        self.subjects = tuple(cohort.subjects if subjects is None else subjects)
        for name in self.subjects:
            if name not in cohort.subjects:
                raise unknown_name("subject", name, cohort.subjects)
        self.batch_size, self.mix_repeats, self.seed = batch_size, mix_repeats, seed
        self.n_training_pictures, self.predict_split = n_training_pictures, predict_split
        self.ids = {name: number for number, name in enumerate(self.subjects)}

    @cached_property
    def recordings(self) -> dict[str, SubjectBetas]:
        """Every subject's betas, read once; a value that is not finite is a ValueError."""
        recordings = {name: self.cohort.subject(name) for name in self.subjects}
        for name, recording in recordings.items():
            bad = np.argwhere(~np.isfinite(recording.betas))
            if len(bad):
                raise ValueError(
                    f"betas of {name}: {len(bad)} values are not finite, the first in trial {bad[0, 0]}, "
                    f"voxel {bad[0, 1]}"
                )
        return recordings

    @cached_property
    def standardisations(self) -> dict[str, Standardisation]:
        """Every subject's, from the training trials in use."""
        return {name: Standardisation.of(self._trials(name, "train")[0]) for name in self.subjects}

    @property
    def voxels(self) -> dict[str, int]:
        """Number of voxels by subject: what `MindBridge` is built with."""
        return {name: recording.betas.shape[1] for name, recording in self.recordings.items()}

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

    def use_subjects(self, names: Sequence[str]) -> None:
        """Take a trained network's order of subjects, so that ids mean the same; it may know more than are here.

        Raises
        ------
        ValueError
            A subject is unknown to the network.
        """
        for name in self.subjects:
            if name not in names:
                raise ValueError(
                    f"unknown subject of the checkpoint {name!r}: it knows {', '.join(names)}; name known ones in "
                    "data.init_args.subjects, or adapt a trained decoder with model.init_args.pretrained"
                )
        self.ids = {name: names.index(name) for name in self.subjects}

    def use_standardisations(self, known: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Standardise by means and standard deviations that a trained decoder brings, not by those of this data."""
        self.standardisations = {name: Standardisation(*known[name]) for name in self.subjects if name in known}

    def averaged(self, name: str, split: str) -> tuple[list[str], np.ndarray]:
        """Return a subject's pictures of a split and standardised patterns, repeats averaged."""
        betas, stimuli = self._trials(name, split)
        data = PictureTrials(self.standardisations[name](betas), stimuli, self.ids[name], {}, mix=False)
        return data.names, np.stack([data[row].brain.numpy() for row in range(len(data))])

    def train_dataloader(self) -> DataLoader:
        """Give shuffled batches over all subjects; a rest that is smaller than a batch is left out."""
        data = self._dataset("train", self.mix_repeats)
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
        return DataLoader(self._dataset(split, mix=False), batch_size=self.batch_size, collate_fn=collate)

    def _dataset(self, split: str, mix: bool | Literal["one"]) -> ConcatDataset:
        parts = []
        for name in self.subjects:
            betas, stimuli = self._trials(name, split)
            parts.append(PictureTrials(self.standardisations[name](betas), stimuli, self.ids[name], self.targets, mix))
        return ConcatDataset(parts)

    def _trials(self, name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Return betas and stimuli of a subject's trials of a split."""
        recording = self.recordings[name]
        trials = recording.trials
        chosen = (trials["split"] == split).to_numpy()
        if not chosen.any():
            raise ValueError(
                f"{name}: no trials of the split {split!r}; it has {sorted(trials['split'].astype(str).unique())}"
            )
        if split == "train" and self.n_training_pictures is not None:
            chosen = chosen & trials["stimulus"].isin(self._drawn).to_numpy()
        return recording.betas[chosen], trials["stimulus"].to_numpy(dtype=str)[chosen]

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
