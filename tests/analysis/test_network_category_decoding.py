from __future__ import annotations

import numpy as np
import pytest
import torch

from braindecode_x.analysis.category_decoding import decode_through_embeddings
from braindecode_x.analysis.category_scores import CategoryDecoding, paired_difference
from braindecode_x.analysis.network_category_decoding import NetworkSettings, decode_with_mindbridge
from braindecode_x.preprocessing.fmri import Samples

CATEGORIES, N_RUNS, N_VOXELS, VOLUMES = ("cat", "face", "house", "shoe"), 4, 30, 3
SMALL = NetworkSettings(hidden=64, adapter_dim=4, batch_size=6, epochs=30)


@pytest.fixture(scope="module")
def volumes() -> Samples:
    """Three noisy volumes a block, one block a category and run, around a pattern of the category."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(len(CATEGORIES), N_VOXELS))
    codes = np.concatenate([rng.permutation(len(CATEGORIES)) for _ in range(N_RUNS)]).repeat(VOLUMES)
    runs = np.repeat(np.arange(N_RUNS), len(CATEGORIES) * VOLUMES)
    brain = 5 + 3 * (patterns[codes] + rng.normal(size=(len(codes), N_VOXELS)))
    return Samples(brain.astype(np.float32), np.array(CATEGORIES)[codes], runs, np.arange(len(codes)) // VOLUMES)


@pytest.fixture(scope="module")
def prototypes() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shared = rng.normal(size=16)
    return {name: shared + rng.normal(size=16) for name in CATEGORIES}


def decode(volumes: Samples, prototypes: dict[str, np.ndarray], seed: int = 0) -> CategoryDecoding:
    brain, labels, runs, blocks = volumes
    return decode_with_mindbridge(
        brain, labels, runs, prototypes, blocks=blocks, settings=SMALL, n_permutations=200, seed=seed
    )


@pytest.fixture(scope="module")
def decoded(volumes: Samples, prototypes: dict[str, np.ndarray]) -> CategoryDecoding:
    return decode(volumes, prototypes)


def test_a_planted_pattern_is_found(decoded: CategoryDecoding) -> None:
    assert decoded.accuracy >= 0.8
    assert decoded.p_value < 0.02
    assert abs(decoded.null.mean() - 1 / 4) < 0.05
    np.testing.assert_allclose(np.linalg.norm(decoded.embeddings, axis=1), 1, rtol=1e-5)


def test_patterns_without_information_are_at_chance(volumes: Samples, prototypes: dict[str, np.ndarray]) -> None:
    noise = np.random.default_rng(2).normal(size=volumes.brain.shape)
    nothing = decode(volumes._replace(brain=noise.astype(np.float32)), prototypes)
    assert nothing.accuracy <= 0.6
    assert nothing.p_value > 0.01


def test_rows_are_those_of_ridge_on_block_averages(
    volumes: Samples, prototypes: dict[str, np.ndarray], decoded: CategoryDecoding
) -> None:
    """So that the two can be compared, whatever order the volumes come in."""
    first = np.arange(0, len(volumes.brain), VOLUMES)
    averages = volumes.brain.reshape(-1, VOLUMES, N_VOXELS).mean(axis=1)
    ridge = decode_through_embeddings(
        averages, volumes.labels[first], volumes.runs[first], prototypes, n_permutations=200
    )
    difference = paired_difference(decoded, ridge)
    assert difference.low <= difference.value <= difference.high
    assert ridge.embeddings.shape == decoded.embeddings.shape == decoded.rescaled.shape

    order = np.random.default_rng(3).permutation(len(volumes.brain))
    shuffled = decode(Samples(*(values[order] for values in volumes)), prototypes)
    assert shuffled.labels.tolist() == decoded.labels.tolist()
    assert shuffled.runs.tolist() == decoded.runs.tolist()
    assert shuffled.accuracy >= 0.8


def test_a_held_out_run_never_reaches_its_own_network(
    volumes: Samples, prototypes: dict[str, np.ndarray], decoded: CategoryDecoding
) -> None:
    """Its labels, and its brain but for the block predicted from, leave its predictions as they are."""
    inside, rows = volumes.runs == 2, decoded.runs == 2
    labels = volumes.labels.copy()
    labels[inside] = np.roll(labels[inside], VOLUMES)
    relabelled = decode(volumes._replace(labels=labels), prototypes)
    np.testing.assert_array_equal(relabelled.embeddings[rows], decoded.embeddings[rows])
    np.testing.assert_array_equal(relabelled.rescaled[rows], decoded.rescaled[rows])
    assert relabelled.predicted[rows].tolist() == decoded.predicted[rows].tolist()
    assert not np.allclose(relabelled.embeddings[~rows], decoded.embeddings[~rows])

    brain = volumes.brain.copy()
    brain[np.flatnonzero(inside)[VOLUMES:]] *= 100
    louder = decode(volumes._replace(brain=brain), prototypes)
    first = np.flatnonzero(rows)[0]
    np.testing.assert_allclose(louder.embeddings[first], decoded.embeddings[first], atol=1e-5)
    np.testing.assert_allclose(louder.rescaled[first], decoded.rescaled[first], atol=1e-4)


def test_the_seed_alone_decides(volumes: Samples, prototypes: dict[str, np.ndarray], decoded: CategoryDecoding) -> None:
    """Global generators neither change the result nor are they changed."""
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    again = decode(volumes, prototypes)
    np.testing.assert_array_equal(again.embeddings, decoded.embeddings)
    np.testing.assert_array_equal(again.null, decoded.null)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before[1])  # noqa: NPY002
    assert not np.allclose(decode(volumes, prototypes, seed=1).embeddings, decoded.embeddings)


def test_rescaled_predictions_spread_as_the_targets_do(
    prototypes: dict[str, np.ndarray], decoded: CategoryDecoding
) -> None:
    targets = np.stack([prototypes[label] / np.linalg.norm(prototypes[label]) for label in decoded.labels])
    deviation = targets.std(axis=0)
    spread = decoded.rescaled.std(axis=0) / deviation
    shift = (decoded.rescaled - targets).mean(axis=0) / deviation
    assert 0.7 < spread.mean() < 1.3
    assert np.abs(shift).mean() < 0.25


def test_wrong_input_is_refused(volumes: Samples, prototypes: dict[str, np.ndarray]) -> None:
    without_face = {name: values for name, values in prototypes.items() if name != "face"}
    with pytest.raises(ValueError, match=r"prototypes: found .*expected the labels' categories"):
        decode(volumes, without_face)
    with pytest.raises(ValueError, match="block 0 has more than one label"):
        decode(volumes._replace(blocks=volumes.blocks // 2), prototypes)
    with pytest.raises(ValueError, match="runs: found 2; expected at least 3"):
        decode(volumes._replace(runs=volumes.runs % 2), prototypes)
    brain = volumes.brain.copy()
    brain[3, 4] = np.nan
    with pytest.raises(ValueError, match="brain: 1 values are not finite"):
        decode(volumes._replace(brain=brain), prototypes)
    with pytest.raises(ValueError, match=r"brain: expected \(n, voxels\), found shape \(48,\)"):
        decode(volumes._replace(brain=volumes.brain[:, 0]), prototypes)
