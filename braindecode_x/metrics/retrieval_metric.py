"""Retrieval as a torchmetrics metric, for the log of a training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from braindecode_x.metrics.retrieval import ranks, similarity


class RetrievalAccuracy(Metric):
    """Top-1 retrieval (cosine) of the right picture among all that a subject was shown; the mean over subjects."""

    full_state_update = False
    higher_is_better = True
    predicted: list[torch.Tensor]
    target: list[torch.Tensor]
    subject: list[torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("predicted", "target", "subject"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, predicted: torch.Tensor, target: torch.Tensor, subject: torch.Tensor) -> None:
        """Add trials: embeddings (n, ...), flattened and kept in the precision of the targets, and subjects (n,)."""
        self.predicted.append(F.normalize(predicted.flatten(1).float(), dim=1).to(target.dtype))
        self.target.append(target.flatten(1))
        self.subject.append(subject)

    def compute(self) -> torch.Tensor:
        """Return the mean over subjects, in [0, 1]."""
        return torch.stack(list(self.by_subject().values())).mean()

    def by_subject(self) -> dict[int, torch.Tensor]:
        """Return the accuracy of each subject by id; a picture shown twice counts once as a candidate."""
        predicted, target = dim_zero_cat(self.predicted), dim_zero_cat(self.target)
        subject = dim_zero_cat(self.subject)
        scores = {}
        for number in subject.unique().tolist():
            mine = subject == number
            candidates, place = target[mine].unique(dim=0, return_inverse=True)
            rank = ranks(similarity(predicted[mine], candidates), place)
            scores[number] = (rank < 0.5).double().mean()
        return scores
