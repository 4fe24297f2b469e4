"""Anybody's own epochs: mne objects or files, a folder of pictures, and a column that joins them.

Format
    ``mne.Epochs`` in memory, or saved with ``Epochs.save`` (``sub-01-epo.fif``). A row of their metadata is a trial::

        stimulus      split
        cat           train
        dogs/rex.jpg  train
        tree          test
                      predict

    ``stimulus`` is a picture's path within the folder, with or without its extension. A trial without one can only be
    decoded, and needs a split of another name than train, validation and test. A CSV table with these columns, one row
    an epoch, serves as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import mne
import numpy as np
import pandas as pd

from braindecode_x.datasets.epoch_files import channel_rows, open_epochs, read_signal
from braindecode_x.datasets.epochs import EpochsCohort, EpochsLayout, SubjectEpochs
from braindecode_x.datasets.trial_tables import (
    ONLY_SUBJECT,
    as_text,
    match_pictures,
    picture_splits,
    read_table,
    refuse_unlabelled,
)
from braindecode_x.files import unknown_name
from braindecode_x.stimuli import FolderStimuli

Source: TypeAlias = str | Path | mne.BaseEpochs


class EpochsDataset(EpochsCohort):
    """Epochs of one or more subjects, joined to pictures by a column.

    Parameters
    ----------
    epochs : mapping of str to source, or source
        Subject to its epochs, or those of one subject (``sub-01``): an ``-epo.fif`` file, an ``mne.Epochs``, or a list
        of these, for example one a session.
    stimuli : str or Path
        Folder of pictures, see `FolderStimuli`; a ``captions.csv`` in it gives captions.
    events : mapping of str to path, or path, optional
        CSV table with a row for each epoch of a subject, in order, or for each event that epochs were made of, instead
        of the metadata. One table for several subjects needs the column ``subject``.
    column : str
        Names the picture.
    picks : str or sequence of str
        Channels, as mne picks them. Default: all EEG and MEG channels that are not marked bad.
    seed : int
        Of the splits that are drawn where there is no column ``split``: 80% of the concepts for training, 10% for
        validation and 10% for test, whoever saw them. The concept is in the column ``concept``, or else the picture's
        folder, or, for a picture in no folder, the picture itself.

    Attributes
    ----------
    subjects : tuple of str
    stimuli : FolderStimuli
        The pictures that trials name.

    Raises
    ------
    FileNotFoundError
        A file or the folder does not exist.
    ValueError
        A file is damaged, the column or a picture is not there, a trial has no picture, a table does not fit the
        epochs, or a picture is in two splits.

    Examples
    --------
    >>> cohort = EpochsDataset({"anna": "anna-epo.fif", "ben": epochs}, "pictures", column="image")  # doctest: +SKIP
    """

    def __init__(
        self,
        epochs: dict[str, Source | list[Source]] | Source | list[Source],
        stimuli: str | Path,
        events: dict[str, str | Path] | str | Path | None = None,
        column: str = "stimulus",
        picks: str | list[str] = "data",
        seed: int = 0,
    ):
        by_subject = epochs if isinstance(epochs, Mapping) else {ONLY_SUBJECT: epochs}
        self.subjects, self.picks = tuple(by_subject), picks
        self._epochs = {name: _opened(name, sources) for name, sources in by_subject.items()}
        if isinstance(events, Mapping):
            for name in events:
                if name not in self.subjects:
                    raise unknown_name("subject of the events", name, self.subjects)
            for name in self.subjects:
                if name not in events:
                    raise ValueError(f"events: subject {name!r} has no table; there are those of {', '.join(events)}")
        rows = pd.concat([self._table(name, events, column) for name in self.subjects], ignore_index=True)
        where = f"{column!r} of the epochs' metadata" if events is None else f"{column!r} of the events"
        rows, self.stimuli = join_pictures(where, rows, FolderStimuli(stimuli), seed)
        self._trials = {
            name: rows[rows["subject"] == name].drop(columns=["subject", "place"]).reset_index(drop=True)
            for name in self.subjects
        }

    def subject(self, name: str) -> SubjectEpochs:
        """Read one subject's epochs.

        Parameters
        ----------
        name : str
            One of ``subjects``.

        Raises
        ------
        ValueError
            No such subject, a damaged file, or files of one subject that differ in channels or times.
        """
        if name not in self.subjects:
            raise unknown_name("subject", name, self.subjects)
        sources = self._epochs[name]
        first, whole = sources[0]
        channels = tuple(_picked(first, whole.info, self.picks))
        expected = replace(EpochsLayout.of(whole), channels=channels)
        parts = []
        for where, epochs in sources:
            places = channel_rows(where, epochs.ch_names, channels)
            expected.require(replace(EpochsLayout.of(epochs), channels=channels), where, first)
            signal = read_signal(epochs, np.arange(len(epochs)), where)
            parts.append(signal if places == list(range(signal.shape[1])) else signal[:, places])
        info = mne.pick_info(whole.info, channel_rows(first, whole.ch_names, channels))
        signal = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return SubjectEpochs(name, signal, self._trials[name], info, float(whole.tmin))

    def _table(self, name: str, events: Mapping[str, str | Path] | str | Path | None, column: str) -> pd.DataFrame:
        """Return a row for each of a subject's epochs: ``subject``, ``stimulus``, ``place`` and the other columns."""
        if events is None:
            parts = [_metadata(where, epochs, column) for where, epochs in self._epochs[name]]
            rows = pd.concat(parts, ignore_index=True)
        else:
            rows = self._events(name, events, column)
        text = {key: rows[key].map(as_text) for key in (column, "split", "concept") if key in rows}
        rows = rows.assign(**text).rename(columns={column: "stimulus"})
        return rows.assign(subject=name)

    def _events(self, name: str, events: Mapping[str, str | Path] | str | Path, column: str) -> pd.DataFrame:
        file = Path(events[name] if isinstance(events, Mapping) else events)
        rows = read_table(file, column)
        rows["place"] += f" of {file}"
        if not isinstance(events, Mapping) and len(self.subjects) > 1:
            if "subject" not in rows:
                raise ValueError(f"{file}: a table for several subjects needs the column subject; found {list(rows)}")
            rows = rows[rows["subject"] == name]
        epochs = [each for _, each in self._epochs[name]]
        kept = sum(len(each) for each in epochs)
        made_of = [len(each.drop_log) for each in epochs]
        if len(rows) == kept:
            return rows
        if len(rows) != sum(made_of):
            of_events = f", or {sum(made_of)}, one for each event that they were made of" if sum(made_of) > kept else ""
            raise ValueError(f"{file}: {len(rows)} rows of {name}; expected {kept}, one for each epoch{of_events}")
        starts = np.cumsum([0, *made_of[:-1]])
        return rows.iloc[np.concatenate([start + each.selection for start, each in zip(starts, epochs, strict=True)])]


def join_pictures(
    where: str, rows: pd.DataFrame, pictures: FolderStimuli, seed: int
) -> tuple[pd.DataFrame, FolderStimuli]:
    """Give trials their pictures' ids and splits.

    Parameters
    ----------
    where : str
        The tables, for errors.
    rows : pandas.DataFrame
        Of all subjects: ``stimulus``, as `match_pictures` takes it, ``place``, and perhaps ``split`` and ``concept``.
    pictures : FolderStimuli
    seed : int
        Of splits that are drawn, by concept.

    Returns
    -------
    rows : pandas.DataFrame
        With ``stimulus`` (id) and ``split``.
    pictures : FolderStimuli
        Those that are named.

    Raises
    ------
    ValueError
        A picture is not there, a trial has none, or splits are wrong or cannot be drawn.
    """
    refuse_unlabelled(where, rows)
    rows = rows.assign(stimulus=match_pictures(where, rows, pictures))
    named = set(rows["stimulus"]) - {""}
    rows["split"] = picture_splits(where, rows, seed)
    return rows, pictures.subset(ids=[name for name in pictures.ids if name in named])


def _opened(name: str, sources: Source | Sequence[Source]) -> list[tuple[str, mne.BaseEpochs]]:
    """Open a subject's epochs without reading their signal, each with what to call it in errors."""
    listed = [sources] if isinstance(sources, str | Path | mne.BaseEpochs) else list(sources)
    if not listed:
        raise ValueError(f"epochs of {name}: expected a file or mne.Epochs, or a list of these; found none")
    opened = []
    for source in listed:
        if isinstance(source, mne.BaseEpochs):
            # Whose signal was not read yet do not know which of them are bad.
            epochs = source if source.preload else source.copy().drop_bad(verbose="error")
            opened.append((f"epochs of {name}", epochs))
        else:
            opened.append((str(source), open_epochs(source, proj=True)))
    return opened


def _metadata(where: str, epochs: mne.BaseEpochs, column: str) -> pd.DataFrame:
    if epochs.metadata is None:
        raise ValueError(
            f"{where}: no metadata to say what was seen; set epochs.metadata, with the column {column!r}, or give the "
            "argument events, a CSV table"
        )
    rows = epochs.metadata.reset_index(drop=True)
    if column not in rows:
        raise ValueError(f"{where}: {unknown_name('column of the metadata', column, map(str, rows))}")
    return rows.assign(place=[f"epoch {number} of {where}" for number in range(len(rows))])


def _picked(where: str, info: mne.Info, picks: str | Sequence[str]) -> list[str]:
    """Return names of channels."""
    if not isinstance(picks, str):
        return list(picks)
    blank = mne.EvokedArray(np.zeros((len(info["ch_names"]), 1)), info, verbose="error")
    try:
        return blank.pick(picks, exclude="bads").ch_names
    except ValueError as error:
        raise ValueError(f"{where}: picks {picks!r}: {error}") from error
