"""Measure the embedded models once on the 200 test pictures, when everything about them has been chosen.

    python pipelines/assets/measure.py

Writes ``braindecode_x/assets/measured.csv`` and, to be looked at, ``data_cards/test_reconstructions.png``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from braindecode_x.clip import ClipEncoder, image_targets, text_targets
from braindecode_x.diffusion import Conditions, Reconstructor
from braindecode_x.diffusion.latent import LatentReconstructor
from braindecode_x.diffusion.reranking import most_similar
from braindecode_x.files import atomic_path, write_figure
from braindecode_x.metrics.evaluate import baselines, score_table
from braindecode_x.metrics.judge import Judge
from braindecode_x.metrics.significance import bootstrap_interval
from braindecode_x.stimuli import ObjectStimuli
from braindecode_x.stimuli.objects import RENDERINGS

CANDIDATES, GUIDED_CANDIDATES = 8, 4
CLIP_GUIDANCE = 1.0  # chosen on validation pictures by pipelines/experiments/clip_guidance.py
BATCH = 25


def retrieval(encoder: ClipEncoder, stimuli: ObjectStimuli) -> pd.DataFrame:
    """Top-1 among the test concepts, from the 3D rendering to each other rendering and to the caption."""
    shown = {r: image_targets(stimuli.subset(rendering=r), encoder).tensor() for r in RENDERINGS}
    shown["caption"] = text_targets(stimuli.subset(rendering="fluent3d"), encoder).tensor()
    solid = shown.pop("fluent3d")
    hits = {name: (solid @ other.T).argmax(1) == torch.arange(len(solid)) for name, other in shown.items()}
    hits["other renderings"] = torch.cat([hits[name] for name in RENDERINGS[1:]])
    rows = []
    for name, hit in hits.items():
        concepts = np.arange(len(hit)) % len(solid)
        low, high = bootstrap_interval(hit.double().numpy(), seed=0, groups=concepts)
        value = hit.double().mean().item()
        rows.append(
            {
                "system": f"CLIP, 3D to {name}",
                "metric": f"{len(solid)}-way",
                "value": value,
                "low": low,
                "high": high,
                "n": len(solid),
            }
        )
    return pd.DataFrame(rows)


def best_of(
    reconstructor: LatentReconstructor, conditions: Conditions, ids: list[str], count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first picture of every condition, and the best one of ``count``, ranked by the condition."""
    first, best = [], []
    for start in range(0, len(ids), BATCH):
        some, names = conditions[start : start + BATCH], ids[start : start + BATCH]
        drawn = torch.stack([reconstructor.draw(some, names, 0, number) for number in range(count)], dim=1)
        first.append(drawn[:, 0])
        best.append(most_similar(drawn, some, reconstructor.encoder))
    return torch.cat(first), torch.cat(best)


def draw(shown: dict[str, torch.Tensor], target: Path, rows: int = 4, columns: int = 14) -> None:
    """Draw pictures below what was seen, evenly spaced through the test set: nothing is picked."""
    height, count = len(shown), len(next(iter(shown.values())))
    figure, panels = plt.subplots(height * rows, columns, figsize=(columns * 0.8, height * rows * 0.82))
    chosen = np.linspace(0, count - 1, rows * columns).astype(int).reshape(rows, columns)
    for row in range(rows):
        for offset, (label, images) in enumerate(shown.items()):
            for axes, number in zip(panels[height * row + offset], chosen[row], strict=True):
                axes.imshow(images[number].permute(1, 2, 0).numpy())
                axes.set_xticks([])
                axes.set_yticks([])
                axes.spines[:].set_edgecolor("#dddddd")
            panels[height * row + offset, 0].set_ylabel(label, fontsize=8)
    figure.subplots_adjust(0.03, 0.01, 0.995, 0.99, 0.06, 0.06)
    write_figure(figure, target, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, default=Path("braindecode_x/assets/measured.csv"))
    parser.add_argument("--picture", type=Path, default=Path("data_cards/test_reconstructions.png"))
    arguments = parser.parse_args()
    stimuli, encoder = ObjectStimuli(), ClipEncoder()
    test, training = stimuli.subset(split="test"), stimuli.trainable()
    shown = test.subset(rendering="fluent3d")
    reconstructor = Reconstructor.from_pretrained("embedded")
    embeddings = image_targets(shown, encoder).tensor()
    assert isinstance(reconstructor, LatentReconstructor)
    conditions = Conditions(encoder.space, embeddings)
    reconstructor.encoder = encoder  # ranks and guides
    pictures, ranked = best_of(reconstructor, conditions, shown.ids, CANDIDATES)
    guiding = reconstructor.with_sampling(clip_guidance=CLIP_GUIDANCE)
    guided, guided_ranked = best_of(guiding, conditions, shown.ids, GUIDED_CANDIDATES)
    size = reconstructor.image_size
    seen = shown.pixels(size).float() / 255
    candidates = image_targets(training, encoder).tensor()
    systems = {
        "reconstruction": pictures,
        f"reconstruction, best of {CANDIDATES} candidates": ranked,
        "reconstruction, guided by CLIP": guided,
        f"reconstruction, guided by CLIP, best of {GUIDED_CANDIDATES} candidates": guided_ranked,
    }
    systems |= baselines(embeddings, candidates, training, size)
    table = pd.concat([retrieval(encoder, test), score_table(systems, seen, Judge())])
    with atomic_path(arguments.target) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4g")
    draw({"seen": seen, "rebuilt": pictures, "guided": guided}, arguments.picture)
    print(table.to_string())


if __name__ == "__main__":
    main()
