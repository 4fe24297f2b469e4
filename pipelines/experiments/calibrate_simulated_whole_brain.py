"""Check the noise of the simulated whole-brain subjects: how well ridge finds validation pictures from their windows.

    python pipelines/experiments/calibrate_simulated_whole_brain.py
    python pipelines/experiments/calibrate_simulated_whole_brain.py --noise 0.5 1 2

For each subject, ridge from flattened windows (repeats of each picture averaged) to pooled CLIP embeddings of the
pictures and of their captions, its strength cross-validated within the training pictures; then retrieval of the 100
validation pictures, from all parcels and from single networks. The same ridge, which saw no imagination, retrieves the
captions of 40 validation concepts from the runs in which they were imagined. The noise in
``braindecode_x/datasets/simulated_bold.py`` is chosen so that top-1 from all parcels lies between 10% and 45%. Test
pictures are not shown.
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
ALONE = ("Visual", "DefaultMode", "DorsalAttention", "FrontoParietal")
IMAGINED = IMAGERY_SPLITS["validation"]
Embeddings = dict[str, np.ndarray]


def scores(subject: SubjectWindows, chosen: np.ndarray, images: Embeddings, texts: Embeddings) -> dict[str, float]:
    """Train ridge on some parcels of the training pictures' windows; retrieve what was seen, and what was imagined."""
    (train, windows), *held_out = (subject.average(split) for split in ("train", "validation", IMAGINED))
    both = np.stack([np.concatenate([images[name], texts[name]]) for name in train])
    decoder = RidgeDecoder().fit(windows[..., chosen].reshape(len(train), -1), both)
    found = {}
    for (names, shown), kind, targets in zip(held_out, ("seen", "imagined"), (images, texts), strict=True):
        half = slice(None, both.shape[1] // 2) if kind == "seen" else slice(both.shape[1] // 2, None)
        predicted = decoder.predict(shown[..., chosen].reshape(len(names), -1))[:, half]
        if kind == "imagined":  # its mean answers are others, which moves all predictions alike
            predicted = predicted - predicted.mean(axis=0) + both[:, half].mean(axis=0)
        wanted = torch.from_numpy(np.stack([targets[name] for name in names]))
        found[f"{kind} top-1"] = retrieval_scores(torch.from_numpy(predicted), wanted)["image top-1"].mean().item()
    return found


def measured(arguments: argparse.Namespace) -> Iterator[dict[str, object]]:
    pictures = ObjectStimuli().subset(rendering="fluent3d", split=["train", "validation"])
    encoder = ClipEncoder()
    images, texts = (
        dict(zip(pictures.ids, targets(pictures, encoder).tensor().numpy(), strict=True))
        for targets in (image_targets, text_targets)
    )
    for level in arguments.noise:
        cohort = SimulatedWholeBrain(arguments.seed, pictures, noise=level)
        for person in arguments.subjects or cohort.subjects:
            started = time.process_time()
            subject = cohort.subject(person)
            row = {"level": level, "subject": person, "CPU seconds": time.process_time() - started}
            for network in ("all", *arguments.networks):
                everything = np.ones(len(cohort.parcels), bool)
                chosen = everything if network == "all" else cohort.parcels.in_network(network)
                found = scores(subject, chosen, images, texts)
                yield {**row, "parcels": network, **found, "inside": LOW <= found["seen top-1"] <= HIGH}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--subjects", nargs="+", help="default: all")
    parser.add_argument("--noise", nargs="+", type=float, default=[1.0], help="levels, relative to the chosen one")
    parser.add_argument("--networks", nargs="*", default=list(ALONE), help="networks to decode from by themselves")
    print(pd.DataFrame(measured(parser.parse_args())).to_string(index=False, float_format="%.2f"))


if __name__ == "__main__":
    main()
