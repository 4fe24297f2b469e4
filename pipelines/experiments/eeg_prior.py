"""What the diffusion prior and the low-level start are worth on the simulated EEG subjects.

    python pipelines/experiments/eeg_prior.py

The ATM-S of ``eeg_baselines.py`` that was trained for all subjects (trained here if it is not in ``--work``) decodes
the pictures of two of them. Its embeddings go to the embedded decoder as they are, or by way of a diffusion prior:
trained on true embeddings that are disturbed as predictions of new trials are ("noisy"), on predictions of training
trials ("predicted"), or on these as published, sampled with guidance 5. Pictures start from noise, or from what the
low-level branch made of the same trials.

How our priors are sampled, which of them is used, and how strong the low-level start is, is chosen on the 50 validation
pictures that did not shape the noise; the test pictures are reconstructed once. Writes ``eeg_prior.csv`` (both splits;
retrieval of embeddings, judged pictures; intervals over concepts, and paired differences to ATM-S alone),
``eeg_prior.png`` and, with some pictures, ``eeg_prior_pictures.png``.
Trainings and pictures are kept in ``--work``, so a run that was cut goes on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from eeg_fitting import ATM, RIDGE, WITHIN, KeptEeg, atm_for_all, data_of, experiment_parser
from fitting import fit_best

from braindecode_x.analysis.parts import fit_ridge, labelled
from braindecode_x.callbacks import SaveDecoder
from braindecode_x.clip import EmbeddingSpace
from braindecode_x.datamodules import EpochsDataModule, PredictedEmbeddings
from braindecode_x.diffusion.prior import EmbeddingPrior
from braindecode_x.diffusion.reconstruct import reconstruct_file
from braindecode_x.embeddings import Embeddings
from braindecode_x.files import atomic_path, write_figure
from braindecode_x.metrics.comparison import EVERYONE, Pictures, Row, comparison_rows, deal, trial_scores
from braindecode_x.metrics.evaluate import read_reconstructions
from braindecode_x.metrics.judge import Judge
from braindecode_x.tasks import LowLevelTask, PriorTask

SPLITS = ("validation", "test")
NOISY, PREDICTED, AS_PUBLISHED = "noisy prior", "predicted prior", "prior as published"
LOW = "low-level start"
CHANCE, CEILING = "chance", "ceiling"
PRIORS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # of the task, of the data
    NOISY: ({}, {"conditions": "noisy"}),
    PREDICTED: ({}, {"conditions": "predicted"}),
    AS_PUBLISHED: ({"published": True}, {"conditions": "predicted"}),
}
SAMPLINGS: dict[str, tuple[str, dict[str, Any]]] = {
    f"{name}, guidance {guidance:g}, {samples} averaged": (name, {"guidance": guidance, "samples": samples})
    for name in (NOISY, PREDICTED)
    for guidance, samples in ((2.0, 1), (2.0, 8), (5.0, 1), (5.0, 8))
}
STRENGTHS = {f"{LOW}, strength {strength:g}": strength for strength in (0.8, 0.6, 0.4)}
CHOSEN_BY = "embedded judge, two-way"
DRAWN = ("image from brain, 200-way", "image from brain, 50-way", CHOSEN_BY, "embedded judge, 50-way", "PixCorr")
SHOWN = 10


@dataclass
class Decoded:
    """What a system gives the reconstructor.

    Attributes
    ----------
    embeddings : Embeddings
    strength : float or None
        Of the low-level start; None: from noise.
    """

    embeddings: Embeddings
    strength: float | None = None


class Studio:
    """Makes and judges pictures of one split.

    Parameters
    ----------
    work : Path
    cohort : KeptEeg
    index : pandas.DataFrame
        ``id``, ``subject`` and ``stimulus`` of every trial.
    truth : Embeddings
        Of every picture once.
    low_level : Path
        File of latents.
    seed : int
    """

    def __init__(self, work: Path, cohort: KeptEeg, index: pd.DataFrame, truth: Embeddings, low_level: Path, seed: int):
        self.work, self.index, self.low_level, self.seed = work, index, low_level, seed
        self.judge = Judge()
        self.place = pd.Index(truth.index["stimulus"]).get_indexer(index["stimulus"])
        ceiling = self._pictures(CEILING, Decoded(truth))
        seen = cohort.stimuli.pixels(ceiling.pixels.shape[-1], truth.ids).float() / 255
        known = truth.image[self.place.tolist()]
        self.seen = Row(Pictures(seen, [], self._judged(seen)), self.place, known)
        self.ceiling = Row(ceiling, self.place, known)

    def row(self, name: str, decoded: Decoded) -> Row:
        """Reconstruct what a system decoded from every trial."""
        return Row(self._pictures(name, decoded), np.arange(len(self.index)), decoded.embeddings.image)

    def table(self, rows: Mapping[str, Row]) -> pd.DataFrame:
        """Score rows, with the mean of ATM-S' rows dealt anew and the ceiling beside them."""
        subjects, stimuli = (self.index[name].to_numpy() for name in ("subject", "stimulus"))
        first, dealt = rows[ATM], deal(subjects, self.seed)
        chance = Row(first.pictures, dealt, first.embeddings[dealt.tolist()])
        every = {**rows, CHANCE: chance, CEILING: self.ceiling}
        scores = {name: trial_scores(row, self.seen, subjects) for name, row in every.items()}
        return comparison_rows(scores, stimuli, subjects, self.seed, baseline=ATM)

    def _pictures(self, name: str, decoded: Decoded) -> Pictures:
        file, folder = self.work / f"{name}.safetensors", self.work / name
        decoded.embeddings.save(file)
        options: dict[str, Any] = {}
        if decoded.strength is not None:
            options = {"low_level": self.low_level, "sampling": {"strength": decoded.strength}}
        reconstruct_file(file, folder, seed=self.seed, overwrite=True, **options)
        manifest, pixels = read_reconstructions(folder)
        return Pictures(pixels[:, 0], manifest["file"].tolist(), self._judged(pixels[:, 0]))

    def _judged(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"embedded": self.judge.features(pixels)}


def train_prior(name: str, decoder: Path, cohort: KeptEeg, epochs: int, seed: int) -> EmbeddingPrior:
    """Train a prior of the decoder of all subjects, or load it."""
    folder = decoder / f"{name} {epochs} epochs"
    if not (folder / "prior.json").exists():
        task, options = PRIORS[name]
        data = PredictedEmbeddings(decoder, data_of(cohort, cohort.subjects), seed=seed, **options)
        with tempfile.TemporaryDirectory() as checkpoints:
            callbacks = (SaveDecoder(folder),)
            fit_best(PriorTask(**task), data, checkpoints, epochs=epochs, seed=seed, callbacks=callbacks)
    return EmbeddingPrior.from_pretrained(folder)


def decode_latents(cohort: KeptEeg, work: Path, epochs: int, seed: int) -> dict[str, Path]:
    """Train the low-level branch for all subjects, and decode two of them: a file of latents for each split."""
    files = {split: work / f"latents/{split} {epochs} epochs.safetensors" for split in SPLITS}
    if not all(file.exists() for file in files.values()):
        data, task = data_of(cohort, cohort.subjects), LowLevelTask()
        with tempfile.TemporaryDirectory() as folder:
            _, best = fit_best(task, data, folder, epochs=epochs, seed=seed)
            task.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
        task.eval()
        for split, loader in (("validation", data.val_dataloader()), ("test", data.test_dataloader())):
            with torch.inference_mode():
                batches = [(batch, task.predict_embeddings(batch)[0]) for batch in loader]
            latents = torch.cat([latent for _, latent in batches])
            trials = [(number, name) for batch, _ in batches for number, name in batch_trials(batch)]
            index = index_of([cohort.subjects[number] for number, _ in trials], [name for _, name in trials])
            Embeddings(index, task.space, latents).save(files[split])
    return files


def batch_trials(batch: Any) -> list[tuple[int, str]]:
    return list(zip(batch.subject.tolist(), batch.stimulus, strict=True))


def index_of(subjects: list[str], stimuli: list[str]) -> pd.DataFrame:
    ids = [f"{subject}_{stimulus}" for subject, stimulus in zip(subjects, stimuli, strict=True)]
    return pd.DataFrame({"id": ids, "subject": subjects, "stimulus": stimuli})


def decode_atm(decoder: Path, cohort: KeptEeg, split: str) -> tuple[Embeddings, Embeddings]:
    """Decode a split of two subjects; return it with the true embeddings of its pictures."""
    data = PredictedEmbeddings(decoder, data_of(cohort, WITHIN))
    (batch,) = data.val_dataloader() if split == "validation" else data.test_dataloader()
    index = index_of([data.names[number] for number in batch.subject.tolist()], batch.stimulus)
    stimuli = list(dict.fromkeys(batch.stimulus))
    image = torch.stack([data.data.targets[name][0] for name in stimuli]).float()
    truth = Embeddings(pd.DataFrame({"id": stimuli, "stimulus": stimuli}), data.space, image)
    return Embeddings(index, data.space, batch.brain), truth


def decode_ridge(data: EpochsDataModule, split: str, index: pd.DataFrame) -> Embeddings:
    """Decode a split of two subjects by ridge, fitted to each."""
    parts = {}
    for name in WITHIN:
        _, train, targets = labelled(data, name, "train")
        stimuli, brain, _ = labelled(data, name, split)
        predicted = torch.from_numpy(fit_ridge(train, targets)(brain))
        parts |= {f"{name}_{stimulus}": row for stimulus, row in zip(stimuli, predicted, strict=True)}
    space: EmbeddingSpace = data.space
    return Embeddings(index, space, space.normalised(torch.stack([parts[i] for i in index["id"]])))


def best_of(table: pd.DataFrame, names: list[str], metric: str) -> str:
    """Return the system that does best on validation pictures."""
    shown = table[(table["subject"] == EVERYONE) & (table["metric"] == metric)].set_index("system")
    return str(shown.loc[names, "value"].idxmax())


def sampled(prior: EmbeddingPrior, decoded: Embeddings, sampling: dict[str, Any], seed: int) -> Embeddings:
    """Sample what pictures could have, given what was decoded."""
    image = prior.with_sampling(**sampling)(decoded.image, decoded.ids, seed)
    return Embeddings(decoded.index, decoded.space, image)


def draw(table: pd.DataFrame, target: Path) -> None:
    """Draw test scores with intervals."""
    shown = table[(table["split"] == "test") & (table["subject"] == EVERYONE)]
    figure, panels = plt.subplots(1, len(DRAWN), figsize=(15, 3.6), layout="constrained", sharey=True)
    systems = list(dict.fromkeys(shown["system"]))[::-1]
    for axes, metric in zip(panels, DRAWN, strict=True):
        own = shown[shown["metric"] == metric].set_index("system").loc[systems]
        spread = np.abs(own[["low", "high"]].to_numpy().T - own["value"].to_numpy())
        axes.errorbar(own["value"], range(len(own)), xerr=spread, fmt="o", markersize=4, linewidth=1)
        axes.axvline(own.loc[ATM, "value"], color="0.6", linewidth=0.8, linestyle="--")
        axes.set_title(metric, size="medium")
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(systems)), systems)
    write_figure(figure, target)


def draw_pictures(studio: Studio, rows: Mapping[str, Row], target: Path) -> None:
    """Draw the first subject's first test pictures, not picked: a row a system."""
    columns = {"seen": studio.seen, **rows, CEILING: studio.ceiling}
    figure, grid = plt.subplots(len(columns), SHOWN, figsize=(SHOWN, 1.04 * len(columns)), layout="constrained")
    for axes_row, (name, row) in zip(grid, columns.items(), strict=True):
        for axes, which in zip(axes_row, row.which[:SHOWN], strict=True):
            axes.imshow(row.pictures.pixels[which].permute(1, 2, 0))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        axes_row[0].set_ylabel(name, rotation=0, ha="right", va="center", size="small")
    write_figure(figure, target, dpi=110)


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--prior-epochs", type=int, default=150)
    parser.add_argument("--low-level-epochs", type=int, default=20)
    arguments = parser.parse_args()
    seed, work = arguments.seed, arguments.work
    cohort = KeptEeg(work / "recordings", seed)
    folder = atm_for_all(cohort, work, arguments.epochs, seed)
    priors = {name: train_prior(name, folder, cohort, arguments.prior_epochs, seed) for name in PRIORS}
    latents = decode_latents(cohort, work, arguments.low_level_epochs, seed)

    decoded, truth = decode_atm(folder, cohort, "validation")
    studio = Studio(work / "validation", cohort, decoded.index, truth, latents["validation"], seed)
    systems = {ATM: Decoded(decoded)}
    for name, (prior, each) in SAMPLINGS.items():
        systems[name] = Decoded(sampled(priors[prior], decoded, each, seed))
    systems |= {name: Decoded(decoded, strength) for name, strength in STRENGTHS.items()}
    chosen = studio.table({name: studio.row(name, each) for name, each in systems.items()})
    groups = {prior: [name for name, (own, _) in SAMPLINGS.items() if own == prior] for prior in (NOISY, PREDICTED)}
    best = {prior: best_of(chosen, names, CHOSEN_BY) for prior, names in groups.items()}
    sampling, strength = (best_of(chosen, list(names), CHOSEN_BY) for names in (SAMPLINGS, STRENGTHS))
    print(f"chosen on validation pictures: {', '.join(best.values())}, of these {sampling}; {strength}")

    decoded, truth = decode_atm(folder, cohort, "test")
    studio = Studio(work / "test", cohort, decoded.index, truth, latents["test"], seed)
    ridge = decode_ridge(data_of(cohort, WITHIN), "test", decoded.index)
    samplings = {prior: SAMPLINGS[name][1] for prior, name in best.items()}
    samplings[AS_PUBLISHED] = {"guidance": 5.0, "samples": 1}
    likely = {name: sampled(priors[name], decoded, each, seed) for name, each in samplings.items()}
    started, (prior, _) = STRENGTHS[strength], SAMPLINGS[sampling]
    systems = {RIDGE: Decoded(ridge), ATM: Decoded(decoded)}
    systems |= {f"{ATM}, {name}": Decoded(each) for name, each in likely.items()}
    systems |= {f"{ATM}, {LOW}": Decoded(decoded, started), f"{ATM}, {prior}, {LOW}": Decoded(likely[prior], started)}
    rows = {name: studio.row(name, each) for name, each in systems.items()}
    table = pd.concat([chosen.assign(split="validation"), studio.table(rows).assign(split="test")], ignore_index=True)
    with atomic_path(arguments.output / "eeg_prior.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")
    draw(table, arguments.output / "eeg_prior.png")
    draw_pictures(studio, rows, arguments.output / "eeg_prior_pictures.png")
    shown = table[(table["subject"] == EVERYONE) & (table["split"] == "test")]
    print(shown.pivot(index="system", columns="metric", values="value").to_string(float_format="%.3f"))


if __name__ == "__main__":
    main()
