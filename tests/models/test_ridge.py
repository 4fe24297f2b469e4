from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from braindecode_x.clip.spaces import EmbeddingSpace
from braindecode_x.models.ridge import RidgeDecoder, prediction_weights


def problem(
    n: int = 120, voxels: int = 40, dims: int = 6, noise: float = 3.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Brain (n, voxels) that mixes embeddings (n, dims) under noise, and runs (n,)."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(2, 1, (n, dims))
    brain = 5 + embeddings @ rng.normal(0, 1, (dims, voxels)) + noise * rng.normal(0, 1, (n, voxels))
    return brain, embeddings, np.repeat(np.arange(6), n // 6)


@pytest.mark.parametrize("voxels", [20, 300])
def test_the_solution_is_that_of_ridge_for_tall_and_wide_data(voxels: int) -> None:
    brain, embeddings, runs = problem(voxels=voxels)
    decoder = RidgeDecoder(alphas=[0.3]).fit(brain, embeddings, runs)
    scale = np.square(brain - brain.mean(axis=0)).sum(axis=1).mean()
    reference = Ridge(alpha=0.3 * scale).fit(brain, embeddings)
    new = problem(voxels=voxels, seed=1)[0]
    np.testing.assert_allclose(decoder.predict(new), reference.predict(new), atol=2e-3)


def test_strength_grows_with_noise_and_does_not_depend_on_units() -> None:
    alphas = []
    for noise in (0.1, 30.0):
        brain, embeddings, runs = problem(noise=noise)
        alphas.append(RidgeDecoder().fit(brain, embeddings, runs).alpha)
        assert RidgeDecoder().fit(brain * 1e-5, embeddings, runs).alpha == alphas[-1]
    assert alphas[0] < alphas[1]


def test_folds_do_not_divide_groups() -> None:
    """Samples that repeat within a group look predictable unless the whole group is held out."""
    rng = np.random.default_rng(0)
    groups = np.arange(400) % 80
    brain = rng.normal(0, 1, (80, 60))[groups] + 0.01 * rng.normal(0, 1, (400, 60))
    embeddings = rng.normal(0, 1, (80, 4))[groups]
    grouped, leaking = RidgeDecoder().fit(brain, embeddings, groups), RidgeDecoder().fit(brain, embeddings)
    assert grouped.alpha > 10 * leaking.alpha


def test_rescaling_gives_back_the_training_statistics_on_new_data() -> None:
    brain, embeddings, runs = problem(n=600, noise=8)
    decoder = RidgeDecoder().fit(brain[:480], embeddings[:480], runs[:480])
    plain, rescaled = decoder.predict(brain[480:]), decoder.predict(brain[480:], rescale=True)
    assert np.all(plain.std(axis=0) < 0.8 * embeddings.std(axis=0))
    np.testing.assert_allclose(rescaled.std(axis=0), embeddings[:480].std(axis=0), rtol=0.25)
    np.testing.assert_allclose(rescaled.mean(axis=0), embeddings[:480].mean(axis=0), atol=0.3)


def test_rescaling_does_not_look_at_the_batch() -> None:
    brain, embeddings, runs = problem()
    decoder = RidgeDecoder().fit(brain, embeddings, runs)
    together = decoder.predict(brain[:10], rescale=True)
    np.testing.assert_allclose(decoder.predict(brain[:1], rescale=True), together[:1], atol=1e-4)


@pytest.mark.parametrize("voxels", [20, 300])
def test_prediction_weights_times_targets_are_the_predictions(voxels: int) -> None:
    brain, embeddings, runs = problem(voxels=voxels)
    decoder = RidgeDecoder().fit(brain[:100], embeddings[:100], runs[:100])
    weights = prediction_weights(brain[:100], brain[100:], decoder.alpha)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(weights @ embeddings[:100], decoder.predict(brain[100:]), atol=1e-3)


def test_constant_voxels_and_dimensions_do_no_harm() -> None:
    brain, embeddings, runs = problem()
    brain[:, 3], embeddings[:, 2] = 7.0, 4.0
    decoder = RidgeDecoder().fit(brain, embeddings, runs)
    for rescale in (False, True):
        predicted = decoder.predict(brain, rescale=rescale)
        assert np.isfinite(predicted).all()
        np.testing.assert_allclose(predicted[:, 2], 4.0, atol=1e-3)


def test_saving_and_loading_changes_nothing(tmp_path: Path) -> None:
    brain, embeddings, runs = problem()
    space = EmbeddingSpace("tiny", "test", "pooled", (6,), "none")
    decoder = RidgeDecoder(n_folds=3, space=space).fit(brain, embeddings, runs)
    decoder.save_pretrained(tmp_path / "ridge")
    loaded = RidgeDecoder.from_pretrained(tmp_path / "ridge")
    assert (loaded.alpha, loaded.n_folds, loaded.alphas, loaded.space) == (decoder.alpha, 3, decoder.alphas, space)
    for rescale in (False, True):
        np.testing.assert_array_equal(loaded.predict(brain, rescale), decoder.predict(brain, rescale))


def test_a_folder_with_exchanged_or_missing_weights_is_refused(tmp_path: Path) -> None:
    for name, noise in (("one", 1.0), ("other", 2.0)):
        RidgeDecoder().fit(*problem(noise=noise)).save_pretrained(tmp_path / name)
    weights = tmp_path / "one" / "ridge.safetensors"
    (tmp_path / "other" / "ridge.safetensors").replace(weights)
    with pytest.raises(ValueError, match=r"ridge\.safetensors: hash"):
        RidgeDecoder.from_pretrained(tmp_path / "one")
    with pytest.raises(FileNotFoundError, match=r"ridge\.safetensors"):
        RidgeDecoder.from_pretrained(tmp_path / "other")


def test_the_folder_of_another_model_is_refused(tmp_path: Path) -> None:
    RidgeDecoder().fit(*problem()).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model": "MindBridge"}))
    with pytest.raises(ValueError, match="model is 'MindBridge'; expected 'RidgeDecoder'"):
        RidgeDecoder.from_pretrained(tmp_path)


def test_wrong_input_is_refused(tmp_path: Path) -> None:
    brain, embeddings, runs = problem()
    with pytest.raises(ValueError, match=r"expected one a brain pattern \(120\), found 119"):
        RidgeDecoder().fit(brain, embeddings[1:], runs)
    with pytest.raises(ValueError, match="needs at least 2, found 1"):
        RidgeDecoder().fit(brain, embeddings, np.zeros(120))
    with pytest.raises(ValueError, match="brain: 1 values are not finite"):
        RidgeDecoder().fit(np.where(np.arange(40) + np.arange(120)[:, None] == 0, np.nan, brain), embeddings, runs)
    with pytest.raises(ValueError, match=r"tiny \(test\), pooled 7"):
        RidgeDecoder(space=EmbeddingSpace("tiny", "test", "pooled", (7,), "none")).fit(brain, embeddings, runs)
    with pytest.raises(ValueError, match=r"expected \(n, 40\), found \(120, 39\)"):
        RidgeDecoder().fit(brain, embeddings, runs).predict(brain[:, 1:])
    with pytest.raises(RuntimeError, match="no weights"):
        RidgeDecoder().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="alphas"):
        RidgeDecoder(alphas=[0.0, 1.0])
