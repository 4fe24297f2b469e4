"""From raw to epochs: each step against the same step done plainly."""

from __future__ import annotations

import mne
import numpy as np
import pandas as pd
import pytest
from scipy.linalg import fractional_matrix_power
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import StandardScaler

from braindecode_x.datasets import epoch_files
from braindecode_x.datasets.recordings import Run
from braindecode_x.preprocessing import eeg
from braindecode_x.preprocessing.eeg import EpochSettings, make_epochs, noise_covariance, normalise, whiten

CHANNELS = ["Fp1", "Cz", "PO7", "Oz"]
PLAIN = EpochSettings(sfreq=None, tmin=0, tmax=0.4, baseline=None, normalise="none")


def recording(signal: np.ndarray, onsets: list[int], first_samp: int = 0) -> Run:
    info = mne.create_info(CHANNELS, 1000, "eeg")
    raw = mne.io.RawArray(signal, info, first_samp=first_samp, verbose="error")
    trials = pd.DataFrame({"sample": np.array(onsets) + first_samp, "stimulus": "a", "split": "train"})
    return Run("sub-01 ses-01", raw, trials.assign(number=range(len(onsets))))


@pytest.fixture
def signal() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1e-5, (4, 6000))


@pytest.mark.parametrize("first_samp", [0, 777])
def test_epochs_are_the_signal_after_each_onset(signal, first_samp) -> None:
    made = make_epochs(recording(signal, [500, 3000, 900], first_samp), PLAIN, progress=False)
    np.testing.assert_allclose(made.epochs[1], signal[:, 3000:3401], rtol=1e-6)
    np.testing.assert_allclose(made.epochs[2], signal[:, 900:1301], rtol=1e-6)
    assert made.trials["number"].tolist() == [0, 1, 2]
    assert made.epochs.dtype == np.float32


def test_channels_are_picked_and_ordered_by_name(signal) -> None:
    settings = EpochSettings(channels=("Oz", "Fp1"), sfreq=None, tmin=0, tmax=0.4, baseline=None)
    made = make_epochs(recording(signal, [500]), settings, progress=False)
    assert made.channels == ["Oz", "Fp1"]
    np.testing.assert_allclose(made.epochs[0], signal[[3, 0], 500:901], rtol=1e-6)
    with pytest.raises(ValueError, match=r"sub-01 ses-01: 1 of 1 .* PO8; .*did you mean 'PO7'"):
        make_epochs(recording(signal, [500]), EpochSettings(channels=("PO8",)), progress=False)


def test_bad_channels_are_left_out_unless_they_are_named(signal) -> None:
    run = recording(signal, [500])
    run.raw.info["bads"] = ["Cz"]
    assert make_epochs(run, PLAIN, progress=False).channels == ["Fp1", "PO7", "Oz"]
    run = recording(signal, [500])
    run.raw.info["bads"] = ["Cz"]
    named = EpochSettings(channels=("Cz", "Oz"), sfreq=None, tmin=0, tmax=0.4, baseline=None)
    assert make_epochs(run, named, progress=False).channels == ["Cz", "Oz"]


def test_the_baseline_is_that_of_each_trial_and_channel(signal) -> None:
    settings = EpochSettings(sfreq=None, tmin=-0.2, tmax=0.5)
    made = make_epochs(recording(signal + 1, [1000, 2000]), settings, progress=False)
    before = made.times <= 1e-9
    assert before.sum() == 201
    np.testing.assert_allclose(made.epochs[..., before].mean(axis=2), 0, atol=1e-9)
    expected = signal[:, 2000:2501] - signal[:, 1800:2001].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(made.epochs[1, :, 200:], expected, atol=1e-9)


def test_resampling_and_cropping_give_the_published_times(signal) -> None:
    made = make_epochs(recording(signal, [1000, 2000]), EpochSettings(), progress=False)
    assert made.epochs.shape == (2, 4, 300)
    np.testing.assert_allclose(made.times[[0, 50]], [-0.2, 0], atol=1e-9)
    cropped = make_epochs(recording(signal, [1000, 2000]), EpochSettings(crop=(0, 1)), progress=False)
    assert cropped.epochs.shape == (2, 4, 250)
    assert cropped.times[0] == pytest.approx(0)
    np.testing.assert_array_equal(cropped.epochs, made.epochs[..., 50:])


def test_a_slow_wave_keeps_its_place_and_a_fast_one_goes(signal) -> None:
    times = np.arange(6000) / 1000
    signal = np.tile(np.sin(2 * np.pi * 5 * times) + np.sin(2 * np.pi * 300 * times), (4, 1))
    made = make_epochs(recording(signal, [2000]), EpochSettings(baseline=None), progress=False)
    slow = np.sin(2 * np.pi * 5 * (2 + made.times))
    assert np.abs(made.epochs[0, 0, 20:-20] - slow[20:-20]).max() < 0.05


def test_the_band_is_passed(signal) -> None:
    times = np.arange(6000) / 1000
    signal = np.tile(np.sin(2 * np.pi * 10 * times) + 3 + np.sin(2 * np.pi * 80 * times), (4, 1))
    settings = EpochSettings(l_freq=1, h_freq=40, sfreq=None, tmin=0, tmax=1, baseline=None)
    made = make_epochs(recording(signal, [2000]), settings, progress=False)
    assert np.abs(made.epochs[0, 2] - np.sin(2 * np.pi * 10 * (2 + made.times))).max() < 0.05


def test_trials_are_the_same_whatever_the_parts(signal, monkeypatch) -> None:
    onsets = [300 + 400 * k for k in range(10)]
    whole = make_epochs(recording(signal, onsets), EpochSettings(), progress=False)
    monkeypatch.setattr(epoch_files, "CHUNK", 3)
    parts = make_epochs(recording(signal, onsets), EpochSettings(), progress=False)
    np.testing.assert_allclose(parts.epochs, whole.epochs, atol=1e-12)


def test_trials_at_the_edge_are_dropped_with_a_warning(signal, monkeypatch) -> None:
    monkeypatch.setattr(epoch_files, "CHUNK", 2)
    with pytest.warns(UserWarning, match="sub-01 ses-01: 2 of 4 trials are dropped"):
        made = make_epochs(recording(signal, [100, 5800, 2000, 3000]), EpochSettings(), progress=False)
    assert made.trials["number"].tolist() == [2, 3]
    expected = make_epochs(recording(signal, [2000, 3000]), EpochSettings(), progress=False)
    np.testing.assert_array_equal(made.epochs, expected.epochs)


def test_bad_signals_and_trials_are_refused_by_name(signal) -> None:
    with pytest.raises(ValueError, match=r"none of the 1 trials lies within the 6\.0 s"):
        make_epochs(recording(signal, [5990]), EpochSettings(), progress=False)
    with pytest.raises(ValueError, match="two trials begin at sample 900"):
        make_epochs(recording(signal, [900, 2000, 900]), EpochSettings(), progress=False)
    flat = signal.copy()
    flat[2] = 3e-6
    with pytest.raises(ValueError, match=r"sub-01 ses-01: .*PO7.*flat"):
        make_epochs(recording(flat, [900]), PLAIN, progress=False)
    signal[1, 1000] = np.nan
    with pytest.raises(ValueError, match=r"sub-01 ses-01: .*not finite.*Cz"):
        make_epochs(recording(signal, [900]), PLAIN, progress=False)


def test_settings_that_make_no_window_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tmin < tmax, found 1\.0 and 0\.5"):
        EpochSettings(tmin=1.0, tmax=0.5)
    with pytest.raises(ValueError, match=r"crop: .*found \(-1, 0\)"):
        EpochSettings(crop=(-1, 0))
    with pytest.raises(ValueError, match=r"crop: .*found \(0, 2\)"):
        EpochSettings(crop=(0, 2))


def plain_covariance(samples: np.ndarray) -> np.ndarray:
    scaler = StandardScaler()
    shrunk = ledoit_wolf(scaler.fit_transform(samples))[0]
    return scaler.scale_[:, None] * shrunk * scaler.scale_


@pytest.fixture
def session() -> tuple[np.ndarray, pd.DataFrame]:
    """Six pictures, of which one is for validation and one for test, shown unequally often; a channel is loud."""
    rng = np.random.default_rng(0)
    stimuli = np.array(list("abcdabcaabeeef"))
    mixing = rng.normal(size=(5, 5)) * np.array([1, 1, 1, 30, 1])[:, None]
    epochs = mixing @ rng.normal(size=(len(stimuli), 5, 12))
    splits = {"e": "validation", "f": "test"}
    return epochs, pd.DataFrame({"stimulus": stimuli, "split": [splits.get(name, "train") for name in stimuli]})


@pytest.mark.parametrize("batch", [1, 100, 2**20])
@pytest.mark.parametrize("per", ["epochs", "time"])
def test_noise_covariance_is_the_mean_of_conditions_shown_unequally_often(session, per, batch, monkeypatch) -> None:
    monkeypatch.setattr(eeg, "BATCH", batch)
    epochs, trials = session
    of_conditions = []
    for name in "abcd":
        shown = epochs[trials["stimulus"] == name]
        if per == "epochs":
            of_conditions.append(np.mean([plain_covariance(trial.T) for trial in shown], axis=0))
        elif len(shown) > 1:
            of_conditions.append(np.mean([plain_covariance(shown[..., t]) for t in range(12)], axis=0))
    rows = np.flatnonzero(trials["split"] == "train")
    found = noise_covariance(epochs, trials["stimulus"].to_numpy(), rows, per, progress=False)
    np.testing.assert_allclose(found, np.mean(of_conditions, axis=0), rtol=1e-9)


@pytest.mark.parametrize("how", ["mvnn", "zscore"])
def test_normalisation_looks_at_training_trials_only(session, how) -> None:
    epochs, trials = session
    settings = EpochSettings(normalise=how)
    before = normalise(epochs, trials, settings, progress=False)
    held_out = (trials["split"] != "train").to_numpy()
    changed = epochs.copy()
    changed[held_out] *= 100
    after = normalise(changed, trials, settings, progress=False)
    np.testing.assert_array_equal(after[~held_out], before[~held_out])
    assert not np.allclose(after[held_out], before[held_out])


def test_z_scores_have_mean_0_and_deviation_1_in_training(session) -> None:
    epochs, trials = session
    train = (trials["split"] == "train").to_numpy()
    scores = normalise(epochs + 1e4, trials, EpochSettings(normalise="zscore"), progress=False)
    np.testing.assert_allclose(scores[train].mean(axis=(0, 2)), 0, atol=1e-9)
    np.testing.assert_allclose(scores[train].std(axis=(0, 2)), 1, atol=1e-9)


def test_whitening_is_by_the_inverse_square_root(session) -> None:
    epochs, _ = session
    covariance = np.cov(epochs.transpose(1, 0, 2).reshape(5, -1))
    expected = np.real(fractional_matrix_power(covariance, -0.5)) @ epochs
    np.testing.assert_allclose(whiten(epochs, covariance), expected, rtol=1e-7, atol=1e-9)


def test_what_cannot_be_whitened_is_refused(session) -> None:
    epochs, trials = session
    with pytest.raises(ValueError, match="no inverse"):
        whiten(epochs, np.ones((5, 5)))
    with pytest.raises(ValueError, match="found 6 shown once each"):
        noise_covariance(epochs[:6], np.arange(6), per="time", progress=False)
    with pytest.raises(ValueError, match="expected 'epochs' or 'time', found 'trial'"):
        noise_covariance(epochs, trials["stimulus"].to_numpy(), per="trial", progress=False)
    with pytest.raises(ValueError, match="needs training trials"):
        normalise(epochs, trials.assign(split="test"), EpochSettings(), progress=False)
