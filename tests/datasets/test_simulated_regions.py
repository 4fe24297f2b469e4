from __future__ import annotations

import numpy as np
import pytest

from braindecode_x.datasets.picture_features import FIELD, cell_centres
from braindecode_x.datasets.simulated_regions import (
    Region,
    answers,
    draw_voxels,
    draw_weights,
    receptive_fields,
    standardised,
)

REGIONS = {
    "early": Region(0.5, {"orientation": 1.0}, 0.3, (0.5, 0.1)),
    "late": Region(0.3, {"colour": 1.0}, 0.3, (1.2, 0.4)),
    "whole": Region(0.2, {"shape": 1.0}, 0.3),
}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_voxels_are_shared_out_and_look_at_the_picture(rng: np.random.Generator) -> None:
    voxels = draw_voxels(REGIONS, 1000, rng)
    counts = voxels["region"].value_counts()
    assert counts.sum() == 1000
    assert counts["early"] > counts["late"] > counts["whole"] > 100
    seeing = voxels[voxels["region"] != "whole"]
    assert np.hypot(seeing["x"], seeing["y"]).max() <= FIELD / 2
    assert voxels.loc[voxels["region"] == "whole", ["x", "y", "size", "frequency", "angle"]].isna().all(axis=None)
    assert voxels.loc[voxels["region"] == "late", "angle"].isna().all()


def test_receptive_fields_grow_with_eccentricity_and_along_the_regions(rng: np.random.Generator) -> None:
    voxels = draw_voxels(REGIONS, 2000, rng)
    voxels["eccentricity"] = np.hypot(voxels["x"], voxels["y"])
    sizes = {region: voxels[voxels["region"] == region] for region in ("early", "late")}
    for members in sizes.values():
        assert members["size"].corr(members["eccentricity"]) > 0.5
    assert sizes["late"]["size"].min() > sizes["early"]["size"].median()


def test_a_receptive_field_is_a_gaussian_around_its_centre(rng: np.random.Generator) -> None:
    voxels = draw_voxels(REGIONS, 400, rng).query("region == 'late' and x ** 2 + y ** 2 < 1 and size < 1.6")
    fields = receptive_fields(voxels)
    np.testing.assert_allclose(fields.sum(axis=0), 1, rtol=1e-5)
    centre = fields.T @ cell_centres()
    np.testing.assert_allclose(centre, voxels[["x", "y"]], atol=0.1)
    variance = fields.T @ cell_centres() ** 2 - centre**2
    np.testing.assert_allclose(variance, np.tile(voxels["size"].to_numpy()[:, None] ** 2, 2), rtol=0.15)


def test_answers_have_mean_0_and_variance_1_over_training(rng: np.random.Generator) -> None:
    voxels = draw_voxels(REGIONS, 200, rng).query("region == 'late'")
    training = np.arange(50) < 40
    for features in (rng.random((50, 9, 256)), rng.random((50, 9)) + 100):
        given = answers(features.astype(np.float32), draw_weights("colour", 9, voxels, rng), voxels, training)
        np.testing.assert_allclose(given[training].mean(axis=0), 0, atol=1e-3)
        np.testing.assert_allclose(given[training].std(axis=0), 1, rtol=1e-3)


def test_what_never_varies_in_training_answers_with_0() -> None:
    values = np.full((6, 2), 0.1, dtype=np.float32)
    np.testing.assert_allclose(standardised(values, np.arange(6) < 4), 0, atol=1e-2)
