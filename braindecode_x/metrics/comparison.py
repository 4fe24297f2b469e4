"""Scores of several systems on the same trials: of each trial, then a table with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from braindecode_x.embeddings import Embeddings
from braindecode_x.metrics.evaluate import RESAMPLES, feature_scores, pixel_scores
from braindecode_x.metrics.retrieval import k_way_accuracy, ranks, similarity
from braindecode_x.metrics.significance import bootstrap_difference, bootstrap_interval

BASELINE, EVERYONE = "ridge", "all"
Scores = dict[str, np.ndarray]  # by metric, a value for each trial


@dataclass
class Pictures:
    """Distinct pictures.

    Attributes
    ----------
    pixels : torch.Tensor
        (m, 3, edge, edge) in [0, 1].
    files : list of str
        Where each lies, relative to the comparison's folder.
    features : dict of str to torch.Tensor
        By judge: (m, d).
    """

    pixels: torch.Tensor
    files: list[str]
    features: dict[str, torch.Tensor]


@dataclass
class Row:
    """What there is for every trial: of a system, of a control, or what was seen.

    Attributes
    ----------
    pictures : Pictures
    which : numpy.ndarray
        (trials,) of int, which of the pictures belongs to each trial.
    embeddings : torch.Tensor or None
        (trials, ...).
    """

    pictures: Pictures
    which: np.ndarray
    embeddings: torch.Tensor | None


def same_trials(systems: Mapping[str, Embeddings]) -> dict[str, Embeddings]:
    """Bring the rows of all systems to the order of the first.

    Parameters
    ----------
    systems : mapping of str to Embeddings
        Indexes hold ``subject`` and ``stimulus``.

    Raises
    ------
    ValueError
        No system, systems of different trials or spaces, a picture that a subject saw in several rows, fewer than two
        pictures of a subject, or a subject called ``"all"``.
    """
    if not systems:
        raise ValueError("systems: expected at least one, found none")
    first_name, first = next(iter(systems.items()))
    keys, same = _trial_keys(first_name, first), {}
    for name, own in systems.items():
        first.space.require(own.space, f"system {first_name!r}, beside which {name!r} is set,")
        found = _trial_keys(name, own)
        if len(differ := keys.symmetric_difference(found)):
            raise ValueError(
                f"system {name!r}: expected the trials of {first_name!r}, {len(keys)} pairs of subject and stimulus, "
                f"found {len(found)}; {len(differ)} are of one only, for example {differ[0]}"
            )
        same[name] = own[found.get_indexer(keys).tolist()]
    return same


def deal(subjects: np.ndarray, seed: int) -> np.ndarray:
    """Give every trial another trial of its subject at random: none keeps its own, each is given once."""
    dealt = np.empty(len(subjects), dtype=np.int64)
    for number, subject in enumerate(pd.unique(subjects)):
        order = np.random.default_rng([seed, number]).permutation(np.flatnonzero(subjects == subject))
        dealt[order] = np.roll(order, 1)
    return dealt


def trial_scores(row: Row, seen: Row, subjects: np.ndarray) -> dict[str, Scores]:
    """Score every trial among those of its subject, and all subjects together.

    Parameters
    ----------
    row, seen : Row
    subjects : numpy.ndarray
        (trials,) of str. A subject's trials are of distinct pictures, the candidates of retrieval.

    Returns
    -------
    dict of str to dict of str to numpy.ndarray
        By subject and metric, then under ``"all"`` what every subject has, subject after subject.
    """
    pixels = _pixel_scores(row, seen)
    scores: dict[str, Scores] = {}
    for subject in pd.unique(subjects):
        rows = np.flatnonzero(subjects == subject)
        own: dict[str, torch.Tensor] = {}
        if row.embeddings is not None and seen.embeddings is not None:
            own |= retrieval_by_name(row.embeddings[rows], seen.embeddings[rows])
        for judge, features in row.pictures.features.items():
            judged = feature_scores(features[row.which[rows]], seen.pictures.features[judge][seen.which[rows]])
            own |= {f"{judge} {'' if name == 'judge distance' else 'judge, '}{name}": v for name, v in judged.items()}
        own |= {name: values[rows] for name, values in pixels.items()}
        scores[str(subject)] = {name: np.asarray(values, dtype=float) for name, values in own.items()}
    shared = [name for name in next(iter(scores.values())) if all(name in own for own in scores.values())]
    together = {name: np.concatenate([own[name] for own in scores.values()]) for name in shared}
    return {EVERYONE: together} | scores


def retrieval_by_name(predicted: torch.Tensor, truth: torch.Tensor) -> dict[str, torch.Tensor]:
    """Score retrieval (cosine) in both directions among all n and exactly among 50 (when n > 50) and 2: (n,) each."""
    pairs, n = similarity(predicted, truth), len(truth)
    ways = {f"{n}-way": n} | ({"50-way": 50} if n > 50 else {}) | {"two-way": 2}
    scores: dict[str, torch.Tensor] = {}
    for direction, matrix in (("image from brain", pairs), ("brain from image", pairs.T)):
        rank = ranks(matrix)
        scores |= {f"{direction}, {name}": k_way_accuracy(rank, n, k) for name, k in ways.items()}
    return scores


def retrieved_stimuli(predicted: torch.Tensor, seen: Row, trials: pd.DataFrame, shown: int = 5) -> pd.DataFrame:
    """List for every trial the pictures that were found, among all that its subject saw.

    Parameters
    ----------
    predicted : torch.Tensor
        (trials, ...) embeddings.
    seen : Row
        With embeddings.
    trials : pandas.DataFrame
        ``id``, ``subject`` and ``stimulus``.
    shown : int
        How many, at most.

    Returns
    -------
    pandas.DataFrame
        The trials with ``place``, the right picture's, from 1 (after those that tie with it), ``candidates``, their
        number, and ``1`` to ``5``: stimuli in order, empty beyond the last.
    """
    assert seen.embeddings is not None
    parts = []
    for _, own in trials.groupby("subject", sort=False):
        rows = own.index.tolist()
        pairs = similarity(predicted[rows], seen.embeddings[rows])
        stimuli = own["stimulus"].to_numpy()
        found = pd.DataFrame(stimuli[pairs.topk(min(shown, len(own)), dim=1).indices.numpy()], own.index)
        found = found.reindex(columns=range(shown), fill_value="").rename(columns=lambda column: str(column + 1))
        place = 1 + np.ceil(ranks(pairs).numpy()).astype(int)
        parts.append(own.assign(place=place, candidates=len(own)).join(found))
    return pd.concat(parts).sort_index()


def comparison_rows(
    scores: Mapping[str, Mapping[str, Scores]],
    stimuli: np.ndarray,
    subjects: np.ndarray,
    seed: int,
    baseline: str = BASELINE,
) -> pd.DataFrame:
    """Summarise scores of trials, with 95% intervals over stimuli and paired differences to a baseline.

    Parameters
    ----------
    scores : mapping
        By system what `trial_scores` returned.
    stimuli, subjects : numpy.ndarray
        (trials,) of str. One stimulus' trials of several subjects are resampled together.
    seed : int
        Of the bootstrap.
    baseline : str
        A system.

    Returns
    -------
    pandas.DataFrame
        Tidy: ``subject``, ``system``, ``metric``, ``value``, ``low``, ``high``, ``n`` (trials), and ``difference`` to
        the baseline with ``difference_low`` and ``difference_high``; NaN for itself or where there is none.
    """
    shown = {str(subject): stimuli[subjects == subject] for subject in pd.unique(subjects)}
    shown = {EVERYONE: np.concatenate(list(shown.values()))} | shown
    rows = []
    for subject, groups in shown.items():
        reference = scores[baseline][subject] if baseline in scores else {}
        for system, by_subject in scores.items():
            for metric, values in by_subject[subject].items():
                low, high = bootstrap_interval(values, seed, n_resamples=RESAMPLES, groups=groups)
                row = {"subject": subject, "system": system, "metric": metric, "value": values.mean()}
                row |= {"low": low, "high": high, "n": len(values)}
                difference = (np.nan, np.nan, np.nan)
                if metric in reference and system != baseline:
                    pair = (values, reference[metric])
                    interval = bootstrap_difference(*pair, seed, n_resamples=RESAMPLES, groups=groups)
                    difference = (pair[0].mean() - pair[1].mean(), *interval)
                row |= dict(zip(("difference", "difference_low", "difference_high"), difference, strict=True))
                rows.append(row)
    return pd.DataFrame(rows)


def _pixel_scores(row: Row, seen: Row) -> dict[str, torch.Tensor]:
    """Compare pixels, every pair of pictures once however many trials it is of."""
    pairs, trial = np.unique(np.stack([row.which, seen.which]), axis=1, return_inverse=True)
    scores = pixel_scores(row.pictures.pixels[pairs[0]], seen.pictures.pixels[pairs[1]])
    return {name: values[trial.reshape(-1)] for name, values in scores.items()}


def _trial_keys(name: str, embeddings: Embeddings) -> pd.MultiIndex:
    """Return (subject, stimulus) of every row, which must be a trial of its own."""
    if "subject" not in embeddings.index:
        raise ValueError(f"system {name!r}: index of embeddings: missing the column 'subject'")
    keys = pd.MultiIndex.from_frame(embeddings.index[["subject", "stimulus"]].astype(str))
    if keys.has_duplicates:
        raise ValueError(
            f"system {name!r}: expected one row for each picture that a subject saw, found several for "
            f"{keys[keys.duplicated()][0]}; average repeats first"
        )
    counts = keys.get_level_values("subject").value_counts()
    if EVERYONE in counts or (counts < 2).any():
        raise ValueError(
            f"system {name!r}: expected two or more pictures of every subject, and none called {EVERYONE!r}, found "
            f"{counts.to_dict()}"
        )
    return keys
