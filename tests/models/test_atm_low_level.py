from __future__ import annotations

import json

import pytest
import torch

from braindecode_x.models.atm_low_level import AtmLowLevel

SIZES = {"subjects": ["anna"], "n_channels": 3, "n_times": 10, "d_channel": 4}


def make(**changes) -> AtmLowLevel:
    torch.manual_seed(0)
    return AtmLowLevel(**(SIZES | changes)).eval()


@pytest.mark.parametrize(
    ("shape", "widths"), [((12, 16, 16), (256, 128, 64, 32)), ((4, 2, 2), (32,)), ((3, 5, 6), None)]
)
@torch.inference_mode()
def test_latents_of_any_shape(shape, widths):
    model = make(latent_shape=shape)
    assert widths in (None, model.widths)
    brain = torch.randn(2, 3, 10)
    latents = model(brain, torch.tensor([0, 5])).image
    assert latents.shape == (2, *shape)
    again = AtmLowLevel(**json.loads(json.dumps(model.config))).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(brain, torch.tensor([0, 5])).image, latents)


@torch.inference_mode()
def test_a_mask_sets_activity_to_its_mean():
    model, brain, mask = make(latent_shape=(4, 2, 2)), torch.randn(2, 3, 10), torch.arange(10) < 4
    subject = torch.zeros(2, dtype=torch.long)
    assert torch.equal(model(brain, subject, mask).image, model(brain * mask, subject).image)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match=r"latent_shape: expected \(channels, height, width\), found \[4, 64\]"):
        make(latent_shape=(4, 64))
    with pytest.raises(ValueError, match=r"widths: expected 4, to reach latents of \(16, 16\), found 2"):
        make(latent_shape=(4, 16, 16), widths=(8, 8))
    with pytest.raises(ValueError, match=r"widths: expected 7"):
        make(latent_shape=(4, 128, 128))
    with pytest.raises(ValueError, match=r"expected \(batch, 3 channels, 10 times\)"):
        make(latent_shape=(4, 2, 2))(torch.zeros(1, 10, 3), torch.zeros(1))
