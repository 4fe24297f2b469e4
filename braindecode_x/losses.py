"""What the decoders are trained with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from braindecode_x.models.mindbridge import MindBridgeOutput


def unit_vectors(embeddings: torch.Tensor) -> torch.Tensor:
    """Flatten embeddings (n, ...) to (n, d) of float32 with norm 1."""
    return F.normalize(embeddings.flatten(1).float(), dim=-1)


def soft_clip_loss(predicted: torch.Tensor, target: torch.Tensor, temperature: float = 0.005) -> torch.Tensor:
    """Contrast predictions and targets, each prediction being as right as its target is like the others.

    Similarities of targets among themselves, through a softmax, are the probabilities that similarities of predictions
    to targets shall have: cross-entropy, averaged over both directions (arXiv 2404.07850). The targets' similarities
    are symmetric, so one set of probabilities serves both. In float32 also under autocast: bfloat16 would round the
    logits, up to 200 in size at the default temperature, to whole numbers.

    Parameters
    ----------
    predicted, target : torch.Tensor
        (n, ...) each; flattened and scaled to norm 1.
    temperature : float
        Above 0.

    Returns
    -------
    torch.Tensor
        Scalar.
    """
    _require_same_shape("predicted", predicted, target)
    with torch.autocast(predicted.device.type, enabled=False):
        predicted, target = unit_vectors(predicted), unit_vectors(target)
        probabilities = (target @ target.T / temperature).softmax(dim=-1)
        logits = predicted @ target.T / temperature
        return (F.cross_entropy(logits, probabilities) + F.cross_entropy(logits.T, probabilities)) / 2


def unit_mse(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of embeddings (n, ...), flattened to (n, d) with norm 1: 2 (1 - cosine) / d."""
    _require_same_shape("predicted", predicted, target)
    return F.mse_loss(unit_vectors(predicted), unit_vectors(target))


class MindBridgeLoss(nn.Module):
    """The training loss of MindBridge, term by term (arXiv 2404.07850).

    Parameters
    ----------
    clip_image, clip_text : float
        Weights of `soft_clip_loss`.
    mse_image, mse_text : float
        Weights of `unit_mse`, which is small by the size of the embedding: the paper's 1e4 is for some 10^5 values an
        image.
    reconstruction : float
        Weight of the mean squared error of rebuilt activity.
    cycle : float
        Weight of the mean squared error of the embeddings that went through another subject.
    temperature : float
        Of `soft_clip_loss`.

    Raises
    ------
    ValueError
        A weight below 0, or a temperature not above 0.
    """

    def __init__(
        self,
        clip_image: float = 1.0,
        mse_image: float = 1e4,
        clip_text: float = 1.0,
        mse_text: float = 1e4,
        reconstruction: float = 1.0,
        cycle: float = 1.0,
        temperature: float = 0.005,
    ):
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature: expected a number above 0, found {temperature}")
        self.temperature = temperature
        self.weights = {
            "clip_image": clip_image,
            "mse_image": mse_image,
            "clip_text": clip_text,
            "mse_text": mse_text,
            "reconstruction": reconstruction,
            "cycle": cycle,
        }
        for name, weight in self.weights.items():
            if weight < 0:
                raise ValueError(f"weight of {name}: expected at least 0, found {weight}")

    def forward(
        self, output: MindBridgeOutput, image_target: torch.Tensor, text_target: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """Compute every term that the output allows, and their weighted sum.

        Parameters
        ----------
        output : MindBridgeOutput
            Without a reconstruction or a cycle, that term is left out.
        image_target : torch.Tensor
            (batch, *image_dim).
        text_target : torch.Tensor or None
            (batch, *text_dim); None leaves the terms of text out.

        Returns
        -------
        dict of str to torch.Tensor
            Scalars: each term, named like its weight and not yet weighted, and ``total``.

        Raises
        ------
        ValueError
            A target has another shape than the prediction.
        """
        _require_same_shape("image", output.image, image_target)
        terms = {
            "clip_image": soft_clip_loss(output.image, image_target, self.temperature),
            "mse_image": unit_mse(output.image, image_target),
        }
        if text_target is not None:
            _require_same_shape("text", output.text, text_target)
            terms["clip_text"] = soft_clip_loss(output.text, text_target, self.temperature)
            terms["mse_text"] = unit_mse(output.text, text_target)
        if output.reconstruction is not None:
            terms["reconstruction"] = F.mse_loss(output.reconstruction.float(), output.aggregated.float())
        if output.cycle is not None and output.cycle_source is not None:
            terms["cycle"] = F.mse_loss(output.cycle.float(), output.cycle_source.float())
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return {**terms, "total": total}


def _require_same_shape(name: str, predicted: torch.Tensor, target: torch.Tensor) -> None:
    if predicted.shape != target.shape:
        raise ValueError(f"{name}: predictions {tuple(predicted.shape)} for targets {tuple(target.shape)}")
