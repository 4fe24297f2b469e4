"""One linear map a subject, with the interface of the networks: what ridge fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from braindecode_x.models.base import DecoderOutput, KnowsSubjects
from braindecode_x.models.voxels import Brain, split_by_subject


class LinearDecoder(KnowsSubjects, nn.Module):
    """A linear map from voxels, or flattened epochs, to image and text embedding for each subject.

    All zeros until it is filled.

    Parameters
    ----------
    subjects : mapping of str to int
        Names with numbers of voxels, or of channels times samples; a subject's id is its place here.
    shape : sequence of int
        Of one embedding.
    """

    def __init__(self, subjects: Mapping[str, int], shape: Sequence[int]):
        super().__init__()
        self.subjects, self.shape = dict(subjects), tuple(shape)
        self.maps = nn.ModuleDict(
            {name: nn.Linear(n_voxels, 2 * math.prod(self.shape)) for name, n_voxels in self.subjects.items()}
        )
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's values, plain enough for JSON."""
        return {"subjects": dict(self.subjects), "shape": list(self.shape)}

    def forward(self, brain: Brain, subject: torch.Tensor, mask: torch.Tensor | None = None) -> DecoderOutput:
        """Predict embeddings for trials of any subjects; arguments and errors as of `MindBridge`.

        Epochs (batch, channels, times) are flattened.
        """
        if isinstance(brain, torch.Tensor) and brain.ndim > 2:
            brain, mask = brain.flatten(1), None if mask is None else mask.flatten(1)
        names = list(self.subjects)
        ids = subject.tolist()
        if unknown := sorted(set(ids) - set(range(len(names)))):
            raise ValueError(f"subject: the ids {unknown} are unknown to this decoder; it knows {names}")
        trials = split_by_subject(brain, ids, mask)
        for number, (_, voxels) in trials.items():
            if voxels.shape[1] != (expected := self.subjects[names[number]]):
                raise ValueError(f"brain: subject {names[number]!r} has {expected} voxels, found {voxels.shape[1]}")
        places = torch.tensor([place for rows, _ in trials.values() for place in rows]).argsort().to(subject.device)
        both = torch.cat([self.maps[names[number]](voxels) for number, (_, voxels) in trials.items()])[places]
        image, text = both.unflatten(1, (2, *self.shape)).unbind(1)
        return DecoderOutput(image, text)
