from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from braindecode_x.analysis.clusters import (
    category_clusters,
    cluster_scores,
    semantic_clusters,
    separation_table,
    separations,
)

CENTRES = np.random.default_rng(5).standard_normal((3, 20))
SIZES = {"bird": 30, "boat": 20, "cake": 12}
NETWORKS = {"told": 5, "silent": 7}


def drawn(seed: int = 0) -> tuple[np.ndarray, list[str], list[str]]:
    """Embeddings of three groups of concepts that share a direction, their ids and concepts, shuffled."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(3), list(SIZES.values()))
    order = rng.permutation(len(kinds))
    embeddings = 5 + CENTRES[kinds] + 0.4 * rng.standard_normal((len(kinds), 20))
    concepts = [f"{name}_{number}" for name, size in SIZES.items() for number in range(size)]
    concepts = [concepts[place] for place in order]
    return embeddings[order].astype(np.float32), [f"{seed}/{name}" for name in concepts], concepts


def scored(n: int = 40, seed: int = 0) -> tuple[np.ndarray, list[str], pd.Series]:
    """Scores of pictures of the clusters a and b: one network tells them apart."""
    rng = np.random.default_rng(seed)
    stimuli = [f"picture-{number}" for number in range(n)]
    members = pd.Series(np.where(np.arange(n) % 3 == 0, "a", "b"), pd.Index(stimuli))
    scores = rng.standard_normal((n, 2, 2))
    scores[:, 0, 0] += 2 * (members == "a").to_numpy()
    scores[:, 0, 1] += 2 * (members == "b").to_numpy()
    return scores, stimuli, members


def test_groups_are_found_named_and_recognised_in_other_pictures():
    embeddings, stimuli, concepts = drawn()
    clusters = semantic_clusters(embeddings, stimuli, concepts, 3)
    kinds = [{name.split(" ")[0] for name in names.split(", ")} for names in clusters.names]
    assert kinds == [{"bird"}, {"boat"}, {"cake"}]  # the largest first
    assert all(clusters.members[name].startswith(name[2:6]) for name in stimuli)
    others, names, _ = drawn(1)
    assert all(cluster.startswith(name[2:6]) for name, cluster in clusters.assign(others, names).items())
    again = semantic_clusters(embeddings, stimuli, concepts, 3)
    pd.testing.assert_series_equal(again.members, clusters.members)


def test_clusters_of_one_concept_keep_apart():
    embeddings, stimuli, _ = drawn()
    names = semantic_clusters(embeddings, stimuli, ["thing"] * len(stimuli), 3).names
    assert names == ["1: thing", "2: thing", "3: thing"]


def test_areas_are_those_of_sklearn_also_of_ties():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, (30, 3, 2)).astype(float)
    members = rng.random((4, 30, 2)) < 0.4
    found = separations(scores, members)
    assert found.shape == (4, 3, 2)
    for number, network, cluster in np.ndindex(found.shape):
        expected = roc_auc_score(members[number, :, cluster], scores[:, network, cluster])
        assert found[number, network, cluster] == pytest.approx(expected)
    members[0, :, 0] = False
    assert np.isnan(separations(scores, members)[0, :, 0]).all()


def test_ridge_scores_what_parcels_tell():
    rng = np.random.default_rng(0)
    members = rng.choice(["a", "b", "c"], 120)
    patterns = {name: rng.standard_normal((4, 3)) for name in "abc"}
    brain = np.stack([patterns[name] for name in members]) + rng.standard_normal((120, 4, 3))
    scores = cluster_scores(brain[:80], members[:80], brain[80:], ["c", "a", "b"])
    assert scores.shape == (40, 3)
    assert np.mean(np.array(["c", "a", "b"])[scores.argmax(axis=1)] == members[80:]) > 0.8


def test_a_network_that_tells_a_cluster_is_found():
    scores, stimuli, members = scored(seed=1)
    table = separation_table({"anna": scores}, {"anna": stimuli}, members, NETWORKS, ["a", "b"], 2000)
    rows = table.set_index(["network", "cluster"])
    told, silent = rows.loc["told"], rows.loc["silent"]
    assert (told["p_corrected"] < 0.01).all()
    assert (silent["p_corrected"] > 0.05).all()
    assert (told["low"] < told["value"]).all()
    assert (told["low"] > 0.6).all()
    assert ((silent["low"] < 0.5) & (silent["high"] > 0.5)).all()
    assert rows.loc[("told", "a"), ["n_positive", "n", "parcels"]].tolist() == [14, 40, 5]
    inside = (members == "a").to_numpy()
    exact = mannwhitneyu(scores[inside, 1, 0], scores[~inside, 1, 0], alternative="greater", method="exact")
    assert rows.loc[("silent", "a"), "p_value"] == pytest.approx(exact.pvalue, abs=0.03)
    assert (rows["p_corrected"] >= rows["p_value"]).all()


def test_all_together_is_the_mean_also_where_subjects_saw_other_pictures():
    first, stimuli, members = scored()
    second = scored(seed=1)[0]
    seen = {"anna": stimuli, "ben": stimuli[:25]}
    table = separation_table({"anna": first, "ben": second[:25]}, seen, members, NETWORKS, ["a", "b"], 200)
    wide = table.pivot(index=["network", "cluster"], columns="subject", values="value")
    np.testing.assert_allclose(wide["all"], (wide["anna"] + wide["ben"]) / 2)
    assert table.groupby("subject")["n"].first().to_dict() == {"anna": 40, "ben": 25, "all": 40}


def test_p_values_are_uniform_where_networks_tell_nothing():
    """Also for two people who answer alike to a picture, whatever its cluster."""
    p_values = []
    for seed in range(50):
        _, stimuli, members = scored(20)
        own = np.random.default_rng(seed).standard_normal((20, 2, 2))
        both, seen = {"anna": own, "ben": own}, {"anna": stimuli, "ben": stimuli}
        table = separation_table(both, seen, members, NETWORKS, ["a", "b"], 99, seed)
        p_values.append(table.loc[table["subject"] == "all", "p_value"].iloc[[0, 2]])  # of cluster a
    pooled = np.concatenate(p_values)
    assert abs(pooled.mean() - 0.505) < 0.09
    assert np.mean(pooled <= 0.1) < 0.18


@pytest.mark.parametrize("n", [0, 1])
def test_a_cluster_without_test_pictures_is_left_open(n):
    scores, stimuli, members = scored()
    members.iloc[:n] = "rare"
    wider = np.concatenate([scores, scores[..., :1]], axis=2)
    table = separation_table({"anna": wider}, {"anna": stimuli}, members, NETWORKS, ["a", "b", "rare"], 50)
    rare = table[table["cluster"] == "rare"]
    assert (rare["n_positive"] == n).all()
    assert rare[["value", "low", "p_value", "p_corrected"]].isna().all(axis=None)
    assert table.loc[table["cluster"] != "rare", "p_corrected"].notna().all()


def test_wrong_input_is_refused():
    embeddings, stimuli, concepts = drawn()
    for k in (1, 32):
        with pytest.raises(ValueError, match=f"k: expected 2 to 31, half of the different embeddings, found {k}"):
            semantic_clusters(embeddings, stimuli, concepts, k)
    with pytest.raises(ValueError, match="category: expected two or more among training pictures, found"):
        category_clusters(pd.Series(["food", "food"]))
    categories = category_clusters(pd.Series(["food", "tool", "tool"], ["1", "2", "3"]))
    assert categories.names == ["tool", "food"]
    with pytest.raises(ValueError, match="clusters are categories"):
        categories.assign(embeddings, stimuli)
    scores, stimuli, members = scored()
    with pytest.raises(ValueError, match="expected at least 1, found 1 and 0"):
        separation_table({"anna": scores}, {"anna": stimuli}, members, NETWORKS, ["a", "b"], 0)
