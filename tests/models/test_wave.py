from __future__ import annotations

import json

import pytest
import torch

from braindecode_x.datasets.parcels import Parcels
from braindecode_x.models.pretrained_wave import PretrainedWave
from braindecode_x.models.wave import Wave, window_seconds
from braindecode_x.models.wave_decoder import ENCODERS, WaveDecoder

NAMES = tuple("abcdef")


def make(n_parcels: int = 6, **options) -> Wave:
    torch.manual_seed(0)
    model = Wave(n_parcels, **({"d_model": 16, "n_layers": 2, "n_heads": 2, "n_positions": 12} | options)).eval()
    for parameter in model.parameters():  # away from the small values that new weights have
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def windows(n: int = 3, volumes: int = 7) -> torch.Tensor:
    return torch.randn(n, volumes, 6, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_a_masked_volume_is_told_by_earlier_ones_alone():
    model, brain, place = make(), windows(), torch.tensor([1, 3, 6])
    seconds = window_seconds(brain, 2.0)
    predicted = model.predict_masked(brain, seconds, place)
    later, earlier = brain.clone(), brain.clone()
    for row, volume in enumerate(place.tolist()):
        later[row, volume:] = float("nan")
        earlier[row, volume - 1] += 1
    assert torch.equal(model.predict_masked(later, seconds, place), predicted)
    changed = model.predict_masked(earlier, seconds, place)
    assert not torch.isclose(changed, predicted, atol=1e-3).all(1).any()


@pytest.mark.parametrize("carry", [False, True])
@torch.inference_mode()
def test_each_volume_masked_at_once_is_as_one_by_one(carry):
    model, brain, lengths = make(carry=carry), windows(), torch.tensor([7, 4, 2])
    mask, seconds = torch.arange(7) < lengths[:, None], window_seconds(brain, 2.0)
    together = model.predict_each(brain, seconds, mask)
    for place in range(1, 7):
        rows = lengths > place
        alone = model.predict_masked(brain[rows], seconds[rows], torch.full((int(rows.sum()),), place), mask[rows])
        torch.testing.assert_close(together[rows, place - 1], alone, atol=1e-5, rtol=1e-4)
    if carry:
        model.unembed.weight.zero_()
        model.unembed.bias.zero_()
        torch.testing.assert_close(model.predict_each(brain, seconds), model.carry * brain[:, :-1])


@torch.inference_mode()
def test_hidden_states_do_not_know_the_future():
    model, brain = make(), windows()
    seconds = window_seconds(brain, 2.0)
    before = model(brain, seconds).hidden
    brain[:, 4:] += 5
    after = model(brain, seconds).hidden
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.isclose(before[:, 4], after[:, 4], atol=1e-3).all()


@pytest.mark.parametrize("extended", [False, True])
def test_padding_changes_nothing(extended):
    model, brain, lengths = make(), windows(3, 9), torch.tensor([4, 9, 1])
    mask = torch.arange(9) < lengths[:, None]
    brain.requires_grad_()
    shown = mask[..., None].expand_as(brain) if extended else mask
    pooled = model(brain, window_seconds(brain, 2.0), shown).pooled
    for row, length in enumerate(lengths.tolist()):
        alone = brain[row : row + 1, :length]
        torch.testing.assert_close(model(alone, window_seconds(alone, 2.0)).pooled[0], pooled[row])
    pooled.sum().backward()
    assert (brain.grad[~mask] == 0).all()
    assert (brain.grad[mask] != 0).any(-1).all()


@torch.inference_mode()
def test_times_are_told_in_seconds():
    model, brain = make(), windows()
    slow, fast = (model(brain, window_seconds(brain, tr)).pooled for tr in (2.0, 1.0))
    assert not torch.isclose(slow, fast, atol=1e-3).all(1).any()
    torch.testing.assert_close(model(brain, window_seconds(brain, 1.01)).pooled, fast)  # the same when rounded
    mixed = model(brain, window_seconds(brain, torch.tensor([2.0, 1.0, 1.0]))).pooled
    torch.testing.assert_close(mixed, torch.cat([slow[:1], fast[1:]]))
    times = torch.tensor([4.0, 6.0, 8.0, 10, 12, 14, 16]).expand(3, -1)
    torch.testing.assert_close(model(brain, window_seconds(brain, None, times)).pooled, slow)


def test_bad_windows_are_refused():
    model, brain = make(), windows()
    seconds = window_seconds(brain, 2.0)
    with pytest.raises(ValueError, match=r"expected \(batch, volumes, 6 parcels\), found \(3, 7, 5\)"):
        model(brain[..., :5], seconds)
    with pytest.raises(ValueError, match="windows of 13 volumes; this network takes 11 at most"):
        model(windows(1, 13), torch.arange(13.0)[None])
    with pytest.raises(ValueError, match=r"times from 0 to before 300 s, found 0 to 360 s"):
        model(brain, window_seconds(brain, 60.0))
    with pytest.raises(ValueError, match="times from 0 to before 300 s, found -4 to"):
        model(brain, seconds - 4)
    hole = torch.ones(3, 7, dtype=torch.bool)
    hole[1, 2] = False
    with pytest.raises(ValueError, match="measured volumes of a window first"):
        model(brain, seconds, hole)
    hole[1] = False
    with pytest.raises(ValueError, match="window 1 has no volume"):
        model(brain, seconds, hole)
    short = torch.arange(7) < torch.tensor([7, 3, 7])[:, None]
    for wrong in (0, 3):
        with pytest.raises(ValueError, match=f"from 1 to before 3, the length of window 1, found {wrong}"):
            model.predict_masked(brain, seconds, torch.tensor([1, wrong, 1]), short)
    with pytest.raises(ValueError, match="the repetition time of windows is needed"):
        window_seconds(brain, None)
    for options in ({"n_heads": 3}, {"n_layers": 0}, {"d_model": 0}):
        with pytest.raises(ValueError, match="expected"):
            make(**options)


def test_a_folder_gives_the_same_network(tmp_path):
    ours = PretrainedWave(make(), Parcels(NAMES, ("v",) * 3 + ("m",) * 3, None, "atlas"))
    ours.save_pretrained(tmp_path)
    again = PretrainedWave.from_pretrained(tmp_path)
    brain = windows()
    seconds = window_seconds(brain, 2.0)
    assert torch.equal(again.model(brain, seconds).pooled, ours.model(brain, seconds).pooled)
    assert again.parcels == ours.parcels
    about = json.loads((tmp_path / "wave.json").read_text())
    (tmp_path / "wave.json").write_text(json.dumps(about | {"hash": "0"}))
    with pytest.raises(ValueError, match="weights of hash"):
        PretrainedWave.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"pre-trained sequence model, model\.safetensors is missing"):
        PretrainedWave.from_pretrained(tmp_path)


@torch.inference_mode()
def test_weights_of_some_parcels_follow_their_names():
    whole = PretrainedWave(make(), Parcels(NAMES, (), None, "atlas"))
    part = whole.for_parcels(Parcels(("e", "b"), (), None, "atlas"), "folder")
    assert part.parcels.names == ("e", "b")
    brain, places = windows(), [4, 1]
    only = torch.zeros_like(brain)
    only[..., places] = brain[..., places]
    seconds = window_seconds(brain, 2.0)
    torch.testing.assert_close(
        part.model(brain[..., places], seconds).hidden[:, :7], whole.model(only, seconds).hidden[:, :7]
    )
    whole.model.mask_embedding[..., [0, 2, 3, 5]] = 0
    place = torch.tensor([1, 2, 3])
    torch.testing.assert_close(
        part.model.predict_masked(brain[..., places], seconds, place),
        whole.model.predict_masked(only, seconds, place)[:, places],
    )
    with pytest.raises(ValueError, match="unknown parcel of folder 'g'"):
        whole.for_parcels(Parcels(("a", "g"), (), None, "atlas"), "folder")
    with pytest.raises(ValueError, match="folder: of 6 parcels without names, found 2"):
        PretrainedWave(whole.model).for_parcels(part.parcels, "folder")


@pytest.mark.parametrize("encoder", ENCODERS)
@torch.inference_mode()
def test_decoders_of_windows(encoder):
    options = {"wave": {"d_model": 16, "n_layers": 1, "n_heads": 2}, "mlp": {"hidden": 16}}[encoder]
    model = WaveDecoder(["x", "y"], 7, 6, 2.0, image_dim=5, text_dim=(4,), encoder=encoder, options=options).eval()
    brain = windows()
    output = model(brain)
    assert (output.image.shape, output.text.shape) == ((3, 5), (3, 4))
    again = WaveDecoder(**json.loads(json.dumps(model.config))).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(brain).image, output.image)
    kept = torch.tensor([True, True, False, True, False, True])
    torch.testing.assert_close(model(brain, mask=kept).image, model(brain * kept).image)
    assert model.subject_id("y") == 1
    with pytest.raises(ValueError, match=r"expected \(batch, 7 volumes, 6 parcels\), found \(3, 6, 6\)"):
        model(brain[:, 1:])
    with pytest.raises(ValueError, match=f"options of {encoder}: .*'depth'"):
        WaveDecoder(["x"], 7, 6, 2.0, encoder=encoder, options={"depth": 3})
    with pytest.raises(ValueError, match="unknown encoder 'wav'; did you mean 'wave'"):
        WaveDecoder(["x"], 7, 6, 2.0, encoder="wav")
