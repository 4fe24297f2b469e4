from __future__ import annotations

import numpy as np
import pytest

from braindecode_x.analysis.category_decoding import decode_directly, decode_through_embeddings
from braindecode_x.analysis.category_scores import CategoryDecoding, permuted_labels
from braindecode_x.datasets import Haxby2001, Recording
from braindecode_x.models.ridge import RidgeDecoder
from braindecode_x.preprocessing.fmri import Samples, block_averages, clean_runs, glm_betas, single_volumes

CHANCE = 1 / 8


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Haxby2001().volumes()


@pytest.fixture(scope="module")
def blocks(recording: Recording) -> Samples:
    return block_averages(clean_runs(recording.bold, recording.runs, recording.tr), recording.labels, recording.runs)


@pytest.fixture(scope="module")
def prototypes(blocks: Samples) -> dict[str, np.ndarray]:
    """Three pictures a category, around a direction of its own that shares a part with all others."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=512)
    return {name: rng.normal(size=512) + shared + 0.3 * rng.normal(size=(3, 512)) for name in np.unique(blocks.labels)}


@pytest.fixture(scope="module")
def decoded(blocks: Samples, prototypes: dict[str, np.ndarray]) -> CategoryDecoding:
    return decode_through_embeddings(blocks.brain, blocks.labels, blocks.runs, prototypes, n_permutations=1000)


def test_real_blocks_are_decoded_through_embeddings(decoded: CategoryDecoding) -> None:
    assert decoded.accuracy >= 0.78
    assert decoded.interval[0] <= decoded.accuracy <= decoded.interval[1]
    assert decoded.interval[0] > 0.6
    assert decoded.p_value < 0.001
    assert decoded.embeddings.shape == decoded.rescaled.shape == (96, 512)
    assert decoded.rescaled.std() > decoded.embeddings.std()


def test_the_null_is_centred_at_chance(decoded: CategoryDecoding) -> None:
    assert decoded.null.shape == (1000,)
    assert abs(decoded.null.mean() - CHANCE) < 0.01
    assert decoded.null.max() < decoded.accuracy


def test_the_confusion_matrix_counts_every_block(decoded: CategoryDecoding) -> None:
    confusion = decoded.confusion
    assert confusion.sum(axis=1).tolist() == [12] * 8
    assert np.trace(confusion) == pytest.approx(decoded.accuracy * 96)
    expected = np.sum((decoded.labels == "shoe") & (decoded.predicted == "cat"))
    assert confusion.loc["shoe", "cat"] == expected


def test_real_blocks_are_classified_directly(blocks: Samples) -> None:
    direct = decode_directly(blocks.brain, blocks.labels, blocks.runs)
    assert direct.accuracy >= 0.82
    assert direct.p_value < 0.001
    assert direct.embeddings.shape == (96, 8)


def test_real_betas_need_the_shift_of_the_onsets(recording: Recording) -> None:
    dataset = Haxby2001()
    events = {run: dataset.events(run) for run in range(12)}
    accuracy = {}
    for shift in (0.0, dataset.onset_shift):
        betas = glm_betas(recording.bold, recording.runs, events, recording.tr, onset_shift=shift)
        accuracy[shift] = decode_directly(betas.brain, betas.labels, betas.runs, n_permutations=1).accuracy
    assert accuracy[dataset.onset_shift] >= 0.75
    assert accuracy[dataset.onset_shift] > accuracy[0.0] + 0.1


def test_real_single_volumes_are_decoded(recording: Recording) -> None:
    cleaned = clean_runs(recording.bold, recording.runs, recording.tr)
    volumes = single_volumes(cleaned, recording.labels, recording.runs)
    direct = decode_directly(volumes.brain, volumes.labels, volumes.runs, blocks=volumes.blocks, n_permutations=200)
    assert direct.accuracy >= 0.65
    assert abs(direct.null.mean() - CHANCE) < 0.02
    # Whole blocks are permuted, so the null is as wide as 96 independent blocks make it, not as 864 volumes would.
    assert direct.null.std() > 1.3 * np.sqrt(CHANCE * (1 - CHANCE) / 864)


def test_shuffled_labels_are_at_chance(blocks: Samples, prototypes: dict[str, np.ndarray]) -> None:
    shuffled = permuted_labels(blocks.labels, blocks.runs, None, 5, seed=1)
    results = [
        decode_through_embeddings(blocks.brain, labels, blocks.runs, prototypes, n_permutations=99)
        for labels in shuffled
    ]
    assert abs(np.mean([result.accuracy for result in results]) - CHANCE) < 0.06
    assert np.median([result.p_value for result in results]) > 0.05


def test_the_null_is_what_fitting_permuted_labels_anew_gives(
    blocks: Samples, prototypes: dict[str, np.ndarray], decoded: CategoryDecoding
) -> None:
    """Against decoders that are fitted to the permuted targets, with the strength of the true labels."""
    targets = {name: values.mean(axis=0) for name, values in prototypes.items()}
    categories, means = np.array(list(targets)), np.stack(list(targets.values()))
    centred = means - means.mean(axis=0)  # every run shows every category once
    for i, labels in enumerate(permuted_labels(blocks.labels, blocks.runs, None, 1000, seed=0)[:4]):
        hits = 0
        for run, alpha in decoded.alphas.items():
            train, test = blocks.runs != run, blocks.runs == run
            embeddings = np.stack([targets[label] for label in labels[train]])
            predicted = RidgeDecoder(alphas=[alpha]).fit(blocks.brain[train], embeddings).predict(blocks.brain[test])
            cosines = (predicted - means.mean(axis=0)) @ (centred / np.linalg.norm(centred, axis=1, keepdims=True)).T
            hits += np.sum(categories[cosines.argmax(axis=1)] == labels[test])
        assert decoded.null[i] == pytest.approx(hits / 96)


def test_a_held_out_run_never_reaches_its_own_decoder(
    blocks: Samples, prototypes: dict[str, np.ndarray], decoded: CategoryDecoding
) -> None:
    """Its labels, and its brain but for the patterns predicted from, leave its predictions as they are."""
    held_out = blocks.runs == 5
    labels = blocks.labels.copy()
    labels[held_out] = np.roll(labels[held_out], 1)
    corrupted = decode_through_embeddings(blocks.brain, labels, blocks.runs, prototypes, n_permutations=1)
    np.testing.assert_array_equal(corrupted.embeddings[held_out], decoded.embeddings[held_out])
    np.testing.assert_array_equal(corrupted.rescaled[held_out], decoded.rescaled[held_out])
    assert corrupted.predicted[held_out].tolist() == decoded.predicted[held_out].tolist()
    assert not np.allclose(corrupted.embeddings[~held_out], decoded.embeddings[~held_out])

    brain = blocks.brain.copy()
    brain[np.flatnonzero(held_out)[1:]] *= 100
    corrupted = decode_through_embeddings(brain, blocks.labels, blocks.runs, prototypes, n_permutations=1)
    first = np.flatnonzero(held_out)[0]
    np.testing.assert_allclose(corrupted.rescaled[first], decoded.rescaled[first], atol=1e-4)


def test_permutations_keep_blocks_and_runs_together() -> None:
    labels = np.repeat(list("abcabc"), 3)
    runs, blocks = np.repeat([0, 1], 9), np.repeat(np.arange(6), 3)
    permuted = permuted_labels(labels, runs, blocks, 50, seed=0)
    assert permuted.shape == (50, 18)
    assert all(sorted(row[:9]) == sorted(labels[:9]) for row in permuted)
    assert (permuted.reshape(50, 6, 3) == permuted.reshape(50, 6, 3)[..., :1]).all()
    assert len({tuple(row) for row in permuted}) > 10
    np.testing.assert_array_equal(permuted, permuted_labels(labels, runs, blocks, 50, seed=0))


def test_wrong_input_is_refused(blocks: Samples, prototypes: dict[str, np.ndarray]) -> None:
    brain, labels, runs, _ = blocks
    without_face = {name: values for name, values in prototypes.items() if name != "face"}
    with pytest.raises(ValueError, match=r"prototypes: found .*expected the labels' categories"):
        decode_through_embeddings(brain, labels, runs, without_face)
    with pytest.raises(ValueError, match="prototypes: differ in dimensions"):
        decode_through_embeddings(brain, labels, runs, prototypes | {"face": np.zeros(511)})
    with pytest.raises(ValueError, match=r"labels: expected one a sample, shape \(96,\), found \(95,\)"):
        decode_directly(brain, labels[1:], runs)
    with pytest.raises(ValueError, match="runs: found 2; expected at least 3"):
        decode_directly(brain, labels, runs % 2)
    with pytest.raises(ValueError, match="block 0 has more than one label"):
        decode_directly(brain, labels, runs, blocks=np.arange(96) // 2)
