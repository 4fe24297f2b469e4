from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from braindecode_x.analysis.parts import accuracy_table
from braindecode_x.analysis.similarity import (
    compare_geometries,
    concept_accuracy,
    geometry_over_time,
    ranked_pictures,
    similarity_matrix,
)
from braindecode_x.analysis.time_windows import sliding_windows

TARGETS = np.eye(4, dtype=np.float32)
PICTURES = pd.DataFrame(
    {"concept": ["cat", "bus", "cat", "dog"], "category": ["animal", "vehicle", "animal", "animal"]},
    index=pd.Index(["cat_1", "bus_1", "cat_2", "dog_1"], name="id"),
)
# cat_1 is found, bus_1 is second to dog_1, cat_2 is last, dog_1 is found
PREDICTED = np.array([[1, 0, 0, 0], [0, 0.8, 0, 0.9], [0.9, 0.8, 0.1, 0.7], [0, 0, 0, 1]], np.float32)


def test_a_matrix_is_ordered_by_category():
    matrix = similarity_matrix(PREDICTED, TARGETS, PICTURES.index, PICTURES["category"])
    assert list(matrix.index) == list(matrix.columns) == ["cat_1", "cat_2", "dog_1", "bus_1"]
    assert matrix.loc["bus_1", "dog_1"] == pytest.approx(0.9 / np.hypot(0.8, 0.9))
    assert matrix.loc["dog_1", "bus_1"] == 0
    assert list(similarity_matrix(PREDICTED, TARGETS, PICTURES.index).index) == list(PICTURES.index)


def test_concepts_and_categories_are_scored():
    ranked = ranked_pictures("anna", PREDICTED, TARGETS, PICTURES)
    assert ranked["rank"].tolist() == [0, 1, 3, 0]
    concepts = concept_accuracy(ranked).set_index("concept")
    assert list(concepts.index) == ["dog", "bus", "cat"]
    assert concepts.loc["cat"].to_dict() == {
        "category": "animal",
        "two_way": pytest.approx(0.5),
        "top_1": 0.5,
        "median_rank": 2.5,
        "n": 2,
    }
    categories = accuracy_table(ranked, ways=(2,)).set_index(["category", "metric"])
    assert categories.loc[("animal", "top-1"), "value"] == pytest.approx(2 / 3)
    assert categories.loc[("vehicle", "2-way"), "value"] == pytest.approx(2 / 3)
    assert set(categories["chance"]) == {0.25, 0.5}
    without = ranked_pictures("anna", PREDICTED, TARGETS, PICTURES[[]])
    assert without["concept"].tolist() == PICTURES.index.tolist()
    assert "category" not in without


def test_geometries_are_compared_by_the_rank_correlation_of_their_distances():
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((30, 8))
    responses = embeddings @ rng.standard_normal((8, 20)) + 2 * rng.standard_normal((30, 20))
    found = compare_geometries(responses, embeddings)
    expected = spearmanr(pdist(responses, "correlation"), pdist(embeddings, "cosine")).statistic
    assert found["value"] == pytest.approx(expected)
    assert found["low"] < found["value"] < found["high"]
    assert found["p_value"] < 0.01
    assert found["n"] == 30
    centred = embeddings - embeddings.mean(axis=1, keepdims=True)
    assert compare_geometries(centred, centred)["value"] == pytest.approx(1)


def test_unrelated_geometries_are_at_chance():
    p_values = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        found = compare_geometries(rng.standard_normal((25, 6)), rng.standard_normal((25, 9)))
        p_values.append(found["p_value"])
        assert found["low"] < 0.1
        assert found["high"] > -0.1
    assert np.median(p_values) > 0.05


def test_geometry_of_responses_is_that_of_early_features_early(looking):
    pictures = looking("orientation")
    table = geometry_over_time(pictures, sliding_windows(pictures.times, 0.1, 0.1))
    best = table.loc[table["value"].idxmax()]
    assert best["start"] in (pytest.approx(0.0), pytest.approx(0.1))
    assert best["p_value"] < 0.01
    assert table.loc[table["stop"] < 0.05, "p_value"].min() > 0.01


def test_wrong_input_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="expected 4 pictures or more, the same, found 3 and 3"):
        compare_geometries(rng.standard_normal((3, 5)), rng.standard_normal((3, 5)))
    with pytest.raises(ValueError, match="expected 4 pictures or more, the same, found 6 and 5"):
        compare_geometries(rng.standard_normal((6, 5)), rng.standard_normal((5, 5)))
    flat = rng.standard_normal((6, 5))
    flat[2] = 1
    with pytest.raises(ValueError, match="responses: expected each to vary"):
        compare_geometries(flat, rng.standard_normal((6, 5)))
