from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nilearn.glm.first_level import glover_hrf

from braindecode_x.preprocessing.fmri import block_averages, clean_runs, glm_betas, single_volumes

TR = 2.5


def test_cleaning_leaves_no_trend_mean_or_scale_in_any_run() -> None:
    rng = np.random.default_rng(0)
    runs = np.repeat([0, 1, 2], 40)
    slopes = np.array([3.0, -2.0, 0.5])[runs, None] * np.tile(np.arange(40), 3)[:, None]
    bold = 500 * (runs[:, None] + 1) + slopes + rng.normal(0, 5, (120, 6))
    cleaned = clean_runs(bold, runs, TR)
    for run in range(3):
        part = cleaned[runs == run]
        np.testing.assert_allclose(part.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(part.std(axis=0, ddof=1), 1, atol=1e-3)
        np.testing.assert_allclose(np.polyfit(np.arange(40), part, 1)[0], 0, atol=1e-4)


def test_cleaning_one_run_does_not_depend_on_another() -> None:
    bold = np.random.default_rng(0).normal(100, 1, (60, 4))
    runs = np.repeat([0, 1], 30)
    alone = clean_runs(bold, runs, TR)[:30]
    bold[30:] *= 7
    np.testing.assert_allclose(clean_runs(bold, runs, TR)[:30], alone, atol=1e-6)


def test_blocks_are_averaged_by_neighbourhood_and_run() -> None:
    labels = np.array(["rest", "cat", "cat", "face", "rest", "cat", "cat", "cat", "rest"])
    runs = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1])  # the last block of cats is cut by the end of a run
    bold = np.arange(9, dtype=float)[:, None] * [1, 10]
    blocks = block_averages(bold, labels, runs)
    np.testing.assert_array_equal(blocks.brain, [[1.5, 15], [3, 30], [5.5, 55], [7, 70]])
    assert blocks.labels.tolist() == ["cat", "face", "cat", "cat"]
    assert blocks.runs.tolist() == [0, 0, 0, 1]
    volumes = single_volumes(bold, labels, runs)
    assert volumes.blocks.tolist() == [0, 0, 1, 2, 2, 3]
    np.testing.assert_array_equal(volumes.brain[:, 0], [1, 2, 3, 5, 6, 7])


@given(st.lists(st.sampled_from(["rest", "a", "b"]), min_size=2, max_size=40), st.integers(1, 5))
def test_block_averages_are_the_means_of_their_volumes(sequence: list[str], run_length: int) -> None:
    labels, runs = np.array([*sequence, "a"]), np.arange(len(sequence) + 1) // run_length
    bold = np.random.default_rng(len(sequence)).normal(size=(len(labels), 3))
    volumes, blocks = single_volumes(bold, labels, runs), block_averages(bold, labels, runs)
    assert len(volumes.brain) == np.sum(labels != "rest")
    for i, block in enumerate(blocks.blocks):
        own = volumes.blocks == block
        np.testing.assert_allclose(blocks.brain[i], volumes.brain[own].mean(axis=0), atol=1e-5)
        assert set(volumes.labels[own]) == {blocks.labels[i]}
        assert set(volumes.runs[own]) == {blocks.runs[i]}


def simulated_run(amplitudes: np.ndarray, onsets: np.ndarray, duration: float) -> np.ndarray:
    """Blocks of true amplitude (blocks, voxels) through the canonical response, on a drift."""
    fine = np.arange(0, 200 * TR, 0.1)
    response = glover_hrf(0.1, oversampling=1)
    bold = 0.0
    for onset, amplitude in zip(onsets, amplitudes, strict=True):
        boxcar = ((fine >= onset) & (fine < onset + duration)).astype(float)
        bold = bold + np.convolve(boxcar, response)[: len(fine) : 25, None] * amplitude
    return 1000 + bold + 0.01 * np.arange(200)[:, None]


def test_betas_recover_amplitudes_when_onsets_are_moved_to_the_stimulus() -> None:
    rng = np.random.default_rng(0)
    onsets = np.array([20.0, 80, 140, 200, 260, 320])
    amplitudes = rng.normal(0, 1, (6, 5))
    bold = np.concatenate([simulated_run(amplitudes, onsets, 20), simulated_run(-amplitudes, onsets, 20)])
    names = list("abcabc")
    shifted = pd.DataFrame({"onset": onsets + 5, "duration": 20.0, "trial_type": names}).iloc[::-1]
    runs = np.repeat([3, 4], 200)
    betas = glm_betas(bold, runs, {3: shifted, 4: shifted}, TR, onset_shift=-5)
    expected = (amplitudes - amplitudes.mean(axis=0)) / amplitudes.std(axis=0)
    np.testing.assert_allclose(betas.brain, np.concatenate([expected, -expected]), atol=0.05)
    assert betas.labels.tolist() == names * 2
    assert betas.runs.tolist() == [3] * 6 + [4] * 6
    late = glm_betas(bold, runs, {3: shifted, 4: shifted}, TR, onset_shift=0)
    assert np.abs(late.brain[:6] - expected).max() > 0.2


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ({}, "events: none for run 0"),
        ({0: pd.DataFrame({"onset": [1.0, 2.0], "duration": [1.0, 1.0]})}, r"run 0: missing .*'trial_type'"),
        ({0: pd.DataFrame({"onset": [1.0], "duration": [1.0], "trial_type": ["a"]})}, "run 0: found 1 blocks"),
    ],
)
def test_events_that_do_not_fit_are_refused(events: dict[int, pd.DataFrame], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        glm_betas(np.ones((20, 2)), np.zeros(20, int), events, TR, onset_shift=0)


def test_arrays_that_do_not_fit_are_refused() -> None:
    bold, labels, runs = np.zeros((6, 3)), np.array(["a"] * 6), np.zeros(6, int)
    with pytest.raises(ValueError, match=r"labels: expected one a volume, shape \(6,\), found \(5,\)"):
        block_averages(bold, labels[:5], runs)
    with pytest.raises(ValueError, match=r"bold: expected \(volumes, voxels\)"):
        clean_runs(bold[0], runs, TR)
    with pytest.raises(ValueError, match="all 6 are 'rest'"):
        single_volumes(bold, np.array(["rest"] * 6), runs)
    bold[2, 1] = np.nan
    with pytest.raises(ValueError, match="1 voxels hold values that are not finite, the first is voxel 1"):
        clean_runs(bold, runs, TR)
