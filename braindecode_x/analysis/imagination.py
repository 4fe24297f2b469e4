"""Zero-shot decoding of imagination: what is decoded while a prompt is imagined, against that prompt and all others.

The decoder was trained on seen pictures alone. A person's mean answers differ between seeing and imagining, which moves
all predictions alike, and all prompts share a direction; plain cosines are drowned by both. So decoded embeddings are
centred over the imagination trials that are tested, and candidates over themselves. That takes the brain activity of
the other trials, as if a session were decoded when it is over, but no label: which trial goes with which prompt stays
unknown, and every permutation of the matching is as likely as the true one where nothing is decoded. (Centring over
predictions of training pictures would leave the difference between seeing and imagining in.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata

from braindecode_x.datamodules.base import CohortDataModule
from braindecode_x.decoder import BrainDecoder
from braindecode_x.metrics.comparison import EVERYONE
from braindecode_x.metrics.evaluate import RESAMPLES
from braindecode_x.metrics.retrieval import similarity
from braindecode_x.metrics.significance import bootstrap_interval, permutation_p_value
from braindecode_x.models.ridge import RidgeDecoder

PERMUTATIONS = 10_000
TWO_WAY, RANK, DIFFERENCE, EFFECT_SIZE = "2-way", "mean rank", "difference", "effect size"
METRICS = (TWO_WAY, "top-1", "top-5", RANK, DIFFERENCE, EFFECT_SIZE)
EXACT = 1e-9  # scores nearer than this are equal: sums in another order differ by rounding
SPREAD = 1e-6  # relative: differences that vary less do not vary
BATCH = 256  # trials that a network decodes at once


@dataclass(frozen=True)
class ImaginedPrompts:
    """What one subject imagined.

    Attributes
    ----------
    name : str
    prompts : list of str
        Each once.
    stimuli : list of str
        The picture of each prompt's concept, which was not on the screen; empty where there is none.
    responses : numpy.ndarray
        (prompts, ...) of float32, standardised, repeats averaged.
    """

    name: str
    prompts: list[str]
    stimuli: list[str]
    responses: np.ndarray

    @classmethod
    def of(cls, data: CohortDataModule, name: str, split: str = "imagination") -> ImaginedPrompts:
        """Take a subject of a data module.

        Prompts stand in the trials' column ``prompt``; where it is missing or empty, the caption of the trial's
        stimulus is the prompt.

        Raises
        ------
        ValueError
            There are no trials of the split, one has neither prompt nor caption, or there are fewer than two prompts.
        """
        trials = data.recordings[name].trials
        rows = np.flatnonzero(trials["split"] == split)
        if not len(rows):
            raise ValueError(
                f"{name}: no imagination trials of the split {split!r}; it has the splits "
                f"{sorted(trials['split'].astype(str).unique())}, name one as split"
            )
        stimuli = data.recordings[name].stimuli(rows)
        captions = data.cohort.stimuli.table["caption"].reindex(stimuli).fillna("").to_numpy(dtype=str)
        prompts = captions
        if "prompt" in trials:
            given = trials["prompt"].iloc[rows].fillna("").to_numpy(dtype=str)
            prompts = np.where(given == "", captions, given)
        if (prompts == "").any():
            raise ValueError(
                f"{name}: trial {rows[prompts == ''][0]} of the split {split!r} has neither a prompt nor a stimulus "
                "with a caption"
            )
        codes, unique = pd.factorize(prompts)
        if len(unique) < 2:
            raise ValueError(f"{name}: {len(unique)} prompt in the split {split!r}; matching needs two or more")
        pictures = data.pictures(name, rows, {}, training=False)
        repeats = [np.flatnonzero(codes == number).tolist() for number in range(len(unique))]
        responses = np.stack([pictures.brain(own).numpy() for own in repeats])
        return cls(name, unique.tolist(), [str(stimuli[own[0]]) for own in repeats], responses)


def decode(decoder: BrainDecoder, number: int, responses: np.ndarray) -> dict[str, torch.Tensor]:
    """Decode standardised responses.

    Parameters
    ----------
    decoder : BrainDecoder
    number : int
        The subject's id.
    responses : numpy.ndarray
        (n, ...) of float32.

    Returns
    -------
    dict of str to torch.Tensor
        ``text``, where the decoder predicts it, and ``image``: (n, ...) each.
    """
    texts, images = [], []
    with torch.inference_mode():
        for start in range(0, len(responses), BATCH):
            brain = torch.from_numpy(responses[start : start + BATCH])
            output = decoder.model(brain, torch.full((len(brain),), number))
            images.append(decoder.space.normalised(output.image))
            if output.text is not None and output.text.any():  # ridge without captions gives zeros
                texts.append(decoder.text_space.normalised(output.text))
    return ({"text": torch.cat(texts)} if texts else {}) | {"image": torch.cat(images)}


def ridge_decode(
    train: np.ndarray, targets: Mapping[str, np.ndarray], responses: np.ndarray
) -> dict[str, torch.Tensor]:
    """Fit ridge to responses to training pictures, once for each kind of embedding, and decode others.

    Parameters
    ----------
    train : numpy.ndarray
        (pictures, ...) of float32.
    targets : mapping of str to numpy.ndarray
        ``text`` or ``image`` embeddings of these pictures, (pictures, d).
    responses : numpy.ndarray
        (n, ...) of float32.

    Returns
    -------
    dict of str to torch.Tensor
        (n, d) by kind.
    """
    flat, given = train.reshape(len(train), -1), responses.reshape(len(responses), -1)
    return {kind: torch.from_numpy(RidgeDecoder().fit(flat, own).predict(given)) for kind, own in targets.items()}


def matches(decoded: torch.Tensor, candidates: torch.Tensor, centred: bool = True) -> np.ndarray:
    """Compare every decoded embedding with every candidate by cosine.

    Parameters
    ----------
    decoded : torch.Tensor
        (n, ...), one a prompt.
    candidates : torch.Tensor
        (n, ...), the embeddings of these prompts, or of pictures of them, in this order.
    centred : bool
        Without the mean over the n, on both sides, as this module says.

    Returns
    -------
    numpy.ndarray
        (n, n): rows are decoded.

    Raises
    ------
    ValueError
        Numbers differ, or there are fewer than two.
    """
    if len(decoded) != len(candidates) or len(decoded) < 2:
        raise ValueError(
            f"candidates: expected two or more, one a decoded embedding, found {len(candidates)} for {len(decoded)}"
        )
    if centred:
        decoded, candidates = (each.float() - each.float().mean(0) for each in (decoded, candidates))
    return similarity(decoded, candidates).numpy()


def pairing_scores(similarities: np.ndarray) -> dict[str, np.ndarray]:
    """Score what every row would be worth if it belonged to every column.

    Parameters
    ----------
    similarities : numpy.ndarray
        (n, n), from `matches`.

    Returns
    -------
    dict of str to numpy.ndarray
        (n, n) each, by metric: ``2-way``, the share of the other columns that are less like the row (a tie counts
        half); ``top-1`` and, above five columns, ``top-5``; ``mean rank``, from 1; ``difference``, the similarity less
        the mean of the row's others. The diagonal is what was scored.
    """
    n = len(similarities)
    rank = rankdata(-similarities, axis=1) - 1
    top = {f"top-{k}": np.clip(k - rank, 0, 1) for k in (1, 5) if k < n}
    difference = (n * similarities - similarities.sum(axis=1, keepdims=True)) / (n - 1)
    return {TWO_WAY: 1 - rank / (n - 1), **top, RANK: rank + 1, DIFFERENCE: difference}


def prompt_table(prompts: Sequence[str], stimuli: Sequence[str], similarities: np.ndarray) -> pd.DataFrame:
    """List what became of every prompt.

    Parameters
    ----------
    prompts, stimuli : sequence of str
    similarities : numpy.ndarray
        (n, n), from `matches`.

    Returns
    -------
    pandas.DataFrame
        ``prompt``, ``stimulus``, ``rank`` (from 1) among ``candidates``, ``matched`` and ``unmatched``, the similarity
        to its own and the mean of those to the others, and ``found``, the prompt that came first.
    """
    scores = {name: np.diag(own) for name, own in pairing_scores(similarities).items()}
    matched = np.diag(similarities)
    found = np.asarray(prompts, dtype=object)[similarities.argmax(axis=1)]
    own = {"prompt": list(prompts), "stimulus": list(stimuli), "rank": scores[RANK], "candidates": len(prompts)}
    return pd.DataFrame({**own, "matched": matched, "unmatched": matched - scores[DIFFERENCE], "found": found})


def permuted_matchings(prompts: Mapping[str, Sequence[str]], n_permutations: int, seed: int) -> dict[str, np.ndarray]:
    """Permute which response goes with which prompt, every subject's uniformly.

    Subjects who imagined the same prompts get the same permutations, for answers to a prompt may be alike in people
    without being about it. Where prompts are shared in part, so are the permutations.

    Parameters
    ----------
    prompts : mapping of str to sequence of str
        By subject, each prompt once.
    n_permutations, seed : int

    Returns
    -------
    dict of str to numpy.ndarray
        By subject: (n_permutations, n) of int, the column of each row.
    """
    places = {prompt: place for place, prompt in enumerate(dict.fromkeys(p for own in prompts.values() for p in own))}
    keys = np.random.default_rng(seed).random((2, n_permutations, len(places)))
    drawn = {}
    for subject, own in prompts.items():
        rows, columns = keys[:, :, [places[prompt] for prompt in own]].argsort(axis=2)
        drawn[subject] = np.empty_like(rows)
        np.put_along_axis(drawn[subject], rows, columns, axis=1)
    return drawn


def effect_size(differences: np.ndarray, groups: Sequence[str], seed: int = 0) -> tuple[float, float, float]:
    """Give Cohen's d of differences from 0 (d_z): their mean by their standard deviation.

    Parameters
    ----------
    differences : numpy.ndarray
        (n,).
    groups : sequence of str
        (n,), for example prompts: all of one are resampled together.
    seed : int
        Of the bootstrap.

    Returns
    -------
    value, low, high : float
        With the 95% percentile bootstrap interval; NaN where differences do not vary.
    """
    codes = pd.factorize(np.asarray(groups))[0]
    powers = (np.ones(len(codes)), differences, np.square(differences))
    moments = np.stack([np.bincount(codes, weights=weights) for weights in powers])
    n = moments.shape[1]
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    resampled = _cohens_d(*(moments @ counts.T))
    varied = resampled[np.isfinite(resampled)]
    low, high = np.quantile(varied, [0.025, 0.975]).tolist() if len(varied) else (float("nan"), float("nan"))
    return float(_cohens_d(*moments.sum(axis=1, keepdims=True))[0]), low, high


def match_statistics(
    subjects: Mapping[str, tuple[Sequence[str], np.ndarray]], n_permutations: int = PERMUTATIONS, seed: int = 0
) -> tuple[pd.DataFrame, dict[tuple[str, str], np.ndarray]]:
    """Test whether responses match their prompts, for every subject and for all together.

    Parameters
    ----------
    subjects : mapping of str to tuple
        By subject its prompts, and the similarities (n, n) from `matches`.
    n_permutations : int
        How often the matching of responses to prompts is permuted, see `permuted_matchings`.
    seed : int
        Of permutations and bootstrap.

    Returns
    -------
    table : pandas.DataFrame
        Tidy: ``subject`` (with several also ``"all"``, where every subject's every prompt counts once), ``metric``,
        ``value``, ``low`` and ``high`` (95% bootstrap interval over prompts), ``chance`` (the mean over all pairings),
        ``p_value`` (one-sided: how often a permuted matching does as well) and ``n``, prompts times subjects. Metrics
        are those of `pairing_scores` and ``effect size``, Cohen's d of the differences; the p-value that belongs to it
        is that of ``difference``. P-values are not corrected for the number of metrics: decide for one.
    nulls : dict of (str, str) to numpy.ndarray
        By subject and metric: (n_permutations,) values under permuted matchings.

    Raises
    ------
    ValueError
        No subject, or fewer than one permutation.
    """
    if not subjects or n_permutations < 1:
        raise ValueError(
            f"subjects and n_permutations: expected at least 1, found {len(subjects)} and {n_permutations}"
        )
    columns = permuted_matchings({name: prompts for name, (prompts, _) in subjects.items()}, n_permutations, seed)
    scores = {name: pairing_scores(similarities) for name, (_, similarities) in subjects.items()}
    every = {name: [name] for name in subjects} | ({EVERYONE: list(subjects)} if len(subjects) > 1 else {})
    rows, nulls = [], {}
    for who, names in every.items():
        groups = [prompt for name in names for prompt in subjects[name][0]]
        for metric in (metric for metric in METRICS[:-1] if all(metric in scores[name] for name in names)):
            own = [scores[name][metric] for name in names]
            drawn = [each[np.arange(len(each)), columns[name]] for name, each in zip(names, own, strict=True)]
            values, null = np.concatenate([np.diag(each) for each in own]), np.concatenate(drawn, axis=1).mean(axis=1)
            chance = round(np.average([each.mean() for each in own], weights=[len(each) for each in own]), 6) + 0.0
            sign = -1 if metric == RANK else 1
            p_value = permutation_p_value(sign * values.mean() - EXACT, sign * null)
            low, high = bootstrap_interval(values, seed, n_resamples=RESAMPLES, groups=groups)
            row = {"subject": who, "metric": metric, "value": values.mean(), "low": low, "high": high}
            rows.append({**row, "chance": chance, "p_value": p_value, "n": len(values)})
            nulls[who, metric] = null
        d, low, high = effect_size(values, groups, seed)  # the last metric's: of differences
        row = {"subject": who, "metric": EFFECT_SIZE, "value": d, "low": low, "high": high, "chance": 0.0}
        rows.append({**row, "p_value": float("nan"), "n": len(values)})
    return pd.DataFrame(rows), nulls


def _cohens_d(count: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Return mean by standard deviation (n - 1) of values of which number, sum and sum of squares are known."""
    mean = total / count
    variance = (squares - count * np.square(mean)) / np.maximum(count - 1, 1)
    varies = variance > np.square(SPREAD * mean) + np.finfo(float).tiny
    return np.divide(mean, np.sqrt(np.maximum(variance, 0)), out=np.full_like(mean, np.nan), where=varies)
