"""Figures of the analyses of what was imagined and of semantic clusters."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindecode_x.analysis.imagination import EFFECT_SIZE
from braindecode_x.metrics.comparison import EVERYONE

LEVELS = {0.001: "***", 0.01: "**", 0.05: "*"}
COMPARISON = ["decoded", "against"]


def permutation_figure(
    statistics: pd.DataFrame, nulls: Mapping[tuple[str, str, str], np.ndarray], metric: str
) -> Figure:
    """Draw what was scored beside the scores of permuted matchings: a row a comparison, a column a subject.

    Parameters
    ----------
    statistics : pandas.DataFrame
        From `match_statistics`, with the columns ``decoded`` and ``against`` besides.
    nulls : mapping of (str, str, str) to numpy.ndarray
        By ``decoded``, ``against`` and ``subject``: the metric under permuted matchings.
    metric : str
    """
    shown = statistics[statistics["metric"] == metric]
    comparisons = list(shown.groupby(COMPARISON, sort=False))
    subjects = list(shown["subject"].unique())
    size = (2.1 * len(subjects) + 1, 1.55 * len(comparisons) + 0.6)
    figure = Figure(figsize=(max(size[0], 3.6), size[1]), layout="constrained")
    grid = figure.subplots(len(comparisons), len(subjects), squeeze=False, sharex="row")
    for row, (names, own) in zip(grid, comparisons, strict=True):
        for axes, subject in zip(row, subjects, strict=True):
            if subject not in set(own["subject"]):  # without text, or without pictures of the concepts
                axes.set_axis_off()
                continue
            score = own[own["subject"] == subject].iloc[0]
            axes.hist(nulls[(*names, subject)], bins=30, color="0.75")
            axes.axvline(score["chance"], color="0.5", linewidth=0.8, linestyle="--")
            axes.axvline(score["value"], color="C3" if score["p_value"] < 0.05 else "0.2", linewidth=2)
            text = f"{score['value']:.3g}\np = {score['p_value']:.2g}"
            axes.text(0.03, 0.95, text, transform=axes.transAxes, va="top", size="small")
            axes.set_yticks([])
            axes.set_ylim(0, 1.5 * axes.get_ylim()[1])  # room for the text
            axes.tick_params("x", labelsize="small")
            axes.spines[["top", "right", "left"]].set_visible(False)
        row[0].set_ylabel(f"{names[0]}\nto {names[1]}", size="medium")
    for axes, subject in zip(grid[0], subjects, strict=True):
        axes.set_title("all subjects" if subject == EVERYONE else subject, size="medium")
    figure.supxlabel(f"{metric}: permuted matchings (grey), observed (line)", size="medium")
    return figure


def effect_figure(statistics: pd.DataFrame) -> Figure:
    """Draw effect sizes with 95% intervals, a row a comparison, subjects side by side, all together thick.

    Parameters
    ----------
    statistics : pandas.DataFrame
        As of `permutation_figure`.
    """
    shown = statistics[statistics["metric"] == EFFECT_SIZE]
    order = list(dict.fromkeys(zip(shown["decoded"], shown["against"], strict=True)))
    subjects = list(shown["subject"].unique())
    figure = Figure(figsize=(6.6, 1.2 + len(order) * (0.35 + 0.12 * len(subjects))), layout="constrained")
    axes = figure.subplots()
    for number, subject in enumerate(subjects):
        own = shown[shown["subject"] == subject]
        rows = [order.index(pair) for pair in zip(own["decoded"], own["against"], strict=True)]
        places = np.array(rows) + 0.7 * ((number + 0.5) / len(subjects) - 0.5)
        spread = np.nan_to_num(np.abs(own[["low", "high"]].to_numpy().T - own["value"].to_numpy()))
        together = subject == EVERYONE
        colour, label = ("black", "all subjects") if together else (f"C{number}", subject)
        width = 2 if together else 1
        axes.errorbar(
            own["value"], places, xerr=spread, fmt="o", markersize=5, color=colour, elinewidth=width, label=label
        )
    axes.axvline(0, color="0.5", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(order)), [f"{decoded} to {against}" for decoded, against in order])
    axes.invert_yaxis()
    axes.set_xlabel("Cohen's d of matched less unmatched similarity")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def imagined_figure(
    prompts: Sequence[str],
    places: Sequence[float],
    candidates: int,
    reconstructions: torch.Tensor,
    seen: torch.Tensor | None,
    title: str,
) -> Figure:
    """Draw prompts, pictures of their concepts, and what was reconstructed while they were imagined.

    Parameters
    ----------
    prompts : sequence of str
        (n,), in the order in which they are drawn.
    places : sequence of float
        (n,): where each prompt comes among all, from 1, by the reconstruction.
    candidates : int
        How many prompts there are.
    reconstructions : torch.Tensor
        (n, 3, edge, edge) in [0, 1].
    seen : torch.Tensor, optional
        (n, 3, edge, edge) in [0, 1], pictures of the concepts.
    title : str
    """
    rows = [] if seen is None else [("concept", seen)]
    rows.append(("reconstruction", reconstructions))
    figure = Figure(figsize=(1.35 * len(prompts) + 0.6, 1.35 * len(rows) + 0.9), layout="constrained")
    grid = figure.subplots(len(rows), len(prompts), squeeze=False)
    for axes, (name, pictures) in zip(grid, rows, strict=True):
        for place, picture in zip(axes, pictures, strict=True):
            place.imshow(picture.permute(1, 2, 0).numpy())
            place.set(xticks=[], yticks=[])
            place.spines[:].set_visible(False)
        axes[0].set_ylabel(name, size="medium")
    for axes, prompt in zip(grid[0], prompts, strict=True):
        axes.set_title("\n".join(textwrap.wrap(textwrap.shorten(prompt, 48, placeholder=" ..."), 18)), size="small")
    for axes, place in zip(grid[-1], places, strict=True):
        axes.set_xlabel(f"place {place:g}", size="small")
    figure.suptitle(f"{title}, imagining; place of the true prompt among {candidates}, by CLIP", size="medium")
    return figure


def cluster_figure(table: pd.DataFrame, subject: str) -> Figure:
    """Draw how well each network separates each cluster of stimuli: a heat map with stars.

    Parameters
    ----------
    table : pandas.DataFrame
        From `separation_table`.
    subject : str
        One of it, or ``"all"``.
    """
    own = table[table["subject"] == subject]
    networks, clusters = own["network"].unique(), own["cluster"].unique()
    counts = own.groupby("cluster")["n_positive"].first()
    values, corrected = (
        own.pivot(index="cluster", columns="network", values=name).loc[clusters, networks].to_numpy()
        for name in ("value", "p_corrected")
    )
    labels = ["\n".join(textwrap.wrap(f"{name} ({counts[name]})", 40)) for name in clusters]
    figure = Figure(figsize=(4.2 + 0.5 * len(networks), 1.9 + 0.42 * len(clusters)), layout="constrained")
    axes = figure.subplots()
    reach = max(float(np.nanmax(np.abs(values - 0.5))), 0.05)
    image = axes.imshow(values, cmap="RdBu_r", vmin=0.5 - reach, vmax=0.5 + reach, aspect="auto")
    axes.set_xticks(range(len(networks)), networks, rotation=45, ha="right", size="small")
    axes.set_yticks(range(len(clusters)), labels, size="small")
    _draw_stars(axes, values, corrected, reach)
    axes.set_title(f"{'all subjects' if subject == EVERYONE else subject}: which network separates which cluster")
    figure.colorbar(image, ax=axes, label="area under the ROC curve (chance 0.5)")
    blank = "; blank: fewer than two pictures" if np.isnan(values).any() else ""
    stars = ", ".join(f"{star} p < {level:g}" for level, star in reversed(LEVELS.items()))
    figure.supxlabel(f"{stars} (false discovery rate over the whole table){blank}", size="small")
    return figure


def _draw_stars(axes: Axes, values: np.ndarray, corrected: np.ndarray, reach: float) -> None:
    for (row, column), p_value in np.ndenumerate(corrected):
        star = next((star for level, star in LEVELS.items() if p_value < level), "")
        colour = "white" if abs(values[row, column] - 0.5) > 0.6 * reach else "black"
        axes.text(column, row, star, ha="center", va="center_baseline", color=colour)
