"""Single-trial betas of runs, as the alternative to windows of volumes."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from braindecode_x.datasets.betas import BetasCohort, SubjectBetas
from braindecode_x.datasets.runs import ParcelRun, RunsCohort
from braindecode_x.files import unknown_name
from braindecode_x.preprocessing.betas import Method, NoiseModel, trial_betas, zscored

ENOUGH = 4.0  # seconds that a run must go on after an onset: the response peaks at about 5


class RunBetas(BetasCohort):
    """Betas of the trials of a cohort's runs, fitted when a subject is read; for `BetasDataModule`.

    For betas of voxels, preprocess with an atlas ``voxels:mask.nii.gz``. Trials whose response hardly begins before the
    run ends are dropped with a warning that counts them.

    Parameters
    ----------
    cohort : RunsCohort
        For example `PreprocessedRuns` or `SimulatedWholeBrain`.
    method : {"lss", "lsa"}
        See `trial_betas`.
    noise_model : {"ols", "ar1"}
    high_pass : float
        Drifts slower than this, in Hz, are modelled.
    standardise_runs : bool
        Make each voxel's betas of a run mean 0 and standard deviation 1; without labels, so that nothing is learned of
        held-out pictures.

    Attributes
    ----------
    subjects : tuple of str
    stimuli : Stimuli

    Raises
    ------
    ValueError
        An unknown method.

    Examples
    --------
    >>> betas = RunBetas(PreprocessedRuns("parcels"), method="lss")  # doctest: +SKIP
    """

    def __init__(
        self,
        cohort: RunsCohort,
        method: Method = "lss",
        noise_model: NoiseModel = "ols",
        high_pass: float = 0.01,
        standardise_runs: bool = True,
    ):
        if method not in ("lss", "lsa"):
            raise unknown_name("method", method, ("lss", "lsa"))
        self.cohort, self.method, self.noise_model = cohort, method, noise_model
        self.high_pass, self.standardise_runs = high_pass, standardise_runs
        self.subjects, self.stimuli = cohort.subjects, cohort.stimuli

    def subject(self, name: str) -> SubjectBetas:
        """Fit one subject's betas; trials have the column ``run`` besides, parcels' networks are ``regions``.

        Raises
        ------
        ValueError
            No such subject, none of its runs has events, or a run cannot be fitted.
        """
        if name not in self.subjects:
            raise unknown_name("subject", name, self.subjects)
        labelled = [run for run in self.cohort.runs(name) if run.events is not None and len(run.events)]
        if not labelled:
            raise ValueError(f"{name}: none of its runs has events")
        parts = [self._fit(run) for run in labelled]
        betas = np.concatenate([betas for betas, _ in parts])
        trials = pd.concat([trials for _, trials in parts], ignore_index=True)
        networks = self.cohort.parcels.networks
        return SubjectBetas(name, betas, trials, np.array(networks) if networks else None)

    def _fit(self, run: ParcelRun) -> tuple[np.ndarray, pd.DataFrame]:
        assert run.events is not None
        onsets, end = run.events["onset"].to_numpy(float), len(run.bold) * run.tr
        inside = (onsets >= 0) & (onsets < end - ENOUGH)
        if not inside.all():
            warnings.warn(
                f"{run.name}: {(~inside).sum()} of {len(onsets)} trials are dropped: they begin before the run, or "
                f"less than {ENOUGH:g} s before its end at {end:g} s",
                stacklevel=3,
            )
        trials = run.events[inside].reset_index(drop=True).assign(run=run.name)
        if not len(trials):
            return np.empty((0, run.bold.shape[1]), np.float32), trials
        try:
            options = {"high_pass": self.high_pass, "noise_model": self.noise_model}
            betas = trial_betas(np.asarray(run.bold, float), trials, run.tr, self.method, **options)  # type: ignore
        except ValueError as error:
            raise ValueError(f"{run.name}: {error}") from error
        if self.standardise_runs and len(trials) < 2:
            raise ValueError(f"{run.name}: 1 trial; expected at least 2 to standardise over, or no standardise_runs")
        if self.standardise_runs:
            betas = zscored(betas)
        return betas.astype(np.float32), trials
