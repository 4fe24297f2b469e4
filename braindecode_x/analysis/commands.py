"""The commands ``braindecode-x analyse windows``, ``regions``, ``saliency`` and ``similarity``; names of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from braindecode_x.analysis.brain_commands import attribution, networks
from braindecode_x.analysis.semantic_commands import clusters, imagination
from braindecode_x.analysis.settings import StudySettings


def windows(
    kinds: list[Literal["growing", "sliding"]] = ["growing", "sliding"],  # noqa: B006 (never changed)
    modes: list[Literal["masked", "retrained"]] | None = None,
    width: float = 0.1,
    step: float = 0.05,
    generalisation: int = 4,
    metric: str = "top-1",
    reconstructor: str | None = None,
    pictures: int = 8,
    centred: bool = True,
    prior: Path | None = None,
    **study: Any,
) -> None:
    """When pictures can be decoded: accuracy of growing and sliding windows, generalisation over time.

    Parameters
    ----------
    kinds
        Growing windows begin at the picture's onset; sliding ones are of one width.
    modes
        masked: the trained decoder, all outside the window set to its mean over training pictures. retrained: ridge,
        fitted to every window. Default: both, or retrained where no decoder is given.
    width
        Of sliding windows, seconds.
    step
        From one window to the next, seconds.
    generalisation
        Train ridge on every so manieth single sample, and test it at all of them; 0: leave it out.
    metric
        What the figure shows; the tables have all.
    reconstructor
        "embedded", or a decoder's folder: reconstruct some pictures of the first subject from growing windows.
    pictures
        How many.
    centred
        Compare predictions and embeddings without their means over training pictures, which would drown weak signals;
        false: plain cosines, as in the tables of retrieval.
    prior
        With a reconstructor: folder of a prior that "fit" trained; pictures are made of what it samples.
    **study
        What is analysed.
    """
    from braindecode_x.analysis.stage import analyse_windows

    settings = StudySettings(**study)
    analyse_windows(
        settings, kinds, modes, width, step, generalisation, metric, reconstructor, pictures, centred, prior
    )


def regions(
    modes: list[Literal["masked", "retrained"]] | None = None,
    regions: dict[str, list[str]] | None = None,
    metric: str = "top-1",
    centred: bool = True,
    **study: Any,
) -> None:
    """Where over the head pictures can be decoded: one region's channels alone, and all but these.

    Parameters
    ----------
    modes
        masked: the trained decoder, the other channels set to their mean over training pictures. retrained: ridge,
        fitted to the channels. Default: both, or retrained where no decoder is given.
    regions
        Names of regions with those of their channels, for example {left: [C3, T7], right: [C4, T8]}. Default: frontal,
        central, temporal, parietal and occipital, by the channels' names.
    metric
        What the figures show; the table has all.
    centred
        Compare predictions and embeddings without their means over training pictures, which would drown weak signals;
        false: plain cosines, as in the tables of retrieval.
    **study
        What is analysed.
    """
    from braindecode_x.analysis.stage import analyse_regions

    analyse_regions(StudySettings(**study), modes, regions, metric, centred)


def saliency(
    method: Literal["integrated-gradients", "occlusion"] = "integrated-gradients",
    score: Literal["cosine", "inner product"] = "cosine",
    steps: int = 32,
    block: float = 0.05,
    maps: list[float] = [0.05, 0.15, 0.25, 0.4, 0.6],  # noqa: B006 (never changed)
    **study: Any,
) -> None:
    """Which channels and samples a trained decoder draws on.

    Parameters
    ----------
    method
        integrated-gradients: what each contributes. occlusion: what is lost when it is set to its mean over training
        pictures.
    score
        Similarity of the decoded embedding to that of the picture seen; what all pictures share is taken off.
    steps
        Of the integral of gradients.
    block
        With occlusion: seconds that are occluded together.
    maps
        With integrated gradients: edges of the windows (seconds) for which a map of the head is drawn.
    **study
        What is analysed.
    """
    from braindecode_x.analysis.stage import analyse_saliency

    analyse_saliency(StudySettings(**study), method, score, steps, block, maps)


def similarity(metric: str = "2-way", width: float = 0.1, step: float = 0.05, **study: Any) -> None:
    """Which pictures, concepts and categories are found, and whether responses are arranged as embeddings are.

    Parameters
    ----------
    metric
        What the figure of categories shows; the tables have all.
    width
        Of the windows in which responses are compared with embeddings, seconds; a sample or a volume at least.
    step
        From one window to the next, seconds; a sample or a volume at least.
    **study
        What is analysed: here also betas.
    """
    from braindecode_x.analysis.stage import analyse_similarity

    analyse_similarity(StudySettings(**study), metric, width, step)


COMMANDS = {
    "_help": "Ask when, where and what a decoder reads from the brain.",
    "windows": windows,
    "regions": regions,
    "saliency": saliency,
    "similarity": similarity,
    "networks": networks,
    "attribution": attribution,
    "imagination": imagination,
    "clusters": clusters,
}
