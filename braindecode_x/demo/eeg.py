"""Simulated EEG: ATM and its diffusion prior beside ridge, from training to pictures, and when and where it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from braindecode_x.analysis.settings import StudySettings
from braindecode_x.analysis.stage import analyse_regions, analyse_windows
from braindecode_x.clip import ClipEncoder
from braindecode_x.datasets.simulated_eeg import SimulatedEeg
from braindecode_x.demo.cohort import (
    PREDICTIONS,
    CohortResult,
    score_systems,
    show_found,
    show_pictures,
    train,
    train_and_predict,
)
from braindecode_x.demo.stages import announced
from braindecode_x.embedding_commands import prior
from braindecode_x.embeddings import Embeddings
from braindecode_x.report import Page
from braindecode_x.stimuli import ObjectStimuli

WITH_PRIOR = "ATM and prior"


@dataclass(frozen=True)
class EegSettings:
    """How large this part is: minutes on two processor cores.

    Attributes
    ----------
    subjects : tuple of str
        Of `SimulatedEeg`.
    sfreq : float
        Sampling rate, Hz; half of the cohort's own.
    repeats : mapping of str to int
        How often pictures of a split are shown, where it is not the cohort's own.
    d_model : int
        Features of ATM's tokens; half of the published number, as there are half as many samples as at the cohort's
        own rate.
    epochs, prior_epochs : int
        Of the trainings of ATM and of its prior.
    prior_samples : int
        Samples of the prior whose mean is taken.
    width, step : float
        Of the windows in which is decoded, and from one to the next, seconds.
    """

    subjects: tuple[str, ...] = ("sub-02",)
    sfreq: float = 62.5
    repeats: Mapping[str, int] = field(default_factory=dict)
    d_model: int = 125
    epochs: int = 18
    prior_epochs: int = 8
    prior_samples: int = 2
    width: float = 0.1
    step: float = 0.1

    def data(self, prefix: str = "--data.init_args") -> tuple[str, ...]:
        """Return arguments of the training commands."""
        repeats = ", ".join(f"{split}: {number}" for split, number in self.repeats.items())
        return (
            *(f"{prefix}.subjects", f"[{', '.join(self.subjects)}]"),
            *(f"{prefix}.cohort.init_args.sfreq", str(self.sfreq)),
            *((f"{prefix}.cohort.init_args.repeats", f"{{{repeats}}}") if repeats else ()),
        )


@dataclass
class EegResult(CohortResult):
    """What was found.

    Attributes
    ----------
    settings : EegSettings
    analysis : Path
        Folder of what ``braindecode-x analyse`` made.
    sources : pandas.DataFrame
        The planted truth, see `SimulatedEeg`.
    """

    settings: EegSettings
    analysis: Path
    sources: pd.DataFrame


def decode_eeg(output: Path, encoder: ClipEncoder, seed: int, n_pictures: int, settings: EegSettings) -> EegResult:
    """Train on the simulated subjects, find all test pictures, reconstruct some, and ask when and where."""
    atm, likely, data = output / "atm", output / "likely.safetensors", settings.data()
    size = ("--model.init_args.options", f"{{d_model: {settings.d_model}}}", "--trainer.max_epochs")
    decoded = {"ATM": train_and_predict(atm, "atm_simulated.yaml", *data, *size, str(settings.epochs))}
    decoded["ridge"] = train_and_predict(output / "ridge", "ridge_simulated_eeg.yaml", *data)
    # In the decoder's folder: what is trained on its predictions is begun anew when it is.
    train(
        atm / "prior",
        "prior_simulated.yaml",
        *("--data.init_args.decoder", str(atm / "decoder"), "--data.init_args.batch_size", "256"),
        *settings.data("--data.init_args.data.init_args"),
        *("--trainer.max_epochs", str(settings.prior_epochs)),
        *("--model.init_args.sampling.samples", str(settings.prior_samples)),
    )
    files = (atm / PREDICTIONS, likely, atm / "prior" / "prior")
    announced(["prior", *files, "--seed", str(seed)], lambda: prior(*files, seed=seed))
    systems = {WITH_PRIOR: Embeddings.load(likely), **decoded}
    shown = ObjectStimuli().subset(split="train", rendering="fluent3d")
    scored = score_systems(systems, output, encoder, seed, n_pictures, settings.subjects, shown, atm)
    study = StudySettings(output / "analysis", atm, seed=seed, overwrite=True)
    _analyse(study, settings)
    sources = SimulatedEeg(seed=0, sfreq=settings.sfreq).truth
    return EegResult(scored.retrieval, scored.comparison, scored.folder, settings, study.output, sources)


def _analyse(study: StudySettings, settings: EegSettings) -> None:
    """Run ``analyse windows`` and ``analyse regions``."""
    asked = ["--decoder", str(study.decoder), "--output", str(study.output), "--seed", str(study.seed)]
    asked += ["--overwrite", "true"]
    how = ["--kinds", "[sliding]", "--width", str(settings.width), "--step", str(settings.step)]
    announced(
        ["analyse", "windows", *how, "--generalisation", "0", *asked],
        lambda: analyse_windows(study, ["sliding"], None, settings.width, settings.step, 0, "top-1", None, 0),
    )
    announced(
        ["analyse", "regions", "--modes", "[masked]", *asked], lambda: analyse_regions(study, ["masked"], None, "top-1")
    )


def show_eeg(page: Page, result: EegResult) -> None:
    """Add what was found to the page."""
    settings = result.settings
    repeats = {**SimulatedEeg.default_repeats, **settings.repeats}
    page.heading("Simulated EEG, ATM")
    page.text(
        f"Simulated subjects ({', '.join(settings.subjects)}) with 63 electrodes saw 1,076 pictures {repeats['train']} "
        f"times each, and 200 pictures of concepts that no trained part knows {repeats['test']} times each. One ATM "
        "was trained on all of it, and chosen on other, validation pictures; a diffusion prior turns what it decodes "
        "into embeddings that pictures could have; ridge was fitted for each subject. To take minutes, this part is "
        f"small: {settings.sfreq:g} Hz, {settings.d_model} features of a token, {settings.epochs} epochs of training. "
        "atm_simulated.yaml trains on four subjects at 125 Hz, with the published width."
    )
    show_found(page, result)
    show_pictures(page, result)
    page.text(
        "When and where: ridge, fitted to every window of time alone (retrained), and the trained ATM with all but the "
        "window, or all but the region's electrodes, set to the mean over training pictures (masked). What was planted "
        "is known:"
    )
    sources = result.sources
    planted = pd.DataFrame(
        {
            "lies under electrodes": sources["region"],
            "latency (ms)": (1000 * sources["latency"]).round().astype(int),
            "above half of it (ms)": [
                f"{1000 * start:.0f} to {1000 * stop:.0f}"
                for start, stop in zip(sources["start"], sources["stop"], strict=True)
            ],
        },
    )
    page.table(planted.rename_axis("source"), "The simulated sources that answer to pictures")
    page.picture(
        result.analysis / "windows" / "windows.png",
        f"Right picture found among 200 from windows of {1000 * settings.width:.0f} ms; bands: 95% intervals over "
        "concepts.",
    )
    page.picture(
        result.analysis / "regions" / "regions masked.png",
        "What ATM reads from the electrodes of one region, and what it loses without them.",
    )
