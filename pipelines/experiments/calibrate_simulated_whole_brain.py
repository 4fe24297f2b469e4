"""Check the noise of the simulated whole-brain subjects: how well ridge finds validation pictures from their windows.

    python pipelines/experiments/calibrate_simulated_whole_brain.py
    python pipelines/experiments/calibrate_simulated_whole_brain.py --noise 0.5 1 2

For each subject, ridge from flattened windows (repeats of each picture averaged) to pooled CLIP embeddings of the
pictures, its strength cross-validated within the training pictures; then retrieval of the 100 validation pictures, from
all parcels and from single networks, and, from imagination, of the captions of 40 validation concepts by ridge to the
captions' embeddings that saw no imagination. The noise in ``braindecode_x/datasets/simulated_bold.py`` is chosen so
that the first top-1 lies between 10% and 45%. Test pictures are not shown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from braindecode_x.clip import ClipEncoder, image_targets, text_targets
from braindecode_x.datasets.runs import SubjectWindows
from braindecode_x.datasets.simulated_whole_brain import IMAGERY_SPLITS, SimulatedWholeBrain
from braindecode_x.metrics.retrieval import retrieval_scores
from braindecode_x.models.ridge import RidgeDecoder
from braindecode_x.stimuli import ObjectStimuli

LOW, HIGH = 0.10, 0.45
ALONE = ("Visual", "DefaultMode", "DorsalAttention", "FrontoParietal", "SomatomotorDorsal")  # networks by themselves
Embeddings = dict[str, torch.Tensor]


def top_1(subject: SubjectWindows, chosen: np.ndarray, targets: Embeddings, split: str = "validation") -> float:
    """Train ridge on parcels of the training pictures' windows and retrieve what a split shows or prompts."""
    (train, train_windows), (found, windows) = (subject.average(name) for name in ("train", split))
    decoder = RidgeDecoder().fit(
        train_windows[..., chosen].reshape(len(train), -1), torch.stack([targets[i] for i in train]).numpy()
    )
    predicted = decoder.predict(windows[..., chosen].reshape(len(found), -1))
    scores = retrieval_scores(torch.from_numpy(predicted), torch.stack([targets[i] for i in found]))
    return scores["image top-1"].mean().item()


def measured(arguments: argparse.Namespace) -> Iterator[dict[str, object]]:
    pictures = ObjectStimuli().subset(rendering="fluent3d", split=["train", "validation"])
    encoder = ClipEncoder()
    images, texts = (
        dict(zip(pictures.ids, targets(pictures, encoder).tensor(), strict=True))
        for targets in (image_targets, text_targets)
    )
    for level in arguments.noise:
        cohort = SimulatedWholeBrain(arguments.seed, pictures, noise=level)
        everything = np.ones(len(cohort.parcels), bool)
        for person in arguments.subjects or cohort.subjects:
            started = time.process_time()
            subject = cohort.subject(person)
            seconds = time.process_time() - started
            score = top_1(subject, everything, images)
            row = {"level": level, "subject": person, "top-1": score, "inside": LOW <= score <= HIGH}
            row |= {name: top_1(subject, cohort.parcels.in_network(name), images) for name in ALONE}
            imagined = {
                f"imagined {name}": top_1(subject, chosen, texts, IMAGERY_SPLITS["validation"])
                for name, chosen in {"": everything, "Visual": cohort.parcels.in_network("Visual")}.items()
            }
            yield {**row, **imagined, "CPU seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--subjects", nargs="+", help="default: all")
    parser.add_argument("--noise", nargs="+", type=float, default=[1.0], help="levels, relative to the chosen one")
    print(pd.DataFrame(measured(parser.parse_args())).to_string(index=False, float_format="%.2f"))


if __name__ == "__main__":
    main()
