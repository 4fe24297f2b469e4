from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mne
import numpy as np
import pytest

from braindecode_x.datasets import read_card
from braindecode_x.datasets.simulated_eeg import PEOPLE, SimulatedEeg, SimulatedMeg, SimulatedRecording
from braindecode_x.datasets.simulated_sources import SOURCES
from braindecode_x.datasets.things_channels import EEG_CHANNELS, channel_region
from braindecode_x.stimuli import ObjectStimuli

FEW = {"train": 2, "validation": 3, "test": 12}


@pytest.fixture(scope="module")
def few(objects: ObjectStimuli) -> ObjectStimuli:
    """Every tenth training concept, 12 of validation and 100 of test."""
    table = objects.subset(rendering="fluent3d").table
    ids = {split: table.index[table["split"] == split].tolist() for split in FEW}
    return objects.subset(ids=[*ids["train"][::10], *ids["validation"][:12], *ids["test"][:100]])


@pytest.fixture(scope="module")
def eeg(few: ObjectStimuli, features_folder: Path) -> SimulatedEeg:
    return SimulatedEeg(stimuli=few, folder=features_folder, repeats=FEW)


@pytest.fixture(scope="module")
def meg(few: ObjectStimuli, features_folder: Path) -> SimulatedMeg:
    return SimulatedMeg(stimuli=few, folder=features_folder, repeats=FEW)


@pytest.fixture(scope="module")
def subject(eeg: SimulatedEeg) -> SimulatedRecording:
    return eeg.subject("sub-01")


@pytest.fixture(scope="module")
def meg_subject(meg: SimulatedMeg) -> SimulatedRecording:
    return meg.subject("sub-01")


def at(subject: SimulatedRecording, seconds: float) -> int:
    return int(np.abs(subject.times - seconds).argmin())


def by_region(subject: SimulatedRecording, values: np.ndarray) -> dict[str, float]:
    """Average one value a channel over the channels of each region."""
    regions = np.array([channel_region(channel) for channel in subject.channels])
    return {region: float(values[regions == region].mean()) for region in np.unique(regions)}


def reliable_variance(subject: SimulatedRecording, split: str = "test") -> np.ndarray:
    """Estimate the variance over pictures that repeats share, from the epochs alone: (channels, times)."""
    repeats = subject.repeats(split)
    halves = [repeats[:, start::2].mean(axis=1) for start in (0, 1)]
    first, second = (half - half.mean(axis=0) for half in halves)
    return (first * second).mean(axis=0)


def test_the_cohorts_are_as_their_card_says() -> None:
    card = read_card("simulated_eeg")
    assert card["subjects"] == list(PEOPLE)
    for modality, cohort in (("EEG", SimulatedEeg()), ("MEG", SimulatedMeg())):
        assert card["repeats"][modality] == cohort.repeats
        shown = cohort.stimuli.table["split"].value_counts()
        assert card["pictures"] == shown.to_dict()
        assert card["trials"][modality] == sum(shown[split] * number for split, number in cohort.repeats.items())
        assert card["channels"][modality] == len(cohort.info["ch_names"])
        assert card["sfreq"] == cohort.info["sfreq"]
        np.testing.assert_allclose(cohort.times[[0, -1]], [card["window"][0], card["window"][1] - 1 / card["sfreq"]])
        told = cohort.truth.drop(columns=["x", "y", "z", "start", "stop"])
        for source, row in told.iterrows():
            assert card["truth"][source] == {name: value for name, value in row.items() if value != 0}


def test_a_subject_has_the_documented_shapes(few: ObjectStimuli, subject: SimulatedRecording) -> None:
    assert subject.epochs.shape == (len(subject.trials), 63, 150)
    assert subject.epochs.dtype == np.float32
    assert np.isfinite(subject.epochs).all()
    assert subject.channels == list(EEG_CHANNELS)
    assert subject.info["sfreq"] == 125
    np.testing.assert_allclose(subject.times[[0, 25, -1]], [-0.2, 0, 0.992])
    counts = subject.trials.groupby(["split", "stimulus"]).size()
    for split, repeats in FEW.items():
        assert (counts[split] == repeats).all()
        assert sorted(counts[split].index) == sorted(few.subset(split=split).ids)


def test_meg_has_the_sensors_of_the_helmet(meg_subject: SimulatedRecording) -> None:
    assert meg_subject.epochs.shape[1:] == (151, 150)
    assert set(meg_subject.info.get_channel_types()) == {"mag"}
    noise = meg_subject.epochs.std() * 1e15
    assert 100 < noise < 500  # fT: not volts, nor a head that lies outside the helmet


def test_eeg_has_the_size_and_reference_of_a_recording(subject: SimulatedRecording) -> None:
    assert 4e-6 < subject.epochs.std() < 12e-6
    evoked = subject.average("test")[1].mean(axis=0)
    assert 2e-6 < np.abs(evoked).max() < 12e-6
    np.testing.assert_allclose(subject.epochs[::50].mean(axis=1), 0, atol=1e-10)
    np.testing.assert_allclose(subject.epochs[::50, :, :25].mean(axis=-1), 0, atol=1e-10)


def test_a_seed_gives_the_same_epochs_and_another_seed_others(
    few: ObjectStimuli, features_folder: Path, subject: SimulatedRecording
) -> None:
    again, other = (SimulatedEeg(seed, few, features_folder, repeats=FEW).subject("sub-01") for seed in (0, 1))
    np.testing.assert_array_equal(subject.epochs, again.epochs)
    assert not np.allclose(subject.truth.dipoles.table["x"], other.truth.dipoles.table["x"])
    noise = [np.diff(s.repeats("train"), axis=1).ravel() for s in (subject, other)]
    assert abs(np.corrcoef(noise)[0, 1]) < 0.05


def test_sources_do_not_depend_on_the_pictures(
    few: ObjectStimuli, features_folder: Path, subject: SimulatedRecording
) -> None:
    fewer = SimulatedEeg(0, few.subset(ids=few.ids[:40]), features_folder, repeats=FEW).subject("sub-01")
    np.testing.assert_array_equal(subject.truth.gain, fewer.truth.gain)
    np.testing.assert_array_equal(subject.truth.courses, fewer.truth.courses)
    for key, weights in subject.truth.dipoles.weights.items():
        np.testing.assert_array_equal(weights, fewer.truth.dipoles.weights[key])


def test_people_differ_and_have_something_in_common(eeg: SimulatedEeg, subject: SimulatedRecording) -> None:
    """A decoder of other people's epochs can know something of a new subject, but not all."""
    other = eeg.subject("sub-02")
    places = [s.truth.dipoles.table[["x", "y", "z"]].to_numpy() for s in (subject, other)]
    assert 0.001 < np.linalg.norm(places[0] - places[1], axis=1).mean() < 0.02
    assert not np.allclose(subject.truth.dipoles.table["latency"], other.truth.dipoles.table["latency"], rtol=0.01)
    moments = [s.truth.moments / s.truth.dipoles.table["moment"].to_numpy() for s in (subject, other)]
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(moments[0].T, moments[1].T, strict=True)]
    assert 0.3 < np.mean(alike) < 0.9
    noise = [np.diff(s.repeats("train"), axis=1).ravel() for s in (subject, other)]
    assert abs(np.corrcoef(noise)[0, 1]) < 0.05


def test_epochs_are_the_signal_and_noise_that_averages_out(subject: SimulatedRecording) -> None:
    stimuli, averages = subject.average("test")
    evoked = subject.truth.evoked(stimuli)
    residual = averages - evoked
    single = subject.epochs[subject.trials["split"] == "test"].std()
    assert residual.std() == pytest.approx(single / np.sqrt(FEW["test"]), rel=0.25)
    assert np.corrcoef(averages.mean(axis=0).ravel(), evoked.mean(axis=0).ravel())[0, 1] > 0.9


def test_sources_add_up_to_the_signal(subject: SimulatedRecording) -> None:
    parts = [subject.truth.evoked(sources=[source]) for source in SOURCES]
    np.testing.assert_allclose(np.sum(parts, axis=0), subject.truth.evoked(), atol=1e-9)


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_answers_in_its_window(source: str, eeg: SimulatedEeg, subject: SimulatedRecording) -> None:
    power = np.square(subject.truth.evoked(sources=[source])).mean(axis=(0, 1))
    peak = subject.times[power.argmax()]
    latency, start, stop = eeg.truth.loc[source, ["latency", "start", "stop"]]
    assert start < latency < stop
    assert peak == pytest.approx(latency, rel=0.3)
    inside = (subject.times >= start) & (subject.times <= stop)
    assert power[inside].mean() > 5 * power[~inside].mean()
    assert power[subject.times < 0].max() == 0


def test_pictures_are_told_apart_from_the_first_latency_on(subject: SimulatedRecording) -> None:
    """From the epochs alone: nothing before the first source's onset, early answers at the back of the head."""
    variance = reliable_variance(subject)
    course = variance.mean(axis=0)
    before = course[subject.times < 0.03]
    assert np.abs(before).max() < 0.1 * course.max()
    back = np.array([channel_region(channel) == "occipital" for channel in subject.channels])
    early, late = (at(subject, SOURCES[source].latency) for source in ("early visual", "semantic parietal"))
    assert variance[back, early].mean() > 2 * variance[~back, early].mean()
    assert variance[~back, late].mean() > variance[~back, early].mean()


def test_the_early_topography_is_occipital(subject: SimulatedRecording, meg_subject: SimulatedRecording) -> None:
    for recorded in (subject, meg_subject):
        spread = recorded.truth.evoked().std(axis=0)[:, at(recorded, SOURCES["early visual"].latency)]
        regions = by_region(recorded, spread)
        assert max(regions, key=lambda region: regions[region]) == "occipital"


def test_the_temporal_source_lies_at_the_side(subject: SimulatedRecording) -> None:
    spread = subject.truth.evoked(sources=["semantic temporal"]).std(axis=(0, 2))
    regions = by_region(subject, spread)
    assert regions["occipital"] == min(regions.values())
    assert channel_region(subject.channels[spread.argmax()]) in ("temporal", "central", "frontal")


def test_left_hemispheres_see_the_right_half(subject: SimulatedRecording) -> None:
    dipoles = subject.truth.dipoles
    looks = dipoles.preferences["x"].dropna()
    left = dipoles.table.loc[looks.index, "hemisphere"] == "left"
    assert ((looks > 0) == left).all()
    assert ((dipoles.table["x"] < 0) == (dipoles.table["hemisphere"] == "left")).mean() > 0.8


@pytest.mark.parametrize("modality", ["eeg", "meg"])
def test_noise_falls_with_frequency_but_for_alpha(modality: str, request: pytest.FixtureRequest) -> None:
    recorded = request.getfixturevalue("subject" if modality == "eeg" else "meg_subject")
    noise = np.diff(recorded.repeats("test")[:, :2], axis=1)[:, 0]  # of two trials of a picture: no signal is left
    power, frequencies = mne.time_frequency.psd_array_multitaper(
        noise.astype(float), 125, fmin=2, fmax=40, bandwidth=3, verbose=False
    )
    back = [channel_region(channel) == "occipital" for channel in recorded.channels]
    spectrum = power.mean(axis=0)[back].mean(axis=0)
    away = (np.abs(frequencies - PEOPLE["sub-01"].alpha) > 4) & (frequencies < 30)
    slope, level = np.polyfit(np.log(frequencies[away]), np.log(spectrum[away]), 1)
    assert -2.2 < slope < -0.8
    above = np.log(spectrum) - slope * np.log(frequencies) - level
    assert frequencies[above.argmax()] == pytest.approx(PEOPLE["sub-01"].alpha, abs=1.5)
    assert above.max() > np.log(1.5)


def test_noise_is_shared_by_neighbours(subject: SimulatedRecording) -> None:
    noise = np.diff(subject.repeats("test")[:, :2], axis=1)[:, 0]
    covariance = np.cov(noise.transpose(1, 0, 2).reshape(63, -1))
    correlation = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    channel = subject.channels.index
    assert correlation[channel("O1"), channel("Oz")] > 0.5
    assert correlation[channel("O1"), channel("Oz")] > correlation[channel("O1"), channel("F4")] + 0.3


def test_the_rate_is_free(few: ObjectStimuli, features_folder: Path, subject: SimulatedRecording) -> None:
    """A higher rate shows the same brain at more times, and as much noise."""
    pictures = few.subset(ids=few.ids[:40])
    slow, fast = (
        SimulatedEeg(stimuli=pictures, folder=features_folder, sfreq=rate, repeats=FEW).subject("sub-01")
        for rate in (125, 250)
    )
    assert fast.epochs.shape[-1] == 300
    np.testing.assert_allclose(fast.truth.evoked()[..., ::2], slow.truth.evoked(), atol=1e-11)
    assert fast.epochs.std() == pytest.approx(slow.epochs.std(), rel=0.15)


def test_without_noise_the_epochs_are_the_signal(few: ObjectStimuli, features_folder: Path) -> None:
    pictures = few.subset(ids=few.ids[:20])
    silent = SimulatedEeg(stimuli=pictures, folder=features_folder, noise=0, repeats=FEW).subject("sub-03")
    stimuli, averages = silent.average("train")
    np.testing.assert_allclose(averages, silent.truth.evoked(stimuli), atol=1e-10)


def test_the_truth_says_where_when_and_what(eeg: SimulatedEeg, subject: SimulatedRecording) -> None:
    kinds = eeg.truth.columns.drop(["region", "x", "y", "z", "latency", "start", "stop"])
    np.testing.assert_allclose(eeg.truth[kinds].sum(axis=1), 1)
    assert eeg.truth.loc["early visual", "region"] == "occipital"
    assert eeg.truth.loc["semantic temporal", "region"] == "temporal"
    assert eeg.truth.loc["semantic parietal", "region"] == "parietal"
    carried = {(source, kind) for source in eeg.truth.index for kind in kinds if eeg.truth.loc[source, kind] > 0}
    assert subject.truth.dipoles.weights.keys() == carried
    for name, dipoles in subject.truth.dipoles.table.groupby("source"):
        right = dipoles[dipoles["hemisphere"] == "right"][["x", "y", "z"]].mean()
        assert np.linalg.norm(right - eeg.truth.loc[name, ["x", "y", "z"]].astype(float)) < 0.03


def test_subjects_do_not_know_the_space_that_is_decoded_to() -> None:
    code = (
        "import sys; from braindecode_x.datasets import SimulatedEeg, SimulatedWholeBrain; "
        "from braindecode_x.stimuli import ObjectStimuli; "
        "pictures = ObjectStimuli().subset(ids=['cat-fluent3d', 'abacus-fluent3d']); "
        "SimulatedEeg(stimuli=pictures).subject('sub-03'); SimulatedWholeBrain(stimuli=pictures).subject('sub-03'); "
        "networks = ('braindecode_x.clip', 'braindecode_x.diffusion', 'open_clip', 'timm', 'torchvision.models'); "
        "print([name for name in sys.modules if name.startswith(networks)])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip().splitlines()[-1] == "[]"


def test_bad_values_are_refused(few: ObjectStimuli, eeg: SimulatedEeg, subject: SimulatedRecording) -> None:
    with pytest.raises(ValueError, match="seed: expected 0 or more, found -1"):
        SimulatedEeg(-1)
    with pytest.raises(ValueError, match="sfreq: expected 50 to 1000 Hz, found 20"):
        SimulatedEeg(stimuli=few, sfreq=20)
    with pytest.raises(ValueError, match="unknown split 'tests'; did you mean 'test'"):
        SimulatedEeg(stimuli=few, repeats={"tests": 2})
    with pytest.raises(ValueError, match="repeats: expected 1 or more of test, found 0"):
        SimulatedEeg(stimuli=few, repeats={"test": 0})
    with pytest.raises(ValueError, match="noise: expected 0 or more, found -1"):
        SimulatedEeg(stimuli=few, noise=-1)
    with pytest.raises(ValueError, match="unknown helmet 'ctf152'; did you mean 'ctf151'"):
        SimulatedMeg(stimuli=few, helmet="ctf152")
    with pytest.raises(ValueError, match="unknown subject 'sub-1'; did you mean 'sub-0"):
        eeg.subject("sub-1")
    with pytest.raises(ValueError, match="unknown source 'early'; did you mean 'early visual'"):
        subject.truth.evoked(sources=["early"])
    with pytest.raises(ValueError, match="unknown picture 'cats-fluent3d'"):
        subject.truth.evoked(["cats-fluent3d"])
