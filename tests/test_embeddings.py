from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.embeddings import Embeddings

SPACE = EmbeddingSpace("tiny", "none", "pooled", (4,), "unit")


def make(n: int = 3, **columns) -> Embeddings:
    index = pd.DataFrame({"id": [f"{k:02}" for k in range(n)], "stimulus": [f"s{k}" for k in range(n)], **columns})
    return Embeddings(index, SPACE, torch.arange(4.0 * n).view(n, 4), torch.ones(n, 4))


def test_a_file_gives_back_what_was_saved(tmp_path):
    saved = make(run=[1, 2, 3])
    saved.save(tmp_path / "e.safetensors")
    loaded = Embeddings.load(tmp_path / "e.safetensors")
    assert loaded.space == SPACE
    assert torch.equal(loaded.image, saved.image)
    assert torch.equal(loaded.text, saved.text)
    pd.testing.assert_frame_equal(loaded.index, saved.index)
    assert loaded.ids == ["00", "01", "02"]  # ids that look like numbers stay text


def test_names_that_look_like_missing_values_stay_names(tmp_path):
    index = pd.DataFrame({"id": ["NA", "null"], "stimulus": ["nan", "a"]})
    Embeddings(index, SPACE, torch.zeros(2, 4)).save(tmp_path / "e.safetensors")
    assert Embeddings.load(tmp_path / "e.safetensors").ids == ["NA", "null"]


def test_an_index_without_ids_is_refused():
    with pytest.raises(ValueError, match="missing the columns"):
        Embeddings(pd.DataFrame({"stimulus": ["a"]}), SPACE, torch.zeros(1, 4))


def test_repeated_ids_are_refused():
    with pytest.raises(ValueError, match="ids repeat"):
        Embeddings(pd.DataFrame({"id": ["a", "a"], "stimulus": ["a", "b"]}), SPACE, torch.zeros(2, 4))


def test_rows_must_match():
    with pytest.raises(ValueError, match="1 rows for 2 embeddings"):
        Embeddings(pd.DataFrame({"id": ["a"], "stimulus": ["a"]}), SPACE, torch.zeros(2, 4))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file of embeddings"):
        Embeddings.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        Embeddings.load(tmp_path / "text.safetensors")
    save_file({"image": torch.zeros(1, 4)}, tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match="not a file of embeddings"):
        Embeddings.load(tmp_path / "plain.safetensors")


def test_tokens_of_texts_have_a_space_of_their_own(tmp_path):
    image_space = replace(SPACE, kind="tokens", shape=(3, 4), normalisation="first-token")
    text_space = replace(image_space, shape=(5, 4), normalisation="end-token")
    index, image, text = make().index, torch.randn(3, 3, 4), torch.randn(3, 5, 4)
    Embeddings(index, image_space, image, text, text_space).save(tmp_path / "e.safetensors")
    loaded = Embeddings.load(tmp_path / "e.safetensors")
    assert (loaded.space, loaded.text_space) == (image_space, text_space)
    assert torch.equal(loaded.text, text)
    assert loaded.conditions().text is None
    with pytest.raises(ValueError, match=r"expected \(n, 5, 4\), found \(3, 3, 4\)"):
        Embeddings(index, image_space, image, image, text_space)
    with pytest.raises(ValueError, match="2 rows for 3 embeddings"):
        Embeddings(index, image_space, image, text[:2], text_space)
