from __future__ import annotations

import pytest
import torch

from braindecode_x.diffusion.prior import PriorNetwork
from braindecode_x.models.atm_low_level import AtmLowLevel
from braindecode_x.models.eeg import EegDecoder
from braindecode_x.published import (
    _ATM_NAMES,
    _PRIOR_NAMES,
    _rename,
    load_published_atm,
    load_published_low_level,
    load_published_prior,
)

OPTIONS = {"d_model": 80, "n_heads": 4, "d_ff": 6, "n_layers": 2, "published_rows": True, "n_filters": 3, "kernel": 7}


def drawn(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.rand_like(tensor.float()) for name, tensor in state.items()}


def atm_state() -> dict[str, torch.Tensor]:
    model = EegDecoder(["a", "b", "c"], 5, 30, image_dim=8, options=OPTIONS)
    state = {_rename(name, _ATM_NAMES): tensor for name, tensor in drawn(model.state_dict()).items()}
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
    state = drawn(PriorNetwork(6, 5, widths=(8, 4, 2), time_dim=10).state_dict())
    return {_rename(name, _PRIOR_NAMES): tensor for name, tensor in state.items() if name not in ("mean", "std")}


CASES = {
    "ATM-S": (load_published_atm, atm_state),
    "low-level branch of ATM": (load_published_low_level, low_level_state),
    "diffusion prior of ATM": (load_published_prior, prior_state),
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
        if name == "logit_scale" or name.startswith("subject_wise_linear.0") or name.endswith(("pe", "tracked")):
            continue
        state = make()
        tensor = state.pop(name)
        with pytest.raises(ValueError, match=f"not the weights of a {kind}: .*missing"):
            load(state)
        with pytest.raises(ValueError, match=f"not the weights of a {kind}: "):
            load(state | {name: tensor[None, None]})
    with pytest.raises(ValueError, match=r"1 unexpected \(extra\.bias\)"):
        load(make() | {"extra.bias": torch.zeros(2)})
