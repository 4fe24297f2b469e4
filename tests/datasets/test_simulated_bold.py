from __future__ import annotations

import numpy as np
import pytest

from braindecode_x.datasets.parcels import Parcels, seitzman
from braindecode_x.datasets.simulated_bold import (
    MOTIONS,
    Nuisance,
    cosines,
    draw_nuisance,
    evoked,
    network_covariance,
    response,
    spontaneous_spectrum,
)


@pytest.fixture(scope="module")
def parcels() -> Parcels:
    return seitzman()


@pytest.fixture(scope="module")
def nuisance(parcels: Parcels) -> Nuisance:
    return draw_nuisance(parcels, np.random.default_rng(0))


def test_the_response_is_late_and_undershoots() -> None:
    times = np.arange(-5, 40, 0.1)
    course = response(times, 2.0)
    assert (course[times <= 0] == 0).all()
    assert 5 < times[course.argmax()] < 7
    assert course.max() == pytest.approx(1, abs=1e-3)
    assert 13 < times[course.argmin()] < 20
    assert course.min() < 0
    assert times[response(times, 8.0).argmax()] > times[course.argmax()] + 2


def test_events_add_up_each_with_its_amplitude_and_lag() -> None:
    frames = np.arange(0, 60, 0.5)
    amplitudes = np.array([[1.0, 1.0], [0.0, 0.0], [2.0, -1.0]], np.float32)
    course = evoked(frames, np.array([2.0, 5.0, 30.0]), 2.0, amplitudes, np.array([0.0, 0.6]))
    expected = response(frames - 2, 2.0) + 2 * response(frames - 30, 2.0)
    np.testing.assert_allclose(course[:, 0], expected, atol=1e-5)
    late = response(frames - 2.6, 2.0) - response(frames - 30.6, 2.0)
    np.testing.assert_allclose(course[:, 1], late, atol=0.02)


def test_spontaneous_activity_goes_with_networks_and_neighbours(parcels: Parcels, nuisance: Nuisance) -> None:
    covariance = network_covariance(parcels)
    np.testing.assert_allclose(np.diag(covariance), 1)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
    visual, motor, default = (parcels.in_network(name) for name in ("Visual", "SomatomotorDorsal", "DefaultMode"))
    within = covariance[np.ix_(default, default)].mean()
    assert within > 0.4
    assert covariance[np.ix_(visual, motor)].mean() > 0.1
    assert covariance[np.ix_(default, visual)].mean() < 0
    of_a_person = nuisance.spontaneous @ nuisance.spontaneous.T
    alike = np.corrcoef(covariance[np.triu_indices(300, 1)], of_a_person[np.triu_indices(300, 1)])[0, 1]
    assert 0.7 < alike < 0.99


def test_spontaneous_activity_is_as_slow_as_the_response() -> None:
    slow, fast = spontaneous_spectrum(np.array([0.03, 0.2]))
    assert slow > 50 * fast


def test_noise_is_autocorrelated_and_drifts_and_is_followed_by_confounds(nuisance: Nuisance) -> None:
    bold, confounds = nuisance.draw(200, 2.0, np.random.default_rng(1))
    assert bold.shape == (200, 300)
    assert bold.dtype == np.float32
    assert 0.3 < bold.std(axis=0).mean() < 1.2
    centred = bold - bold.mean(axis=0)
    lagged = (centred[1:] * centred[:-1]).mean() / np.square(centred).mean()
    assert 0.4 < lagged < 0.95
    assert list(confounds)[:6] == list(MOTIONS)
    shared = np.abs([np.corrcoef(confounds["csf"], course)[0, 1] for course in bold.T])
    assert shared.mean() > 0.15


def test_the_pulse_is_aliased_by_the_repetition_time(nuisance: Nuisance) -> None:
    """At 1.1 Hz every 2 s it looks like 0.1 Hz; every 0.4 s it is where it is."""
    pulse = Nuisance(
        np.zeros_like(nuisance.spontaneous),
        np.stack([np.zeros(300), np.zeros(300), np.full(300, 9.0)]).astype(np.float32),
        np.zeros_like(nuisance.motion),
    )
    for tr, where in ((2.0, 0.1), (0.4, 1.1)):
        course = pulse.draw(400, tr, np.random.default_rng(3))[0].mean(axis=1)
        power = np.abs(np.fft.rfft(course - course.mean())) ** 2
        frequencies = np.fft.rfftfreq(400, tr)
        near = np.abs(frequencies - where) < 0.13
        assert power[near].sum() > 0.7 * power.sum()


def test_drifts_are_what_confounds_take_off() -> None:
    waves = np.stack(list(cosines(192, 2.0).values()), axis=1)
    assert waves.shape == (192, 6)
    np.testing.assert_allclose(waves.T @ waves / 192, np.eye(6), atol=1e-6)
