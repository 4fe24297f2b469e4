"""The embedded stimulus set: 1,376 object concepts, each in three renderings.

Format
    ``assets/objects/objects.zip``: ``0000.webp`` and so on, on white, and ``index.csv`` with a row a picture in the
    same order: id, concept, rendering, split, family, category, subcategory, caption and codepoints. Renderings:
    ``fluent3d`` (128 pixels), ``noto`` and ``twemoji`` (64 pixels).
Splits
    By concept and family: 1,076 train, 100 validation, 200 test. The ``fluent3d`` pictures of validation and test
    concepts are new to every trained part.
Licences
    Fluent 3D (MIT, Microsoft), Noto (Apache-2.0, Google), Twemoji (CC-BY 4.0, Twitter and contributors); see
    ``assets/objects/LICENSES.md`` and ``data_cards/objects.md``.
"""

from __future__ import annotations

import io
import zipfile

import pandas as pd

from braindecode_x.resources import asset
from braindecode_x.stimuli.base import Stimuli

RENDERINGS = ("fluent3d", "noto", "twemoji")


class ObjectStimuli(Stimuli):
    """The 4,128 embedded object pictures.

    Examples
    --------
    >>> seen = ObjectStimuli().subset(split="test", rendering="fluent3d")
    >>> len(seen)
    200
    """

    def __init__(self) -> None:
        # In memory: data loaders' forked workers would share, and disturb, the position in an open file.
        with zipfile.ZipFile(asset("objects", "objects.zip")) as pack:
            self._files = {name: pack.read(name) for name in pack.namelist()}
        table = pd.read_csv(io.BytesIO(self._files["index.csv"]), index_col="id", dtype=str, keep_default_na=False)
        super().__init__("objects", table)
        self._number = {stimulus: number for number, stimulus in enumerate(table.index)}

    def read(self, stimulus: str) -> bytes:
        """Return the encoded picture file of one stimulus."""
        return self._files[f"{self._number[stimulus]:04}.webp"]

    def trainable(self) -> ObjectStimuli:
        """Select what trained parts may see: all but the 3D renderings of validation and test concepts."""
        held_out = (self.table["split"] != "train") & (self.table["rendering"] == "fluent3d")
        return self.subset(ids=self.table.index[~held_out].tolist())
