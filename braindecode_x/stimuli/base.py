"""What was seen: pictures with ids, captions and splits, the same for every source."""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps, UnidentifiedImageError


class Stimuli(ABC):
    """A set of pictures.

    Attributes
    ----------
    name : str
        Name of the set, for tables and caches.
    table : pandas.DataFrame
        One row per picture, indexed by its unique ``id``; the column ``caption`` holds text or an empty string. Sources
        add columns (``split``, ``concept``, ...).
    """

    name: str
    table: pd.DataFrame

    def __init__(self, name: str, table: pd.DataFrame):
        repeated = table.index[table.index.duplicated()].unique().tolist()
        if repeated:
            raise ValueError(f"stimulus set {name!r}: ids must be unique; found several times: {repeated[:10]}")
        self.name = name
        self.table = table

    @abstractmethod
    def read(self, stimulus: str) -> bytes:
        """Return the encoded picture file of one stimulus."""

    def where(self, stimulus: str) -> str:
        """Say where a stimulus lies, for error messages."""
        return f"{self.name}: {stimulus}"

    def __len__(self) -> int:
        return len(self.table)

    @property
    def ids(self) -> list[str]:
        """The ids, in order."""
        return self.table.index.tolist()

    @property
    def captions(self) -> list[str]:
        """The captions, in order; empty strings where there is none."""
        return self.table["caption"].tolist()

    def subset(self, ids: Sequence[str] | None = None, **columns: str | Sequence[str]) -> Self:
        """Select stimuli by id or by column values, for example ``subset(split="test", rendering="fluent3d")``.

        Parameters
        ----------
        ids : sequence of str, optional
            Keep these, in this order.
        **columns : str or sequence of str
            Keep rows whose column holds (one of) the value(s).

        Returns
        -------
        Stimuli
            A set of the same kind on the same files.

        Raises
        ------
        KeyError
            An id or a column does not exist.
        """
        table = self.table
        if ids is not None:
            unknown = [i for i in ids if i not in table.index]
            if unknown:
                raise KeyError(f"stimulus set {self.name!r} has no {unknown[:5]} ({len(unknown)} unknown ids)")
            table = table.loc[list(ids)]
        for column, values in columns.items():
            if column not in table:
                raise KeyError(f"stimulus set {self.name!r} has no column {column!r}; it has {list(table)}")
            table = table[table[column].isin([values] if isinstance(values, str) else list(values))]
        chosen = object.__new__(type(self))
        chosen.__dict__.update(self.__dict__, table=table)
        return chosen

    def image(self, stimulus: str) -> Image.Image:
        """Decode one picture as RGB, transparency composed on white.

        Raises
        ------
        ValueError
            The file is not a picture, or is damaged.
        """
        try:
            image = Image.open(io.BytesIO(self.read(stimulus)))
            image.load()
            return on_white(image)
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"{self.where(stimulus)}: not a readable picture ({error})") from error

    def pixels(self, size: int, ids: Sequence[str] | None = None) -> torch.Tensor:
        """Decode pictures to one size.

        Parameters
        ----------
        size : int
            Edge in pixels; the centre square is taken.
        ids : sequence of str, optional
            Which, default all.

        Returns
        -------
        torch.Tensor
            (n, 3, size, size) of uint8.
        """
        return torch.stack([to_pixels(self.image(i), size) for i in (self.ids if ids is None else ids)])

    def content_key(self, stimulus: str) -> str:
        """Hash the picture file and its caption, so that a cache notices a change of either."""
        digest = hashlib.sha256(self.read(stimulus))
        digest.update(b"\0" + str(self.table.at[stimulus, "caption"]).encode())
        return digest.hexdigest()[:32]


def on_white(image: Image.Image) -> Image.Image:
    """Convert a picture of any mode to RGB, turned as its camera says, transparency composed on white.

    Raises
    ------
    ValueError
        The values have no known range (32-bit).
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # convert() would clip instead of scale
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"32 bits per channel (mode {image.mode}); expected 8 or 16 bits")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def to_pixels(image: Image.Image, size: int) -> torch.Tensor:
    """Cut the centre square and resize it (bicubic, antialiased).

    Parameters
    ----------
    image : PIL.Image.Image
        RGB.
    size : int
        Edge in pixels.

    Returns
    -------
    torch.Tensor
        (3, size, size) of uint8.
    """
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    square = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + edge, top + edge))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def to_image(pixels: torch.Tensor) -> Image.Image:
    """Convert a (3, height, width) tensor, uint8 or float in [0, 1], to a picture."""
    if pixels.is_floating_point():
        pixels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().contiguous().numpy())
