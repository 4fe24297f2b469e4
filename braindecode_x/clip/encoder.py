"""Pictures and captions to CLIP embeddings, through open_clip."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import open_clip
import torch
import torch.nn.functional as F
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from braindecode_x.batches import pictures_at_once
from braindecode_x.clip.spaces import EmbeddingSpace
from braindecode_x.files import file_hash, unknown_name
from braindecode_x.resources import asset

EMBEDDED = "embedded"
_WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


class ClipEncoder:
    """A CLIP model that turns pictures and captions into unit vectors of one space.

    Parameters
    ----------
    model : str or Path
        ``"embedded"``; a folder with ``open_clip_config.json`` and weights (open_clip's ``local-dir:`` layout); or the
        name of an open_clip architecture.
    pretrained : str, optional
        open_clip's tag of the weights, or a weights file; needed with an architecture's name.
    device : str or torch.device
        Where the model runs.

    Attributes
    ----------
    space, text_space : EmbeddingSpace
        Of pictures and captions: one and the same, pooled, unit norm.

    Raises
    ------
    ValueError
        Unknown model or tag; the nearest names are offered.
    FileNotFoundError
        A folder without configuration or weights, or weights that cannot be fetched. Nothing is ever left at random.
    """

    def __init__(self, model: str | Path = EMBEDDED, pretrained: str | None = None, device: str | torch.device = "cpu"):
        folder = asset("clip") if str(model) == EMBEDDED else Path(model)
        if folder.is_dir():
            if pretrained is not None:
                raise ValueError(f"pretrained: {folder} holds its own weights; leave out {pretrained!r}")
            name, weights = f"local-dir:{folder}", f"sha256:{_folder_hash(folder)}"
        else:
            name, weights = _known_architecture(str(model), pretrained)
        self.model = _create(name, pretrained).eval().to(device).to(memory_format=torch.channels_last)
        self.device = torch.device(device)
        self.transform = image_transform_v2(PreprocessCfg(**self.model.visual.preprocess_cfg), is_train=False)
        self.tokenizer = open_clip.get_tokenizer(name)
        self.space = EmbeddingSpace(
            model="local folder" if folder.is_dir() else name,
            weights=weights,
            kind="pooled",
            shape=tuple(self.encode_texts(["a picture"]).shape[1:]),
            normalisation="unit",
        )
        self.text_space = self.space

    def to(self, device: str | torch.device) -> Self:
        """Move the model to a device; returns the encoder itself."""
        self.device = torch.device(device)
        self.model.to(self.device)
        return self

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Embed pictures.

        Parameters
        ----------
        images : sequence of PIL.Image.Image
            RGB.

        Returns
        -------
        torch.Tensor
            (n, d), unit norm, float32 on the CPU.
        """
        return self._embed(torch.stack([self.transform(image) for image in images]).to(self.device)).cpu()

    def embed_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed pictures that are tensors, in a way that gradients can go through.

        Parameters
        ----------
        pixels : torch.Tensor
            (n, 3, size, size) in [0, 1]; resized to what the model takes.

        Returns
        -------
        torch.Tensor
            (n, d), unit norm, float32; those of `encode_images` but for rounding.
        """
        config = self.model.visual.preprocess_cfg
        size, mean, std = config["size"], config["mean"], config["std"]
        size = (size, size) if isinstance(size, int) else tuple(size)
        pixels = F.interpolate(pixels.to(self.device), size, mode="bicubic", antialias=True).clamp(0, 1)
        mean, std = (torch.tensor(each, device=self.device).view(-1, 1, 1) for each in (mean, std))
        return self._embed((pixels - mean) / std)

    def _embed(self, pixels: torch.Tensor) -> torch.Tensor:
        parts = pixels.contiguous(memory_format=torch.channels_last).split(pictures_at_once(self.device))
        return F.normalize(torch.cat([self.model.encode_image(part) for part in parts]).float(), dim=-1)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed captions.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        torch.Tensor
            (n, d), unit norm, float32 on the CPU.
        """
        return F.normalize(self.model.encode_text(self.tokenizer(list(texts)).to(self.device)).float(), dim=-1).cpu()


def _folder_hash(folder: Path) -> str:
    config = folder / "open_clip_config.json"
    if not config.is_file():
        raise FileNotFoundError(f"{folder}: no open_clip_config.json; expected an open_clip folder (local-dir: layout)")
    weights = next((folder / name for name in _WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None:
        raise FileNotFoundError(f"{folder}: no weights; put {' or '.join(_WEIGHT_FILES)} beside open_clip_config.json")
    tokenizer = folder / "tokenizer.json"
    parsed = json.dumps(json.loads(tokenizer.read_text()), sort_keys=True) if tokenizer.is_file() else ""
    return hashlib.sha256(f"{file_hash(config, weights)}{parsed}".encode()).hexdigest()[:16]


def _known_architecture(model: str, pretrained: str | None) -> tuple[str, str]:
    names = open_clip.list_models()
    model = model.replace("/", "-") if model.replace("/", "-") in names else model  # OpenAI writes ViT-L/14
    if model.startswith("hf-hub:"):
        raise ValueError(f"{model}: fetch the model from the hub as a folder, and give the folder as the model")
    if "/" in model or model.startswith("."):
        raise FileNotFoundError(f"{model}: no such model folder")
    if model not in names:
        raise unknown_name("CLIP model", model, [EMBEDDED, *names])
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained is None:
        raise ValueError(
            f"CLIP model {model!r} needs pretrained weights: name one of {', '.join(tags) or 'your files'}"
        )
    if Path(pretrained).is_file():
        return model, f"sha256:{file_hash(pretrained)}"
    if pretrained.lower() not in tags:
        raise unknown_name(f"weights for {model}", pretrained, tags)
    return model, pretrained.lower()


def _create(name: str, pretrained: str | None) -> Any:
    # open_clip warns and goes on with random weights when it finds none, and with a wrong activation for OpenAI's.
    quick = pretrained is not None and (open_clip.get_pretrained_cfg(name, pretrained) or {}).get("quick_gelu", False)
    options = {"require_pretrained": True, "weights_only": True, "force_quick_gelu": quick}
    try:
        return open_clip.create_model(name, pretrained=pretrained, **options)
    except Exception as error:
        source = name.removeprefix("local-dir:") if pretrained is None else f"{name} / {pretrained}"
        raise FileNotFoundError(
            f"{source}: the weights could not be loaded ({error}). Without a network, fetch its open_clip folder "
            "elsewhere (open_clip_config.json and open_clip_model.safetensors) and give its path as the model"
        ) from error
