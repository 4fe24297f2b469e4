from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from braindecode_x.datasets.things_channels import EEG_CHANNELS, REGIONS, channel_region, eeg_info


def test_the_electrodes_have_their_places() -> None:
    info = eeg_info(250)
    assert info["ch_names"] == list(EEG_CHANNELS)
    places = dict(zip(EEG_CHANNELS, (channel["loc"][:3] for channel in info["chs"]), strict=True))
    assert places["Oz"][1] < -0.08  # metres; x to the right, y to the front, z up
    assert places["Fp1"][1] > 0.08
    assert places["T7"][0] < -0.08 < 0.08 < places["T8"][0]
    assert np.argmax([place[2] for place in places.values()]) == EEG_CHANNELS.index("Cz")


@pytest.mark.parametrize(
    ("channel", "region"),
    [
        ("Fp1", "frontal"),
        ("AFz", "frontal"),
        ("F8", "frontal"),
        ("FC3", "central"),
        ("Cz", "central"),
        ("FT10", "temporal"),
        ("TP9", "temporal"),
        ("CP6", "parietal"),
        ("Pz", "parietal"),
        ("PO7", "occipital"),
        ("Oz", "occipital"),
        ("MLC11-606", "central"),
        ("MZF03", "frontal"),
        ("MRT57-1609", "temporal"),
        ("MLO11-1609", "occipital"),
    ],
)
def test_a_channel_lies_over_its_region(channel: str, region: str) -> None:
    assert channel_region(channel) == region


def test_every_region_has_electrodes() -> None:
    counts = Counter(map(channel_region, EEG_CHANNELS))
    assert set(counts) == set(REGIONS)
    assert min(counts.values()) >= 8


@pytest.mark.parametrize("channel", ["EOG", "P", "MEG 0111", "STI014", "fp1", "MLX11"])
def test_other_names_are_refused(channel: str) -> None:
    with pytest.raises(ValueError, match=f"unknown channel '{channel}'"):
        channel_region(channel)
