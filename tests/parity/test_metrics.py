from __future__ import annotations

import pytest

from braindecode_x.metrics import correlation_distance, pixcorr, ssim, two_way_identification

SCORES = {
    "pixcorr": (pixcorr, "recons", "images"),
    "ssim": (ssim, "recons", "images"),
    "two_way": (two_way_identification, "fake", "real"),
    "correlation_distance": (correlation_distance, "fake", "real"),
}


@pytest.mark.parametrize("name", SCORES)
def test_published_metrics(parity_case, name):
    case = parity_case("metrics")
    score, predicted, true = SCORES[name]
    assert case.error(name, score(case.tensor(predicted), case.tensor(true)).mean()) < 1e-4
