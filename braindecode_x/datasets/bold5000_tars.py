"""Tars of single trials with their pictures, read member by member, as BOLD5000 is distributed; see `Bold5000`."""

from __future__ import annotations

import json
import tarfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from braindecode_x.datasets.restricted_pickle import read_pickled
from braindecode_x.files import unknown_name
from braindecode_x.stimuli import Stimuli

PICTURE, CONFIG = "stimuli.png", "config.json"
REPEATED = "rep_"  # before the names of repeated pictures, in some lists
NEEDED = ("bold.pyd", "t_r.pyd", PICTURE, CONFIG)


class Member(NamedTuple):
    """Where a member lies: the tar, the first byte and the number of bytes."""

    tar: str
    start: int
    size: int

    def read(self) -> bytes:
        """Return its content."""
        with open(self.tar, "rb") as stream:
            stream.seek(self.start)
            return stream.read(self.size)


@dataclass
class Trial:
    """One trial.

    Attributes
    ----------
    key : str
    test : bool
        From a tar for test.
    members : dict of str to Member
        By ending, for example ``"bold.pyd"``.
    stimulus, label : str
        Of ``config.json``: the picture's name without its ending, and what it shows.
    """

    key: str
    test: bool
    members: dict[str, Member] = field(default_factory=dict)
    stimulus: str = ""
    label: str = ""


class TrialTars:
    """The tars of several subjects, looked through once.

    Parameters
    ----------
    folder : str or Path
        With ``CSI1/train/*.tar``, ``CSI1/test/*.tar`` and so on; the tars are not compressed.
    subjects : sequence of str, optional
        Default: all that are there.

    Raises
    ------
    FileNotFoundError
        A folder does not exist, or holds no tars.
    ValueError
        Unknown subjects, or no whole trial.
    """

    def __init__(self, folder: str | Path, subjects: Sequence[str] | None = None):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder}: no such folder")
        found = sorted(path.name for path in self.folder.glob("CSI*") if path.is_dir())
        if not found:
            raise FileNotFoundError(f"{self.folder}: holds no subject; expected folders CSI1 and so on")
        for name in subjects or ():
            if name not in found:
                raise unknown_name("subject", name, found)
        self.subjects = tuple(subjects or found)
        self._trials = {name: self._look_through(name) for name in self.subjects}

    def of(self, subject: str) -> list[Trial]:
        """Return a subject's trials, those for training first."""
        if subject not in self._trials:
            raise unknown_name("subject", subject, self.subjects)
        return self._trials[subject]

    def read(self, trials: Sequence[Trial], endings: Sequence[str]) -> Iterator[tuple[Trial, list[np.ndarray]]]:
        """Read arrays of trials; those that are damaged are left out, with a warning that counts them.

        Parameters
        ----------
        trials : sequence of Trial
        endings : sequence of str
            Without ``.pyd``, for example ``("bold", "t_r")``.

        Yields
        ------
        trial : Trial
        arrays : list of numpy.ndarray
            One an ending, finite.
        """
        bad = []
        for trial in trials:
            try:
                arrays = [self._array(trial, f"{ending}.pyd") for ending in endings]
            except ValueError as error:
                bad.append(str(error))
                continue
            yield trial, arrays
        if bad:
            warnings.warn(f"{len(bad)} of {len(trials)} trials are left out: {bad[0]}", stacklevel=2)

    def pictures(self) -> pd.DataFrame:
        """List the pictures, each once.

        Returns
        -------
        pandas.DataFrame
            Indexed by the picture's name: ``caption`` (what it shows), where it lies (``tar``, ``start``, ``size``),
            and ``test``, whether anybody saw it in a trial for test.
        """
        rows: dict[str, dict] = {}
        for trial in (trial for trials in self._trials.values() for trial in trials):
            row = {"caption": trial.label, "test": trial.test, **trial.members[PICTURE]._asdict()}
            rows.setdefault(trial.stimulus, row)["test"] |= trial.test
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("id")

    def _look_through(self, subject: str) -> list[Trial]:
        trials, bad = [], []
        for split in ("train", "test"):
            tars = sorted((self.folder / subject / split).glob("*.tar"))
            if not tars:
                raise FileNotFoundError(f"{self.folder / subject / split}: holds no tars")
            for tar in tars:
                found, why = _trials(tar, split == "test")
                trials += found
                bad += why
        if bad:
            warnings.warn(f"{subject}: {len(bad)} trials or tars are left out: {bad[0]}", stacklevel=2)
        if not trials:
            raise ValueError(f"{self.folder / subject}: no whole trial; the first tar: {bad[0]}")
        return trials

    def _array(self, trial: Trial, ending: str) -> np.ndarray:
        if ending not in trial.members:
            raise ValueError(f"{trial.key}: no member {ending}")
        member = trial.members[ending]
        where = f"{member.tar}, {trial.key}.{ending}"
        array = np.asarray(read_pickled(member.read(), where))
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(f"{where}: expected finite real numbers")
        if ending == "bold.pyd" and array.ndim != 2:
            raise ValueError(f"{where}: expected (volumes, parcels), found {array.shape}")
        return array


class TarStimuli(Stimuli):
    """Pictures that lie in tars.

    Parameters
    ----------
    name : str
    table : pandas.DataFrame
        Indexed by ``id``, with ``caption``, ``tar``, ``start`` and ``size``; more are kept.
    """

    def read(self, stimulus: str) -> bytes:
        """Return the encoded picture file of one stimulus."""
        row = self.table.loc[stimulus]
        return Member(row["tar"], int(row["start"]), int(row["size"])).read()

    def where(self, stimulus: str) -> str:
        """Say where a stimulus lies, for error messages."""
        return f"{self.table.at[stimulus, 'tar']}, {stimulus}"


def picture_id(name: str) -> str:
    """Make an id of a picture's file name: without its ending, and without the ``rep_`` of repeated ones."""
    return Path(name.strip()).stem.removeprefix(REPEATED)


def _trials(tar: Path, test: bool) -> tuple[list[Trial], list[str]]:
    """Return the whole trials of a tar, and why others are none."""
    trials: dict[str, Trial] = {}
    bad = []
    end = tar.stat().st_size
    try:
        with tarfile.open(tar, "r:") as stream:
            for member in stream:
                key, _, ending = Path(member.name).name.partition(".")
                if member.isreg() and member.offset_data + member.size <= end:
                    place = Member(str(tar), member.offset_data, member.size)
                    trials.setdefault(key, Trial(key, test)).members[ending] = place
    except (tarfile.TarError, OSError) as error:
        bad.append(f"{tar}: cut off or damaged ({error})")
    whole = []
    for trial in trials.values():
        missing = [ending for ending in NEEDED if ending not in trial.members]
        try:
            if missing:
                raise ValueError(f"without {', '.join(missing)}")
            config = json.loads(trial.members[CONFIG].read())
            trial.stimulus, trial.label = picture_id(config["img_name"]), str(config["label"])
            whole.append(trial)
        except (ValueError, KeyError, TypeError) as error:
            bad.append(f"{tar}: trial {trial.key!r}: {error}")
    return whole, bad
