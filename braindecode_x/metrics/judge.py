"""Networks that judge reconstructions in a feature space of their own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from braindecode_x.batches import pictures_at_once
from braindecode_x.files import read_json, unknown_name
from braindecode_x.metrics.judge_networks import NETWORKS, load_network
from braindecode_x.resources import asset

EMBEDDED = "embedded"


class Judge:
    """An image network that took no part in decoding, as a feature space.

    Parameters
    ----------
    name_or_folder : str or Path
        ``"embedded"`` (EfficientNet-Lite2, ImageNet); a network that published tables report (``"alexnet2"``,
        ``"alexnet5"``, ``"inception"``, ``"clip-vit-l"``, ``"efficientnet"``, ``"swav"``: see `judge_networks`), when
        its weights are on this machine; or a folder with ``judge.json`` (``architecture``: timm's name, ``image_size``,
        ``mean``, ``std``) and ``model.safetensors``.
    device : str or torch.device

    Attributes
    ----------
    name : str
        Of the network.
    image_size : int
        Edge in pixels to which pictures are resized.

    Raises
    ------
    ValueError
        Unknown name, or weights that are damaged or another network's.
    FileNotFoundError
        The folder lacks a part, or the weights are not on this machine (where they belong is said).
    """

    def __init__(self, name_or_folder: str | Path = EMBEDDED, device: str | torch.device = "cpu"):
        if str(name_or_folder) in NETWORKS:
            self.name = str(name_or_folder)
            network = NETWORKS[self.name]
            self.image_size, mean, std = network.image_size, network.mean, network.std
            self.model, self._interpolation = load_network(self.name), "bilinear"
        else:
            about, self.model = _read_folder(name_or_folder)
            self.name, self.image_size = about["architecture"], about["image_size"]
            mean, std, self._interpolation = about["mean"], about["std"], "bicubic"
        self.device = torch.device(device)
        self._mean = torch.tensor(mean, device=device).view(3, 1, 1)
        self._std = torch.tensor(std, device=device).view(3, 1, 1)
        self.model.eval().to(device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def features(self, images: torch.Tensor | Iterable[torch.Tensor], batch_size: int | None = None) -> torch.Tensor:
        """Give the network's features: pooled before the classifier, a flattened layer, or an embedding.

        Parameters
        ----------
        images : torch.Tensor
            (n, 3, height, width) in [0, 1].
        batch_size : int, optional
            Default `pictures_at_once`.

        Returns
        -------
        torch.Tensor
            (n, d) float32 on the CPU.
        """
        if not isinstance(images, torch.Tensor):
            images = torch.stack(list(images))
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                f"images: expected float (n, 3, height, width), found {images.dtype} {tuple(images.shape)}"
            )
        size = (self.image_size, self.image_size)
        parts = []
        for batch in images.split(batch_size or pictures_at_once(self.device)):
            batch = F.interpolate(batch.to(self.device), size, mode=self._interpolation, antialias=True).clamp(0, 1)
            inputs = ((batch - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
            parts.append(self.model(inputs).flatten(1).float().cpu())
        return torch.cat(parts)


def _read_folder(name_or_folder: str | Path) -> tuple[dict[str, Any], nn.Module]:
    folder = asset("judge") if str(name_or_folder) == EMBEDDED else Path(name_or_folder)
    if not folder.is_dir():
        raise unknown_name("judge", str(name_or_folder), [EMBEDDED, *NETWORKS])
    for part in ("judge.json", "model.safetensors"):
        if not (folder / part).is_file():
            raise FileNotFoundError(f"{folder}: not a judge folder, {part} is missing")
    about = read_json(folder / "judge.json")
    model = timm.create_model(about["architecture"], num_classes=0)
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))  # fp16 is copied into float32
    except SafetensorError as error:
        raise ValueError(f"{folder / 'model.safetensors'}: not a readable safetensors file ({error})") from error
    return about, model
