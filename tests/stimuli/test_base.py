from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from braindecode_x.stimuli import Stimuli
from braindecode_x.stimuli.base import on_white, to_image, to_pixels


class Words(Stimuli):
    def read(self, stimulus: str) -> bytes:
        return stimulus.encode()


def words(ids):
    return Words("words", pd.DataFrame({"caption": "", "split": ["train", "test"] * 2}, index=pd.Index(ids, name="id")))


def test_duplicate_ids_are_named():
    with pytest.raises(ValueError, match=r"'words': ids must be unique; found several times: \['b'\]"):
        words(["a", "b", "b", "c"])


def test_subset_keeps_the_given_order_and_leaves_the_whole_alone():
    whole = words(["a", "b", "c", "d"])
    part = whole.subset(ids=["d", "a"])
    assert (part.ids, len(whole), part.read("d")) == (["d", "a"], 4, b"d")


def test_subset_by_columns():
    assert words(["a", "b", "c", "d"]).subset(ids=["d", "c", "b"], split="test").ids == ["d", "b"]
    assert words(["a", "b", "c", "d"]).subset(split=["train", "test"]).ids == ["a", "b", "c", "d"]


def test_subset_by_what_is_not_there():
    with pytest.raises(KeyError, match=r"'words' has no \['z'\]"):
        words(["a", "b", "c", "d"]).subset(ids=["a", "z"])
    with pytest.raises(KeyError, match=r"no column 'spilt'; it has \['caption', 'split'\]"):
        words(["a", "b", "c", "d"]).subset(spilt="test")


rgba = hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(4)))


@given(rgba)
def test_transparency_shows_white(pixels):
    composed = np.asarray(on_white(Image.fromarray(pixels)), float)
    alpha = pixels[..., 3:] / 255
    np.testing.assert_allclose(composed, pixels[..., :3] * alpha + 255 * (1 - alpha), atol=1.5)


square = st.integers(1, 9).flatmap(lambda edge: hnp.arrays(np.uint8, (3, edge, edge)))


@given(square)
def test_pictures_and_tensors_are_inverse(pixels):
    pixels = torch.from_numpy(pixels)
    for given_as in (pixels, pixels / 255):
        assert torch.equal(to_pixels(to_image(given_as), pixels.shape[-1]), pixels)


def test_floats_beyond_the_range_are_clipped():
    assert to_image(torch.tensor([-0.5, 0.5, 1.5]).view(3, 1, 1)).getpixel((0, 0)) == (0, 128, 255)
