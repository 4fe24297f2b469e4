"""What a decoder confuses, and whether its geometry is that of the embedding space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

from braindecode_x.analysis.parts import SubjectPictures, picture_ranks
from braindecode_x.analysis.time_windows import Window, window_parts
from braindecode_x.metrics.evaluate import RESAMPLES
from braindecode_x.metrics.retrieval import similarity
from braindecode_x.metrics.significance import permutation_p_value

LEAST = 4  # pictures: three have three distances, whose order tells nothing
PERMUTATIONS = 1000


def similarity_matrix(
    predicted: np.ndarray, targets: np.ndarray, stimuli: Sequence[str], categories: Sequence[str] | None = None
) -> pd.DataFrame:
    """Compare every decoded embedding with every picture's.

    Parameters
    ----------
    predicted, targets : numpy.ndarray
        (n, d) each, of the same pictures.
    stimuli : sequence of str
        Their ids.
    categories : sequence of str, optional
        Of each picture: pictures are ordered by them, and within one as they come.

    Returns
    -------
    pandas.DataFrame
        Cosines: a row a response (``brain``), a column a picture (``picture``).
    """
    order = np.arange(len(stimuli)) if categories is None else np.argsort(np.asarray(categories), kind="stable")
    cosines = similarity(torch.from_numpy(predicted), torch.from_numpy(targets)).numpy()
    names = np.asarray(stimuli)[order]
    return pd.DataFrame(cosines[order][:, order], pd.Index(names, name="brain"), pd.Index(names, name="picture"))


def ranked_pictures(subject: str, predicted: np.ndarray, targets: np.ndarray, pictures: pd.DataFrame) -> pd.DataFrame:
    """Rank every test picture among all, with what is known of it.

    Parameters
    ----------
    subject : str
    predicted, targets : numpy.ndarray
        (n, d).
    pictures : pandas.DataFrame
        (n,) rows of the stimuli's table, indexed by id. Without a column ``concept`` every picture is one.

    Returns
    -------
    pandas.DataFrame
        ``subject``, ``stimulus``, ``concept``, ``category`` where there is one, ``rank`` and ``candidates``: what
        `braindecode_x.analysis.parts.accuracy_table` takes, for all, or by category or concept.
    """
    ids = pictures.index.to_numpy(dtype=str)
    known = {"concept": pictures["concept"].to_numpy(dtype=str) if "concept" in pictures else ids}
    if "category" in pictures:
        known["category"] = pictures["category"].to_numpy(dtype=str)
    own = {"rank": picture_ranks(predicted, targets), "candidates": len(ids)}
    return pd.DataFrame({"subject": subject, "stimulus": ids, **known, **own})


def concept_accuracy(ranked: pd.DataFrame) -> pd.DataFrame:
    """List concepts by how well they are found, best first, all subjects together.

    Parameters
    ----------
    ranked : pandas.DataFrame
        From `ranked_pictures`.

    Returns
    -------
    pandas.DataFrame
        ``concept``, ``category`` where there is one, ``two_way`` (mean probability that the right picture beats another
        one), ``top_1``, ``median_rank`` (1 is best) and ``n``, pictures times subjects.
    """
    others = ranked["candidates"] - 1
    scored = ranked.assign(two_way=1 - ranked["rank"] / others, top_1=(1 - ranked["rank"]).clip(0, 1))
    by = [name for name in ("concept", "category") if name in scored]
    scored = scored.groupby(by, sort=False).agg(
        two_way=("two_way", "mean"), top_1=("top_1", "mean"), median_rank=("rank", "median"), n=("rank", "size")
    )
    scored["median_rank"] += 1
    return scored.sort_values(["two_way", "top_1"], ascending=False, kind="stable").reset_index()


def compare_geometries(responses: np.ndarray, embeddings: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Correlate the distances between responses with those between embeddings (representational similarity analysis).

    Parameters
    ----------
    responses : numpy.ndarray
        (n, ...): decoded embeddings or responses to n pictures. Two are 1 - their Pearson correlation apart.
    embeddings : numpy.ndarray
        (n, d) of the same pictures. Two are 1 - their cosine apart.
    seed : int
        Of permutations and bootstrap.

    Returns
    -------
    dict of str to float
        ``value``, Spearman's correlation over all pairs of pictures; ``low`` and ``high``, its 95% bootstrap interval
        over pictures (pairs of a picture with itself are left out, ranks are those among all pairs); ``p_value``,
        one-sided, of permuted pictures; ``n``.

    Raises
    ------
    ValueError
        Fewer than four pictures, numbers differ, or responses that do not vary.

    Notes
    -----
    Kriegeskorte et al. 2008, Front. Syst. Neurosci. 2:4; permutation and bootstrap of pictures, Nili et al. 2014, PLoS
    Comput. Biol. 10:e1003553.
    """
    n = len(responses)
    if n != len(embeddings) or n < LEAST:
        raise ValueError(
            f"responses and embeddings: expected {LEAST} pictures or more, the same, found {n} and {len(embeddings)}"
        )
    distances = pdist(responses.reshape(n, -1), "correlation")
    if not np.isfinite(distances).all():
        raise ValueError("responses: expected each to vary and to be finite, found one that does not")
    a, b = (squareform(rankdata(each)) for each in (distances, pdist(embeddings, "cosine")))
    rng, upper = np.random.default_rng(seed), np.triu_indices(n, 1)
    value = _correlation(a[upper], b[upper])
    null = np.empty(PERMUTATIONS)
    for number in range(PERMUTATIONS):
        order = rng.permutation(n)
        null[number] = _correlation(a[upper], b[order][:, order][upper])
    resampled = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        drawn = rng.integers(n, size=n)
        first, second = drawn[upper[0]], drawn[upper[1]]
        pairs = first != second
        resampled[number] = _correlation(a[first[pairs], second[pairs]], b[first[pairs], second[pairs]])
    low, high = np.quantile(resampled, [0.025, 0.975]).tolist()
    return {"value": value, "low": low, "high": high, "p_value": permutation_p_value(value, null), "n": n}


def geometry_over_time(pictures: SubjectPictures, windows: Sequence[Window], seed: int = 0) -> pd.DataFrame:
    """Compare the geometry of the responses themselves with that of the embeddings, window by window.

    Parameters
    ----------
    pictures : SubjectPictures
        Test pictures are compared.
    windows : sequence of Window
    seed : int
        As of `compare_geometries`.

    Returns
    -------
    pandas.DataFrame
        ``subject``, ``start`` and ``stop`` (seconds), then as of `compare_geometries`. Responses are patterns over
        channels and samples, without their mean over the test pictures.
    """
    rows = []
    for part in window_parts(windows, "sliding", pictures.test.shape[1], pictures.times):
        responses = part.cut(pictures.test)
        found = compare_geometries(responses - responses.mean(axis=0), pictures.test_targets, seed)
        rows.append({"subject": pictures.name, "start": part.about["start"], "stop": part.about["stop"], **found})
    return pd.DataFrame(rows)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else 0.0
