"""The command from raw recordings to epochs, on the miniature of THINGS-EEG2."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
from scipy.linalg import fractional_matrix_power
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import StandardScaler
from things_eeg2.make import FRONT_TO_BACK, SESSIONS, make

from braindecode_x.cli import main
from braindecode_x.datasets.preprocessed_epochs import PreprocessedEpochs
from braindecode_x.datasets.things_eeg2 import CHANNELS, ThingsEeg2Recordings
from braindecode_x.preprocessing import stage
from braindecode_x.preprocessing.eeg import EpochSettings

PUBLISHED = ("--validation_concepts", 0, "--crop", "[0, 1]")


def run(*arguments: object) -> None:
    main(["preprocess", "eeg", *map(str, arguments)])


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "braindecode_x", "preprocess", "eeg", *map(str, arguments)]


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("things_eeg2")
    make(folder)
    return folder


@pytest.fixture(scope="module")
def ready(things: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command's output with the published settings."""
    output = tmp_path_factory.mktemp("ready") / "epochs"
    done = subprocess.run(command(things, output, *PUBLISHED), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"epochs of 2 subjects (sub-01, sub-02): {output}" in done.stdout
    return output


def plain_epochs(file: Path, folder: Path) -> tuple[np.ndarray, list[str]]:
    """Epochs as the published steps make them, in one go."""
    content = np.load(file, allow_pickle=True).item()
    info = mne.create_info(content["ch_names"], content["sfreq"], content["ch_types"])
    raw = mne.io.RawArray(content["raw_eeg_data"], info, verbose="error")
    codes = content["raw_eeg_data"][-1]
    onsets = np.flatnonzero((codes > 0) & (codes != 99999))
    events = np.column_stack([onsets, np.zeros_like(onsets), codes[onsets].astype(int)])
    raw.pick(FRONT_TO_BACK).reorder_channels(FRONT_TO_BACK)
    options = {"tmin": -0.2, "tmax": 1.0, "baseline": (None, 0), "preload": True, "verbose": "error"}
    epochs = mne.Epochs(raw, events, **options).resample(250, verbose="error")
    pictures = sorted(folder.glob("*/*"))
    return epochs.get_data(copy=True)[..., 50:], [pictures[code - 1].stem for code in events[:, 2]]


def plain_covariance(samples: np.ndarray) -> np.ndarray:
    scaler = StandardScaler()
    shrunk = ledoit_wolf(scaler.fit_transform(samples))[0]
    return scaler.scale_[:, None] * shrunk * scaler.scale_


def test_the_command_does_the_published_steps(things: Path, ready: Path) -> None:
    subject = PreprocessedEpochs(ready).subject("sub-02")
    assert subject.channels == FRONT_TO_BACK
    np.testing.assert_allclose(subject.times, np.arange(250) / 250, atol=1e-9)
    for session in SESSIONS:
        parts = {
            part: plain_epochs(
                things / "Raw_data" / "sub-02" / session / f"raw_eeg_{part}.npy", things / f"{part}_images"
            )
            for part in ("training", "test")
        }
        epochs, stimuli = parts["training"]
        covariances = {name: [] for name in stimuli}
        for trial, name in zip(epochs, stimuli, strict=True):
            covariances[name].append(plain_covariance(trial.T))
        covariance = np.mean([np.mean(each, axis=0) for each in covariances.values()], axis=0)
        whitener = fractional_matrix_power(covariance, -0.5)
        for part, (epochs, stimuli) in parts.items():
            rows = ((subject.trials["session"] == session) & subject.trials["run"].str.endswith(part)).to_numpy()
            assert subject.trials["stimulus"][rows].tolist() == stimuli
            np.testing.assert_allclose(subject.epochs[rows], whitener @ epochs, rtol=1e-3, atol=1e-3)


def test_averages_show_what_the_pictures_evoke(ready: Path) -> None:
    """The answer peaks at 200 ms, and each picture's differs from the others'."""
    subject = PreprocessedEpochs(ready).subject("sub-01")
    rows = np.arange(len(subject.trials))
    halves = []
    for half in (rows % 2 == 0, rows % 2 == 1):
        trials = subject.trials[half & (subject.trials["split"] == "train")]
        means = [subject.epochs[group.index].mean(axis=0) for _, group in trials.groupby("stimulus")]
        halves.append(np.stack(means))
    differences = [half - half.mean(axis=0) for half in halves]
    reliable = np.einsum("pct,pct->t", *differences)
    assert abs(subject.times[reliable.argmax()] - 0.2) < 0.03
    window = (subject.times > 0.15) & (subject.times < 0.25)
    flat = [each[..., window].mean(axis=2) for each in differences]
    found = np.argmax(np.corrcoef(*flat)[:10, 10:], axis=1)
    assert (found == np.arange(10)).mean() >= 0.8


def test_mne_reads_a_session_and_its_trials(ready: Path) -> None:
    epochs = mne.read_epochs(ready / "sub-01" / "ses-02" / "sub-01_ses-02_epo.fif", verbose="error")
    assert len(epochs) == 10 * 2 + 3 * 4
    assert epochs.info["sfreq"] == 250
    assert epochs.get_montage() is not None
    assert {"stimulus", "split", "run"} <= set(epochs.metadata)
    assert len(epochs["stimulus == 'bat1_01b'"]) == 2


def test_the_pictures_are_found_again(things: Path, ready: Path, tmp_path: Path) -> None:
    stimuli = PreprocessedEpochs(ready).stimuli
    assert stimuli.table["split"].value_counts().to_dict() == {"train": 10, "test": 3}
    assert stimuli.image("bat1_01b").size == (32, 32)
    moved = shutil.copytree(things / "training_images", tmp_path / "moved" / "training_images").parent
    assert PreprocessedEpochs(ready, pictures=moved).stimuli.where("bat1_01b").startswith(str(moved))
    assert PreprocessedEpochs(ready, pictures=moved).stimuli.image("bat1_01b").size == (32, 32)


def test_validation_trials_take_no_part_in_the_normalisation(things: Path, ready: Path, tmp_path: Path) -> None:
    run(things, tmp_path / "out", "--validation_concepts", 2, "--crop", "[0, 1]", "--subjects", "[sub-01]")
    cohort = PreprocessedEpochs(tmp_path / "out")
    assert cohort.subjects == ("sub-01",)
    subject = cohort.subject("sub-01")
    assert subject.trials["split"].value_counts().to_dict() == {"train": 24, "validation": 16, "test": 24}
    assert not np.allclose(subject.epochs, PreprocessedEpochs(ready).subject("sub-01").epochs)


def times_of(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.fif") if ".partial" not in str(path)}


def test_a_killed_command_goes_on(things: Path, ready: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command(things, output, *PUBLISHED), **quiet)
    deadline = time.time() + 60
    while not times_of(output):
        assert process.poll() is None
        assert time.time() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = times_of(output)
    assert 1 <= len(kept) < 4
    (output / "sub-02" / ".partial-ses-01").mkdir(parents=True, exist_ok=True)  # as a kill while writing leaves it

    run(things, output, *PUBLISHED)
    assert kept.items() <= times_of(output).items()
    assert not list(output.rglob(".partial*"))
    assert len(times_of(output)) == 4
    for name in ("sub-01", "sub-02"):
        found, expected = (PreprocessedEpochs(folder).subject(name) for folder in (output, ready))
        np.testing.assert_array_equal(found.epochs, expected.epochs)
        pd.testing.assert_frame_equal(found.trials, expected.trials)


def test_other_settings_do_not_mix_into_a_folder(things: Path, ready: Path, tmp_path: Path, capsys) -> None:
    output = Path(shutil.copytree(ready, tmp_path / "out"))
    for options, different in (((*PUBLISHED, "--sfreq", 125), "sfreq"), (("--validation_concepts", 1), "crop, splits")):
        with pytest.raises(SystemExit):
            run(things, output, *options)
        assert f"holds epochs of other settings (different: {different})" in capsys.readouterr().err
    assert times_of(output).keys() == {output / path.relative_to(ready) for path in times_of(ready)}
    options = ("--sfreq", 125, "--subjects", "[sub-02]", "--channels", "[Oz, PO7]", "--normalise", "zscore")
    run(things, output, *PUBLISHED, *options, "--overwrite", "true")
    subject = PreprocessedEpochs(output).subject("sub-02")
    assert subject.epochs.shape[1:] == (2, 125)
    assert PreprocessedEpochs(output).subjects == ("sub-02",)


def test_settings_that_made_nothing_do_not_claim_the_folder(things: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        run(things, tmp_path / "out", *PUBLISHED, "--channels", "[Oz, PO9]")
    assert "'PO9'; did you mean" in capsys.readouterr().err
    run(things, tmp_path / "out", *PUBLISHED, "--channels", "[Oz, PO7]", "--subjects", "[sub-01]")
    assert PreprocessedEpochs(tmp_path / "out").subject("sub-01").channels == ["Oz", "PO7"]


def test_a_bad_session_is_named_and_what_was_made_before_stays(things: Path, tmp_path: Path, monkeypatch) -> None:
    folder = Path(shutil.copytree(things, tmp_path / "things"))
    file = folder / "Raw_data" / "sub-01" / "ses-02" / "raw_eeg_test.npy"
    content = np.load(file, allow_pickle=True).item()
    content["raw_eeg_data"][FRONT_TO_BACK.index("Oz")] = 0
    flat = content["ch_names"][FRONT_TO_BACK.index("Oz")]
    np.save(file, content)
    with pytest.raises(SystemExit):
        run(folder, tmp_path / "out", "--subjects", "[sub-01]", *PUBLISHED)
    made = times_of(tmp_path / "out")
    assert [path.parent.name for path in made] == ["ses-01"]
    with pytest.raises(FileNotFoundError, match="no subject whose sessions are all there"):
        PreprocessedEpochs(tmp_path / "out")

    recordings = ThingsEeg2Recordings(folder, ["sub-01"], validation_concepts=0)
    monkeypatch.setattr(stage, "write_session", pytest.fail)
    with pytest.raises(ValueError, match=rf"sub-01 ses-02 test: .*{flat}.*flat"):
        stage.preprocess(recordings, tmp_path / "out", EpochSettings(CHANNELS, crop=(0, 1)), progress=False)
    assert times_of(tmp_path / "out") == made


class Poison:
    """What runs a command when it is unpickled."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def test_a_poisoned_recording_is_refused_and_not_run(things: Path, tmp_path: Path, capsys) -> None:
    folder = Path(shutil.copytree(things, tmp_path / "things"))
    file = folder / "Raw_data" / "sub-01" / "ses-02" / "raw_eeg_test.npy"
    np.save(file, {**np.load(file, allow_pickle=True).item(), "highpass": Poison(tmp_path / "ran")})
    with pytest.raises(SystemExit):
        run(folder, tmp_path / "out", *PUBLISHED)
    found = capsys.readouterr().err
    assert f"{file}: refused" in found
    assert "posix.system" in found
    assert not (tmp_path / "ran").exists()
    assert [path.parent.name for path in times_of(tmp_path / "out")] == ["ses-01"]


def test_damaged_outputs_are_named(ready: Path, tmp_path: Path) -> None:
    output = Path(shutil.copytree(ready, tmp_path / "out"))
    file = output / "sub-01" / "ses-02" / "sub-01_ses-02_epo.fif"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ValueError, match=r"sub-01_ses-02_epo\.fif: damaged"):
        PreprocessedEpochs(output).subject("sub-01")
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"sub-01_ses-02_epo\.fif: no such file"):
        PreprocessedEpochs(output).subject("sub-01")
    table = (output / "stimuli.csv").read_text().splitlines()
    (output / "stimuli.csv").write_text("\n".join(table[:4]) + "\n")
    with pytest.raises(ValueError, match=r"trials show pictures that stimuli\.csv does not list"):
        PreprocessedEpochs(output).subject("sub-02")
    with pytest.raises(ValueError, match="unknown subject 'sub-3'"):
        PreprocessedEpochs(output, ["sub-3"])
