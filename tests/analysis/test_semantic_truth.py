"""On simulated people who see and imagine objects, both analyses find what was planted in their networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindecode_x.analysis.clusters import category_clusters, cluster_scores, separation_table
from braindecode_x.analysis.imagination import ImaginedPrompts, match_statistics, matches, ridge_decode
from braindecode_x.analysis.parts import labelled
from braindecode_x.datamodules import WindowsDataModule
from braindecode_x.datasets import SimulatedWholeBrain
from braindecode_x.stimuli import ObjectStimuli

CONTENT = ("Visual", "DorsalAttention", "DefaultMode")
EMBEDDED = 32


@pytest.fixture(scope="module")
def data(objects: ObjectStimuli, tmp_path_factory: pytest.TempPathFactory) -> WindowsDataModule:
    """A simulated person with less noise, whose pictures and captions are to be decoded to their semantic features."""
    pictures = objects.subset(rendering="fluent3d")
    ids = {split: pictures.subset(split=split).ids for split in ("train", "validation", "test")}
    chosen = [*ids["train"][::6], *ids["validation"][:1], *ids["test"][::4]]
    folder, repeats = tmp_path_factory.mktemp("features"), {"train": 2, "validation": 1, "test": 4}
    cohort = SimulatedWholeBrain(0, pictures.subset(ids=chosen), folder, repeats=repeats, noise=0.6)
    features = np.concatenate([cohort.features[kind] for kind in ("category", "keywords")], axis=1)
    features = features - features[cohort.training].mean(axis=0)
    embeddings = features @ np.random.default_rng(0).standard_normal((features.shape[1], EMBEDDED))
    unit = torch.from_numpy(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).float()
    data = WindowsDataModule(cohort, subjects=["sub-01"])
    data.targets = {name: (own, own) for name, own in zip(chosen, unit, strict=True)}
    return data


def decoded(data: WindowsDataModule, *networks: str) -> tuple[ImaginedPrompts, torch.Tensor]:
    """Fit ridge to the windows of seen pictures, of all parcels or of some networks, and decode imagination."""
    imagined = ImaginedPrompts.of(data, "sub-01")
    stimuli, train = data.averaged("sub-01", "train")
    targets = {"text": torch.stack([data.targets[name][0] for name in stimuli]).numpy()}
    chosen = np.ones(len(data.parcels), bool)
    if networks:
        chosen = np.any([data.parcels.in_network(name) for name in networks], axis=0)
    return imagined, ridge_decode(train[..., chosen], targets, imagined.responses[..., chosen])["text"]


def p_value(data: WindowsDataModule, imagined: ImaginedPrompts, given: torch.Tensor) -> tuple[float, float]:
    """Return two-way accuracy and its p-value."""
    prompts = torch.stack([data.targets[name][1] for name in imagined.stimuli])
    table, _ = match_statistics({"sub-01": (imagined.prompts, matches(given, prompts))}, 999)
    return tuple(table.set_index("metric").loc["2-way", ["value", "p_value"]])


def test_what_is_imagined_is_decoded_from_the_networks_that_carry_it(data: WindowsDataModule) -> None:
    imagined, whole = decoded(data)
    assert len(imagined.prompts) == 40
    value, p = p_value(data, imagined, whole)
    assert value > 0.8
    assert p < 0.05
    for network in CONTENT:
        assert p_value(data, *decoded(data, network))[1] < 0.05
    value, p = p_value(data, *decoded(data, "FrontoParietal", "Salience", "SomatomotorDorsal"))
    assert 0.35 < value < 0.65
    assert p > 0.05
    shuffled = whole[torch.from_numpy(np.random.default_rng(1).permutation(len(whole)))]
    assert p_value(data, imagined, shuffled)[1] > 0.05


def test_networks_that_carry_nothing_separate_no_cluster(data: WindowsDataModule) -> None:
    seen, train, _ = labelled(data, "sub-01", "train")
    stimuli, test, _ = labelled(data, "sub-01", "test")
    category = data.cohort.stimuli.table["category"]
    clusters = category_clusters(category[seen])
    networks = {name: data.parcels.in_network(name) for name in data.parcels.network_names}
    scores = [cluster_scores(train[:, own], category[seen], test[:, own], clusters.names) for own in networks.values()]
    sizes = {name: int(own.sum()) for name, own in networks.items()}
    given = {"sub-01": np.stack(scores, axis=1)}
    table = separation_table(given, {"sub-01": stimuli}, category[stimuli], sizes, clusters.names, 1999)
    carries = table["network"].isin(CONTENT)
    told, silent = table[carries & (table["n_positive"] > 3)], table[~carries]
    assert (told["p_corrected"] < 0.05).all()
    assert told["value"].min() > 0.7
    assert abs(silent["value"].mean() - 0.5) < 0.06
    # one starred cell in twenty may be false
    assert (silent["p_corrected"] < 0.05).sum() <= 0.05 * (table["p_corrected"] < 0.05).sum()
