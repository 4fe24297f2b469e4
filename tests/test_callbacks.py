"""Noise ceilings of regions; the other callbacks are tested with the commands that they belong to."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from small_cohort import SmallCohort

from braindecode_x.callbacks import WriteNoiseCeilings, region_ceilings
from braindecode_x.datamodules import BetasDataModule
from braindecode_x.datasets.betas import SubjectBetas

PICTURES, REGIONS = 300, np.repeat(["V2", "V1", "LO"], 20)  # in the order of voxels, not of the alphabet
CEILING = {"V2": 0.2, "V1": 0.5, "LO": 0.0}


def recording(repeats: int, seed: int = 0) -> SubjectBetas:
    """Simulate training pictures with known ceilings, in mixed order, and test pictures of noise alone."""
    rng = np.random.default_rng(seed)
    share = np.array([CEILING[name] for name in REGIONS])
    signal = rng.standard_normal((PICTURES, len(REGIONS))) * np.sqrt(share)
    shown = rng.permutation(np.repeat(np.arange(PICTURES), repeats))
    betas = signal[shown] + rng.standard_normal((len(shown), len(REGIONS))) * np.sqrt(1 - share)
    tested = rng.standard_normal((2 * PICTURES, len(REGIONS)))
    names = [f"train{k}" for k in shown] + [f"test{k % PICTURES}" for k in range(len(tested))]
    split = ["train"] * len(shown) + ["test"] * len(tested)
    trials = pd.DataFrame({"stimulus": names, "split": split})
    return SubjectBetas("anna", np.concatenate([betas, tested]).astype(np.float32), trials, REGIONS)


def test_ceilings_of_single_trials_are_found_from_repeats_of_training_pictures():
    ceilings = region_ceilings({"anna": recording(repeats=3), "ben": replace(recording(2, seed=1), name="ben")})
    assert ceilings.index.tolist() == ["anna", "ben"]
    assert list(ceilings) == list(CEILING)
    for subject in ceilings.index:
        assert ceilings.loc[subject].to_dict() == pytest.approx(CEILING, abs=0.05)


def test_pictures_shown_once_and_unlabelled_trials_are_passed_over():
    whole = recording(repeats=3)
    trials = whole.trials.copy()
    odd = trials["stimulus"].str[-1].isin(list("13579")) & (trials["split"] == "train")
    once = odd & trials["stimulus"].duplicated()
    trials.loc[once, "stimulus"] = ""
    ceilings = region_ceilings({"anna": replace(whole, trials=trials)})
    assert ceilings.loc["anna"].to_dict() == pytest.approx(CEILING, abs=0.07)


def test_subjects_without_regions_or_repeats_have_no_row_and_a_missing_region_no_value():
    fewer = replace(recording(2), regions=np.where(REGIONS == "LO", "V1", REGIONS))
    ceilings = region_ceilings(
        {"anna": recording(2), "ben": replace(recording(2), regions=None), "carl": recording(1), "dora": fewer}
    )
    assert ceilings.index.tolist() == ["anna", "dora"]
    assert ceilings.loc["dora"].isna().to_dict() == {"V2": False, "V1": False, "LO": True}


def test_a_file_is_written_where_voxels_have_regions_and_by_one_process(tmp_path):
    target = tmp_path / "run" / "noise_ceilings.csv"

    def start(regions: np.ndarray | None, first: bool) -> None:
        data = BetasDataModule(SmallCohort(), ["anna"])
        data.recordings = {"anna": replace(recording(2), regions=regions)}
        WriteNoiseCeilings(target).on_fit_start(SimpleNamespace(is_global_zero=first, datamodule=data), None)

    start(None, first=True)
    start(REGIONS, first=False)
    assert not target.exists()
    start(REGIONS, first=True)
    expected = region_ceilings({"anna": recording(2)})
    pd.testing.assert_frame_equal(pd.read_csv(target, index_col="subject"), expected, atol=1e-4)
    assert [file.name for file in target.parent.iterdir()] == [target.name]
