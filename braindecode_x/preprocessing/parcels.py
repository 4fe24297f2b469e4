"""From a 4-D image to the time courses of an atlas's parcels, and how these are cleaned."""

from __future__ import annotations

from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.image import index_img, resample_to_img, smooth_img
from nilearn.maskers import NiftiLabelsMasker, NiftiMapsMasker, NiftiMasker
from nilearn.signal import butterworth, clean
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from braindecode_x.datasets.images import header_tr, image_values, refuse_other_grid, same_grid
from braindecode_x.datasets.runs import SAME_TR
from braindecode_x.preprocessing.atlases import Atlas
from braindecode_x.preprocessing.settings import FmriSettings

SCANNER = 1  # NIfTI's code of a space that is nobody's but this scan's
MOST_EMPTY = 0.5  # share of parcels that may lie outside an image before it is taken for one of another space


class Parcellated(NamedTuple):
    """Time courses of parcels.

    Attributes
    ----------
    signals : numpy.ndarray
        (volumes, parcels) of float32, as recorded; 0 for parcels that are empty.
    empty : tuple of str
        Parcels without a voxel that could be used.
    not_finite : int
        Voxels that hold NaN or infinity and were left out.
    """

    signals: np.ndarray
    empty: tuple[str, ...]
    not_finite: int


class Parcellator:
    """Averages the voxels of each parcel of an atlas (maps: least squares), by nilearn's maskers and rules.

    Voxels that are not finite throughout the run, or constant (as outside the brain), are left out. The atlas is
    resampled to the image's grid, labels to the nearest, maps linearly; a mask of voxels must be of that grid.

    Parameters
    ----------
    atlas : Atlas
    smoothing : float, optional
        Width at half maximum in mm.
    any_space : bool
        Take images in scanner space too.
    """

    def __init__(self, atlas: Atlas, smoothing: float | None = None, any_space: bool = False):
        self.atlas, self.smoothing, self.any_space = atlas, smoothing, any_space
        self._resampled: nib.Nifti1Image | None = None

    def __call__(self, image: nib.Nifti1Image, where: str) -> Parcellated:
        """Extract the parcels of a run.

        Parameters
        ----------
        image : nibabel.Nifti1Image
            (x, y, z, volumes), in the atlas's space.
        where : str
            What the image is called in errors, for example its file.

        Raises
        ------
        ValueError
            Image and atlas lie in different spaces (more than half of the parcels have no voxel), or the image is
            damaged or not 4-D.
        """
        if image.ndim != 4:
            raise ValueError(f"{where}: expected (x, y, z, volumes), found shape {image.shape}")
        self._refuse_other_space(image, where)
        values = image_values(where, image)
        finite = np.isfinite(values).all(axis=3)
        usable = finite & (values != values[..., :1]).any(axis=3)
        spheres = self._spheres(image, usable) if self.atlas.kind == "spheres" else None
        present = self._present(image, usable) if spheres is None else np.array([len(each) > 0 for each in spheres])
        if present.mean() < 1 - MOST_EMPTY:
            raise ValueError(
                f"{where}: {(~present).sum()} of {len(present)} parcels of the atlas {self.atlas.parcels.atlas!r} have "
                "no voxel that varies; do image and atlas lie in different spaces?"
            )
        filled = nib.Nifti1Image(np.where(finite[..., None], values, 0), image.affine)
        signals = np.zeros((values.shape[3], len(present)), np.float32)
        if spheres is None:
            signals[:, present] = self._extract(filled, usable, present)
        else:
            smooth = filled if self.smoothing is None else smooth_img(filled, self.smoothing)
            courses = np.asarray(smooth.dataobj)
            for number in np.flatnonzero(present):
                signals[:, number] = courses[tuple(spheres[number].T)].mean(axis=0)
        empty = tuple(self.atlas.parcels.names[k] for k in np.flatnonzero(~present))
        return Parcellated(signals, empty, int((~finite).sum()))

    def _refuse_other_space(self, image: nib.Nifti1Image, where: str) -> None:
        if self.atlas.kind == "voxels":
            assert self.atlas.image is not None
            refuse_other_grid(where, image, self.atlas.files[0], self.atlas.image, "make the mask from these images")
            return
        code = image.get_sform(coded=True)[1] or image.get_qform(coded=True)[1]
        if code == SCANNER and not self.any_space:
            raise ValueError(
                f"{where}: its header says that it lies in scanner space (code {SCANNER}), the atlas "
                f"{self.atlas.parcels.atlas!r} lies in MNI space; take normalised images, or, where only the header is "
                "wrong, set any_space"
            )

    def _on_grid(self, image: nib.Nifti1Image) -> nib.Nifti1Image:
        """Return the atlas on the grid of an image; runs mostly share one."""
        assert self.atlas.image is not None
        if same_grid(self.atlas.image, image):
            return self.atlas.image
        if self._resampled is None or not same_grid(self._resampled, image):
            how = "nearest" if self.atlas.kind == "labels" else "linear"
            grid = nib.Nifti1Image(np.zeros(image.shape[:3], np.float32), image.affine)
            options = {"interpolation": how, "force_resample": True, "copy_header": True}
            self._resampled = resample_to_img(self.atlas.image, grid, **options)
        return self._resampled

    def _present(self, image: nib.Nifti1Image, usable: np.ndarray) -> np.ndarray:
        """Say which parcels have a usable voxel, (parcels,) of bool."""
        atlas = np.asarray(self._on_grid(image).dataobj)
        if self.atlas.kind == "labels":
            assert self.atlas.labels is not None
            return np.isin(self.atlas.labels, np.unique(np.rint(atlas[usable])))
        return (atlas[usable] != 0).any(axis=0) if self.atlas.kind == "maps" else usable[atlas != 0]

    def _spheres(self, image: nib.Nifti1Image, usable: np.ndarray) -> list[np.ndarray]:
        """Find the usable voxels of every sphere, (voxels, 3) of int, as nilearn's masker does in many times the time.

        Those whose centre lies in the sphere, and the voxel that holds the sphere's centre, however large it is.
        """
        places, radii = self.atlas.parcels.coordinates, self.atlas.radii
        assert places is not None
        assert radii is not None
        voxels = np.argwhere(usable)
        if not len(voxels):
            return [voxels] * len(places)
        inside = cKDTree(nib.affines.apply_affine(image.affine, voxels)).query_ball_point(places, radii)
        own = np.rint(nib.affines.apply_affine(np.linalg.inv(image.affine), places)).astype(int)
        spheres = []
        for members, centre in zip(inside, own, strict=True):
            holds = ((centre >= 0) & (centre < usable.shape)).all() and usable[tuple(centre)]
            own_voxel = [centre[None]] if holds else []
            spheres.append(np.unique(np.vstack([voxels[members], *own_voxel]), axis=0))
        return spheres

    def _extract(self, image: nib.Nifti1Image, usable: np.ndarray, present: np.ndarray) -> np.ndarray:
        options = {"smoothing_fwhm": self.smoothing, "standardize": None}
        mask = nib.Nifti1Image(usable.astype(np.uint8), image.affine)
        atlas = self._on_grid(image)
        if self.atlas.kind == "maps":
            chosen = index_img(atlas, np.flatnonzero(present))
            return NiftiMapsMasker(chosen, mask_img=mask, resampling_target=None, **options).fit_transform(image)
        values = np.asarray(atlas.dataobj)
        if self.atlas.kind == "voxels":
            inside = nib.Nifti1Image((usable & (values != 0)).astype(np.uint8), image.affine)
            return NiftiMasker(inside, **options).fit_transform(image)
        labels = nib.Nifti1Image(np.where(usable, np.rint(values), 0).astype(np.int32), image.affine)
        return NiftiLabelsMasker(labels, resampling_target=None, **options).fit_transform(image)


def repetition_time(image: nib.Nifti1Image, noted: float | None, recorded: float | None, where: str) -> float:
    """Return the repetition time of a run in seconds.

    Parameters
    ----------
    image : nibabel.Nifti1Image
    noted : float or None
        What a sidecar or a table says.
    recorded : float or None
        What the user says: it overrides the others.
    where : str
        The image, for errors.

    Raises
    ------
    ValueError
        Nobody says, or header and sidecar (or table) say different things.
    """
    header = header_tr(image)
    if recorded is not None:
        return recorded
    if header is None and noted is None:
        raise ValueError(f"{where}: no repetition time in header, sidecar or table; give it with recorded_tr")
    if header is not None and noted is not None and not np.isclose(header, noted, rtol=SAME_TR):
        raise ValueError(
            f"{where}: repetition time {header:g} s in the header, {noted:g} s in the sidecar or the table; say which "
            "is right with recorded_tr"
        )
    return float(header if noted is None else noted)  # type: ignore[arg-type]


def clean_signals(
    signals: np.ndarray, tr: float, settings: FmriSettings, confounds: pd.DataFrame | None, where: str
) -> tuple[np.ndarray, float]:
    """Clean, resample and standardise the time courses of a run.

    Confounds are regressed out together with detrending and filtering (`nilearn.signal.clean`). Then, where another
    repetition time is wanted, each time course is interpolated with a cubic spline, after a low-pass filter
    (Butterworth) at half the new rate when that is the lower; volume ``k`` of the result is of ``k`` times the new
    repetition time after the first volume. Last, each parcel's mean becomes 0 and its standard deviation 1; parcels
    that do not vary become 0.

    Parameters
    ----------
    signals : numpy.ndarray
        (volumes, parcels).
    tr : float
        Seconds.
    settings : FmriSettings
    confounds : pandas.DataFrame or None
        (volumes, confounds), without missing values.
    where : str
        The run, for errors.

    Returns
    -------
    signals : numpy.ndarray
        (volumes, parcels) of float32.
    tr : float
        Seconds from one to the next.

    Raises
    ------
    ValueError
        Confounds are for another number of volumes, or there are too few volumes for them or for a filter.
    """
    count = 0 if confounds is None else confounds.shape[1]
    if confounds is not None and len(confounds) != len(signals):
        raise ValueError(f"{where}: {len(signals)} volumes, but {len(confounds)} rows of confounds; expected one each")
    if len(signals) < count + 4:
        raise ValueError(
            f"{where}: {len(signals)} volumes are too few to regress out {count} confounds, mean and trend; take fewer "
            "confounds, or leave out the run"
        )
    filtered = settings.high_pass is not None or settings.low_pass is not None
    try:
        cleaned = clean(
            signals.astype(np.float64),
            detrend=settings.detrend,
            standardize=None,
            confounds=None if confounds is None else confounds.to_numpy(float),
            filter="butterworth" if filtered else False,
            low_pass=settings.low_pass,
            high_pass=settings.high_pass,
            t_r=tr,
        )
        if settings.tr is not None and not np.isclose(settings.tr, tr, rtol=SAME_TR):
            cleaned, tr = resampled(cleaned, tr, settings.tr), settings.tr
    except ValueError as error:
        raise ValueError(f"{where}: cannot be cleaned ({error})") from error
    spread = cleaned.std(axis=0) > 1e-6 * np.maximum(np.abs(signals).max(axis=0), 1e-30)
    standardised = clean(cleaned, detrend=False, standardize="zscore_sample", filter=False, t_r=tr)
    return np.where(spread, standardised, 0).astype(np.float32), tr


def resampled(signals: np.ndarray, tr: float, new: float) -> np.ndarray:
    """Interpolate time courses (volumes, parcels) to another repetition time; see `clean_signals`."""
    if new > tr:
        signals = butterworth(signals, 1 / tr, low_pass=0.5 / new, copy=True)
    times = np.arange(len(signals)) * tr
    wanted = np.arange(int(times[-1] / new + 1e-6) + 1) * new
    return CubicSpline(times, signals, axis=0)(np.minimum(wanted, times[-1]))
