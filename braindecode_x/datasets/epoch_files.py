"""What every source of epochs needs: FIF files read in parts, and checks of channels and of the signal."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

import mne
import numpy as np

from braindecode_x.files import unknown_name

CHUNK = 256  # trials at a time, so that float64 copies of all of them are never in memory


def open_epochs(file: str | Path) -> mne.BaseEpochs:
    """Open an ``-epo.fif`` file without reading its signal.

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
        return mne.read_epochs(file, preload=False, proj=False, verbose="error")
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
        (trials, channels, times) of float32; projections are not applied.

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
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(
            f"{where}: {len(missing)} of the {len(wanted)} channels are missing ({', '.join(missing[:10])}): "
            f"{unknown_name('channel', missing[0], found)}"
        )
    rows = {name: row for row, name in enumerate(found)}
    return [rows[name] for name in wanted]


def require_channels(where: str | Path, found: Sequence[str], expected: Sequence[str]) -> None:
    """Refuse channels that are not the expected ones in the expected order.

    Raises
    ------
    ValueError
        Names are missing, too many, or in another order; the message says what was found and what was expected.
    """
    if list(found) == list(expected):
        return
    channel_rows(where, found, expected)
    more = [name for name in found if name not in expected]
    if more:
        near = difflib.get_close_matches(more[0], expected, n=3, cutoff=0.4)
        hint = f"; the nearest to {more[0]!r} that are: {', '.join(near)}" if near else ""
        raise ValueError(f"{where}: {len(more)} channels are not expected ({', '.join(more[:10])}){hint}")
    place = next(row for row, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other)
    raise ValueError(
        f"{where}: channels are in another order; the first difference is at place {place + 1}: found "
        f"{found[place]!r}, expected {expected[place]!r}"
    )


def check_signal(where: str | Path, signal: np.ndarray, channels: Sequence[str]) -> None:
    """Refuse a signal with channels that are flat, or not finite.

    Parameters
    ----------
    where : str or Path
        For error messages.
    signal : numpy.ndarray
        (trials, channels, times).
    channels : sequence of str
        Names, for error messages.

    Raises
    ------
    ValueError
        A channel has values that are not finite, or is constant within every trial; the message names it.
    """
    finite, varying = np.ones(len(channels), bool), np.zeros(len(channels), bool)
    for part in chunks(len(signal)):
        chunk = signal[part]
        finite &= np.isfinite(chunk).all(axis=(0, 2))
        varying |= (chunk != chunk[..., :1]).any(axis=(0, 2))
    for wrong, what in ((~finite, "hold values that are not finite"), (~varying, "are flat")):
        if wrong.any():
            names = [name for name, bad in zip(channels, wrong, strict=True) if bad]
            raise ValueError(
                f"{where}: {len(names)} of {len(channels)} channels {what}: {', '.join(names[:10])}; leave them out, "
                "or interpolate them first (mne: info['bads'] and interpolate_bads)"
            )
