"""A real recording decoded to pictures, run by run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from braindecode_x.analysis.category_decoding import decode_directly, decode_through_embeddings
from braindecode_x.analysis.category_scores import CategoryDecoding, paired_difference
from braindecode_x.analysis.network_category_decoding import decode_with_mindbridge
from braindecode_x.clip import ClipEncoder
from braindecode_x.datasets.haxby import Haxby2001
from braindecode_x.datasets.haxby_prototypes import category_prototypes
from braindecode_x.demo.stages import stage
from braindecode_x.diffusion.reconstruct import reconstruct_file
from braindecode_x.embeddings import Embeddings
from braindecode_x.metrics.evaluate import read_reconstructions
from braindecode_x.metrics.judge import Judge
from braindecode_x.metrics.significance import bootstrap_interval, permute_within
from braindecode_x.preprocessing.fmri import Samples, block_averages, clean_runs, glm_betas, single_volumes
from braindecode_x.report import Page, confusion_figure, wide_table
from braindecode_x.stimuli.base import to_pixels

RUNS_SHOWN = 3
RIDGE, MINDBRIDGE = "blocks, through CLIP", "blocks, MindBridge"


@dataclass
class RecordingResult:
    """What the first part found.

    Attributes
    ----------
    samples : Samples
        The blocks.
    decodings : dict of str to CategoryDecoding
        By name of the analysis; the first is of the blocks through CLIP space.
    table : pandas.DataFrame
        Tidy scores, see `score_table`.
    pictures : torch.Tensor
        (blocks, 3, edge, edge), one reconstruction a held-out block, decoded by ridge.
    network_pictures : torch.Tensor
        The same, decoded by MindBridge.
    control : torch.Tensor
        The same, with the pictures of each run dealt anew to its blocks at random.
    prototypes : dict of str to list of PIL.Image.Image
    """

    samples: Samples
    decodings: dict[str, CategoryDecoding]
    table: pd.DataFrame
    pictures: torch.Tensor
    network_pictures: torch.Tensor
    control: torch.Tensor
    prototypes: dict


def decode_recording(output: Path, encoder: ClipEncoder, seed: int, permutations: int) -> RecordingResult:
    """Decode Haxby et al. 2001 run by run into CLIP space, name the category, and reconstruct every held-out block."""
    recording = stage("read the recording", Haxby2001().volumes)
    cleaned = clean_runs(recording.bold, recording.runs, recording.tr)
    blocks = block_averages(cleaned, recording.labels, recording.runs)
    volumes = single_volumes(cleaned, recording.labels, recording.runs)
    events = {int(run): Haxby2001().events(run) for run in np.unique(recording.runs)}
    betas = glm_betas(recording.bold, recording.runs, events, recording.tr, onset_shift=Haxby2001.onset_shift)
    prototypes = category_prototypes()
    targets = {name: encoder.encode_images(images).mean(0).numpy() for name, images in prototypes.items()}
    decodings: dict[str, CategoryDecoding] = {}
    for name, samples in {"blocks": blocks, "single volumes": volumes, "GLM betas of blocks": betas}.items():
        decodings |= stage(f"decode {name}", partial(decode_both_ways, name, samples, targets, seed, permutations))
    train = partial(decode_with_mindbridge, blocks=volumes.blocks, n_permutations=permutations, seed=seed)
    data = (volumes.brain, volumes.labels, volumes.runs)
    decodings[MINDBRIDGE] = stage("decode blocks with MindBridge, 12 trainings", partial(train, *data, targets))
    decoded = decodings[RIDGE]
    pictures = draw_decoded(output, "", blocks, decoded, encoder, seed)
    network_pictures = draw_decoded(output, "_mindbridge", blocks, decodings[MINDBRIDGE], encoder, seed)
    other = permute_within(np.arange(len(blocks.labels)), blocks.runs, 1, seed + 1)[0]
    control = pictures[torch.from_numpy(other)]
    judged = {
        "pictures of blocks, named by the judge": pictures,
        "pictures of blocks, MindBridge": network_pictures,
        "pictures, shuffled brain": control,
    }
    table = recording_table(decodings, decoded.predicted[other], judged, prototypes, seed)
    return RecordingResult(blocks, decodings, table, pictures, network_pictures, control, prototypes)


def decode_both_ways(
    name: str, samples: Samples, targets: dict[str, np.ndarray], seed: int, permutations: int
) -> dict[str, CategoryDecoding]:
    """Decode samples through CLIP space and directly, in the same folds."""
    data = (samples.brain, samples.labels, samples.runs)
    return {
        f"{name}, through CLIP": decode_through_embeddings(
            *data, targets, blocks=samples.blocks, n_permutations=permutations, seed=seed
        ),
        f"{name}, direct ridge": decode_directly(*data, blocks=samples.blocks, n_permutations=permutations, seed=seed),
    }


def draw_decoded(
    output: Path, suffix: str, blocks: Samples, decoded: CategoryDecoding, encoder: ClipEncoder, seed: int
) -> torch.Tensor:
    """Write the decoded embeddings and reconstruct them: (blocks, 3, edge, edge)."""
    embeddings, folder = output / f"decoded{suffix}.safetensors", output / f"pictures{suffix}"
    save_decoded(embeddings, blocks, decoded, encoder)
    reconstruct_file(embeddings, folder, seed=seed, overwrite=True)
    return read_reconstructions(folder)[1][:, 0]


def save_decoded(target: Path, blocks: Samples, decoded: CategoryDecoding, encoder: ClipEncoder) -> None:
    """Write the decoded embeddings of the held-out blocks, rescaled and made unit vectors."""
    index = pd.DataFrame(
        {
            "id": [f"run{run + 1:02d}-{label}" for run, label in zip(blocks.runs, blocks.labels, strict=True)],
            "stimulus": blocks.labels,
            "subject": "haxby2001-sub001",
            "run": blocks.runs + 1,
            "decoded": decoded.predicted,
        }
    )
    Embeddings(index, encoder.space, F.normalize(torch.from_numpy(decoded.rescaled), dim=-1)).save(target)


def recording_table(
    decodings: dict[str, CategoryDecoding],
    shuffled: np.ndarray,
    judged: dict[str, torch.Tensor],
    prototypes: dict,
    seed: int,
) -> pd.DataFrame:
    """Collect accuracies of naming the category: from brain patterns, and of the pictures by the judge."""
    blocks = decodings[RIDGE]
    rows = [
        {
            "system": name,
            "value": d.accuracy,
            "low": d.interval[0],
            "high": d.interval[1],
            "n": len(d.labels),
            "p": d.p_value,
        }
        for name, d in decodings.items()
    ]
    difference = paired_difference(decodings[MINDBRIDGE], blocks, seed)
    for row in rows:
        if row["system"] == MINDBRIDGE:
            row |= dict(zip(("difference", "difference_low", "difference_high"), difference, strict=True))
    hits = {"blocks, shuffled brain": shuffled == blocks.labels}
    hits |= {name: judged_categories(images, prototypes) == blocks.labels for name, images in judged.items()}
    for name, hit in hits.items():
        low, high = bootstrap_interval(hit.astype(float), seed=seed, groups=blocks.runs)
        rows.append({"system": name, "value": hit.mean(), "low": low, "high": high, "n": len(hit), "p": np.nan})
    return pd.DataFrame(rows).assign(metric="8-way accuracy")


def judged_categories(pictures: torch.Tensor, prototypes: dict) -> np.ndarray:
    """Name each picture's category: the one whose prototypes are nearest (centred cosine) in the judge's space."""
    judge, names = Judge(), list(prototypes)
    size = pictures.shape[-1]
    shown = torch.stack([to_pixels(image, size).float() / 255 for images in prototypes.values() for image in images])
    categories = F.normalize(judge.features(shown), dim=-1).unflatten(0, (len(names), -1)).mean(1)
    centre = categories.mean(0)
    centred = F.normalize(judge.features(pictures), dim=-1) - centre
    nearest = (centred @ F.normalize(categories - centre, dim=-1).T).argmax(1)
    return np.array(names)[nearest.numpy()]


def show_recording(page: Page, recording: RecordingResult) -> None:
    """Add what was found to the page."""
    permutations = len(recording.decodings[RIDGE].null)
    page.heading("Real fMRI, decoded")
    page.text(
        "One person looked at pictures of eight categories (Haxby et al. 2001; 12 runs, 530 voxels of one slice). Each "
        "run is decoded by ridge regression, and by a MindBridge for one subject, fitted on the other eleven. "
        "MindBridge's settings were chosen within eleven of the runs, so that its accuracy may be a little optimistic. "
        "The photographs this person saw are not in the package: three drawn pictures stand for each category, so a "
        "reconstruction can match the category, not the photograph."
    )
    labels, runs = recording.samples.labels, recording.samples.runs
    names = list(recording.prototypes)
    rows = [("category", [to_pixels(images[0], 64).float() / 255 for images in recording.prototypes.values()])]
    sources = {
        "ridge": recording.pictures,
        "MindBridge": recording.network_pictures,
        "shuffled brain": recording.control,
    }
    for title, source in sources.items():
        for run in np.unique(runs)[:RUNS_SHOWN]:
            at = [int(np.flatnonzero((runs == run) & (labels == name))[0]) for name in names]
            rows.append((f"{title}, run {run + 1}", [source[i] for i in at]))
    page.grid(
        rows,
        names,
        "Top row: what stands for the category. Below: one reconstruction for each held-out block of the first runs, "
        "decoded by ridge and by MindBridge, then the control of ridge, in which the brain patterns of a run were "
        "shuffled among its blocks.",
    )
    shown = recording.table.copy()
    text = wide_table(shown)
    text["p (permutation)"] = ["" if np.isnan(p) else f"{p:.3g}" for p in shown["p"]]
    gaps = shown[["difference", "difference_low", "difference_high"]].to_numpy() * 100
    text["MindBridge - ridge"] = ["" if np.isnan(a) else f"{a:+.1f}% [{b:.1f}, {c:.1f}]" for a, b, c in gaps]
    text["n"] = shown["n"].to_numpy()
    page.table(
        text,
        f"Which of eight categories (chance 12.5%); intervals over runs; {permutations} permutations within runs "
        "(ridge fitted anew for each; MindBridge's predictions kept)",
    )
    page.figure(
        confusion_figure(recording.decodings[RIDGE].confusion, "96 held-out blocks, through CLIP"),
        "Held-out blocks decoded through CLIP space: rows are what was seen, columns what was decoded.",
    )
