"""Embeddings of stimuli, computed once and kept on disk."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import torch
from PIL import Image
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from braindecode_x.clip.encoder import ClipEncoder
from braindecode_x.clip.spaces import EmbeddingSpace
from braindecode_x.clip.tokens import TokenEncoder
from braindecode_x.files import atomic_path
from braindecode_x.resources import cache_folder
from braindecode_x.stimuli import Stimuli

logger = logging.getLogger(__name__)
BATCH, SHARD = 64, 256


class PictureEncoder(Protocol):
    """What turns pictures into embeddings of one space."""

    @property
    def space(self) -> EmbeddingSpace:
        """Of its embeddings."""

    def encode_images(self, images: list[Image.Image]) -> torch.Tensor:
        """Embed pictures: (n, *shape)."""


class TargetCache:
    """Embeddings of one space in a folder of small files, found by the hash of the stimulus's content.

    Every file is written under a temporary name and renamed, so a process that dies loses at most one file's worth. The
    folder is the space's key and the rows are found by content: a changed picture, caption or model is computed anew.
    Pooled embeddings are kept in float32, tokens (0.4 MB a picture for ViT-L/14) in float16.

    Parameters
    ----------
    space : EmbeddingSpace
    what : {"image", "text"}
    root : str or Path, optional
        Default: ``$BRAINDECODE_X_CACHE`` or ``~/.cache/braindecode_x``.
    """

    def __init__(self, space: EmbeddingSpace, what: Literal["image", "text"], root: str | Path | None = None):
        self.space = space
        self.folder = Path(root or cache_folder()) / "targets" / f"{space.key}-{what}"
        self._rows: dict[str, tuple[Path, int]] = {}
        for shard in sorted(self.folder.glob("[!.]*.safetensors")):  # a dot begins a file that is being written
            try:
                with safe_open(shard, "pt") as file:
                    keys = json.loads(file.metadata()["keys"])
            except SafetensorError as error:
                logger.warning("%s: damaged cache file removed, its embeddings are computed anew (%s)", shard, error)
                shard.unlink(missing_ok=True)
                continue
            except (OSError, KeyError, TypeError, ValueError) as error:
                logger.warning("%s: unreadable cache file left out (%s)", shard, error)
                continue
            self._rows.update((key, (shard, row)) for row, key in enumerate(keys))

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Return the keys that are not in the cache, each once, in order."""
        return list(dict.fromkeys(key for key in keys if key not in self._rows))

    def add(self, keys: Sequence[str], embeddings: torch.Tensor) -> None:
        """Write embeddings (n, ...) under their keys."""
        kept = embeddings.half() if self.space.kind == "tokens" else embeddings
        shard = self.folder / f"{uuid.uuid4().hex}.safetensors"
        with atomic_path(shard) as temporary:
            save_file({"embeddings": kept.contiguous()}, temporary, {"keys": json.dumps(list(keys))})
        self._rows.update((key, (shard, row)) for row, key in enumerate(keys))

    def targets(self, keys: Sequence[str]) -> MappedTargets:
        """Open the embeddings of these keys, in order.

        Raises
        ------
        KeyError
            A key is not in the cache.
        """
        absent = self.missing(keys)
        if absent:
            raise KeyError(f"{self.folder}: {len(absent)} of {len(keys)} embeddings are not in the cache")
        return MappedTargets([self._rows[key] for key in keys])


class MappedTargets:
    """Embeddings read from memory-mapped files when they are asked for.

    Parameters
    ----------
    rows : list of (Path, int)
        File and row of every embedding.
    """

    def __init__(self, rows: list[tuple[Path, int]]):
        self.rows = rows
        self._open: dict[Path, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> torch.Tensor:
        shard, row = self.rows[index]
        if shard not in self._open:
            with safe_open(shard, "pt") as file:
                self._open[shard] = file.get_tensor("embeddings")
        return self._open[shard][row]

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (self[i] for i in range(len(self)))

    def tensor(self) -> torch.Tensor:
        """Read all into memory: (n, ...)."""
        return torch.stack(list(self))


def image_targets(
    stimuli: Stimuli, encoder: PictureEncoder, root: str | Path | None = None, progress: bool = True
) -> MappedTargets:
    """Embed the pictures of a set, from the cache where it has them.

    Parameters
    ----------
    stimuli : Stimuli
    encoder : ClipEncoder, TokenEncoder or another with their ``space`` and ``encode_images``
    root : str or Path, optional
        Cache folder.
    progress : bool
        Show a bar.

    Returns
    -------
    MappedTargets
        One embedding a stimulus, in the set's order.
    """
    cache = TargetCache(encoder.space, "image", root)
    return _fill(cache, stimuli, lambda ids: encoder.encode_images([stimuli.image(i) for i in ids]), progress)


def text_targets(
    stimuli: Stimuli, encoder: ClipEncoder | TokenEncoder, root: str | Path | None = None, progress: bool = True
) -> MappedTargets:
    """Embed the captions of a set, from the cache where it has them; arguments as for `image_targets`.

    Raises
    ------
    ValueError
        A stimulus has no caption.
    """
    without = [i for i, caption in zip(stimuli.ids, stimuli.captions, strict=True) if not caption]
    if without:
        raise ValueError(
            f"stimulus set {stimuli.name!r}: {len(without)} stimuli have no caption, for example {without[:3]}"
        )
    cache = TargetCache(encoder.text_space, "text", root)
    captions = stimuli.table["caption"]
    return _fill(cache, stimuli, lambda ids: encoder.encode_texts([captions[i] for i in ids]), progress)


def _fill(
    cache: TargetCache, stimuli: Stimuli, encode: Callable[[list[str]], torch.Tensor], progress: bool
) -> MappedTargets:
    keys = [stimuli.content_key(i) for i in stimuli.ids]
    stimulus_of = dict(zip(keys, stimuli.ids, strict=True))
    missing = cache.missing(keys)
    starts = range(0, len(missing), SHARD)
    label = f"embed {len(missing)} of {stimuli.name}"
    for start in track(starts, label, disable=not progress or not missing):
        shard = missing[start : start + SHARD]
        ids = [stimulus_of[key] for key in shard]
        parts = [encode(ids[i : i + BATCH]) for i in range(0, len(ids), BATCH)]
        cache.add(shard, torch.cat(parts))
    return cache.targets(keys)
