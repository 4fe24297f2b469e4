from __future__ import annotations

import mne
import numpy as np
import pandas as pd
import pytest
import torch

from braindecode_x.analysis import eeg_plots
from braindecode_x.analysis.parts import accuracy_table
from braindecode_x.analysis.regions import channel_regions, region_parts
from braindecode_x.analysis.time_windows import Window

CHANNELS = ["Fz", "F3", "F4", "C3", "C4", "Pz", "P3", "P4", "O1", "Oz", "O2"]


def described(placed: bool) -> mne.Info:
    info = mne.create_info(CHANNELS, 100.0, "eeg")
    return info.set_montage("easycap-M1") if placed else info


def accuracies(conditions: pd.DataFrame, subjects: tuple[str, ...]) -> pd.DataFrame:
    """Ranks of ten pictures in every condition."""
    rng = np.random.default_rng(0)
    trials = pd.DataFrame({"stimulus": [f"{n}" for n in range(10)], "concept": [f"{n}" for n in range(10)]})
    parts = [
        conditions.assign(subject=subject).merge(trials, how="cross").assign(rank=lambda t: rng.integers(0, 9, len(t)))
        for subject in subjects
    ]
    return accuracy_table(pd.concat(parts).assign(mode="masked", candidates=10), ways=(2, 10))


def region_accuracies(subjects: tuple[str, ...]) -> pd.DataFrame:
    parts = region_parts(channel_regions(CHANNELS), 5)
    return accuracies(pd.DataFrame([part.about for part in parts]), subjects)


def test_curves_have_a_band_and_chance_where_they_belong():
    stops = [0.1, 0.2, 0.3]
    growing = pd.DataFrame({"windows": "growing", "start": 0.0, "stop": stops})
    sliding = pd.DataFrame({"windows": "sliding", "start": [0.0, 0.1, 0.2], "stop": stops})
    table = accuracies(pd.concat([growing, sliding]), ("anna", "ben"))
    figure = eeg_plots.accuracy_figure(table, "2-way", {"early": 0.1})
    for axes, middle in zip(figure.axes, ([0.1, 0.2, 0.3], [0.05, 0.15, 0.25]), strict=True):
        curves = [line for line in axes.lines if len(line.get_xdata()) == 3]
        assert len(curves) == 3  # two subjects, and all
        np.testing.assert_allclose(curves[-1].get_xdata(), middle)
        assert len(axes.collections) == 1
        assert any(list(line.get_ydata()) == [0.5, 0.5] for line in axes.lines)
    every = table[(table["subject"] == "all") & (table["metric"] == "2-way") & (table["windows"] == "growing")]
    thick = max(figure.axes[0].lines, key=lambda line: line.get_linewidth())
    np.testing.assert_allclose(thick.get_ydata(), every["value"])


def test_generalisation_is_drawn_with_training_times_upwards():
    times = [0.0, 0.1, 0.2]
    values = np.full((3, 3), 0.5)
    values[0, 2] = 0.9  # trained at 0, tested at 0.2
    long = pd.DataFrame([(a, b, values[i, j]) for i, a in enumerate(times) for j, b in enumerate(times)])
    table = long.set_axis(["train", "test", "value"], axis=1).assign(subject="anna", metric="2-way", chance=0.5)
    figure = eeg_plots.generalisation_figure(table)
    image = figure.axes[0].images[0]
    assert image.origin == "lower"
    assert image.get_array()[0, 2] == pytest.approx(0.9)
    assert image.get_extent() == pytest.approx([-0.05, 0.25, -0.05, 0.25])
    assert sum(image.get_clim()) == pytest.approx(1.0)


@pytest.mark.parametrize("placed", [True, False])
def test_regions_are_drawn_on_the_head_where_channels_have_places(placed, tmp_path):
    info, regions = described(placed), channel_regions(CHANNELS)
    table = region_accuracies(("anna", "ben"))
    figure = eeg_plots.region_figure(table, "2-way", regions, info, "masked")
    figure.savefig(tmp_path / "regions.png")
    maps = [axes for axes in figure.axes if axes.images]
    assert len(maps) == (2 if placed else 0)
    assert eeg_plots.has_places(info) is placed
    points = figure.axes[2 if placed else 0]
    shown = {label.get_text() for label in points.get_xticklabels()}
    assert shown == {"frontal\n(3)", "central\n(2)", "parietal\n(3)", "occipital\n(3)"}


@pytest.mark.parametrize("placed", [True, False])
def test_saliency_is_drawn_with_and_without_places(placed, tmp_path):
    rng = np.random.default_rng(0)
    channels = pd.DataFrame({"of": "channel", "channel": CHANNELS, "time": np.nan, "value": rng.random(11)})
    times = pd.DataFrame({"of": "time", "channel": "", "time": [0.0, 0.1, 0.2], "value": [0.0, 1.0, 0.5]})
    table = pd.concat([channels, times]).assign(subject="anna", low=-0.1, high=1.2)
    over_time = pd.DataFrame(rng.random((2, 11)), [(0.0, 0.1), (0.1, 0.2)], CHANNELS)
    figure = eeg_plots.saliency_figure(table, described(placed), over_time)
    figure.savefig(tmp_path / "saliency.png")
    titles = [axes.get_title() for axes in figure.axes]
    assert ("0.1 to 0.2 s" in titles) is placed
    curve = next(axes for axes in figure.axes if axes.get_title().startswith("times"))
    np.testing.assert_allclose(curve.lines[0].get_ydata(), [0.0, 1.0, 0.5])


def test_categories_are_marked_where_they_begin(tmp_path):
    matrix = pd.DataFrame(np.random.default_rng(0).random((6, 6)))
    categories = ["animal"] * 3 + ["food"] * 1 + ["tool"] * 2
    figure = eeg_plots.similarity_figure(matrix, categories)
    figure.savefig(tmp_path / "similarity.png")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["animal", "food", "tool"]
    np.testing.assert_allclose(axes.get_yticks(), [1, 3, 4.5])


def test_reconstructions_stand_beside_what_was_seen():
    seen, made = torch.rand(3, 3, 8, 8), torch.rand(2, 3, 3, 8, 8)
    figure = eeg_plots.reconstruction_figure(seen, [Window(0, 0.1), Window(0, 0.2)], made, "anna")
    grid = np.array(figure.axes).reshape(3, 3)
    assert [axes.get_title() for axes in grid[0]] == ["seen", "to 0.1 s", "to 0.2 s"]
    for row in range(3):
        shown = [axes.images[0].get_array() for axes in grid[row]]
        np.testing.assert_allclose(shown[0], seen[row].permute(1, 2, 0))
        np.testing.assert_allclose(shown[2], made[1, row].permute(1, 2, 0))
