"""Which parcels a decoder draws on: integrated gradients summed over volumes, and over the parcels of a network."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from braindecode_x.analysis.parts import SubjectPictures
from braindecode_x.analysis.saliency import Model, Saliency
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.metrics.comparison import EVERYONE
from braindecode_x.metrics.evaluate import RESAMPLES
from braindecode_x.metrics.significance import bootstrap_intervals
from braindecode_x.models.ridge import RidgeDecoder

TRIAL = ["subject", "stimulus", "concept"]


def ridge_model(pictures: SubjectPictures) -> Model:
    """Fit `RidgeDecoder` to the training pictures, as a function with gradients: what is explained without a decoder.

    Parameters
    ----------
    pictures : SubjectPictures

    Returns
    -------
    callable
        From trials (n, parcels, volumes) to embeddings (n, d), both torch tensors.
    """
    train = pictures.train.reshape(len(pictures.train), -1)
    ridge = RidgeDecoder().fit(train, pictures.train_targets)
    weights = torch.from_numpy(np.asarray(ridge.coefficients, np.float32))
    offset = torch.from_numpy(ridge.predict(np.zeros_like(train[:1])))
    return lambda trials: trials.flatten(1) @ weights + offset


def contribution_table(found: Saliency, pictures: SubjectPictures) -> pd.DataFrame:
    """Put contributions of parcels, summed over volumes, beside the pictures they are of.

    Parameters
    ----------
    found : Saliency
        From `braindecode_x.analysis.saliency.integrated_gradients`.
    pictures : SubjectPictures
        What it is of.

    Returns
    -------
    pandas.DataFrame
        A row a test picture: ``subject``, ``stimulus``, ``concept``, and a column for every parcel.
    """
    table = pd.DataFrame(found.channels, columns=pictures.channels)
    for place, (name, values) in enumerate(
        zip(TRIAL, (pictures.name, pictures.stimuli, pictures.concepts), strict=True)
    ):
        table.insert(place, name, values)
    return table


def parcel_attribution(contributions: pd.DataFrame, parcels: Parcels, seed: int = 0) -> pd.DataFrame:
    """Average contributions over test pictures, for every subject and for all together.

    Parameters
    ----------
    contributions : pandas.DataFrame
        From `contribution_table`, of one subject or of several.
    parcels : Parcels
        Of its columns.
    seed : int
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        Tidy: ``subject`` (``"all"`` besides, where there are several); ``parcel``, ``network`` (empty when the atlas
        has none); ``x``, ``y``, ``z`` (millimetres, NaN when they are not known); ``value``, the mean contribution to
        the score of the picture that was seen; ``low`` and ``high``, its 95% bootstrap interval over concepts; ``n``,
        pictures times subjects.
    """
    about = pd.DataFrame({"parcel": parcels.names, "network": parcels.networks or ""})
    places = np.full((len(parcels), 3), np.nan) if parcels.coordinates is None else parcels.coordinates
    about[["x", "y", "z"]] = np.asarray(places, float)
    return _averaged(contributions, contributions[list(parcels.names)], about, seed)


def network_attribution(contributions: pd.DataFrame, parcels: Parcels, seed: int = 0) -> pd.DataFrame:
    """Sum contributions over the parcels of every network, and average them over test pictures.

    Parameters
    ----------
    contributions, parcels, seed
        As of `parcel_attribution`.

    Returns
    -------
    pandas.DataFrame
        Tidy: as of `parcel_attribution`, with ``network``, ``n_parcels``, and ``share`` of the sum over all networks.

    Raises
    ------
    ValueError
        The atlas has no networks.
    """
    names = parcels.network_names
    if not names:
        raise ValueError(f"parcels of {parcels.atlas!r}: the atlas has no networks")
    members = {name: parcels.in_network(name) for name in names}
    values = contributions[list(parcels.names)].to_numpy()
    sums = pd.DataFrame({name: values[:, chosen].sum(axis=1) for name, chosen in members.items()})
    about = pd.DataFrame({"network": names, "n_parcels": [int(chosen.sum()) for chosen in members.values()]})
    table = _averaged(contributions, sums, about, seed)
    total = table.groupby("subject", sort=False)["value"].transform("sum")
    table.insert(table.columns.get_loc("n"), "share", table["value"] / total)
    return table


def _averaged(trials: pd.DataFrame, values: pd.DataFrame, about: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Average columns of ``values`` (n, places), described by the rows of ``about``, for subjects and all of them."""
    names = list(trials["subject"].unique())
    groups = {name: (trials["subject"] == name).to_numpy() for name in names}
    if len(names) > 1:
        groups[EVERYONE] = np.ones(len(trials), bool)
    tables = []
    for name, rows in groups.items():
        own, concepts = values.to_numpy()[rows], trials["concept"].to_numpy()[rows]
        low, high = bootstrap_intervals(own, seed, n_resamples=RESAMPLES, groups=concepts)
        table = about.assign(value=own.mean(axis=0), low=low, high=high)
        table.insert(0, "subject", name)
        tables.append(table.assign(n=len(own)))
    return pd.concat(tables, ignore_index=True)
