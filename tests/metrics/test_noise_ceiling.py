from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindecode_x.metrics.noise_ceiling import noise_ceiling, split_half_noise_ceiling


def test_known_values() -> None:
    np.testing.assert_allclose(noise_ceiling(np.array([1.0, 3.0, 0.0]), np.array([1.0, 4.0, 2.0])), [0.5, 0.36, 0.0])
    assert noise_ceiling(np.array(1.0), np.array(2.0), averaged=4) == pytest.approx(0.5)
    assert np.isnan(noise_ceiling(np.zeros(1), np.zeros(1))).all()


@pytest.mark.parametrize("repeats", [2, 3, 6, 7])
@pytest.mark.parametrize("averaged", [1, 3])
def test_repeats_give_the_known_ceiling(repeats: int, averaged: int) -> None:
    rng = np.random.default_rng(repeats)
    signal_std, noise_std = rng.uniform(0.5, 2, 60), rng.uniform(0.5, 2, 60)
    signal = rng.standard_normal((800, 1, 60)) * signal_std
    responses = signal + rng.standard_normal((800, repeats, 60)) * noise_std + 5
    estimated = split_half_noise_ceiling(responses, averaged)
    known = noise_ceiling(signal_std, noise_std, averaged)
    assert np.abs(estimated - known).mean() < 0.03
    assert abs((estimated - known).mean()) < 0.01


@given(seed=st.integers(0, 99), gain=st.floats(0.1, 10), offset=st.floats(-5, 5))
def test_units_do_not_matter(seed: int, gain: float, offset: float) -> None:
    responses = np.random.default_rng(seed).standard_normal((12, 4, 3))
    expected = split_half_noise_ceiling(responses, seed=1)
    np.testing.assert_allclose(split_half_noise_ceiling(responses * gain + offset, seed=1), expected, rtol=1e-6)


def test_a_voxel_that_never_varies_has_none() -> None:
    responses = np.random.default_rng(0).standard_normal((12, 4, 2))
    responses[..., 1] = 3
    assert np.isnan(split_half_noise_ceiling(responses)).tolist() == [False, True]


@pytest.mark.parametrize("shape", [(5, 4), (2, 4, 3), (5, 1, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(stimuli, repeats, voxels\)"):
        split_half_noise_ceiling(np.zeros(shape))


def test_counts_below_1_are_refused() -> None:
    with pytest.raises(ValueError, match="found 0"):
        noise_ceiling(np.ones(1), np.ones(1), averaged=0)
    with pytest.raises(ValueError, match="found 1 and 0"):
        split_half_noise_ceiling(np.zeros((3, 2, 1)), n_splits=0)
