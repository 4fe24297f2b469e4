from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindecode_x.analysis.parts import Part, accuracy_table, fit_ridge, part_ranks
from braindecode_x.analysis.regions import by_channel, channel_regions, region_parts
from braindecode_x.datasets.simulated_heads import meg_info
from braindecode_x.datasets.things_channels import EEG_CHANNELS


def scores(pictures, start: float, stop: float, **how) -> pd.DataFrame:
    """Two-way accuracy by region, in a window of time."""
    inside = (pictures.times >= start - 1e-6) & (pictures.times < stop - 1e-6)
    parts = region_parts(channel_regions(pictures.info["ch_names"]), len(inside))
    parts = [Part(part.about, part.channels, inside) for part in parts]
    table = accuracy_table(part_ranks(pictures, parts, **how), ways=(2,))
    return table[table["metric"] == "2-way"].pivot_table(index="region", columns="channels", values="value")


@pytest.mark.parametrize("channels", [EEG_CHANNELS, tuple(meg_info("ctf151", 100.0)["ch_names"])])
def test_every_channel_lies_over_one_region(channels):
    regions = channel_regions(channels)
    assert list(regions) == ["frontal", "central", "temporal", "parietal", "occipital"]
    assert sum(chosen.astype(int) for chosen in regions.values()).tolist() == [1] * len(channels)


def test_parts_are_each_region_alone_and_all_but_it():
    regions = channel_regions(["Fz", "Oz", "O1"])
    parts = region_parts(regions, 4)
    found = [(part.about["region"], part.about["channels"], part.channels.tolist()) for part in parts]
    assert found == [
        ("all", "leave-in", [True, True, True]),
        ("frontal", "leave-in", [True, False, False]),
        ("frontal", "leave-out", [False, True, True]),
        ("occipital", "leave-in", [False, True, True]),
        ("occipital", "leave-out", [True, False, False]),
    ]
    assert [part.about["n_channels"] for part in parts] == [3, 1, 2, 2, 1]
    assert all(part.samples.all() and len(part.samples) == 4 for part in parts)


def test_regions_of_ones_own():
    regions = channel_regions(["A1", "A2", "B1"], {"back": ["A2", "A1"], "front": ["B1"], "none": []})
    assert {name: chosen.tolist() for name, chosen in regions.items()} == {
        "back": [True, True, False],
        "front": [False, False, True],
    }
    with pytest.raises(ValueError, match=r"region 'back': 1 of 2 expected channels .* A3; .*did you mean 'A"):
        channel_regions(["A1", "A2"], {"back": ["A1", "A3"]})


def test_channels_without_a_known_place_are_refused():
    with pytest.raises(ValueError, match=r"unknown channel 'E17'.* say which region they lie over: regions"):
        channel_regions(["Oz", "E17"])
    with pytest.raises(ValueError, match="regions: expected two or more, none with all 2 channels"):
        region_parts(channel_regions(["O1", "O2"]), 3)


def test_early_features_are_found_at_the_back(looking):
    found = scores(looking("orientation"), 0.06, 0.14, fit=fit_ridge)
    regions = found.drop(index="all")
    assert regions["leave-in"].idxmax() == "occipital"
    assert regions["leave-out"].idxmin() == "occipital"
    assert regions["leave-in"].idxmin() == "frontal"
    assert found.loc["all", "leave-in"] > 0.7


def test_meaning_is_found_further_forward(looking):
    found = scores(looking("category", "keywords"), 0.25, 0.45, fit=fit_ridge).drop(index="all")
    assert found["leave-in"].idxmax() in ("parietal", "central", "temporal")
    assert found.loc["occipital", "leave-in"] < found["leave-in"].max() - 0.08
    assert found.loc["occipital", "leave-out"] > found["leave-out"].min()


def test_a_masked_decoder_reads_early_features_at_the_back(looking):
    pictures = looking("orientation")
    predict = fit_ridge(pictures.train, pictures.train_targets)
    found = scores(pictures, 0.06, 0.14, predict=predict).drop(index="all")
    assert found["leave-in"].idxmax() == "occipital"
    assert found["leave-out"].idxmin() == "occipital"


def test_values_of_regions_are_spread_to_their_channels():
    regions = channel_regions(["Fz", "Oz", "O1"], {"back": ["Oz", "O1"]})
    np.testing.assert_array_equal(by_channel(pd.Series({"back": 0.7}), regions), [np.nan, 0.7, 0.7])
