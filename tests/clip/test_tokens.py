from __future__ import annotations

import pytest
import torch
from PIL import Image

from braindecode_x.clip import ClipEncoder
from braindecode_x.clip.tokens import TokenEncoder, pad_with_end

PICTURES = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
TEXTS = ["a red ball", "sea"]


def test_the_class_token_is_the_pooled_embedding(tiny_clip):
    encoder = ClipEncoder(tiny_clip)
    tokens = TokenEncoder(encoder)
    images = tokens.encode_images(PICTURES)
    assert images.shape == (2, *tokens.space.shape) == (2, 5, 8)
    assert (tokens.space.kind, tokens.space.normalisation) == ("tokens", "first-token")
    torch.testing.assert_close(images[:, 0], encoder.encode_images(PICTURES))


def test_the_token_at_a_texts_end_is_the_pooled_embedding(tiny_clip):
    encoder = ClipEncoder(tiny_clip)
    texts = TokenEncoder(encoder).encode_texts(TEXTS)
    assert texts.shape == (2, 16, 8)
    ends = encoder.tokenizer(TEXTS).argmax(dim=1)
    torch.testing.assert_close(texts[torch.arange(2), ends], encoder.encode_texts(TEXTS))


def test_no_hook_is_left_behind(tiny_clip):
    encoder = ClipEncoder(tiny_clip)
    TokenEncoder(encoder).encode_images(PICTURES)
    TokenEncoder(encoder).encode_texts(TEXTS)
    assert not any(module._forward_hooks for module in encoder.model.modules())


def test_the_end_token_is_repeated():
    ids = torch.tensor([[8, 3, 9, 0, 0], [8, 9, 0, 0, 0], [8, 1, 2, 3, 9]])
    assert pad_with_end(ids).tolist() == [[8, 3, 9, 9, 9], [8, 9, 9, 9, 9], [8, 1, 2, 3, 9]]


def test_a_network_without_a_class_token_is_refused():
    with pytest.raises(ValueError, match=r"vision transformer .* found TimmModel"):
        TokenEncoder(ClipEncoder())
