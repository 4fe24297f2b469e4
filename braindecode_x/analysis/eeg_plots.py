"""Figures of the analyses of EEG and MEG decoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mne
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindecode_x.analysis.regions import LEAVE_IN, LEAVE_OUT, WHOLE, by_channel
from braindecode_x.analysis.time_windows import GROWING, Window
from braindecode_x.metrics.comparison import EVERYONE

HEADS = {"masked": "trained on whole trials, the rest masked", "retrained": "retrained on the part alone"}


def accuracy_figure(accuracy: pd.DataFrame, metric: str, onsets: Mapping[str, float] | None = None) -> Figure:
    """Draw accuracy over time with 95% bands and chance: growing windows at their end, sliding ones at their middle.

    Parameters
    ----------
    accuracy : pandas.DataFrame
        Of windows, from `braindecode_x.analysis.parts.accuracy_table`. All subjects together are drawn thick with their
        band, single ones thin.
    metric : str
        Of those in the table, for example ``"200-way"``.
    onsets : mapping of str to float, optional
        Times (seconds) to mark, by what is there: known latencies, for example.
    """
    shown = accuracy[accuracy["metric"] == metric]
    kinds, modes = list(shown["windows"].unique()), list(shown["mode"].unique())
    figure = Figure(figsize=(4.9 * len(kinds) + 1.6, 3.5), layout="constrained")
    for axes, kind in zip(np.atleast_1d(figure.subplots(1, len(kinds), sharey=True)), kinds, strict=True):
        for number, mode in enumerate(modes):
            own = shown[(shown["windows"] == kind) & (shown["mode"] == mode)]
            _draw_curves(axes, own, f"C{number}", mode, growing=kind == GROWING)
        draw_chance(axes, float(shown["chance"].mean()))
        for name, time in (onsets or {}).items():
            axes.axvline(time, color="0.75", linewidth=0.8, zorder=0)
            axes.text(time, 1, f" {name}", rotation=90, va="top", size="x-small", transform=axes.get_xaxis_transform())
        where = "end" if kind == GROWING else "middle"
        axes.set(xlabel=f"{where} of the window (s)", title=f"{kind} windows")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set(ylabel=f"{metric} accuracy", ylim=(0, None))
    figure.axes[-1].legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def generalisation_figure(table: pd.DataFrame) -> Figure:
    """Draw temporal generalisation, mean over subjects: trained at one time (rows), tested at another (columns).

    Parameters
    ----------
    table : pandas.DataFrame
        From `temporal_generalisation`, of one or several subjects.
    """
    mean = table.pivot_table(index="train", columns="test", values="value")
    times, chance = mean.columns.to_numpy(), float(table["chance"].iloc[0])
    half = (times[1] - times[0]) / 2 if len(times) > 1 else 0.5
    edges = (times[0] - half, times[-1] + half)
    reach = max(float(np.abs(mean.to_numpy() - chance).max()), 1e-6)
    figure = Figure(figsize=(5.2, 4.3), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(
        mean, origin="lower", extent=(*edges, *edges), cmap="RdBu_r", vmin=chance - reach, vmax=chance + reach
    )
    axes.plot(edges, edges, color="0.4", linewidth=0.6)
    for line in (axes.axvline, axes.axhline):
        line(0, color="0.4", linewidth=0.6, linestyle=":")
    axes.set(xlabel="tested at (s)", ylabel="trained at (s)", xlim=edges, ylim=edges, title=who(table))
    figure.colorbar(image, ax=axes, label=f"{table['metric'].iloc[0]} accuracy (chance {chance:.3g})", shrink=0.9)
    return figure


def region_figure(
    accuracy: pd.DataFrame, metric: str, regions: Mapping[str, np.ndarray], info: mne.Info, mode: str
) -> Figure:
    """Draw what regions tell by themselves, and what is lost without them, on the head and with intervals.

    Parameters
    ----------
    accuracy : pandas.DataFrame
        Of `region_parts`. All subjects together, where there are several.
    metric : str
    regions : mapping of str to numpy.ndarray
        From `channel_regions`.
    info : mne.Info
        Without places of the channels there are no maps of the head.
    mode : {"masked", "retrained"}
    """
    shown = together(accuracy[(accuracy["metric"] == metric) & (accuracy["mode"] == mode)])
    whole = shown[shown["region"] == WHOLE].iloc[0]
    kept = {kind: shown[shown["channels"] == kind].set_index("region") for kind in (LEAVE_IN, LEAVE_OUT)}
    placed = has_places(info)
    figure = Figure(figsize=(11 if placed else 6, 3.9), layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(1, 1, 1.5)) if placed else [figure.subplots()]
    if placed:
        lost = float(whole["value"]) - kept[LEAVE_OUT]["value"]
        for axes, values, least, title, label in (
            (panels[0], kept[LEAVE_IN]["value"], whole["chance"], "leave-in: these alone", f"{metric} accuracy"),
            (panels[1], lost, 0.0, "leave-out: all but these", f"{metric} accuracy lost"),
        ):
            _draw_region_map(axes, by_channel(values, regions), info, float(least), label, title)
    for number, (kind, own) in enumerate(kept.items()):
        own = own.loc[list(regions)]
        spread = np.abs(own[["low", "high"]].to_numpy().T - own["value"].to_numpy())
        places = np.arange(len(own)) + 0.16 * (2 * number - 1)
        panels[-1].errorbar(places, own["value"], spread, fmt="o", markersize=5, color=f"C{number}", label=kind)
    panels[-1].axhline(whole["value"], color="0.3", linewidth=1, label="all channels")
    draw_chance(panels[-1], float(whole["chance"]))
    panels[-1].set_xticks(range(len(regions)), [f"{name}\n({chosen.sum()})" for name, chosen in regions.items()])
    panels[-1].tick_params("x", labelsize="small")
    panels[-1].set(ylabel=f"{metric} accuracy", ylim=(0, None), xlim=(-0.5, len(regions) - 0.5))
    panels[-1].spines[["top", "right"]].set_visible(False)
    panels[-1].legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(0, -0.16), ncols=4)
    figure.suptitle(f"{who(shown)}: {HEADS[mode]}", size="medium", weight="bold", x=0.01, ha="left")
    return figure


def saliency_figure(table: pd.DataFrame, info: mne.Info, over_time: pd.DataFrame | None = None) -> Figure:
    """Draw how much channels, on the head, and samples contribute to the score of the picture that was seen.

    Parameters
    ----------
    table : pandas.DataFrame
        From `saliency_table`. Several subjects are averaged, and drawn thin beside their mean over time.
    info : mne.Info
        Without places of the channels these are listed instead.
    over_time : pandas.DataFrame, optional
        (windows, channels) contributions, indexed by (start, stop) in seconds: a map of the head for each.
    """
    channels = table[table["of"] == "channel"].groupby("channel", sort=False)["value"].mean()
    times = table[table["of"] == "time"]
    placed = has_places(info)
    rows = 2 if over_time is not None and placed else 1
    figure = Figure(figsize=(10, 3.3 * rows), layout="constrained")
    panels = figure.subfigures(rows, 1, squeeze=False)[:, 0]
    left, right = panels[0].subplots(1, 2, width_ratios=(1, 1.9))
    if placed:
        values = channels.loc[info["ch_names"]].to_numpy()
        _draw_head(left, values, info, "channels, all times", label="contribution")
    else:
        best = channels.sort_values().tail(15)
        left.barh(best.index, best)
        left.set(xlabel="contribution", title="channels, the 15 first")
    if times["subject"].nunique() == 1:
        right.fill_between(times["time"], times["low"], times["high"], alpha=0.25, linewidth=0)
    else:
        for _, own in times.groupby("subject", sort=False):
            right.plot(own["time"], own["value"], color="C0", linewidth=0.6, alpha=0.6)
    right.plot(times.groupby("time")["value"].mean(), color="C0", linewidth=2)
    right.axhline(0, color="0.5", linewidth=0.8, linestyle="--")
    right.set(xlabel="time from the picture's onset (s)", ylabel="contribution")
    right.set_title("times, all channels", size="medium")
    right.spines[["top", "right"]].set_visible(False)
    if rows > 1:
        assert over_time is not None
        heads = np.atleast_1d(panels[1].subplots(1, len(over_time)))
        reach = float(np.abs(over_time.to_numpy()).max()) or 1.0
        for axes, (window, values) in zip(heads, over_time.iterrows(), strict=True):
            start, stop = window  # type: ignore[misc]  # the index holds pairs
            bar = "" if axes is heads[-1] else None  # one for all: they share their scale
            _draw_head(axes, values.to_numpy(), info, f"{start:g} to {stop:g} s", reach, bar)
    figure.suptitle(
        f"{who(table)}: what the score of the seen picture draws on", size="medium", weight="bold", x=0.01, ha="left"
    )
    return figure


def similarity_figure(matrix: pd.DataFrame, categories: Sequence[str] | None = None, title: str = "") -> Figure:
    """Draw the similarity of every decoded embedding to every picture, categories marked.

    Parameters
    ----------
    matrix : pandas.DataFrame
        From `similarity_matrix`.
    categories : sequence of str, optional
        Of its pictures, in their order.
    title : str
    """
    figure = Figure(figsize=(7.2, 6), layout="constrained")
    axes = figure.subplots()
    low, high = np.quantile(matrix.to_numpy(), [0.01, 0.99])
    image = axes.imshow(matrix, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    if categories is not None:
        names, first, count = np.unique(np.asarray(categories), return_index=True, return_counts=True)
        for edge in first[first > 0]:
            for line in (axes.axvline, axes.axhline):
                line(edge - 0.5, color="white", linewidth=0.8)
        axes.set_yticks(first + count / 2 - 0.5, names, size="small")
        axes.set_xticks(first + count / 2 - 0.5, names, size="small", rotation=45, ha="right")
    axes.set(xlabel="picture", ylabel="decoded embedding", title=title)
    figure.colorbar(image, ax=axes, label="cosine", shrink=0.8)
    return figure


def category_figure(accuracy: pd.DataFrame, metric: str) -> Figure:
    """Draw accuracy by category with 95% intervals, all subjects together where there are several.

    Parameters
    ----------
    accuracy : pandas.DataFrame
        From `accuracy_table` of `ranked_pictures`, with the column ``category``.
    metric : str
    """
    shown = together(accuracy[accuracy["metric"] == metric]).sort_values("value")
    figure = Figure(figsize=(6.4, 1.4 + 0.32 * len(shown)), layout="constrained")
    axes = figure.subplots()
    spread = np.abs(shown[["low", "high"]].to_numpy().T - shown["value"].to_numpy())
    axes.errorbar(shown["value"], range(len(shown)), xerr=np.nan_to_num(spread), fmt="o", markersize=5)
    axes.axvline(shown["chance"].mean(), color="0.5", linewidth=0.8, linestyle="--", label="chance")
    axes.set_yticks(range(len(shown)), [f"{name} ({n})" for name, n in zip(shown["category"], shown["n"], strict=True)])
    axes.set(xlabel=f"{metric} accuracy", xlim=(0, 1), title=who(shown))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    return figure


def geometry_figure(table: pd.DataFrame) -> Figure:
    """Draw how well the geometry of responses agrees with that of embeddings over time, a line a subject.

    Parameters
    ----------
    table : pandas.DataFrame
        From `geometry_over_time`, of one or several subjects.
    """
    figure = Figure(figsize=(6.6, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, own in table.groupby("subject", sort=False):
        middle = (own["start"] + own["stop"]) / 2
        (line,) = axes.plot(middle, own["value"], label=str(name))
        axes.fill_between(middle, own["low"], own["high"], alpha=0.15, linewidth=0, color=line.get_color())
    axes.axhline(0, color="0.5", linewidth=0.8, linestyle="--")
    axes.set(xlabel="middle of the window (s)", ylabel="rank correlation of distances")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    return figure


def reconstruction_figure(seen: torch.Tensor, windows: Sequence[Window], pictures: torch.Tensor, title: str) -> Figure:
    """Draw what was seen beside what was reconstructed from growing windows: a row a picture, a column a window.

    Parameters
    ----------
    seen : torch.Tensor
        (n, 3, edge, edge) in [0, 1].
    windows : sequence of Window
    pictures : torch.Tensor
        (windows, n, 3, edge, edge) in [0, 1].
    title : str
    """
    named = {f"to {window.stop:g} s": own for window, own in zip(windows, pictures, strict=True)}
    return picture_figure({"seen": seen, **named}, title)


def picture_figure(columns: Mapping[str, torch.Tensor], title: str) -> Figure:
    """Draw pictures side by side: a column, (n, 3, edge, edge) in [0, 1], a name.

    Parameters
    ----------
    columns : mapping of str to torch.Tensor
    title : str
    """
    count = len(next(iter(columns.values())))
    figure = Figure(figsize=(1.05 * len(columns), 1.05 * count + 0.5), layout="constrained")
    grid = figure.subplots(count, len(columns), squeeze=False)
    for (name, own), column in zip(columns.items(), grid.T, strict=True):
        column[0].set_title(name, size="small" if len(name) < 16 else "x-small")
        for axes, picture in zip(column, own, strict=True):
            axes.imshow(picture.permute(1, 2, 0).numpy())
            axes.set_axis_off()
    figure.suptitle(title, size="medium")
    return figure


def has_places(info: mne.Info) -> bool:
    """Tell whether every channel has a place on the head."""
    places = np.array([channel["loc"][:3] for channel in info["chs"]])
    return bool(np.isfinite(places).all() and (np.abs(places).max(axis=1) > 0).all())


def _draw_curves(axes: Axes, own: pd.DataFrame, colour: str, mode: str, growing: bool) -> None:
    for subject, curve in own.groupby("subject", sort=False):
        time = curve["stop"] if growing else (curve["start"] + curve["stop"]) / 2
        single = own["subject"].nunique() > 1 and subject != EVERYONE
        if single:
            axes.plot(time, curve["value"], color=colour, linewidth=0.6, alpha=0.6)
            continue
        axes.fill_between(time, curve["low"], curve["high"], color=colour, alpha=0.25, linewidth=0)
        axes.plot(time, curve["value"], color=colour, linewidth=2, label=f"{mode} ({who(curve)})")


def draw_chance(axes: Axes, chance: float, vertical: bool = False) -> None:
    """Draw a line at chance."""
    line = axes.axvline if vertical else axes.axhline
    line(chance, color="0.5", linewidth=0.8, linestyle="--", label="chance")


def _draw_region_map(axes: Axes, values: np.ndarray, info: mne.Info, least: float, label: str, title: str) -> None:
    known = np.isfinite(values)
    limits = (min(least, float(values[known].min())), max(least, float(values[known].max())))
    _topomap(axes, values[known], mne.pick_info(info, np.flatnonzero(known)), limits, "viridis", "nearest", label)
    axes.set_title(title, size="medium")


def _draw_head(
    axes: Axes, values: np.ndarray, info: mne.Info, title: str, reach: float | None = None, label: str | None = ""
) -> None:
    reach = reach or float(np.abs(values).max()) or 1.0
    _topomap(axes, values, info, (-reach, reach), "RdBu_r", "cubic", label)
    axes.set_title(title, size="medium")


def _topomap(
    axes: Axes,
    values: np.ndarray,
    info: mne.Info,
    limits: tuple[float, float],
    colours: str,
    how: str,
    label: str | None,
) -> None:
    """Draw values on the head, with a bar of colours unless its label is None."""
    options: dict[str, Any] = {"contours": 0, "show": False, "sensors": "k.", "extrapolate": "head"}
    image, _ = mne.viz.plot_topomap(values, info, axes=axes, vlim=limits, cmap=colours, image_interp=how, **options)
    if label is not None:  # within the room of the axes, so that heads side by side keep one size
        bar = axes.figure.colorbar(image, cax=axes.inset_axes((0.15, -0.1, 0.7, 0.05)), orientation="horizontal")
        bar.set_label(label, size="small")
        bar.ax.tick_params(labelsize="small")
        bar.ax.locator_params(nbins=4)


def together(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all subjects together, where there are such."""
    every = table[table["subject"] == EVERYONE]
    return every if len(every) else table


def who(table: pd.DataFrame) -> str:
    """Say whom a table is of."""
    names = table["subject"].unique()
    if EVERYONE in names:
        return "all subjects"
    return str(names[0]) if len(names) == 1 else f"{len(names)} subjects"
