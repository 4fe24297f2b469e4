from __future__ import annotations

from dataclasses import replace

import mne
import numpy as np
import pytest
import torch
from torch import nn

from braindecode_x.analysis.parts import SubjectPictures
from braindecode_x.analysis.saliency import integrated_gradients, occlusion, saliency_table
from braindecode_x.datasets.things_channels import channel_region
from braindecode_x.models.ridge import RidgeDecoder


@pytest.fixture
def pictures(looking) -> SubjectPictures:
    """A few pictures with few channels and samples."""
    whole = looking("orientation")
    picks = [0, 10, 20, 30]
    parts = {name: getattr(whole, name)[:12, picks][:, :, ::6].copy() for name in ("train", "test")}
    known = {name: getattr(whole, name)[:12] for name in ("train_targets", "test_targets", "stimuli", "concepts")}
    info = mne.pick_info(whole.info, picks)
    return replace(whole, info=info, times=whole.times[::6], **parts, **known)


@pytest.fixture
def weights(pictures) -> np.ndarray:
    """(channels, times, d)."""
    shape = (*pictures.test.shape[1:], pictures.test_targets.shape[1])
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.fixture
def network(pictures) -> nn.Module:
    torch.manual_seed(0)
    n_features, d = np.prod(pictures.test.shape[1:]), pictures.test_targets.shape[1]
    return nn.Sequential(nn.Flatten(), nn.Linear(int(n_features), 32), nn.GELU(), nn.Linear(32, d))


def linear(weights: np.ndarray):
    tensor = torch.from_numpy(weights)
    return lambda epochs: torch.einsum("nct,ctd->nd", epochs, tensor) + 3.0


def test_contributions_to_a_linear_decoder_are_weight_times_response(pictures, weights):
    found = integrated_gradients(linear(weights), pictures, "inner product", steps=3)
    centred = pictures.test_targets - pictures.test_targets.mean(axis=0)
    away = pictures.test - pictures.mean
    expected = away * np.einsum("ctd,nd->nct", weights, centred)
    np.testing.assert_allclose(found.channels, expected.sum(axis=2), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.samples, expected.sum(axis=1), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.mean_map, expected.mean(axis=0), rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(found.times, pictures.times)


def test_occlusion_takes_from_a_linear_decoder_what_it_contributes(pictures, weights):
    gradients = integrated_gradients(linear(weights), pictures, "inner product", steps=3)
    found = occlusion(linear(weights), pictures, "inner product", block=0.36)  # three samples, the last block one
    np.testing.assert_allclose(found.channels, gradients.channels, rtol=1e-3, atol=2e-3)
    blocks = [gradients.samples[:, start : start + 3].sum(axis=1) for start in range(0, 10, 3)]
    np.testing.assert_allclose(found.samples, np.stack(blocks, axis=1), rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(found.times, [-0.08, 0.28, 0.64, 0.88], atol=1e-9)
    assert found.mean_map is None


def test_contributions_to_a_network_add_up_to_what_the_response_adds_to_the_score(pictures, network):
    found = integrated_gradients(network, pictures, "cosine", steps=64)
    gain = found.score - found.mean_score
    np.testing.assert_allclose(found.channels.sum(axis=1), gain, atol=2e-3)
    np.testing.assert_allclose(found.samples.sum(axis=1), gain, atol=2e-3)
    with torch.no_grad():
        predicted = nn.functional.normalize(network(torch.from_numpy(pictures.test)), dim=1).numpy()
    targets = pictures.test_targets / np.linalg.norm(pictures.test_targets, axis=1, keepdims=True)
    cosines = predicted @ targets.T
    np.testing.assert_allclose(found.score, np.diag(cosines) - cosines.mean(axis=1), atol=1e-5)


def test_what_is_salient_to_a_decoder_of_early_features_is_early_and_at_the_back(looking):
    pictures = looking("orientation")
    ridge = RidgeDecoder().fit(pictures.train.reshape(300, -1), pictures.train_targets)
    weights = ridge.coefficients.reshape(*pictures.test.shape[1:], -1)
    table = saliency_table(integrated_gradients(linear(weights), pictures, "inner product", steps=1), pictures)
    times = table[table["of"] == "time"].set_index("time")["value"]
    assert 0.06 <= times.idxmax() <= 0.16
    assert np.abs(times[times.index < 0.05]).max() < 0.25 * times.max()
    assert table.loc[table["time"] == times.idxmax(), "low"].item() > 0
    channels = table[table["of"] == "channel"].set_index("channel")["value"]
    region = channels.groupby([channel_region(name) for name in channels.index]).mean()
    assert region.idxmax() == "occipital"
    assert channels.sum() == pytest.approx(times.sum(), rel=1e-3)
    assert set(table["n"]) == {60}


def test_wrong_input_is_refused(pictures, network):
    with pytest.raises(ValueError, match="unknown score 'cosin'; did you mean 'cosine'"):
        integrated_gradients(network, pictures, "cosin")
    with pytest.raises(ValueError, match="steps: expected at least 1, found 0"):
        integrated_gradients(network, pictures, steps=0)
    with pytest.raises(ValueError, match=r"block: expected at least the 0.12 s between samples, found 0.01"):
        occlusion(network, pictures, block=0.01)
