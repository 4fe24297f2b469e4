from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from braindecode_x.models.voxels import aggregate_voxels, split_by_subject

HOW = ("max", "average", "resize")


@pytest.mark.parametrize("how", HOW)
@given(n_voxels=st.integers(1, 40), size=st.integers(1, 40))
def test_any_number_of_voxels_comes_to_the_length_within_its_range(how, n_voxels, size):
    voxels = torch.randn(3, n_voxels, generator=torch.Generator().manual_seed(n_voxels))
    aggregated = aggregate_voxels(voxels, size, how)
    assert aggregated.shape == (3, size)
    assert (aggregated >= voxels.amin(1, keepdim=True) - 1e-6).all()
    assert (aggregated <= voxels.amax(1, keepdim=True) + 1e-6).all()


@pytest.mark.parametrize("how", HOW)
def test_the_wanted_length_is_left_as_it_is(how):
    voxels = torch.randn(2, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(aggregate_voxels(voxels, 7, how), voxels)


@pytest.mark.parametrize(("how", "expected"), [("max", [4.0, 8.0]), ("average", [2.5, 6.5]), ("resize", [2.5, 6.5])])
def test_bins_follow_the_order_of_the_voxels(how, expected):
    assert aggregate_voxels(torch.arange(1.0, 9.0)[None], 2, how).tolist() == [expected]


def test_wrong_input_to_aggregation_is_named():
    with pytest.raises(ValueError, match=r"unknown aggregation 'averag'; did you mean 'average'"):
        aggregate_voxels(torch.zeros(1, 4), 2, "averag")
    with pytest.raises(ValueError, match=r"expected \(n, voxels\), found \(4,\)"):
        aggregate_voxels(torch.zeros(4), 2)


def test_a_list_and_a_padded_tensor_are_the_same_batch():
    trials = [torch.tensor([1.0, 2, 3]), torch.tensor([4.0, 5]), torch.tensor([6.0, 7, 8])]
    padded = torch.nn.utils.rnn.pad_sequence(trials, batch_first=True)
    mask = torch.tensor([[True] * 3, [True, True, False], [True] * 3])
    for brain, mask_ in ((trials, None), (padded, mask)):
        split = split_by_subject(brain, [1, 0, 1], mask_)
        assert {number: rows for number, (rows, _) in split.items()} == {0: [1], 1: [0, 2]}
        assert split[0][1].tolist() == [[4, 5]]
        assert split[1][1].tolist() == [[1, 2, 3], [6, 7, 8]]


def test_several_trials_in_one_tensor_follow_each_other():
    split = split_by_subject([torch.tensor([[1.0, 2], [3, 4]]), torch.tensor([5.0])], [0, 0, 1])
    assert split[0][1].tolist() == [[1, 2], [3, 4]]
    assert split[1][1].tolist() == [[5]]


@pytest.mark.parametrize(
    ("brain", "subject", "mask", "message"),
    [
        (torch.zeros(2, 3), [0], None, "one id a trial, found 1 for 2 trials"),
        (torch.zeros(0, 3), [], None, "found 0 for 0 trials"),
        (torch.zeros(3), [0, 0, 0], None, r"expected \(batch, voxels\), found \(3,\)"),
        (torch.zeros(2, 3), [0, 0], torch.ones(2, 4, dtype=torch.bool), r"mask: .* found \(2, 4\) for \(2, 3\)"),
        ([torch.zeros(3)], [0], torch.ones(1, 3, dtype=torch.bool), "mask: .* a list of tensors"),
        ([torch.zeros(3), torch.zeros(4)], [5, 5], None, r"subject 5 have \[3, 4\] voxels"),
        (torch.zeros(2, 2), [0, 0], torch.tensor([[True, True], [True, False]]), "trials of subject 0 differ"),
    ],
)
def test_batches_that_do_not_fit_are_refused(brain, subject, mask, message):
    with pytest.raises(ValueError, match=message):
        split_by_subject(brain, subject, mask)
