from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.runs import ParcelRun, RunsCohort, trial_windows

PARCELS = Parcels(("a", "b"))


def events(*onsets: float) -> pd.DataFrame:
    return pd.DataFrame({"onset": onsets, "duration": 1.0, "stimulus": "x", "split": "train", "kind": "seen"})


def run(*onsets: float, n_volumes: int = 20, tr: float = 2.0, parcels: int = 2, name: str = "run-1") -> ParcelRun:
    """Make a run whose volumes hold their number."""
    bold = np.repeat(np.arange(n_volumes, dtype=np.float32)[:, None], parcels, axis=1)
    return ParcelRun(name, bold, tr, events(*onsets) if onsets else None)


class Made(RunsCohort):
    subjects = ("anna",)

    def __init__(self, *runs: ParcelRun, delay: float = 4.0, n_volumes: int = 3):
        self.parcels, self.tr, self.delay, self.n_volumes, self.made = PARCELS, 2.0, delay, n_volumes, runs

    def runs(self, subject: str):
        return self.made


@pytest.mark.parametrize(
    ("onset", "delay", "first"), [(6.0, 4.0, 5), (6.9, 4.0, 5), (7.1, 4.0, 6), (7.0, 0.0, 4), (6.0, -2.0, 2)]
)
def test_a_window_begins_with_the_nearest_volume(onset, delay, first):
    windows, _ = trial_windows(run(onset), 3, delay)
    np.testing.assert_array_equal(windows[0, :, 0], first + np.arange(3))


def test_windows_beyond_the_ends_are_dropped_and_counted():
    with pytest.warns(UserWarning, match=r"run-1: 2 of 3 trials are dropped.*its 20 volumes of 2 s"):
        windows, trials = trial_windows(run(-6.0, 10.0, 32.0), 3, 4.0)
    assert trials["onset"].tolist() == [10.0]
    assert windows.shape == (1, 3, 2)
    assert trials["run"].tolist() == ["run-1"]


def test_a_subjects_windows_are_of_its_runs_with_events():
    subject = Made(run(4.0, 8.0), run(name="rest"), run(12.0, name="run-2")).subject("anna")
    assert subject.trials["run"].tolist() == ["run-1", "run-1", "run-2"]
    assert subject.trials["kind"].tolist() == ["seen"] * 3
    np.testing.assert_array_equal(subject.windows[:, 0, 0], [4, 6, 8])
    np.testing.assert_array_equal(subject.times, [4, 6, 8])


def test_a_run_that_is_too_short_for_a_window_gives_none_and_says_so():
    with pytest.warns(UserWarning, match="short: 1 of 1 trials are dropped"):
        subject = Made(run(4.0), run(4.0, n_volumes=5, name="short")).subject("anna")
    assert len(subject.windows) == 1
    message = "anna: none of its trials has a window of 3 volumes from 4 s"
    with pytest.warns(UserWarning, match="dropped"), pytest.raises(ValueError, match=message):
        Made(run(4.0, n_volumes=5)).subject("anna")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ((run(), run()), "anna: none of its 2 runs has events"),
        ((run(4.0), run(4.0, tr=1.5, name="other")), "other: repetition time 1.5 s; expected 2 s"),
        ((run(4.0, parcels=3),), "run-1: 3 parcels; expected 2"),
    ],
)
def test_runs_that_do_not_fit_are_named(made, message):
    with pytest.raises(ValueError, match=message):
        Made(*made).subject("anna")


def test_damaged_runs_are_named():
    with pytest.raises(ValueError, match=r"run-1: expected BOLD of \(volumes, parcels\), found shape \(4,\)"):
        ParcelRun("run-1", np.zeros(4), 2.0)
    with pytest.raises(ValueError, match=r"run-1: repetition time 0; expected seconds above 0"):
        ParcelRun("run-1", np.zeros((4, 2)), 0)
    with pytest.raises(ValueError, match="events of run-1: missing the columns split, stimulus"):
        ParcelRun("run-1", np.zeros((4, 2)), 2.0, events(1.0)[["onset", "duration"]])
    with pytest.raises(ValueError, match="run-1: no events"):
        trial_windows(run(), 3, 4.0)
