"""Anybody's own betas: files of trials, a folder of pictures, and a CSV table that joins them.

Format
    One row of the table is one trial, in the order of the betas. ``trials.csv``::

        subject,stimulus,split
        sub-01,cat,train
        sub-01,dogs/rex.jpg,train
        sub-01,tree,test
        sub-01,,predict

    ``stimulus`` is a picture's path within the folder, with or without its extension; an empty one is a trial without a
    label (a table of this column alone writes it as ``""``). ``subject``, ``split``, ``betas`` and ``row`` may be left
    out; other columns are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from braindecode_x.datasets.beta_files import n_trials, read_betas
from braindecode_x.datasets.betas import BetasCohort, SubjectBetas
from braindecode_x.datasets.trial_tables import (
    ONLY_SUBJECT,
    UNLABELLED,
    check_splits,
    draw_splits,
    match_pictures,
    read_table,
    refuse_rows,
)
from braindecode_x.files import unknown_name
from braindecode_x.stimuli import FolderStimuli, Stimuli


class TableBetas(BetasCohort):
    """Betas of one or more subjects, joined to pictures by a table.

    Parameters
    ----------
    table : str or Path
        CSV in UTF-8, one row a trial, with the column ``stimulus`` and, when wanted:

        - ``subject``; default one subject, ``sub-01``.
        - ``split``: train, validation or test. An unlabelled trial may carry any name, and is ``predict`` without one.
          Default: 80% of the pictures for training, 10% for validation and 10% for test, drawn at random, so that
          no picture is on both sides, whoever saw it.
        - ``betas``: the trial's file, relative to the table.
        - ``row``: the trial's place in its file, from 0. Default: the rows that name a file are all its trials, in
          order.
    stimuli : str or Path
        Folder of pictures, see `FolderStimuli`; a ``captions.csv`` in it gives captions.
    betas : mapping of str to path, or path, optional
        Subject to file, or one file with all trials of the table; instead of the column ``betas``. ``.npy`` of
        (trials, voxels), or ``.nii``, ``.nii.gz`` of (x, y, z, trials).
    mask : mapping of str to path, or path, optional
        For NIfTI betas, the voxels to take: an image (or ``.npy``) of the betas' grid, for all or by subject. Default:
        voxels that are finite and not constant over the trials in all of a subject's files; betas that a decoder is to
        predict later need the mask of those that it was trained on, so give one.
    seed : int
        Of the drawn splits.

    Attributes
    ----------
    subjects : tuple of str
        In the order of the table.
    stimuli : FolderStimuli
        The pictures that the table names.

    Raises
    ------
    FileNotFoundError
        The table, the folder or a file of betas does not exist.
    ValueError
        Columns are missing, rows name pictures that are not there, a picture is in two splits, or a file is damaged or
        does not hold the trials that the table says.
    """

    def __init__(
        self,
        table: str | Path,
        stimuli: str | Path,
        betas: dict[str, str | Path] | str | Path | None = None,
        mask: dict[str, str | Path] | str | Path | None = None,
        seed: int = 0,
    ):
        self.table = Path(table)
        rows = read_table(self.table, "stimulus")
        if "subject" not in rows:
            rows["subject"] = ONLY_SUBJECT
        refuse_rows(self.table, rows, rows["subject"] == "", "no subject")
        self.subjects = tuple(rows["subject"].unique().tolist())
        pictures = FolderStimuli(stimuli)
        rows["stimulus"] = match_pictures(self.table, rows, pictures)
        named = set(rows["stimulus"])
        self.stimuli: Stimuli = pictures.subset(ids=[name for name in pictures.ids if name in named])
        rows["split"] = self._splits(rows, seed)
        rows["file"] = self._files(rows, betas)
        rows["row"] = self._rows(rows)
        self._mask = mask if isinstance(mask, Mapping) else dict.fromkeys(self.subjects, mask)
        self._known("subject of the mask", self._mask)
        self._trials = rows

    def subject(self, name: str) -> SubjectBetas:
        """Read one subject's betas.

        Parameters
        ----------
        name : str
            One of ``subjects``.

        Raises
        ------
        ValueError
            No such subject, values that are not finite, files that do not fit each other or the mask.
        """
        if name not in self.subjects:
            raise unknown_name("subject", name, self.subjects)
        trials = self._trials[self._trials["subject"] == name].reset_index(drop=True)
        codes, files = pd.factorize(trials["file"])
        mask = self._mask.get(name)
        parts = read_betas([Path(file) for file in files], None if mask is None else Path(mask))
        betas = np.empty((len(trials), parts[0].shape[1]), np.float32)
        for code, (file, part) in enumerate(zip(files, parts, strict=True)):
            here = codes == code
            rows = trials.loc[here, "row"].to_numpy(dtype=int)
            with np.errstate(over="ignore"):  # what is too large for float32 becomes inf, and is refused
                betas[here] = part[rows]
            _refuse_not_finite(file, betas[here], rows)
        return SubjectBetas(name, betas, trials[["stimulus", "split"]].copy(), regions=None)

    def _splits(self, rows: pd.DataFrame, seed: int) -> pd.Series:
        if "split" in rows:
            return check_splits(self.table, rows)
        named = set(rows["stimulus"]) - {""}
        drawn = draw_splits(self.table, dict(zip(named, named, strict=True)), seed)
        return rows["stimulus"].map(drawn).fillna(UNLABELLED)

    def _files(self, rows: pd.DataFrame, betas: Mapping[str, str | Path] | str | Path | None) -> pd.Series:
        if (betas is None) != ("betas" in rows):
            found = "both" if betas is not None else "neither"
            raise ValueError(f"{self.table}: betas come from a column 'betas' or from the argument; found {found}")
        if betas is None:
            refuse_rows(self.table, rows, rows["betas"] == "", "no file of betas")
            return rows["betas"].map(lambda file: str(self.table.parent / file))
        if not isinstance(betas, Mapping):
            return pd.Series(str(betas), rows.index)
        self._known("subject of the betas", betas)
        without = [name for name in self.subjects if name not in betas]
        if without:
            raise ValueError(f"{self.table}: subjects {without[:5]} have no file in betas, which names {list(betas)}")
        return rows["subject"].map({name: str(file) for name, file in betas.items()})

    def _rows(self, rows: pd.DataFrame) -> pd.Series:
        """Give every trial its row of its file."""
        counts = {file: n_trials(Path(file)) for file in rows["file"].unique()}
        if "row" in rows:
            limits = rows["file"].map(counts)
            wrong = ~rows["row"].str.fullmatch(r"\d+")
            wrong |= pd.to_numeric(rows["row"].where(~wrong, "0")) >= limits
            ends = f"; {rows.loc[wrong, 'file'].iloc[0]} holds 0 to {limits[wrong].iloc[0] - 1}" if wrong.any() else ""
            refuse_rows(self.table, rows, wrong, f"a row that is not in its file{ends}", "row")
            numbers = rows["row"].astype(int)
            twice = pd.DataFrame({"file": rows["file"], "row": numbers}).duplicated()
            refuse_rows(self.table, rows, twice, "a trial that an earlier line has already", "row")
            return numbers
        for file, number in rows["file"].value_counts(sort=False).items():
            if number != counts[file]:
                raise ValueError(
                    f"{file}: {counts[file]} trials; expected {number}, one for each row of {self.table} that names it"
                )
        return rows.groupby("file").cumcount()

    def _known(self, what: str, names: Mapping[str, str | Path | None]) -> None:
        for name in names:
            if name not in self.subjects:
                raise unknown_name(what, name, self.subjects)


def _refuse_not_finite(file: str, betas: np.ndarray, rows: np.ndarray) -> None:
    wrong = ~np.isfinite(betas)
    if wrong.any():
        trial, voxel = np.argwhere(wrong)[0]
        raise ValueError(
            f"{file}: {wrong.sum()} values are not finite (or too large for float32); the first is in trial "
            f"{rows[trial]}, voxel {voxel} (counted from 0{' within the mask' if not file.endswith('.npy') else ''}); "
            "leave out these trials or voxels"
        )
