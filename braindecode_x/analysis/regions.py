"""Where over the head what was seen can be decoded: channels of one region alone, and all channels but these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from braindecode_x.analysis.parts import Part
from braindecode_x.datasets.epochs import refuse_missing_channels
from braindecode_x.datasets.things_channels import REGIONS, channel_region

WHOLE = "all"
LEAVE_IN, LEAVE_OUT = "leave-in", "leave-out"


def channel_regions(
    channels: Sequence[str], regions: Mapping[str, Sequence[str]] | None = None
) -> dict[str, np.ndarray]:
    """Tell which channels lie over which region.

    Parameters
    ----------
    channels : sequence of str
    regions : mapping of str to sequence of str, optional
        Names of regions with those of their channels. Default: frontal, central, temporal, parietal and occipital, by
        the names of the extended 10-20 system or of a CTF helmet (see `channel_region`).

    Returns
    -------
    dict of str to numpy.ndarray
        (channels,) of bool, for every region that has a channel.

    Raises
    ------
    ValueError
        A channel's name tells no region, or a region names a channel that is not there.
    """
    if regions is None:
        try:
            where = np.array([channel_region(name) for name in channels])
        except ValueError as error:
            raise ValueError(
                f"{error} Where channels have other names, say which region they lie over: regions"
            ) from error
        return {name: where == name for name in REGIONS if (where == name).any()}
    for region, names in regions.items():
        refuse_missing_channels(names, channels, f"region {region!r}")
    return {region: np.isin(channels, list(names)) for region, names in regions.items() if len(names)}


def region_parts(
    regions: Mapping[str, np.ndarray], n_times: int, what: tuple[str, str] = ("region", "channels")
) -> list[Part]:
    """Make parts of regions for `braindecode_x.analysis.parts.part_ranks`.

    Parameters
    ----------
    regions : mapping of str to numpy.ndarray
        From `channel_regions`.
    n_times : int
        Samples of a trial; all are taken.
    what : tuple of str
        What a region and its channels are called.

    Returns
    -------
    list of Part
        With ``region``; ``channels``, that is ``"leave-in"`` (these alone) or ``"leave-out"`` (all but these); and
        ``n_channels`` that remain. The first, ``"all"``, has all channels.

    Raises
    ------
    ValueError
        Fewer than two regions, or one that has all channels.
    """
    region, channels = what
    sizes = {name: int(chosen.sum()) for name, chosen in regions.items()}
    total = len(next(iter(regions.values()), []))
    if len(regions) < 2 or max(sizes.values()) == total:
        raise ValueError(f"{region}s: expected two or more, none with all {total} {channels}, found {sizes}")
    samples, count = np.ones(n_times, bool), f"n_{channels}"
    parts = [Part({region: WHOLE, channels: LEAVE_IN, count: total}, np.ones(total, bool), samples)]
    for name, chosen in regions.items():
        for kept, left in ((LEAVE_IN, chosen), (LEAVE_OUT, ~chosen)):
            parts.append(Part({region: name, channels: kept, count: int(left.sum())}, left, samples))
    return parts


def by_channel(values: pd.Series, regions: Mapping[str, np.ndarray]) -> np.ndarray:
    """Give every channel the value of its region, for a map: (channels,), NaN where it belongs to none.

    Parameters
    ----------
    values : pandas.Series
        By region.
    regions : mapping of str to numpy.ndarray
        From `channel_regions`.
    """
    spread = np.full(len(next(iter(regions.values()))), np.nan)
    for name, chosen in regions.items():
        spread[chosen] = values[name]
    return spread
