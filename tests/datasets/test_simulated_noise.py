from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from braindecode_x.datasets.simulated_heads import CENTRE
from braindecode_x.datasets.simulated_noise import Component, aperiodic, background_places, coloured, mixed, peak


def draw(time: np.ndarray, trials: int = 4000) -> np.ndarray:
    epochs = np.zeros((trials, 1, len(time)), np.float32)
    Component(np.ones((1, 1), np.float32), time).add(epochs, np.random.default_rng(0))
    return epochs[:, 0]


def test_coloured_noise_has_its_spectrum_and_variance() -> None:
    noise = draw(coloured(partial(aperiodic, exponent=1.5), 200, 100.0))
    np.testing.assert_allclose(noise.var(axis=0), 1, atol=0.12)  # the same at every time
    power = np.square(np.abs(np.fft.rfft(noise * np.hanning(200)))).mean(axis=0)
    frequencies = np.fft.rfftfreq(200, 0.01)
    chosen = (frequencies > 2) & (frequencies < 30)
    slope = np.polyfit(np.log(frequencies[chosen]), np.log(power[chosen]), 1)[0]
    assert slope == pytest.approx(-1.5, abs=0.15)


def test_a_peak_has_its_frequency() -> None:
    noise = draw(coloured(partial(peak, centre=10.5), 200, 100.0))
    power = np.square(np.abs(np.fft.rfft(noise))).mean(axis=0)
    assert np.fft.rfftfreq(200, 0.01)[power.argmax()] == pytest.approx(10.5, abs=0.5)
    assert power[:10].sum() < 0.05 * power.sum()


def test_the_end_of_an_epoch_does_not_lead_back_to_its_beginning() -> None:
    noise = draw(coloured(partial(aperiodic, exponent=1.0), 200, 100.0))
    correlation = np.corrcoef(noise.T)
    assert correlation[0, -1] < correlation[0, 100] < correlation[0, 1]


def test_mixed_dipoles_have_the_covariance_of_their_fields() -> None:
    rng = np.random.default_rng(0)
    gain, strengths = rng.standard_normal((4, 10, 3)), rng.uniform(1, 2, 10)
    space = mixed(gain, strengths)
    expected = sum(strengths[n] ** 2 * gain[:, n] @ gain[:, n].T for n in range(10))
    np.testing.assert_allclose(space @ space.T, expected, rtol=1e-4)


def test_the_background_comes_from_the_whole_cortex() -> None:
    places = background_places() - CENTRE
    assert places[:, 2].min() > -0.03
    for axis in (0, 1):
        assert places[:, axis].mean() == pytest.approx(0, abs=0.002)
        assert places[:, axis].max() > 0.05
