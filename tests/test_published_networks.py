"""Published checkpoints of ATM and WAVE, whose sizes are read off their weights."""

from __future__ import annotations

import pytest
import torch

from braindecode_x.diffusion.prior import PriorNetwork
from braindecode_x.diffusion.token_prior import TokenPriorNetwork
from braindecode_x.models.atm_low_level import AtmLowLevel
from braindecode_x.models.eeg import EegDecoder
from braindecode_x.models.wave import Wave
from braindecode_x.published import (
    load_published_atm,
    load_published_low_level,
    load_published_prior,
    load_published_token_prior,
    load_published_wave,
)
from braindecode_x.published.atm import ATM_NAMES, PRIOR_NAMES
from braindecode_x.published.states import rename
from braindecode_x.published.wave import TOKEN_PRIOR_NAMES, WAVE_NAMES

LEFT = ("logit_scale", "subject_wise_linear.0")  # names that are not left out one by one
OPTIONS = {"d_model": 80, "n_heads": 4, "d_ff": 6, "n_layers": 2, "published_rows": True, "n_filters": 3, "kernel": 7}


def drawn(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.rand_like(tensor.float()) for name, tensor in state.items()}


def renamed(model: torch.nn.Module, names: dict[str, str]) -> dict[str, torch.Tensor]:
    ours = ("mean", "std", "frequencies")
    return {rename(name, names): t for name, t in drawn(model.state_dict()).items() if name not in ours}


def atm_state() -> dict[str, torch.Tensor]:
    model = EegDecoder(["a", "b", "c"], 5, 30, image_dim=8, options=OPTIONS)
    state = renamed(model, ATM_NAMES)
    for name in [name for name in state if name.endswith(("conv1.weight", "conv2.weight"))]:
        state[name] = state[name][..., None]
    unused = {"logit_scale": torch.tensor(2.6), "subject_wise_linear.0.weight": torch.zeros(3)}
    return state | unused | {"encoder.enc_embedding.position_embedding.pe": torch.zeros(1, 9, 80)}


def low_level_state() -> dict[str, torch.Tensor]:
    state = drawn(AtmLowLevel(["a"], 3, 10, (2, 8, 8), d_channel=4, widths=(7, 6, 5), last_width=3).state_dict())
    return {name.replace("electrode.", "subject_wise_linear.0."): t for name, t in state.items()} | {
        "logit_scale": torch.tensor(2.6)
    }


def prior_state() -> dict[str, torch.Tensor]:
    return renamed(PriorNetwork(6, 5, widths=(8, 4, 2), time_dim=10), PRIOR_NAMES)


def wave_state() -> dict[str, torch.Tensor]:
    model = Wave(5, d_model=64, n_layers=2, n_heads=1, n_positions=9, max_time=20, feed_forward=2)
    old = {"decoder.transformer.h.0.attn.bias": torch.ones(1, 1, 9, 9, dtype=torch.bool)}
    return renamed(model, WAVE_NAMES) | old


def token_prior_state() -> dict[str, torch.Tensor]:
    model = TokenPriorNetwork((3, 8), depth=2, n_heads=2, feed_forward=2, head=4, published_null=True)
    return renamed(model, TOKEN_PRIOR_NAMES) | {
        f"causal_transformer.layers.{layer}.0.rotary_emb.freqs": torch.ones(2) for layer in range(2)
    }


CASES = {
    "ATM-S": (load_published_atm, atm_state),
    "low-level branch of ATM": (load_published_low_level, low_level_state),
    "diffusion prior of ATM": (load_published_prior, prior_state),
    "sequence model of WAVE": (load_published_wave, wave_state),
    "token diffusion prior of WAVE": (load_published_token_prior, token_prior_state),
}


def test_sizes_of_atm_are_read_off_the_weights():
    config = load_published_atm(atm_state()).config
    assert config["options"] == OPTIONS
    assert (config["n_channels"], config["n_times"], config["image_dim"]) == (5, 30, [8])
    assert config["subjects"] == ["0", "1", "2"]
    assert load_published_atm(atm_state(), ["x", "y", "z"]).subject_id("z") == 2
    with pytest.raises(ValueError, match="subjects: state dict has 3, found 2 names"):
        load_published_atm(atm_state(), ["x", "y"])


def test_sizes_of_the_low_level_branch_are_read_off_the_weights():
    config = load_published_low_level(low_level_state(), ["x"]).config
    assert config == {
        "subjects": ["x"],
        "n_channels": 3,
        "n_times": 10,
        "latent_shape": [2, 8, 8],
        "d_channel": 4,
        "widths": [7, 6, 5],
        "last_width": 3,
    }


def test_sizes_of_the_prior_are_read_off_the_weights():
    model = load_published_prior(prior_state())
    config = model.config
    assert (config["embedding_dim"], config["condition_dim"], config["time_dim"]) == (6, 5, 10)
    assert list(config["widths"]) == [8, 4, 2]


def test_sizes_of_wave_are_read_off_the_weights():
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
def test_files_and_trained_models_come_back(tmp_path, kind):
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
        if name.startswith(LEFT) or name.endswith((".pe", "tracked", ".attn.bias", ".freqs")):
            continue
        state = make()
        tensor = state.pop(name)
        with pytest.raises(ValueError, match=f"not the weights of a {kind}: .*missing"):
            load(state)
        with pytest.raises(ValueError, match=f"not the weights of a {kind}: "):
            load(state | {name: tensor[None, None]})
    with pytest.raises(ValueError, match=r"1 unexpected \(extra\.bias\)"):
        load(make() | {"extra.bias": torch.zeros(2)})
