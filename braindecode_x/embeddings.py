"""The file between stages: embeddings with the index of what they are of."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.diffusion.conditions import Conditions
from braindecode_x.files import atomic_path

METADATA = "braindecode_x embeddings"


@dataclass
class Embeddings:
    """Embeddings of pictures, or decoded from brains, in one space.

    Attributes
    ----------
    index : pandas.DataFrame
        One row an embedding. ``id`` (unique, also names output files) and ``stimulus`` are required; sources add
        columns (``subject``, ``split``, ``run``, ``label``, ...).
    space : EmbeddingSpace
    image : torch.Tensor
        (n, ...) float32.
    text : torch.Tensor, optional
        (n, ...) float32.
    text_space : EmbeddingSpace, optional
        Of ``text``, where it is another than ``space``: tokens.
    """

    index: pd.DataFrame
    space: EmbeddingSpace
    image: torch.Tensor
    text: torch.Tensor | None = None
    text_space: EmbeddingSpace | None = None

    def __post_init__(self) -> None:
        missing = {"id", "stimulus"} - set(self.index)
        if missing:
            raise ValueError(f"index of embeddings: missing the columns {sorted(missing)}, found {list(self.index)}")
        if self.index["id"].duplicated().any():
            raise ValueError(f"index of embeddings: ids repeat, for example {self.index['id'].mode()[0]!r}")
        if len(self.index) != len(self.image):
            raise ValueError(f"index of embeddings: {len(self.index)} rows for {len(self.image)} embeddings")
        self.conditions()  # checks shapes and values
        if self.text is not None and self.text_space is not None:
            if len(self.text) != len(self.image):
                raise ValueError(f"text of embeddings: {len(self.text)} rows for {len(self.image)} embeddings")
            Conditions(self.text_space, self.text)

    @property
    def ids(self) -> list[str]:
        """The ids, in order."""
        return self.index["id"].tolist()

    def __getitem__(self, rows: list[int]) -> Embeddings:
        """Take some of them."""
        index = self.index.iloc[rows].reset_index(drop=True)
        return replace(self, index=index, image=self.image[rows], text=None if self.text is None else self.text[rows])

    def conditions(self) -> Conditions:
        """Return them as conditions of a reconstructor, which take text of the image's space only."""
        return Conditions(self.space, self.image, self.text if self.text_space in (None, self.space) else None)

    def save(self, target: str | Path) -> None:
        """Write one safetensors file, atomically; index and space are in its metadata."""
        tensors = {"image": self.image.float().contiguous()}
        if self.text is not None:
            tensors["text"] = self.text.float().contiguous()
        # One key: safetensors writes several in any order, and equal embeddings are to be equal files.
        about = {"format": 1, "space": self.space.to_dict(), "index": self.index.to_csv(index=False)}
        if self.text_space is not None:
            about["text_space"] = self.text_space.to_dict()
        with atomic_path(target) as temporary:
            save_file(tensors, temporary, {METADATA: json.dumps(about)})

    @classmethod
    def load(cls, source: str | Path) -> Embeddings:
        """Read such a file.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            It is something else, or damaged.
        """
        if not Path(source).is_file():
            raise FileNotFoundError(f"{source}: no such file of embeddings")
        try:
            with safe_open(source, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{source}: not a readable safetensors file ({error})") from error
        if METADATA not in metadata or "image" not in tensors:
            raise ValueError(f"{source}: not a file of embeddings, expected one that `braindecode-x embed` wrote")
        about = json.loads(metadata[METADATA])
        index = read_index(io.StringIO(about["index"]))
        space = EmbeddingSpace.from_dict(about["space"])
        text_space = EmbeddingSpace.from_dict(about["text_space"]) if "text_space" in about else None
        return cls(index, space, tensors["image"], tensors.get("text"), text_space)


def read_index(source: str | Path | TextIO) -> pd.DataFrame:
    """Read a CSV index; names stay text, also those that look like numbers or missing values ("007", "NA")."""
    names = dict.fromkeys(("id", "stimulus", "file", "subject"), str)
    return pd.read_csv(source, dtype=names, keep_default_na=False, na_values=[""])
