"""The commands ``braindecode-x analyse networks`` and ``attribution``."""

from __future__ import annotations

from typing import Any, Literal

from braindecode_x.analysis.settings import StudySettings


def networks(
    modes: list[Literal["masked", "retrained"]] | None = None,
    retrain: Literal["ridge", "decoder"] = "ridge",
    metric: str = "2-way",
    permutations: int = 10_000,
    reconstructor: str | None = None,
    pictures: int = 20,
    judge: str = "embedded",
    centred: bool = True,
    **study: Any,
) -> None:
    """Which networks of the brain carry what was seen: each one's parcels alone, and all parcels but these.

    Parameters
    ----------
    modes
        masked: the trained decoder, the other parcels set to their mean over training pictures. retrained: fitted anew
        to the parcels. Default: both, or retrained where no decoder is given.
    retrain
        What is fitted anew: ridge; or the decoder, as its run's configuration says, in "decoders" in the folder, twice
        as many trainings as there are networks.
    metric
        What the figures show; the table has all. Tests are of two-way accuracy.
    permutations
        Flips of signs of every test; where there are fewer flips in all, each is taken once.
    reconstructor
        "embedded", or a decoder's folder: reconstruct some pictures of the first subject with every network left out,
        and let a judge find the picture seen among all of them.
    pictures
        How many.
    judge
        With a reconstructor: "embedded", another network by name, or a judge's folder.
    centred
        Compare predictions and embeddings without their means over training pictures, which would drown weak signals;
        false: plain cosines, as in the tables of retrieval.
    **study
        What is analysed: windows of BOLD, whose atlas has networks.
    """
    from braindecode_x.analysis.brain_stage import analyse_networks

    settings = StudySettings(**study)
    analyse_networks(settings, modes, retrain, metric, permutations, reconstructor, pictures, judge, centred)


def attribution(score: Literal["cosine", "inner product"] = "cosine", steps: int = 32, **study: Any) -> None:
    """Which parcels a decoder draws on: integrated gradients, summed over volumes, on the brain.

    Parameters
    ----------
    score
        Similarity of the decoded embedding to that of the picture seen; what all pictures share is taken off.
    steps
        Of the integral of gradients.
    **study
        What is analysed: windows of BOLD. Without a decoder ridge is fitted.
    """
    from braindecode_x.analysis.brain_stage import analyse_attribution

    analyse_attribution(StudySettings(**study), score, steps)
