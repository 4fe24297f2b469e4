from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

from braindecode_x.clip.tokens import image_tokens, text_tokens
from braindecode_x.losses import MindBridgeLoss
from braindecode_x.models.mindbridge import cycle_pair
from braindecode_x.models.voxels import aggregate_voxels
from braindecode_x.published import load_published_clip, load_published_mindbridge

TOLERANCE = 1e-4


def answer(case):
    """Two trials a subject, in the order of the subjects."""
    model = load_published_mindbridge(case.parameters())
    names = [str(number) for number in case.arrays["subjects"]]
    subject = torch.tensor([model.subject_id(name) for name in names for _ in range(2)])
    return model(case.tensor("voxels"), subject, cycle_pair=cycle_pair(subject))


@torch.inference_mode()
def test_many_subjects(parity_case):
    case = parity_case("mindbridge")
    output = answer(case)
    assert case.error("image", output.image) < TOLERANCE
    assert case.error("text", output.text) < TOLERANCE
    assert case.error("voxels_rec", output.reconstruction) < TOLERANCE
    assert case.error("loss_cycle", torch.nn.functional.mse_loss(output.cycle, output.cycle_source)) < TOLERANCE


@torch.inference_mode()
def test_single_subject(parity_case):
    case = parity_case("mindbridge")
    theirs = {
        name: tensor
        for name, tensor in case.parameters().items()
        if name.startswith(("embedder.5.", "translator.", "head_"))
    }
    output = load_published_mindbridge(theirs)(case.tensor("voxels")[:3], torch.zeros(3, dtype=torch.long))
    assert case.error("single_image", output.image) < TOLERANCE
    assert case.error("single_text", output.text) < TOLERANCE


@torch.inference_mode()
def test_losses(parity_case):
    case = parity_case("mindbridge_losses")
    terms = MindBridgeLoss()(answer(parity_case("mindbridge")), case.tensor("target_image"), case.tensor("target_text"))
    published = {
        "clip_image": "loss_clip_image",
        "mse_image": "loss_mse_image",
        "clip_text": "loss_clip_text",
        "mse_text": "loss_mse_text",
        "reconstruction": "loss_rec",
        "cycle": "loss_cyc",
        "total": "total",
    }
    assert terms.keys() == published.keys()
    for ours, theirs in published.items():
        assert case.error(theirs, terms[ours]) < TOLERANCE, ours


@pytest.mark.parametrize(("how", "published"), [("max", "max"), ("average", "avg"), ("resize", "resize")])
def test_aggregation(parity_case, how, published):
    case = parity_case("pool_voxels")
    assert case.error(published, aggregate_voxels(case.tensor("voxels"), case.config["pool_num"], how)) < TOLERANCE


@torch.inference_mode()
def test_clip_tokens(parity_case):
    case = parity_case("clip_tokens")
    heads = {tower: case.config[tower]["num_attention_heads"] for tower in ("vision", "text")}
    model = load_published_clip(case.parameters("vision:") | case.parameters("text:"), heads["vision"], heads["text"])
    rng = np.random.default_rng([case.seed, zlib.crc32(b"input:image")])
    image = torch.from_numpy(rng.random((2, 3, 224, 224)).astype(np.float32))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    assert case.error("image_tokens", image_tokens(model, (image - mean) / std)) < TOLERANCE
    assert case.error("text_tokens", text_tokens(model, case.tensor("input_ids"))) < TOLERANCE
