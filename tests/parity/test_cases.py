from __future__ import annotations

import pytest
import torch


@pytest.fixture
def our_cases(monkeypatch):
    """Read the harness's own examples from this checkout, whatever cases are checked."""
    monkeypatch.delenv("PARITY_DIR", raising=False)


def test_required_cases_are_there(parity_case, required_case):
    case = parity_case(required_case)
    assert case.arrays


@pytest.mark.parametrize("present", [[], ["metrics.json"], ["metrics.npz"]])
def test_a_missing_file_of_a_case_is_an_error(parity_case, tmp_path, monkeypatch, present):
    for name in present:
        (tmp_path / name).touch()
    monkeypatch.setenv("PARITY_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"metrics\.(json|npz)"):
        parity_case("metrics")


def test_filled_weights_give_the_published_answer(parity_case, our_cases):
    """The smallest network: a feed-forward block after attention, written out, agrees only if the filling does."""
    case = parity_case("brain_encoder")
    p = {name.removeprefix("decoder.layers.0."): value for name, value in case.parameters().items()}
    features, position = (case.tensor(name).flatten(2).mT for name in ("features", "position"))
    q = (case.tensor("queries") @ p["cross_attn.q_proj.weight"].T + p["cross_attn.q_proj.bias"]).unflatten(-1, (16, -1))
    k = ((features + position) @ p["cross_attn.k_proj.weight"].T + p["cross_attn.k_proj.bias"]).unflatten(-1, (16, -1))
    weights = (torch.einsum("qhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5).softmax(-1)
    joined = torch.einsum("bhqk,bkhd->bqhd", weights, features.unflatten(-1, (16, -1))).flatten(2)
    x = joined @ p["cross_attn.c_proj.weight"].T + p["cross_attn.c_proj.bias"]
    normed = torch.nn.functional.layer_norm(x, x.shape[-1:], p["norm3.weight"], p["norm3.bias"])
    hidden = (normed @ p["linear1.weight"].T + p["linear1.bias"]).relu()
    assert case.error("tokens", x + hidden @ p["linear2.weight"].T + p["linear2.bias"]) < 1e-4


def test_parameters_of_one_of_two_models(parity_case, our_cases):
    case = parity_case("clip_tokens")
    vision = case.parameters("vision:")
    name = "vision_model.embeddings.class_embedding"
    assert torch.equal(vision[name], torch.from_numpy(0.05 * case.drawn(name, (64,))))
    assert not any(name.startswith("text") for name in vision)
