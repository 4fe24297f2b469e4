"""How raw recordings are prepared; apart from the doing, so that the command line's help comes at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from braindecode_x.files import unknown_name

# Of nilearn's, but not "scrub": windows need every volume in its place.
CONFOUNDS = ("motion", "high_pass", "wm_csf", "global_signal", "compcor", "ica_aroma")


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


@dataclass(frozen=True)
class FmriSettings:
    """How runs of BOLD become parcels: extracted, cleaned, resampled, standardised.

    Parameters
    ----------
    atlas : str
        "seitzman" (300 spheres, which nilearn ships), "difumo" (1,024 maps; "difumo-256" and so on), "schaefer" (400
        parcels; "schaefer-100" and so on), which are downloaded, a NIfTI file of labels (3-D) or maps (4-D), or
        "voxels:mask.nii.gz", each voxel of a mask a parcel.
    atlas_table : str, optional
        With a file of labels or maps: TSV with the columns name, network (may be missing) and, for labels, index.
    smoothing : float, optional
        Width (full, at half maximum) in mm of the Gaussian that images are smoothed with; default: none.
    confounds : tuple of str
        What is regressed out of fMRIPrep's runs, as nilearn's load_confounds names it: motion, high_pass, wm_csf,
        global_signal, compcor, ica_aroma. Empty: nothing.
    confound_options : dict
        Further options of load_confounds, for example {motion: basic, n_compcor: 5}.
    confound_columns : tuple of str, optional
        Columns of plain tables of confounds, where a table of runs names them; default: all.
    detrend : bool
        Remove each run's linear trend.
    high_pass : float, optional
        Remove what is slower, in Hz; with the confounds' high_pass it is removed already.
    low_pass : float, optional
        Remove what is faster, in Hz.
    tr : float, optional
        Repetition time in seconds to resample runs to; default: as recorded, which must then be one for all.
    recorded_tr : float, optional
        Repetition time in seconds that runs were recorded with, where headers and sidecars do not say, or say wrong.
    any_space : bool
        Take images also whose header says that they lie in scanner space.
    """

    atlas: str = "seitzman"
    atlas_table: str | None = None
    smoothing: float | None = None
    confounds: tuple[str, ...] = ("motion", "high_pass", "wm_csf")
    confound_options: dict[str, str | int | float] = field(default_factory=dict)
    confound_columns: tuple[str, ...] | None = None
    detrend: bool = True
    high_pass: float | None = None
    low_pass: float | None = None
    tr: float | None = None
    recorded_tr: float | None = None
    any_space: bool = False

    def __post_init__(self) -> None:
        for name in ("smoothing", "high_pass", "low_pass", "tr", "recorded_tr"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: expected a number above 0, found {value}")
        for name in self.confounds:
            if name not in CONFOUNDS:
                raise unknown_name("strategy of confounds", name, CONFOUNDS)
        if self.high_pass is not None and self.low_pass is not None and not self.high_pass < self.low_pass:
            raise ValueError(
                f"high_pass and low_pass: expected high_pass < low_pass, found {self.high_pass} and {self.low_pass} Hz"
            )
