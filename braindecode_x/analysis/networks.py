"""Which networks of the brain carry what was seen: a network's parcels alone, and all parcels but these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from braindecode_x.analysis.parts import Part, trial_scores
from braindecode_x.analysis.regions import LEAVE_IN, LEAVE_OUT, WHOLE, region_parts
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.metrics.comparison import EVERYONE
from braindecode_x.metrics.evaluate import RESAMPLES
from braindecode_x.metrics.significance import bootstrap_interval, holm, sign_flip_p_value

ALONE, LOST = "alone", "lost"
KINDS = {LEAVE_IN: ALONE, LEAVE_OUT: LOST}
TESTED = "2-way"
ALTERNATIVES: dict[str, Literal["greater", "two-sided"]] = {ALONE: "greater", LOST: "two-sided"}


def parcel_networks(parcels: Parcels) -> dict[str, np.ndarray]:
    """Tell which parcels are of which network: (parcels,) of bool each; a ValueError when the atlas has none."""
    if not parcels.networks:
        raise ValueError(f"parcels of {parcels.atlas!r}: the atlas has no networks; use one that has, such as seitzman")
    return {name: parcels.in_network(name) for name in parcels.network_names}


def network_parts(networks: Mapping[str, np.ndarray], n_volumes: int) -> list[Part]:
    """Make parts of networks for `braindecode_x.analysis.parts.part_ranks`.

    Parameters
    ----------
    networks : mapping of str to numpy.ndarray
        From `parcel_networks`.
    n_volumes : int
        Of a window; all are taken.

    Returns
    -------
    list of Part
        As of `braindecode_x.analysis.regions.region_parts`, with ``network``, ``parcels`` and ``n_parcels``.

    Raises
    ------
    ValueError
        Fewer than two networks.
    """
    return region_parts(networks, n_volumes, ("network", "parcels"))


def network_tests(ranked: pd.DataFrame, n_permutations: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Test for every network whether it tells anything alone, and whether anything is lost without it.

    Scores are the exact two-way accuracies of test pictures, of all subjects together. *alone*: the network's parcels
    alone against chance, 0.5; one-sided. *lost*: all parcels less all but these; two-sided, as a network may also
    disturb. Each is a sign-flip test (`sign_flip_p_value`) of the mean difference, in which all pictures of a concept,
    and all subjects' trials of them, are flipped together; p-values are corrected over the networks (`holm`).

    Parameters
    ----------
    ranked : pandas.DataFrame
        From `braindecode_x.analysis.parts.part_ranks` of `network_parts`, of one subject or of several. Where no
        network is alone, or none left out, that test is left out.
    n_permutations : int
    seed : int
        Of permutations and bootstrap.

    Returns
    -------
    pandas.DataFrame
        Tidy: ``subject`` (``"all"`` where there are several), ``mode``, ``network``, ``test`` (alone or lost),
        ``metric``, ``difference`` (-1 to 1), ``low`` and ``high`` (its 95% bootstrap interval over concepts), ``p``,
        ``p_corrected``, ``n`` (pictures times subjects) and ``n_concepts``.

    Raises
    ------
    ValueError
        Fewer than two concepts.
    """
    names = ranked["subject"].unique()
    subject = EVERYONE if len(names) > 1 else names[0]
    scored = ranked.assign(score=trial_scores(ranked, (2,))[TESTED][0])
    tables = []
    for mode, own in scored.groupby("mode", sort=False):
        trial = ["subject", "stimulus", "concept"]
        wide = own.pivot_table(index=trial, columns=["network", "parcels"], values="score", sort=False)
        concepts = wide.index.get_level_values("concept").to_numpy()
        networks = [name for name in own["network"].unique() if name != WHOLE]
        present = set(own.loc[own["network"] != WHOLE, "parcels"])
        kinds = {test: kind for kind, test in KINDS.items() if kind in present}
        for test in kinds:
            rows = []
            for network in networks:
                own_score, whole = wide[network, kinds[test]], wide[WHOLE, LEAVE_IN]
                difference = (own_score - 0.5 if test == ALONE else whole - own_score).to_numpy()
                low, high = bootstrap_interval(difference, seed, n_resamples=RESAMPLES, groups=concepts)
                p = sign_flip_p_value(difference, seed, n_permutations, concepts, ALTERNATIVES[test])
                about = {"subject": subject, "mode": mode, "network": network, "test": test, "metric": TESTED}
                rows.append({**about, "difference": difference.mean(), "low": low, "high": high, "p": p})
            table = pd.DataFrame(rows)
            table["p_corrected"] = holm(table["p"])
            tables.append(table.assign(n=len(wide), n_concepts=len(np.unique(concepts))))
    return pd.concat(tables, ignore_index=True)


def order_by_loss(accuracy: pd.DataFrame) -> list[str]:
    """Order networks by what is lost without them, most first, and then by what they tell alone.

    Parameters
    ----------
    accuracy : pandas.DataFrame
        Rows of one subject, mode and metric, from `braindecode_x.analysis.parts.accuracy_table` of `network_parts`.
    """
    values = accuracy[accuracy["network"] != WHOLE].pivot(index="network", columns="parcels", values="value")
    return values.sort_values([LEAVE_OUT, LEAVE_IN], ascending=[True, False]).index.tolist()
