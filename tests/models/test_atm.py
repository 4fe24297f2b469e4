from __future__ import annotations

import pytest
import torch

from braindecode_x.models.atm import ATM, EegNetConv, sinusoids
from braindecode_x.models.nice import TemporalSpatialConv

SIZES = {"n_channels": 5, "n_times": 30, "n_subjects": 3, "d_model": 80, "d_ff": 16}


def make(**changes) -> ATM:
    torch.manual_seed(0)
    return ATM(**(SIZES | changes)).eval()


def trials(n: int = 4) -> torch.Tensor:
    return torch.randn(n, 5, 30, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_pooling_before_the_strided_convolution_is_pooling_after_it():
    torch.manual_seed(0)
    model = TemporalSpatialConv(5, 90).eval()
    rows = torch.randn(3, 5, 90)
    slow = torch.nn.functional.conv2d(rows[:, None], model.temporal.weight, model.temporal.bias)
    slow = torch.nn.functional.avg_pool2d(slow, (1, 51), (1, 5))
    x = torch.nn.functional.elu(model.spatial_norm(model.spatial(torch.nn.functional.elu(model.temporal_norm(slow)))))
    expected = model.projection(x).squeeze(2).permute(0, 2, 1).reshape(3, -1)  # filters of a place stand together
    assert expected.shape == (3, model.n_features)
    torch.testing.assert_close(model(rows), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_each_trial_has_the_token_of_its_own_subject():
    model, brain = make(), trials()
    mixed = model(brain, torch.tensor([0, 2, 7, -1]))
    for row, subject in enumerate([0, 2, 3, 3]):  # 3, 7 and -1 are all anybody
        alone = model(brain[row : row + 1], torch.tensor([subject]))
        torch.testing.assert_close(mixed[row : row + 1], alone)
    assert not torch.allclose(model(brain, torch.tensor([0] * 4)), model(brain, torch.tensor([1] * 4)))


@torch.inference_mode()
def test_the_last_electrode_counts_unless_rows_are_as_published():
    for published in (False, True):
        model, brain = make(published_rows=published), trials()
        for layer in model.layers:  # without attention nothing of an electrode reaches the others
            layer.out.weight.zero_()
        before = model(brain, torch.zeros(4, dtype=torch.long))
        brain[:, -1] = 0
        after = model(brain, torch.zeros(4, dtype=torch.long))
        assert torch.equal(before, after) == published


@torch.inference_mode()
def test_electrodes_are_told_apart_by_their_place():
    model, brain = make(), trials()
    model.convolution = torch.nn.Flatten()
    swapped = brain[:, [1, 0, 2, 3, 4]]
    subject = torch.zeros(4, dtype=torch.long)
    tokens, moved = (model(each, subject).view(4, 6, 80) for each in (brain, swapped))
    assert not torch.allclose(tokens[:, [0, 2, 1, 3, 4, 5]], moved, atol=1e-3)


def test_sinusoids_written_out():
    codes = sinusoids(4, 7)
    for place in range(4):
        for column in range(7):
            angle = torch.tensor(place / 10000 ** (column // 2 * 2 / 7))
            expected = angle.sin() if column % 2 == 0 else angle.cos()
            torch.testing.assert_close(codes[place, column], expected)


@pytest.mark.parametrize("convolution", ["shallow", "eegnet"])
@pytest.mark.parametrize("n_times", [1, 7, 64, 250])
def test_any_length_of_trial_gives_the_same_number_of_features(convolution, n_times):
    model = make(n_times=n_times, convolution=convolution)
    features = model(torch.randn(2, 5, n_times), torch.tensor([0, 9]))
    assert features.shape == (2, model.n_features) == (2, make(convolution=convolution).n_features)


@pytest.mark.parametrize("n_times", [1, 3, 20, 100])
def test_convolutions_of_short_rows(n_times):
    for part in (TemporalSpatialConv(4, n_times), EegNetConv(4, n_times)):
        assert part.eval()(torch.randn(2, 4, n_times)).shape == (2, part.n_features)
        assert part.n_features > 0


def test_senseless_sizes_are_refused():
    with pytest.raises(ValueError, match="d_model at least n_heads"):
        make(d_model=3)
    with pytest.raises(ValueError, match="unknown convolution 'shalow'; did you mean 'shallow'"):
        make(convolution="shalow")
    with pytest.raises(ValueError, match="expected at least 1"):
        TemporalSpatialConv(4, 0)
