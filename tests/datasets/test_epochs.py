"""One subject's epochs, and the layout that they share with others."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import mne
import numpy as np
import pandas as pd
import pytest
from small_epochs import SmallEpochs

from braindecode_x.datasets.epochs import EpochsLayout, SubjectEpochs, join_sessions

LAYOUT = EpochsLayout(("Fz", "Cz", "Oz", "O1"), 100.0, -0.2, 120)


@pytest.fixture(scope="module")
def anna() -> SubjectEpochs:
    return SmallEpochs().subject("anna")


def changed(subject: SubjectEpochs, channel: str, value: float, trials=slice(None)) -> SubjectEpochs:
    epochs = subject.epochs.copy()
    epochs[trials, subject.channels.index(channel)] = value
    return replace(subject, epochs=epochs)


def test_repeats_of_a_picture_are_averaged(anna):
    stimuli, mean = anna.average("test")
    rows = (anna.trials["stimulus"] == stimuli[3]).to_numpy()
    assert mean.shape == (12, 6, 15)
    np.testing.assert_allclose(mean[3], anna.epochs[rows].mean(0), rtol=1e-6)


def test_times_are_seconds_from_the_onset(anna):
    assert anna.times[5] == pytest.approx(0)
    assert anna.layout.tmax == pytest.approx(0.1)
    assert anna.channels == list(anna.layout.channels)


def test_epochs_that_do_not_fit_their_trials_or_channels_are_refused(anna):
    with pytest.raises(ValueError, match=r"expected 300 trials of 6 channels, .* found \(299, 6, 15\)"):
        replace(anna, epochs=anna.epochs[1:])
    with pytest.raises(ValueError, match=r"found \(300, 5, 15\)"):
        replace(anna, epochs=anna.epochs[:, 1:])


def test_windows_follow_each_other_without_a_gap_or_a_sample_in_common():
    edges = np.linspace(-0.2, 1.0, 13)
    windows = [LAYOUT.cut(None, a, b, "x")[2] for a, b in pairwise(edges)]
    assert [k for window in windows for k in range(window.start, window.stop)] == list(range(120))


def test_a_cut_takes_channels_in_the_order_that_is_asked_for():
    cut, picks, window = LAYOUT.cut(["Oz", "Fz"], 0.1, None, "x")
    assert (cut.channels, picks) == (("Oz", "Fz"), [2, 0])
    assert (cut.tmin, cut.n_times, window) == (pytest.approx(0.1), 90, slice(30, 120))
    assert EpochsLayout.from_dict(cut.to_dict()) == cut


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["Oz", "OZ"], None, None), r"x: 1 of 2 expected channels .*: OZ; .*did you mean 'Oz'"),
        ((None, -0.3, None), "x: no window from -0.3 s to 1 s; there are samples from -0.2 to 1 s"),
        ((None, 0.0, 1.02), "no window from 0 s to 1.02 s"),
        ((None, 0.5, 0.5), "no window from 0.5 s to 0.5 s"),
    ],
)
def test_a_cut_of_what_is_not_there_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LAYOUT.cut(*arguments, "x")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (replace(LAYOUT, channels=("Fz", "Cz", "OZ", "O1")), "expected channels .*: Oz; .*did you mean 'OZ'"),
        (replace(LAYOUT, channels=("Fz", "Oz", "Cz", "O1")), "channel 1 is 'Oz'; expected 'Cz', as theirs"),
        (replace(LAYOUT, channels=("Fz", "Cz", "Oz", "O1", "EOG")), "5 channels; expected 4, as theirs, without EOG"),
        (replace(LAYOUT, sfreq=125.0), "sampled at 125 Hz; expected 100 Hz"),
        (replace(LAYOUT, n_times=121), "121 samples from -0.2 s; expected 120 samples from -0.2 s"),
        (replace(LAYOUT, tmin=-0.1), "120 samples from -0.1 s; expected"),
    ],
)
def test_another_layout_is_refused(found, message):
    with pytest.raises(ValueError, match=message):
        LAYOUT.require(found, "ours", "theirs")


def test_times_that_differ_by_rounding_are_the_same():
    LAYOUT.require(replace(LAYOUT, sfreq=100.0 + 1e-6, tmin=-0.2 + 1e-9), "ours", "theirs")


def test_channels_and_times_are_taken_from_anybodys_epochs(anna):
    order = ["Oz", "EOG", *[name for name in anna.channels if name != "Oz"]]
    info = mne.create_info(order, 100.0, "eeg")
    early = np.full((len(anna.epochs), 7, 3), 9.0)
    eog = np.zeros_like(anna.epochs[:, :1])
    signal = np.concatenate([anna.epochs[:, [4]], eog, anna.epochs[:, [0, 1, 2, 3, 5]]], axis=1)
    theirs = mne.EpochsArray(np.concatenate([early, signal], axis=2), info, tmin=-0.08, verbose="error")
    np.testing.assert_array_equal(anna.layout.take(theirs), anna.epochs)
    with pytest.raises(ValueError, match=r"of 6 expected channels .*: O2; "):
        anna.layout.take(theirs.copy().drop_channels(["O2"]))
    with pytest.raises(ValueError, match="sampled at 50 Hz; expected 100 Hz"):
        anna.layout.take(theirs.copy().decimate(2, verbose="error"))


def test_values_that_are_not_finite_are_named(anna):
    broken = changed(changed(anna, "Pz", np.nan, 270), "Oz", np.inf, slice(260, 262))
    with pytest.raises(ValueError, match=r"epochs of anna: .* in 3 trials, the first is trial 260, .* Pz, Oz;"):
        broken.refuse_bad_values(range(6))
    broken.refuse_bad_values([0, 1, 3, 5])  # the others may be decoded


def test_flat_channels_are_named_but_a_weak_one_is_not(anna):
    weak = changed(anna, "Fz", 0.0)
    weak.epochs[:, 0] = anna.epochs[:, 0] * 1e-7
    weak.refuse_bad_values(range(6))
    with pytest.raises(ValueError, match="the channels Cz, O2 are flat in all trials"):
        changed(changed(weak, "Cz", 3e-6), "O2", 0.0).refuse_bad_values(range(6))
    changed(anna, "Cz", 3e-6, slice(100)).refuse_bad_values(range(6))


def test_sessions_are_put_together_when_they_fit(anna):
    both = join_sessions({"ses-01": anna, "ses-02": replace(anna, epochs=anna.epochs * 2)})
    assert both.trials["session"].value_counts().to_dict() == {"ses-01": 300, "ses-02": 300}
    np.testing.assert_array_equal(both.epochs[300:], anna.epochs * 2)
    with pytest.raises(ValueError, match=r"anna ses-02: 14 samples .* as ses-01"):
        join_sessions({"ses-01": anna, "ses-02": replace(anna, epochs=anna.epochs[..., 1:])})


def test_subjects_that_are_not_there_offer_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'anna'"):
        SmallEpochs().subject("ana")


def test_a_recording_of_one_sample_is_not_flat(anna):
    single = SubjectEpochs("anna", anna.epochs[..., :1], anna.trials, anna.info, 0.1)
    single.refuse_bad_values(range(6))


def test_trials_keep_more_columns(anna):
    assert "response" in replace(anna, trials=anna.trials.assign(response=1)).trials
    assert isinstance(anna.trials, pd.DataFrame)
