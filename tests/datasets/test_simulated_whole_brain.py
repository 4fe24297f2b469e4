from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from braindecode_x.datasets import SimulatedCorpus, SimulatedWholeBrain, read_card
from braindecode_x.datasets.runs import ParcelRun, SubjectWindows
from braindecode_x.datasets.simulated_bold import response
from braindecode_x.datasets.simulated_whole_brain import PEOPLE, BrainTruth
from braindecode_x.stimuli import ObjectStimuli

FEW = {"train": 2, "validation": 3, "test": 8}
CONTENT = ("Visual", "DorsalAttention", "DefaultMode")


@pytest.fixture(scope="module")
def few(objects: ObjectStimuli) -> ObjectStimuli:
    """Every 20th training concept, 6 of validation and 30 of test."""
    table = objects.subset(rendering="fluent3d").table
    ids = {split: table.index[table["split"] == split].tolist() for split in FEW}
    return objects.subset(ids=[*ids["train"][::20], *ids["validation"][:6], *ids["test"][:30]])


@pytest.fixture(scope="module")
def cohort(few: ObjectStimuli, features_folder: Path) -> SimulatedWholeBrain:
    return SimulatedWholeBrain(stimuli=few, folder=features_folder, repeats=FEW)


@pytest.fixture(scope="module")
def silent(few: ObjectStimuli, features_folder: Path) -> SimulatedWholeBrain:
    """The same brains without noise, every second."""
    return SimulatedWholeBrain(stimuli=few, folder=features_folder, repeats=FEW, noise=0, tr=1.0)


@pytest.fixture(scope="module")
def truth(cohort: SimulatedWholeBrain) -> BrainTruth:
    return cohort.truth_of("sub-01")


@pytest.fixture(scope="module")
def runs(cohort: SimulatedWholeBrain) -> list[ParcelRun]:
    return cohort.runs("sub-01")


@pytest.fixture(scope="module")
def subject(cohort: SimulatedWholeBrain) -> SubjectWindows:
    return cohort.subject("sub-01")


def by_network(cohort: SimulatedWholeBrain, values: np.ndarray) -> pd.Series:
    """Share of one value a parcel that lies in each network."""
    return pd.Series(values).groupby(np.array(cohort.parcels.networks), sort=False).sum() / values.sum()


def fitted(cohort: SimulatedWholeBrain, runs: str) -> tuple[list[str], np.ndarray]:
    """Fit the answer to each concept by least squares, from runs that are not cleaned: names, (concepts, parcels)."""
    measured = list(cohort.measured("sub-01", runs))
    names = sorted({name for run in measured for name in run.events["stimulus"]})
    designs = []
    for run in measured:
        since = run.tr * np.arange(len(run.percent))[:, None] - run.events["onset"].to_numpy()
        courses = response(since, float(run.events["duration"].iloc[0]))
        designs.append(courses @ (run.events["stimulus"].to_numpy()[:, None] == np.array(names)))
    answers, *_ = np.linalg.lstsq(np.concatenate(designs), np.concatenate([run.percent for run in measured]))
    return names, answers


def test_the_cohort_is_as_its_card_says() -> None:
    card, cohort = read_card("simulated_whole_brain"), SimulatedWholeBrain()
    assert card["subjects"] == list(cohort.subjects) == list(PEOPLE)
    assert len(cohort.subjects) >= 4
    shown = cohort.stimuli.table["split"].value_counts()
    assert card["pictures"] == shown.to_dict()
    assert card["repeats"] == cohort.repeats
    schedule = cohort._schedule("sub-01")
    assert card["runs"] == len(schedule)
    splits = pd.concat(schedule.values())["split"].value_counts()
    assert card["trials"] == splits.to_dict()
    assert card["parcels"] == len(cohort.parcels)
    assert card["tr"] == cohort.tr
    for network, row in cohort.truth.iterrows():
        planted = {key: value for key, value in row.items() if value != 0 and key != "parcels"}
        assert card["truth"].get(network, {}) == planted
    corpus = SimulatedCorpus()
    assert card["corpus"] == {
        "people": len(corpus.subjects),
        "runs": len(corpus.subjects) * corpus.n_runs,
        "volumes": len(corpus.subjects) * corpus.n_runs * corpus.run_volumes,
    }


def test_a_subject_has_the_documented_shapes_and_splits(few: ObjectStimuli, subject: SubjectWindows) -> None:
    assert subject.windows.shape == (len(subject.trials), 5, 300)
    assert subject.windows.dtype == np.float32
    assert np.isfinite(subject.windows).all()
    np.testing.assert_allclose(subject.times, [2, 4, 6, 8, 10])
    counts = subject.trials.groupby(["split", "stimulus"]).size()
    for split, repeats in FEW.items():
        assert (counts[split] == repeats).all()
        assert sorted(counts[split].index) == sorted(few.subset(split=split).ids)
    assert (subject.trials.groupby("run")["split"].nunique() == 1).all()


def test_runs_are_standardised_and_hold_all_windows(runs: list[ParcelRun], subject: SubjectWindows) -> None:
    assert len({run.name for run in runs}) == len(runs)
    for run in runs:
        np.testing.assert_allclose(run.bold.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(run.bold.std(axis=0, ddof=1), 1, atol=1e-3)
    assert sum(len(run.events) for run in runs if run.events is not None) == len(subject.trials)


def test_prompts_are_the_captions_of_concepts_that_training_has_not(
    few: ObjectStimuli, subject: SubjectWindows
) -> None:
    imagined = subject.trials["split"].str.startswith("imagination")
    assert (subject.trials.loc[~imagined, "prompt"] == "").all()
    trials = subject.trials[imagined]
    assert trials["prompt"].tolist() == few.table["caption"][trials["stimulus"]].tolist()
    for split, of in (("imagination", "test"), ("imagination-validation", "validation")):
        chosen = trials.loc[trials["split"] == split, "stimulus"]
        assert set(chosen) == set(few.subset(split=of).ids)
        assert (chosen.value_counts() == 8).all()


def test_a_seed_gives_the_same_runs_and_another_seed_others(
    few: ObjectStimuli, features_folder: Path, runs: list[ParcelRun], truth: BrainTruth
) -> None:
    options = {"stimuli": few, "folder": features_folder, "repeats": FEW}
    again, other = (SimulatedWholeBrain(seed, **options) for seed in (0, 1))
    first = next(again.measured("sub-01")).cleaned()
    np.testing.assert_array_equal(first.bold, runs[0].bold)
    pd.testing.assert_frame_equal(first.events, runs[0].events)
    assert not np.allclose(other.truth_of("sub-01").semantic, truth.semantic)
    without = SimulatedWholeBrain(0, imagination=False, **options)
    seen = [run for run in runs if "_task-objects_" in run.name]
    assert list(without._schedule("sub-01")) == [run.name for run in seen]
    pattern = seen[-1].name
    np.testing.assert_array_equal(next(without.measured("sub-01", pattern)).cleaned().bold, seen[-1].bold)


def test_people_differ_and_have_something_in_common(cohort: SimulatedWholeBrain, truth: BrainTruth) -> None:
    other = cohort.truth_of("sub-02")
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(truth.semantic.T, other.semantic.T, strict=True) if a.any()]
    assert 0.4 < np.mean(alike) < 0.9
    lags = [each.brain.table["lag"] for each in (truth, other)]
    assert np.abs(lags[0] - lags[1]).mean() > 0.05
    first, second = (next(cohort.measured(name, truth=of)) for name, of in (("sub-01", truth), ("sub-02", other)))
    assert first.events["stimulus"].tolist() != second.events["stimulus"].tolist()


def test_the_answer_is_late(silent: SimulatedWholeBrain) -> None:
    """From the BOLD alone: visual parcels rise to a peak some 6 s after pictures, default parcels fall, and later."""
    run = next(silent.measured("sub-01", "*_task-objects_*"))
    onsets = run.events["onset"].to_numpy()
    design = np.arange(len(run.percent))[:, None] - onsets[None]
    lags = np.arange(0, 20)
    impulses = np.stack([(design == lag).any(axis=1) for lag in lags], axis=1).astype(float)
    courses, *_ = np.linalg.lstsq(impulses, run.percent)
    visual, default = (courses[:, silent.parcels.in_network(name)].mean(axis=1) for name in ("Visual", "DefaultMode"))
    assert 5 <= visual.argmax() <= 8
    assert visual[0] < 0.1 * visual.max()
    assert default.argmin() >= visual.argmax()
    assert default.min() < -0.15


def test_semantic_content_lies_where_the_truth_says(
    few: ObjectStimuli, cohort: SimulatedWholeBrain, truth: BrainTruth
) -> None:
    assert cohort.truth["semantic"].sum() == pytest.approx(1)
    assert cohort.truth["visual"].sum() == pytest.approx(1)
    training = (few.table["split"] == "train").to_numpy()
    for part in ("semantic", "visual"):
        shares = by_network(cohort, getattr(truth, part)[training].var(axis=0))
        np.testing.assert_allclose(shares, cohort.truth[part][shares.index], atol=1e-3)


def test_imagined_concepts_come_back_weaker_from_bold(
    cohort: SimulatedWholeBrain, silent: SimulatedWholeBrain, truth: BrainTruth
) -> None:
    """What is fitted to the runs has the planted shares, the semantic pattern, and nothing that the picture drives."""
    names, imagined = fitted(silent, "*_task-imagery_*")
    rows = pd.Index(truth.pictures).get_indexer(names)
    planted = (truth.semantic[rows] * truth.brain.table["imagery"].to_numpy()).var(axis=0)
    found, expected = (by_network(cohort, values) for values in (imagined.var(axis=0), planted))
    np.testing.assert_allclose(found[list(CONTENT)], expected[list(CONTENT)], atol=0.05)
    assert found.drop(list(CONTENT)).sum() < 0.01
    visual = cohort.parcels.in_network("Visual")
    seen_names, seen = fitted(silent, "*_task-objects_*")
    seen = seen[pd.Index(seen_names).get_indexer(names)]
    assert seen[:, visual].mean() > 0.7
    assert abs(imagined[:, visual].mean()) < 0.05
    assert (imagined.var(axis=0).sum() / seen.var(axis=0).sum()) < 0.4

    def explained(by: np.ndarray) -> float:
        pairs = zip(imagined[:, visual].T, by[rows][:, visual].T, strict=True)
        return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]))

    assert explained(truth.semantic) > 0.9
    assert explained(truth.visual) < 0.5


def test_repeats_share_what_is_in_the_networks_that_carry_content(
    cohort: SimulatedWholeBrain, subject: SubjectWindows
) -> None:
    """From noisy windows alone: two halves of the repeats of test pictures covary in these networks, and no others."""
    chosen = (subject.trials["split"] == "test").to_numpy()
    trials, peak = subject.trials[chosen], subject.windows[chosen][:, 1:4].mean(axis=1)
    halves = []
    for half in (0, 1):
        odd = (trials["repeat"] % 2 == half).to_numpy()
        means = pd.DataFrame(peak[odd]).groupby(trials["stimulus"].to_numpy()[odd]).mean()
        halves.append(means.to_numpy() - means.to_numpy().mean(axis=0))
    covariance = pd.Series((halves[0] * halves[1]).mean(axis=0))
    means = covariance.groupby(np.array(cohort.parcels.networks)).mean()
    assert means["Visual"] > means["DorsalAttention"] > means["DefaultMode"] > 0.01
    others = ~np.isin(cohort.parcels.networks, CONTENT)
    assert abs(covariance[others].mean()) < 0.25 * means["DefaultMode"]


def test_a_run_takes_little(cohort: SimulatedWholeBrain, truth: BrainTruth) -> None:
    started = time.process_time()
    made = [run.cleaned() for run, _ in zip(cohort.measured("sub-01", truth=truth), range(5), strict=False)]
    assert time.process_time() - started < 3
    assert all(run.bold.nbytes < 400_000 for run in made)


def test_the_corpus_has_no_events_but_the_same_networks(runs: list[ParcelRun]) -> None:
    corpus = SimulatedCorpus(n_people=2, n_runs=4, run_volumes=200)
    first, second = (corpus.runs(name) for name in corpus.subjects)
    assert all(run.events is None and run.bold.shape == (200, 300) for run in [*first, *second])
    assert [run.name.split("_")[1] for run in first] == ["task-rest", "task-motor", "task-rest", "task-language"]
    again = SimulatedCorpus(n_people=1, n_runs=1, run_volumes=200).runs("person-001")
    np.testing.assert_array_equal(again[0].bold, first[0].bold)
    resting = np.corrcoef(np.concatenate([run.bold for run in [*first, *second] if "rest" in run.name]).T)
    working = np.corrcoef(np.concatenate([run.bold for run in runs]).T)
    pairs = np.triu_indices(300, 1)
    assert np.corrcoef(resting[pairs], working[pairs])[0, 1] > 0.4
    assert np.abs(np.corrcoef(first[0].bold[:, 0], second[0].bold[:, 0])[0, 1]) < 0.4
    assert len(corpus.stimuli) == 0
    with pytest.raises(ValueError, match="person-001: none of its 4 runs has events"):
        corpus.subject("person-001")


def test_blocks_of_the_corpus_drive_their_networks() -> None:
    corpus = SimulatedCorpus(n_people=1, n_runs=2, run_volumes=100, noise=0)
    _, motor = corpus.runs("person-001")
    driven = motor.bold.std(axis=0) > 0.5
    networks = set(np.array(corpus.parcels.networks)[driven])
    assert networks == {"SomatomotorDorsal", "SomatomotorLateral", "CinguloOpercular"}


def test_bad_values_are_refused(few: ObjectStimuli, cohort: SimulatedWholeBrain) -> None:
    with pytest.raises(ValueError, match="seed: expected 0 or more, found -1"):
        SimulatedWholeBrain(-1)
    with pytest.raises(ValueError, match=r"tr: expected 0.4 to 4 s, found 0.1"):
        SimulatedWholeBrain(stimuli=few, tr=0.1)
    with pytest.raises(ValueError, match="lie between -8 and 18 s after an onset, found 20 of 2 s from 0 s"):
        SimulatedWholeBrain(stimuli=few, n_volumes=20, delay=0)
    with pytest.raises(ValueError, match="unknown split 'tests'; did you mean 'test'"):
        SimulatedWholeBrain(stimuli=few, repeats={"tests": 2})
    with pytest.raises(ValueError, match="noise: expected 0 or more, found -1"):
        SimulatedWholeBrain(stimuli=few, noise=-1)
    with pytest.raises(ValueError, match="unknown subject 'sub-1'; did you mean 'sub-0"):
        cohort.subject("sub-1")
    with pytest.raises(ValueError, match="run_volumes: expected 16 or more, found 3"):
        SimulatedCorpus(run_volumes=3)
    with pytest.raises(ValueError, match="unknown subject 'person-1'; did you mean 'person-001'"):
        SimulatedCorpus(n_people=1).runs("person-1")
