from __future__ import annotations

import pytest
import torch

from braindecode_x.clip import ClipEncoder
from braindecode_x.models.prompt_learner import PromptLearner, encode_with_context, token_table

CAPTIONS = ["a red ball", "a dog"]


def test_words_as_context_give_the_embedding_of_these_words(tiny_clip):
    """The context stands where words would: the embeddings of a caption's first words, put as context, are words."""
    encoder = ClipEncoder(tiny_clip)
    start = encoder.tokenizer(["red"])[0]
    n_words = int(start.argmax()) - 1
    with torch.inference_mode():
        context = token_table(encoder).weight[start[1 : 1 + n_words]].expand(2, -1, -1)
        found = encode_with_context(encoder, ["ball", "dog"], context)
        torch.testing.assert_close(found, encoder.encode_texts(["red ball", "red dog"]))


def test_gradients_reach_the_context_and_nothing_of_the_text_tower(tiny_clip):
    encoder = ClipEncoder(tiny_clip)
    encoder.model.requires_grad_(False)
    (d,), width = encoder.space.shape, token_table(encoder).embedding_dim
    torch.manual_seed(0)
    prompts = PromptLearner(d, width, n_context=3)
    decoded, image = torch.randn(2, d), torch.randn(2, d)
    assert torch.equal(*prompts(decoded, image))  # alike for all to begin with
    text = encode_with_context(encoder, CAPTIONS, prompts(decoded, image))
    (text * image).sum().backward()
    assert prompts.context.grad.abs().sum() > 0
    assert prompts.shift[2].weight.grad.abs().sum() > 0
    torch.nn.init.normal_(prompts.shift[2].weight)
    assert not torch.equal(*prompts(decoded, image))
    # the hook is gone
    torch.testing.assert_close(encoder.encode_texts(CAPTIONS), ClipEncoder(tiny_clip).encode_texts(CAPTIONS))


def test_context_that_leaves_no_room_is_refused(tiny_clip):
    encoder = ClipEncoder(tiny_clip)
    length, width = encoder.model.context_length, token_table(encoder).embedding_dim
    with pytest.raises(ValueError, match=f"n_context: expected at most {length - 3} in texts of {length} words"):
        encode_with_context(encoder, CAPTIONS, torch.zeros(2, length, width))
    with pytest.raises(ValueError, match="n_context: expected at least 1"):
        PromptLearner(4, 4, 0)
