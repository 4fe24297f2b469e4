"""The pictures of THINGS (Hebart et al. 2019, PLOS ONE 14:e0223792) in the folders of its EEG and MEG data sets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from braindecode_x.stimuli import FolderStimuli


def things_pictures(folder: str | Path) -> pd.DataFrame:
    """List the pictures of a folder with one subfolder a concept.

    Parameters
    ----------
    folder : str or Path
        Subfolders are named by concept, with or without a number: ``00001_aardvark/aardvark_01b.jpg``.

    Returns
    -------
    pandas.DataFrame
        Indexed by the picture's name (``aardvark_01b``), in the order of folders and files: ``file``; ``concept``, the
        subfolder without its number; ``caption``, the concept in words, without the number of its sense.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    ValueError
        A picture does not lie in a subfolder, or two have one name.
    """
    found = FolderStimuli(folder).table
    paths = [Path(path) for path in found.index]
    astray = [path for path in paths if len(path.parts) != 2]
    if astray:
        raise ValueError(f"{folder}: expected pictures as <concept>/<picture>, found {astray[0]}")
    table = pd.DataFrame(
        {
            "file": found["file"].to_numpy(),
            "concept": [re.sub(r"^\d+_", "", path.parent.name) for path in paths],
        },
        index=pd.Index([path.name for path in paths], name="id"),
    )
    repeated = table.index[table.index.duplicated()]
    if len(repeated):
        files = table.loc[[repeated[0]], "file"].tolist()
        raise ValueError(f"{folder}: picture {repeated[0]!r} is not unique: {' and '.join(files)}")
    table["caption"] = [concept_in_words(concept) for concept in table["concept"]]
    return table


def concept_in_words(concept: str) -> str:
    """Make words of a concept's name: ``"bat1"`` is ``"bat"``, ``"aircraft_carrier"`` is ``"aircraft carrier"``."""
    return re.sub(r"\d+$", "", concept).replace("_", " ")


def counts(subjects: Iterable[str], pictures: pd.DataFrame) -> dict[str, int]:
    """Count what the cards of THINGS' data sets count.

    Parameters
    ----------
    subjects : iterable of str
    pictures : pandas.DataFrame
        Those that were shown, with ``concept`` and ``split``; validation counts to training.
    """
    found = {"subjects": len(list(subjects))}
    for part, chosen in (("training", pictures["split"] != "test"), ("test", pictures["split"] == "test")):
        found[f"{part} concepts"] = pictures.loc[chosen, "concept"].nunique()
        found[f"{part} pictures"] = int(chosen.sum())
    return found


def draw_concepts(concepts: Iterable[str], count: int, seed: int) -> set[str]:
    """Draw concepts for validation.

    Parameters
    ----------
    concepts : iterable of str
        Those of training; repeats count once.
    count : int
        How many to draw; some must be left.
    seed : int

    Raises
    ------
    ValueError
        There are too few concepts.
    """
    names = sorted(set(concepts))
    if not 0 <= count < len(names):
        raise ValueError(
            f"validation_concepts: expected 0 to {len(names) - 1}, as there are {len(names)} training concepts; "
            f"found {count}"
        )
    return set(np.random.default_rng(seed).permutation(names)[:count].tolist())
