from __future__ import annotations

import json

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.diffusion.noise import keyed_generators
from braindecode_x.diffusion.prior import EmbeddingPrior, PriorNetwork, PriorSampling, prior_loss, sample_prior

SPACE = EmbeddingSpace("m", "w", "pooled", (6,), "unit")
SCHEDULE = {"beta_schedule": "squaredcos_cap_v2", "clip_sample": False, "prediction_type": "v_prediction"}


def network(seed: int = 0) -> PriorNetwork:
    torch.manual_seed(seed)
    return PriorNetwork(6, 6, widths=(16, 8, 4), time_dim=8).eval()


def embeddings(n: int = 5) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(n, 6, generator=torch.Generator().manual_seed(1)), dim=1)


def prior(**sampling) -> EmbeddingPrior:
    return EmbeddingPrior(network(), SPACE, SCHEDULE, PriorSampling(**({"steps": 5} | sampling)))


@torch.inference_mode()
def test_rows_whose_condition_is_not_shown_ignore_it():
    model, noisy, times = network(), torch.randn(4, 6), torch.tensor([1, 5, 50, 900])
    shown = torch.tensor([True, False, True, False])
    mixed = model(noisy, times, embeddings(4), shown)
    torch.testing.assert_close(mixed[shown], model(noisy, times, embeddings(4))[shown])
    torch.testing.assert_close(mixed[~shown], model(noisy, times)[~shown])


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_the_loss_is_least_for_a_network_that_knows_the_answer(kind):
    scheduler = DDPMScheduler(prediction_type=kind)
    target, noise, times = torch.randn(4, 6), torch.randn(4, 6), torch.tensor([0, 10, 500, 999])
    share = scheduler.alphas_cumprod[times][:, None]
    answers = {"epsilon": noise, "sample": target, "v_prediction": share.sqrt() * noise - (1 - share).sqrt() * target}

    class Knows(torch.nn.Module):
        def forward(self, noisy, times, condition, shown):
            return answers[kind]

    assert prior_loss(Knows(), target, target, scheduler, noise, times) == pytest.approx(0, abs=1e-10)
    assert prior_loss(network(), target, target, scheduler, noise, times) > 0.1


def test_guidance_written_out():
    model, condition = network(), embeddings(2)

    def run(guided):
        scheduler = DDIMScheduler(**SCHEDULE)
        scheduler.set_timesteps(4)
        x = torch.stack([torch.randn(6, generator=g) for g in keyed_generators(3, ["a", "b"], 0)])
        for time in scheduler.timesteps:
            x = scheduler.step(guided(x, time), time, x).prev_sample
        return x

    with torch.inference_mode():
        for weight in (1.0, 3.0):
            expected = run(lambda x, t, w=weight: model(x, t) + w * (model(x, t, condition) - model(x, t)))
            generators = keyed_generators(3, ["a", "b"], 0)
            found = sample_prior(model, condition, DDIMScheduler(**SCHEDULE), generators, 4, weight)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_an_embedding_does_not_depend_on_what_shares_its_batch():
    given, names = embeddings(), list("abcde")
    together = prior()(given, names, seed=3)
    alone = torch.cat([prior()(given[k : k + 1], [names[k]], seed=3) for k in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together, prior()(given, names, seed=4), atol=1e-3)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(5))


def test_samples_are_averaged():
    given = embeddings(1)
    assert not torch.allclose(prior(samples=3)(given, ["a"]), prior()(given, ["a"]), atol=1e-4)
    # without noise there is nothing to average
    still = {"noise": 0.0, "scheduler": "DDIMScheduler"}
    torch.testing.assert_close(prior(samples=3, **still)(given, ["a"]), prior(**still)(given, ["a"]))


@pytest.mark.parametrize("name", sorted({c.__name__ for c in DDIMScheduler().compatibles} - {"DPMSolverSDEScheduler"}))
def test_any_scheduler_of_diffusers(name):
    found = prior(scheduler=name, steps=10)(embeddings(), list("abcde"))
    assert found.isfinite().all()


def test_a_folder_gives_the_same_prior(tmp_path):
    ours = prior(guidance=2.0)
    ours.network.mean.fill_(0.1)
    ours.save_pretrained(tmp_path)
    again = EmbeddingPrior.from_pretrained(tmp_path)
    assert (again.sampling, again.space) == (ours.sampling, SPACE)
    assert torch.equal(again(embeddings(), list("abcde")), ours(embeddings(), list("abcde")))
    assert again.with_sampling(steps=2).sampling == PriorSampling(steps=2, guidance=2.0)


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"not the folder of a prior, prior\.json is missing"):
        EmbeddingPrior.from_pretrained(tmp_path)
    prior().save_pretrained(tmp_path)
    about = json.loads((tmp_path / "prior.json").read_text())
    (tmp_path / "prior.json").write_text(json.dumps(about | {"hash": "0"}))
    with pytest.raises(ValueError, match="weights of hash"):
        EmbeddingPrior.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="unknown sampling setting 'step'; did you mean 'steps'"):
        prior().with_sampling(step=3)
    with pytest.raises(ValueError, match="unknown scheduler 'DDPM'; did you mean"):
        prior().with_sampling(scheduler="DDPM")
    with pytest.raises(ValueError, match=r"prior: expected embeddings \(n, 6\), found \(2, 5\)"):
        prior()(torch.zeros(2, 5), ["a", "b"])
    with pytest.raises(ValueError, match="ids: expected 5, one an embedding, found 1"):
        prior()(embeddings(), ["a"])
    with pytest.raises(
        ValueError, match="KDPM2AncestralDiscreteScheduler with 5 steps gave values that are not finite"
    ):
        prior(scheduler="KDPM2AncestralDiscreteScheduler")(embeddings(), list("abcde"))
    with pytest.raises(ValueError, match="steps: expected at least 1, found 0"):
        PriorSampling(steps=0)
