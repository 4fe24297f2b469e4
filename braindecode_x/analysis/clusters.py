"""Semantic clusters of stimuli, and which network of the brain separates which cluster from the others.

Clusters are those of the training pictures in the embedding space, or the stimuli's categories. For every
network ridge is fitted to the windows of its parcels, from training pictures to membership in each cluster, and test
pictures are scored. Networks have different numbers of parcels and of noise, so that a network that tells less about
one cluster than another one does may still tell more about it than about other clusters: compare along rows and
columns.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, rankdata
from sklearn.cluster import SpectralClustering
from sklearn.neighbors import KNeighborsClassifier

from braindecode_x.metrics.comparison import EVERYONE
from braindecode_x.metrics.evaluate import RESAMPLES
from braindecode_x.metrics.significance import permutation_p_value
from braindecode_x.models.ridge import RidgeDecoder

PERMUTATIONS = 10_000
TYPICAL = 3  # concepts that name a cluster
NEIGHBOURS, VOTES = 15, 5  # that a picture is linked with; that decide where another picture belongs
FEWEST = 2  # test pictures in a cluster, and outside of it, that are worth a score
STARTS = 20  # of k-means, of which the best is kept
EXACT = 1e-9  # scores nearer than this are equal: sums in another order differ by rounding
CHUNK = 500  # permutations or resamples at a time


@dataclass(frozen=True)
class Clusters:
    """A partition of pictures.

    Attributes
    ----------
    names : list of str
        Of the clusters, the largest first.
    members : pandas.Series
        Name of the cluster of every picture, by its id.
    embeddings : numpy.ndarray or None
        (pictures, d); None where clusters are categories.
    """

    names: list[str]
    members: pd.Series
    embeddings: np.ndarray | None = None

    def assign(self, embeddings: np.ndarray, stimuli: Sequence[str]) -> pd.Series:
        """Put other pictures (n, d) where most of their nearest neighbours (cosine) are: names by id."""
        if self.embeddings is None:
            raise ValueError("clusters are categories; pictures cannot be assigned to them by embeddings")
        mean = self.embeddings.mean(axis=0)
        model = KNeighborsClassifier(min(VOTES, len(self.members)), weights="distance")
        model.fit(_unit(self.embeddings - mean), self.members.to_numpy(dtype=str))
        return pd.Series(model.predict(_unit(embeddings - mean)), pd.Index(stimuli), dtype=object)


def semantic_clusters(
    embeddings: np.ndarray, stimuli: Sequence[str], concepts: Sequence[str], k: int = 8, seed: int = 0
) -> Clusters:
    """Cluster pictures, and name clusters by the concepts that are most like all of theirs.

    Contrastive training spreads embeddings evenly over the sphere: who is near is alike, but there are no dense groups
    that k-means could find. So k-means runs on the eigenvectors of the graph of nearest neighbours (spectral
    clustering; von Luxburg 2007, Stat. Comput. 17:395). On the training pictures of the embedded stimuli, in the
    embedded CLIP's space, clusters so agree better with the pictures' categories than those of k-means itself: adjusted
    mutual information 0.34 and 0.10 (pictures), 0.24 and 0.12 (captions).

    Parameters
    ----------
    embeddings : numpy.ndarray
        (n, d), of captions or pictures; centred, and compared by cosine.
    stimuli, concepts : sequence of str
        (n,), ids and what to name clusters by: captions or concepts.
    k : int
        Number of clusters.
    seed : int

    Raises
    ------
    ValueError
        ``k`` is not from 2 to half of the number of different embeddings.
    """
    most = len(np.unique(embeddings, axis=0)) // 2
    if not 2 <= k <= most:
        raise ValueError(f"k: expected 2 to {most}, half of the different embeddings, found {k}")
    unit = _unit(embeddings - embeddings.mean(axis=0))
    model = SpectralClustering(
        k, affinity="nearest_neighbors", n_neighbors=min(NEIGHBOURS, len(unit) - 1), random_state=seed, n_init=STARTS
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Graph is not fully connected")  # then its parts are clusters
        labels = model.fit_predict(unit)
    order = [
        number for number in np.argsort(-np.bincount(labels, minlength=k), kind="stable") if (labels == number).any()
    ]
    names: list[str] = []
    for number in order:
        own = np.flatnonzero(labels == number)
        typical = own[np.argsort(-unit[own] @ unit[own].mean(axis=0), kind="stable")]
        words = dict.fromkeys(str(concepts[row]).replace("_", " ") for row in typical)
        names.append(", ".join(list(words)[:TYPICAL]))
    if len(set(names)) < len(names):  # pictures of one concept in several clusters
        names = [f"{number + 1}: {name}" for number, name in enumerate(names)]
    by_label = dict(zip(order, names, strict=True))
    return Clusters(names, pd.Series([by_label[label] for label in labels], pd.Index(stimuli)), embeddings)


def category_clusters(categories: pd.Series) -> Clusters:
    """Take categories (by id) as clusters; a ValueError when there are fewer than two."""
    names = categories.value_counts().index.astype(str).tolist()
    if len(names) < 2:
        raise ValueError(f"category: expected two or more among training pictures, found {names}")
    return Clusters(names, categories.astype(str))


def cluster_scores(train: np.ndarray, members: Sequence[str], test: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Fit ridge to membership in clusters, and score other responses.

    Parameters
    ----------
    train : numpy.ndarray
        (n, ...), responses to training pictures.
    members : sequence of str
        (n,), their clusters.
    test : numpy.ndarray
        (m, ...).
    names : sequence of str
        Of the clusters.

    Returns
    -------
    numpy.ndarray
        (m, clusters) of float32; only their order has a meaning.
    """
    membership = (np.asarray(members, dtype=object)[:, None] == np.array(names, dtype=object)).astype(np.float32)
    flat, given = train.reshape(len(train), -1), test.reshape(len(test), -1)
    return RidgeDecoder().fit(flat, membership).predict(given)


def separations(scores: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Give the area under the ROC curve: the probability that one of the cluster scores above one of the others.

    Parameters
    ----------
    scores : numpy.ndarray
        (n, networks, clusters). A tie counts half.
    members : numpy.ndarray
        (..., n, clusters) of bool or 0 and 1, also several partitions at once.

    Returns
    -------
    numpy.ndarray
        (..., networks, clusters), 0 to 1; NaN for a cluster with no picture, or with all.
    """
    ranked = rankdata(scores, axis=0)
    members = members.astype(float)
    inside = members.sum(axis=-2)[..., None, :]
    outside = len(scores) - inside
    above = np.einsum("...nk,nwk->...wk", members, ranked, optimize=True) - inside * (inside + 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return above / (inside * outside)


def separation_table(
    scores: Mapping[str, np.ndarray],
    stimuli: Mapping[str, Sequence[str]],
    members: pd.Series,
    networks: Mapping[str, int],
    names: Sequence[str],
    n_permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Test how well networks separate clusters, for every subject and for all together.

    Parameters
    ----------
    scores : mapping of str to numpy.ndarray
        By subject: (test pictures, networks, clusters), from `cluster_scores`.
    stimuli : mapping of str to sequence of str
        By subject: the test pictures.
    members : pandas.Series
        Cluster of every test picture, by id.
    networks : mapping of str to int
        Names, in the order of the scores, with numbers of parcels.
    names : sequence of str
        Of the clusters, in the order of the scores.
    n_permutations : int
        How often the clusters of pictures are permuted, in the same way for all subjects, for they may answer alike to
        a picture whatever its cluster. Scores stay.
    seed : int
        Of permutations and bootstrap.

    Returns
    -------
    pandas.DataFrame
        Tidy: ``subject`` (with several also ``"all"``: the mean of their areas), ``network``, ``parcels`` (number),
        ``cluster``, ``value`` (area under the ROC curve), ``low`` and ``high`` (95% bootstrap interval over pictures),
        ``chance``, ``p_value`` (one-sided), ``p_corrected`` (false discovery rate over networks times clusters of the
        subject; Benjamini & Hochberg 1995), ``n_positive`` (pictures of the cluster) and ``n`` (pictures). NaN for a
        cluster of fewer than two test pictures, or of all but one.

    Raises
    ------
    ValueError
        No subject, or fewer than one permutation.
    """
    if not scores or n_permutations < 1:
        raise ValueError(f"scores and n_permutations: expected at least 1, found {len(scores)} and {n_permutations}")
    union = list(dict.fromkeys(name for own in stimuli.values() for name in own))
    truth = members.loc[union].to_numpy(dtype=object)[:, None] == np.array(names, dtype=object)
    rows = {name: pd.Index(union).get_indexer(list(own)) for name, own in stimuli.items()}
    rng = np.random.default_rng(seed)
    permuted = np.argsort(rng.random((n_permutations, len(union))), axis=1)
    counts = rng.multinomial(len(union), np.full(len(union), 1 / len(union)), size=RESAMPLES)
    found = {}
    for name, own in scores.items():
        chunks = [permuted[start : start + CHUNK][:, rows[name]] for start in range(0, n_permutations, CHUNK)]
        null = np.concatenate([separations(own, truth[chunk]) for chunk in chunks])
        resampled = _resampled(own, truth[rows[name]], counts[:, rows[name]].astype(np.float32))
        found[name] = (separations(own, truth[rows[name]]), null, resampled, truth[rows[name]])
    if len(scores) > 1:
        value, null, resampled = (np.mean([own[part] for own in found.values()], axis=0) for part in range(3))
        found[EVERYONE] = (value, null, resampled, truth)
    return pd.concat([_rows(name, *own, networks, names) for name, own in found.items()], ignore_index=True)


def _rows(
    subject: str,
    value: np.ndarray,
    null: np.ndarray,
    resampled: np.ndarray,
    truth: np.ndarray,
    networks: Mapping[str, int],
    names: Sequence[str],
) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")  # of a cluster that has no picture
        low, high = np.nanquantile(resampled, [0.025, 0.975], axis=0)
    table = []
    for row, (network, parcels) in enumerate(networks.items()):
        for column, cluster in enumerate(names):
            inside = int(truth[:, column].sum())
            enough = FEWEST <= inside <= len(truth) - FEWEST
            own = value[row, column] if enough else float("nan")
            drawn = np.nan_to_num(null[:, row, column], nan=0.5)
            p_value = permutation_p_value(own - EXACT, drawn) if np.isfinite(own) else float("nan")
            about = {"subject": subject, "network": network, "parcels": parcels, "cluster": cluster, "value": own}
            bounds = (low[row, column], high[row, column]) if np.isfinite(own) else (float("nan"), float("nan"))
            interval = {"low": bounds[0], "high": bounds[1], "chance": 0.5, "p_value": p_value}
            table.append({**about, **interval, "n_positive": inside, "n": len(truth)})
    rows = pd.DataFrame(table)
    tested = rows["p_value"].notna()
    rows.insert(9, "p_corrected", np.nan)
    if tested.any():
        rows.loc[tested, "p_corrected"] = false_discovery_control(rows.loc[tested, "p_value"])
    return rows


def _resampled(scores: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Give the areas when pictures are taken so many times each: (resamples, networks, clusters)."""
    areas = np.full((len(counts), scores.shape[1], scores.shape[2]), np.nan, np.float32)
    for cluster, inside in enumerate(truth.T):
        own, others = scores[inside, :, cluster].T[:, :, None], scores[~inside, :, cluster].T[:, None]
        wins = ((own > others) + 0.5 * (own == others)).astype(np.float32)  # (networks, inside, outside)
        for start in range(0, len(counts), CHUNK):
            chunk = counts[start : start + CHUNK]
            mine, theirs = chunk[:, inside], chunk[:, ~inside]
            total = mine.sum(axis=1) * theirs.sum(axis=1)
            won = np.einsum("bi,wio,bo->bw", mine, wins, theirs, optimize=True)
            with np.errstate(invalid="ignore", divide="ignore"):
                areas[start : start + CHUNK, :, cluster] = won / total[:, None]
    return areas


def _unit(embeddings: np.ndarray) -> np.ndarray:
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
