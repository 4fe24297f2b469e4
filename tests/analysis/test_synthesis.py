from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_cohort import VOXELS, SmallCohort

from braindecode_x.analysis.synthesis import compare_activity, synthesis_figure, synthesise_cohort
from braindecode_x.clip import EmbeddingSpace
from braindecode_x.datamodules import BetasDataModule
from braindecode_x.datasets.betas import SubjectBetas
from braindecode_x.decoder import BrainDecoder
from braindecode_x.models.linear import LinearDecoder
from braindecode_x.models.mindbridge import MindBridge

SPACE = EmbeddingSpace("m", "w", "pooled", (8,), "unit")


@pytest.fixture(scope="module")
def data() -> BetasDataModule:
    return BetasDataModule(SmallCohort())


def decoder(voxels=VOXELS, **options) -> BrainDecoder:
    torch.manual_seed(0)
    sizes = {"in_dim": 10, "hidden": 16, "n_blocks": 1, "adapter_dim": 4, "image_dim": 8, "text_dim": 8}
    statistics = {name: {"mean": torch.randn(n), "std": torch.rand(n) + 0.5} for name, n in voxels.items()}
    return BrainDecoder(MindBridge(voxels, **sizes, **options), SPACE, statistics)


def shown(data: BetasDataModule, ben: SubjectBetas) -> BetasDataModule:
    """Take another recording for ben's."""
    changed = BetasDataModule(data.cohort)
    changed.recordings = {**data.recordings, "ben": ben}
    return changed


def line(table, correlation: str, **where):
    table = table[table["correlation"] == correlation]
    for name, value in where.items():
        table = table[table[name] == value]
    (found,) = table.to_dict("records")
    return found


def test_both_correlations_are_those_of_numpy():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(40, 7)) + 3 * rng.normal(size=7)
    made = true + rng.normal(size=true.shape)
    table = compare_activity(made, true)
    for name, pairs in (
        ("across units", zip(made, true, strict=True)),
        ("across units, centred", zip(made - made.mean(0), true - true.mean(0), strict=True)),
        ("across pictures", zip(made.T, true.T, strict=True)),
    ):
        found = line(table, name)
        assert found["value"] == pytest.approx(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]))
        assert found["low"] < found["value"] < found["high"]
        assert found["difference"] == pytest.approx(found["value"] - found["control"])
        assert found["n"] == 40


def test_the_mean_pattern_alone_correlates_across_units_but_not_with_the_right_picture():
    rng = np.random.default_rng(1)
    mean = 3 * rng.normal(size=50)
    table = compare_activity(mean + 0.1 * rng.normal(size=(60, 50)), mean + rng.normal(size=(60, 50)))
    across_units = line(table, "across units")
    assert across_units["value"] > 0.9
    for found in table.to_dict("records"):
        assert found["difference_low"] < 0 < found["difference_high"]
        assert abs(found["difference"]) < 0.05


def test_what_drives_all_units_together_counts_across_pictures_alone():
    rng = np.random.default_rng(5)
    drive = 2 * rng.normal(size=(60, 1))
    made, true = (drive + rng.normal(size=(60, 50)) for _ in range(2))
    table = compare_activity(made, true)
    assert line(table, "across pictures")["value"] > 0.7
    assert abs(line(table, "across units, centred")["value"]) < 0.05


def test_no_picture_keeps_its_own_responses_in_the_control():
    table = compare_activity(np.eye(9), np.eye(9), seed=3)
    assert line(table, "across units")["value"] == pytest.approx(1)
    assert line(table, "across units")["control"] == pytest.approx(-1 / 8)


def test_intervals_across_pictures_are_those_of_correlations_computed_anew():
    rng = np.random.default_rng(2)
    signal = rng.normal(size=(200, 1))  # shared, so that units do not average the uncertainty away
    made, true = (signal + 0.5 * rng.normal(size=(200, 6)) for _ in range(2))
    anew = []
    for _ in range(2000):
        rows = rng.integers(200, size=200)
        anew.append(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(made[rows].T, true[rows].T, strict=True)]))
    low, high = np.quantile(anew, [0.025, 0.975])
    found = line(compare_activity(made, true), "across pictures")
    assert high - low == pytest.approx(found["high"] - found["low"], rel=0.15)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=0.15 * (high - low))


def test_a_unit_that_never_varies_counts_as_nothing():
    true = np.random.default_rng(0).normal(size=(20, 4))
    true[:, 1] = 0.1
    assert line(compare_activity(true, true), "across pictures")["value"] == pytest.approx(3 / 4)


def test_every_pair_is_compared_over_the_pictures_that_both_saw(data):
    ben = data.recordings["ben"]
    rows = np.flatnonzero(ben.trials["stimulus"] != ben.average("test")[0][0])[::-1]  # one unseen, in the other order
    ben = replace(ben, betas=ben.betas[rows], trials=ben.trials.iloc[rows].reset_index(drop=True))
    trained, data = decoder(), shown(data, ben)
    table = synthesise_cohort(trained, data)
    assert len(table) == 2 * 2 * 3
    assert line(table, "across pictures", source="anna", target="anna")["n"] == 12
    found = line(table, "across pictures", source="anna", target="ben")
    assert found["n"] == 11

    patterns = {}
    for name in VOXELS:
        stimuli, betas = data.recordings[name].average("test")
        standardised = (torch.from_numpy(betas) - trained.statistics[name]["mean"]) / trained.statistics[name]["std"]
        patterns[name] = dict(zip(stimuli, standardised, strict=True))
    pictures = list(patterns["ben"])
    given, true = (torch.stack([patterns[name][picture] for picture in pictures]) for name in VOXELS)
    with torch.no_grad():
        made = trained.model.synthesise(given, "anna", "ben").numpy()
    units = torch.nn.functional.adaptive_max_pool1d(true[:, None], 10)[:, 0].numpy()
    assert found["value"] == pytest.approx(line(compare_activity(made, units), "across pictures")["value"], abs=1e-5)


def test_the_figure_shows_differences_with_sources_in_rows(data):
    table = synthesise_cohort(decoder(), data)
    axes = synthesis_figure(table).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["anna", "ben"]
    expected = line(table, "across units", source="anna", target="ben")["difference"]
    assert axes.images[0].get_array()[0, 1] == pytest.approx(expected)


def test_wrong_input_is_refused(data):
    linear = BrainDecoder(LinearDecoder(VOXELS, (8,)), SPACE, decoder().statistics)
    with pytest.raises(ValueError, match=r"decoder: expected a MindBridge, .* found LinearDecoder"):
        synthesise_cohort(linear, data)
    with pytest.raises(ValueError, match="no builders"):
        synthesise_cohort(decoder(build_voxels=False), data)
    with pytest.raises(ValueError, match=r"data: expected two or more subjects, found \['anna'\]"):
        synthesise_cohort(decoder(), BetasDataModule(data.cohort, ["anna"]))
    with pytest.raises(ValueError, match="unknown subject of the decoder 'ben'"):
        synthesise_cohort(decoder({"anna": 9, "cleo": 12}), data)
    with pytest.raises(ValueError, match="subject 'ben': 12 voxels, but the decoder expects 13"):
        synthesise_cohort(decoder({"anna": 9, "ben": 13}), data)
    ben = data.recordings["ben"]
    few = np.flatnonzero(ben.trials["split"] == "test")[:4]  # three repeats of one picture, one of another
    ben = replace(ben, betas=ben.betas[few], trials=ben.trials.iloc[few].reset_index(drop=True))
    with pytest.raises(ValueError, match="anna and ben: 2 pictures of the split 'test' in common; expected 3 or more"):
        synthesise_cohort(decoder(), shown(data, ben))
    with pytest.raises(ValueError, match=r"found \(4, 5\) and \(4, 6\)"):
        compare_activity(np.zeros((4, 5)), np.zeros((4, 6)))
