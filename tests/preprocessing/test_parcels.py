from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from bids_fmri.make import AFFINE, SHAPE, visual_voxels, write_image, write_labels, write_maps
from nilearn.maskers import NiftiSpheresMasker

from braindecode_x.datasets.parcels import seitzman
from braindecode_x.preprocessing import atlases
from braindecode_x.preprocessing.atlases import open_atlas
from braindecode_x.preprocessing.parcels import Parcellator, clean_signals, repetition_time, resampled
from braindecode_x.preprocessing.settings import FmriSettings

N = 6
PLAIN = FmriSettings(confounds=(), detrend=False)


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """Noise; where visual voxels have 5 more in the last volume."""
    drawn = np.random.default_rng(0).standard_normal((*SHAPE, N)).astype(np.float32)
    drawn[visual_voxels(), -1] += 5
    return drawn


def mni(values: np.ndarray, code: int = 4, affine: np.ndarray = AFFINE) -> nib.Nifti1Image:
    image = nib.Nifti1Image(values, affine)
    image.set_sform(affine, code)
    return image


def voxels_of(places: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.rint(nib.affines.apply_affine(np.linalg.inv(AFFINE), places)).astype(int).T)


def test_a_sphere_smaller_than_a_voxel_is_the_voxel_of_its_centre(values):
    found = Parcellator(open_atlas("seitzman"))(mni(values), "image")
    np.testing.assert_allclose(found.signals, values[voxels_of(seitzman().coordinates)].T, atol=1e-5)
    assert found.empty == ()


@pytest.mark.parametrize("smoothing", [None, 5.0])
def test_spheres_are_those_of_nilearns_masker(smoothing):
    near = np.argsort(np.linalg.norm(seitzman().coordinates - seitzman().coordinates[0], axis=1))[:4]
    fine = np.diag([3.0, 3, 3, 1])
    fine[:3, 3] = seitzman().coordinates[near].min(0) - 12.3
    shape = np.ceil((np.ptp(seitzman().coordinates[near], axis=0) + 25) / 3).astype(int)
    values = np.random.default_rng(0).standard_normal((*shape, 3)).astype(np.float32)
    values[: shape[0] // 2] = 0  # outside the brain
    usable = nib.Nifti1Image((values != 0).all(axis=3).astype(np.uint8), fine)
    radii = open_atlas("seitzman").radii[near]
    atlas = atlases.Atlas(seitzman().take(near), "spheres", radii=radii)
    found = Parcellator(atlas, smoothing)(mni(values, affine=fine), "image")
    kept = [number for number, name in enumerate(seitzman().take(near).names) if name not in found.empty]
    for number in kept:
        masker = NiftiSpheresMasker(
            [tuple(seitzman().coordinates[near[number]])],
            radii[number],
            mask_img=usable,
            smoothing_fwhm=smoothing,
            standardize=None,
        )
        expected = masker.fit_transform(nib.Nifti1Image(values, fine))
        np.testing.assert_allclose(found.signals[:, number], expected[:, 0], atol=1e-5)
    assert kept


@pytest.mark.filterwarnings("ignore:Resampling binary images")
@pytest.mark.parametrize("write", [write_labels, write_maps])
def test_labels_and_maps_average_their_voxels_also_resampled(write, values, tmp_path):
    file, table = write(tmp_path)
    atlas = open_atlas(str(file), table)
    own = visual_voxels()
    number = atlas.parcels.names.index("seeing")
    found = Parcellator(atlas)(mni(values), "image").signals
    np.testing.assert_allclose(found[:, number], values[own].mean(0), atol=1e-5)
    fine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    fine[:3, 3] -= 3  # a voxel's corner stays where it was
    doubled = np.kron(values[..., -2:], np.ones((2, 2, 2, 1)))
    if atlas.kind == "maps":  # whose edges are mixed with their neighbours by interpolation
        doubled = np.ones_like(doubled) * [3.0, 1.0]
    again = Parcellator(atlas)(mni(doubled.astype(np.float32), affine=fine), "image").signals
    expected = found[-2:, number] if atlas.kind == "labels" else [3.0, 1.0]
    np.testing.assert_allclose(again[:, number], expected, atol=0.2)


def test_labels_follow_their_table(tmp_path):
    atlas = open_atlas(*map(str, write_labels(tmp_path)))
    assert atlas.parcels.names == ("left", "seeing", "right")
    assert atlas.parcels.networks == ("Rest", "Vis", "Rest")
    assert atlas.parcels.coordinates[0, 0] < 0 < atlas.parcels.coordinates[2, 0]


def test_parcels_without_networks_get_those_of_the_nearest_sphere(tmp_path):
    labels = np.zeros(SHAPE, np.int16)
    labels[voxels_of(seitzman().coordinates[seitzman().in_network("Visual")][:1])] = 3
    labels[0, 0, 0] = 8
    parcels = open_atlas(str(write_image(tmp_path / "own.nii.gz", labels))).parcels
    assert parcels.networks == ("Visual", "unassigned")
    assert parcels.names == ("parcel-0003", "parcel-0008")


def test_every_voxel_of_a_mask_can_be_a_parcel(values, tmp_path):
    mask = write_image(tmp_path / "mask.nii.gz", visual_voxels().astype(np.uint8))
    atlas = open_atlas(f"voxels:{mask}")
    found = Parcellator(atlas)(mni(values), "image").signals
    np.testing.assert_allclose(found, values[visual_voxels()].T, atol=1e-6)
    shifted = AFFINE.copy()
    shifted[0, 3] += 4
    with pytest.raises(ValueError, match=r"image: lies elsewhere in space than .*mask.nii.gz"):
        Parcellator(atlas)(mni(values, affine=shifted), "image")
    with pytest.raises(ValueError, match=r"image: a grid of \(14, 17, 14\); expected \(15, 17, 14\)"):
        Parcellator(atlas)(mni(values[1:]), "image")


def test_voxels_that_are_not_finite_or_constant_are_left_out(values, tmp_path):
    atlas = open_atlas(*map(str, write_labels(tmp_path)))
    first, second = np.argwhere(visual_voxels())[:2]
    broken = values.copy()
    broken[(*first, 2)] = np.nan
    broken[tuple(second)] = 1000.0
    left = visual_voxels()
    left[tuple(first)] = left[tuple(second)] = False
    found = Parcellator(atlas)(mni(broken), "image")
    assert found.not_finite == 1
    np.testing.assert_allclose(found.signals[:, 1], values[left].mean(0), atol=1e-5)
    broken[visual_voxels()] = 0
    found = Parcellator(atlas)(mni(broken), "image")
    assert found.empty == ("seeing",)
    assert not found.signals[:, 1].any()
    assert found.signals[:, [0, 2]].any()


def test_an_image_of_another_space_is_refused(values):
    spheres = Parcellator(open_atlas("seitzman"))
    with pytest.raises(ValueError, match=r"image: its header says that it lies in scanner space \(code 1\)"):
        spheres(mni(values, code=1), "image")
    assert Parcellator(open_atlas("seitzman"), any_space=True)(mni(values, code=1), "image").signals.any()
    elsewhere = AFFINE.copy()
    elsewhere[:3, 3] += 300
    with pytest.raises(ValueError, match=r"image: 300 of 300 parcels of the atlas 'seitzman' have no voxel"):
        spheres(mni(values, affine=elsewhere), "image")
    with pytest.raises(ValueError, match=r"image: expected \(x, y, z, volumes\), found shape \(15, 17, 14\)"):
        spheres(mni(values[..., 0]), "image")


def test_difumo_and_schaefer_bring_their_networks(tmp_path, monkeypatch):
    maps, _ = write_maps(tmp_path)
    rows = pd.DataFrame({"component": [1, 2], "difumo_names": ["Cuneus", "Cuneus"], "yeo_networks7": ["VisCent", "x"]})
    monkeypatch.setattr(atlases, "fetch_atlas_difumo", lambda **_: {"maps": str(maps), "labels": rows})
    parcels = open_atlas("difumo-64").parcels
    assert parcels.names == ("Cuneus", "Cuneus (2)")
    assert parcels.networks == ("VisCent", "x")
    names = ["Background", b"7Networks_LH_Vis_1", "7Networks_RH_SomMot_1"]
    labels = write_image(tmp_path / "schaefer.nii.gz", visual_voxels().astype(np.int16) + 1)
    monkeypatch.setattr(atlases, "fetch_atlas_schaefer_2018", lambda *_, **__: {"maps": str(labels), "labels": names})
    assert open_atlas("schaefer-100").parcels.networks == ("Vis", "SomMot")

    def offline(**_):
        raise ConnectionError("no route")

    monkeypatch.setattr(atlases, "fetch_atlas_difumo", offline)
    with pytest.raises(OSError, match="atlas 'difumo-1024' cannot be downloaded"):
        open_atlas("difumo")


def test_atlases_that_cannot_be_used_are_named(tmp_path):
    labels, table = write_labels(tmp_path)
    maps, names = write_maps(tmp_path)
    half = write_image(tmp_path / "half.nii.gz", np.full(SHAPE, 0.5, np.float32))
    table.write_text("index\tname\n2\tleft\n")
    for name, of, message in (
        ("seitzmann", None, "did you mean 'seitzman'"),
        ("difumo-100", None, "atlas difumo-100: expected one of difumo-64"),
        ("seitzman", table, "atlas_table: .* is for an atlas in a file"),
        (str(half), None, "half.nii.gz: expected whole numbers as labels"),
        (str(labels), table, r"expected a row for each of 3 labels, once; without one: \[5, 9\]"),
        (str(labels), names, "missing the columns index; found name"),
        (str(maps), table, "1 rows; expected 2, one for each map"),
        (f"voxels:{maps}", None, r"expected a mask \(x, y, z\), found 4 dimensions"),
    ):
        with pytest.raises(ValueError, match=message):
            open_atlas(name, of)
    with pytest.raises(FileNotFoundError, match=r"no.nii.gz: no such file"):
        open_atlas(str(tmp_path / "no.nii.gz"))


def test_confounds_and_drift_are_removed_and_parcels_standardised():
    rng = np.random.default_rng(0)
    movement, own = rng.standard_normal((100, 1)), rng.standard_normal((100, 3))
    signals = 500 + own + 20 * movement + 0.5 * np.arange(100)[:, None]
    signals[:, 2] = 7.0
    cleaned, tr = clean_signals(signals, 2.0, FmriSettings(), pd.DataFrame(movement), "run")
    assert tr == 2.0
    np.testing.assert_allclose(cleaned[:, :2].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(cleaned[:, :2].std(0, ddof=1), 1, atol=1e-5)
    assert not cleaned[:, 2].any()
    assert np.corrcoef(cleaned[:, 0], own[:, 0])[0, 1] > 0.98


@pytest.mark.parametrize(("tr", "new"), [(2.0, 1.5), (2.0, 3.0), (0.8, 2.0)])
def test_resampling_keeps_slow_waves_in_their_places_and_does_not_alias(tr, new):
    times = np.arange(int(200 / tr)) * tr
    slow, fast = np.sin(2 * np.pi * 0.03 * times), np.sin(2 * np.pi * (0.45 / tr) * times)
    found = resampled(np.column_stack([slow, fast]), tr, new)
    wanted = np.arange(len(found)) * new
    assert times[-1] - new < wanted[-1] <= times[-1]
    inner = slice(8, -8)
    np.testing.assert_allclose(found[inner, 0], np.sin(2 * np.pi * 0.03 * wanted)[inner], atol=0.05)
    if new > tr:
        assert found[inner, 1].std() < 0.1 * fast.std() or new < 2 * tr


def test_runs_that_cannot_be_cleaned_are_named():
    signals = np.random.default_rng(0).standard_normal((20, 2))
    with pytest.raises(ValueError, match="run: 20 volumes, but 19 rows of confounds"):
        clean_signals(signals, 2.0, PLAIN, pd.DataFrame(np.zeros((19, 1))), "run")
    with pytest.raises(ValueError, match="run: 20 volumes are too few to regress out 18 confounds"):
        clean_signals(signals, 2.0, PLAIN, pd.DataFrame(np.zeros((20, 18))), "run")
    with pytest.raises(ValueError, match="run: cannot be cleaned"):
        clean_signals(signals[:8], 2.0, FmriSettings(high_pass=0.01), None, "run")


def test_header_sidecar_and_user_say_the_repetition_time(values):
    image = mni(values)
    image.header.set_zooms((12, 12, 12, 800))
    image.header.set_xyzt_units("mm", "msec")
    assert repetition_time(image, None, None, "run") == pytest.approx(0.8)
    assert repetition_time(image, 0.8, None, "run") == 0.8
    assert repetition_time(image, 2.0, 1.5, "run") == 1.5
    with pytest.raises(ValueError, match=r"run: repetition time 0.8 s in the header, 2 s in the sidecar"):
        repetition_time(image, 2.0, None, "run")
    image.header.set_zooms((12, 12, 12, 0))
    assert repetition_time(image, 2.0, None, "run") == 2.0
    with pytest.raises(ValueError, match="run: no repetition time in header, sidecar or table"):
        repetition_time(image, None, None, "run")


def test_settings_out_of_range_are_refused():
    for options, message in (
        ({"tr": -1.0}, "tr: expected a number above 0, found -1.0"),
        ({"confounds": ("scrub",)}, "unknown strategy of confounds 'scrub'"),
        ({"high_pass": 0.2, "low_pass": 0.1}, "expected high_pass < low_pass"),
    ):
        with pytest.raises(ValueError, match=message):
            FmriSettings(**options)
