"""BOLD5000: four people who saw 4,916 photographs of scenes and objects, at 3 T.

Format
    As distributed with the whole-brain paper (arXiv 2411.07121): ``CSI1/train/*.tar``, ``CSI1/test/*.tar`` to CSI4.
    Members of one trial stand together: ``<key>.bold.pyd`` (volumes, 1,024 parcels of DiFuMo), ``<key>.t_r.pyd``
    (seconds), ``<key>.voxel.pyd`` (voxels of visual cortex), ``<key>.stimuli.png`` and ``<key>.config.json`` with
    ``label`` and ``img_name``. ``.pyd`` are pickles, read as `braindecode_x.datasets.restricted_pickle` says.
    As distributed by its authors (release 2.0):
    ``BOLD5000_GLMsingle_ROI_betas/py/CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_LHPPA.npy`` (trials, voxels) and
    so on for ten regions; ``BOLD5000_Stimuli/Stimuli_Presentation_Lists/CSI1/CSI1_sess01/*run01.txt``, a picture a
    line in the order shown, some with ``rep_`` before the name;
    ``BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli/{COCO,ImageNet,Scene}/`` with the pictures, and
    ``BOLD5000_Stimuli/Scene_Stimuli/repeated_stimuli_113_list.txt``.
Splits
    The 113 repeated pictures are for test. Validation pictures are drawn from those of training (the published code of
    the whole-brain paper validates on its test trials). A picture has one split, whoever saw it.
Citation
    Chang, N., Pyles, J. A., Marcus, A., Gupta, A., Tarr, M. J., & Aminoff, E. M. (2019). BOLD5000, a public fMRI
    dataset while viewing 5000 visual images. Scientific Data, 6, 49.
Licence
    See ``data_cards/bold5000.md``.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from braindecode_x.datasets.beta_files import read_betas
from braindecode_x.datasets.betas import BetasCohort, SubjectBetas
from braindecode_x.datasets.bold5000_tars import TarStimuli, TrialTars, picture_id
from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.runs import ParcelRun, RunsCohort
from braindecode_x.datasets.things_pictures import draw_concepts
from braindecode_x.files import read_json, unknown_name
from braindecode_x.stimuli import FileStimuli, FolderStimuli, Stimuli

NAME = "bold5000"
BETAS, STIMULI = "BOLD5000_GLMsingle_ROI_betas/py", "BOLD5000_Stimuli"
PATTERN = "{subject}_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_{region}.npy"
REGIONS = tuple(f"{side}{area}" for area in ("EarlyVis", "LOC", "OPA", "PPA", "RSC") for side in ("LH", "RH"))


class Bold5000(RunsCohort):
    """Whole-brain trials of BOLD5000, as distributed with the whole-brain paper.

    A trial is read as a run of its own, of which the window is cut: so trials serve for pre-training as well.

    Parameters
    ----------
    folder : str or Path
        With ``CSI1/`` and so on.
    subjects : sequence of str, optional
        For example ``["CSI1"]``; default all that are there.
    parcels : str or Path, optional
        JSON of the parcels, see `Parcels.to_dict`, with their names and networks. Default: numbers, no networks.
    n_volumes : int
        Length of a window. Shorter trials are left out, with a warning that counts them.
    delay : float
        Seconds from the onset of a picture to the first volume in the tars, which do not say.
    validation_pictures : int
        How many of the training pictures are held out for validation.
    seed : int
        Draws them.

    Raises
    ------
    FileNotFoundError
        The folder, or a subject's, does not exist.
    ValueError
        Unknown subjects, or no trial that can be read. Damaged or poisoned trials and shards are left out, with a
        warning that counts them.

    Examples
    --------
    >>> Bold5000("bold5000").subject("CSI1").windows.shape  # doctest: +SKIP
    (5254, 5, 1024)
    """

    tr = 2.0

    def __init__(
        self,
        folder: str | Path,
        subjects: Sequence[str] | None = None,
        parcels: str | Path | None = None,
        n_volumes: int = 5,
        delay: float = 0.0,
        validation_pictures: int = 200,
        seed: int = 0,
    ):
        self._tars = TrialTars(folder, subjects)
        self.subjects, self.n_volumes, self.delay = self._tars.subjects, n_volumes, delay
        self.stimuli: Stimuli = _tar_stimuli(self._tars, validation_pictures, seed)
        first = self._first()
        self.parcels = Parcels.from_dict(read_json(parcels)) if parcels is not None else _numbered(first.shape[1])

    def runs(self, subject: str) -> Sequence[ParcelRun]:
        """Read a subject's trials as runs of one event each."""
        trials = self._tars.of(subject)
        splits = self.stimuli.table["split"]
        runs, short = [], []
        for trial, (bold, tr) in self._tars.read(trials, ("bold", "t_r")):
            if len(bold) < self.n_volumes:
                short.append(trial.key)
                continue
            event = {"onset": -self.delay, "duration": 1.0, "stimulus": trial.stimulus, "split": splits[trial.stimulus]}
            runs.append(ParcelRun(trial.key, bold.astype(np.float32), float(tr.item()), pd.DataFrame([event])))
        if short:
            warnings.warn(
                f"{subject}: {len(short)} of {len(trials)} trials are left out: fewer than {self.n_volumes} volumes, "
                f"the first is {short[0]}",
                stacklevel=2,
            )
        if not runs:
            raise ValueError(f"{subject}: none of {len(trials)} trials has {self.n_volumes} volumes that can be read")
        return runs

    def _first(self) -> np.ndarray:
        for _, (bold,) in self._tars.read(self._tars.of(self.subjects[0]), ("bold",)):
            return bold
        raise ValueError(f"{self.subjects[0]}: none of its trials can be read")


class Bold5000Voxels(BetasCohort):
    """The voxels of visual cortex that the whole-brain paper's tars hold beside the parcels.

    Parameters
    ----------
    folder, subjects, validation_pictures, seed
        As `Bold5000` takes them.

    Raises
    ------
    FileNotFoundError, ValueError
        As `Bold5000`.
    """

    def __init__(
        self,
        folder: str | Path,
        subjects: Sequence[str] | None = None,
        validation_pictures: int = 200,
        seed: int = 0,
    ):
        self._tars = TrialTars(folder, subjects)
        self.subjects = self._tars.subjects
        self.stimuli: Stimuli = _tar_stimuli(self._tars, validation_pictures, seed)

    def subject(self, name: str) -> SubjectBetas:
        """Read one subject's voxels; every trial is one."""
        found = [
            (trial.stimulus, voxels.ravel()) for trial, (voxels,) in self._tars.read(self._tars.of(name), ("voxel",))
        ]
        if not found:
            raise ValueError(f"{name}: none of its trials has voxels that can be read")
        sizes = sorted({len(voxels) for _, voxels in found})
        if len(sizes) > 1:
            raise ValueError(f"{name}: trials of {sizes[0]} and of {sizes[-1]} voxels; expected one number")
        names = [stimulus for stimulus, _ in found]
        trials = pd.DataFrame({"stimulus": names, "split": self.stimuli.table["split"][names].to_numpy()})
        return SubjectBetas(name, np.stack([voxels for _, voxels in found]).astype(np.float32), trials, None)


class Bold5000Betas(BetasCohort):
    """BOLD5000's own betas (release 2.0, GLMsingle) of ten visual regions.

    Parameters
    ----------
    folder : str or Path
        With ``BOLD5000_GLMsingle_ROI_betas/`` and ``BOLD5000_Stimuli/``.
    subjects : sequence of str, optional
        For example ``["CSI1"]``; default all that are there.
    regions : sequence of str
        Of the ten, for example ``["LHPPA", "RHPPA"]``.
    validation_pictures : int
        How many of the training pictures are held out for validation.
    seed : int
        Draws them.

    Raises
    ------
    FileNotFoundError
        A folder or a file does not exist.
    ValueError
        Unknown subjects or regions, lists that name pictures which are not there, or betas that are not as many as the
        pictures that were shown.
    """

    def __init__(
        self,
        folder: str | Path,
        subjects: Sequence[str] | None = None,
        regions: Sequence[str] = REGIONS,
        validation_pictures: int = 200,
        seed: int = 0,
    ):
        self.folder = Path(folder)
        for region in regions:
            if region not in REGIONS:
                raise unknown_name("region", region, REGIONS)
        self.regions = tuple(regions)
        lists = self.folder / STIMULI / "Stimuli_Presentation_Lists"
        if not lists.is_dir():
            raise FileNotFoundError(f"{lists}: no such folder of lists of pictures")
        found = sorted(path.name for path in lists.glob("CSI*") if path.is_dir())
        for name in subjects or ():
            if name not in found:
                raise unknown_name("subject", name, found)
        self.subjects = tuple(subjects or found)
        self._shown = {name: _shown(lists / name) for name in self.subjects}
        self.stimuli: Stimuli = self._pictures(validation_pictures, seed)

    def subject(self, name: str) -> SubjectBetas:
        """Read one subject's betas; every presentation is a trial, in the order shown."""
        if name not in self.subjects:
            raise unknown_name("subject", name, self.subjects)
        shown, parts, labels = self._shown[name], [], []
        for region in self.regions:
            file = self.folder / BETAS / PATTERN.format(subject=name, region=region)
            betas = read_betas([file], None)[0]
            if len(betas) != len(shown):
                raise ValueError(f"{file}: {len(betas)} trials; expected {len(shown)}, as the lists of pictures say")
            parts.append(np.asarray(betas, np.float32))
            labels += [region] * betas.shape[1]
        trials = pd.DataFrame({"stimulus": shown, "split": self.stimuli.table["split"][shown].to_numpy()})
        return SubjectBetas(name, np.concatenate(parts, axis=1), trials, np.array(labels))

    def _pictures(self, validation: int, seed: int) -> FileStimuli:
        scenes = self.folder / STIMULI / "Scene_Stimuli"
        table = FolderStimuli(scenes / "Presented_Stimuli").table
        table["id"] = [picture_id(Path(file).name) for file in table["file"]]
        table = table.drop_duplicates("id").set_index("id")
        shown = list(dict.fromkeys(picture for pictures in self._shown.values() for picture in pictures))
        absent = [picture for picture in shown if picture not in table.index]
        if absent:
            raise ValueError(
                f"{scenes / 'Presented_Stimuli'}: {len(absent)} pictures of the lists are not there: {absent[:5]}"
            )
        listed = scenes / "repeated_stimuli_113_list.txt"
        if not listed.is_file():
            raise FileNotFoundError(f"{listed}: no such list; it names the pictures for test")
        repeated = {picture_id(line) for line in listed.read_text(encoding="utf-8").split("\n")} - {""}
        table = table.loc[shown].assign(source=[Path(file).parent.name for file in table.loc[shown, "file"]])
        return FileStimuli(NAME, _with_splits(table, set(shown) & repeated, validation, seed))


def counts(subjects: Sequence[str], pictures: pd.DataFrame) -> dict[str, int]:
    """Count what the card counts: subjects, and pictures for training (validation among them) and test."""
    test = int((pictures["split"] == "test").sum())
    return {"subjects": len(subjects), "training pictures": len(pictures) - test, "test pictures": test}


def _tar_stimuli(tars: TrialTars, validation: int, seed: int) -> TarStimuli:
    table = tars.pictures()
    test = set(table.index[table.pop("test")])
    return TarStimuli(NAME, _with_splits(table, test, validation, seed))


def _with_splits(table: pd.DataFrame, test: set[str], validation: int, seed: int) -> pd.DataFrame:
    """Put the column ``split`` to pictures."""
    training = [picture for picture in table.index if picture not in test]
    try:
        held_out = draw_concepts(training, validation, seed)
    except ValueError:
        raise ValueError(
            f"validation_pictures: expected 0 to {len(training) - 1}, as there are {len(training)} training pictures; "
            f"found {validation}"
        ) from None
    drawn = ["test" if picture in test else "validation" if picture in held_out else "train" for picture in table.index]
    return table.assign(split=drawn)


def _shown(folder: Path) -> list[str]:
    """Read the names of the pictures that a subject saw, in order."""
    files = sorted(folder.glob("*/*.txt"))
    if not files:
        raise FileNotFoundError(f"{folder}: holds no lists of pictures; expected CSI1_sess01/..._run01.txt and so on")
    lines = [line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [picture_id(line) for line in lines if line]


def _numbered(count: int) -> Parcels:
    return Parcels(tuple(f"difumo-{number + 1:04d}" for number in range(count)), atlas=f"difumo-{count}")
