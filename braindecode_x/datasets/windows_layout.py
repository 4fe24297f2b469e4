"""What a decoder that was trained on some trials expects of others: channels or parcels, and times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from braindecode_x.datasets.epochs import EpochsLayout
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.runs import SAME_TR


@dataclass(frozen=True)
class WindowsLayout:
    """Parcels, volumes and repetition time of windows, beside `EpochsLayout`.

    Attributes
    ----------
    parcels : Parcels
        In the order of the last axis.
    n_volumes : int
    tr : float
        Repetition time, seconds.
    delay : float
        Seconds from the onset of the picture to the first volume.
    """

    trials: ClassVar[str] = "windows"
    pooled_axes: ClassVar[tuple[int, int]] = (0, 1)  # of (trials, volumes, parcels): what statistics are taken over

    parcels: Parcels
    n_volumes: int
    tr: float
    delay: float

    @property
    def shape(self) -> tuple[int, int]:
        """(volumes, parcels)."""
        return self.n_volumes, len(self.parcels)

    @property
    def times(self) -> np.ndarray:
        """(volumes,) of float64, seconds from the onset of the picture."""
        return self.delay + self.tr * np.arange(self.n_volumes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "parcels": self.parcels.to_dict(),
            "n_volumes": int(self.n_volumes),
            "tr": float(self.tr),
            "delay": float(self.delay),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Take what `to_dict` gave."""
        return cls(**{**values, "parcels": Parcels.from_dict(values["parcels"])})

    def require(self, found: WindowsLayout, what: str, whose: str) -> None:
        """Refuse windows of other parcels or times.

        Parameters
        ----------
        found : WindowsLayout
        what : str
            Where it was found, for example ``"windows of sub-02"``.
        whose : str
            Where this one is from, for example ``"the checkpoint"``.

        Raises
        ------
        ValueError
            Says what was found and what is expected.
        """
        self.parcels.require(found.parcels, what, whose)
        if not np.isclose(found.tr, self.tr, rtol=SAME_TR):
            raise ValueError(f"{what}: a volume every {found.tr:g} s; expected {self.tr:g} s, as {whose}; resample")
        if found.n_volumes != self.n_volumes or abs(found.delay - self.delay) > 0.5 * self.tr:
            theirs, ours = (f"{each.n_volumes} volumes from {each.delay:g} s" for each in (found, self))
            raise ValueError(f"{what}: {theirs}; expected {ours}, as {whose}; cut all windows alike")


TrialsLayout = EpochsLayout | WindowsLayout


def trials_of(layout: TrialsLayout | None) -> str:
    """Name what trials of a layout are: epochs, windows, or betas, which have none."""
    return "betas" if layout is None else layout.trials


def layout_from_dict(values: dict[str, Any] | None) -> TrialsLayout | None:
    """Take what a layout's ``to_dict`` gave, or None: betas have no layout."""
    if values is None:
        return None
    return WindowsLayout.from_dict(values) if "parcels" in values else EpochsLayout.from_dict(values)


def require_layout(expected: TrialsLayout | None, found: TrialsLayout | None, whose: str) -> None:
    """Refuse trials of another kind, or of other channels, parcels or times.

    Parameters
    ----------
    expected, found : EpochsLayout, WindowsLayout or None
        None: betas.
    whose : str
        Where the expected one is from, for example ``"the checkpoint"``.

    Raises
    ------
    ValueError
        Says what was found and what is expected.
    """
    if type(expected) is not type(found):
        raise ValueError(f"{whose} decodes {trials_of(expected)}; the data module gives {trials_of(found)}")
    if isinstance(expected, EpochsLayout) and isinstance(found, EpochsLayout):
        expected.require(found, "epochs", whose)
    if isinstance(expected, WindowsLayout) and isinstance(found, WindowsLayout):
        expected.require(found, "windows", whose)
