"""A trained decoder as a portable folder: weights, subjects, preprocessing statistics, embedding space."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.files import atomic_path, file_hash, read_json, unknown_name, write_json
from braindecode_x.models.linear import LinearDecoder
from braindecode_x.models.mindbridge import MindBridge

MODELS: dict[str, Any] = {"MindBridge": MindBridge, "LinearDecoder": LinearDecoder}
WEIGHTS, STATISTICS, CONFIG = "model.safetensors", "statistics.safetensors", "config.json"


class BrainDecoder:
    """A network with what it takes to use it on new recordings.

    Parameters
    ----------
    model : MindBridge or LinearDecoder
    space : EmbeddingSpace
        What it predicts.
    statistics : dict of str to dict
        By subject: ``mean`` and ``std`` (voxels,), by which recordings are standardised.
    text_space : EmbeddingSpace, optional
        Of the texts it predicts, where it is another than the pictures': tokens.
    """

    def __init__(
        self,
        model: Any,
        space: EmbeddingSpace,
        statistics: dict[str, dict[str, torch.Tensor]],
        text_space: EmbeddingSpace | None = None,
    ):
        self.model, self.space, self.statistics = model.eval(), space, statistics
        self.text_space = text_space or space

    @property
    def subjects(self) -> list[str]:
        """Who can be decoded."""
        return [name for name in self.model.subjects if name in self.statistics]

    @torch.inference_mode()
    def predict(self, betas: np.ndarray | torch.Tensor, subject: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode a subject's patterns; what was seen need not be known.

        Parameters
        ----------
        betas : array
            (n, voxels), as recorded: not standardised.
        subject : str

        Returns
        -------
        image, text : torch.Tensor
            (n, ...) embeddings, in ``space`` and ``text_space``.

        Raises
        ------
        ValueError
            Unknown subject, wrong number of voxels, or values that are not finite.
        """
        if subject not in self.subjects:
            raise unknown_name("subject of the decoder", subject, self.subjects)
        brain = torch.as_tensor(betas, dtype=torch.float32)
        expected = len(self.statistics[subject]["mean"])
        if brain.ndim != 2 or brain.shape[1] != expected:
            raise ValueError(f"betas of {subject}: expected (n, {expected}), found {tuple(brain.shape)}")
        if not brain.isfinite().all():
            raise ValueError(f"betas of {subject}: {(~brain.isfinite()).sum()} values are not finite")
        brain = (brain - self.statistics[subject]["mean"]) / self.statistics[subject]["std"]
        ids = torch.full((len(brain),), self.model.subject_id(subject))
        output = self.model(brain, ids)
        return self.space.normalised(output.image), self.text_space.normalised(output.text)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the folder; the configuration comes last and names the hashes of the other files."""
        folder = Path(folder)
        with atomic_path(folder / WEIGHTS) as temporary:
            save_file({name: value.contiguous() for name, value in self.model.state_dict().items()}, temporary)
        flat = {f"{name}/{what}": value for name, each in self.statistics.items() for what, value in each.items()}
        with atomic_path(folder / STATISTICS) as temporary:
            save_file({name: value.contiguous() for name, value in flat.items()}, temporary)
        write_json(
            folder / CONFIG,
            {
                "model": type(self.model).__name__,
                "config": self.model.config,
                "space": self.space.to_dict(),
                "text_space": self.text_space.to_dict(),
                "hash": file_hash(folder / WEIGHTS, folder / STATISTICS),
            },
        )

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load what `save_pretrained` wrote.

        Raises
        ------
        FileNotFoundError
            A file is missing.
        ValueError
            The folder holds something else, or files that do not belong together.
        """
        folder = Path(folder)
        for name in (CONFIG, WEIGHTS, STATISTICS):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder}: not a decoder folder, {name} is missing")
        about = read_json(folder / CONFIG)
        if about.get("model") not in MODELS:
            raise unknown_name(f"model in {folder / CONFIG}", str(about.get("model")), MODELS)
        if about["hash"] != (found := file_hash(folder / WEIGHTS, folder / STATISTICS)):
            raise ValueError(f"{folder}: weights of hash {found}, but {CONFIG} names {about['hash']}; save it again")
        model = MODELS[about["model"]](**about["config"])
        try:
            model.load_state_dict(load_file(folder / WEIGHTS))
            flat = load_file(folder / STATISTICS)
        except SafetensorError as error:
            raise ValueError(f"{folder}: no readable safetensors file ({error})") from error
        statistics: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in flat.items():
            name, what = key.rsplit("/", 1)
            statistics.setdefault(name, {})[what] = value
        space, text_space = about["space"], about.get("text_space", about["space"])
        return cls(model, EmbeddingSpace.from_dict(space), statistics, EmbeddingSpace.from_dict(text_space))
