"""The pictures of a preprocessed data set, in a table beside its arrays."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pandas as pd

from braindecode_x.datasets.cohort import SPLITS
from braindecode_x.files import atomic_path
from braindecode_x.stimuli import FileStimuli

STIMULI = "stimuli.csv"


def write_stimuli(folder: Path, table: pd.DataFrame) -> None:
    """Write the table of pictures, with absolute paths of their files (empty where they lie in none)."""
    with atomic_path(folder / STIMULI) as temporary:
        table.assign(file=[os.path.abspath(file) if file else "" for file in table["file"]]).to_csv(temporary)


def splits_hash(table: pd.DataFrame) -> str:
    """Hash which picture is in which split."""
    return hashlib.sha256(table[["split"]].to_csv().encode()).hexdigest()[:16]


def read_stimuli(folder: Path, name: str, pictures: str | Path | None = None) -> FileStimuli:
    """Read what `write_stimuli` wrote.

    Parameters
    ----------
    folder : Path
        Holds ``stimuli.csv``.
    name : str
        Of the set.
    pictures : str or Path, optional
        Folder of the pictures, when they were moved since.

    Raises
    ------
    ValueError
        The table is damaged.
    """
    file = folder / STIMULI
    try:
        table = pd.read_csv(file, index_col="id", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: not a readable CSV table with the column id ({error})") from error
    if not {"file", "caption", "split"} <= set(table) or not table["split"].isin(SPLITS).all():
        raise ValueError(f"{file}: expected the columns id, file, caption and split (one of {', '.join(SPLITS)})")
    if pictures is not None and len(table):
        above = os.path.commonpath([os.path.dirname(path) for path in table["file"]])
        table["file"] = [str(Path(pictures) / os.path.relpath(path, above)) for path in table["file"]]
    return FileStimuli(name, table)
