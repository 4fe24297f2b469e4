"""The commands on BIDS folders, EEG and MEG."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import mne
import numpy as np
import pytest
from bids_eeg.make import CONCEPTS, make_bids
from PIL import Image

from braindecode_x.cli import main
from braindecode_x.datasets.preprocessed_epochs import PreprocessedEpochs

pytest.importorskip("mne_bids")
PLAIN = ("--normalise", "none", "--baseline", "null", "--l_freq", "null", "--h_freq", "null", "--sfreq", "null")


def run(*arguments: object) -> None:
    main(["preprocess", *map(str, arguments)])


def test_help_comes_without_the_heavy_libraries() -> None:
    """Of all commands, those of preprocessing are looked into before one is chosen."""
    script = "import sys, braindecode_x.cli; print(sorted({'mne', 'torch', 'lightning'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_eeg_in_a_bids_folder_becomes_epochs(tmp_path: Path) -> None:
    study = make_bids(tmp_path / "study")
    options = ("--layout", "bids", "--tmax", 0.4, "--channels", "[Oz, Fz]", "--montage", "easycap-M1")
    run("eeg", study, tmp_path / "out", *PLAIN, *options)
    cohort = PreprocessedEpochs(tmp_path / "out")
    assert cohort.subjects == ("sub-01", "sub-02")
    subject = cohort.subject("sub-01")
    assert subject.channels == ["Oz", "Fz"]
    assert set(subject.trials["session"]) == {"ses-01", "ses-02"}
    assert subject.info.get_montage() is not None
    pictures = [f"{concept}/{concept}_{exemplar}" for concept in CONCEPTS for exemplar in (1, 2)]
    numbers = [pictures.index(name) + 1 for name in subject.trials["stimulus"]]
    window = (subject.times > 0.01) & (subject.times < 0.19)
    np.testing.assert_allclose(subject.epochs[:, 0, window].mean(axis=1) * 1e6, np.add(numbers, 2), atol=0.05)
    assert (subject.trials["split"].to_numpy() == cohort.stimuli.table.loc[subject.trials["stimulus"], "split"]).all()


def test_a_montage_that_lacks_channels_is_refused(tmp_path: Path, capsys) -> None:
    study = make_bids(tmp_path / "study")
    options = ("--layout", "bids", "--tmax", 0.4, "--subjects", "[sub-02]")
    for montage, message in (
        ("biosemi16", r"montage 'biosemi16': 1 of 3 .*: TP9"),
        ("easycap-1", r"unknown montage 'easycap-1'; did you mean 'easycap-M1'"),
    ):
        with pytest.raises(SystemExit):
            run("eeg", study, tmp_path / "out", *options, "--channels", "[Fz, Oz, TP9]", "--montage", montage)
        found = capsys.readouterr().err
        assert re.search(message, found), found


def make_meg(root: Path) -> Path:
    """Write a recording of eight magnetometers; picture k (from 0) holds k + 1 picotesla in the third for 0.2 s."""
    names = [f"MLO{11 + k}-1609" for k in range(8)]
    pictures = [f"{concept}/{concept}.png" for concept in CONCEPTS]
    onsets = 2 + 2.0 * np.arange(len(pictures))
    signal = np.random.default_rng(0).normal(0, 1e-15, (8, 24 * 600))
    for number, onset in enumerate(onsets):
        start = round(onset * 600)
        signal[2, start : start + 120] += (number + 1) * 1e-12
    folder = root / "sub-01" / "meg"
    folder.mkdir(parents=True)
    raw = mne.io.RawArray(signal, mne.create_info(names, 600, "mag"), verbose="error")
    raw.save(folder / "sub-01_task-look_meg.fif", verbose="error")
    sidecar = {"TaskName": "look", "SamplingFrequency": 600, "PowerLineFrequency": 50, "DewarPosition": "upright"}
    about = {**sidecar, "SoftwareFilters": "n/a", "DigitizedLandmarks": False, "DigitizedHeadPoints": False}
    (folder / "sub-01_task-look_meg.json").write_text(json.dumps(about))
    rows = [f"{onset}\t0.2\t{picture}" for onset, picture in zip(onsets, pictures, strict=True)]
    (folder / "sub-01_task-look_events.tsv").write_text("\n".join(["onset\tduration\tstim_file", *rows]) + "\n")
    (root / "dataset_description.json").write_text(json.dumps({"Name": "miniature", "BIDSVersion": "1.8.0"}))
    for picture in pictures:
        (root / "stimuli" / picture).parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(root / "stimuli" / picture)
    return root


def test_meg_in_a_bids_folder_becomes_epochs_of_the_published_window_and_rate(tmp_path: Path) -> None:
    run("meg", make_meg(tmp_path / "study"), tmp_path / "out", "--normalise", "none", "--l_freq", "null")
    subject = PreprocessedEpochs(tmp_path / "out").subject("sub-01")
    assert subject.epochs.shape == (10, 8, 280)
    assert subject.info["sfreq"] == 200
    np.testing.assert_allclose(subject.times[[0, -1]], [-0.1, 1.295], atol=1e-9)
    window = (subject.times > 0.05) & (subject.times < 0.15)
    numbers = [CONCEPTS.index(name.partition("/")[0]) + 1 for name in subject.trials["stimulus"]]
    np.testing.assert_allclose(subject.epochs[:, 2, window].mean(axis=1) * 1e12, numbers, rtol=0.03)


def test_meg_is_whitened_too(tmp_path: Path) -> None:
    run("meg", make_meg(tmp_path / "study"), tmp_path / "out")
    subject = PreprocessedEpochs(tmp_path / "out").subject("sub-01")
    assert 0.3 < subject.epochs.std() < 3
