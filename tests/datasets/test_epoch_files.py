"""Files of epochs: read in parts as written, and missing channels named."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest

from braindecode_x.datasets import epoch_files
from braindecode_x.datasets.epoch_files import channel_rows, open_epochs, read_signal

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
    with pytest.raises(ValueError, match=r"here: 1 of 2 .*: PO8; .*'PO8'; did you mean 'PO7'"):
        channel_rows("here", CHANNELS, ["Oz", "PO8"])
    with pytest.raises(ValueError, match="found several times: Oz"):
        channel_rows("here", [*CHANNELS, "Oz"], ["Oz"])
