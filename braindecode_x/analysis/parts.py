"""Decoding from a part of every trial: some of the channels, some of the samples.

Of windows of BOLD the parcels are the channels and the volumes are the samples: in all analyses trials are (channels,
times), also where a decoder takes (volumes, parcels); see `turned`.

Two questions are told apart. *Retrained*: what can be decoded from this part by a decoder that knows nothing else? It
is fitted anew to the part. *Masked*: what does a decoder that was trained on whole trials take from this part? All the
rest is set to its mean over the training pictures.

Predictions from a part that tells little lie near what all pictures have in common, and a plain cosine then finds the
pictures that are most like this mean. So both sides are centred over training pictures before they are compared. (On a
simulated EEG subject, ridge on whole trials, masked but for 100 to 200 ms: two-way accuracy 79% centred, 64% plain.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import mne
import numpy as np
import pandas as pd
import torch
from rich.progress import track

from braindecode_x.datamodules.base import CohortDataModule
from braindecode_x.datamodules.epochs import EpochsDataModule
from braindecode_x.datamodules.windows import WindowsDataModule
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.windows_layout import TrialsLayout, WindowsLayout
from braindecode_x.decoder import BrainDecoder
from braindecode_x.metrics.comparison import EVERYONE
from braindecode_x.metrics.evaluate import RESAMPLES
from braindecode_x.metrics.retrieval import k_way_accuracy, ranks, similarity, top_k
from braindecode_x.metrics.significance import bootstrap_interval
from braindecode_x.models.ridge import RidgeDecoder

Predict = Callable[[np.ndarray], np.ndarray]  # epochs (n, channels, times) to embeddings (n, d)
Fit = Callable[[np.ndarray, np.ndarray], Predict]  # epochs and embeddings of training pictures to a decoder of such
Trials = TypeVar("Trials", np.ndarray, torch.Tensor)
WAYS = (2, 10, 50, 100, 200)
TRIAL = ["stimulus", "concept", "rank", "candidates"]  # of `part_ranks`, beside what tells conditions apart
REFERENCE = 512  # training pictures at most whose predictions give the mean
BATCH = 256  # trials that a network decodes at once


@dataclass(frozen=True)
class SubjectPictures:
    """One subject's responses to training and test pictures, repeats averaged, with the pictures' embeddings.

    Attributes
    ----------
    name : str
    info : mne.Info or Parcels
        Of the channels; of windows the parcels.
    times : numpy.ndarray
        (times,), seconds from the onset of the picture.
    train, test : numpy.ndarray
        (pictures, channels, times) of float32, standardised.
    train_targets, test_targets : numpy.ndarray
        (pictures, d) of float32.
    stimuli : list of str
        Of the test pictures.
    concepts : numpy.ndarray
        (test pictures,) of str. Pictures of one concept are resampled together.
    """

    name: str
    info: mne.Info | Parcels
    times: np.ndarray
    train: np.ndarray
    test: np.ndarray
    train_targets: np.ndarray
    test_targets: np.ndarray
    stimuli: list[str]
    concepts: np.ndarray

    @classmethod
    def of(cls, data: CohortDataModule, name: str, split: str = "test") -> SubjectPictures:
        """Take a subject of a data module of epochs or windows; its ``split`` is tested.

        Raises
        ------
        ValueError
            The data are neither, or there are no trials, or fewer than two pictures, of a split.
        """
        if not isinstance(data, EpochsDataModule | WindowsDataModule):
            raise ValueError(f"data: expected epochs or windows, found {type(data).__name__}")
        info = data.info if isinstance(data, EpochsDataModule) else data.parcels
        _, train, train_targets = labelled(data, name, "train")
        stimuli, test, test_targets = labelled(data, name, split)
        table = data.cohort.stimuli.table
        concepts = table["concept"].loc[stimuli] if "concept" in table else pd.Series(stimuli)
        known = {"stimuli": stimuli, "concepts": concepts.to_numpy(dtype=str)}
        return cls(name, info, data.layout.times, train, test, train_targets, test_targets, **known)

    @property
    def channels(self) -> list[str]:
        """Names of the channels or parcels."""
        return list(self.info.names) if isinstance(self.info, Parcels) else self.info["ch_names"]

    @property
    def mean(self) -> np.ndarray:
        """Mean response to the training pictures, (channels, times): what masked samples are set to."""
        return self.train.mean(axis=0)


@dataclass(frozen=True)
class Part:
    """Some channels and samples; of windows some parcels and volumes.

    Attributes
    ----------
    about : mapping of str to str or float
        What tells it apart, for the columns of a table.
    channels : numpy.ndarray
        (channels,) of bool.
    samples : numpy.ndarray
        (times,) of bool.
    """

    about: Mapping[str, Any]
    channels: np.ndarray
    samples: np.ndarray

    def cut(self, epochs: np.ndarray) -> np.ndarray:
        """Take the part of epochs (n, channels, times)."""
        return epochs[:, self.channels][:, :, self.samples]

    def masked(self, epochs: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """Replace all but the part of epochs (n, channels, times) by ``rest`` (channels, times)."""
        return np.where(self.channels[:, None] & self.samples, epochs, rest)


def labelled(data: Any, name: str, split: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return a subject's pictures of a split, their responses and embeddings (pictures, d).

    Responses are (pictures, channels, times), of windows (pictures, parcels, volumes), of betas (pictures, voxels).

    Parameters
    ----------
    data : CohortDataModule
    name, split : str

    Raises
    ------
    ValueError
        There are no trials of the split, or fewer than two pictures with embeddings.
    """
    stimuli, responses = data.averaged(name, split)
    rows = [row for row, stimulus in enumerate(stimuli) if stimulus in data.targets]
    if len(rows) < 2:
        raise ValueError(f"{name}: {len(rows)} pictures of the split {split!r}; an analysis needs two or more")
    chosen = [stimuli[row] for row in rows]
    targets = torch.stack([data.targets[stimulus][0] for stimulus in chosen]).flatten(1)
    return chosen, np.ascontiguousarray(turned(responses[rows], data.layout)), targets.float().numpy()


def turned(trials: Trials, layout: TrialsLayout | None) -> Trials:
    """Turn windows (n, volumes, parcels) to what analyses take, (n, parcels, volumes), or back; others stay."""
    return trials.swapaxes(1, 2) if isinstance(layout, WindowsLayout) else trials


def fit_ridge(epochs: np.ndarray, targets: np.ndarray) -> Predict:
    """Fit `RidgeDecoder`, its strength cross-validated, to flattened epochs (n, channels, times): a `Fit`."""
    decoder = RidgeDecoder().fit(epochs.reshape(len(epochs), -1), targets)
    return lambda given: decoder.predict(given.reshape(len(given), -1))


def predictor(decoder: BrainDecoder, number: int) -> Predict:
    """Make a trained decoder a function of one subject's standardised trials, as `labelled` gives them.

    Parameters
    ----------
    decoder : BrainDecoder
    number : int
        The subject's id.
    """

    @torch.inference_mode()
    def predict(epochs: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(epochs), BATCH):
            brain = turned(torch.from_numpy(epochs[start : start + BATCH]), decoder.layout)
            image = decoder.model(brain, torch.full((len(brain),), number)).image
            parts.append(decoder.space.normalised(image).flatten(1))
        return torch.cat(parts).numpy()

    return predict


def part_decoder(
    pictures: SubjectPictures, part: Part, fit: Fit | None = None, predict: Predict | None = None
) -> Predict:
    """Make a decoder of whole trials that knows a part of them alone.

    Parameters
    ----------
    pictures : SubjectPictures
    part : Part
    fit : callable, optional
        Retrained: makes a decoder of the part from training pictures, for example `fit_ridge`.
    predict : callable, optional
        Masked: a decoder of whole trials, for example of `predictor`. One of both is given.

    Returns
    -------
    callable
        From epochs (n, channels, times) to embeddings (n, d).

    Raises
    ------
    ValueError
        The part is empty or of another size, or both or neither of ``fit`` and ``predict`` are given.
    """
    expected, found = pictures.test.shape[1:], (len(part.channels), len(part.samples))
    if found != expected or not (part.channels.any() and part.samples.any()):
        raise ValueError(
            f"part {dict(part.about)}: expected some of {expected[0]} channels and {expected[1]} samples, found "
            f"{part.channels.sum()} of {found[0]} and {part.samples.sum()} of {found[1]}"
        )
    if fit is not None and predict is None:
        fitted = fit(part.cut(pictures.train), pictures.train_targets)
        return lambda epochs: fitted(part.cut(epochs))
    if predict is not None and fit is None:
        mean = pictures.mean
        return lambda epochs: predict(part.masked(epochs, mean))
    raise ValueError("fit and predict: expected one of them")


def part_ranks(
    pictures: SubjectPictures,
    parts: Sequence[Part],
    fit: Fit | None = None,
    predict: Predict | None = None,
    centred: bool = True,
    progress: bool = False,
) -> pd.DataFrame:
    """Decode the test pictures from every part, and rank the right one among all of them.

    Parameters
    ----------
    pictures : SubjectPictures
    parts : sequence of Part
        Of the same columns.
    fit, predict : callable, optional
        See `part_decoder`.
    centred : bool
        Compare predictions and embeddings without their means over training pictures, as this module says; false:
        plain cosines, as in the tables of retrieval.
    progress : bool
        Show a bar.

    Returns
    -------
    pandas.DataFrame
        Tidy: ``subject``, ``mode`` (retrained or masked), the columns of the parts, ``stimulus``, ``concept``, ``rank``
        (see `braindecode_x.metrics.retrieval.ranks`) and ``candidates``.
    """
    mode, tables = "masked" if fit is None else "retrained", []
    for part in track(parts, f"{pictures.name}, {mode}", disable=not progress):
        decode, targets = part_decoder(pictures, part, fit, predict), pictures.test_targets
        predicted = decode(pictures.test)
        if centred:
            predicted = predicted - decode(pictures.train[:: 1 + len(pictures.train) // REFERENCE]).mean(axis=0)
            targets = targets - pictures.train_targets.mean(axis=0)
        ranked = picture_ranks(predicted, targets)
        about = {"subject": pictures.name, "mode": mode, **part.about}
        own = {"stimulus": pictures.stimuli, "concept": pictures.concepts, "rank": ranked, "candidates": len(ranked)}
        tables.append(pd.DataFrame({**about, **own}))
    return pd.concat(tables, ignore_index=True)


def picture_ranks(predicted: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rank every prediction's own target among all targets, (n, d) each, by cosine: (n,) of float64, 0 is best."""
    return ranks(similarity(torch.from_numpy(predicted), torch.from_numpy(targets))).numpy()


def accuracy_table(ranked: pd.DataFrame, ways: Sequence[int] = WAYS, seed: int = 0) -> pd.DataFrame:
    """Turn ranks to accuracies, for every subject and for all together.

    Parameters
    ----------
    ranked : pandas.DataFrame
        From `part_ranks`, of one subject or of several.
    ways : sequence of int
        Numbers of candidates; those above the number of test pictures are left out.
    seed : int
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        Tidy: what tells conditions apart; ``metric`` (``top-1``, ``top-5``, ``{k}-way``); ``value``, ``low`` and
        ``high``, a 95% bootstrap interval over concepts; ``chance``; ``n``, pictures times subjects. Rows of all
        subjects together, where there are several, have the subject ``"all"``. Each subject has the chance of its own
        number of candidates; of all together it is the mean.
    """
    conditions = [name for name in ranked if name not in TRIAL]
    if ranked["subject"].nunique() > 1:
        ranked = pd.concat([ranked, ranked.assign(subject=EVERYONE)], ignore_index=True)
    rows = []
    for key, own in ranked.groupby(conditions, sort=False, dropna=False):
        about = dict(zip(conditions, key, strict=True))
        for metric, (scores, chance) in trial_scores(own, ways).items():
            interval = _interval(scores, own["concept"].to_numpy(), seed)
            values = {"value": scores.mean(), "low": interval[0], "high": interval[1], "chance": chance.mean()}
            rows.append({**about, "metric": metric, **values, "n": len(own)})
    return pd.DataFrame(rows)


def trial_scores(own: pd.DataFrame, ways: Sequence[int] = WAYS) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the accuracy of every row of `part_ranks`, and its chance, by metric: (n,) each."""
    ranked, candidates = torch.tensor(own["rank"].to_numpy(np.float64)), own["candidates"].to_numpy()
    fewest = int(candidates.min())
    scores = {f"top-{k}": (top_k(ranked, k).numpy(), k / candidates) for k in (1, 5) if k < fewest}
    for k in ways:
        if 2 <= k <= fewest:
            parts = np.empty(len(own))
            for count in np.unique(candidates):
                chosen = candidates == count
                parts[chosen] = k_way_accuracy(ranked[torch.from_numpy(chosen)], int(count), k).numpy()
            scores[f"{k}-way"] = (parts, np.full(len(own), 1 / k))
    return scores


def _interval(scores: np.ndarray, concepts: np.ndarray, seed: int) -> tuple[float, float]:
    if len(np.unique(concepts)) < 2:
        return float("nan"), float("nan")
    return bootstrap_interval(scores, seed, n_resamples=RESAMPLES, groups=concepts)
