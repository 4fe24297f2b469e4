"""A pre-trained sequence model as a portable folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from braindecode_x.datasets.parcels import Parcels
from braindecode_x.files import atomic_path, file_hash, read_weights_config, unknown_name, write_json
from braindecode_x.models.wave import Wave

WEIGHTS, CONFIG = "model.safetensors", "wave.json"


@dataclass
class PretrainedWave:
    """A network with the parcels that it was trained on.

    Attributes
    ----------
    model : Wave
    parcels : Parcels or None
        In order; None where only their number is known.
    """

    model: Wave
    parcels: Parcels | None = None

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the folder; the configuration comes last and names the hash of the weights."""
        folder = Path(folder)
        with atomic_path(folder / WEIGHTS) as temporary:
            save_file({name: value.contiguous() for name, value in self.model.state_dict().items()}, temporary)
        parcels = None if self.parcels is None else self.parcels.to_dict()
        write_json(
            folder / CONFIG,
            {"config": self.model.config, "parcels": parcels, "hash": file_hash(folder / WEIGHTS)},
        )

    def for_parcels(self, parcels: Parcels, whose: str) -> Self:
        """Keep the weights of some parcels, as of a decoder of a few networks.

        Parameters
        ----------
        parcels : Parcels
            All of them among those that the network was trained on, in any order.
        whose : str
            Where the network is from, for errors.

        Raises
        ------
        ValueError
            There are others; or the network's have no names, and their number differs.
        """
        if self.parcels is None or self.parcels.names == parcels.names:
            if len(parcels) != self.model.n_parcels:
                raise ValueError(f"{whose}: of {self.model.n_parcels} parcels without names, found {len(parcels)}")
            return self
        known = {name: place for place, name in enumerate(self.parcels.names)}
        for name in parcels.names:
            if name not in known:
                raise unknown_name(f"parcel of {whose}", name, known)
        places = torch.tensor([known[name] for name in parcels.names])
        state = dict(self.model.state_dict())
        for name in ("mask_embedding", "class_embedding", "embed.0.weight"):
            state[name] = state[name][..., places]
        for name in ("unembed.weight", "unembed.bias", "carry"):
            if name in state:
                state[name] = state[name][places]
        model = Wave(**{**self.model.config, "n_parcels": len(parcels)})
        model.load_state_dict(state)
        return type(self)(model.eval(), parcels)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load what `save_pretrained` wrote; the network is in eval mode.

        Raises
        ------
        FileNotFoundError
            A file is missing.
        ValueError
            Files that do not belong together, or that are damaged.
        """
        folder = Path(folder)
        about = read_weights_config(folder, "the folder of a pre-trained sequence model", CONFIG, [WEIGHTS])
        model = Wave(**about["config"])
        try:
            model.load_state_dict(load_file(folder / WEIGHTS))
        except SafetensorError as error:
            raise ValueError(f"{folder}: no readable safetensors file ({error})") from error
        return cls(model.eval(), None if about["parcels"] is None else Parcels.from_dict(about["parcels"]))
