"""Atlases: spheres, labels, maps, or the voxels of a mask; by name or from files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.datasets import fetch_atlas_difumo, fetch_atlas_schaefer_2018, fetch_coords_seitzman_2018
from nilearn.image import coord_transform
from scipy import ndimage
from scipy.spatial import cKDTree

from braindecode_x.datasets.images import image_values, is_nifti, open_image
from braindecode_x.datasets.parcels import Parcels, seitzman
from braindecode_x.files import unknown_name

NAMED = ("seitzman", "difumo", "schaefer")
SIZES = {"difumo": (1024, 512, 256, 128, 64), "schaefer": (400, 100, 200, 300, 500, 600, 700, 800, 900, 1000)}
VOXELS = "voxels:"
NEAR = 20.0  # mm: a parcel whose centre is farther from all spheres of Seitzman et al. has none of their networks


@dataclass(frozen=True, eq=False)
class Atlas:
    """Parcels, with what it takes to find them in an image.

    Attributes
    ----------
    parcels : Parcels
    kind : {"spheres", "labels", "maps", "voxels"}
    image : nibabel.Nifti1Image or None
        Labels (x, y, z), maps (x, y, z, parcels), or a mask (x, y, z). None for spheres.
    radii : numpy.ndarray or None
        (parcels,) mm, of spheres.
    labels : numpy.ndarray or None
        (parcels,) of int, ascending: each parcel's value in an image of labels.
    files : tuple of Path
        What was read.
    """

    parcels: Parcels
    kind: Literal["spheres", "labels", "maps", "voxels"]
    image: nib.Nifti1Image | None = None
    radii: np.ndarray | None = None
    labels: np.ndarray | None = None
    files: tuple[Path, ...] = ()


def open_atlas(name: str, table: str | Path | None = None) -> Atlas:
    """Open an atlas.

    Networks are the atlas's own: Yeo's seven for DiFuMo and Schaefer, the column ``network`` of a table. Parcels of a
    file without them get the network of the nearest sphere of Seitzman et al. within 20 mm, or else ``"unassigned"``.

    Parameters
    ----------
    name : str
        See `FmriSettings`.
    table : str or Path, optional
        Names and networks of a file's parcels, TSV as in BIDS (``_dseg.tsv``): ``index`` (of labels; maps follow the
        rows), ``name`` and, when wanted, ``network``.

    Raises
    ------
    FileNotFoundError
        A file does not exist.
    OSError
        An atlas cannot be downloaded.
    ValueError
        An unknown name, a damaged file, or a table that does not fit.
    """
    family, _, size = name.partition("-")
    if name.startswith(VOXELS):
        atlas = _voxels(Path(name.removeprefix(VOXELS)))
    elif name == "seitzman":
        radii = np.array(fetch_coords_seitzman_2018(ordered_regions=True)["radius"], float)
        atlas = Atlas(seitzman(), "spheres", radii=radii)
    elif family in SIZES and not is_nifti(Path(name)):
        atlas = _fetched(family, size)
    elif is_nifti(Path(name)):
        return _from_file(Path(name), None if table is None else Path(table))
    else:
        raise unknown_name("atlas (or a file ending in .nii or .nii.gz)", name, NAMED)
    if table is not None:
        raise ValueError(f"atlas_table: {table} is for an atlas in a file; {name!r} has its own names")
    return atlas


def _fetched(family: str, size: str) -> Atlas:
    known = SIZES[family]
    if size and size not in map(str, known):
        raise ValueError(f"atlas {family}-{size}: expected one of {', '.join(f'{family}-{n}' for n in sorted(known))}")
    n = int(size) if size else known[0]
    if family == "difumo":
        found = _fetch(f"{family}-{n}", lambda: fetch_atlas_difumo(dimension=n, resolution_mm=3, verbose=0))
        labels = found["labels"]
        names, networks = labels["difumo_names"].tolist(), labels["yeo_networks7"].tolist()
        rows = pd.DataFrame({"name": _unique(names), "network": networks})
        file = Path(found["maps"])
        return _with_parcels(f"{family}-{n}", open_image(file, "maps (x, y, z, parcels)"), "maps", rows, file)
    found = _fetch(f"{family}-{n}", lambda: fetch_atlas_schaefer_2018(n, yeo_networks=7, resolution_mm=2, verbose=0))
    names = [each.decode() if isinstance(each, bytes) else str(each) for each in found["labels"]]
    names = [each for each in names if each != "Background"]  # which newer versions of nilearn put first
    networks = [each.split("_")[2] for each in names]  # 7Networks_LH_Vis_1
    rows = pd.DataFrame({"index": range(1, len(names) + 1), "name": names, "network": networks})
    file = Path(found["maps"])
    return _with_parcels(f"{family}-{n}", open_image(file, "labels (x, y, z)"), "labels", rows, file)


def _fetch(name: str, fetcher: Callable[[], Any]) -> Any:
    try:
        return fetcher()
    except Exception as error:  # of whatever nilearn's downloads meet
        raise OSError(
            f"atlas {name!r} cannot be downloaded ({error}); give the file of an atlas, or take 'seitzman', which "
            "needs no download"
        ) from error


def _unique(names: list[str]) -> list[str]:
    """Tell equal names apart by numbers."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def _from_file(file: Path, table: Path | None) -> Atlas:
    image = open_image(file, "labels (x, y, z)", "maps (x, y, z, parcels)")
    kind: Literal["labels", "maps"] = "labels" if image.ndim == 3 else "maps"
    rows = None if table is None else _read_names(table, kind)
    return _with_parcels(file.name, image, kind, rows, file, *([] if table is None else [table]))


def _read_names(table: Path, kind: str) -> pd.DataFrame:
    if not table.is_file():
        raise FileNotFoundError(f"{table}: no such table of the atlas")
    try:
        rows = pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")
        if kind == "labels" and "index" in rows:
            rows["index"] = rows["index"].astype(int)
    except ValueError as error:
        raise ValueError(f"{table}: not a readable table of tab-separated values ({error})") from error
    needed = {"name"} | ({"index"} if kind == "labels" else set())
    if missing := needed - set(rows):
        raise ValueError(f"{table}: missing the columns {', '.join(sorted(missing))}; found {', '.join(rows)}")
    return rows


def _with_parcels(
    name: str, image: nib.Nifti1Image, kind: Literal["labels", "maps"], rows: pd.DataFrame | None, *files: Path
) -> Atlas:
    values = image_values(files[0], image)
    if kind == "labels":
        labels, centres = _labels(files[0], values)
    else:
        labels, centres = None, [_centre(np.abs(values[..., k])) for k in range(values.shape[3])]
    places = np.column_stack(coord_transform(*np.array(centres).T, image.affine))
    parcels = Parcels(tuple(f"parcel-{k:04d}" for k in (range(1, len(places) + 1) if labels is None else labels)))
    parcels = replace(parcels, coordinates=places, atlas=name)
    if rows is not None:
        parcels = _named(files[-1], parcels, labels, rows)
    if not parcels.networks:
        parcels = replace(parcels, networks=_nearest_networks(places))
    return Atlas(parcels, kind, image, labels=labels, files=files)


def _labels(file: Path, values: np.ndarray) -> tuple[np.ndarray, list[tuple[float, ...]]]:
    whole = np.rint(values)
    if not np.isfinite(values).all() or np.abs(values - whole).max() > 1e-3:
        raise ValueError(f"{file}: expected whole numbers as labels, found others; maps are 4-D")
    labels = np.unique(whole[whole != 0]).astype(int)
    if not len(labels):
        raise ValueError(f"{file}: holds no parcel, only zeros")
    return labels, ndimage.center_of_mass(whole != 0, whole, labels)


def _centre(weights: np.ndarray) -> tuple[float, ...]:
    return ndimage.center_of_mass(weights) if weights.any() else (np.nan,) * 3


def _named(table: Path, parcels: Parcels, labels: np.ndarray | None, rows: pd.DataFrame) -> Parcels:
    if labels is not None:
        missing = sorted(set(labels.tolist()) - set(rows["index"]))
        if missing or rows["index"].duplicated().any():
            raise ValueError(
                f"{table}: expected a row for each of {len(labels)} labels, once; without one: {missing[:5]}"
            )
        rows = rows.set_index("index").loc[labels]
    elif len(rows) != len(parcels):
        raise ValueError(f"{table}: {len(rows)} rows; expected {len(parcels)}, one for each map")
    networks = tuple(rows["network"]) if "network" in rows else ()
    return Parcels(tuple(rows["name"]), networks, parcels.coordinates, parcels.atlas)


def _nearest_networks(places: np.ndarray) -> tuple[str, ...]:
    spheres = seitzman()
    distances, rows = cKDTree(spheres.coordinates).query(np.nan_to_num(places))
    far = (distances > NEAR) | ~np.isfinite(places).all(axis=1)
    return tuple("unassigned" if out else spheres.networks[row] for out, row in zip(far, rows, strict=True))


def _voxels(file: Path) -> Atlas:
    image = open_image(file, "a mask (x, y, z)")
    values = image_values(file, image)
    inside = np.argwhere((values != 0) & np.isfinite(values))
    if not len(inside):
        raise ValueError(f"{file}: a mask without a voxel inside")
    places = np.column_stack(coord_transform(*inside.T, image.affine))
    names = tuple("voxel-" + "-".join(map(str, voxel)) for voxel in inside.tolist())
    return Atlas(Parcels(names, (), places, f"{VOXELS}{file.name}"), "voxels", image, files=(file,))
