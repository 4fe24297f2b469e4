"""Figures of the analyses of whole-brain decoders: networks, and parcels on the brain."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from nilearn.datasets import fetch_surf_fsaverage
from nilearn.plotting import plot_markers, plot_surf_stat_map, view_markers
from nilearn.surface import load_surf_mesh
from scipy.spatial import cKDTree

from braindecode_x.analysis.eeg_plots import HEADS, draw_chance, together, who
from braindecode_x.analysis.networks import ALONE, LOST, order_by_loss
from braindecode_x.analysis.regions import LEAVE_IN, LEAVE_OUT, WHOLE, by_channel
from braindecode_x.datasets.parcels import Parcels

REACH = 12.0  # mm: a vertex farther from every parcel has no colour
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))  # corrected p-values below
DIVERGING, RISING = "RdBu_r", "viridis"
VIEWS = [(hemisphere, view) for hemisphere in ("left", "right") for view in ("lateral", "medial")]
MARKER = 5.0  # size in the interactive view


def network_figure(accuracy: pd.DataFrame, tests: pd.DataFrame, metric: str, parcels: Parcels, mode: str) -> Figure:
    """Draw what networks tell alone and what is left without them, a row a network, and both on the brain.

    Parameters
    ----------
    accuracy : pandas.DataFrame
        From `braindecode_x.analysis.parts.accuracy_table` of `network_parts`. All subjects together, where there are
        several; networks without which most is lost are on top.
    tests : pandas.DataFrame
        From `braindecode_x.analysis.networks.network_tests`; stars show corrected p-values.
    metric : str
    parcels : Parcels
        Without coordinates there are no maps of the brain.
    mode : {"masked", "retrained"}
    """
    shown = together(accuracy[(accuracy["metric"] == metric) & (accuracy["mode"] == mode)])
    order = order_by_loss(shown)
    placed = parcels.coordinates is not None
    figure = Figure(figsize=(14 if placed else 7.4, max(4.6, 1.9 + 0.3 * len(order))))
    figure.set_layout_engine("constrained", rect=(0, 0, 0.53 if placed else 1, 1))
    _draw_rows(figure.subplots(), shown, tests[tests["mode"] == mode], order, parcels, metric)
    if placed:
        kept = {kind: shown[shown["parcels"] == kind].set_index("network")["value"] for kind in (LEAVE_IN, LEAVE_OUT)}
        whole, chance = kept[LEAVE_IN][WHOLE], float(shown["chance"].iloc[0])
        members = {name: parcels.in_network(name) for name in order}
        alone, lost = (by_channel(kept[LEAVE_IN], members), by_channel(whole - kept[LEAVE_OUT], members))
        upper, lower = (figure.add_axes((0.55, bottom, 0.44, 0.3)) for bottom in (0.63, 0.14))
        draw_glass_brain(upper, alone, parcels, "each network alone", f"{metric} accuracy", chance)
        draw_glass_brain(lower, lost, parcels, "lost without the network", f"{metric} accuracy lost")
    title = f"{who(shown)}: {HEADS[mode]}"
    figure.suptitle(title, size="medium", weight="bold", x=0.01, ha="left")
    return figure


def attribution_figure(parcel_table: pd.DataFrame, network_table: pd.DataFrame | None, parcels: Parcels) -> Figure:
    """Draw what parcels contribute to the score of the picture that was seen: glass brain, and sums of networks.

    Parameters
    ----------
    parcel_table, network_table : pandas.DataFrame
        From `braindecode_x.analysis.attribution`. All subjects together, where there are several; no networks where
        the atlas has none.
    parcels : Parcels
        With coordinates.
    """
    shown = together(parcel_table)
    width = 1.0 if network_table is None else 0.56
    figure = Figure(figsize=(7.3 / width, 3.9))
    figure.set_layout_engine("constrained", rect=(width, 0, 1 - width, 0.95) if network_table is not None else None)
    values = shown.set_index("parcel")["value"].loc[list(parcels.names)].to_numpy()
    brain = figure.add_axes((0.01, 0.2, width - 0.02, 0.62))
    draw_glass_brain(brain, values, parcels, "parcels, all volumes", "contribution")
    if network_table is not None:
        _draw_bars(figure.subplots(), together(network_table).sort_values("value"))
    title = f"{who(shown)}: what the score of the seen picture draws on"
    figure.suptitle(title, size="medium", weight="bold", x=0.01, ha="left")
    return figure


def _draw_bars(axes: Axes, networks: pd.DataFrame) -> None:
    """Draw a bar a network with its interval."""
    spread = np.nan_to_num(np.abs(networks[["low", "high"]].to_numpy().T - networks["value"].to_numpy()))
    axes.barh(range(len(networks)), networks["value"], xerr=spread, color="C0", error_kw={"linewidth": 1})
    axes.axvline(0, color="0.4", linewidth=0.8)
    labels = [f"{name} ({count})" for name, count in zip(networks["network"], networks["n_parcels"], strict=True)]
    axes.set_yticks(range(len(networks)), labels, size="small")
    axes.set(xlabel="contribution, summed over parcels", ylim=(-0.6, len(networks) - 0.4))
    axes.set_title("networks", size="medium")
    axes.spines[["top", "right"]].set_visible(False)


def surface_figure(values: np.ndarray, parcels: Parcels, title: str, label: str) -> Figure:
    """Draw parcels' values on the inflated cortex of fsaverage5, every vertex that of its nearest parcel.

    Parameters
    ----------
    values : numpy.ndarray
        (parcels,).
    parcels : Parcels
        With coordinates; parcels farther than 12 mm from the cortex are not seen.
    title, label : str
    """
    import matplotlib.pyplot as plt  # nilearn's plots of surfaces make figures of their own otherwise

    fsaverage, reach = fetch_surf_fsaverage("fsaverage5"), float(np.abs(values).max()) or 1.0
    figure = plt.figure(figsize=(11, 2.9))
    try:
        for number, (hemisphere, view) in enumerate(VIEWS):
            axes = figure.add_axes((0.225 * number - 0.01, -0.1, 0.24, 1.0), projection="3d")
            plot_surf_stat_map(
                fsaverage[f"infl_{hemisphere}"],
                surface_values(values, parcels, hemisphere),
                bg_map=fsaverage[f"sulc_{hemisphere}"],
                hemi=hemisphere,
                view=view,
                cmap=DIVERGING,
                vmin=-reach,
                vmax=reach,
                colorbar=False,
                axes=axes,
                figure=figure,
            )
            axes.set_facecolor("none")  # they overlap
            axes.set_title(f"{hemisphere}, {view}", size="medium", y=0.9)
        bar = ScalarMappable(Normalize(-reach, reach), DIVERGING)
        figure.colorbar(bar, cax=figure.add_axes((0.91, 0.2, 0.012, 0.5)), label=label)
        figure.suptitle(title, size="medium", weight="bold", x=0.01, ha="left")
    finally:
        plt.close(figure)  # of pyplot's list: who asked for it keeps it
    return figure


def surface_values(values: np.ndarray, parcels: Parcels, hemisphere: str) -> np.ndarray:
    """Give every vertex of fsaverage5 the value of the nearest parcel of its hemisphere's side.

    Parameters
    ----------
    values : numpy.ndarray
        (parcels,).
    parcels : Parcels
        With coordinates.
    hemisphere : {"left", "right"}

    Returns
    -------
    numpy.ndarray
        (vertices,), NaN where no parcel is within 12 mm of the pial surface.
    """
    places = np.asarray(parcels.coordinates)
    own = np.flatnonzero(places[:, 0] <= 0 if hemisphere == "left" else places[:, 0] >= 0)
    vertices = load_surf_mesh(fetch_surf_fsaverage("fsaverage5")[f"pial_{hemisphere}"]).coordinates
    coloured = np.full(len(vertices), np.nan)
    if len(own):
        distance, nearest = cKDTree(places[own]).query(vertices)
        near = distance <= REACH
        coloured[near] = values[own[nearest[near]]]
    return coloured


def interactive_brain(values: np.ndarray, parcels: Parcels, title: str) -> str:
    """Make a page with a brain to turn, a marker a parcel with its name and value; it needs no network.

    Parameters
    ----------
    values : numpy.ndarray
        (parcels,).
    parcels : Parcels
        With coordinates.
    title : str

    Returns
    -------
    str
        HTML, with all scripts in it.
    """
    reach = float(np.abs(values).max()) or 1.0
    colours = colormaps[DIVERGING](0.5 + values / (2 * reach))[:, :3]
    networks = parcels.networks or ("",) * len(parcels)
    labels = [
        f"{name}{f' ({network})' if network else ''}: {value:.3g}"
        for name, network, value in zip(parcels.names, networks, values, strict=True)
    ]
    sizes = MARKER * (1 + np.abs(values) / reach)
    view = view_markers(np.asarray(parcels.coordinates), colours, sizes, labels, title, title_fontsize=16)
    return re.sub(r"<link\b[^>]*>", "", view.html)  # its icon alone lies elsewhere


def draw_glass_brain(
    axes: Axes, values: np.ndarray, parcels: Parcels, title: str, label: str, least: float | None = None
) -> None:
    """Draw parcels on a glass brain, coloured from ``least`` up, or around 0 where that is not given; NaN are left out.

    Parameters
    ----------
    axes : Axes
        Of a figure itself, not of a part of one.
    values : numpy.ndarray
        (parcels,).
    parcels : Parcels
        With coordinates.
    title, label : str
    least : float, optional
    """
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(np.abs(values[known] - (least or 0)))]  # the strongest on top
    reach = float(np.abs(values[known]).max()) or 1.0
    low, high = (-reach, reach) if least is None else (min(least, *values[known]), max(least + 1e-6, *values[known]))
    colours = ScalarMappable(Normalize(low, high), DIVERGING if least is None else RISING)
    axes.set_title(title, size="medium")
    box = axes.get_position()
    below = axes.figure.add_axes((box.x0 + 0.3 * box.width, box.y0 - 0.05, 0.4 * box.width, 0.02))
    bar = axes.figure.colorbar(colours, cax=below, orientation="horizontal")
    bar.set_label(label, size="small")
    bar.ax.tick_params(labelsize="small")
    bar.ax.locator_params(nbins=5)
    plot_markers(
        values[order],
        np.asarray(parcels.coordinates)[order],
        node_size=22,
        node_cmap=colours.cmap,
        node_vmin=low,
        node_vmax=high,
        alpha=0.85,
        display_mode="lzr",
        axes=axes,
        colorbar=False,
    )


def _draw_rows(
    axes: Axes, shown: pd.DataFrame, tests: pd.DataFrame, order: Sequence[str], parcels: Parcels, metric: str
) -> None:
    """Draw a network's accuracy alone and what is left without it, with intervals and stars."""
    whole = shown[shown["network"] == WHOLE].iloc[0]
    rows = np.arange(len(order))[::-1]
    for kind, test, colour, shift in ((LEAVE_IN, ALONE, "C0", 0.15), (LEAVE_OUT, LOST, "C1", -0.15)):
        own = shown[(shown["parcels"] == kind) & (shown["network"] != WHOLE)].set_index("network").loc[list(order)]
        spread = np.nan_to_num(np.abs(own[["low", "high"]].to_numpy().T - own["value"].to_numpy()))
        p_values = tests[tests["test"] == test].set_index("network")["p_corrected"]
        name = "this network alone" if kind == LEAVE_IN else "all but this network"
        axes.errorbar(own["value"], rows + shift, xerr=spread, fmt="o", markersize=4, color=colour, label=name)
        for row, network in zip(rows, order, strict=True):
            axes.annotate(
                stars(p_values[network]),
                (own.loc[network, "value"] + spread[1][len(order) - 1 - row], row + shift),
                xytext=(3, -1),
                textcoords="offset points",
                va="center",
                color=colour,
                size="small",
            )
    axes.axvline(whole["value"], color="0.3", linewidth=1, label="all parcels")
    draw_chance(axes, float(whole["chance"]), vertical=True)
    axes.set_yticks(rows, [f"{name} ({parcels.in_network(name).sum()})" for name in order], size="small")
    axes.set(xlabel=f"{metric} accuracy", ylim=(-0.6, len(order) - 0.4))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(-0.2, -0.12), ncols=4)


def stars(p: float) -> str:
    """Return one star for a p-value below 0.05, two below 0.01, three below 0.001, else nothing."""
    return next((mark for level, mark in STARS if p < level), "")
