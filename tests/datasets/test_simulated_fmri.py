from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from braindecode_x.datasets import read_card
from braindecode_x.datasets.picture_features import FIELD
from braindecode_x.datasets.simulated_fmri import PEOPLE, REGIONS, REPEATS, SimulatedFmri, SimulatedSubject
from braindecode_x.metrics.noise_ceiling import split_half_noise_ceiling
from braindecode_x.stimuli import FolderStimuli, ObjectStimuli


@pytest.fixture(scope="module")
def few(objects: ObjectStimuli) -> ObjectStimuli:
    """Every fifth training concept, and twelve of validation and test each."""
    table = objects.subset(rendering="fluent3d").table
    ids = {split: table.index[table["split"] == split].tolist() for split in REPEATS}
    return objects.subset(ids=[*ids["train"][::5], *ids["validation"][:12], *ids["test"][:12]])


@pytest.fixture(scope="module")
def cohort(few: ObjectStimuli, features_folder: Path) -> SimulatedFmri:
    return SimulatedFmri(stimuli=few, folder=features_folder)


@pytest.fixture(scope="module")
def subject(cohort: SimulatedFmri) -> SimulatedSubject:
    return cohort.subject("sub-01")


def test_the_cohort_is_as_its_card_says(objects: ObjectStimuli) -> None:
    card = read_card("simulated_fmri")
    assert card["subjects"] == {name: person.voxels for name, person in PEOPLE.items()}
    assert card["regions"] == list(REGIONS)
    assert card["repeats"] == REPEATS
    shown = SimulatedFmri().stimuli.table["split"].value_counts()
    assert card["pictures"] == shown.to_dict()
    assert card["trials"] == sum(shown[split] * repeats for split, repeats in REPEATS.items())
    assert card["truth"] == {name: region.features for name, region in REGIONS.items()}


def test_a_subject_has_the_documented_shapes(few: ObjectStimuli, cohort: SimulatedFmri) -> None:
    subject = cohort.subject("sub-05")
    n_voxels = PEOPLE["sub-05"].voxels
    assert subject.betas.shape == (len(subject.trials), n_voxels)
    assert subject.betas.dtype == np.float32
    assert np.isfinite(subject.betas).all()
    assert list(subject.trials) == ["stimulus", "repeat", "split"]
    counts = subject.trials.groupby(["split", "stimulus"]).size()
    for split, repeats in REPEATS.items():
        assert (counts[split] == repeats).all()
        assert sorted(counts[split].index) == sorted(few.subset(split=split).ids)
    assert set(subject.regions) == set(REGIONS)
    assert subject.noise_ceiling.shape == subject.regions.shape == (n_voxels,)
    assert 0 < subject.noise_ceiling.min() < subject.noise_ceiling.max() < 1


def test_a_seed_gives_the_same_betas_and_another_seed_others(
    few: ObjectStimuli, features_folder: Path, subject: SimulatedSubject
) -> None:
    again = SimulatedFmri(0, few, features_folder).subject("sub-01")
    np.testing.assert_array_equal(subject.betas, again.betas)
    pd.testing.assert_frame_equal(subject.truth.voxels, again.truth.voxels)
    other = SimulatedFmri(1, few, features_folder).subject("sub-01")
    assert not np.array_equal(subject.truth.voxels["x"], other.truth.voxels["x"])
    noise = [(s.repeats("test") - s.truth.signal[-12:, None]).ravel() for s in (subject, other)]
    assert abs(np.corrcoef(noise)[0, 1]) < 0.02


def test_voxels_do_not_depend_on_the_pictures(
    few: ObjectStimuli, features_folder: Path, subject: SimulatedSubject
) -> None:
    fewer = SimulatedFmri(0, few.subset(ids=few.ids[:40]), features_folder).subject("sub-01")
    pd.testing.assert_frame_equal(subject.truth.voxels, fewer.truth.voxels)
    for key, weights in subject.truth.weights.items():
        np.testing.assert_array_equal(weights, fewer.truth.weights[key])


def test_subjects_differ_but_agree_on_what_pictures_are_alike(cohort: SimulatedFmri) -> None:
    """Voxels cannot be matched one to one, while similarities of pictures are shared."""
    first, second = (cohort.subject(name) for name in ("sub-04", "sub-05"))
    n = min(len(first.regions), len(second.regions))
    pairs = [np.corrcoef(first.truth.signal[:, v], second.truth.signal[:, v])[0, 1] for v in range(0, n, 10)]
    assert np.mean(np.abs(pairs)) < 0.5
    similarities = [np.corrcoef(s.truth.signal)[np.triu_indices(len(s.truth.signal), 1)] for s in (first, second)]
    assert np.corrcoef(similarities)[0, 1] > 0.8


def test_subjects_have_noise_of_their_own(cohort: SimulatedFmri) -> None:
    noise = []
    for name in ("sub-04", "sub-05"):
        subject = cohort.subject(name)
        repeats = subject.repeats("train")
        rest = repeats - subject.truth.signal[: len(repeats), None]
        noise.append((rest / subject.truth.voxels["noise"].to_numpy()).ravel()[:50_000])
    assert abs(np.corrcoef(noise)[0, 1]) < 0.02


def test_repeats_share_signal_and_not_noise(subject: SimulatedSubject) -> None:
    repeats = subject.repeats("train")
    signal = subject.truth.signal[: len(repeats)]
    noise = (repeats - signal[:, None]) / subject.truth.voxels["noise"].to_numpy()
    assert abs(noise.mean()) < 0.01
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert abs(np.mean(noise[:, 0] * noise[:, 1])) < 0.01
    raw = [np.corrcoef(repeats[:, 0, v], repeats[:, 1, v])[0, 1] for v in range(0, repeats.shape[2], 20)]
    assert np.mean(raw) > 0.15


def test_signal_has_the_gain_of_its_voxel(subject: SimulatedSubject, few: ObjectStimuli) -> None:
    signal = subject.truth.signal[few.table["split"] == "train"]
    gain = subject.truth.voxels["gain"]
    np.testing.assert_allclose(signal.std(axis=0), gain, rtol=1e-3)
    np.testing.assert_allclose(signal.mean(axis=0), gain, rtol=1e-3)


def test_known_noise_ceilings_are_found_from_repeats(subject: SimulatedSubject) -> None:
    estimated = split_half_noise_ceiling(subject.repeats("train"))
    voxels = pd.DataFrame({"region": subject.regions, "known": subject.noise_ceiling, "estimated": estimated})
    regions = voxels.groupby("region")[["known", "estimated"]].mean()
    np.testing.assert_allclose(regions["estimated"], regions["known"], atol=0.03)
    median = voxels.groupby("region")["known"].median()
    for name, region in REGIONS.items():
        assert median[name] == pytest.approx(region.noise_ceiling, abs=0.05)  # sub-01 has noise 1
    assert np.corrcoef(voxels["known"], voxels["estimated"])[0, 1] > 0.7


def test_averages_are_over_repeats(subject: SimulatedSubject, few: ObjectStimuli) -> None:
    stimuli, betas = subject.average("validation")
    assert stimuli == few.subset(split="validation").ids
    rows = subject.trials["stimulus"] == stimuli[3]
    np.testing.assert_allclose(betas[3], subject.betas[rows].mean(axis=0), rtol=1e-5, atol=1e-6)


def test_v1_answers_to_orientation_within_its_receptive_field(tmp_path: Path) -> None:
    pictures = grating_patches(tmp_path / "patches")
    subject = SimulatedFmri(stimuli=pictures, folder=tmp_path / "features").subject("sub-01")
    voxels = subject.truth.voxels
    signal = subject.truth.signal / voxels["gain"].to_numpy()
    inside = (voxels[["x", "y"]].abs() - 2).abs().max(axis=1) < 1
    right_frequency = voxels["frequency"].between(0.5, 1.3)
    chosen = voxels[(voxels["region"] == "V1") & inside & right_frequency]
    oblique = chosen[(np.sin(2 * chosen["angle"])).abs() > 0.9]
    assert len(oblique) > 5
    blank = pictures.ids.index("blank")
    for voxel, row in oblique.iterrows():
        place = ("right" if row["x"] > 0 else "left") + "-" + ("up" if row["y"] > 0 else "down")
        turn = "45" if np.sin(2 * row["angle"]) > 0 else "135"
        best = pictures.ids.index(f"{place}-{turn}")
        assert signal[:, voxel].argmax() == best
        away = [i for i, name in enumerate(pictures.ids) if not name.startswith(place) and i != blank]
        drive = signal[:, voxel] - signal[blank, voxel]
        assert np.abs(drive[away]).max() < 0.2 * drive[best]


def grating_patches(folder: Path) -> FolderStimuli:
    """Draw patches of gratings in the quadrants, at 45 and 135 degrees, and a blank; all for training."""
    folder.mkdir()
    rows, columns = np.mgrid[:128, :128]
    x, y = (columns - 63.5) / 128 * FIELD, (63.5 - rows) / 128 * FIELD
    drawn = {"blank": np.full((128, 128), 255.0)}
    quadrants = {"right-up": (1, 1), "left-up": (-1, 1), "left-down": (-1, -1), "right-down": (1, -1)}
    for name, (right, up) in quadrants.items():
        window = np.exp(-((x - 2 * right) ** 2 + (y - 2 * up) ** 2) / (2 * 0.6**2))
        for degrees in (45, 135):
            angle = np.deg2rad(degrees)
            wave = np.cos(2 * np.pi * 0.8 * (x * np.cos(angle) + y * np.sin(angle)))
            drawn[f"{name}-{degrees}"] = 255 * (1 - window * (1 + wave) / 2)
    for name, picture in drawn.items():
        Image.fromarray(picture.round().astype(np.uint8)).convert("RGB").save(folder / f"{name}.png")
    table = pd.DataFrame({"id": list(drawn), "caption": "patch", "split": "train", "category": "c", "subcategory": "s"})
    table.to_csv(folder / "captions.csv", index=False)
    return FolderStimuli(folder)


@pytest.mark.parametrize(
    ("region", "subcategories"),
    [("FFA", ("person", "face-", "family")), ("PPA", ("place-building", "place-religious", "hotel"))],
)
def test_semantic_regions_prefer_their_concepts(
    region: str, subcategories: tuple[str, ...], few: ObjectStimuli, subject: SimulatedSubject
) -> None:
    preferred = few.table["subcategory"].str.startswith(subcategories).to_numpy()
    signal = subject.truth.signal / subject.truth.voxels["gain"].to_numpy()
    contrast = signal[preferred].mean(axis=0) - signal[~preferred].mean(axis=0)
    by_region = pd.Series(contrast).groupby(subject.regions).mean()
    assert by_region[region] > 0.5
    assert by_region[region] > by_region.drop(region).max() + 0.2


def test_the_truth_says_which_region_carries_what(cohort: SimulatedFmri, subject: SimulatedSubject) -> None:
    np.testing.assert_allclose(cohort.truth.sum(axis=1), 1)
    assert cohort.truth.index.tolist() == list(REGIONS)
    carried = {(str(region), kind) for (region, kind), share in cohort.truth.stack().items() if share > 0}
    assert subject.truth.weights.keys() == carried
    for (region, kind), weights in subject.truth.weights.items():
        assert weights.shape == (cohort.features[kind].shape[1], (subject.regions == region).sum())


def test_subjects_do_not_know_the_space_that_is_decoded_to() -> None:
    code = (
        "import sys; from braindecode_x.datasets.simulated_fmri import SimulatedFmri; "
        "from braindecode_x.stimuli import ObjectStimuli; "
        "SimulatedFmri(stimuli=ObjectStimuli().subset(ids=['cat-fluent3d', 'abacus-fluent3d'])).subject('sub-05'); "
        "networks = ('braindecode_x.clip', 'braindecode_x.diffusion', 'open_clip', 'timm', 'torchvision.models'); "
        "print([name for name in sys.modules if name.startswith(networks)])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


def test_unknown_names_are_refused(cohort: SimulatedFmri, subject: SimulatedSubject) -> None:
    with pytest.raises(ValueError, match="unknown subject 'sub-1'; did you mean 'sub-0"):
        cohort.subject("sub-1")
    with pytest.raises(ValueError, match="unknown split 'tests'; did you mean 'test'"):
        subject.average("tests")


def test_pictures_without_what_is_needed_are_refused(few: ObjectStimuli, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seed: expected 0 or more, found -1"):
        SimulatedFmri(-1)
    with pytest.raises(ValueError, match=r"'objects': expected the splits .* found \{'test': 12\}"):
        SimulatedFmri(stimuli=few.subset(split="test"))
    Image.new("RGB", (8, 8)).save(tmp_path / "own.png")
    with pytest.raises(ValueError, match=r"needs the columns \['category', 'split', 'subcategory'\]"):
        SimulatedFmri(stimuli=FolderStimuli(tmp_path))
