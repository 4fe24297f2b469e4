from __future__ import annotations

import pandas as pd
import pytest
import torch
from transformers import BertTokenizerFast, CLIPImageProcessor, GitConfig, GitForCausalLM

from braindecode_x.clip import ClipEncoder
from braindecode_x.diffusion.captions import GitCaptioner, nearest_captions, with_captions
from braindecode_x.embeddings import Embeddings

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "cat", "red", "blue"]
CAPTIONS = ["a red dog", "a blue cat", "a train in the rain", "bread", "a blue cat"]


@pytest.fixture
def encoder(tiny_clip) -> ClipEncoder:
    return ClipEncoder(tiny_clip)


def decoded(encoder: ClipEncoder, image: torch.Tensor, text: torch.Tensor | None = None) -> Embeddings:
    names = [f"s_{row}" for row in range(len(image))]
    return Embeddings(pd.DataFrame({"id": names, "stimulus": names}), encoder.space, image, text)


def test_a_caption_is_found_by_its_own_embedding(encoder):
    wanted = ["bread", "a blue cat", "a red dog", "a train in the rain"]
    vectors = encoder.encode_texts(wanted)
    for text in (None, vectors):
        given = decoded(encoder, vectors if text is None else torch.randn_like(vectors), text)
        assert nearest_captions(given, CAPTIONS, encoder) == wanted


def test_what_all_embeddings_share_does_not_matter(encoder):
    wanted = ["bread", "a blue cat", "a red dog", "a train in the rain"]
    shift = 3 * torch.nn.functional.normalize(torch.ones(1, 8), dim=1)
    given = decoded(encoder, encoder.encode_texts(wanted) + shift)
    assert nearest_captions(given, CAPTIONS, encoder) == wanted


def test_captions_become_text_conditions(encoder):
    given = decoded(encoder, torch.nn.functional.normalize(torch.randn(2, 8), dim=1))
    found = with_captions(given, ["bread", "a red dog"], encoder)
    assert found.index["caption"].tolist() == ["bread", "a red dog"]
    assert torch.equal(found.text, encoder.encode_texts(["bread", "a red dog"]))
    assert torch.equal(found.conditions().text, found.text)
    with pytest.raises(ValueError, match="captions: expected 2, one an embedding, found 1"):
        with_captions(given, ["bread"], encoder)


def test_bad_input_is_refused(encoder):
    given = decoded(encoder, torch.randn(2, 8))
    with pytest.raises(ValueError, match="captions: expected some to choose from, found none"):
        nearest_captions(given, ["", ""], encoder)
    with pytest.raises(ValueError, match="embeddings of another space"):
        nearest_captions(given, CAPTIONS, ClipEncoder())


@pytest.fixture
def git(tmp_path):
    """Write the folder of a tiny random GIT model."""
    torch.manual_seed(0)
    vision = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = GitConfig(
        vision_config=vision | {"image_size": 16, "patch_size": 8},
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=40, pad_token_id=0, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    GitForCausalLM(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    size = {"height": 16, "width": 16}
    CLIPImageProcessor(size=size, crop_size=size).save_pretrained(tmp_path)
    return tmp_path


def test_git_captions_each_picture_for_itself(git):
    captioner = GitCaptioner.from_pretrained(git)
    pictures = torch.rand(3, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    captions = captioner(pictures, max_length=4)
    assert len(captions) == 3
    assert all(set(caption.split()) <= set(WORDS) for caption in captions)
    assert captions == [caption for k in range(3) for caption in captioner(pictures[k : k + 1], max_length=4)]


def test_a_model_that_is_not_whole_is_refused(git):
    (git / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no whole GIT model"):
        GitCaptioner.from_pretrained(git)
    with pytest.raises(FileNotFoundError, match="nowhere: no whole GIT model"):
        GitCaptioner.from_pretrained("nowhere")
