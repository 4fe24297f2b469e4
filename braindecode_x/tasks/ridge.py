"""Cross-validated ridge on the same road as the networks: the baseline of every table."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from braindecode_x.datamodules.batch import Batch
from braindecode_x.models.linear import LinearDecoder
from braindecode_x.models.ridge import ALPHAS, RidgeDecoder
from braindecode_x.tasks.base import EmbeddingTask


class RidgeTask(EmbeddingTask):
    """Fit `RidgeDecoder` for every subject, to image and text embeddings, when the training starts.

    Each subject's strength is chosen by cross-validation within its training pictures, repeats averaged. Epochs are
    flattened: every sample of every channel has a weight. One epoch of one batch is enough (``trainer.max_epochs: 1``,
    ``trainer.limit_train_batches: 1``).

    Parameters
    ----------
    alphas : list of float
        Strengths to choose from.
    n_folds : int

    Raises
    ------
    ValueError
        Targets that are not pooled: a linear map to every token has some 10^9 weights a subject.
    """

    def __init__(self, alphas: list[float] = list(ALPHAS), n_folds: int = 5):  # noqa: B006 (never changed)
        super().__init__(lr=1.0, weight_decay=0.0, warmup_epochs=0.0)
        self.alphas, self.n_folds = alphas, n_folds
        self.save_hyperparameters()

    def configure_models(self) -> None:
        """Build the linear maps."""
        if self.space.kind != "pooled":
            raise ValueError(f"ridge decodes to pooled embeddings; found [{self.space}] (the data module's kind)")
        self.model = LinearDecoder(self.subjects, self.space.shape)

    def on_fit_start(self) -> None:
        """Fit every subject."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        for name in data.subjects:
            stimuli, brain = data.averaged(name, "train")
            pairs = [data.targets[stimulus] for stimulus in stimuli]
            kinds = [torch.stack([image for image, _ in pairs])]
            if all(text is not None for _, text in pairs):
                kinds.append(torch.stack([text for _, text in pairs]))
            fitted = [self._fit(brain, kind.numpy()) for kind in kinds]
            weights, biases = (np.concatenate(parts, -1) for parts in zip(*fitted, strict=True))
            linear = self.model.maps[name]
            with torch.no_grad():
                linear.weight[: weights.shape[1]] = torch.from_numpy(weights.T)
                linear.bias[: len(biases)] = torch.from_numpy(biases)

    def _fit(self, brain: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        brain, flat = (values.reshape(len(values), -1) for values in (brain, targets))
        decoder = RidgeDecoder(self.alphas, self.n_folds).fit(brain, flat)
        intercept = decoder.predict(np.zeros((1, brain.shape[1]), np.float32))[0]
        return decoder.coefficients, intercept

    def predict_embeddings(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return image and text embeddings of a batch; text is None when pictures had no captions."""
        output = self.model(batch.brain, batch.subject, batch.mask)
        return output.image, output.text if output.text.any() else None

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Change nothing: all is fitted. Lightning counts steps, and saves a checkpoint after the first."""
        return 0 * sum(parameter.sum() for parameter in self.parameters())  # type: ignore[return-value]

    def configure_optimizers(self) -> Any:
        """Give an optimiser that leaves the weights alone."""
        return torch.optim.SGD(self.parameters(), lr=0.0)
