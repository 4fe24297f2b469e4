from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from braindecode_x.clip import EmbeddingSpace

SPACE = EmbeddingSpace("ViT-L-14", "openai", "pooled", (768,), "unit")


def test_a_space_survives_its_json_form():
    tokens = EmbeddingSpace("ViT-L-14", "openai", "tokens", (257, 768), "first-token")
    assert EmbeddingSpace.from_dict(tokens.to_dict()) == tokens
    assert hash(EmbeddingSpace.from_dict(tokens.to_dict())) == hash(tokens)


@pytest.mark.parametrize(
    "change",
    [{"model": "ViT-H-14"}, {"weights": "laion2b"}, {"kind": "tokens"}, {"shape": (1024,)}, {"normalisation": "none"}],
)
def test_any_difference_makes_another_space_and_the_error_names_both(change):
    other = replace(SPACE, **change)
    assert other.key != SPACE.key
    with pytest.raises(ValueError, match="another space") as error:
        SPACE.require(other, "the decoder")
    assert str(SPACE) in str(error.value)
    assert str(other) in str(error.value)


def test_the_same_space_is_accepted():
    SPACE.require(replace(SPACE), "the decoder")


def test_missing_fields_are_named():
    values = SPACE.to_dict()
    del values["weights"]
    with pytest.raises(ValueError, match="weights"):
        EmbeddingSpace.from_dict(values)


def test_predictions_are_scaled_as_the_space_says():
    tokens = replace(SPACE, kind="tokens", shape=(3, 4), normalisation="first-token")
    predicted = torch.randn(2, 3, 4)
    first = tokens.normalised(7 * predicted)
    torch.testing.assert_close(first, predicted / predicted[:, :1].norm(dim=-1, keepdim=True))
    assert torch.equal(replace(tokens, normalisation="end-token").normalised(predicted), predicted)
    torch.testing.assert_close(SPACE.normalised(torch.full((1, 768), 5.0)).norm(dim=-1), torch.ones(1))
