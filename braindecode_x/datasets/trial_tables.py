"""Tables that say what a trial of somebody's own data showed: reading, pictures, splits."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from braindecode_x.datasets.cohort import SPLITS
from braindecode_x.files import unknown_name
from braindecode_x.stimuli import FolderStimuli

ONLY_SUBJECT = "sub-01"
UNLABELLED = "predict"


def read_table(file: Path, needed: str, separator: str = ",") -> pd.DataFrame:
    """Read a CSV table of text with a column that it needs.

    The places of its rows, ``line 2`` and so on, are in the column ``place``.

    Raises
    ------
    FileNotFoundError
        There is no such table.
    ValueError
        It is no CSV in UTF-8, lacks the column, names one twice, its lines differ in length, or it has none.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such table")
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True, delimiter=separator)
            header = [name.strip() for name in next(reader, [])]
            lines = [(reader.line_num, [value.strip() for value in values]) for values in reader if values]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not a readable CSV table in UTF-8 ({error})") from error
    if needed not in header or len(set(header)) != len(header):
        raise ValueError(f"{file}: needs the column {needed}, and each column once; found {header}")
    for line, values in lines:
        if len(values) != len(header):
            raise ValueError(f"{file}, line {line}: {len(values)} values; expected {len(header)}, one for each column")
    if not lines:
        raise ValueError(f"{file}: no trials; expected one row a trial below the names of the columns")
    rows = pd.DataFrame([values for _, values in lines], columns=header, dtype=object)
    return rows.assign(place=[f"line {line}" for line, _ in lines])


def read_events(file: Path, column: str, trial_types: Sequence[str] | None, unlabelled: bool = False) -> pd.DataFrame:
    """Read those events of a BIDS table that show a picture.

    Parameters
    ----------
    file : Path
        TSV with the column ``onset``.
    column : str
        Names the picture; empty or ``n/a`` where there is none.
    trial_types : sequence of str or None
        Take the events whose ``trial_type`` is one of these instead.
    unlabelled : bool
        Take events without a picture too, where their ``split`` is another than train, validation and test.

    Returns
    -------
    pandas.DataFrame
        ``onset`` (seconds), ``stimulus``, ``place`` (which line of which file) and the other columns as text; rows
        keep their numbers. None is left where no event shows a picture.

    Raises
    ------
    ValueError
        No readable table, a missing column, or an onset that is no number.
    """
    try:
        rows = pd.read_csv(file, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ValueError as error:
        raise ValueError(f"{file}: not a readable table of tab-separated values in UTF-8 ({error})") from error
    for name in ("onset", column, *(["trial_type"] if trial_types else [])):
        if name not in rows:
            raise ValueError(f"{file}: {unknown_name('column of the events', name, rows)}")
    rows = rows.assign(place=[f"line {line} of {file}" for line in range(2, len(rows) + 2)])
    text = {name: rows[name].map(as_text) for name in ("split", "concept") if name in rows}
    rows = rows.assign(stimulus=rows[column].map(as_text), **text)
    chosen = rows["trial_type"].isin(trial_types) if trial_types else rows["stimulus"] != ""
    if unlabelled and "split" in rows:
        chosen |= (rows["stimulus"] == "") & ~rows["split"].isin([*SPLITS, ""])
    onsets = pd.to_numeric(rows["onset"], errors="coerce")
    wrong = rows.loc[chosen & onsets.isna(), "place"]
    if len(wrong):
        raise ValueError(f"{file}: {len(wrong)} events have an onset that is no number, the first in {wrong.iloc[0]}")
    return rows[chosen].drop(columns=[] if column == "stimulus" else column).assign(onset=onsets[chosen])


def as_text(value: object) -> str:
    """Write a cell as text: empty where it is missing, whole numbers without a fraction."""
    if pd.isna(value) or value == "n/a":  # type: ignore[call-overload]
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def refuse_rows(where: object, rows: pd.DataFrame, wrong: pd.Series, what: str, column: str | None = None) -> None:
    """Raise a ValueError that shows the first rows that are wrong.

    Parameters
    ----------
    where : str or Path
        The table.
    rows : pandas.DataFrame
        With the column ``place``.
    wrong : pandas.Series
        Of bool.
    what : str
        What these rows name, or fail to.
    column : str, optional
        Show its values.
    """
    found = rows[wrong.to_numpy(dtype=bool)]
    if len(found):
        shown = [row["place"] + (f" ({row[column]!r})" if column else "") for _, row in found[:5].iterrows()]
        more = ", ..." if len(found) > len(shown) else ""
        raise ValueError(f"{where}: {len(found)} of {len(rows)} rows name {what}: {', '.join(shown)}{more}")


def match_pictures(where: object, rows: pd.DataFrame, pictures: FolderStimuli) -> pd.Series:
    """Give every trial its picture's id; empty for unlabelled trials.

    Parameters
    ----------
    where : str or Path
        The table.
    rows : pandas.DataFrame
        With ``stimulus``: a path within the folder, with or without its extension.
    pictures : FolderStimuli

    Raises
    ------
    ValueError
        Trials name pictures that are not in the folder.
    """
    files = pictures.table["file"]
    ids = {Path(file).relative_to(pictures.folder).as_posix(): name for name, file in files.items()}
    ids |= {name: name for name in pictures.ids} | {"": ""}
    found = rows["stimulus"].map(ids)
    refuse_rows(where, rows, found.isna(), f"a picture that is not in {pictures.folder}", "stimulus")
    return found


def refuse_unlabelled(where: object, rows: pd.DataFrame) -> None:
    """Raise a ValueError where trials name no picture and have no split that says that they are to be decoded."""
    unlabelled = rows["stimulus"] == ""
    if "split" in rows:
        unlabelled &= rows["split"].isin([*SPLITS, ""])
    remedy = f"drop them, or give them the split {UNLABELLED!r} to decode them"
    refuse_rows(where, rows, unlabelled, f"no picture ({remedy})")


def check_splits(where: object, rows: pd.DataFrame) -> pd.Series:
    """Return every trial's split as the column ``split`` says, ``predict`` for unlabelled trials without one.

    Raises
    ------
    ValueError
        A labelled trial has another split than train, validation and test, or a picture is in two.
    """
    labelled = rows["stimulus"] != ""
    splits = rows["split"].where(labelled | (rows["split"] != ""), UNLABELLED)
    wrong = labelled & ~splits.isin(SPLITS)
    refuse_rows(where, rows, wrong, f"a split other than {', '.join(SPLITS)}", "split")
    several = splits[labelled].groupby(rows["stimulus"]).unique()
    several = several[several.map(len) > 1]
    if len(several):
        raise ValueError(
            f"{where}: a picture belongs to one split; {several.index[0]!r} is in "
            f"{' and '.join(several.iloc[0])} ({len(several)} such pictures)"
        )
    return splits


def draw_splits(where: object, concepts: Mapping[str, str], seed: int, what: str = "pictures") -> dict[str, str]:
    """Draw a split for each picture: 10% of concepts (at least one) for validation and for test, the rest for training.

    Parameters
    ----------
    where : str or Path
        The table.
    concepts : mapping of str to str
        Picture to concept; a picture's own name where pictures are drawn one by one.
    seed : int
    what : str
        What is drawn, for errors.

    Raises
    ------
    ValueError
        There are fewer concepts than splits.
    """
    names = sorted(set(concepts.values()))
    if not names:
        return {}
    if len(names) < len(SPLITS):
        raise ValueError(
            f"{where}: {len(names)} {what} are too few to draw train, validation and test; add the column split"
        )
    held_out = max(1, round(len(names) / 10))
    order = np.random.default_rng(seed).permutation(names).tolist()
    splits = ["validation"] * held_out + ["test"] * held_out
    drawn = dict(zip(order, splits + ["train"] * (len(names) - len(splits)), strict=True))
    return {picture: drawn[concept] for picture, concept in concepts.items()}


def picture_splits(where: object, rows: pd.DataFrame, seed: int) -> pd.Series:
    """Return every trial's split, of the column ``split`` or drawn by concept.

    Parameters
    ----------
    where : str or Path
        The table.
    rows : pandas.DataFrame
        With ``stimulus`` (id) and perhaps ``split`` and ``concept``; without ``concept`` a picture's folder, or, for a
        picture in no folder, the picture itself.
    seed : int
        Of splits that are drawn.

    Raises
    ------
    ValueError
        As of `check_splits` and `draw_splits`.
    """
    if "split" in rows:
        return check_splits(where, rows)
    concepts = dict(zip(rows["stimulus"], rows["concept"], strict=True)) if "concept" in rows else {}
    named = sorted(set(rows["stimulus"]) - {""})
    groups = {name: concepts.get(name) or name.rpartition("/")[0] or name for name in named}
    return rows["stimulus"].map(draw_splits(where, groups, seed, "concepts"))
