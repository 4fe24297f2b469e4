from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import compute_regressor
from small_runs import SmallRuns

from braindecode_x.datamodules import BetasDataModule
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.run_betas import RunBetas
from braindecode_x.datasets.runs import ParcelRun, RunsCohort
from braindecode_x.preprocessing.betas import trial_betas

TR, N = 2.0, 200


def planted(apart: float, noise: float, seed: int = 0) -> tuple[np.ndarray, pd.DataFrame, np.ndarray]:
    """Make a run with drifts whose trials have known amplitudes."""
    rng = np.random.default_rng(seed)
    onsets = np.arange(10.0, N * TR - 20, apart)
    amplitudes = rng.standard_normal((len(onsets), 3))
    times = np.arange(N) * TR
    bold = 100 + 3 * np.cos(np.pi * times / times[-1])[:, None] + noise * rng.standard_normal((N, 3))
    for onset, amplitude in zip(onsets, amplitudes, strict=True):
        answer, _ = compute_regressor(np.array([[onset], [1.0], [1.0]]), "glover", times)
        bold += answer[:, :1] * amplitude
    return bold, pd.DataFrame({"onset": onsets, "duration": 1.0}), amplitudes


def agreement(betas: np.ndarray, amplitudes: np.ndarray) -> float:
    return float(np.corrcoef(betas.ravel(), amplitudes.ravel())[0, 1])


@pytest.mark.parametrize("method", ["lsa", "lss"])
def test_planted_amplitudes_are_found_behind_drifts(method):
    bold, events, amplitudes = planted(apart=20, noise=0.01)
    betas = trial_betas(bold, events, TR, method)
    assert betas.shape == amplitudes.shape
    np.testing.assert_allclose(betas, amplitudes, atol=0.25)
    assert agreement(betas, amplitudes) > 0.99


def test_separate_designs_do_better_where_trials_follow_each_other_fast():
    scores = {}
    for method in ("lsa", "lss"):
        found = [(planted(apart=3, noise=0.3, seed=seed), seed) for seed in range(2)]
        scores[method] = np.mean([agreement(trial_betas(b, e, TR, method), a) for (b, e, a), _ in found])
    assert scores["lss"] > scores["lsa"] + 0.05


def test_what_cannot_be_fitted_is_refused():
    bold, events, _ = planted(apart=20, noise=0.1)
    late = pd.concat([events, pd.DataFrame({"onset": [N * TR + 5], "duration": [1.0]})])
    with pytest.raises(ValueError, match="1 of 20 trials have no response within 200 volumes of 2 s, the first at 405"):
        trial_betas(bold, late, TR)
    with pytest.raises(ValueError, match=r"30 volumes are fewer than the design's \d+ regressors; take lss"):
        trial_betas(bold[:30], pd.DataFrame({"onset": np.arange(0, 50, 1.5), "duration": 1.0}), TR, "lsa")


class Two(RunsCohort):
    subjects = ("anna",)
    parcels = Parcels(("a", "b", "c"), ("Vis", "Vis", "Rest"))

    def __init__(self):
        self.stimuli, self.answers = SmallRuns().stimuli, []

    def runs(self, subject: str):
        runs = [ParcelRun("rest", np.zeros((N, 3), np.float32), TR)]
        for number in range(2):
            bold, events, amplitudes = planted(apart=20, noise=0.01, seed=number)
            events = events.assign(stimulus=self.stimuli.ids[: len(events)], split="train")
            late = events.iloc[-1:].assign(onset=N * TR - 1)
            self.answers.append(amplitudes)
            runs.append(ParcelRun(f"run-{number}", bold, TR, pd.concat([events, late], ignore_index=True)))
        return runs


def test_a_cohorts_runs_become_betas_that_mindbridges_batches_hold(tiny_clip):
    cohort = Two()
    with pytest.warns(UserWarning, match="run-0: 1 of 20 trials are dropped: .* less than 4 s before its end at 400 s"):
        subject = RunBetas(cohort).subject("anna")
    assert subject.regions.tolist() == ["Vis", "Vis", "Rest"]
    assert subject.trials["run"].value_counts().to_dict() == {"run-0": 19, "run-1": 19}
    assert agreement(subject.betas, np.concatenate(cohort.answers)) > 0.95
    np.testing.assert_allclose(subject.betas[:19].mean(0), 0, atol=1e-5)
    data = BetasDataModule(RunBetas(SmallRuns(), method="lsa"), subjects=["anna"], clip=str(tiny_clip), batch_size=8)
    assert next(iter(data.train_dataloader())).brain.shape == (8, 12)


class Single(Two):
    def runs(self, subject: str):
        events = pd.DataFrame({"onset": [4.0], "duration": 1.0, "stimulus": self.stimuli.ids[:1], "split": "train"})
        bold = np.random.default_rng(0).standard_normal((N, 3)).astype(np.float32)
        return [ParcelRun("run-0", bold, TR, events)]


def test_one_trial_of_a_run_cannot_be_standardised():
    with pytest.raises(ValueError, match="run-0: 1 trial; expected at least 2 to standardise over"):
        RunBetas(Single()).subject("anna")
    assert RunBetas(Single(), standardise_runs=False).subject("anna").betas.any()


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown method 'lsb'; did you mean 'ls"):
        RunBetas(Two(), method="lsb")
    with pytest.raises(ValueError, match="unknown subject 'ann'; did you mean 'anna'"):
        RunBetas(Two()).subject("ann")
