"""A miniature of an EEG study in BIDS: BrainVision files, tables of channels and events, pictures.

``python make.py FOLDER``. Two subjects, the first with two sessions; 100 Hz. After its onset, picture number k (from 1)
holds k microvolts at Oz for 0.2 s; answers follow with ``n/a`` for a picture. TP9 is marked bad, EOG is no EEG.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

CHANNELS = ("Fz", "Cz", "Oz", "TP9", "EOG")
CONCEPTS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay")
PICTURES = tuple(f"{concept}/{concept}_{exemplar}.png" for concept in CONCEPTS for exemplar in (1, 2))
SESSIONS = {"01": ("01", "02"), "02": ("01",)}
SFREQ, FIRST, APART = 100, 1.0, 0.8

VHDR = """Brain Vision Data Exchange Header File Version 1.0
[Common Infos]
Codepage=UTF-8
DataFile={name}.eeg
MarkerFile={name}.vmrk
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels={n}
SamplingInterval=10000
[Binary Infos]
BinaryFormat=IEEE_FLOAT_32
[Channel Infos]
{channels}
"""
VMRK = """Brain Vision Data Exchange Marker File, Version 1.0
[Common Infos]
Codepage=UTF-8
DataFile={name}.eeg
[Marker Infos]
Mk1=New Segment,,1,1,0,20200101000000000000
"""


def make_bids(root: Path) -> Path:
    """Write the study."""
    for number, picture in enumerate(PICTURES):
        file = root / "stimuli" / picture
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (10 * number, 255 - 10 * number, 120)).save(file)
    about = {"Name": "miniature", "BIDSVersion": "1.8.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    (root / "participants.tsv").write_text("participant_id\n" + "".join(f"sub-{name}\n" for name in SESSIONS))
    for subject, sessions in SESSIONS.items():
        for session in sessions:
            _write_run(root, subject, session)
    return root


def _write_run(root: Path, subject: str, session: str) -> None:
    folder = root / f"sub-{subject}" / f"ses-{session}" / "eeg"
    folder.mkdir(parents=True)
    stem = f"sub-{subject}_ses-{session}_task-look"
    rng = np.random.default_rng(int(subject) * 10 + int(session))
    shown = rng.permutation(len(PICTURES))
    onsets = FIRST + APART * np.arange(len(shown))
    signal = rng.standard_normal((int((onsets[-1] + 2) * SFREQ), len(CHANNELS))) * 0.01 + np.arange(len(CHANNELS))
    for onset, picture in zip(onsets, shown, strict=True):
        start = round(onset * SFREQ)
        signal[start : start + 20, CHANNELS.index("Oz")] += picture + 1
    lines = [f"Ch{number}={name},,1,µV" for number, name in enumerate(CHANNELS, 1)]
    header = VHDR.format(name=f"{stem}_eeg", n=len(CHANNELS), channels="\n".join(lines))
    (folder / f"{stem}_eeg.vhdr").write_text(header, encoding="utf-8")
    (folder / f"{stem}_eeg.vmrk").write_text(VMRK.format(name=f"{stem}_eeg"), encoding="utf-8")
    signal.astype("<f4").tofile(folder / f"{stem}_eeg.eeg")
    sidecar = {"TaskName": "look", "SamplingFrequency": SFREQ, "PowerLineFrequency": 50, "EEGReference": "Cz"}
    (folder / f"{stem}_eeg.json").write_text(json.dumps({**sidecar, "SoftwareFilters": "n/a"}))
    kinds = [
        f"{name}\t{'EOG' if name == 'EOG' else 'EEG'}\tµV\t{'bad' if name == 'TP9' else 'good'}" for name in CHANNELS
    ]
    table = "\n".join(["name\ttype\tunits\tstatus", *kinds]) + "\n"
    (folder / f"{stem}_channels.tsv").write_text(table, encoding="utf-8")
    events = ["onset\tduration\ttrial_type\tstim_file"]
    for onset, picture in zip(onsets, shown, strict=True):
        events += [f"{onset:.2f}\t0.2\tpicture\t{PICTURES[picture]}", f"{onset + 0.5:.2f}\t0\tanswer\tn/a"]
    (folder / f"{stem}_events.tsv").write_text("\n".join(events) + "\n")


if __name__ == "__main__":
    make_bids(Path(sys.argv[1]))
