"""What the decoders are trained with."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from braindecode_x.files import unknown_name
from braindecode_x.models.base import DecoderOutput
from braindecode_x.models.mindbridge import MindBridgeOutput

MIXES = {  # of ATM (arXiv 2403.07721): for retrieval, and 10 (0.9 MSE + 0.1 contrast) for reconstruction
    "retrieval": {"clip_image": 0.99, "clip_text": 0.01, "mse_image": 0.0},
    "reconstruction": {"clip_image": 1.0, "clip_text": 0.0, "mse_image": 9.0},
}


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
        _require_weights(self.weights)

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
        return _with_total(terms, self.weights)


def contrast(
    predicted: torch.Tensor, target: torch.Tensor, scale: torch.Tensor, same: torch.Tensor | None = None
) -> torch.Tensor:
    """Contrast predictions and targets: cross-entropy of ``scale * predicted @ target.T``, averaged over directions.

    Parameters
    ----------
    predicted, target : torch.Tensor
        (n, d) each; row k of one belongs to row k of the other.
    scale : torch.Tensor
        Scalar.
    same : torch.Tensor, optional
        (n, n) of bool, symmetric: rows that are right for each other, in equal parts. Default: each for itself alone.

    Returns
    -------
    torch.Tensor
        Scalar.
    """
    _require_same_shape("predicted", predicted, target)
    with torch.autocast(predicted.device.type, enabled=False):
        logits = scale.float() * predicted.float() @ target.float().T
        right = torch.arange(len(logits), device=logits.device) if same is None else same / same.sum(1, keepdim=True)
        return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


class AtmLoss(nn.Module):
    """The training loss of ATM, term by term (arXiv 2403.07721).

    The contrast's scale is learned, from 1 / 0.07 and up to 100, and embeddings are scaled to norm 1, as in CLIP. The
    published code meant the same, but its scale is the logarithm itself, and its predictions keep their norm.

    Parameters
    ----------
    mix : {"retrieval", "reconstruction"} or dict of str to float
        Weights: one of the paper's, see `MIXES`, or ``clip_image``, ``clip_text`` and ``mse_image`` (0 where left out).
    published_loss : bool
        Do as the published code does.

    Raises
    ------
    ValueError
        An unknown mix or term, or a weight below 0.
    """

    def __init__(self, mix: str | dict[str, float] = "retrieval", published_loss: bool = False):
        super().__init__()
        if isinstance(mix, str) and mix not in MIXES:
            raise unknown_name("mix of losses", mix, MIXES)
        self.weights = dict.fromkeys(MIXES["retrieval"], 0.0) | (MIXES[mix] if isinstance(mix, str) else mix)
        for name in self.weights:
            if name not in MIXES["retrieval"]:
                raise unknown_name("term of the loss", name, MIXES["retrieval"])
        _require_weights(self.weights)
        self.published_loss = published_loss
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def forward(
        self, output: DecoderOutput, image_target: torch.Tensor, text_target: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """Compute every term that has a weight, and their weighted sum.

        Parameters
        ----------
        output : DecoderOutput
            Without an embedding for texts, that of the picture is contrasted with texts, as published.
        image_target : torch.Tensor
            (batch, d).
        text_target : torch.Tensor or None
            (batch, d); None leaves the term of text out.

        Returns
        -------
        dict of str to torch.Tensor
            Scalars: each term, not yet weighted, and ``total``. The mean squared error is that of all values in the
            published loss; else it is the squared distance of unit vectors, 2 (1 - cosine).

        Raises
        ------
        ValueError
            A target has another shape than the prediction.
        """
        image, text = output.image, output.image if output.text is None else output.text
        _require_same_shape("image", image, image_target)
        scale: torch.Tensor = self.logit_scale
        if not self.published_loss:
            scale = scale.clamp(max=math.log(100)).exp()
            image, text, image_target = unit_vectors(image), unit_vectors(text), unit_vectors(image_target)
            text_target = None if text_target is None else unit_vectors(text_target)
        terms = {}
        if self.weights["clip_image"]:
            terms["clip_image"] = contrast(image, image_target, scale)
        if self.weights["clip_text"] and text_target is not None:
            terms["clip_text"] = contrast(text, text_target, scale)
        if self.weights["mse_image"]:
            factor = 1 if self.published_loss else image.shape[1]
            terms["mse_image"] = factor * F.mse_loss(image.float(), image_target.float())
        return _with_total(terms, self.weights)


class WaveLoss(nn.Module):
    """The training loss of WAVE's alignment, term by term (arXiv 2411.07121).

    Contrasts of unit vectors with images and with texts, each with a scale of its own that is learned, from 1 / 0.07
    and up to 100. Trials of one picture in a batch are right for each other (as published, they are contrasted).

    Parameters
    ----------
    clip_image, clip_text : float
        Weights of the contrasts.
    mse_image, mse_text : float
        Weights of the squared distances of unit vectors, 2 (1 - cosine); 0 as published.
    published_loss : bool
        Contrast trials of one picture as if they were of two.

    Raises
    ------
    ValueError
        A weight below 0.
    """

    def __init__(
        self,
        clip_image: float = 0.5,
        clip_text: float = 0.5,
        mse_image: float = 0.0,
        mse_text: float = 0.0,
        published_loss: bool = False,
    ):
        super().__init__()
        self.weights = {
            "clip_image": clip_image,
            "clip_text": clip_text,
            "mse_image": mse_image,
            "mse_text": mse_text,
        }
        _require_weights(self.weights)
        self.published_loss = published_loss
        start = torch.tensor(1 / 0.07).log()
        self.image_scale, self.text_scale = nn.Parameter(start), nn.Parameter(start.clone())

    def forward(
        self, output: DecoderOutput, image_target: torch.Tensor, text_target: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """Compute every term that has a weight, and their weighted sum.

        Parameters
        ----------
        output : DecoderOutput
            Without an embedding for texts, that of the picture is contrasted with texts, as published.
        image_target : torch.Tensor
            (batch, d).
        text_target : torch.Tensor or None
            (batch, d); None leaves the terms of text out.

        Returns
        -------
        dict of str to torch.Tensor
            Scalars: each term, not yet weighted, and ``total``.

        Raises
        ------
        ValueError
            A target has another shape than the prediction.
        """
        text = output.image if output.text is None else output.text
        same = None if self.published_loss else _same_rows(image_target)
        terms = {}
        for kind, predicted, target, scale in (
            ("image", output.image, image_target, self.image_scale),
            ("text", text, text_target, self.text_scale),
        ):
            if target is None:
                continue
            _require_same_shape(kind, predicted, target)
            predicted, target = unit_vectors(predicted), unit_vectors(target)
            if self.weights[f"clip_{kind}"]:
                terms[f"clip_{kind}"] = contrast(predicted, target, scale.clamp(max=math.log(100)).exp(), same)
            if self.weights[f"mse_{kind}"]:
                terms[f"mse_{kind}"] = predicted.shape[1] * F.mse_loss(predicted, target)
        return _with_total(terms, self.weights)


def _same_rows(values: torch.Tensor) -> torch.Tensor:
    """Return (n, n) of bool: which rows are equal."""
    _, group = values.flatten(1).unique(dim=0, return_inverse=True)
    return group[:, None] == group


def _require_weights(weights: dict[str, float]) -> None:
    for name, weight in weights.items():
        if weight < 0:
            raise ValueError(f"weight of {name}: expected at least 0, found {weight}")


def _with_total(terms: dict[str, torch.Tensor], weights: dict[str, float]) -> dict[str, torch.Tensor]:
    """Put the weighted sum of a loss's terms beside them."""
    if not terms:
        raise ValueError(f"loss: no term is left; weights are {weights}, and pictures may have no captions")
    return {**terms, "total": torch.stack([weights[name] * term for name, term in terms.items()]).sum()}


def _require_same_shape(name: str, predicted: torch.Tensor, target: torch.Tensor) -> None:
    if predicted.shape != target.shape:
        raise ValueError(f"{name}: predictions {tuple(predicted.shape)} for targets {tuple(target.shape)}")
