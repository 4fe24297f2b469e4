from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from braindecode_x.analysis.parts import SubjectPictures
from braindecode_x.datamodules.base import Standardisation
from braindecode_x.datasets import SimulatedWholeBrain
from braindecode_x.datasets.simulated_eeg import SimulatedEeg
from braindecode_x.stimuli import ObjectStimuli

Looking = Callable[..., SubjectPictures]


@pytest.fixture(scope="session")
def looking(tmp_path_factory) -> Looking:
    """Give a simulated subject whose pictures are to be decoded to some of the features that its sources answer to.

    Where and when these features are in the brain is known: orientation in the occipital cortex from 50 ms on, category
    and keywords above all in temporal and parietal sources, at 320 and 400 ms.
    """
    pictures = ObjectStimuli().subset(rendering="fluent3d")
    ids = [name for split, n in (("train", 300), ("test", 60)) for name in pictures.subset(split=split).ids[:n]]
    folder = tmp_path_factory.mktemp("features")
    once = {"train": 2, "test": 4}
    cohort = SimulatedEeg(0, pictures.subset(ids=ids), folder, sfreq=50, repeats=once, noise=2.0)
    subject = cohort.subject("sub-01")
    (_, train), (stimuli, test) = subject.average("train"), subject.average("test")
    mean, std = (part(train, axis=(0, 2))[:, None] for part in (np.mean, np.std))
    standardise = Standardisation(mean, std)

    def embedded(*kinds: str) -> SubjectPictures:
        features = np.concatenate([cohort.features[kind].reshape(len(ids), -1) for kind in kinds], axis=1)
        features = features - features[:300].mean(axis=0)
        targets = features @ np.random.default_rng(0).standard_normal((features.shape[1], 48))
        targets = (targets / targets[:300].std()).astype(np.float32)
        concepts = cohort.stimuli.table["concept"].loc[stimuli].to_numpy(dtype=str)
        brain = {"train": standardise(train), "test": standardise(test)}
        known = {"train_targets": targets[:300], "test_targets": targets[300:]}
        return SubjectPictures(
            "sub-01", subject.info, subject.times, **brain, **known, stimuli=stimuli, concepts=concepts
        )

    return embedded


@pytest.fixture(scope="session")
def whole_brains(tmp_path_factory) -> list[SubjectPictures]:
    """Two simulated people with half of the noise, whose pictures are to be decoded to their semantic features.

    Visual, DorsalAttention and DefaultMode carry these; no other network carries anything.
    """
    pictures = ObjectStimuli().subset(rendering="fluent3d")
    ids = [name for split, n in (("train", 150), ("test", 60)) for name in pictures.subset(split=split).ids[:n]]
    folder, repeats = tmp_path_factory.mktemp("features"), {"train": 2, "test": 4}
    cohort = SimulatedWholeBrain(0, pictures.subset(ids=ids), folder, repeats=repeats, imagination=False, noise=0.5)
    features = np.concatenate([cohort.features[kind] for kind in ("category", "keywords")], axis=1)
    features = features - features[cohort.training].mean(axis=0)
    targets = features @ np.random.default_rng(0).standard_normal((features.shape[1], 32))
    targets = (targets / targets.std()).astype(np.float32)
    known = []
    for name in ("sub-01", "sub-02"):
        subject = cohort.subject(name)
        seen = {split: subject.average(split) for split in ("train", "test")}
        standardise = Standardisation(*(part(seen["train"][1], axis=(0, 1))[None] for part in (np.mean, np.std)))
        brain = [np.ascontiguousarray(standardise(seen[split][1]).swapaxes(1, 2)) for split in seen]
        rows = [cohort.stimuli.table.index.get_indexer(seen[split][0]) for split in seen]
        stimuli = seen["test"][0]
        concepts = cohort.stimuli.table["concept"].loc[stimuli].to_numpy(dtype=str)
        parts = (*brain, *(targets[own] for own in rows))
        known.append(SubjectPictures(name, subject.parcels, subject.times, *parts, stimuli, concepts))
    return known
