"""How epochs are made of raw recordings; apart from the making, so that the command line's help comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class EpochSettings:
    """How epochs are made.

    Parameters
    ----------
    channels : tuple of str, optional
        Channels to take, in this order; default: all EEG or MEG channels that are not marked bad.
    l_freq : float, optional
        Lower edge of the band-pass filter of the continuous signal in Hz; default: no high-pass.
    h_freq : float, optional
        Upper edge in Hz; default: no low-pass.
    sfreq : float, optional
        Sampling rate of the epochs in Hz; default: as recorded. Resampling low-passes at half the new rate.
    tmin : float
        Seconds from the onset of the picture to the first sample.
    tmax : float
        Seconds from the onset of the picture to the last sample.
    baseline : tuple of float, or None
        Seconds from the onset between which each channel's mean is taken, to be subtracted; None (null) stands for the
        first or the last sample, or, instead of both, for no correction.
    crop : tuple of float, optional
        Seconds from the onset of what is kept after all this, the end not included. The published arrays keep (0, 1).
    normalise : {"mvnn", "zscore", "none"}
        Within each session, from its training trials: whiten by the noise covariance, or make each channel's mean 0 and
        standard deviation 1, or leave volts and tesla.
    mvnn_per : {"epochs", "time"}
        What the noise covariance is computed over.
    montage : str, optional
        Put electrodes in the places that this montage of mne's has for them, for example easycap-M1; default:
        where the recording says.
    """

    channels: tuple[str, ...] | None = None
    l_freq: float | None = None
    h_freq: float | None = None
    sfreq: float | None = 250.0
    tmin: float = -0.2
    tmax: float = 1.0
    baseline: tuple[float | None, float | None] | None = (None, 0.0)
    crop: tuple[float, float] | None = None
    normalise: Literal["mvnn", "zscore", "none"] = "mvnn"
    mvnn_per: Literal["epochs", "time"] = "epochs"
    montage: str | None = None

    def __post_init__(self) -> None:
        if not self.tmin < self.tmax:
            raise ValueError(f"tmin and tmax: expected tmin < tmax, found {self.tmin} and {self.tmax}")
        if self.crop is not None and not self.tmin <= self.crop[0] < self.crop[1] <= self.tmax:
            raise ValueError(f"crop: expected a start and an end in {self.tmin} to {self.tmax} s, found {self.crop}")


@dataclass(frozen=True)
class MegSettings(EpochSettings):
    """How epochs of MEG are made: as `EpochSettings`, with the band, the rate and the window of THINGS-MEG.

    Parameters
    ----------
    l_freq : float, optional
        Lower edge of the band-pass filter of the continuous signal in Hz.
    h_freq : float, optional
        Upper edge in Hz.
    sfreq : float, optional
        Sampling rate of the epochs in Hz.
    tmin : float
        Seconds from the onset of the picture to the first sample.
    tmax : float
        Seconds from the onset of the picture to the last sample.
    """

    l_freq: float | None = 0.1
    h_freq: float | None = 40.0
    sfreq: float | None = 200.0
    tmin: float = -0.1
    tmax: float = 1.3
