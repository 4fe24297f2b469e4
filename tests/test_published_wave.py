from __future__ import annotations

import pytest
import torch

from braindecode_x.diffusion.token_prior import TokenPriorNetwork
from braindecode_x.models.wave import Wave
from braindecode_x.published import (
    _TOKEN_PRIOR_NAMES,
    _WAVE_NAMES,
    _rename,
    load_published_token_prior,
    load_published_wave,
)


def drawn(state: dict[str, torch.Tensor], names: dict[str, str]) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    kept = {name: tensor for name, tensor in state.items() if name not in ("mean", "std", "frequencies")}
    return {_rename(name, names): torch.rand_like(tensor) for name, tensor in kept.items()}


def wave_state() -> dict[str, torch.Tensor]:
    model = Wave(5, d_model=64, n_layers=2, n_heads=1, n_positions=9, max_time=20, feed_forward=2)
    old = {"decoder.transformer.h.0.attn.bias": torch.ones(1, 1, 9, 9, dtype=torch.bool)}
    return drawn(model.state_dict(), _WAVE_NAMES) | old


def token_prior_state() -> dict[str, torch.Tensor]:
    model = TokenPriorNetwork((3, 8), depth=2, n_heads=2, feed_forward=2, head=4, published_null=True)
    return drawn(model.state_dict(), _TOKEN_PRIOR_NAMES) | {
        f"causal_transformer.layers.{layer}.0.rotary_emb.freqs": torch.ones(2) for layer in range(2)
    }


CASES = {
    "sequence model of WAVE": (load_published_wave, wave_state),
    "token diffusion prior of WAVE": (load_published_token_prior, token_prior_state),
}


def test_sizes_are_read_off_the_weights():
    assert load_published_wave(wave_state()).config == {
        "n_parcels": 5,
        "d_model": 64,
        "n_layers": 2,
        "n_heads": 1,
        "dropout": 0.1,
        "n_positions": 9,
        "time_step": 0.2,
        "max_time": pytest.approx(20),
        "feed_forward": 2,
        "activation": "gelu_new",
        "carry": False,
    }
    config = load_published_token_prior(token_prior_state()).config
    assert tuple(config["shape"]) == (3, 8)
    assert (config["depth"], config["n_heads"], config["feed_forward"], config["head"]) == (2, 2, 2, 4)


def test_a_whole_prior_loads_too():
    whole = {f"net.{name}": tensor for name, tensor in token_prior_state().items()} | {"noise.betas": torch.ones(3)}
    loaded, expected = (load_published_token_prior(state).state_dict() for state in (whole, token_prior_state()))
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("kind", CASES)
def test_files_come_back(tmp_path, kind):
    load, make = CASES[kind]
    torch.save({"epoch": 3, "model_state_dict": make()}, tmp_path / "last.pth")
    loaded, expected = load(tmp_path / "last.pth").state_dict(), load(make()).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())
    assert not load(make()).training


@pytest.mark.parametrize("kind", CASES)
def test_wrong_state_dicts_are_told_name_by_name(kind):
    load, make = CASES[kind]
    with pytest.raises(ValueError, match=rf"not the weights of a {kind}: 1 missing .*it holds conv\.weight"):
        load({"conv.weight": torch.zeros(3)})
    for name in make():
        if name.endswith((".attn.bias", ".freqs")):
            continue
        state = make()
        tensor = state.pop(name)
        with pytest.raises(ValueError, match=f"not the weights of a {kind}: .*missing"):
            load(state)
        with pytest.raises(ValueError, match=f"not the weights of a {kind}: "):
            load(state | {name: tensor[None, None]})
    with pytest.raises(ValueError, match=r"1 unexpected \(extra\.bias\)"):
        load(make() | {"extra.bias": torch.zeros(2)})
