from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from braindecode_x.datasets import picture_features as module
from braindecode_x.datasets.picture_features import (
    BEND,
    EDGE,
    GRID,
    amplitudes,
    cell_centres,
    gabor,
    orientation_channels,
    picture_features,
    shape_of,
)
from braindecode_x.stimuli import FolderStimuli, ObjectStimuli

ROWS, COLUMNS = np.mgrid[:EDGE, :EDGE]


def grating(wavelength: float, angle: float) -> np.ndarray:
    """Darkness between 0 and 1, its normal counter-clockwise from the horizontal."""
    phase = COLUMNS * np.cos(angle) - ROWS * np.sin(angle)
    return (1 + np.cos(2 * np.pi * phase / wavelength)) / 2


def test_features_have_the_documented_shapes_and_ranges(objects: ObjectStimuli, tmp_path: Path) -> None:
    features = picture_features(objects.subset(ids=["cat-fluent3d", "house_building-noto"]), tmp_path)
    assert {name: values.shape for name, values in features.items()} == {
        "orientation": (2, len(orientation_channels()), GRID**2),
        "curvature": (2, 16, GRID**2),
        "colour": (2, 9, GRID**2),
        "shape": (2, 86),
    }
    for values in features.values():
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
    for name in ("orientation", "curvature"):
        assert 0 <= features[name].min() < features[name].max() < 1


def test_a_picture_is_described_by_itself(objects: ObjectStimuli, tmp_path: Path) -> None:
    together = picture_features(objects.subset(ids=["cat-fluent3d", "scissors-fluent3d"]), tmp_path)
    alone = picture_features(objects.subset(ids=["scissors-fluent3d"]), tmp_path)
    for name in alone:
        np.testing.assert_allclose(together[name][1:], alone[name], atol=1e-3)


@pytest.mark.parametrize("channel", range(0, 18, 5))
def test_a_grating_drives_the_channel_of_its_frequency_and_angle_most(channel: int) -> None:
    frequency, angle = orientation_channels()[channel]
    wavelength = EDGE / module.FIELD / frequency
    filters = [gabor(w, a) for w in module.WAVELENGTHS for a in module.ORIENTATIONS]
    maps = amplitudes(grating(wavelength, angle)[None], filters)[0]
    assert maps[:, GRID * GRID // 2 + GRID // 2].argmax() == channel


def test_a_filter_answers_whatever_the_phase_and_not_to_a_plain_field() -> None:
    wave = np.cos(2 * np.pi * COLUMNS / 8), np.sin(2 * np.pi * COLUMNS / 8)
    maps = amplitudes(np.stack([(1 + w) / 2 for w in wave]), [gabor(8, 0)])[:, 0].reshape(2, GRID, GRID)
    inside = maps[:, 6:10, 6:10]
    np.testing.assert_allclose(inside, 0.5 / 0.6, rtol=0.02)  # amplitude 0.5, semisaturation 0.1
    plain = amplitudes(np.ones((1, EDGE, EDGE)), [gabor(8, 0)]).reshape(GRID, GRID)
    assert plain[6:10, 6:10].max() < 1e-3


def test_a_bent_filter_prefers_an_arc_to_the_line_and_to_the_opposite_arc() -> None:
    kernel = gabor(8, 0, BEND)
    along = np.fft.fftfreq(len(kernel), 1 / len(kernel))
    x, y = np.meshgrid(along, -along)
    lines = [np.exp(-((x + sign * BEND / 8 * y**2) ** 2) / 8 - (y**2) / 128) for sign in (1, 0, -1)]
    arc, line, opposite = (abs(np.vdot(kernel, drawn)) for drawn in lines)
    assert arc > 1.3 * line > 1.3 * opposite


def test_maps_lie_where_the_picture_does(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 64), "white")
    image.paste((220, 0, 0), (40, 8, 56, 16))  # upper right
    image.save(tmp_path / "red.png")
    colour = picture_features(FolderStimuli(tmp_path), tmp_path / "cache")["colour"][0]
    x, y = cell_centres()[colour[-1] > 0.2].T
    assert (x.min(), x.max()) == pytest.approx((40 / 6.4 - 5 + 0.3125, 56 / 6.4 - 5 - 0.3125))
    assert (y.min(), y.max()) == pytest.approx((5 - 16 / 6.4 + 0.3125, 5 - 8 / 6.4 - 0.3125))
    hue = colour[:-1].sum(axis=1).argmax()
    assert module.HUES[hue] == pytest.approx(np.pi / 4)  # red: +a*, +b*


@given(down=st.integers(0, 20), right=st.integers(0, 20), seed=st.integers(0, 99))
def test_shape_does_not_depend_on_place(down: int, right: int, seed: int) -> None:
    blob = np.random.default_rng(seed).random((20, 16)) < 0.7
    figures = np.zeros((2, EDGE, EDGE), dtype=bool)
    figures[0, 10:30, 12:28] = blob
    figures[1, down : down + 20, right : right + 16] = blob
    np.testing.assert_allclose(shape_of(figures[0]), shape_of(figures[1]), atol=1e-5)


def test_shape_tells_figures_apart_and_stands_any_figure() -> None:
    bar = np.zeros((EDGE, EDGE), dtype=bool)
    bar[30:34, 10:50] = True
    log_size, elongation, diagonal, _, left_right, top_bottom = shape_of(bar)[-6:]
    assert elongation > 0.9
    assert shape_of(bar.T)[-5] < -0.9
    assert abs(diagonal) + left_right + top_bottom < 1e-6
    assert shape_of(bar[:, :30])[-6] < log_size
    point = np.zeros((EDGE, EDGE), dtype=bool)
    assert not shape_of(point).any()
    point[3, 60] = True
    assert np.isfinite(shape_of(point)).all()


def test_features_are_kept_by_content(objects: ObjectStimuli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = objects.subset(ids=["cat-fluent3d"])
    first = picture_features(pictures, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_describe", None)  # a second computation would fail
        again = picture_features(pictures, tmp_path)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    picture_features(objects.subset(ids=["dog-fluent3d"]), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setitem(module.PARAMETERS, "version", module.VERSION + 1)
    picture_features(pictures, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_truncated_cache_file_is_computed_anew(
    objects: ObjectStimuli, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = objects.subset(ids=["cat-fluent3d"])
    first = picture_features(pictures, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        again = picture_features(pictures, tmp_path)
    assert file.name in caplog.text
    np.testing.assert_array_equal(first["shape"], again["shape"])
    assert file.stat().st_size > 1000
