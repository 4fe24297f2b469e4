"""The stage from a folder of reconstructions to a table of scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from braindecode_x.clip import ClipEncoder, image_targets
from braindecode_x.diffusion.reconstruct import CONDITIONS, MANIFEST
from braindecode_x.embeddings import Embeddings, read_index
from braindecode_x.files import atomic_path
from braindecode_x.metrics.identification import centred_unit, correlation_distance, two_way_identification
from braindecode_x.metrics.image_quality import pixcorr, ssim
from braindecode_x.metrics.judge import Judge
from braindecode_x.metrics.retrieval import k_way_accuracy, ranks
from braindecode_x.metrics.significance import bootstrap_interval
from braindecode_x.stimuli import ObjectStimuli, Stimuli
from braindecode_x.stimuli.base import to_pixels

RESAMPLES = 2000


def picture_scores(
    pictures: torch.Tensor, seen: torch.Tensor, judge: Judge, judged: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Score reconstructions against what was seen, a value for every picture.

    Parameters
    ----------
    pictures : torch.Tensor
        (n, 3, edge, edge) in [0, 1].
    seen : torch.Tensor
        (n, 3, edge, edge) in [0, 1]; n distinct pictures, the candidates of retrieval.
    judge : Judge
        Its feature space is compared.
    judged : torch.Tensor, optional
        (n, d), the judge's features of ``seen`` where they are known already.

    Returns
    -------
    dict of str to torch.Tensor
        (n,) each: those of `feature_scores` and `pixel_scores`.
    """
    judged = judge.features(seen) if judged is None else judged
    return feature_scores(judge.features(pictures), judged) | pixel_scores(pictures, seen)


def feature_scores(features: torch.Tensor, seen: torch.Tensor) -> dict[str, torch.Tensor]:
    """Score pictures in a judge's space, a value for every picture.

    Parameters
    ----------
    features : torch.Tensor
        (n, d) of the reconstructions.
    seen : torch.Tensor
        (n, d) of what was seen.

    Returns
    -------
    dict of str to torch.Tensor
        (n,) each: ``{n}-way``, ``50-way`` (when n > 50), ``two-way``, ``judge distance``.
    """
    n = len(seen)
    rank = ranks(centred_unit(features) @ centred_unit(seen).T)
    scores = {f"{n}-way": k_way_accuracy(rank, n, n)}
    if n > 50:
        scores["50-way"] = k_way_accuracy(rank, n, 50)
    return scores | {
        "two-way": two_way_identification(features, seen),
        "judge distance": correlation_distance(features, seen),
    }


def pixel_scores(pictures: torch.Tensor, seen: torch.Tensor) -> dict[str, torch.Tensor]:
    """Compare pictures (n, 3, edge, edge) with what was seen, pixel by pixel: ``PixCorr`` and ``SSIM``, (n,) each."""
    return {"PixCorr": pixcorr(pictures, seen), "SSIM": ssim(pictures, seen)}


def score_table(systems: Mapping[str, torch.Tensor], seen: torch.Tensor, judge: Judge, seed: int = 0) -> pd.DataFrame:
    """Score several systems on the same pictures.

    Parameters
    ----------
    systems : mapping of str to torch.Tensor
        Name to pictures (n, 3, edge, edge), or (n, samples, 3, edge, edge): scores are averaged over samples.
    seen : torch.Tensor
        (n, 3, edge, edge).
    judge : Judge
    seed : int
        Of the bootstrap over stimuli.

    Returns
    -------
    pandas.DataFrame
        Tidy: ``system``, ``metric``, ``value``, ``low``, ``high`` (95% interval over stimuli), ``n``.
    """
    rows, judged = [], judge.features(seen)
    for system, pictures in systems.items():
        samples = pictures.unbind(1) if pictures.ndim == 5 else [pictures]
        each = [picture_scores(sample, seen, judge, judged) for sample in samples]
        for metric in each[0]:
            values = np.mean([np.asarray(scores[metric], dtype=float) for scores in each], axis=0)
            low, high = bootstrap_interval(values, seed=seed, n_resamples=RESAMPLES)
            rows.append(
                {"system": system, "metric": metric, "value": values.mean(), "low": low, "high": high, "n": len(seen)}
            )
    return pd.DataFrame(rows)


def baselines(
    embeddings: torch.Tensor, candidates: torch.Tensor | None, training: Stimuli, size: int
) -> dict[str, torch.Tensor]:
    """Make the pictures that need no decoder: the mean training picture and the nearest one in CLIP space.

    Parameters
    ----------
    embeddings : torch.Tensor
        (n, d), what is reconstructed.
    candidates : torch.Tensor or None
        (m, d), unit norm, of the pictures of ``training``; None leaves the nearest picture out.
    training : Stimuli
        m pictures.
    size : int

    Returns
    -------
    dict of str to torch.Tensor
        (n, 3, size, size) in [0, 1] each.
    """
    pictures = {"mean training picture": mean_picture(training, size).expand(len(embeddings), -1, -1, -1)}
    if candidates is not None:
        pictures["nearest training picture"] = nearest_pictures(embeddings, candidates, training, size)
    return pictures


def mean_picture(stimuli: Stimuli, size: int) -> torch.Tensor:
    """Average the pictures of a set: (3, size, size) in [0, 1]."""
    return stimuli.pixels(size).float().mean(0) / 255


def nearest_pictures(embeddings: torch.Tensor, candidates: torch.Tensor, stimuli: Stimuli, size: int) -> torch.Tensor:
    """Take for every embedding the picture whose own embedding is nearest (cosine).

    Parameters
    ----------
    embeddings : torch.Tensor
        (n, d).
    candidates : torch.Tensor
        (m, d), unit norm, of the pictures of ``stimuli``.
    stimuli : Stimuli
        m pictures.
    size : int

    Returns
    -------
    torch.Tensor
        (n, 3, size, size) in [0, 1].
    """
    nearest = nearest_rows(embeddings, candidates)
    return stimuli.pixels(size, [stimuli.ids[i] for i in nearest]).float() / 255


def nearest_rows(embeddings: torch.Tensor, candidates: torch.Tensor) -> list[int]:
    """Find for every embedding (n, d) the nearest (cosine) of unit vectors (m, d)."""
    return (embeddings @ candidates.T).argmax(1).tolist()


def evaluate_folder(
    reconstructions: str | Path,
    seen: Stimuli,
    output: str | Path,
    judge: str | Path = "embedded",
    seed: int = 0,
    training: Stimuli | None = None,
) -> pd.DataFrame:
    """Score a folder that `reconstruct_file` made, beside two baselines that need no brain.

    The baselines are the mean training picture and, when the embeddings are of the embedded CLIP's space, the training
    picture whose embedding is nearest to the one that was reconstructed (is it reconstruction or recall?).

    Parameters
    ----------
    reconstructions : str or Path
    seen : Stimuli
        Holds the manifest's stimuli.
    output : str or Path
        ``<output>.csv`` and ``<output>.parquet`` are written.
    judge : str or Path
        See `Judge`.
    seed : int
    training : Stimuli, optional
        The baselines' pictures; default what the embedded models were trained on.

    Returns
    -------
    pandas.DataFrame
        See `score_table`.

    Raises
    ------
    FileNotFoundError
        No manifest, or pictures of it are missing.
    ValueError
        A stimulus of the manifest is not in ``seen``, or fewer than two pictures.
    """
    folder = Path(reconstructions)
    manifest, pictures = read_reconstructions(folder)
    stimuli = manifest.drop_duplicates("id")["stimulus"].tolist()
    unknown = sorted(set(stimuli) - set(seen.ids))
    if unknown:
        raise ValueError(f"{folder / MANIFEST}: stimuli that {seen.name!r} does not hold: {unknown[:5]}")
    if len(set(stimuli)) != len(stimuli) or len(stimuli) < 2:
        raise ValueError(f"{folder / MANIFEST}: expected at least two reconstructions, each of another stimulus")
    size = pictures.shape[-1]
    truth = seen.pixels(size, stimuli).float() / 255
    training = training or ObjectStimuli().trainable()
    given, encoder = Embeddings.load(folder / CONDITIONS), ClipEncoder()
    candidates = image_targets(training, encoder).tensor() if given.space == encoder.space else None
    systems = {"reconstruction": pictures} | baselines(given.image, candidates, training, size)
    table = score_table(systems, truth, Judge(judge), seed)
    write_table(table, output)
    return table


def read_reconstructions(folder: Path) -> tuple[pd.DataFrame, torch.Tensor]:
    """Read a folder's manifest and its pictures: (n, samples, 3, edge, edge) in [0, 1], in the manifest's order."""
    if not (folder / MANIFEST).is_file():
        raise FileNotFoundError(f"{folder}: no {MANIFEST}; expected a folder that `braindecode-x reconstruct` made")
    manifest = read_index(folder / MANIFEST)
    needed = {"id", "stimulus", "file"} - set(manifest)
    if needed or manifest["file"].isna().any():
        raise ValueError(f"{folder / MANIFEST}: damaged, rows or columns end early; run the same `reconstruct` again")
    missing = [file for file in manifest["file"] if not (folder / file).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder}: {len(missing)} pictures of {MANIFEST} are missing, for example {missing[0]}"
        )
    images = [_open_picture(folder / file) for file in manifest["file"]]
    pixels = torch.stack([to_pixels(image, image.height) for image in images]).float() / 255
    return manifest, pixels.unflatten(0, (manifest["id"].nunique(), -1))


def _open_picture(file: Path) -> Image.Image:
    try:
        return Image.open(file).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{file}: not a readable picture ({error}); remove it and run the same `reconstruct` again"
        ) from error


def write_table(table: pd.DataFrame, target: str | Path) -> None:
    """Write a tidy table as ``<target>.csv`` and ``<target>.parquet``, atomically."""
    target = Path(target)
    with atomic_path(target.with_name(target.name + ".csv")) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    with atomic_path(target.with_name(target.name + ".parquet")) as temporary:
        table.to_parquet(temporary, index=False)
