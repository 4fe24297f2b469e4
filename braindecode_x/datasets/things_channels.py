"""The sensors of the THINGS recordings: names, places on the head, and which part of the cortex they lie over."""

from __future__ import annotations

import re

import mne

from braindecode_x.files import unknown_name

# In the order of the raw arrays of THINGS-EEG2 (Gifford et al. 2022, NeuroImage 264:119754); the preprocessed ones, and
# published decoders, have that of `braindecode_x.datasets.things_eeg2.CHANNELS`.
_NAMES = """
Fp1 F3 F7 FT9 FC5 FC1 C3 T7 TP9 CP5 CP1 Pz P3 P7 O1 Oz O2 P4 P8 TP10 CP6 CP2 Cz C4 T8 FT10 FC6 FC2 F4 F8 Fp2
AF7 AF3 AFz F1 F5 FT7 FC3 FCz C1 C5 TP7 CP3 P1 P5 PO7 PO3 POz PO4 PO8 P6 P2 CPz CP4 TP8 C6 C2 FC4 FT8 F6 F2
AF4 AF8
"""
EEG_CHANNELS = tuple(_NAMES.split())
MONTAGE = "easycap-M1"  # as mne names it: the extended 10-20 system on a sphere, in the caps that were worn

REGIONS = ("frontal", "central", "temporal", "parietal", "occipital")
EEG_REGIONS = {
    "Fp": "frontal",
    "AF": "frontal",
    "F": "frontal",
    "FC": "central",
    "C": "central",
    "FT": "temporal",
    "T": "temporal",
    "TP": "temporal",
    "CP": "parietal",
    "P": "parietal",
    "PO": "occipital",
    "O": "occipital",
    "I": "occipital",
}
CTF_REGIONS = {"F": "frontal", "C": "central", "T": "temporal", "P": "parietal", "O": "occipital"}


def eeg_info(sfreq: float) -> mne.Info:
    """Describe the 63 electrodes of THINGS-EEG2, at their places in the cap, for epochs of this rate (Hz)."""
    info = mne.create_info(list(EEG_CHANNELS), sfreq, "eeg")
    return info.set_montage(MONTAGE)


def channel_region(channel: str) -> str:
    """Name the part of the cortex that a sensor lies over.

    Parameters
    ----------
    channel : str
        An electrode of the extended 10-20 system, for example ``"PO7"``, or a sensor of a CTF MEG helmet, for example
        ``"MLO11-1609"``.

    Returns
    -------
    str
        One of ``REGIONS``. Electrodes between two parts count to one of them: FC to central, FT and TP to temporal, CP
        to parietal, PO to occipital.

    Raises
    ------
    ValueError
        The name is neither.
    """
    if found := re.fullmatch(r"M[LRZ]([FCTPO])\d\d(-\d+)?", channel):
        return CTF_REGIONS[found[1]]
    electrode = re.fullmatch(r"([A-Z][A-Za-z]?)(z|\d{1,2})", channel)
    if electrode is None or electrode[1] not in EEG_REGIONS:
        raise unknown_name("channel", channel, EEG_CHANNELS)
    return EEG_REGIONS[electrode[1]]
