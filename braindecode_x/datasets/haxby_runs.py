"""Runs of Haxby et al. 2001 with voxels as parcels: the embedded subject, or all six through nilearn.

Format
    See `braindecode_x.datasets.haxby` for the embedded recording. nilearn's: one ``bold.nii.gz`` a subject, all runs
    one after the other, and ``labels.txt`` with the columns ``labels`` and ``chunks`` (the run), separated by spaces.
Splits
    By run: one for test, one for validation. All show the same eight categories, so that splits share their pictures.
Citation, licence
    See `braindecode_x.datasets.haxby`.
"""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from nilearn.datasets import fetch_haxby
from nilearn.maskers import NiftiMasker

from braindecode_x.datasets.haxby import REST, Haxby2001, Recording, refuse_other_grid
from braindecode_x.datasets.haxby_prototypes import category_prototypes
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.runs import ParcelRun, RunsCohort
from braindecode_x.files import unknown_name
from braindecode_x.preprocessing.fmri import clean_runs
from braindecode_x.stimuli import Stimuli

MASKS = ("mask", "mask_vt", "mask_face", "mask_house")


class CategoryStimuli(Stimuli):
    """A drawn picture for each category, called like it; not what was shown, see `category_prototypes`."""

    def __init__(self) -> None:
        names = list(_pictures())
        captions = ["scrambled picture" if name == "scrambledpix" else name for name in names]
        table = pd.DataFrame({"caption": captions, "concept": names}, index=pd.Index(names, name="id"))
        super().__init__("haxby2001-categories", table)

    def read(self, stimulus: str) -> bytes:
        """Return the picture as PNG."""
        return _pictures()[stimulus]


@cache
def _pictures() -> dict[str, bytes]:
    pictures = {}
    for name, images in category_prototypes().items():
        file = io.BytesIO()
        images[0].save(file, format="PNG")
        pictures[name] = file.getvalue()
    return pictures


class HaxbyRuns(RunsCohort):
    """What both sources share: cleaned runs, and blocks as trials.

    Every run is detrended and z-scored, see `clean_runs`. An event is a block: its ``stimulus`` is the category, its
    onset that of the pictures. Labels are given already shifted to the response; onsets are moved back by the 5 s of
    `Haxby2001.onset_shift`, so that with the default ``delay`` a window holds just the volumes that carry its label.

    Parameters
    ----------
    test_run, validation_run : int or None
        Numbers of runs, from 0; the others are for training.
    n_volumes : int
        Length of a window; a block has 9 volumes.
    delay : float
        Seconds from a block's onset to the first volume of its window.

    Raises
    ------
    ValueError
        One run for both splits.
    """

    tr = 2.5
    stimuli: Stimuli

    def __init__(
        self, test_run: int | None = 11, validation_run: int | None = 10, n_volumes: int = 9, delay: float = 5.0
    ):
        if test_run is not None and test_run == validation_run:
            raise ValueError(f"test_run, validation_run: expected two runs, found {test_run} for both")
        self.test_run, self.validation_run = test_run, validation_run
        self.n_volumes, self.delay = n_volumes, delay
        self.stimuli = CategoryStimuli()

    @abstractmethod
    def recording(self, subject: str) -> Recording:
        """Read a subject's masked BOLD with the labels of its volumes."""

    def runs(self, subject: str) -> Sequence[ParcelRun]:
        """Read a subject's runs, called ``<subject>_run-01`` and so on."""
        if subject not in self.subjects:
            raise unknown_name("subject", subject, self.subjects)
        recording = self.recording(subject)
        numbers = np.unique(recording.runs)
        for number in (self.test_run, self.validation_run):
            if number is not None and number not in numbers:
                raise ValueError(f"{subject}: no run {number}; found {numbers.min()} to {numbers.max()}")
        bold = clean_runs(recording.bold, recording.runs, recording.tr)
        runs = []
        for number in numbers.tolist():
            chosen = recording.runs == number
            events = block_events(recording.labels[chosen], recording.tr).assign(split=self._split(number))
            name = f"{subject}_run-{number + 1:02d}"
            runs.append(ParcelRun(name, bold[chosen], recording.tr, events if len(events) else None))
        return runs

    def _split(self, run: int) -> str:
        return {self.test_run: "test", self.validation_run: "validation"}.get(run, "train")


class HaxbyWholeBrain(HaxbyRuns):
    """The embedded subject's whole brain at 25 mm: 12 runs of 121 volumes, 129 voxels, in scanner space.

    Parameters
    ----------
    folder : str or Path, optional
        See `Haxby2001`.
    test_run, validation_run, n_volumes, delay
        See `HaxbyRuns`.

    Examples
    --------
    >>> cohort = HaxbyWholeBrain()
    >>> len(cohort.runs("sub-01")), cohort.subject("sub-01").windows.shape
    (12, (96, 9, 129))
    """

    subjects = ("sub-01",)

    def __init__(
        self,
        folder: str | Path | None = None,
        test_run: int | None = 11,
        validation_run: int | None = 10,
        n_volumes: int = 9,
        delay: float = 5.0,
    ):
        super().__init__(test_run, validation_run, n_volumes, delay)
        self._recording = Haxby2001(folder).whole_brain()
        self.parcels = voxel_parcels(self._recording.masker, "haxby2001, voxels of 25 mm")

    def recording(self, subject: str) -> Recording:
        """Return masked BOLD with labels."""
        return self._recording


class HaxbyFetched(HaxbyRuns):
    """A subject at full resolution, downloaded by `nilearn.datasets.fetch_haxby` (about 300 MB) or found there.

    Parameters
    ----------
    data_dir : str or Path, optional
        nilearn's data folder.
    subject : int
        1 to 6. Voxels differ from subject to subject, so that a cohort holds one.
    mask : {"mask_vt", "mask", "mask_face", "mask_house"} or path
        Voxels to take, by nilearn's names (``mask``: the whole brain), or an image on the BOLD's grid.
    test_run, validation_run, n_volumes, delay
        See `HaxbyRuns`.

    Raises
    ------
    ValueError
        Unknown subject or mask, a mask on another grid, or labels that do not fit the volumes.
    """

    def __init__(
        self,
        data_dir: str | Path | None = None,
        subject: int = 2,
        mask: str | Path = "mask_vt",
        test_run: int | None = 11,
        validation_run: int | None = 10,
        n_volumes: int = 9,
        delay: float = 5.0,
    ):
        super().__init__(test_run, validation_run, n_volumes, delay)
        if mask not in MASKS and not Path(mask).is_file():
            raise unknown_name("mask", str(mask), MASKS)
        files = fetch_haxby(data_dir=None if data_dir is None else str(data_dir), subjects=[subject], verbose=0)
        self.subjects = (f"sub-{subject:02d}",)
        image = files[mask] if mask in MASKS else mask
        self._bold, self._labels = Path(files.func[0]), Path(files.session_target[0])
        self._masker = NiftiMasker(image if isinstance(image, str | Path) else image[0], standardize=None).fit()
        refuse_other_grid(self._bold, self._masker)
        self.parcels = voxel_parcels(self._masker, f"haxby2001, voxels of {mask}")

    def recording(self, subject: str) -> Recording:
        """Read masked BOLD with labels."""
        table = pd.read_csv(self._labels, sep=" ")
        if list(table) != ["labels", "chunks"]:
            raise ValueError(f"{self._labels}: expected the columns labels and chunks, found {list(table)}")
        bold = self._masker.transform(self._bold).astype(np.float32)
        if len(bold) != len(table):
            raise ValueError(f"{self._labels}: {len(table)} labels; expected {len(bold)}, one for each volume")
        moving = bold.std(axis=0) > 0
        if not moving.all():
            raise ValueError(f"{self._bold}: {(~moving).sum()} voxels of the mask are constant; leave them out of it")
        return Recording(bold, table["labels"].to_numpy(str), table["chunks"].to_numpy(), self.tr, self._masker)


def block_events(labels: np.ndarray, tr: float) -> pd.DataFrame:
    """Make a run's events of the labels of its volumes, which are shifted to the response.

    Parameters
    ----------
    labels : numpy.ndarray
        (volumes,) of str, a category or ``"rest"``.
    tr : float
        Seconds.

    Returns
    -------
    pandas.DataFrame
        ``onset`` of the pictures and ``duration`` in seconds, ``stimulus`` (the category); no rows without blocks.
    """
    starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    lengths = np.diff(np.r_[starts, len(labels)])
    block = labels[starts] != REST
    return pd.DataFrame(
        {
            "onset": starts[block] * tr + Haxby2001.onset_shift,
            "duration": lengths[block] * tr,
            "stimulus": labels[starts][block],
        }
    )


def voxel_parcels(masker: NiftiMasker, atlas: str) -> Parcels:
    """Name voxels by their places in the image, in the masker's order; they lie in scanner space, so no coordinates."""
    places = np.argwhere(np.asarray(masker.mask_img_.dataobj) != 0)
    return Parcels(tuple(f"{x:02d}-{y:02d}-{z:02d}" for x, y, z in places), atlas=atlas)
