from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from braindecode_x.clip import ClipEncoder
from braindecode_x.diffusion.clip_guidance import pulled

STEP = 0.01


@pytest.mark.parametrize("time", [1, 500, 900])
@pytest.mark.parametrize("kind", ["v_prediction", "epsilon", "sample"])
def test_the_latents_that_an_output_means_are_moved_by_the_step_up_the_gradient(tiny_clip, kind, time):
    scheduler, encoder = DDIMScheduler(prediction_type=kind, clip_sample=False), ClipEncoder(tiny_clip)
    generator = torch.Generator().manual_seed(0)
    noisy, output = torch.randn(2, 3, 3, 4, 4, generator=generator)
    wanted = torch.nn.functional.normalize(torch.randn(3, 8, generator=generator), dim=1)
    when = torch.tensor(time)

    def clean(said: torch.Tensor) -> torch.Tensor:
        return scheduler.step(said, when, noisy, eta=0.0).pred_original_sample

    scheduler.set_timesteps(1000)
    changed = pulled(output, noisy, when, scheduler, wanted, encoder, torch.sigmoid, STEP)
    moved = clean(changed) - clean(output)
    assert torch.allclose(moved.flatten(1).norm(dim=1), torch.full((3,), STEP), rtol=0.01)
    before, after = ((encoder.embed_pixels(clean(each).sigmoid()) * wanted).sum(1) for each in (output, changed))
    assert (after > before).all()
