"""Which channels and samples a trained decoder draws on: integrated gradients, and occlusion.

What is explained is the score of the picture that was seen: the similarity of the decoded embedding to the picture's,
above its mean similarity to all pictures that are tested. What helps all pictures alike explains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from captum.attr import FeatureAblation, IntegratedGradients
from rich.progress import track

from braindecode_x.analysis.parts import SubjectPictures, turned
from braindecode_x.decoder import BrainDecoder
from braindecode_x.files import unknown_name
from braindecode_x.metrics.evaluate import RESAMPLES
from braindecode_x.metrics.significance import bootstrap_interval

Model = Callable[[torch.Tensor], torch.Tensor]  # epochs (n, channels, times) to embeddings (n, d)
Score = Literal["cosine", "inner product"]
SCORES = ("cosine", "inner product")
BATCH = 8  # trials at once, times the steps of integrated gradients


@dataclass(frozen=True)
class Saliency:
    """What channels and samples contribute to the score of the picture that was seen.

    Attributes
    ----------
    channels : numpy.ndarray
        (pictures, channels).
    samples : numpy.ndarray
        (pictures, blocks of samples).
    times : numpy.ndarray
        (blocks,), seconds: the middle of each block of samples.
    score, mean_score : numpy.ndarray
        (pictures,): of the response, and of the mean response in its place, from which the score rises. Integrated
        gradients of all channels, or of all samples, add up to the difference; what occlusion takes away need not.
    mean_map : numpy.ndarray or None
        (channels, times), mean over pictures; None of occlusion, which takes channels and samples apart.
    """

    channels: np.ndarray
    samples: np.ndarray
    times: np.ndarray
    score: np.ndarray
    mean_score: np.ndarray
    mean_map: np.ndarray | None = None


def subject_model(decoder: BrainDecoder, number: int) -> Model:
    """Make a trained decoder a function of one subject's standardised epochs or windows, with gradients.

    Parameters
    ----------
    decoder : BrainDecoder
    number : int
        The subject's id.
    """

    def model(epochs: torch.Tensor) -> torch.Tensor:
        brain = turned(epochs, decoder.layout)
        return decoder.model(brain, torch.full((len(brain),), number)).image.flatten(1)

    return model


def integrated_gradients(
    model: Model, pictures: SubjectPictures, score: Score = "cosine", steps: int = 32, progress: bool = False
) -> Saliency:
    """Integrate gradients of the score from the mean response to training pictures to the response to a test picture.

    Parameters
    ----------
    model : callable
        From standardised epochs (n, channels, times) to embeddings (n, d), as torch tensors with gradients.
    pictures : SubjectPictures
    score : {"cosine", "inner product"}
        The similarity. With the latter a linear decoder's contributions are exact: weight times response.
    steps : int
        Of the integral (Gauss-Legendre).
    progress : bool
        Show a bar.

    Returns
    -------
    Saliency
        Blocks are single samples.

    Raises
    ------
    ValueError
        Unknown score, or fewer than one step.

    Notes
    -----
    Sundararajan et al. 2017, arXiv 1703.01365; by captum.
    """
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, found {steps}")
    scorer = _Scorer(model, pictures, score)
    attribute = IntegratedGradients(scorer).attribute
    parts = []
    for rows in _batches(len(pictures.test), BATCH, f"{pictures.name}, integrated gradients", progress):
        given = {"baselines": scorer.mean, "additional_forward_args": (rows,), "n_steps": steps}
        parts.append(attribute(scorer.epochs[rows], **given).detach().double().numpy())
    contributions = np.concatenate(parts)
    channels, samples = contributions.sum(axis=2), contributions.sum(axis=1)
    return Saliency(channels, samples, pictures.times, *scorer.ends(), contributions.mean(axis=0))


def occlusion(
    model: Model, pictures: SubjectPictures, score: Score = "cosine", block: float = 0.05, progress: bool = False
) -> Saliency:
    """Set channels, and then blocks of samples, one at a time to their mean over training pictures.

    Parameters
    ----------
    model : callable
        As of `integrated_gradients`; gradients are not needed.
    pictures : SubjectPictures
    score : {"cosine", "inner product"}
    block : float
        Seconds that are occluded together.
    progress : bool
        Show a bar.

    Returns
    -------
    Saliency
        By how much the score falls.

    Raises
    ------
    ValueError
        Unknown score, or a block that is shorter than a sample.
    """
    interval = pictures.times[1] - pictures.times[0]
    length = round(block / interval)
    if length < 1:
        raise ValueError(f"block: expected at least the {interval:g} s between samples, found {block:g}")
    scorer = _Scorer(model, pictures, score)
    n_channels, n_times = pictures.test.shape[1:]
    groups = {
        "channels": torch.arange(n_channels)[:, None].expand(n_channels, n_times),
        "samples": (torch.arange(n_times) // length).expand(n_channels, n_times),
    }
    attribute = FeatureAblation(scorer).attribute
    parts: dict[str, list[np.ndarray]] = {name: [] for name in groups}
    for rows in _batches(len(pictures.test), 8 * BATCH, f"{pictures.name}, occlusion", progress):
        given = {"baselines": scorer.mean, "additional_forward_args": (rows,)}
        for name, group in groups.items():
            with torch.no_grad():
                found = attribute(scorer.epochs[rows], feature_mask=group[None], **given)
            parts[name].append((found[:, :, 0] if name == "channels" else found[:, 0, ::length]).double().numpy())
    channels, samples = (np.concatenate(part) for part in parts.values())
    blocks = np.split(pictures.times, range(length, n_times, length))
    return Saliency(channels, samples, np.array([times.mean() for times in blocks]), *scorer.ends())


def saliency_table(saliency: Saliency, pictures: SubjectPictures, seed: int = 0) -> pd.DataFrame:
    """Average contributions over test pictures.

    Parameters
    ----------
    saliency : Saliency
    pictures : SubjectPictures
        What it is of.
    seed : int
        Of the bootstrap over concepts.

    Returns
    -------
    pandas.DataFrame
        Tidy: ``subject``; ``of`` (``"channel"`` or ``"time"``); ``channel``, empty for times; ``time`` (seconds), NaN
        for channels; ``value``, the mean contribution to the score; ``low`` and ``high``, its 95% interval; ``n``.
    """
    rows = []
    for kind, values in (("channel", saliency.channels), ("time", saliency.samples)):
        places = pictures.channels if kind == "channel" else saliency.times.tolist()
        for place, contributions in zip(places, values.T, strict=True):
            about = {"channel": "", "time": np.nan, kind: place}
            low, high = bootstrap_interval(contributions, seed, n_resamples=RESAMPLES, groups=pictures.concepts)
            mean = {"value": contributions.mean(), "low": low, "high": high, "n": len(contributions)}
            rows.append({"subject": pictures.name, "of": kind, **about, **mean})
    return pd.DataFrame(rows)


class _Scorer:
    """The score of the picture that was seen, as a function of epochs and of which pictures they are responses to."""

    def __init__(self, model: Model, pictures: SubjectPictures, score: Score):
        if score not in SCORES:
            raise unknown_name("score", score, SCORES)
        self.model, self.score = model, score
        self.epochs, self.mean = torch.from_numpy(pictures.test), torch.from_numpy(pictures.mean)[None]
        targets = torch.from_numpy(pictures.test_targets)
        self.targets = F.normalize(targets, dim=1) if score == "cosine" else targets
        self.targets = self.targets - self.targets.mean(0)

    def __call__(self, epochs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        predicted = self.model(epochs)
        if self.score == "cosine":
            predicted = F.normalize(predicted, dim=1)
        return (predicted * self.targets[rows]).sum(1)

    @torch.no_grad()
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of all responses, and those of the mean response in their places."""
        every = torch.arange(len(self.epochs))
        of_each = torch.cat([self(self.epochs[rows], rows) for rows in every.split(8 * BATCH)])
        return of_each.double().numpy(), self(self.mean, every).double().numpy()


def _batches(count: int, size: int, what: str, progress: bool) -> Iterable[torch.Tensor]:
    return track(torch.arange(count).split(size), what, disable=not progress)
