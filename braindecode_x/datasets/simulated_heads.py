"""The heads of simulated subjects: sensors around a spherical conductor, and what they measure of dipoles within."""

from __future__ import annotations

from functools import cache

import mne
import numpy as np
from mne.transforms import Transform

from braindecode_x.datasets.things_channels import EEG_CHANNELS, channel_region, eeg_info

CENTRE = np.array([0.0, 0.0, 0.04])  # of the sphere, metres in head coordinates
RADIUS = 0.095  # of the scalp, metres; as of the cap that the electrodes' places come from
CORTEX = (0.035, 0.075)  # metres from the centre: the least and the greatest
HELMETS = ("ctf151", "ctf275")  # MEG systems whose sensors mne ships


def meg_info(helmet: str, sfreq: float) -> mne.Info:
    """Describe the axial gradiometers of a CTF helmet, worn so that the head lies in its middle.

    Parameters
    ----------
    helmet : {"ctf151", "ctf275"}
        151 or 274 sensors, at the places that mne ships.
    sfreq : float
        Sampling rate of the epochs, Hz.
    """
    canonical = mne.channels.read_meg_canonical_info(helmet, verbose=False)
    info = mne.create_info(canonical["ch_names"], sfreq, "mag")
    for channel, sensor in zip(info["chs"], canonical["chs"], strict=True):
        channel.update({field: sensor[field] for field in ("loc", "coil_type", "coord_frame", "kind", "unit")})
    sensors = np.array([channel["loc"][:3] for channel in info["chs"]])
    shift = np.eye(4)
    shift[:3, 3] = CENTRE - _middle(sensors)
    info["dev_head_t"] = Transform("meg", "head", shift)
    return info


def forward(info: mne.Info, places: np.ndarray) -> np.ndarray:
    """Compute what sensors measure of dipoles, in a sphere of three shells (EEG) or one (MEG).

    Parameters
    ----------
    info : mne.Info
        Of EEG or MEG channels.
    places : numpy.ndarray
        (n, 3), metres in head coordinates.

    Returns
    -------
    numpy.ndarray
        (channels, n, 3) of float64: volts (to the average reference) or tesla for one ampere-metre along x, y and z.
    """
    sphere = mne.make_sphere_model(CENTRE, RADIUS, verbose=False)
    upwards = np.tile([0.0, 0.0, 1.0], (len(places), 1))
    dipoles = {"rr": places, "nn": upwards}
    sources = mne.setup_volume_source_space(pos=dipoles, sphere=sphere, mindist=0, verbose=False)
    solution = mne.make_forward_solution(info, None, sources, sphere, mindist=0, verbose=False)
    if solution["nsource"] != len(places):
        raise ValueError(f"places: {len(places) - solution['nsource']} of {len(places)} lie outside the head")
    gain = solution["sol"]["data"].reshape(len(info["ch_names"]), len(places), 3)
    return gain - gain.mean(axis=0) if "eeg" in info.get_channel_types() else gain


def within_cortex(places: np.ndarray) -> np.ndarray:
    """Move places (n, 3), metres from the centre, along their radius to where the cortex is."""
    radius = np.linalg.norm(places, axis=1, keepdims=True)
    return places / radius * radius.clip(*CORTEX)


def nearest_region(place: np.ndarray) -> str:
    """Name the part of the cortex that the electrode nearest to a place (metres, head coordinates) lies over."""
    names, directions = _electrodes()
    return channel_region(names[int(np.argmax(directions @ (place - CENTRE)))])


@cache
def _electrodes() -> tuple[tuple[str, ...], np.ndarray]:
    """Return the electrodes of THINGS-EEG2, and the directions in which they lie from the centre."""
    places = np.array([channel["loc"][:3] for channel in eeg_info(100.0)["chs"]]) - CENTRE
    return EEG_CHANNELS, places / np.linalg.norm(places, axis=1, keepdims=True)


def _middle(points: np.ndarray) -> np.ndarray:
    """Return the centre of the sphere that fits points (n, 3) best."""
    system = np.column_stack([2 * points, np.ones(len(points))])
    return np.linalg.lstsq(system, np.square(points).sum(axis=1), rcond=None)[0][:3]
