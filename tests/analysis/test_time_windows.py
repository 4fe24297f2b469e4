from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindecode_x.analysis.parts import accuracy_table, fit_ridge, part_ranks
from braindecode_x.analysis.time_windows import (
    Window,
    growing_windows,
    latencies,
    sliding_windows,
    temporal_generalisation,
    window_parts,
)

TIMES = np.arange(-10, 50) / 50  # -0.2 to 0.98 s, as 50 Hz gives


def accuracy_over_time(pictures, **how) -> pd.DataFrame:
    parts = window_parts(sliding_windows(pictures.times, 0.1, 0.05), "sliding", 63, pictures.times)
    table = accuracy_table(part_ranks(pictures, parts, **how), ways=(2,))
    return table[table["metric"] == "2-way"]


def test_growing_windows_end_with_the_trial():
    windows = growing_windows(TIMES, step=0.3)
    assert windows == [Window(0.0, 0.3), Window(0.0, 0.6), Window(0.0, 0.9), Window(0.0, 1.0)]
    sizes = [part.samples.sum() for part in window_parts(windows, "growing", 2, TIMES)]
    assert sizes == [15, 30, 45, 50]
    assert growing_windows(TIMES, step=0.5, start=-0.2)[0] == (-0.2, 0.3)


def test_sliding_windows_stay_within_the_trial():
    windows = sliding_windows(TIMES, width=0.1, step=0.1)
    assert windows[0] == (-0.2, -0.1)
    assert windows[-1] == (0.9, 1.0)
    parts = window_parts(windows, "sliding", 2, TIMES)
    assert sum(part.samples.astype(int) for part in parts).tolist() == [1] * 60  # each sample in one of them
    assert [part.about["windows"] for part in parts] == ["sliding"] * 12


@given(
    st.sampled_from([50.0, 125.0, 250.0, 512.0]),
    st.integers(-40, 0),
    st.integers(60, 300),
    st.floats(0.02, 0.3),
    st.floats(0.02, 0.3),
)
def test_windows_of_any_trial_hold_samples(sfreq, first, count, width, step):
    times = (first + np.arange(count)) / sfreq
    windows = [*sliding_windows(times, min(width, count / sfreq), step), *growing_windows(times, step)]
    parts = window_parts(windows, "any", 1, times)
    sizes = [part.samples.sum() for part in parts]
    assert all(abs(size - (w.stop - w.start) * sfreq) <= 1.001 for size, w in zip(sizes, windows, strict=True))
    assert parts[-1].samples[-1]


def test_windows_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"step: expected at least the 0.02 s between samples, found 0.01"):
        sliding_windows(TIMES, step=0.01)
    with pytest.raises(ValueError, match=r"width: expected at most the trial's 1.2 s, found 1.5"):
        sliding_windows(TIMES, width=1.5)
    with pytest.raises(ValueError, match=r"start: expected -0.2 to 0.98 s, found -0.5"):
        growing_windows(TIMES, start=-0.5)
    with pytest.raises(ValueError, match=r"window from 1 to 1.1 s: holds no sample"):
        window_parts([Window(1.0, 1.1)], "sliding", 2, TIMES)


@pytest.mark.parametrize(
    ("kinds", "onset", "peak"),
    [(("orientation",), (0.05, 0.15), (0.05, 0.2)), (("category", "keywords"), (0.15, 0.4), (0.25, 0.55))],
)
def test_what_is_carried_when_is_found(looking, kinds, onset, peak):
    """The early visual source begins at 50 ms and is greatest at 100; the semantic ones are at 320 and 400."""
    pictures = looking(*kinds)
    table = accuracy_over_time(pictures, fit=fit_ridge)
    found = latencies(table).iloc[0]
    assert onset[0] <= found["onset"] <= onset[1]
    assert peak[0] <= found["peak_start"] < found["peak_stop"] <= peak[1] + 1e-6
    before = table[table["stop"] <= 0.05]
    assert ((before["low"] < 0.5) & (before["value"] < 0.58)).all()
    assert table["value"].max() > 0.7


def test_a_masked_decoder_reads_at_the_same_time_as_a_retrained_one(looking):
    pictures = looking("orientation")
    retrained = accuracy_over_time(pictures, fit=fit_ridge)
    masked = accuracy_over_time(pictures, predict=fit_ridge(pictures.train, pictures.train_targets))
    assert np.corrcoef(retrained["value"], masked["value"])[0, 1] > 0.8
    best = [table.loc[table["value"].idxmax(), "start"] for table in (retrained, masked)]
    assert abs(best[0] - best[1]) < 0.11
    assert masked["value"].max() > 0.65


def test_a_decoder_of_the_early_answer_does_not_read_the_late_one(looking):
    """Generalisation over time: on the diagonal the accuracy of single samples, off it little."""
    pictures = looking("orientation")
    table = temporal_generalisation(pictures, step=5)
    samples = pictures.times[::5]
    square = table.pivot_table(index="train", columns="test", values="value")
    assert square.shape == (len(samples), len(samples))
    parts = window_parts([Window(t, t + 0.02) for t in samples], "single", 63, pictures.times)
    single = accuracy_table(part_ranks(pictures, parts, fit=fit_ridge), ways=(2,))
    np.testing.assert_allclose(np.diag(square), single.loc[single["metric"] == "2-way", "value"], atol=1e-4)
    at = samples[np.argmax(np.diag(square))]
    assert 0.05 <= at <= 0.2
    assert square.loc[at, at] > 0.65
    assert square.loc[at, samples[samples > 0.6]].max() < square.loc[at, at] - 0.1
    assert set(table["chance"]) == {0.5}
    with pytest.raises(ValueError, match="step: expected a number of samples of at least 1, found 0"):
        temporal_generalisation(pictures, step=0)


def curve(low: list[float], value: list[float]) -> pd.DataFrame:
    start = 0.1 * np.arange(len(low))
    about = {"subject": "anna", "mode": "masked", "windows": "sliding", "metric": "2-way"}
    return pd.DataFrame({**about, "start": start, "stop": start + 0.1, "value": value, "low": low, "chance": 0.5})


def test_onset_needs_two_windows_above_chance():
    found = latencies(curve([0.4, 0.6, 0.5, 0.55, 0.7, 0.3], [0.5, 0.7, 0.6, 0.6, 0.9, 0.5])).iloc[0]
    assert found["onset"] == pytest.approx(0.4)
    assert (found["peak_start"], found["peak_stop"], found["peak"]) == pytest.approx((0.4, 0.5, 0.9))
    assert np.isnan(latencies(curve([0.4, 0.6, 0.4], [0.5, 0.7, 0.5])).iloc[0]["onset"])
    assert latencies(curve([0.4, 0.4, 0.6], [0.5, 0.5, 0.7])).iloc[0]["onset"] == pytest.approx(0.3)
