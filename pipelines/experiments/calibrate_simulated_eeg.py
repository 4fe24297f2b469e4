"""Check the noise of the simulated EEG and MEG subjects: how well ridge finds validation pictures from their epochs.

    python pipelines/experiments/calibrate_simulated_eeg.py
    python pipelines/experiments/calibrate_simulated_eeg.py --noise 0.5 1 2

For each subject, ridge from flattened epochs (repeats of each picture averaged, 0 to 1 s) to pooled CLIP embeddings of
the pictures, its strength cross-validated within the training pictures; then retrieval of the 100 validation pictures.
The noise in ``braindecode_x/datasets/simulated_eeg.py`` is chosen so that each top-1 lies between 10% and 45%, best
between 20% and 30%. Test pictures are not shown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from braindecode_x.clip import ClipEncoder, image_targets
from braindecode_x.datasets.simulated_eeg import SimulatedEeg, SimulatedMeg, SimulatedRecording
from braindecode_x.metrics.retrieval import retrieval_scores
from braindecode_x.models.ridge import RidgeDecoder
from braindecode_x.stimuli import ObjectStimuli

LOW, HIGH = 0.10, 0.45
COHORTS = {"EEG": (SimulatedEeg, 1e6, "uV"), "MEG": (SimulatedMeg, 1e15, "fT")}


def retrieval(subject: SimulatedRecording, embeddings: dict[str, torch.Tensor]) -> dict[str, float]:
    """Top-1 and top-5 among the validation pictures."""
    after = subject.times >= 0
    train, validation = (
        subject.average(split)[1][..., after].reshape(len(embeddings[split]), -1) for split in ("train", "validation")
    )
    decoder = RidgeDecoder().fit(train, embeddings["train"].numpy())
    scores = retrieval_scores(torch.from_numpy(decoder.predict(validation)), embeddings["validation"])
    return {name: scores[f"image {name}"].mean().item() for name in ("top-1", "top-5")}


def sizes(subject: SimulatedRecording, unit: float) -> dict[str, float]:
    """Greatest evoked response, and over channels and times after onset: single-trial noise, spread over pictures."""
    after = subject.times >= 0
    evoked = subject.truth.evoked(subject.average("validation")[0])[..., after] * unit
    noise = subject.repeats("validation")[..., after].std(axis=1, ddof=1) * unit
    spread = evoked.std(axis=0)
    signal_to_noise = np.square(spread).mean() / np.square(noise).mean()
    return {
        "evoked": np.abs(evoked.mean(axis=0)).max(),
        "spread": np.sqrt(np.square(spread).mean()),
        "noise": np.sqrt(np.square(noise).mean()),
        "SNR (dB)": 10 * np.log10(signal_to_noise),
        "SNR of 4 (dB)": 10 * np.log10(4 * signal_to_noise),
    }


def measured(arguments: argparse.Namespace) -> Iterator[dict[str, object]]:
    pictures = ObjectStimuli().subset(rendering="fluent3d", split=["train", "validation"])
    encoder = ClipEncoder()
    embeddings = {
        split: image_targets(pictures.subset(split=split), encoder).tensor() for split in ("train", "validation")
    }
    for kind in arguments.kinds:
        cohort_class, unit, name = COHORTS[kind]
        for level in arguments.noise:
            cohort = cohort_class(arguments.seed, pictures, noise=level)
            for person in cohort.subjects:
                started = time.time()
                subject = cohort.subject(person)
                seconds = time.time() - started
                scores = retrieval(subject, embeddings)
                row = {"kind": kind, "level": level, "subject": person, **scores}
                row |= {"inside": LOW <= scores["top-1"] <= HIGH, "unit": name, **sizes(subject, unit)}
                yield {**row, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=list(COHORTS), default=list(COHORTS))
    parser.add_argument("--noise", nargs="+", type=float, default=[1.0], help="levels, relative to the chosen one")
    print(pd.DataFrame(measured(parser.parse_args())).to_string(index=False, float_format="%.2f"))


if __name__ == "__main__":
    main()
