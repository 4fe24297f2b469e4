"""A trained decoder as a portable folder: weights, subjects, preprocessing statistics, embedding space."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import mne
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from braindecode_x.clip import EmbeddingSpace
from braindecode_x.datasets.epochs import EpochsLayout
from braindecode_x.datasets.windows_layout import TrialsLayout, layout_from_dict, trials_of
from braindecode_x.files import atomic_path, file_hash, read_weights_config, unknown_name, write_json
from braindecode_x.models.atm_low_level import AtmLowLevel
from braindecode_x.models.eeg import EegDecoder
from braindecode_x.models.linear import LinearDecoder
from braindecode_x.models.mindbridge import MindBridge
from braindecode_x.models.wave_decoder import WaveDecoder

MODELS: dict[str, Any] = {
    model.__name__: model for model in (MindBridge, LinearDecoder, EegDecoder, AtmLowLevel, WaveDecoder)
}
WEIGHTS, STATISTICS, CONFIG = "model.safetensors", "statistics.safetensors", "config.json"


class BrainDecoder:
    """A network with what it takes to use it on new recordings.

    Parameters
    ----------
    model : MindBridge, LinearDecoder or another of `MODELS`
    space : EmbeddingSpace
        What it predicts.
    statistics : dict of str to dict
        By subject: ``mean`` and ``std`` (voxels,), (channels, 1) or (1, parcels), by which recordings are standardised.
    text_space : EmbeddingSpace, optional
        Of the texts it predicts, where it is another than the pictures': tokens.
    layout : EpochsLayout or WindowsLayout, optional
        Channels and times of the epochs, or parcels and times of the windows, that it decodes. None: it decodes betas.
    """

    def __init__(
        self,
        model: Any,
        space: EmbeddingSpace,
        statistics: dict[str, dict[str, torch.Tensor]],
        text_space: EmbeddingSpace | None = None,
        layout: TrialsLayout | None = None,
    ):
        self.model, self.space, self.statistics = model.eval(), space, statistics
        self.text_space, self.layout = text_space or space, layout

    @property
    def subjects(self) -> list[str]:
        """Who can be decoded."""
        return [name for name in self.model.subjects if name in self.statistics]

    @torch.inference_mode()
    def predict(
        self,
        recording: np.ndarray | torch.Tensor | mne.BaseEpochs,
        subject: str,
        mask: np.ndarray | torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Decode a subject's patterns; what was seen need not be known.

        Parameters
        ----------
        recording : array or mne.BaseEpochs
            (n, voxels), (n, channels, times) or (n, volumes, parcels), as recorded: not standardised. Of ``mne.Epochs``
            the channels and times are taken that are decoded.
        subject : str
            A new one, where the network takes such, is standardised by its own trials if those of training were.
        mask : array of bool, optional
            Of one trial's shape, or one that extends to it: where it is false, activity is set to its mean. For epochs
            (channels, 1) masks electrodes and (times,) a time window; for windows (parcels,) masks parcels.

        Returns
        -------
        image, text : torch.Tensor
            (n, ...) embeddings, in ``space`` and ``text_space``; ``text`` is None where none is predicted.

        Raises
        ------
        ValueError
            Unknown subject, another shape, channels or times, or values that are not finite.
        """
        new = subject not in self.subjects
        if new and not getattr(self.model, "takes_new_subjects", False):
            raise unknown_name("subject of the decoder", subject, self.subjects)
        brain = self._checked(recording, subject)
        if new and self._as_recorded:
            mean, std = torch.zeros(()), torch.ones(())
        elif new:
            axes = (0,) if self.layout is None else self.layout.pooled_axes
            mean = brain.mean(axes, keepdim=True)
            std = brain.std(axes, correction=0, keepdim=True)
            mean, std = mean[0], torch.where(std > 0, std, 1)[0]
        else:
            mean, std = self.statistics[subject]["mean"], self.statistics[subject]["std"]
        number = len(self.model.subjects) if new else self.model.subject_id(subject)
        brain = (brain - mean) / std
        if mask is not None:
            brain = brain.where(torch.as_tensor(mask).expand(brain.shape[1:]), 0)
        output = self.model(brain, torch.full((len(brain),), number))
        text = None if output.text is None else self.text_space.normalised(output.text)
        return self.space.normalised(output.image), text

    @property
    def _as_recorded(self) -> bool:
        """Whether it was trained on recordings that were left as they are, see `WindowsDataModule`."""
        known = self.statistics.values()
        return bool(known) and all(bool((s["mean"] == 0).all() and (s["std"] == 1).all()) for s in known)

    def _checked(self, recording: np.ndarray | torch.Tensor | mne.BaseEpochs, subject: str) -> torch.Tensor:
        what = f"{trials_of(self.layout)} of {subject}"
        expected = (len(self.statistics[subject]["mean"]),) if self.layout is None else self.layout.shape
        sizes = ", ".join(map(str, expected))
        if isinstance(recording, mne.BaseEpochs) and isinstance(self.layout, EpochsLayout):
            recording = self.layout.take(recording)
        elif isinstance(recording, mne.BaseEpochs):
            raise ValueError(f"{what}: expected (n, {sizes}), found {type(recording).__name__}")
        brain = torch.as_tensor(recording, dtype=torch.float32)
        if tuple(brain.shape[1:]) != expected:
            raise ValueError(f"{what}: expected (n, {sizes}), found {tuple(brain.shape)}")
        if not brain.isfinite().all():
            raise ValueError(f"{what}: {(~brain.isfinite()).sum()} values are not finite")
        return brain

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
                "layout": None if self.layout is None else self.layout.to_dict(),
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
        about = read_weights_config(folder, "a decoder folder", CONFIG, (WEIGHTS, STATISTICS))
        if about.get("model") not in MODELS:
            raise unknown_name(f"model in {folder / CONFIG}", str(about.get("model")), MODELS)
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
        layout = layout_from_dict(about.get("layout"))
        return cls(model, EmbeddingSpace.from_dict(space), statistics, EmbeddingSpace.from_dict(text_space), layout)
