from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jsonargparse import ArgumentParser

from braindecode_x.losses import MindBridgeLoss
from braindecode_x.models.mindbridge import MindBridge, cycle_pair

VOXELS = {"ann": 30, "bob": 41, "cleo": 17}
SIZES = {"in_dim": 20, "hidden": 12, "n_blocks": 2, "image_dim": 6, "text_dim": (3, 2), "adapter_dim": 4}


@pytest.fixture(scope="module")
def shared() -> MindBridge:
    """Return a network in eval mode, not to be changed; its adapters are no longer the identity."""
    return make().eval()


def make(**sizes) -> MindBridge:
    torch.manual_seed(0)
    model = MindBridge(VOXELS, **(SIZES | sizes))
    for name, parameter in model.named_parameters():
        if ".up." in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def batch(subject: list[int], seed: int = 0) -> list[torch.Tensor]:
    generator, counts = torch.Generator().manual_seed(seed), list(VOXELS.values())
    return [torch.randn(counts[number], generator=generator) for number in subject]


def parts_with_gradients(model: MindBridge, of: str) -> set[str]:
    modules = getattr(model, of)
    return {
        name
        for name, module in modules.items()
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    }


@given(st.permutations([0, 1, 1, 2, 0, 1, 1]))
def test_a_trial_is_answered_alike_wherever_it_stands(subject):
    model = make().eval()
    brain = batch(subject)
    mixed = model(brain, torch.tensor(subject))
    for place, (trial, number) in enumerate(zip(brain, subject, strict=True)):
        alone = model(trial[None], torch.tensor([number]))
        for field in ("image", "text", "embedding", "aggregated", "reconstruction"):
            torch.testing.assert_close(getattr(mixed, field)[place], getattr(alone, field)[0], atol=1e-5, rtol=1e-5)


def test_shapes_and_padding(shared):
    subject = torch.tensor([2, 0, 1, 0])
    brain = batch(subject.tolist())
    output = shared(brain, subject)
    assert output.image.shape == (4, 6)
    assert output.text.shape == (4, 3, 2)
    assert output.embedding.shape == (4, 12)
    assert output.aggregated.shape == output.reconstruction.shape == (4, 20)
    assert output.cycle is None
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(trial)).bool() for trial in brain], batch_first=True)
    padded = torch.nn.utils.rnn.pad_sequence(brain, batch_first=True, padding_value=99)
    assert torch.equal(shared(padded, subject, mask).image, output.image)


def test_the_cycle_goes_through_the_other_subject(shared):
    subject = torch.tensor([1, 0, 1])
    output = shared(batch(subject.tolist()), subject, cycle_pair=(1, 2))
    assert torch.equal(output.cycle_source, output.embedding[[0, 2]])
    torch.testing.assert_close(output.cycle, shared.embedders["cleo"](shared.builders["cleo"](output.cycle_source)))
    assert shared(batch([0]), torch.tensor([0]), cycle_pair=(1, 2)).cycle is None


@pytest.mark.parametrize("subject", [[0, 2, 2], [1], [0, 1, 2]])
def test_gradients_reach_the_subjects_that_are_there_and_no_other(subject):
    model, ids = make(), torch.tensor(subject)
    output = model(batch(subject), ids, cycle_pair=cycle_pair(ids))
    targets = torch.randn(len(subject), 6), torch.randn(len(subject), 3, 2)
    MindBridgeLoss()(output, *targets)["total"].backward()
    present = {list(VOXELS)[number] for number in subject}
    assert parts_with_gradients(model, "embedders") == present
    assert parts_with_gradients(model, "builders") == present
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.translator.parameters())


@pytest.mark.parametrize(("end", "trained"), [("cycle_source", {"ann"}), ("cycle", {"ann", "bob"})])
def test_no_gradient_of_the_cycle_is_stopped(end, trained):
    model = make()
    output = model(batch([0, 1]), torch.tensor([0, 1]), cycle_pair=(0, 1))
    getattr(output, end).square().sum().backward()
    assert parts_with_gradients(model, "embedders") == trained
    assert parts_with_gradients(model, "builders") == trained - {"ann"}


def test_pairs_of_the_cycle():
    subject = torch.tensor([4, 1, 3, 3, 1])
    assert cycle_pair(subject) == (1, 4)
    assert cycle_pair(torch.tensor([2, 2])) is None
    drawn = [cycle_pair(subject, torch.Generator().manual_seed(seed)) for seed in range(100)]
    assert set(drawn) == {(a, b) for a in (1, 3, 4) for b in (1, 3, 4) if a != b}
    assert drawn == [cycle_pair(subject, torch.Generator().manual_seed(seed)) for seed in range(100)]


def test_a_new_subject_leaves_all_else_as_it_was():
    model = make().eval()
    before = copy.deepcopy(model.state_dict())
    assert model.add_subject("dora", 25) == 3
    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert {name.split(".")[1] for name in after.keys() - before.keys()} == {"dora"}
    assert not any(module.training for module in model.modules())
    assert model(torch.randn(2, 25), torch.tensor([3, 3])).image.shape == (2, 6)


def test_a_reset_subject_is_fresh_and_alone_in_that():
    model = make()
    before = copy.deepcopy(model.state_dict())
    model.reset_subject("bob")
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}
    assert {"embedders.bob.1.weight", "builders.bob.0.weight", "embedders.bob.0.up.weight"} <= changed
    assert all(name.split(".")[1] == "bob" for name in changed)
    assert model.subject_id("bob") == 1


def test_a_frozen_trunk_trains_subjects_only():
    model = make()
    model.freeze_trunk()
    trained = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"embedders", "builders"}
    model.freeze_trunk(False)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_synthesis_is_the_targets_builder_on_the_sources_embedding(shared):
    brain = torch.stack(batch([0, 0, 0]))
    made = shared.synthesise(brain, "ann", "cleo")
    assert made.shape == (3, 20)
    torch.testing.assert_close(made, shared.builders["cleo"](shared(brain, torch.tensor([0, 0, 0])).embedding))
    assert not torch.allclose(made, shared.synthesise(brain, "ann", "bob"))


def test_a_single_subject_without_builders():
    model = MindBridge(["ann"], **SIZES, build_voxels=False).eval()
    output = model(torch.randn(2, 33), torch.tensor([0, 0]))
    assert output.reconstruction is None
    assert not any(name.startswith("builders") for name in model.state_dict())
    with pytest.raises(ValueError, match="no builders"):
        model.synthesise(torch.randn(2, 33), "ann", "ann")


def test_the_configuration_makes_the_same_network_again():
    model = make(aggregation="average", embedder_dropout=0.1)
    model.add_subject("dora")
    again = MindBridge(**model.config)
    again.load_state_dict(model.state_dict())
    subject = torch.tensor([1, 0, 2])
    assert torch.equal(again.eval()(batch([1, 0, 2]), subject).image, model.eval()(batch([1, 0, 2]), subject).image)
    assert again.config == model.config


def test_yaml_builds_it():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(MindBridge, "model")
    text = "model: {subjects: {ann: 30, bob: 41}, in_dim: 8, hidden: 4, image_dim: [5, 2], text_dim: 7, adapter_dim: 2}"
    model = MindBridge(**parser.parse_string(text).model)
    assert model.subjects == {"ann": 30, "bob": 41}
    assert (model.image_dim, model.text_dim) == ((5, 2), (7,))


@pytest.mark.parametrize(
    ("brain", "subject", "message"),
    [
        (torch.zeros(2, 30), [0, 3], r"ids \[3\] are unknown .* 0 ann, 1 bob, 2 cleo"),
        (torch.zeros(1, 30), [-1], r"ids \[-1\] are unknown"),
        (torch.zeros(2, 31), [0, 0], "subject 'ann' has 30 voxels, found 31"),
        ([torch.zeros(30), torch.zeros(40)], [0, 1], "subject 'bob' has 41 voxels, found 40"),
    ],
)
def test_batches_of_other_subjects_are_refused(shared, brain, subject, message):
    with pytest.raises(ValueError, match=message):
        shared(brain, torch.tensor(subject))


def test_other_errors(shared):
    with pytest.raises(ValueError, match=r"unknown subject 'bop'; did you mean 'bob'"):
        shared.synthesise(torch.zeros(1, 30), "ann", "bop")
    with pytest.raises(ValueError, match=r"ids \[9\] are unknown"):
        shared(batch([0]), torch.tensor([0]), cycle_pair=(0, 9))
    with pytest.raises(ValueError, match="'ann' is there already"):
        make().add_subject("ann")
    with pytest.raises(ValueError, match="expected at least 1 voxel, found 0"):
        make().add_subject("dora", 0)
    for name in ("", "sub.01", "keys"):
        with pytest.raises(ValueError, match="cannot be a module's"):
            make().add_subject(name)
    for subjects in ({}, "ann"):
        with pytest.raises(ValueError, match="subjects: expected names"):
            MindBridge(subjects, **SIZES)
    with pytest.raises(ValueError, match="unknown aggregation 'mean'"):
        make(aggregation="mean")
    with pytest.raises(ValueError, match="image_dim: expected a size"):
        make(image_dim=[])
