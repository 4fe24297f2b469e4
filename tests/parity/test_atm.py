from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler

from braindecode_x.diffusion.prior import prior_loss, sample_prior
from braindecode_x.losses import AtmLoss
from braindecode_x.models.base import DecoderOutput
from braindecode_x.published import load_published_atm, load_published_low_level, load_published_prior

TOLERANCE = 1e-4


@pytest.mark.parametrize(("expected", "beyond"), [("embedding", 0), ("embedding_unknown_subject", 10)])
@torch.inference_mode()
def test_embeddings(parity_case, expected, beyond):
    case = parity_case("atm")
    model = load_published_atm(case.parameters())
    output = model(case.tensor("eeg"), case.tensor("subjects") + beyond)
    assert output.text is None
    assert case.error(expected, output.image) < TOLERANCE


def test_losses(parity_case):
    case = parity_case("atm")
    output = DecoderOutput(case.tensor("embedding"), None)
    found = {}
    for mix in ("retrieval", "reconstruction"):
        loss = AtmLoss(mix, published_loss=True)
        assert case.error("logit_scale", loss.logit_scale) < 1e-6
        terms = loss(output, case.tensor("image"), case.tensor("text"))
        found |= {f"loss_{mix}": terms["total"], "loss_image": terms["clip_image"]}
        found |= {
            f"loss_{name}": terms[ours] for ours, name in (("clip_text", "text"), ("mse_image", "mse")) if ours in terms
        }
    assert len(found) == 5
    for name, ours in found.items():
        assert case.error(name, ours) < TOLERANCE, name


@torch.inference_mode()
def test_low_level(parity_case):
    case = parity_case("atm_low_level")
    eeg = case.tensor("eeg")
    latents = load_published_low_level(case.parameters())(eeg, torch.zeros(len(eeg), dtype=torch.long)).image
    assert latents.shape == (2, 4, 64, 64)
    assert case.error("latents", latents[..., ::4, ::4]) < TOLERANCE
    assert case.error("latents_mean", latents.mean()) < TOLERANCE
    assert case.error("latents_std", latents.std()) < TOLERANCE


@torch.inference_mode()
def test_prior(parity_case):
    case = parity_case("atm_prior")
    network = load_published_prior(case.parameters())
    noisy, times, condition = (case.tensor(name) for name in ("noisy", "timesteps", "condition"))
    assert case.error("denoised", network(noisy, times, condition)) < TOLERANCE
    assert case.error("denoised_unconditional", network(noisy, times)) < TOLERANCE
    nobody = torch.zeros(3, dtype=torch.bool)
    assert case.error("denoised_unconditional", network(noisy, times, condition, nobody)) < TOLERANCE
    # in this case's loss, "noisy" is the clean embedding that noise is added to
    loss = prior_loss(network, noisy, condition, DDPMScheduler(), case.tensor("noise"), times)
    assert case.error("loss", loss) < TOLERANCE


def test_prior_samples_of_a_batch_are_those_of_one_at_a_time(parity_case):
    case = parity_case("atm_prior")
    network = load_published_prior(case.parameters())
    generators = [torch.Generator().manual_seed(seed) for seed in (7, 8, 9)]
    batch = sample_prior(network, case.tensor("condition"), DDPMScheduler(), generators, steps=10, guidance=5.0)
    assert case.error("sample", batch[:1]) < TOLERANCE
