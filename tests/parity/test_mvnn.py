from __future__ import annotations

import numpy as np
import pytest

from braindecode_x.preprocessing.eeg import noise_covariance, whiten


@pytest.mark.parametrize("session", [0, 1])
@pytest.mark.parametrize("per", ["epochs", "time"])
def test_noise_normalisation(parity_case, per, session):
    """The published code normalises each session by the covariance of its training partition."""
    arrays = parity_case("mvnn").arrays
    train = arrays[f"train{session}"]
    conditions = np.repeat(np.arange(len(train)), train.shape[1])
    covariance = noise_covariance(train.reshape(-1, *train.shape[2:]), conditions, per=per, progress=False)
    for partition in ("train", "test"):
        given, published = arrays[f"{partition}{session}"], arrays[f"{per}_{partition}{session}"]
        ours = whiten(given.reshape(-1, *given.shape[2:]), covariance).reshape(given.shape)
        assert np.linalg.norm(ours - published) < 1e-4 * np.linalg.norm(published)
