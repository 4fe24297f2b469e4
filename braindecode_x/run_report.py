"""The page of a run: what was run, scores, pictures, what was found, and how the training went."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.comparison import ABOUT, CEILING, CHANCE, NEAREST, PICTURES, RETRIEVED, SEEN, TABLE
from braindecode_x.metrics.comparison import EVERYONE
from braindecode_x.report import Page, breakable, comparison_table, read_picture

SHOWN, EXAMPLES = 12, 4  # pictures of every subject, examples of retrieval of every subject
NOISE_CEILINGS = "noise_ceilings.csv"
EXPLAINED = {
    NEAREST: "the training picture nearest to the decoded embedding (a decoder that does not beat it recalls)",
    CHANCE: "the decoded embeddings and pictures, dealt to other trials of the same subject (none keeps its own)",
    CEILING: "reconstructed from the true embeddings: as good as this reconstructor gets",
}


def write_report(
    output: str | Path,
    run: str | Path | None = None,
    regions: pd.DataFrame | None = None,
    title: str = "From brain activity to pictures",
) -> Path:
    """Write what `compare` found as one page that needs no other file.

    Parameters
    ----------
    output : str or Path
        The folder that `compare` wrote. Nothing is computed anew.
    run : str or Path, optional
        A folder of Lightning's CSV logger (``metrics.csv``, and ``config.yaml`` where there is one): adds training
        curves and the configuration.
    regions : pandas.DataFrame, optional
        Median noise ceilings of single trials: a row a subject, a column a region, in [0, 1]. Default: what ``fit``
        wrote into ``run`` (``noise_ceilings.csv``), if it did.
    title : str

    Returns
    -------
    Path
        ``report.html`` in the folder.

    Raises
    ------
    FileNotFoundError
        A part of the comparison or of the log is missing.
    """
    output = Path(output)
    for name in (ABOUT, PICTURES, f"{TABLE}.csv"):
        if not (output / name).is_file():
            raise FileNotFoundError(f"{output}: no {name}; expected a folder that a comparison was written to")
    about = json.loads((output / ABOUT).read_text(encoding="utf-8"))
    table = read_csv(output / f"{TABLE}.csv", ["subject"])
    log = None if run is None else read_log(Path(run))
    if regions is None and run is not None and (Path(run) / NOISE_CEILINGS).is_file():
        regions = read_csv(Path(run) / NOISE_CEILINGS, ["subject"]).set_index("subject")

    subjects, pictures = list(about["subjects"]), about["seen"]["pictures"]
    systems = " and ".join(about["systems"])
    page = Page(title, f"{systems}: {len(subjects)} subjects, {pictures} test pictures, all scores beside controls.")
    _tables(page, table, about)
    _pictures(page, output)
    if (output / RETRIEVED).is_file():
        _retrieval(page, output, next(iter(about["systems"])))
    if regions is not None:
        page.heading("How much signal there is")
        page.figure(
            region_figure(regions),
            "Noise ceiling: how much of the variance of single trials comes from the pictures. Median of each region's "
            "voxels, a point a subject.",
        )
    if log is not None:
        page.heading("Training")
        page.figure(training_figure(log), "Losses on training pictures, and scores on validation pictures, by epoch.")
    _facts(page, about, None if run is None else Path(run) / "config.yaml")
    page.write(output / "report.html")
    return output / "report.html"


def read_csv(source: Path, names: Sequence[str]) -> pd.DataFrame:
    """Read a table whose columns ``names`` are text, also where they look like numbers or missing values."""
    return pd.read_csv(source, dtype=dict.fromkeys(names, str), keep_default_na=False, na_values=[""])


def read_log(run: Path) -> pd.DataFrame:
    """Read ``metrics.csv`` of Lightning's CSV logger: one row an epoch, the mean of what was logged in it."""
    if not (run / "metrics.csv").is_file():
        raise FileNotFoundError(f"{run}: no metrics.csv; expected a folder of Lightning's CSV logger")
    log = pd.read_csv(run / "metrics.csv")
    if "epoch" not in log:
        raise ValueError(f"{run / 'metrics.csv'}: expected a column 'epoch', found {list(log)}")
    return log.groupby("epoch").mean(numeric_only=True).drop(columns="step", errors="ignore")


def training_figure(log: pd.DataFrame) -> Figure:
    """Draw training curves.

    Parameters
    ----------
    log : pandas.DataFrame
        By epoch; columns ``train/...`` are losses (drawn relative to their first value), ``val/...`` scores.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for name in (column for column in log if column.startswith("train/")):
        values = log[name].dropna()
        if len(values) and values.iloc[0]:
            width = 2.0 if name == "train/total" else 1.0
            losses.plot(values.index, values / values.iloc[0], label=name.removeprefix("train/"), linewidth=width)
    for name in (column for column in log if column.startswith("val/")):
        values = log[name].dropna()
        width = 1.0 if "_" in name else 2.0  # of a subject, or the mean over subjects
        scores.plot(values.index, values, label=name.removeprefix("val/"), linewidth=width)
    losses.set(xlabel="epoch", ylabel="loss / loss in the first epoch", title="training")
    scores.set(xlabel="epoch", ylabel="share right", title="validation")
    scores.set_ylim(bottom=0)
    for axes in (losses, scores):
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False, fontsize="small")
    return figure


def region_figure(regions: pd.DataFrame) -> Figure:
    """Draw noise ceilings, a column a region and a point a subject (a row)."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    for number, (subject, row) in enumerate(regions.iterrows()):
        shift = 0.5 * ((number + 0.5) / len(regions) - 0.5)
        axes.plot([place + shift for place in range(len(row))], row, "o", markersize=5, label=str(subject))
    axes.set_xticks(range(regions.shape[1]), [str(region) for region in regions])
    axes.set(ylabel="noise ceiling", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def evenly(items: Sequence[int], count: int) -> list[int]:
    """Take ``count`` items (or all, when there are fewer), evenly spaced from the first to the last."""
    if len(items) <= count:
        return list(items)
    return [items[round(k * (len(items) - 1) / (count - 1))] for k in range(count)]


def _tables(page: Page, table: pd.DataFrame, about: dict[str, Any]) -> None:
    page.heading("Scores")
    page.text(
        "Brackets are 95% bootstrap intervals over test pictures. Among n candidates, guessing is right in 1 of n; "
        "two-way, in half. A judge is a network that took no part in decoding."
    )
    page.facts({name: what for name, what in EXPLAINED.items() if name in about["rows"]})
    baseline = about["baseline"] or "none"
    subjects, together = list(about["subjects"]), comparison_table(table, EVERYONE, baseline)
    page.table(breakable(together), f"All subjects together ({', '.join(subjects)})")
    if len(subjects) > 1:
        each = {subject: comparison_table(table, subject, baseline) for subject in subjects}
        first = together.index[0]
        lines = pd.DataFrame({subject: own.loc[first] for subject, own in each.items()}).T
        page.table(breakable(lines), f"Subject by subject: {first}")
        for subject, own in each.items():
            page.table(breakable(own), f"All scores of {subject}", folded=True)


def _pictures(page: Page, output: Path) -> None:
    pictures = read_csv(output / PICTURES, list(pd.read_csv(output / PICTURES, nrows=0)))
    systems = [name for name in pictures if name not in ("id", "subject", "stimulus", SEEN)]
    page.heading("What was seen, and what was reconstructed")
    for subject, own in pictures.groupby("subject", sort=False):
        shown = own.loc[evenly(own.index.tolist(), SHOWN)]
        rows = [(name, [read_picture(output / file) for file in shown[name]]) for name in (SEEN, *systems)]
        page.grid(rows, [""] * len(shown), f"Subject {subject}: test pictures evenly spaced in the list, not picked.")


def _retrieval(page: Page, output: Path, system: str) -> None:
    names = list(pd.read_csv(output / RETRIEVED, nrows=0))
    found = read_csv(output / RETRIEVED, names)
    pictures = read_csv(output / PICTURES, list(pd.read_csv(output / PICTURES, nrows=0)))
    file = dict(zip(pictures["stimulus"], pictures[SEEN], strict=True))
    places = [name for name in names if name.isdigit()]
    rows = []
    for subject, own in found.groupby("subject", sort=False):
        for _, trial in own.loc[evenly(own.index.tolist(), EXAMPLES)].iterrows():
            shown = [trial["stimulus"], *trial[places].dropna()]
            verdict = f"{subject}, right one: place {trial['place']} of {trial['candidates']}"
            rows.append((verdict, [read_picture(output / file[stimulus]) for stimulus in shown]))
    page.heading("Pictures found by brain activity")
    page.grid(
        rows,
        ["seen", *(f"{place}." for place in places)],
        f"What was seen, then the test pictures nearest to the embedding that {system} decoded. Trials are evenly "
        "spaced, not picked.",
    )


def _facts(page: Page, about: dict[str, Any], config: Path | None) -> None:
    page.heading("What was run")
    sampling = ", ".join(f"{name} {value}" for name, value in about["reconstructor"]["sampling"].items())
    facts = {
        "systems": _listed(f"{name} ({', '.join(c)})" if c else name for name, c in about["systems"].items()),
        "subjects": _listed(f"{name} ({count} trials)" for name, count in about["subjects"].items()),
        "pictures seen": f"{about['seen']['pictures']} of {about['seen']['set']}",
        "training pictures": (
            f"{about['training']['pictures']} of {about['training']['set']}" if about["training"] else "not searched"
        ),
        "embedding space": str(EmbeddingSpace.from_dict(about["space"])),
        "reconstructor": f"{about['reconstructor']['name']} (weights {about['reconstructor']['weights']}); {sampling}",
        "judge": _listed(f"{name} ({network})" for name, network in about["judges"].items()),
        "seed": str(about["seed"]),
        "versions": _listed(f"{name} {version}" for name, version in about["versions"].items()),
    }
    page.facts(facts)
    if config is not None and config.is_file():
        page.code("Configuration of the training", config.read_text(encoding="utf-8"))


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)
