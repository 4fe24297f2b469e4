"""Tables for the terminal and self-contained HTML pages."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import pandas as pd
import torch
from jinja2 import Environment
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console
from rich.table import Table

from braindecode_x.files import unknown_name, write_text
from braindecode_x.stimuli.base import to_image, to_pixels

LOWER_IS_BETTER = "judge distance"
WIDE = 190  # characters that a comparison needs
PLOT_DPI = 150


def wide_table(table: pd.DataFrame) -> pd.DataFrame:
    """Turn a tidy table of scores (see `score_table`) into one row a system, one column a metric, as text."""
    cells = [_cell(*row) for row in table[["metric", "value", "low", "high"]].itertuples(index=False)]
    wide = table.assign(text=cells).pivot(index="system", columns="metric", values="text")
    return wide.loc[table["system"].unique(), table["metric"].unique()].fillna("")


def comparison_table(table: pd.DataFrame, subject: str = "all", baseline: str = "ridge") -> pd.DataFrame:
    """Turn what `compare` returned into one row a metric, one column a system, as text.

    Parameters
    ----------
    table : pandas.DataFrame
    subject : str
        A subject's name, or ``"all"``.
    baseline : str
        What the table's differences are to.

    Returns
    -------
    pandas.DataFrame
        The last column is the paired difference of the first system to the baseline, where there is one.

    Raises
    ------
    ValueError
        No such subject.
    """
    chosen = table[table["subject"] == subject]
    if chosen.empty:
        raise unknown_name("subject of the comparison", subject, table["subject"].unique())
    wide = wide_table(chosen).T
    first = chosen[chosen["system"] == chosen["system"].iloc[0]]
    if first["difference"].notna().any():
        columns = ["metric", "difference", "difference_low", "difference_high"]
        wide[f"{first['system'].iloc[0]} - {baseline}"] = [
            _cell(metric, value, low, high, "+") for metric, value, low, high in first[columns].itertuples(index=False)
        ]
    wide.index = pd.Index([_with_direction(metric) for metric in wide.index], name=f"n = {chosen['n'].iloc[0]}")
    wide.columns.name = None
    return wide


def breakable(table: pd.DataFrame) -> pd.DataFrame:
    """Let lines of a page's table break before an interval, not within."""
    return table.apply(lambda column: column.str.replace(", ", ",\u00a0"))


def print_table(table: pd.DataFrame) -> None:
    """Print a tidy table of scores to the terminal."""
    wide = wide_table(table)
    wide.columns = [_with_direction(metric) for metric in wide]
    _print(wide, f"n = {table['n'].iloc[0]}, 95% intervals", "system", Console())


def print_comparison(table: pd.DataFrame, subject: str = "all", baseline: str = "ridge") -> None:
    """Print `comparison_table` to the terminal."""
    console = Console()
    console = console if console.is_terminal else Console(width=max(console.width, WIDE))
    wide = comparison_table(table, subject, baseline)
    _print(wide, f"subject {subject}, {wide.index.name}, 95% intervals", "metric", console)


def _print(wide: pd.DataFrame, title: str, first: str, console: Console) -> None:
    printed = Table(title=title)
    printed.add_column(first)
    for column in wide:
        printed.add_column(str(column), justify="right")
    for name, row in wide.iterrows():
        printed.add_row(str(name), *row)
    console.print(printed)


def _cell(metric: str, value: float, low: float, high: float, sign: str = "") -> str:
    # shares are easier to read as percentages; the others are correlations and distances
    if "way" in metric or metric.endswith("accuracy"):
        return f"{100 * value:{sign}.1f}% [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{value:{sign}.3f} [{low:.3f}, {high:.3f}]"


def _with_direction(metric: str) -> str:
    return metric + (" (lower is better)" if metric.endswith(LOWER_IS_BETTER) else "")


@dataclass
class Page:
    """An HTML page that needs no other file.

    Parameters
    ----------
    title : str
    lead : str
        A sentence or two under the title.
    """

    title: str
    lead: str
    parts: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """Begin a section."""
        self.parts.append(f"<h2>{escape(text)}</h2>")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self.parts.append(f"<p>{escape(text)}</p>")

    def facts(self, facts: dict[str, str]) -> None:
        """Add a list of names and values."""
        rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items())
        self.parts.append(f"<dl>{rows}</dl>")

    def code(self, title: str, text: str) -> None:
        """Add a text of many lines, such as a file, folded under its title."""
        self.parts.append(f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>")

    def table(self, table: pd.DataFrame, caption: str = "", folded: bool = False) -> None:
        """Add a table; its index is the first column. A folded one is opened by a click on its caption."""
        head = "".join(f"<th>{escape(str(c))}</th>" for c in [table.index.name or "", *table.columns])
        body = "".join(
            f"<tr><th>{escape(str(name))}</th>" + "".join(f"<td>{escape(str(v))}</td>" for v in row) + "</tr>"
            for name, row in zip(table.index, table.to_numpy(), strict=True)
        )
        note = f"<caption>{escape(caption)}</caption>" if caption and not folded else ""
        part = f"<div class=scroll><table>{note}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        self.parts.append(f"<details><summary>{escape(caption)}</summary>{part}</details>" if folded else part)

    def figure(self, figure: Figure, caption: str) -> None:
        """Add a matplotlib figure; its width on the page follows its size."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=PLOT_DPI, bbox_inches="tight")
        self._plot(buffer.getvalue(), figure.get_figwidth(), caption)

    def picture(self, file: Path, caption: str) -> None:
        """Add a PNG file of a figure, as `analyse` writes them."""
        with Image.open(file) as image:
            width = image.width / PLOT_DPI
        self._plot(file.read_bytes(), width, caption)

    def _plot(self, png: bytes, width: float, caption: str) -> None:
        """Add a plot so many inches wide."""
        data = base64.b64encode(png).decode()
        self.parts.append(
            f'<figure><img class=plot style="width: {6.25 * width:g}rem" src="data:image/png;base64,{data}" '
            f'alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'
        )

    def embed(self, file: Path, caption: str) -> None:
        """Add an HTML file that needs no other, such as a brain to turn."""
        content = escape(file.read_text(encoding="utf-8"))
        self.parts.append(
            f'<figure><iframe class=view sandbox="allow-scripts" srcdoc="{content}" '
            f'title="{escape(caption)}"></iframe><figcaption>{escape(caption)}</figcaption></figure>'
        )

    def grid(self, rows: Sequence[tuple[str, Sequence[torch.Tensor]]], columns: Sequence[str], caption: str) -> None:
        """Add a grid of pictures with names of rows and columns.

        Parameters
        ----------
        rows : sequence of (str, sequence of torch.Tensor)
            Name and pictures (3, edge, edge) in [0, 1] of each row.
        columns : sequence of str
            One a picture; may be empty strings.
        caption : str
        """
        head = "".join(f"<th>{escape(c)}</th>" for c in ["", *columns])
        body = "".join(
            f"<tr><th>{escape(name)}</th>" + "".join(f"<td>{_img(p, name)}</td>" for p in pictures) + "</tr>"
            for name, pictures in rows
        )
        self.parts.append(
            f"<figure><div class=scroll><table class=grid><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table></div><figcaption>{escape(caption)}</figcaption></figure>"
        )

    def write(self, target: str | Path) -> None:
        """Write the page, atomically."""
        page = Environment(autoescape=False).from_string(_PAGE)
        write_text(target, page.render(title=escape(self.title), lead=escape(self.lead), parts=self.parts))


def read_picture(file: Path) -> torch.Tensor:
    """Read a square picture as (3, edge, edge) in [0, 1]."""
    with Image.open(file) as image:
        return to_pixels(image.convert("RGB"), image.height).float() / 255


def _img(picture: torch.Tensor, name: str) -> str:
    buffer = io.BytesIO()
    to_image(picture).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(name)}">'


def confusion_figure(confusion: pd.DataFrame, title: str) -> Figure:
    """Draw a confusion matrix, true categories in rows, as shares of each row with counts written in.

    Parameters
    ----------
    confusion : pandas.DataFrame
        Counts; the index is true, the columns decoded.
    title : str
    """
    shares = confusion.div(confusion.sum(axis=1), axis=0).to_numpy()
    figure = Figure(figsize=(4.8, 4.2))  # without pyplot, a notebook's own backend stays as it is
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(confusion.to_numpy()):
        for j, count in enumerate(row):
            if count:
                axes.text(j, i, count, ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
    axes.set_xticks(range(len(confusion.columns)), confusion.columns, rotation=45, ha="right")
    axes.set_yticks(range(len(confusion.index)), confusion.index)
    axes.set(xlabel="decoded", ylabel="seen", title=title)
    figure.colorbar(image, ax=axes, label="share of the row", fraction=0.046)
    return figure


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2433; background: #fff;
  max-width: 72rem; margin: 2rem auto; padding: 0 1.2rem }
h1 { font-size: 1.9rem; margin-bottom: .2rem }
h2 { margin-top: 2.4rem; border-bottom: 2px solid #e3e7ef; padding-bottom: .2rem }
.lead { font-size: 1.1rem; color: #46506a }
.scroll { overflow-x: auto }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
caption { text-align: left; color: #46506a; padding-bottom: .3rem }
th, td { padding: .35rem .7rem; border-bottom: 1px solid #e3e7ef; text-align: right; font-size: .9rem }
tbody th, thead th:first-child { text-align: left; font-weight: 600 }
tbody th { min-width: 7rem }
.grid th, .grid td { padding: .15rem .2rem; border: 0; text-align: center; font-size: .8rem }
.grid tbody th { text-align: right; padding-right: .6rem; max-width: 12rem }
.grid img { width: 72px; height: 72px; display: block; border: 1px solid #e3e7ef; border-radius: 4px }
.plot { max-width: 100% }
.view { width: 100%; height: 34rem; border: 0 }
figure { margin: 1rem 0 }
figcaption { color: #46506a; font-size: .9rem; max-width: 60rem }
summary { cursor: pointer; font-weight: 600 }
pre { background: #f5f7fa; padding: .8rem 1rem; overflow-x: auto; font-size: .85rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem }
dt { font-weight: 600 }
dd { margin: 0; overflow-wrap: anywhere }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p class="lead">{{ lead }}</p>
{% for part in parts %}{{ part }}
{% endfor %}</body>
</html>
"""
