"""The one structure that every data module hands to every task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch


@dataclass
class Batch:
    """Brain activity of trials of any subjects, with what was seen.

    Attributes
    ----------
    brain : torch.Tensor
        (batch, ...), for fMRI betas (batch, voxels), padded with zeros where subjects differ in length.
    subject : torch.Tensor
        (batch,) of int64, the subject's place among the task's subjects.
    stimulus : list of str
        Ids; empty where unknown.
    mask : torch.Tensor or None
        Of ``brain``'s shape, bool: true where something was measured. None: everywhere.
    image_target, text_target : torch.Tensor or None
        (batch, ...) embeddings; None for unlabelled brain data.
    times : torch.Tensor or None
        (batch, times), seconds from the stimulus, where ``brain`` has a time axis.
    tr : torch.Tensor or None
        (batch,) seconds, the repetition time of each trial's recording.
    repeats : torch.Tensor or None
        (batch,) of int64, how many trials were averaged.
    """

    brain: torch.Tensor
    subject: torch.Tensor
    stimulus: list[str]
    mask: torch.Tensor | None = None
    image_target: torch.Tensor | None = None
    text_target: torch.Tensor | None = None
    times: torch.Tensor | None = None
    tr: torch.Tensor | None = None
    repeats: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.subject)


@dataclass
class Trial:
    """One item of a data set, see `Batch` for the attributes."""

    brain: torch.Tensor
    subject: int
    stimulus: str = ""
    image_target: torch.Tensor | None = None
    text_target: torch.Tensor | None = None
    times: torch.Tensor | None = None
    tr: float | None = None
    repeats: int = 1


def collate(trials: Sequence[Trial]) -> Batch:
    """Put trials together; the last axis of the brain data (and times) is padded with zeros where lengths differ.

    Raises
    ------
    ValueError
        Some trials have a target, times or a repetition time and others do not, or their other axes differ.
    """
    brain, mask = _padded([trial.brain for trial in trials])
    times = _all_or_none("times", [trial.times for trial in trials])
    tr = _all_or_none("tr", [None if trial.tr is None else torch.tensor(trial.tr) for trial in trials])
    image, text = (
        _all_or_none(name, [getattr(trial, name) for trial in trials]) for name in ("image_target", "text_target")
    )
    return Batch(
        brain=brain,
        subject=torch.tensor([trial.subject for trial in trials]),
        stimulus=[trial.stimulus for trial in trials],
        mask=mask,
        image_target=None if image is None else torch.stack(image),
        text_target=None if text is None else torch.stack(text),
        times=None if times is None else _padded(times)[0],
        tr=None if tr is None else torch.stack(tr),
        repeats=torch.tensor([trial.repeats for trial in trials]),
    )


def mix_within_subjects(batch: Batch, concentration: float, generator: torch.Generator) -> Batch:
    """Mix every trial with another of the same subject, brain activity and targets by the same share (mixup).

    Parameters
    ----------
    batch : Batch
        With targets.
    concentration : float
        Shares are drawn from Beta(concentration, concentration): small values mix few trials.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    Batch
        Targets keep the norm that they had.

    Notes
    -----
    Zhang et al. 2018 (mixup); for brain activity and CLIP targets, Scotti et al. 2023 (MixCo).
    """
    partner = torch.arange(len(batch))
    for subject in batch.subject.unique().tolist():
        rows = torch.nonzero(batch.subject.cpu() == subject).flatten()
        partner[rows] = rows[torch.randperm(len(rows), generator=generator)]
    gammas = torch._standard_gamma(torch.full((2, len(batch)), concentration), generator=generator)
    share = (gammas[0] / gammas.sum(0).clamp_min(torch.finfo(torch.float32).tiny)).to(batch.brain)

    def mixed(values: torch.Tensor) -> torch.Tensor:
        return torch.lerp(values[partner], values, share.to(values).view(-1, *[1] * (values.ndim - 1)))

    def mixed_target(target: torch.Tensor | None) -> torch.Tensor | None:
        if target is None:
            return None
        both = mixed(target)
        return both * (target.norm(dim=-1, keepdim=True) / both.norm(dim=-1, keepdim=True).clamp_min(1e-8))

    image, text = mixed_target(batch.image_target), mixed_target(batch.text_target)
    return replace(batch, brain=mixed(batch.brain), image_target=image, text_target=text)


def _padded(parts: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
    shapes = {part.shape for part in parts}
    if len(shapes) == 1:
        return torch.stack(parts), None
    if len({shape[:-1] for shape in shapes}) > 1:
        raise ValueError(f"brain: trials of a batch may differ in their last axis only, found {sorted(shapes)}")
    whole = torch.zeros(len(parts), *parts[0].shape[:-1], max(shape[-1] for shape in shapes), dtype=parts[0].dtype)
    mask = torch.zeros_like(whole, dtype=torch.bool)
    for row, part in enumerate(parts):
        whole[row, ..., : part.shape[-1]] = part
        mask[row, ..., : part.shape[-1]] = True
    return whole, mask


def _all_or_none(name: str, parts: list[torch.Tensor | None]) -> list[torch.Tensor] | None:
    present = [part for part in parts if part is not None]
    if present and len(present) < len(parts):
        raise ValueError(f"{name}: {len(present)} of {len(parts)} trials of a batch have one; expected all or none")
    return present or None
