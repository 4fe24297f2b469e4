"""The stage from a file of embeddings to a folder of pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import torch
from rich.progress import track

from braindecode_x.clip import ClipEncoder
from braindecode_x.diffusion.latent import LatentReconstructor
from braindecode_x.diffusion.low_level import matched_latents
from braindecode_x.diffusion.reconstructor import Reconstructor
from braindecode_x.embeddings import Embeddings
from braindecode_x.files import atomic_path, claim_folder, file_hash
from braindecode_x.stimuli.base import to_image

MANIFEST, CONDITIONS = "manifest.csv", "embeddings.safetensors"


def reconstruct_file(
    embeddings: str | Path,
    output: str | Path,
    reconstructor: str | Path = "embedded",
    seed: int = 0,
    samples: int = 1,
    batch_size: int = 32,
    sampling: dict[str, Any] | None = None,
    overwrite: bool = False,
    progress: bool = True,
    encoder: ClipEncoder | None = None,
    low_level: str | Path | None = None,
) -> pd.DataFrame:
    """Reconstruct every embedding of a file as PNG pictures.

    A run that was cut goes on: pictures that are there are kept. The folder also gets the settings, a copy of the
    embeddings, and the manifest.

    Parameters
    ----------
    embeddings : str or Path
        A file that `Embeddings.save` wrote.
    output : str or Path
        Folder of the pictures.
    reconstructor : str or Path
        Name or folder, see `Reconstructor.from_pretrained`.
    seed : int
    samples : int
        Pictures of each embedding.
    batch_size : int
    sampling : dict, optional
        Changes to the decoder's own settings, see `braindecode_x.diffusion.latent.Sampling`.
    overwrite : bool
        Remove the folder first when it holds reconstructions of other settings.
    progress : bool
        Show a bar.
    encoder : ClipEncoder, optional
        Ranks candidates, where the sampling asks for several; default: the model that the embeddings are of.
    low_level : str or Path, optional
        File of latents, with the same ids, that a `LowLevelTask` predicted: pictures to start from, with the sampling's
        ``strength``.

    Returns
    -------
    pandas.DataFrame
        The manifest: the embeddings' index, in its order, with ``sample`` and ``file`` (relative to the folder).

    Raises
    ------
    ValueError
        The folder holds pictures of other settings, the embeddings or latents are of another space, or latents are
        missing.
    """
    if samples < 1 or batch_size < 1:
        raise ValueError(f"samples and batch_size: expected at least 1, found {samples} and {batch_size}")
    output = Path(output)
    given = Embeddings.load(embeddings)
    model = Reconstructor.from_pretrained(reconstructor)
    assert isinstance(model, LatentReconstructor)
    model = model.with_sampling(**(sampling or {}))
    model.encoder = encoder
    model.space.require(given.space, f"reconstructor {str(reconstructor)!r}")
    starts = None if low_level is None else matched_latents(Embeddings.load(low_level), given, model)
    settings = {
        "embeddings": file_hash(embeddings),
        "low_level": None if low_level is None else file_hash(low_level),
        "reconstructor": model.fingerprint,
        "space": model.space.to_dict(),
        "seed": seed,
        "samples": samples,
        "sampling": asdict(model.sampling),
    }
    numbers = list(range(samples))
    manifest = given.index.loc[given.index.index.repeat(samples)].assign(
        sample=numbers * len(given.ids), file=[_file_name(i, k, samples) for i in given.ids for k in numbers]
    )
    claim_folder(output, settings, "reconstructions", overwrite)
    for rows, sample in _batches(given, output, samples, batch_size, progress):
        conditions = given.conditions()[rows]
        if starts is not None:
            conditions.low_level = model.decode(starts[rows].to(model.device)).cpu()
        ids = [given.ids[r] for r in rows]
        for name, picture in zip(ids, model.sample(conditions, ids, seed, sample), strict=True):
            write_png(output / _file_name(name, sample, samples), picture)
    if Path(embeddings).resolve() != (output / CONDITIONS).resolve():
        with atomic_path(output / CONDITIONS) as temporary:
            shutil.copyfile(embeddings, temporary)
    with atomic_path(output / MANIFEST) as temporary:
        manifest.to_csv(temporary, index=False)
    return manifest


def write_png(target: Path, picture: torch.Tensor) -> None:
    """Write a (3, height, width) picture in [0, 1] as PNG, atomically."""
    with atomic_path(target) as temporary:
        to_image(picture).save(temporary, "PNG")


def _file_name(name: str, sample: int, samples: int) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"id {name!r}: cannot name a file, it leads out of the folder")
    return f"{name}.png" if samples == 1 else f"{name}.{sample}.png"


def _batches(
    given: Embeddings, output: Path, samples: int, batch_size: int, progress: bool
) -> Iterator[tuple[list[int], int]]:
    """Yield rows and sample number of what is not there yet."""
    work: list[tuple[list[int], int]] = []
    for sample in range(samples):
        rows = [r for r, i in enumerate(given.ids) if not (output / _file_name(i, sample, samples)).is_file()]
        work += [(rows[start : start + batch_size], sample) for start in range(0, len(rows), batch_size)]
    yield from track(work, "reconstruct", disable=not progress or not work)
