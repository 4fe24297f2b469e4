"""The commands ``braindecode-x preprocess eeg`` and ``meg``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal


def eeg(
    recordings: Path,
    output: Path,
    subjects: list[str] | None = None,
    pictures: Path | None = None,
    channels: list[str] | None = None,
    l_freq: float | None = None,
    h_freq: float | None = None,
    sfreq: float | None = 250.0,
    tmin: float = -0.2,
    tmax: float = 1.0,
    baseline: tuple[float | None, float | None] | None = (None, 0.0),
    crop: tuple[float, float] | None = None,
    normalise: Literal["mvnn", "zscore", "none"] = "mvnn",
    mvnn_per: Literal["epochs", "time"] = "epochs",
    validation_concepts: int = 100,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Turn raw EEG into epochs that training starts from; a run that was cut goes on where it stopped.

    Parameters
    ----------
    recordings
        The folder of THINGS-EEG2, with Raw_data/.
    output
        Folder for the epochs, one FIF file a session, and the settings.
    subjects
        For example [sub-01, sub-02]; default: all.
    pictures
        The folder with training_images/ and test_images/; default: the recordings'.
    channels
        Channels to take, in this order; default: the published 63, in the order that published decoders expect.
    l_freq
        Lower edge of the band-pass filter in Hz; default: none.
    h_freq
        Upper edge of the band-pass filter in Hz; default: none.
    sfreq
        Sampling rate of the epochs in Hz; null: as recorded.
    tmin
        Seconds from the onset of the picture to the first sample.
    tmax
        Seconds from the onset of the picture to the last sample.
    baseline
        Seconds from the onset between which each channel's mean is subtracted, [null, 0] by default; null: none is.
    crop
        Seconds from the onset of what is kept at the end, the end not included; the published arrays keep [0, 1].
    normalise
        Whiten by the noise covariance of each session's training trials, or z-score by them, or leave volts.
    mvnn_per
        What the noise covariance is computed over.
    validation_concepts
        How many of the training concepts are held out for validation; their trials take no part in normalisation.
    seed
        Draws them.
    overwrite
        Remove the output folder first when it holds epochs of other settings.
    """
    from braindecode_x.datasets.cards import differences
    from braindecode_x.datasets.things_eeg2 import CHANNELS, ThingsEeg2Recordings
    from braindecode_x.datasets.things_pictures import counts
    from braindecode_x.preprocessing.eeg import EpochSettings
    from braindecode_x.preprocessing.stage import preprocess

    source = ThingsEeg2Recordings(recordings, subjects, pictures, validation_concepts, seed)
    names = CHANNELS if channels is None else tuple(channels)
    settings = EpochSettings(names, l_freq, h_freq, sfreq, tmin, tmax, baseline, crop, normalise, mvnn_per)
    if missing := differences("things_eeg2", counts(source.subjects, source.stimuli.table)):
        sys.stdout.write(f"{recordings}: a part of THINGS-EEG2, with {', '.join(missing)}\n")
    made = preprocess(source, output, settings, overwrite=overwrite)
    sys.stdout.write(f"epochs of {len(made.subjects)} subjects ({', '.join(made.subjects)}): {output}\n")


COMMANDS = {"_help": "Turn raw recordings into epochs that training starts from.", "eeg": eeg}
