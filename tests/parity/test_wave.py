from __future__ import annotations

import pytest
import torch

from braindecode_x.published import load_published_token_prior, load_published_wave

TOLERANCE = 1e-4


@pytest.fixture
def case(parity_case):
    return parity_case("wave")


@torch.inference_mode()
def test_windows(case):
    model = load_published_wave(case.parameters(), n_heads=case.config["num_attention_heads"])
    mask = case.tensor("attention_mask").bool()
    output = model(case.tensor("bold"), case.tensor("seconds"), mask)
    assert case.error("pooled", output.pooled) < TOLERANCE
    used = torch.nn.functional.pad(mask, (1, 0), value=True)  # one more, of the class embedding
    expected = case.tensor("hidden")
    assert (output.hidden[used] - expected[used]).norm() / expected[used].norm() < TOLERANCE


@torch.inference_mode()
def test_masked_volumes(case):
    model = load_published_wave(case.parameters(), n_heads=case.config["num_attention_heads"])
    bold, place = case.tensor("bold"), case.tensor("masked_at")
    mask = case.tensor("attention_mask").bool()
    predicted = model.predict_masked(bold, case.tensor("seconds"), place, mask)
    assert case.error("masked_prediction", predicted) < TOLERANCE
    loss = (predicted - bold[torch.arange(2), place]).abs().mean()
    assert case.error("loss_masked", loss) < TOLERANCE


@torch.inference_mode()
def test_token_prior(parity_case):
    case = parity_case("wave_prior")
    network = load_published_token_prior(case.parameters())
    noisy, condition = (torch.from_numpy(case.drawn(f"input:{name}", (2, 257, 768))) for name in ("vd_x", "vd_c"))
    times = case.tensor("timesteps")
    assert case.error("tokens", network(noisy, times, condition)[:, ::16]) < TOLERANCE
    nobody = torch.zeros(2, dtype=torch.bool)
    dropped = network(noisy, times, condition, nobody)
    assert torch.equal(dropped, network(noisy, times))
    assert case.error("tokens_null", dropped[:, ::16]) < TOLERANCE
