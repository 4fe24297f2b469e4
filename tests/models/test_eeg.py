from __future__ import annotations

import json

import pytest
import torch

from braindecode_x.models.eeg import ENCODERS, EegDecoder

SIZES = {"subjects": ["anna", "ben"], "n_channels": 6, "n_times": 120, "sfreq": 100.0, "image_dim": (12,)}


def make(encoder: str = "NICE", **changes) -> EegDecoder:
    torch.manual_seed(0)
    return EegDecoder(**(SIZES | {"encoder": encoder} | changes)).eval()


def trials(n: int = 3, n_times: int = 120) -> torch.Tensor:
    return torch.randn(n, 6, n_times, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_learns_and_is_rebuilt_from_its_configuration(encoder):
    model, subject = make(encoder, text_dim=4).train(), torch.tensor([0, 1, 2])
    output = model(trials(), subject)
    assert (output.image.shape, output.text.shape) == ((3, 12), (3, 4))
    (output.image.square().sum() + output.text.square().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    again = EegDecoder(**json.loads(json.dumps(model.config)))
    again.load_state_dict(model.state_dict())
    with torch.inference_mode():
        assert torch.equal(again.eval()(trials(), subject).image, model.eval()(trials(), subject).image)


@pytest.mark.parametrize("encoder", ["NICE", "EEGNet", "ShallowFBCSPNet", "Deep4Net", "EEGConformer", "ATCNet"])
@pytest.mark.parametrize(("sfreq", "n_times"), [(250.0, 250), (125.0, 50)])
def test_filters_fit_other_rates_and_windows(encoder, sfreq, n_times):
    model = make(encoder, sfreq=sfreq, n_times=n_times)
    assert model(trials(n_times=n_times), torch.zeros(3, dtype=torch.long)).image.shape == (3, 12)


@torch.inference_mode()
def test_a_mask_sets_activity_to_its_mean():
    model, brain, subject = make(), trials(), torch.zeros(3, dtype=torch.long)
    window, electrodes = torch.arange(120) < 40, torch.tensor([1, 0, 1, 1, 0, 1], dtype=torch.bool)[:, None]
    for mask in (window, electrodes, (window & electrodes).expand(3, 6, 120)):
        assert torch.equal(model(brain, subject, mask).image, model(brain * mask, subject).image)
        assert not torch.allclose(model(brain, subject, mask).image, model(brain, subject).image)


@torch.inference_mode()
def test_values_that_a_mask_hides_do_not_matter_even_when_they_are_not_finite():
    model, brain, subject = make(), trials(), torch.zeros(3, dtype=torch.long)
    mask = (torch.arange(6) != 2)[:, None]
    expected = model(brain, subject, mask).image
    brain[:, 2] = float("nan")
    assert torch.equal(model(brain, subject, mask).image, expected)


def test_bad_input_is_refused():
    model = make()
    with pytest.raises(ValueError, match=r"expected \(batch, 6 channels, 120 times\), found \(3, 6, 60\)"):
        model(trials(n_times=60), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="unknown subject 'bena'; did you mean 'ben'"):
        model.subject_id("bena")
    with pytest.raises(ValueError, match="unknown encoder 'ATM'; did you mean"):
        make("ATM")
    with pytest.raises(ValueError, match=r"encoder 'NICE': options .*n_filter"):
        make(options={"n_filter": 3})
    with pytest.raises(ValueError, match=r"subjects: expected names, each once, found \['a', 'a'\]"):
        make(subjects=["a", "a"])
    with pytest.raises(ValueError, match=r"image_dim: expected the size of a pooled embedding, found \[257, 768\]"):
        make(image_dim=(257, 768))
    with pytest.raises(ValueError, match="'ShallowFBCSPNet': cannot be made for 6 channels and 120 times at 100 Hz"):
        make("ShallowFBCSPNet", options={"pool_time_length": 500})


def test_without_the_library_its_networks_say_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "braindecode", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'braindecode-x\[baselines\]'"):
        make("EEGNet")
