"""BOLD5000 in its two distributed layouts, on a miniature."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import webdataset
from bold5000.make import REGIONS as VOXELS
from bold5000.make import REPEATED, SUBJECTS, TRAINING, make, picture

from braindecode_x.datasets.bold5000 import REGIONS, Bold5000, Bold5000Betas, Bold5000Voxels, counts
from braindecode_x.datasets.cards import differences, read_card
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.files import write_json

IDS = {Path(name).stem for name in (*TRAINING, *REPEATED)}
TEST_IDS = {Path(name).stem for name in REPEATED}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bold5000")
    make(folder)
    return folder


@pytest.fixture
def folder(untouched: Path, tmp_path: Path) -> Path:
    """Return a copy to damage."""
    return Path(shutil.copytree(untouched, tmp_path / "copy"))


def test_every_trial_is_a_window_of_its_picture(untouched: Path) -> None:
    cohort = Bold5000(untouched / "tars", validation_pictures=2, delay=4.0)
    assert cohort.subjects == ("CSI1", "CSI2")
    assert set(cohort.stimuli.ids) == IDS
    for name, (_, repeats) in SUBJECTS.items():
        subject = cohort.subject(name)
        assert subject.windows.shape == (9 + 3 * repeats, 5, 16)
        assert subject.times[0] == 4.0
        assert subject.trials["stimulus"].value_counts().to_dict() == {
            picture: repeats if picture in TEST_IDS else 1 for picture in IDS
        }
        for stimulus in ("volcano4", "barn3"):
            rows = (subject.trials["stimulus"] == stimulus).to_numpy()
            file = next(file for file in (*TRAINING, *REPEATED) if Path(file).stem == stimulus)
            own = np.random.default_rng(sum(file.encode())).standard_normal(16)
            for window in subject.windows[rows]:
                assert np.corrcoef(window.mean(axis=0), own)[0, 1] > 0.95


def test_repeated_pictures_are_for_test_and_validation_comes_out_of_training(untouched: Path) -> None:
    cohort = Bold5000(untouched / "tars", validation_pictures=2)
    table = cohort.stimuli.table
    assert set(table.index[table["split"] == "test"]) == TEST_IDS
    assert (table["split"] == "validation").sum() == 2
    for name in cohort.subjects:
        trials = cohort.subject(name).trials
        assert (trials.groupby("stimulus")["split"].nunique() == 1).all()
        late = trials["split"][trials["stimulus"] == Path(REPEATED[0]).stem]
        assert (late == "test").all(), "a repeated picture in a trial for training leaks into it"
    other = Bold5000(untouched / "tars", validation_pictures=2, seed=4).stimuli.table["split"]
    assert not other.equals(table["split"])
    assert Bold5000(untouched / "tars", validation_pictures=2).stimuli.table.equals(table)


def test_pictures_are_read_from_the_tars(untouched: Path) -> None:
    stimuli = Bold5000(untouched / "tars", validation_pictures=2).stimuli
    for name in (TRAINING[4], REPEATED[1]):
        np.testing.assert_array_equal(np.asarray(stimuli.image(Path(name).stem)), np.asarray(picture(name)))
    assert stimuli.table.at["barn3", "caption"] == "scene"


def test_voxels_are_betas(untouched: Path) -> None:
    cohort = Bold5000Voxels(untouched / "tars", validation_pictures=2)
    for name, (voxels, repeats) in SUBJECTS.items():
        subject = cohort.subject(name)
        assert subject.betas.shape == (9 + 3 * repeats, voxels)
        assert subject.trials["split"].value_counts()["test"] == 3 * repeats


def test_own_betas_are_joined_to_the_lists(untouched: Path) -> None:
    cohort = Bold5000Betas(untouched / "own", validation_pictures=2)
    subject = cohort.subject("CSI2")
    assert subject.betas.shape == (9 + 9, sum(map(sum, VOXELS.values())))
    assert list(dict.fromkeys(subject.regions)) == list(REGIONS)
    assert (subject.regions == "RHEarlyVis").sum() == 4
    lists = sorted((untouched / "own/BOLD5000_Stimuli/Stimuli_Presentation_Lists/CSI2").glob("*/*.txt"))
    shown = [Path(line.removeprefix("rep_")).stem for file in lists for line in file.read_text().split()]
    assert subject.trials["stimulus"].tolist() == shown
    assert set(subject.trials.loc[subject.trials["split"] == "test", "stimulus"]) == TEST_IDS
    assert set(cohort.stimuli.ids) == IDS
    assert cohort.stimuli.image("volcano4").size == (24, 24)
    part = Bold5000Betas(untouched / "own", ["CSI1"], regions=["RHPPA"], validation_pictures=2).subject("CSI1")
    assert part.betas.shape[1] == 1


def test_the_miniature_is_as_the_card_says_but_smaller(untouched: Path) -> None:
    card = read_card("bold5000")
    assert (card["windows"]["tr"], card["windows"]["volumes"]) == (Bold5000.tr, 5)
    expected = [
        "2 subjects instead of 4",
        "9 training pictures instead of 4803",
        "3 test pictures instead of 113",
    ]
    for cohort in (
        Bold5000(untouched / "tars", validation_pictures=2),
        Bold5000Betas(untouched / "own", validation_pictures=2),
    ):
        assert differences("bold5000", counts(cohort.subjects, cohort.stimuli.table)) == expected


def test_parcels_are_numbered_or_named_by_a_file(untouched: Path, tmp_path: Path) -> None:
    numbered = Bold5000(untouched / "tars", ["CSI1"], validation_pictures=2).parcels
    assert (len(numbered), numbered.networks) == (16, ())
    named = Parcels(tuple(f"p{i}" for i in range(16)), ("Visual", "Default") * 8, None, "difumo")
    write_json(tmp_path / "parcels.json", named.to_dict())
    cohort = Bold5000(untouched / "tars", ["CSI1"], parcels=tmp_path / "parcels.json", validation_pictures=2)
    assert cohort.parcels == named
    few = Parcels(tuple(f"p{i}" for i in range(15)))
    write_json(tmp_path / "few.json", few.to_dict())
    with pytest.raises(ValueError, match="16 parcels; expected 15"):
        Bold5000(untouched / "tars", ["CSI1"], parcels=tmp_path / "few.json", validation_pictures=2).subject("CSI1")


class Poison:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("kind", ["poison", "nan", "short", "missing"])
def test_bad_trials_are_left_out_and_counted(folder: Path, tmp_path: Path, kind: str) -> None:
    tar = folder / "tars" / "CSI1" / "train" / "CSI1_train_9999.tar"
    bold = np.zeros((5, 16), np.float32)
    png = (b"png", {"label": "barn", "img_name": "barn3.jpg"})
    content, message = {
        "poison": (pickle.dumps(Poison(tmp_path / "ran")), "1 of 22 trials are left out.*posix.system"),
        "nan": (pickle.dumps(bold * np.nan), "1 of 22 trials are left out.*finite"),
        "short": (pickle.dumps(bold[:3]), "1 of 22 trials are left out: fewer than 5 volumes"),
        "missing": (None, r"1 trials or tars are left out.*without bold\.pyd"),
    }[kind]
    members = {"bold.pyd": content, "t_r.pyd": pickle.dumps(np.float32(2)), "stimuli.png": png[0]}
    with webdataset.TarWriter(str(tar), encoder=lambda x: x) as stream:
        members["config.json"] = json.dumps(png[1]).encode()
        stream.write({"__key__": "bad"} | {name: value for name, value in members.items() if value is not None})
    with pytest.warns(UserWarning, match=message):
        subject = Bold5000(folder / "tars", ["CSI1"], validation_pictures=2).subject("CSI1")
    assert len(subject.windows) == 21
    assert not (tmp_path / "ran").exists()


def test_a_truncated_tar_gives_its_whole_trials(folder: Path) -> None:
    tar = sorted((folder / "tars" / "CSI1" / "train").glob("*.tar"))[0]
    whole = tar.read_bytes()
    tar.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match=r"CSI1: .* left out: .*CSI1_train_0000\.tar"):
        cohort = Bold5000(folder / "tars", ["CSI1"], validation_pictures=1)
    assert 18 <= len(cohort.subject("CSI1").windows) < 21


def test_what_is_not_there_is_named(folder: Path) -> None:
    tars, own = folder / "tars", folder / "own"
    with pytest.raises(ValueError, match="unknown subject 'CSI9'; did you mean"):
        Bold5000(tars, ["CSI9"])
    with pytest.raises(ValueError, match="validation_pictures: expected 0 to 8, as there are 9 training pictures"):
        Bold5000(tars, validation_pictures=9)
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        Bold5000(folder / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no subject"):
        Bold5000(own)
    with pytest.raises(ValueError, match="unknown region 'PPA'; did you mean"):
        Bold5000Betas(own, regions=["PPA"])
    with pytest.raises(FileNotFoundError, match=r"Stimuli_Presentation_Lists: no such folder"):
        Bold5000Betas(tars)
    file = next((own / "BOLD5000_GLMsingle_ROI_betas/py").glob("CSI1*RHPPA.npy"))
    np.save(file, np.load(file)[:-1])
    with pytest.raises(ValueError, match=r"RHPPA\.npy: 20 trials; expected 21, as the lists"):
        Bold5000Betas(own, validation_pictures=2).subject("CSI1")
    (own / "BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli/Scene/barn3.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 pictures of the lists are not there: \['barn3'\]"):
        Bold5000Betas(own, validation_pictures=2)
    shutil.rmtree(tars / "CSI2" / "test")
    with pytest.raises(FileNotFoundError, match="test: holds no tars"):
        Bold5000(tars)
