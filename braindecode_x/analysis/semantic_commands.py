"""The commands ``braindecode-x analyse imagination`` and ``clusters``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from braindecode_x.analysis.settings import StudySettings


def imagination(
    split: str = "imagination",
    centred: bool = True,
    metric: str = "2-way",
    permutations: int = 10_000,
    reconstructor: str | None = None,
    prior: Path | None = None,
    judge: str = "embedded",
    pictures: int = 8,
    **study: Any,
) -> None:
    """Ask what is imagined: zero-shot decoding by a decoder of seen pictures, the true prompt against all others.

    Parameters
    ----------
    split
        The imagination trials. Prompts are in their column "prompt", else the captions of their stimuli.
    centred
        Compare decoded embeddings without their mean over the imagination trials, and prompts without theirs; no label
        is needed for it. False: plain cosines, which are drowned by what all have in common.
    metric
        What is tested in the figure of permutations: 2-way, top-1, top-5, mean rank or difference; the tables have all.
    permutations
        Of the matching of trials to prompts.
    reconstructor
        "embedded", or a decoder's folder: reconstruct what was imagined; pictures are matched to prompts by the CLIP
        model that was decoded to, and to pictures of the concepts by a judge.
    prior
        With a reconstructor: folder of a prior that "fit" trained; pictures are made of what it samples.
    judge
        With a reconstructor: "embedded", another network by name, or a judge's folder.
    pictures
        With a reconstructor: so many are drawn, the first subject's first prompts.
    **study
        What is analysed. Without a decoder ridge is fitted to the training pictures.
    """
    from braindecode_x.analysis.imagination_stage import analyse_imagination

    settings = StudySettings(split=split, **study)
    analyse_imagination(settings, centred, metric, permutations, reconstructor, prior, judge, pictures)


def clusters(
    by: Literal["pictures", "captions", "category"] = "pictures", k: int = 8, permutations: int = 10_000, **study: Any
) -> None:
    """Which network separates which semantic cluster of pictures from the others.

    Parameters
    ----------
    by
        Cluster the embeddings of pictures or of captions (spectral clustering), or take the stimuli's categories.
    k
        Number of clusters.
    permutations
        Of the clusters of pictures.
    **study
        What is analysed: windows of BOLD. Ridge is fitted to every network; a decoder only says which data.
    """
    from braindecode_x.analysis.clusters_stage import analyse_clusters

    analyse_clusters(StudySettings(**study), by, k, permutations)
