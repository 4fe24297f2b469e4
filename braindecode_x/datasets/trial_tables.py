"""Tables that say what a trial of somebody's own data showed: reading, pictures, splits."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from braindecode_x.datasets.cohort import SPLITS
from braindecode_x.stimuli import FolderStimuli

ONLY_SUBJECT = "sub-01"
UNLABELLED = "predict"


def read_table(file: Path, needed: str) -> pd.DataFrame:
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
            reader = csv.reader(stream, strict=True)
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
