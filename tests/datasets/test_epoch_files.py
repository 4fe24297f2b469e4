"""Files of epochs: read in parts as written, and wrong channels and signals named."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest

from braindecode_x.datasets import epoch_files
from braindecode_x.datasets.epoch_files import channel_rows, check_signal, open_epochs, read_signal, require_channels

CHANNELS = ["Fp1", "Cz", "PO7", "Oz"]


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, np.ndarray]:
    signal = np.random.default_rng(0).normal(0, 1e-5, (7, 4, 30))
    file = tmp_path / "sub_epo.fif"
    mne.EpochsArray(signal, mne.create_info(CHANNELS, 100, "eeg"), tmin=-0.1, verbose="error").save(file)
    return file, signal


def test_trials_are_read_in_the_given_order_whatever_the_parts(written, monkeypatch) -> None:
    monkeypatch.setattr(epoch_files, "CHUNK", 2)
    file, signal = written
    rows = np.array([6, 0, 3, 3, 1])
    found = read_signal(open_epochs(file), rows, file)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, signal[rows], rtol=1e-6)


def test_damaged_files_are_named(written) -> None:
    file, _ = written
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"sub_epo\.fif: damaged"):
        read_signal(open_epochs(file), np.arange(7), file)
    file.write_bytes(b"no FIF")
    with pytest.raises(ValueError, match=r"sub_epo\.fif: damaged, or no FIF file"):
        open_epochs(file)
    with pytest.raises(FileNotFoundError, match=r"other\.fif: no such file"):
        open_epochs(file.with_name("other.fif"))


def test_channels_are_found_by_name() -> None:
    assert channel_rows("here", CHANNELS, ["Oz", "Fp1"]) == [3, 0]
    with pytest.raises(ValueError, match=r"here: 1 of the 2 channels are missing \(PO8\).*'PO8'; did you mean 'PO7'"):
        channel_rows("here", CHANNELS, ["Oz", "PO8"])
    with pytest.raises(ValueError, match="found several times: Oz"):
        channel_rows("here", [*CHANNELS, "Oz"], ["Oz"])


def test_wrong_channels_are_refused_with_what_was_expected() -> None:
    require_channels("here", CHANNELS, CHANNELS)
    with pytest.raises(ValueError, match=r"another order.*place 2: found 'PO7', expected 'Cz'"):
        require_channels("here", ["Fp1", "PO7", "Cz", "Oz"], CHANNELS)
    with pytest.raises(ValueError, match=r"1 channels are not expected \(P7\); the nearest to 'P7' that are: PO7"):
        require_channels("here", [*CHANNELS, "P7"], CHANNELS)
    with pytest.raises(ValueError, match="1 of the 4 channels are missing"):
        require_channels("here", CHANNELS[:3], CHANNELS)


def test_bad_channels_are_refused_by_name(monkeypatch) -> None:
    monkeypatch.setattr(epoch_files, "CHUNK", 2)
    signal = np.random.default_rng(0).normal(size=(5, 4, 10))
    check_signal("here", signal, CHANNELS)
    flat = signal.copy()
    flat[:, 1] = np.arange(5)[:, None]  # another level in each trial, but flat
    with pytest.raises(ValueError, match="1 of 4 channels are flat: Cz"):
        check_signal("here", flat, CHANNELS)
    flat[4, 1, 3] += 1  # not flat in the last trial: not refused
    check_signal("here", flat, CHANNELS)
    signal[4, [0, 3], 9] = np.nan, np.inf
    with pytest.raises(ValueError, match="2 of 4 channels hold values that are not finite: Fp1, Oz"):
        check_signal("here", signal, CHANNELS)
