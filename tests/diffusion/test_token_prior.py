from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.diffusion.prior import EmbeddingPrior, PriorSampling
from braindecode_x.diffusion.token_prior import PUBLISHED_TOKEN_SCHEDULE, RelativeBias, TokenPriorNetwork, _turned

SHAPES = {"pooled": (6,), "tokens": (4, 6)}


def network(kind: str, **options) -> TokenPriorNetwork:
    torch.manual_seed(0)
    return TokenPriorNetwork(SHAPES[kind], **({"depth": 2, "n_heads": 2, "head": 4} | options)).eval()


def space(kind: str) -> EmbeddingSpace:
    return EmbeddingSpace("m", "w", kind, SHAPES[kind], "unit" if kind == "pooled" else "none")


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("published", [False, True])
@torch.inference_mode()
def test_rows_whose_condition_is_not_shown_ignore_it(kind, published):
    model = network(kind, published_null=published)
    noisy, condition = torch.randn(2, 4, *SHAPES[kind])
    times, shown = torch.tensor([1, 5, 50, 90]), torch.tensor([True, False, True, False])
    mixed = model(noisy, times, condition, shown)
    torch.testing.assert_close(mixed[shown], model(noisy, times, condition)[shown])
    torch.testing.assert_close(mixed[~shown], model(noisy, times)[~shown])
    blind = torch.allclose(model(noisy.flip(-1), times)[1], mixed[1], atol=1e-5)
    assert blind == published


@pytest.mark.parametrize("kind", SHAPES)
def test_a_folder_gives_the_same_prior_whatever_shares_a_batch(kind, tmp_path):
    ours = EmbeddingPrior(network(kind), space(kind), PUBLISHED_TOKEN_SCHEDULE, PriorSampling(steps=3, guidance=2.0))
    ours.network.std.fill_(0.5)
    ours.save_pretrained(tmp_path)
    again = EmbeddingPrior.from_pretrained(tmp_path)
    assert isinstance(again.network, TokenPriorNetwork)
    given, ids = torch.randn(3, *SHAPES[kind]), list("abc")
    together = again(given, ids)
    assert torch.equal(together, ours(given, ids))
    assert together.shape == given.shape
    alone = torch.cat([again(given[k : k + 1], [ids[k]]) for k in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_neighbouring_features_are_turned_by_angles_that_grow_with_the_place():
    x, frequencies = torch.randn(1, 5, 7), torch.tensor([1.0, 0.1])
    turned = _turned(x, frequencies)
    for place in range(5):
        for pair, frequency in enumerate(frequencies.tolist()):
            pairs = [torch.view_as_complex(each[0, place, 2 * pair : 2 * pair + 2].clone()) for each in (x, turned)]
            expected = pairs[0] * torch.exp(torch.tensor(1j * place * frequency))
            torch.testing.assert_close(pairs[1], expected)
    assert torch.equal(turned[..., 4:], x[..., 4:])


def test_distances_are_told_apart_for_past_tokens_only():
    bias = RelativeBias(1)
    torch.nn.init.normal_(bias.values.weight)
    found = bias(300)[0]
    assert found.shape == (300, 301)
    assert (found.triu() == found[0, 0]).logical_or(found.triu() == 0).all()
    past = found[299, :300].flip(0)
    assert len(set(past[:16].tolist())) == 16
    assert len(set(past.tolist())) == 32
    assert len(set(past[128:].tolist())) == 1


def test_senseless_sizes_are_refused():
    for options in ({"depth": 0}, {"head": 1}, {"n_heads": 0}):
        with pytest.raises(ValueError, match="sizes of at least 1"):
            network("pooled", **options)
    with pytest.raises(ValueError, match=r"found \(2, 3, 4\)"):
        TokenPriorNetwork((2, 3, 4))


def test_it_learns_where_the_condition_tells_of_what():
    model = network("tokens", head=8).train()
    condition = F.normalize(torch.randn(64, 4, 6), dim=-1) * 6**0.5
    target = condition.flip(1)  # of each token, that of another one
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(200):
        noisy, times = target + torch.randn_like(target), torch.randint(100, (64,))
        loss = F.mse_loss(model(noisy, times, condition), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) / 10 < 0.45  # the noisy tokens alone, of equal parts, tell half
