"""Commands from one file of embeddings to another, between a decoder and the reconstruction."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path


def prior(
    embeddings: Path,
    output: Path,
    prior: Path,
    seed: int = 0,
    steps: int | None = None,
    scheduler: str | None = None,
    guidance: float | None = None,
    noise: float | None = None,
    samples: int | None = None,
    device: str = "cpu",
) -> None:
    """Sample, for every decoded embedding, one that a picture could have.

    Parameters
    ----------
    embeddings
        A file of embeddings that "predict" wrote.
    output
        The file of embeddings to write (.safetensors).
    prior
        Folder of a prior that "fit" trained.
    seed
        Noise is keyed by seed and id.
    steps
        Denoising steps; default: the prior's own (so for the next four).
    scheduler
        Name of a diffusers scheduler.
    guidance
        Weight of the decoded embedding; 1 is none.
    noise
        Scale of the initial noise.
    samples
        Embeddings that are averaged.
    device
        Where the prior runs.
    """
    from braindecode_x.diffusion.prior import EmbeddingPrior
    from braindecode_x.embeddings import Embeddings

    chosen = {"steps": steps, "scheduler": scheduler, "guidance": guidance, "noise": noise, "samples": samples}
    model = EmbeddingPrior.from_pretrained(prior, device)
    model = model.with_sampling(**{name: value for name, value in chosen.items() if value is not None})
    given = Embeddings.load(embeddings)
    model.space.require(given.space, f"prior {str(prior)!r}")
    replace(given, image=model(given.image, given.ids, seed)).save(output)
    sys.stdout.write(f"{len(given.ids)} embeddings: {output}\n")


def caption(
    embeddings: Path,
    output: Path,
    captions: str = "objects",
    pictures: Path | None = None,
    captioner: Path | None = None,
    model: str = "embedded",
    pretrained: str | None = None,
    device: str = "cpu",
) -> None:
    """Give every decoded embedding a caption, whose text embedding "reconstruct" can be guided by.

    Parameters
    ----------
    embeddings
        A file of embeddings that "predict" wrote.
    output
        The file of embeddings to write (.safetensors): the same with text; captions are in its index.
    captions
        Captions to choose the nearest from: "objects" (of its training pictures), or a CSV with the column caption.
    pictures
        With captioner: folder of these embeddings' reconstructions, which are captioned instead.
    captioner
        Folder of a GIT model, as transformers saves it.
    model
        The CLIP model that the embeddings are of, as for "embed".
    pretrained
        open_clip's tag of the weights, with a model's name.
    device
        Where the models run.
    """
    import torch

    from braindecode_x.clip import ClipEncoder
    from braindecode_x.diffusion.captions import GitCaptioner, nearest_captions, with_captions
    from braindecode_x.embeddings import Embeddings
    from braindecode_x.metrics.evaluate import read_reconstructions

    if (pictures is None) != (captioner is None):
        raise ValueError("pictures and captioner: give both, or neither for the nearest captions")
    given, encoder = Embeddings.load(embeddings), ClipEncoder(model, pretrained, device)
    if pictures is None or captioner is None:
        found = nearest_captions(given, read_captions(captions), encoder)
    else:
        manifest, shown = read_reconstructions(pictures)
        first = dict(zip(manifest["id"].drop_duplicates(), shown[:, 0], strict=True))
        without = [name for name in given.ids if name not in first]
        if without:
            raise ValueError(f"{pictures}: no picture of {len(without)} ids, for example {without[0]!r}")
        found = GitCaptioner.from_pretrained(captioner, device)(
            torch.stack([first[name] for name in given.ids]), progress=True
        )
    with_captions(given, found, encoder).save(output)
    sys.stdout.write(f"{len(found)} captions, for example {found[0]!r}: {output}\n")


def read_captions(source: str) -> list[str]:
    """Read captions of training pictures: those of "objects", or a CSV's column ``caption``."""
    import pandas as pd

    from braindecode_x.stimuli import ObjectStimuli

    if source == "objects" and not Path(source).exists():
        return ObjectStimuli().subset(split="train").captions
    if not Path(source).is_file():
        raise FileNotFoundError(f"{source}: no such caption file")
    table = pd.read_csv(source, dtype=str, keep_default_na=False)
    if "caption" not in table:
        raise ValueError(f"{source}: needs the column caption; found {list(table)}")
    return table["caption"].tolist()
