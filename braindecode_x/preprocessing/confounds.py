"""Confounds of a run: what fMRIPrep estimated, or a plain table."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from nilearn.interfaces.fmriprep import load_confounds

from braindecode_x.datasets.bold_recordings import BoldRun
from braindecode_x.files import unknown_name
from braindecode_x.preprocessing.settings import FmriSettings


class Confounds(NamedTuple):
    """What is regressed out of a run.

    Attributes
    ----------
    table : pandas.DataFrame or None
        (volumes, confounds).
    first : int
        The first volume to keep: those before it were not in steady state.
    """

    table: pd.DataFrame | None = None
    first: int = 0


def read_confounds(run: BoldRun, settings: FmriSettings) -> Confounds:
    """Read the confounds of a run.

    Those of fMRIPrep are chosen by ``confounds`` and ``confound_options`` (`nilearn.interfaces.fmriprep`); the volumes
    that it found not to be in steady state are to be left out. Of a plain table the ``confound_columns`` are taken; a
    missing first value, as derivatives have, is filled with the second.

    Parameters
    ----------
    run : BoldRun
    settings : FmriSettings

    Raises
    ------
    ValueError
        The confounds asked for are not there, or the table is damaged.
    """
    if run.fmriprep:
        return _fmriprep(run, settings) if settings.confounds else Confounds()
    return Confounds() if run.confounds is None else Confounds(_plain(run.confounds, settings.confound_columns))


def _fmriprep(run: BoldRun, settings: FmriSettings) -> Confounds:
    if run.confounds is None:
        raise ValueError(
            f"{run.bold}: no *_desc-confounds_timeseries.tsv of this run beside it; give confounds an empty list to go "
            "without"
        )
    try:
        table, kept = load_confounds(str(run.bold), settings.confounds, **settings.confound_options)  # type: ignore
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{run.confounds}: cannot be used with {', '.join(settings.confounds)} ({error})") from error
    if kept is None:
        return Confounds(table)
    first = int(kept[0])
    if not np.array_equal(kept, np.arange(first, first + len(kept))):
        raise ValueError(f"{run.confounds}: volumes amid the run are to be left out; windows need them in their places")
    return Confounds(None if table is None else table.iloc[first:].reset_index(drop=True), first)


def _plain(file: Path, columns: tuple[str, ...] | None) -> pd.DataFrame:
    try:
        table = pd.read_csv(file, sep="," if file.suffix == ".csv" else "\t", na_values="n/a", encoding="utf-8-sig")
    except ValueError as error:
        raise ValueError(f"{file}: not a readable table of tab-separated values in UTF-8 ({error})") from error
    for name in columns or ():
        if name not in table:
            raise ValueError(f"{file}: {unknown_name('column of the confounds', name, table)}")
    table = table[list(columns)] if columns else table
    text = table.select_dtypes(exclude="number").columns.tolist()
    if text:
        raise ValueError(f"{file}: the column {text[0]!r} holds text; expected numbers (choose with confound_columns)")
    table.iloc[:1] = table.iloc[:2].bfill().iloc[:1]
    wrong = [name for name in table if not np.isfinite(table[name]).all()]
    if wrong:
        raise ValueError(f"{file}: the column {wrong[0]!r} holds values that are missing or not finite")
    return table
