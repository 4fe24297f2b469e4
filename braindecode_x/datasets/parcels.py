"""Parcels of an atlas: names, networks and places of what a run of parcellated BOLD has as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from nilearn.datasets import fetch_coords_seitzman_2018

from braindecode_x.files import unknown_name


@dataclass(frozen=True, eq=False)
class Parcels:
    """Parcels of an atlas, in the order of the columns of BOLD.

    Attributes
    ----------
    names : tuple of str
        Each once.
    networks : tuple of str
        Network of each parcel; empty when the atlas has none.
    coordinates : numpy.ndarray or None
        (parcels, 3) of float64, millimetres in MNI space: centres. None when they are not known.
    atlas : str
        Name or file.

    Raises
    ------
    ValueError
        Names are repeated, or networks or coordinates differ from them in number.
    """

    names: tuple[str, ...]
    networks: tuple[str, ...] = ()
    coordinates: np.ndarray | None = None
    atlas: str = ""

    def __post_init__(self) -> None:
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise ValueError(f"parcels of {self.atlas!r}: expected each name once, found several of {repeated[:5]}")
        if self.networks and len(self.networks) != len(self):
            raise ValueError(f"parcels of {self.atlas!r}: {len(self.networks)} networks; expected {len(self)} or none")
        if self.coordinates is not None and self.coordinates.shape != (len(self), 3):
            raise ValueError(
                f"parcels of {self.atlas!r}: coordinates of shape {self.coordinates.shape}; expected ({len(self)}, 3)"
            )

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parcels) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    @property
    def network_names(self) -> tuple[str, ...]:
        """Every network once, in order of first appearance."""
        return tuple(dict.fromkeys(self.networks))

    def in_network(self, name: str) -> np.ndarray:
        """Say which parcels are of a network.

        Parameters
        ----------
        name : str

        Returns
        -------
        numpy.ndarray
            (parcels,) of bool.

        Raises
        ------
        ValueError
            There is no such network.
        """
        if name not in self.networks:
            raise unknown_name(f"network of the atlas {self.atlas!r}", name, self.network_names or ["(it has none)"])
        return np.array(self.networks) == name

    def take(self, places: Sequence[int] | np.ndarray) -> Self:
        """Keep some parcels.

        Parameters
        ----------
        places : sequence of int
            From 0, in the order wanted.
        """
        return replace(
            self,
            names=tuple(self.names[place] for place in places),
            networks=tuple(self.networks[place] for place in places) if self.networks else (),
            coordinates=None if self.coordinates is None else self.coordinates[list(places)],
        )

    def require(self, found: Parcels, what: str, whose: str) -> None:
        """Refuse other parcels, or parcels in another order.

        Parameters
        ----------
        found : Parcels
        what : str
            Where they were found, for example ``"windows of sub-02"``.
        whose : str
            Where these are from, for example ``"the checkpoint"``.

        Raises
        ------
        ValueError
            Says what was found and what is expected.
        """
        if len(found) != len(self):
            raise ValueError(
                f"{what}: {len(found)} parcels of the atlas {found.atlas!r}; expected {len(self)} of {self.atlas!r}, "
                f"as {whose}"
            )
        for number, (ours, theirs) in enumerate(zip(self.names, found.names, strict=True)):
            if ours != theirs:
                raise ValueError(f"{what}: parcel {number} is {theirs!r}; expected {ours!r}, as {whose}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        coordinates = None if self.coordinates is None else np.asarray(self.coordinates, float).tolist()
        lists = {"names": list(self.names), "networks": list(self.networks)}
        return {"atlas": self.atlas, **lists, "coordinates": coordinates}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Take what `to_dict` gave."""
        coordinates = values["coordinates"]
        return cls(
            tuple(values["names"]),
            tuple(values["networks"]),
            None if coordinates is None else np.array(coordinates, float).reshape(-1, 3),
            values["atlas"],
        )


def seitzman() -> Parcels:
    """Return the 300 spheres of Seitzman et al. 2020 (NeuroImage 206:116290) with their networks, which nilearn ships.

    Parcels come network by network and are named after network and row of the published table, for example
    ``"Visual-142"``. Those that belong to no network are of the network ``"unassigned"``.
    """
    table = fetch_coords_seitzman_2018(ordered_regions=True)
    networks = tuple(map(str, table["networks"]))
    names = tuple(f"{network}-{row + 1:03d}" for network, row in zip(networks, table["rois"].index, strict=True))
    return Parcels(names, networks, table["rois"][["x", "y", "z"]].to_numpy(float), "seitzman")
