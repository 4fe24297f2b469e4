"""Files of epochs: FIF, read in parts; channels found by name, and put in their places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import mne
import numpy as np

from braindecode_x.datasets.epochs import refuse_missing_channels
from braindecode_x.files import unknown_name

CHUNK = 256  # trials at a time, so that float64 copies of all of them are never in memory


def open_epochs(file: str | Path, proj: bool = False) -> mne.BaseEpochs:
    """Open an ``-epo.fif`` file without reading its signal; ``proj`` applies its projections when it is read.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is damaged, or no file of epochs; the message names it.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        return mne.read_epochs(file, preload=False, proj=proj, verbose="error")
    except Exception as error:  # a damaged file raises whatever its bytes happen to mean
        raise ValueError(
            f"{file}: damaged, or no FIF file of epochs ({error}); write it with mne.Epochs.save"
        ) from error


def chunks(n_trials: int) -> Iterator[slice]:
    """Yield slices of at most ``CHUNK`` trials."""
    for start in range(0, n_trials, CHUNK):
        yield slice(start, min(start + CHUNK, n_trials))


def read_signal(epochs: mne.BaseEpochs, rows: np.ndarray, where: str | Path) -> np.ndarray:
    """Read some trials of opened epochs, a few at a time.

    Parameters
    ----------
    epochs : mne.BaseEpochs
    rows : numpy.ndarray
        (trials,) of int, which and in what order.
    where : str or Path
        For error messages.

    Returns
    -------
    numpy.ndarray
        (trials, channels, times) of float32.

    Raises
    ------
    ValueError
        The file is cut off or damaged.
    """
    signal = np.empty((len(rows), len(epochs.ch_names), len(epochs.times)), np.float32)
    for part in chunks(len(rows)):
        try:
            signal[part] = epochs[rows[part]].get_data(copy=False, verbose="error")
        except Exception as error:
            raise ValueError(f"{where}: damaged, its signal cannot be read ({error})") from error
    return signal


def channel_rows(where: str | Path, found: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Find channels by name.

    Parameters
    ----------
    where : str or Path
        For error messages.
    found : sequence of str
        The channels that there are.
    wanted : sequence of str
        Those to take, in this order.

    Returns
    -------
    list of int
        Rows of ``found``.

    Raises
    ------
    ValueError
        Names are repeated, or wanted ones are missing; the message gives the nearest names found.
    """
    for names in (found, wanted):
        repeated = sorted({name for name in names if list(names).count(name) > 1})
        if repeated:
            raise ValueError(f"{where}: channels are named once each; found several times: {', '.join(repeated)}")
    refuse_missing_channels(wanted, found, str(where))
    rows = {name: row for row, name in enumerate(found)}
    return [rows[name] for name in wanted]


def set_montage(info: mne.Info, montage: str, where: str = "montage") -> None:
    """Give electrodes the places that one of mne's montages has for them, in place.

    Parameters
    ----------
    info : mne.Info
    montage : str
        Name, for example ``"easycap-M1"``; see ``mne.channels.get_builtin_montages``.
    where : str
        For error messages.

    Raises
    ------
    ValueError
        There is no such montage, or it lacks electrodes; the message gives its nearest names.
    """
    try:
        places = mne.channels.make_standard_montage(montage)
    except ValueError:
        raise unknown_name("montage", montage, mne.channels.get_builtin_montages()) from None
    electrodes = [info["ch_names"][row] for row in mne.pick_types(info, eeg=True, exclude=())]
    channel_rows(f"{where}: montage {montage!r}", places.ch_names, electrodes)
    info.set_montage(places, verbose="error")
