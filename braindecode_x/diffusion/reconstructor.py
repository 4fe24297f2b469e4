"""The one interface from conditions to pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.diffusion.conditions import Conditions
from braindecode_x.files import unknown_name
from braindecode_x.resources import asset

EMBEDDED = "embedded"


class Reconstructor(ABC):
    """Turns conditions into pictures.

    Attributes
    ----------
    space : EmbeddingSpace
        The embeddings it understands.
    image_size : int
        Edge of its pictures, in pixels.
    fingerprint : str
        Hash of its weights: another decoder, another fingerprint.
    """

    space: EmbeddingSpace
    image_size: int
    fingerprint: str

    @staticmethod
    def from_pretrained(name_or_folder: str | Path, device: str | torch.device = "cpu") -> Reconstructor:
        """Load a reconstructor.

        Parameters
        ----------
        name_or_folder : str or Path
            ``"embedded"``, or a decoder folder in the same layout (``decoder.json`` and the diffusers subfolders
            ``unet``, ``vae``, ``projector``, ``scheduler``).
        device : str or torch.device
            Where it runs.

        Raises
        ------
        ValueError
            Unknown name; the nearest are offered.
        FileNotFoundError
            The folder, or a part of it, is missing.
        """
        from braindecode_x.diffusion.latent import LatentReconstructor  # the module imports this one

        if str(name_or_folder) == EMBEDDED:
            return LatentReconstructor.from_folder(asset("decoder"), device)
        folder = Path(name_or_folder)
        if folder.is_dir():
            return LatentReconstructor.from_folder(folder, device)
        if "/" in str(name_or_folder):
            raise FileNotFoundError(f"{folder}: no such decoder folder")
        raise unknown_name("reconstructor", str(name_or_folder), [EMBEDDED])

    def __call__(
        self, conditions: Conditions, ids: Sequence[str], seed: int = 0, n_samples: int = 1, batch_size: int = 32
    ) -> torch.Tensor:
        """Reconstruct pictures.

        Noise is keyed by (seed, id, sample), so a picture does not depend on what shares its batch, to float tolerance.

        Parameters
        ----------
        conditions : Conditions
            n of them, in this reconstructor's space.
        ids : sequence of str
            n distinct names.
        seed : int
        n_samples : int
            Pictures of each.
        batch_size : int
            Pictures made at once.

        Returns
        -------
        torch.Tensor
            (n, n_samples, 3, image_size, image_size) in [0, 1].

        Raises
        ------
        ValueError
            Another embedding space, a wrong number of ids, or ids that repeat.
        """
        self.space.require(conditions.space, type(self).__name__)
        if len(ids) != len(conditions):
            raise ValueError(f"ids: expected {len(conditions)}, one a condition, found {len(ids)}")
        if len(set(ids)) != len(ids):
            raise ValueError("ids: must be distinct, since they key the noise")
        if n_samples < 1:
            raise ValueError(f"n_samples: expected at least 1, found {n_samples}")
        pictures = [
            torch.cat(
                [
                    self.sample(conditions[start : start + batch_size], ids[start : start + batch_size], seed, sample)
                    for start in range(0, len(ids), batch_size)
                ]
            )
            for sample in range(n_samples)
        ]
        return torch.stack(pictures, dim=1)

    @abstractmethod
    def sample(self, conditions: Conditions, ids: Sequence[str], seed: int, sample: int) -> torch.Tensor:
        """Make one batch: the picture numbered ``sample`` of every condition.

        Returns
        -------
        torch.Tensor
            (n, 3, image_size, image_size) in [0, 1].
        """
