"""Simulated whole-brain fMRI: 4-D NIfTI to parcels, a pre-trained sequence model, pictures, networks, imagination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from braindecode_x.analysis.brain_stage import analyse_attribution, analyse_networks
from braindecode_x.analysis.imagination_stage import analyse_imagination
from braindecode_x.analysis.settings import StudySettings
from braindecode_x.clip import ClipEncoder
from braindecode_x.datasets.simulated_bids import export_bids
from braindecode_x.datasets.simulated_whole_brain import SimulatedWholeBrain
from braindecode_x.demo.cohort import CohortResult, score_systems, show_found, show_pictures, train, train_and_predict
from braindecode_x.demo.stages import announced, stage
from braindecode_x.files import claim_folder
from braindecode_x.preprocessing.commands import fmri
from braindecode_x.report import Page, breakable
from braindecode_x.run_report import read_csv
from braindecode_x.stimuli import ObjectStimuli

TEXT = ("subject", "decoded", "against", "metric")
BASELINES = {"val/zero": "mean of the run", "val/window_mean": "mean of the window before", "val/last": "last volume"}


@dataclass(frozen=True)
class WholeBrainSettings:
    """How large this part is: minutes on two processor cores.

    Attributes
    ----------
    subjects : tuple of str
        Of `SimulatedWholeBrain`.
    repeats : mapping of str to int
        How often a picture of a split is shown.
    resolution : int
        Edge of the exported images' voxels, mm.
    people, pretraining_epochs : int
        Of the corpus without pictures, and of the training on it.
    epochs : int
        Of the training on pictures.
    permutations : int
        Of every test.
    """

    subjects: tuple[str, ...] = ("sub-01",)
    repeats: Mapping[str, int] = field(default_factory=lambda: {"train": 2, "validation": 2, "test": 3})
    resolution: int = 6
    people: int = 16
    pretraining_epochs: int = 4
    epochs: int = 20
    permutations: int = 10_000

    @property
    def cohort(self) -> SimulatedWholeBrain:
        """The subjects."""
        return SimulatedWholeBrain(seed=0, repeats=self.repeats)


@dataclass
class WholeBrainResult(CohortResult):
    """What was found.

    Attributes
    ----------
    settings : WholeBrainSettings
    output : Path
        Of the part.
    """

    settings: WholeBrainSettings
    output: Path

    @property
    def analysis(self) -> Path:
        """Folder of what ``braindecode-x analyse`` made."""
        return self.output / "analysis"


def decode_whole_brain(
    output: Path, encoder: ClipEncoder, seed: int, n_pictures: int, settings: WholeBrainSettings
) -> WholeBrainResult:
    """Preprocess images of simulated runs, pre-train, train, reconstruct, and ask which networks tell what."""
    parcels, cohort = _preprocessed(output, settings), settings.cohort
    corpus = ("--data.init_args.cohort.init_args.n_people", str(settings.people))
    train(
        output / "pretraining",
        "wave_pretraining_simulated.yaml",
        *(*corpus, "--trainer.max_epochs", str(settings.pretraining_epochs)),
    )
    data = (
        *("--data.init_args.cohort", "braindecode_x.datasets.PreprocessedRuns"),
        *("--data.init_args.cohort.init_args.folder", str(parcels)),
    )
    start = ("--model.init_args.pretrained", str(output / "pretraining" / "wave"))
    length = ("--trainer.max_epochs", str(settings.epochs))
    wave, config = output / "wave", "wave_simulated.yaml"
    decoded = {
        "WAVE": train_and_predict(wave, config, *data, *start, *length),
        "ridge": train_and_predict(output / "ridge", "ridge_simulated_whole_brain.yaml", *data),
    }
    shown = ObjectStimuli().subset(split="train", rendering="fluent3d")
    scored = score_systems(decoded, output, encoder, seed, n_pictures, cohort.subjects, shown, wave)
    _analyse(StudySettings(output / "analysis", wave, seed=seed, overwrite=True), settings.permutations)
    return WholeBrainResult(scored.retrieval, scored.comparison, scored.folder, settings, output)


def _preprocessed(output: Path, settings: WholeBrainSettings) -> Path:
    """Write the subjects' runs as 4-D images, and run ``preprocess fmri`` on them; what is there is kept."""
    images, parcels, cohort = output / "nifti", output / "parcels", settings.cohort
    chosen = list(settings.subjects)
    about = {"subjects": chosen, "repeats": dict(settings.repeats), "resolution": settings.resolution}
    claim_folder(images, about, "simulated images", overwrite=True)
    stage("write simulated runs as 4-D NIfTI", lambda: export_bids(cohort, images, chosen, "*", settings.resolution))
    n_volumes, delay = cohort.n_volumes, cohort.delay
    asked = ["preprocess", "fmri", str(images), str(parcels), "--pictures", "objects", "--overwrite", "true"]
    announced(
        [*asked, "--n_volumes", str(n_volumes), "--delay", f"{delay:g}"],
        lambda: fmri(images, parcels, pictures=Path("objects"), n_volumes=n_volumes, delay=delay, overwrite=True),
    )
    return parcels


def _analyse(study: StudySettings, permutations: int) -> None:
    """Run ``analyse networks``, ``attribution`` and ``imagination``."""
    asked = ["--decoder", str(study.decoder), "--output", str(study.output)]
    asked += ["--seed", str(study.seed), "--overwrite", "true"]
    count = ["--permutations", str(permutations)]
    announced(
        ["analyse", "networks", "--modes", "[masked]", *count, *asked],
        lambda: analyse_networks(study, ["masked"], permutations=permutations),
    )
    announced(["analyse", "attribution", *asked], lambda: analyse_attribution(study))
    imagined = replace(study, split="imagination")
    announced(
        ["analyse", "imagination", "--reconstructor", "embedded", *count, *asked],
        lambda: analyse_imagination(imagined, True, "2-way", permutations, "embedded", None, "embedded", 8),
    )


def show_whole_brain(page: Page, result: WholeBrainResult) -> None:
    """Add what was found to the page."""
    settings, cohort = result.settings, result.settings.cohort
    page.heading("Simulated whole-brain fMRI, WAVE")
    page.text(
        f"Simulated subjects ({', '.join(settings.subjects)}) saw 1,076 pictures {settings.repeats['train']} times "
        f"each, 200 pictures of concepts that no trained part knows {settings.repeats['test']} times each, and "
        f"imagined 40 of these from their captions. Runs were written as 4-D images of {settings.resolution} mm in MNI "
        "space; braindecode-x preprocess fmri made the 300 parcels of the Seitzman atlas of them. WAVE's "
        "sequence model was pre-trained on runs of other simulated people, "
        "without pictures, then aligned with pictures and captions, and chosen on other, validation pictures. To take "
        f"minutes, this part is small: {settings.people} people to pre-train on, {settings.epochs} epochs of "
        "alignment. wave_simulated.yaml trains on four subjects with more repeats."
    )
    page.table(_pretraining_errors(result.output / "pretraining"), "Masked volumes of held-out runs")
    show_found(page, result)
    show_pictures(page, result)
    page.text(
        "Which networks carry it: the trained WAVE with all parcels but a network's, or the network's own, set to "
        "their mean over training pictures. What was planted is known:"
    )
    truth = cohort.truth
    planted = truth.loc[truth["semantic"] > 0, ["parcels", "semantic", "visual", "imagery"]]
    names = {"semantic": "share of what is semantic", "visual": "share of what is visual", "imagery": "when imagined"}
    shares = planted.rename(columns=names).drop(columns="parcels").map("{:.0%}".format)
    page.table(shares.assign(parcels=planted["parcels"]), "The networks that carry anything of a picture")
    networks, attribution, imagined = (result.analysis / name for name in ("networks", "attribution", "imagination"))
    page.picture(networks / "networks masked.png", "Two-way accuracy on the test pictures.")
    page.picture(
        attribution / "attribution.png", "What WAVE's score of the seen picture draws on (integrated gradients)."
    )
    page.embed(attribution / "brain.html", "The same, to turn; a marker names its parcel.")
    page.text(
        "Imagination: the decoder, which was trained on seen pictures alone, decodes what was imagined; the true "
        "prompt is matched against those of all others."
    )
    page.table(_imagination(read_csv(imagined / "statistics.csv", TEXT)), "Imagined prompts among all others")
    page.picture(imagined / "permutations.png", "Two-way accuracy, beside matchings of trials to prompts at random.")
    page.picture(imagined / "reconstructions.png", "The first prompts, not picked.")


def _pretraining_errors(run: Path) -> pd.DataFrame:
    """Return the errors of the network that was kept and of what needs none."""
    metrics = pd.read_csv(run / "metrics.csv").dropna(subset="val/loss")
    best = metrics.loc[metrics["val/loss"].idxmin()]
    rows = {"WAVE's sequence model": best["val/loss"], **{label: best[name] for name, label in BASELINES.items()}}
    column = "mean absolute error (standard deviations of a parcel)"
    return pd.Series(rows, name=column).map("{:.3f}".format).to_frame()


def _imagination(statistics: pd.DataFrame) -> pd.DataFrame:
    """Turn statistics to one row a comparison."""
    shown = statistics[statistics["subject"] == statistics["subject"].iloc[-1]]
    rows = {}
    for (decoded, against), own in shown.groupby(["decoded", "against"], sort=False):
        by_metric = own.set_index("metric")
        two_way, effect = by_metric.loc["2-way"], by_metric.loc["effect size"]
        rows[f"{decoded} against {against}"] = {
            "two-way (chance 50%)": f"{two_way['value']:.1%} [{two_way['low']:.1%}, {two_way['high']:.1%}]",
            "p": f"{two_way['p_value']:.4f}",
            "effect size": f"{effect['value']:.2f} [{effect['low']:.2f}, {effect['high']:.2f}]",
            "prompts": str(int(two_way["n"])),
        }
    return breakable(pd.DataFrame(rows).T)
