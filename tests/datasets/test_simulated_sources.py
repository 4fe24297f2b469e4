from __future__ import annotations

import numpy as np
import pytest

from braindecode_x.datasets.simulated_heads import CENTRE, CORTEX
from braindecode_x.datasets.simulated_sources import DIPOLES, SOURCES, draw_dipoles, time_course
from braindecode_x.datasets.things_channels import REGIONS

CHANNELS = {
    "orientation": 24,
    "colour": 9,
    "curvature": 16,
    "shape": 86,
    "category": 48,
    "keywords": 96,
} | dict.fromkeys(("faces", "places"), 1)


def test_activity_rises_from_the_onset_to_the_latency_and_decays() -> None:
    times = np.arange(-0.2, 2, 0.001)
    course = time_course(times, np.array([0.1]), np.array([0.3]), 4.0)[0]
    assert not course[times <= 0.1].any()
    assert times[course.argmax()] == pytest.approx(0.3, abs=0.001)
    assert course.max() == pytest.approx(1, abs=1e-4)
    assert (np.diff(course[(times > 0.11) & (times < 0.3)]) > 0).all()
    assert course[-1] < 1e-3
    half = times[course >= 0.5]
    assert half[-1] - half[0] == pytest.approx(2.4 * 0.2 / 4**0.5, rel=0.05)


def test_dipoles_lie_in_the_cortex_and_have_a_direction() -> None:
    dipoles = draw_dipoles(SOURCES, CHANNELS, np.random.default_rng(0), np.random.default_rng(1))
    table = dipoles.table
    assert table.groupby(["source", "hemisphere"], sort=False).size().tolist() == [DIPOLES] * 2 * len(SOURCES)
    depth = np.linalg.norm(table[["x", "y", "z"]].to_numpy() - CENTRE, axis=1)
    assert CORTEX[0] - 1e-9 <= depth.min()
    assert depth.max() <= CORTEX[1] + 1e-9
    np.testing.assert_allclose(np.linalg.norm(table[["nx", "ny", "nz"]], axis=1), 1)
    assert set(table["region"]) <= set(REGIONS)
    assert (table["onset"] < table["latency"]).all()


def test_people_of_a_cohort_share_an_arrangement() -> None:
    first, second, stranger = (
        draw_dipoles(SOURCES, CHANNELS, np.random.default_rng(cohort), np.random.default_rng(person)).weights
        for cohort, person in ((0, 1), (0, 2), (5, 6))
    )
    key = ("semantic temporal", "category")
    assert 0.45 < np.corrcoef(first[key].ravel(), second[key].ravel())[0, 1] < 0.75
    assert abs(np.corrcoef(first[key].ravel(), stranger[key].ravel())[0, 1]) < 0.15


def test_answers_have_their_mean_and_tell_pictures_apart() -> None:
    rng = np.random.default_rng(0)
    features = {
        kind: rng.random((60, n, 256) if kind in ("orientation", "colour", "curvature") else (60, n))
        for kind, n in CHANNELS.items()
    }
    training = np.arange(60) < 50
    dipoles = draw_dipoles(SOURCES, CHANNELS, np.random.default_rng(0), np.random.default_rng(1))
    moments = dipoles.moments(SOURCES, features, training)
    assert moments.shape == (60, len(dipoles.table))
    np.testing.assert_allclose(moments[training].mean(axis=0), dipoles.table["moment"], rtol=1e-3)
    relative = moments / dipoles.table["moment"].to_numpy()
    common = relative.mean(axis=1)[training].std()
    assert common < 0.2 * relative[training].std(axis=0).mean()  # they do not all rise and fall together
