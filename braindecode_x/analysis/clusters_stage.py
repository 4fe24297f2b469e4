"""The stage behind ``braindecode-x analyse clusters``: tables and figures of one analysis in a folder."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pandas as pd
import torch
from rich.progress import track

from braindecode_x.analysis.clusters import (
    Clusters,
    category_clusters,
    cluster_scores,
    semantic_clusters,
    separation_table,
)
from braindecode_x.analysis.parts import labelled
from braindecode_x.analysis.semantic_plots import cluster_figure
from braindecode_x.analysis.settings import StudySettings
from braindecode_x.analysis.study import Study, open_study

WHOLE = "whole brain"


def analyse_clusters(settings: StudySettings, by: str, k: int, permutations: int) -> None:
    """Ask which network separates which cluster; see `braindecode_x.analysis.commands.clusters`."""
    study = open_study("clusters", settings)
    parcels = study.windows.parcels
    if not parcels.network_names:
        raise ValueError(f"parcels of the atlas {parcels.atlas!r}: have no networks; clusters need an atlas with them")
    networks = {WHOLE: np.ones(len(parcels), bool)}
    networks |= {name: parcels.in_network(name) for name in parcels.network_names}
    study.claim(by=by, k=k)
    seen = {name: study.data.shown(name, study.split) for name in study.data.subjects}
    clusters, members = _clusters(study, by, k, list(dict.fromkeys(own for each in seen.values() for own in each)))
    known = pd.concat([clusters.members, members])
    listed = {"stimulus": known.index, "cluster": known.to_numpy()}
    split = ["train"] * len(clusters.members) + [study.split] * len(members)
    study.write("clusters", pd.DataFrame({**listed, "split": split}))
    tables = {
        name: study.table(f"scores/{name}", partial(_scored, study, name, clusters, networks))
        for name in study.data.subjects
    }
    shape = (len(networks), len(clusters.names))
    scores, stimuli = {}, {}
    for name, table in tables.items():
        scores[name] = table["score"].to_numpy().reshape(*shape, -1).transpose(2, 0, 1)
        stimuli[name] = table["stimulus"].to_numpy()[: len(scores[name])].tolist()
    sizes = {name: int(chosen.sum()) for name, chosen in networks.items()}
    found = separation_table(scores, stimuli, members, sizes, clusters.names, permutations, study.seed)
    study.write("separation", found)
    together = str(found["subject"].iloc[-1])
    for subject in found["subject"].unique():
        study.draw("clusters" if subject == together else f"subjects/{subject}", cluster_figure(found, subject))
    shown = found[(found["subject"] == together) & (found["p_corrected"] < 0.05)]
    shown = shown.sort_values("value", ascending=False)[["network", "cluster", "value", "p_value", "p_corrected"]]
    sys.stdout.write(shown.to_string(index=False, float_format="{:.3g}".format) + "\n")
    sys.stdout.write(f"tables and figures: {study.folder}\n")


def _clusters(study: Study, by: str, k: int, tested: list[str]) -> tuple[Clusters, pd.Series]:
    """Cluster all training pictures; return these clusters, and those of the pictures that are tested."""
    data, table = study.data, study.data.cohort.stimuli.table
    training = list(dict.fromkeys(own for name in data.subjects for own in data.shown(name, "train")))
    if by == "category":
        if "category" not in table:
            raise ValueError(f"by: the stimuli have no column 'category'; they have {', '.join(table)}")
        return category_clusters(table["category"].loc[training]), table["category"].loc[tested].astype(str)
    place = 0 if by == "pictures" else 1
    embeddings = {stimulus: data.targets[stimulus][place] for stimulus in [*training, *tested]}
    without = [stimulus for stimulus, own in embeddings.items() if own is None]
    if without:
        raise ValueError(f"by: {len(without)} pictures have no caption, for example {without[0]!r}; choose pictures")
    given = {name: torch.stack([embeddings[stimulus] for stimulus in own]).flatten(1).float().numpy()  # type: ignore[misc]
             for name, own in (("training", training), ("tested", tested))}  # fmt: skip
    names = table["concept" if "concept" in table else "caption"].loc[training]
    named = [name or stimulus for stimulus, name in names.items()]
    clusters = semantic_clusters(given["training"], training, named, k, study.seed)
    return clusters, clusters.assign(given["tested"], tested)


def _scored(study: Study, name: str, clusters: Clusters, networks: dict[str, np.ndarray]) -> pd.DataFrame:
    """Score a subject's test pictures from every network: rows by network, cluster and picture, in this order."""
    seen, train, _ = labelled(study.data, name, "train")
    stimuli, test, _ = labelled(study.data, name, study.split)
    members = clusters.members.loc[seen].tolist()
    tables = []
    for network, chosen in track(networks.items(), f"{name}, networks"):
        scores = cluster_scores(train[:, chosen], members, test[:, chosen], clusters.names)
        about = {"network": network, "cluster": np.repeat(clusters.names, len(stimuli))}
        tables.append(pd.DataFrame({**about, "stimulus": stimuli * len(clusters.names), "score": scores.T.ravel()}))
    return pd.concat(tables, ignore_index=True)
