from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
import yaml
from jsonargparse import ArgumentParser
from PIL import Image

from braindecode_x.datasets.table_betas import TableBetas

BETAS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
TABLE = "stimulus,split\ncat,train\ndogs/rex.jpg,train\ntree.png,validation\ncat.png,train\ncar,test\n,\n"
INSIDE = np.zeros((2, 3, 2), bool)
INSIDE[[0, 0, 1, 1], [0, 2, 1, 2], [1, 0, 0, 1]] = True


@pytest.fixture
def folder(tmp_path):
    """A folder with pictures, the table and ``betas.npy``."""
    (tmp_path / "pictures" / "dogs").mkdir(parents=True)
    for name in ("cat.png", "dogs/rex.jpg", "tree.png", "car.png", "unseen.png"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / "pictures" / name)
    (tmp_path / "pictures" / "captions.csv").write_text("id,caption\ncat,a cat\n")
    (tmp_path / "trials.csv").write_text(TABLE)
    np.save(tmp_path / "betas.npy", BETAS)
    return tmp_path


def opened(folder, table=None, betas="betas.npy", **options):
    if table is not None:
        (folder / "trials.csv").write_text(table)
    if isinstance(betas, dict):
        betas = {name: folder / file for name, file in betas.items()}
    elif betas is not None:
        betas = folder / betas
    return TableBetas(folder / "trials.csv", folder / "pictures", betas, **options)


def save_nifti(file, betas, affine=None):
    """Write patterns into the voxels of INSIDE; zero outside."""
    data = np.zeros((*INSIDE.shape, len(betas)), np.float32)
    data[INSIDE] = betas.T
    nib.save(nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1]) if affine is None else affine), file)


def test_trials_meet_their_pictures(folder):
    cohort = opened(folder)
    assert cohort.subjects == ("sub-01",)
    subject = cohort.subject("sub-01")
    assert subject.trials["stimulus"].tolist() == ["cat", "dogs/rex", "tree", "cat", "car", ""]
    assert subject.trials["split"].tolist() == ["train", "train", "validation", "train", "test", "predict"]
    np.testing.assert_array_equal(subject.betas, BETAS)
    names, mean = subject.average("train")
    assert names == ["cat", "dogs/rex"]
    np.testing.assert_allclose(mean[0], (BETAS[0] + BETAS[3]) / 2, rtol=1e-6)
    assert cohort.stimuli.ids == ["car", "cat", "dogs/rex", "tree"]
    assert cohort.stimuli.captions == ["", "a cat", "", ""]


def test_one_file_may_hold_several_subjects(folder):
    cohort = opened(folder, "subject,stimulus,split\nb,cat,train\na,cat,train\nb,car,test\na,tree,test\na,,\nb,,mine\n")
    assert cohort.subjects == ("b", "a")
    np.testing.assert_array_equal(cohort.subject("b").betas, BETAS[[0, 2, 5]])
    np.testing.assert_array_equal(cohort.subject("a").betas, BETAS[[1, 3, 4]])
    assert cohort.subject("b").trials["split"].tolist() == ["train", "test", "mine"]


def test_every_subject_has_its_file_and_its_number_of_voxels(folder):
    np.save(folder / "b.npy", BETAS[:1, :3].astype(np.float64))
    np.save(folder / "a.npy", BETAS[:2])
    table = "subject,stimulus,split\na,cat,train\nb,cat,train\na,car,test\n"
    cohort = opened(folder, table, {"a": "a.npy", "b": "b.npy"})
    np.testing.assert_array_equal(cohort.subject("a").betas, BETAS[:2])
    np.testing.assert_array_equal(cohort.subject("b").betas, BETAS[:1, :3])
    assert cohort.subject("b").betas.dtype == np.float32


def test_files_and_rows_by_the_table(folder):
    (folder / "runs").mkdir()
    np.save(folder / "runs" / "1.npy", BETAS[:4])
    np.save(folder / "runs" / "2.npy", BETAS[4:])
    table = "betas,row,stimulus,split\nruns/2.npy,1,cat,train\nruns/1.npy,3,car,test\nruns/2.npy,0,cat,train\n"
    np.testing.assert_array_equal(opened(folder, table, None).subject("sub-01").betas, BETAS[[5, 3, 4]])


def test_rows_of_a_file_are_counted_in_the_order_of_the_table(folder):
    np.save(folder / "1.npy", BETAS[:2])
    np.save(folder / "2.npy", BETAS[2:4])
    table = "betas,stimulus,split\n1.npy,cat,train\n2.npy,car,test\n1.npy,tree,train\n2.npy,car,test\n"
    np.testing.assert_array_equal(opened(folder, table, None).subject("sub-01").betas, BETAS[[0, 2, 1, 3]])


def test_drawn_splits_have_no_picture_on_both_sides(folder):
    for number in range(40):
        Image.new("RGB", (2, 2)).save(folder / "pictures" / f"{number}.png")
    rows = [f"{subject},{number}" for subject in "ab" for number in range(40) for _ in range(2)]
    np.save(folder / "betas.npy", np.zeros((160, 2)))
    cohort = opened(folder, "\n".join(["subject,stimulus", *rows]))
    a, b = (cohort.subject(name).trials.drop_duplicates() for name in "ab")
    assert a["stimulus"].is_unique
    assert a["split"].value_counts().to_dict() == {"train": 32, "validation": 4, "test": 4}
    assert dict(a.to_numpy()) == dict(b.to_numpy())
    same = opened(folder, "\n".join(["subject,stimulus", *rows[::-1]])).subject("a").trials.drop_duplicates()
    assert dict(same.to_numpy()) == dict(a.to_numpy())
    assert dict(opened(folder, seed=1).subject("a").trials.to_numpy()) != dict(a.to_numpy())


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_nifti_takes_the_voxels_that_vary(folder, ending):
    betas = BETAS.copy()
    betas[:, 1] = 7
    betas[2, 3] = np.nan
    save_nifti(folder / f"betas.{ending}", betas)
    np.testing.assert_array_equal(opened(folder, betas=f"betas.{ending}").subject("sub-01").betas, BETAS[:, [0, 2]])


@pytest.mark.parametrize("mask", ["mask.nii", "mask.npy"])
def test_nifti_with_a_mask(folder, mask):
    save_nifti(folder / "betas.nii", BETAS)
    if mask.endswith("npy"):
        np.save(folder / mask, INSIDE)
    else:
        nib.save(nib.Nifti1Image(INSIDE.astype(np.uint8), np.diag([2.0, 2, 2, 1])), folder / mask)
    cohort = opened(folder, betas="betas.nii", mask={"sub-01": str(folder / mask)})
    np.testing.assert_array_equal(cohort.subject("sub-01").betas, BETAS)


def test_nifti_files_of_one_subject_share_their_voxels(folder):
    first = BETAS[:3].copy()
    first[:, 0] = 1
    save_nifti(folder / "1.nii", first)
    save_nifti(folder / "2.nii", BETAS[3:])
    table = "betas,stimulus,split\n" + "1.nii,cat,train\n" * 3 + "2.nii,cat,train\n" * 3
    np.testing.assert_array_equal(opened(folder, table, None).subject("sub-01").betas, BETAS[:, 1:])


def test_a_nan_within_the_mask_is_named(folder):
    betas = BETAS.copy()
    betas[4, 2] = np.nan
    save_nifti(folder / "betas.nii", betas)
    np.save(folder / "mask.npy", INSIDE)
    with pytest.raises(ValueError, match=r"betas\.nii: 1 values are not finite.*trial 4, voxel 2"):
        opened(folder, betas="betas.nii", mask=folder / "mask.npy").subject("sub-01")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_value_that_is_not_finite_is_named(folder, value):
    betas = BETAS.astype(np.float64)
    betas[3, 1] = betas[5, 0] = value
    np.save(folder / "betas.npy", betas)
    with pytest.raises(ValueError, match=r"betas\.npy: 2 values are not finite .*the first is in trial 3, voxel 1"):
        opened(folder).subject("sub-01")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_built_from_yaml(folder):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(TableBetas, "cohort")
    for betas in ({"sub-01": str(folder / "betas.npy")}, str(folder / "betas.npy")):
        arguments = {"table": str(folder / "trials.csv"), "stimuli": str(folder / "pictures"), "betas": betas}
        built = {"class_path": "braindecode_x.datasets.table_betas.TableBetas", "init_args": arguments}
        cohort = parser.instantiate_classes(parser.parse_string(yaml.safe_dump({"cohort": built}))).cohort
        np.testing.assert_array_equal(cohort.subject("sub-01").betas, BETAS)


def test_table_of_a_spreadsheet(folder):
    (folder / "trials.csv").write_bytes(b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode())
    assert opened(folder).subject("sub-01").trials["stimulus"].tolist()[1] == "dogs/rex"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("picture,split\ncat,train\n", r"needs the column stimulus.*found \['picture', 'split'\]"),
        ("", r"needs the column stimulus.*found \[\]"),
        ("stimulus,split\n", "no trials"),
        ("stimulus,split\ncat,train\ncat\n", r"trials\.csv, line 3: 1 values; expected 2"),
        (
            'note,stimulus,split\n"two\nlines",cat,train\n\n,lion,test\n,cat.jpg,test\n,tree,test\n',
            r"2 of 4 rows name a picture that is not in .*pictures: line 5 \('lion'\), line 6 \('cat\.jpg'\)$",
        ),
        (TABLE.replace("car,test", "car,testing"), r"1 of 6 rows name a split other than .* line 6 \('testing'\)"),
        (TABLE.replace("cat.png,train", "cat.png,test"), "one split; 'cat' is in train and test"),
        ("stimulus\n" + "cat\ncar\n" * 3, "2 pictures are too few to draw"),
        ("subject,stimulus,split\na,cat,train\n,cat,train\n", "1 of 2 rows name no subject: line 3"),
        (TABLE + "cat,train\n", r"betas\.npy: 6 trials; expected 7, one for each row of .*trials\.csv"),
        (
            "stimulus,split,row\ncat,train,0\ncar,test,6\n",
            r"not in its file; .*betas\.npy holds 0 to 5: line 3 \('6'\)",
        ),
        ("stimulus,split,row\ncat,train,-1\n", r"line 2 \('-1'\)"),
        ("stimulus,split,row\ncat,train,1\ncar,test,01\n", r"that an earlier line has already: line 3 \('01'\)"),
        ("stimulus,split,betas\ncat,train,betas.npy\n", "found both"),
    ],
)
def test_table_that_does_not_fit(folder, table, message):
    with pytest.raises(ValueError, match=message):
        opened(folder, table)


def test_no_betas_at_all(folder):
    with pytest.raises(ValueError, match="found neither"):
        opened(folder, betas=None)


@pytest.mark.parametrize(
    ("betas", "message"),
    [
        ({"sub-1": "betas.npy"}, "unknown subject of the betas 'sub-1'; did you mean 'sub-01'"),
        ({}, r"subjects \['sub-01'\] have no file in betas"),
    ],
)
def test_betas_of_other_subjects(folder, betas, message):
    with pytest.raises(ValueError, match=message):
        opened(folder, betas=betas)


def test_unknown_subject(folder):
    with pytest.raises(ValueError, match="unknown subject 'sub-02'; did you mean 'sub-01'"):
        opened(folder).subject("sub-02")


@pytest.mark.parametrize("name", ["trials.csv", "betas.npy", "betas.nii"])
def test_missing_files(folder, name):
    (folder / name).unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError, match=f"{name}: no such"):
        opened(folder, betas=name if name.startswith("betas") else "betas.npy")


@pytest.mark.parametrize("kept", [0, 5, 40, 150])
def test_truncated_array(folder, kept):
    content = (folder / "betas.npy").read_bytes()
    (folder / "betas.npy").write_bytes(content[:kept])
    with pytest.raises(ValueError, match=r"betas\.npy: damaged"):
        opened(folder)


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.98])
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_truncated_image(folder, ending, kept):
    save_nifti(folder / "whole.nii", BETAS)
    content = (folder / "whole.nii").read_bytes()
    content = gzip.compress(content) if ending == "nii.gz" else content
    (folder / f"betas.{ending}").write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ValueError, match=rf"betas\.{ending}: (damaged|not a readable NIfTI)"):
        opened(folder, betas=f"betas.{ending}").subject("sub-01")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (BETAS[None], r"expected \(trials, voxels\), found 3 dimensions, shape \(1, 6, 4\)"),
        (BETAS[:, 0], "found 1 dimensions"),
        (BETAS[:, :0], r"shape \(6, 0\)"),
        (BETAS.astype(np.complex64), "real numbers, found complex64"),
        (BETAS.astype(object), "damaged, or no NumPy array of numbers"),
    ],
)
def test_array_of_another_kind(folder, array, message):
    np.save(folder / "betas.npy", array)
    with pytest.raises(ValueError, match=message):
        opened(folder)


def test_image_of_three_dimensions(folder):
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), np.eye(4)), folder / "betas.nii")
    with pytest.raises(ValueError, match=r"betas\.nii: expected \(x, y, z, trials\), found 3 dimensions"):
        opened(folder, betas="betas.nii")


def test_other_ending(folder):
    (folder / "betas.mat").write_bytes(b"MATLAB")
    with pytest.raises(ValueError, match=r"betas\.mat: expected a file ending in \.npy, \.nii, \.nii\.gz"):
        opened(folder, betas="betas.mat")


def test_files_of_one_subject_with_other_voxels(folder):
    np.save(folder / "1.npy", BETAS[:1])
    np.save(folder / "2.npy", BETAS[:1, 1:])
    with pytest.raises(ValueError, match=r"2\.npy: 3 voxels; expected 4, as .*1\.npy"):
        opened(folder, "betas,stimulus,split\n1.npy,cat,train\n2.npy,car,test\n", None).subject("sub-01")


def test_arrays_beside_images(folder):
    save_nifti(folder / "1.nii", BETAS)
    table = "betas,row,stimulus,split\n1.nii,0,cat,train\nbetas.npy,0,car,test\n"
    with pytest.raises(ValueError, match=r"all \.npy or all NIfTI; found both"):
        opened(folder, table, None).subject("sub-01")


def test_masks_that_do_not_fit(folder):
    save_nifti(folder / "betas.nii", BETAS)
    np.save(folder / "grid.npy", np.ones((2, 3, 3)))
    np.save(folder / "empty.npy", np.zeros(INSIDE.shape))
    nib.save(nib.Nifti1Image(INSIDE.astype(np.uint8), np.eye(4)), folder / "elsewhere.nii")
    for mask, message in {
        "grid.npy": r"grid\.npy: .*\(2, 3, 3\); expected \(2, 3, 2\), the grid of .*betas\.nii",
        "empty.npy": r"empty\.npy: .*no voxel inside",
        "elsewhere.nii": r"elsewhere\.nii: lies elsewhere in space than .*betas\.nii",
    }.items():
        with pytest.raises(ValueError, match=message):
            opened(folder, betas="betas.nii", mask=folder / mask).subject("sub-01")
    with pytest.raises(ValueError, match=r"grid\.npy: a mask is for NIfTI betas; found .*betas\.npy"):
        opened(folder, mask=folder / "grid.npy").subject("sub-01")


def test_image_without_a_voxel_that_varies(folder):
    save_nifti(folder / "betas.nii", np.ones((6, 4)))
    with pytest.raises(ValueError, match=r"betas\.nii: no voxel is finite and changes"):
        opened(folder, betas="betas.nii").subject("sub-01")
