from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch

from braindecode_x.analysis import brain_plots
from braindecode_x.analysis.attribution import contribution_table, network_attribution, parcel_attribution, ridge_model
from braindecode_x.analysis.parts import fit_ridge
from braindecode_x.analysis.saliency import integrated_gradients
from braindecode_x.datasets.parcels import Parcels, seitzman

CONTENT = ["Visual", "DorsalAttention", "DefaultMode"]
SMALL = Parcels(("a", "b", "c"), ("one", "two", "one"), np.array([[-40.0, 0, 20], [40, -10, 10], [0, -80, 0]]), "small")


@pytest.fixture(scope="module")
def contributions(whole_brains) -> pd.DataFrame:
    """Contributions to ridge of two simulated people."""
    return pd.concat(
        [
            contribution_table(integrated_gradients(ridge_model(each), each, "inner product", steps=1), each)
            for each in whole_brains
        ],
        ignore_index=True,
    )


def test_ridge_with_gradients_is_ridge(whole_brains):
    pictures = whole_brains[0]
    expected = fit_ridge(pictures.train, pictures.train_targets)(pictures.test)
    np.testing.assert_allclose(ridge_model(pictures)(torch.from_numpy(pictures.test)), expected, atol=1e-4)


def test_the_networks_that_carry_content_contribute_and_no_others(contributions):
    table = network_attribution(contributions, seitzman())
    assert list(table["subject"].unique()) == ["sub-01", "sub-02", "all"]
    for _, own in table.groupby("subject"):
        own = own.set_index("network")
        assert own["share"].sum() == pytest.approx(1)
        assert own.loc[CONTENT, "share"].sum() > 0.9
        assert own.loc[CONTENT, "low"].min() > 0
        assert own.drop(index=CONTENT)["value"].max() < 0.2 * own.loc[CONTENT, "value"].min()


def test_values_of_parcels_are_means_of_contributions_and_add_up_to_those_of_networks(contributions):
    parcels, whole = seitzman(), network_attribution(contributions, seitzman())
    contributions = contributions[["subject", "stimulus", "concept", *parcels.names]]
    table = parcel_attribution(contributions, parcels)
    own = table[table["subject"] == "sub-02"]
    mine = contributions[contributions["subject"] == "sub-02"]
    np.testing.assert_allclose(own["value"], mine[list(parcels.names)].mean(), rtol=1e-9)
    np.testing.assert_allclose(own[["x", "y", "z"]], parcels.coordinates)
    assert (table["low"] <= table["high"]).all()
    assert table.groupby("subject")["n"].first().to_dict() == {"all": 120, "sub-01": 60, "sub-02": 60}
    sums = own.groupby("network", sort=False)["value"].sum()
    expected = whole[whole["subject"] == "sub-02"].set_index("network")["value"]
    pd.testing.assert_series_equal(sums, expected, check_names=False)


def test_an_atlas_without_networks_or_places_still_has_values():
    parcels = Parcels(("a", "b"), (), None, "own")
    trials = pd.DataFrame(
        {"subject": "anna", "stimulus": ["x", "y"], "concept": ["x", "y"], "a": [1.0, 3], "b": [0, 1]}
    )
    table = parcel_attribution(trials, parcels)
    assert table["value"].tolist() == [2, 0.5]
    assert table[["x", "y", "z"]].isna().all(axis=None)
    with pytest.raises(ValueError, match="parcels of 'own': the atlas has no networks"):
        network_attribution(trials, parcels)


def test_vertices_have_the_value_of_the_nearest_parcel_of_their_side():
    values = np.array([1.0, 2.0, 3.0])
    left, right = (brain_plots.surface_values(values, SMALL, side) for side in ("left", "right"))
    assert len(left) == len(right) == 10242
    assert set(left[np.isfinite(left)]) == {1, 3}
    assert set(right[np.isfinite(right)]) == {2, 3}
    assert np.isnan(left).mean() > 0.8  # most of the cortex is far from three parcels
    alone = brain_plots.surface_values(values[:1], SMALL.take([0]), "right")
    assert np.isnan(alone).all()


def test_brains_are_drawn_and_the_page_needs_no_network():
    values = np.array([0.5, -1.0, 0.1])
    page = brain_plots.interactive_brain(values, SMALL, "anna")
    assert not re.search(r"""<(script|link|img|iframe)\b[^<>]*(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert "plotly.js (gl3d" in page
    assert "a (one): 0.5" in page
    figure = brain_plots.surface_figure(values, SMALL, "anna", "contribution")
    assert [axes.get_title() for axes in figure.axes[:4]] == [
        "left, lateral",
        "left, medial",
        "right, lateral",
        "right, medial",
    ]
    trials = pd.DataFrame({"subject": "anna", "stimulus": ["x", "y"], "concept": ["x", "y"]})
    trials[list("abc")] = values
    tables = parcel_attribution(trials, SMALL), network_attribution(trials, SMALL)
    drawn = brain_plots.attribution_figure(*tables, SMALL)
    (bars,) = [axes for axes in drawn.axes if axes.patches and axes.get_title() == "networks"]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["two (1)", "one (2)"]
    assert brain_plots.attribution_figure(tables[0], None, SMALL).axes
