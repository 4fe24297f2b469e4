"""Check the noise of the simulated fMRI subjects: how well ridge finds validation pictures from their betas.

    python pipelines/experiments/calibrate_simulated_fmri.py

For each subject, ridge from betas (repeats of each picture averaged) to pooled CLIP embeddings of the pictures, its
strength cross-validated within the training pictures; then retrieval of the 100 validation pictures. The regions' noise
ceilings and the subjects' noise in ``braindecode_x/datasets/simulated_fmri.py`` are chosen so that each top-1 lies
between 20% and 55%. Test pictures are not shown.
"""

from __future__ import annotations

import argparse
import time

import pandas as pd
import torch

from braindecode_x.clip import ClipEncoder, image_targets
from braindecode_x.datasets.simulated_fmri import SimulatedFmri, SimulatedSubject
from braindecode_x.metrics.noise_ceiling import split_half_noise_ceiling
from braindecode_x.metrics.retrieval import retrieval_scores
from braindecode_x.models.ridge import RidgeDecoder
from braindecode_x.stimuli import ObjectStimuli

LOW, HIGH = 0.20, 0.55


def retrieval(subject: SimulatedSubject, embeddings: dict[str, torch.Tensor]) -> dict[str, float]:
    """Top-1 and top-5 among the validation pictures."""
    _, train = subject.average("train")
    _, validation = subject.average("validation")
    decoder = RidgeDecoder().fit(train, embeddings["train"].numpy())
    scores = retrieval_scores(torch.from_numpy(decoder.predict(validation)), embeddings["validation"])
    return {name: scores[f"image {name}"].mean().item() for name in ("top-1", "top-5")}


def region_ceilings(subject: SimulatedSubject) -> pd.DataFrame:
    """Noise ceilings of single trials, mean over each region's voxels: as known, and as estimated from repeats."""
    estimated = split_half_noise_ceiling(subject.repeats("train"))
    voxels = pd.DataFrame({"region": subject.regions, "known": subject.noise_ceiling, "split-half": estimated})
    return voxels.groupby("region", sort=False).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pictures = ObjectStimuli().subset(rendering="fluent3d", split=["train", "validation"])
    encoder = ClipEncoder()
    embeddings = {
        split: image_targets(pictures.subset(split=split), encoder).tensor() for split in ("train", "validation")
    }
    cohort = SimulatedFmri(arguments.seed, pictures)
    rows, ceilings = [], {}
    for name in cohort.subjects:
        started = time.time()
        subject = cohort.subject(name)
        seconds = time.time() - started
        scores = retrieval(subject, embeddings)
        inside = LOW <= scores["top-1"] <= HIGH
        rows.append({"subject": name, "voxels": len(subject.regions), **scores, "inside": inside, "seconds": seconds})
        ceilings[name] = region_ceilings(subject)
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.2f"))
    print(pd.concat(ceilings, axis=1).to_string(float_format="%.3f"))


if __name__ == "__main__":
    main()
