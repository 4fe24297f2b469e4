from __future__ import annotations

import pytest
import torch

from braindecode_x.losses import AtmLoss, MindBridgeLoss, contrast, soft_clip_loss, unit_mse
from braindecode_x.models.base import DecoderOutput
from braindecode_x.models.mindbridge_parts import MindBridgeOutput


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def output(**changed: torch.Tensor | None) -> MindBridgeOutput:
    fields = {
        "image": draw(5, 8, seed=1),
        "text": draw(5, 3, 4, seed=2),
        "embedding": draw(5, 6, seed=3),
        "aggregated": draw(5, 9, seed=4),
        "reconstruction": draw(5, 9, seed=5),
        "cycle_source": draw(2, 6, seed=6),
        "cycle": draw(2, 6, seed=7),
    }
    return MindBridgeOutput(**(fields | changed))


def test_soft_contrast_written_out():
    predicted, target, temperature = draw(4, 3, seed=1), draw(4, 3, seed=2), 0.3
    p = predicted / predicted.norm(dim=1, keepdim=True)
    t = target / target.norm(dim=1, keepdim=True)
    loss = 0.0
    for i in range(4):
        wanted = torch.softmax(torch.stack([t[i] @ t[j] for j in range(4)]) / temperature, 0)
        forward = torch.stack([p[i] @ t[j] for j in range(4)]) / temperature
        backward = torch.stack([t[i] @ p[j] for j in range(4)]) / temperature
        loss -= float((wanted * (forward.log_softmax(0) + backward.log_softmax(0))).sum()) / 8
    assert soft_clip_loss(predicted, target, temperature).item() == pytest.approx(loss, rel=1e-5)


def test_soft_contrast_is_least_at_the_targets_whatever_the_scale():
    target = draw(6, 2, 5)
    best = soft_clip_loss(7 * target, target, 0.1)
    torch.testing.assert_close(best, soft_clip_loss(target, 3 * target, 0.1))
    assert all(soft_clip_loss(target + 0.3 * draw(6, 2, 5, seed=s), target, 0.1) > best for s in range(1, 6))


def test_soft_contrast_keeps_its_precision_under_autocast():
    predicted, target = draw(16, 64, seed=1), draw(16, 64, seed=2)
    exact = soft_clip_loss(predicted, target)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(soft_clip_loss(predicted, target), exact)


def test_mse_of_unit_vectors_tells_the_cosine():
    predicted, target = draw(5, 3, 4, seed=1), draw(5, 3, 4, seed=2)
    cosine = torch.cosine_similarity(predicted.flatten(1), target.flatten(1)).mean()
    torch.testing.assert_close(unit_mse(predicted, target), 2 * (1 - cosine) / 12)


def test_the_total_is_the_weighted_sum_of_the_terms():
    weights = {"clip_image": 2, "mse_image": 30, "clip_text": 4, "mse_text": 50, "reconstruction": 6, "cycle": 7}
    terms = MindBridgeLoss(**weights)(output(), draw(5, 8), draw(5, 3, 4))
    assert terms["total"].item() == pytest.approx(sum(w * terms[name].item() for name, w in weights.items()), rel=1e-5)
    assert terms["reconstruction"].item() == pytest.approx((draw(5, 9, seed=4) - draw(5, 9, seed=5)).square().mean())
    assert terms["cycle"].item() == pytest.approx((draw(2, 6, seed=6) - draw(2, 6, seed=7)).square().mean())


def test_terms_that_the_output_does_not_allow_are_left_out():
    terms = MindBridgeLoss()(output(reconstruction=None, cycle=None, cycle_source=None), draw(5, 8), draw(5, 3, 4))
    assert set(terms) == {"clip_image", "mse_image", "clip_text", "mse_text", "total"}


def test_targets_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"text: predictions \(5, 3, 4\) for targets \(5, 12\)"):
        MindBridgeLoss()(output(), draw(5, 8), draw(5, 12))
    with pytest.raises(ValueError, match=r"predictions \(5, 8\) for targets \(1, 8\)"):
        unit_mse(draw(5, 8), draw(1, 8))


def test_senseless_weights_are_refused():
    with pytest.raises(ValueError, match="weight of cycle: expected at least 0, found -1"):
        MindBridgeLoss(cycle=-1)
    with pytest.raises(ValueError, match="temperature: expected a number above 0, found 0"):
        MindBridgeLoss(temperature=0)


def test_contrast_written_out():
    predicted, target, scale = draw(4, 3, seed=1), draw(4, 3, seed=2), torch.tensor(1.7)
    logits = scale * predicted @ target.T
    rows = [-logits[k].log_softmax(0)[k] for k in range(4)]
    columns = [-logits[:, k].log_softmax(0)[k] for k in range(4)]
    torch.testing.assert_close(contrast(predicted, target, scale), torch.stack(rows + columns).mean())


def test_our_loss_does_not_see_the_norm_of_embeddings_and_the_published_one_does():
    image, target = draw(5, 8, seed=1), draw(5, 8, seed=2)
    for published in (False, True):
        loss = AtmLoss("reconstruction", published_loss=published)
        one, other = (loss(DecoderOutput(each, None), target, None)["total"] for each in (image, 3 * image))
        assert torch.allclose(one, other) != published


def test_the_scale_of_the_contrast_is_learned_and_bounded():
    image, target = draw(5, 8, seed=1), draw(5, 8, seed=2)
    loss = AtmLoss({"clip_image": 1.0})
    assert loss.logit_scale.exp().item() == pytest.approx(1 / 0.07)
    terms = loss(DecoderOutput(image, None), target, None)
    units = [torch.nn.functional.normalize(each, dim=1) for each in (image, target)]
    torch.testing.assert_close(terms["total"], contrast(*units, torch.tensor(1 / 0.07)))
    terms["total"].backward()
    assert loss.logit_scale.grad.abs() > 0
    loss.logit_scale.data.fill_(50.0)
    expected = contrast(*units, torch.tensor(100.0))
    torch.testing.assert_close(loss(DecoderOutput(image, None), target, None)["total"], expected)


def test_a_text_head_takes_the_contrast_with_texts():
    image, text, target = draw(5, 8, seed=1), draw(5, 8, seed=2), draw(5, 8, seed=3)
    loss = AtmLoss({"clip_text": 1.0})
    for output, used in ((DecoderOutput(image, text), text), (DecoderOutput(image, None), image)):
        units = [torch.nn.functional.normalize(each, dim=1) for each in (used, target)]
        found = loss(output, draw(5, 8), target)["clip_text"]
        torch.testing.assert_close(found, contrast(*units, torch.tensor(1 / 0.07)))


def test_the_mean_squared_error_of_ours_is_the_squared_distance_of_unit_vectors():
    image, target = draw(5, 8, seed=1), draw(5, 8, seed=2)
    found = AtmLoss("reconstruction")(DecoderOutput(image, None), target, None)["mse_image"]
    torch.testing.assert_close(found, 2 * (1 - torch.cosine_similarity(image, target).mean()))


def test_senseless_mixes_are_refused():
    with pytest.raises(ValueError, match="unknown mix of losses 'retrival'; did you mean 'retrieval'"):
        AtmLoss("retrival")
    with pytest.raises(ValueError, match="unknown term of the loss 'clip_images'; did you mean 'clip_image'"):
        AtmLoss({"clip_images": 1.0})
    with pytest.raises(ValueError, match="weight of mse_image: expected at least 0, found -1"):
        AtmLoss({"mse_image": -1.0})
    with pytest.raises(ValueError, match="no term is left"):
        AtmLoss({"clip_text": 1.0})(DecoderOutput(draw(5, 8), None), draw(5, 8), None)
