"""The networks that the field's tables report, as feature spaces for `Judge`.

============  ==========================================  ======  ======================  =========  ===========
name          features                                    width   reported as             pictures   file, about
============  ==========================================  ======  ======================  =========  ===========
alexnet2      AlexNet, after the 2nd convolution's ReLU   184512  two-way identification  256 x 256  244 MB
alexnet5      AlexNet, after the 5th convolution's ReLU   57600   two-way identification  256 x 256  same
inception     Inception V3, average pooling               2048    two-way identification  342 x 342  109 MB
clip-vit-l    OpenAI's CLIP ViT-L/14, image embedding     768     two-way identification  224 x 224  1.7 GB
efficientnet  EfficientNet-B1, average pooling            1280    correlation distance    255 x 255  31 MB
swav          ResNet-50 trained by SwAV, average pooling  2048    correlation distance    224 x 224  110 MB
============  ==========================================  ======  ======================  =========  ===========

Layers, sizes (bilinear) and measures are those of Ozcelik & VanRullen 2023 (doi:10.1038/s41598-023-42891-8) and Scotti
et al. 2023 (arXiv 2305.18274). `two_way_identification` and `correlation_distance` are the measures; `picture_scores`
gives both for any judge, and the ones of the table above are those to compare with published values.
A thousand pictures' features of ``alexnet2`` take 0.7 GB.

Weights are never fetched: they are used when they are where torchvision, `torch.hub` and open_clip keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import open_clip
import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torchvision import models

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SWAV_URL = "https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar"
CLIP_REPOSITORY = "timm/vit_large_patch14_clip_224.openai"
CLIP_FILE = "open_clip_model.safetensors"
CLIP_ARCHITECTURE = "ViT-L-14-quickgelu"  # OpenAI's weights were trained with this activation

State = Mapping[str, torch.Tensor]
# What torch and safetensors raise on damaged files and on weights of another shape.
_DAMAGE = (OSError, EOFError, RuntimeError, ValueError, TypeError, AttributeError, SafetensorError, UnpicklingError)


@dataclass(frozen=True)
class JudgeNetwork:
    """A network by name.

    Attributes
    ----------
    build : callable
        From the published state dict to a module: (n, 3, image_size, image_size) to features (n, ...).
    url : str
        Where the weights are published.
    image_size : int
        Edge in pixels of what it is given, as in the published comparisons (not always as it was trained).
    mean, std : tuple of float
        Of its input's channels.
    """

    build: Callable[[State], nn.Module]
    url: str
    image_size: int
    mean: tuple[float, ...] = IMAGENET[0]
    std: tuple[float, ...] = IMAGENET[1]


def load_network(name: str) -> nn.Module:
    """Build a network of ``NETWORKS`` with its published weights.

    Parameters
    ----------
    name : str

    Returns
    -------
    torch.nn.Module
        In evaluation mode, float32.

    Raises
    ------
    FileNotFoundError
        The weights are not on this machine; says where they belong and where they are published.
    ValueError
        The weights are damaged, or another network's.
    """
    network = NETWORKS[name]
    file = _clip_weights(name) if name == "clip-vit-l" else _hub_weights(name, network.url)
    try:
        state = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
        return network.build(state).float().eval()
    except _DAMAGE as error:
        raise ValueError(
            f"{file}: damaged, or not the weights of the judge {name!r} ({error}); fetch it again from {network.url}"
        ) from error


def _hub_weights(name: str, url: str) -> Path:
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not file.is_file():
        raise FileNotFoundError(f"{file}: the weights of the judge {name!r} are not there; fetch them from {url}")
    return file


def _clip_weights(name: str) -> Path:
    file = try_to_load_from_cache(CLIP_REPOSITORY, CLIP_FILE)
    if not isinstance(file, str):
        raise FileNotFoundError(
            f"{CLIP_FILE} of {CLIP_REPOSITORY}: the weights of the judge {name!r} are not in the Hugging Face cache; "
            f"put them there with `hf download {CLIP_REPOSITORY} {CLIP_FILE}` ({NETWORKS[name].url})"
        )
    return Path(file)


def _filled(model: nn.Module, state: State) -> nn.Module:
    """Give a model that was built on the meta device its weights: none were drawn at random before."""
    model.load_state_dict(state, assign=True)
    return model


def _alexnet(n_layers: int, state: State) -> nn.Module:
    with torch.device("meta"):
        model = models.alexnet()
    _filled(model, state)
    return model.features[:n_layers]


def _without_head(model: nn.Module, head: str, state: State) -> nn.Module:
    _filled(model, state)
    setattr(model, head, nn.Identity())
    return model


def _inception(state: State) -> nn.Module:
    with torch.device("meta"):
        model = models.inception_v3(init_weights=False, transform_input=True)  # as torchvision sets it with its weights
    return _without_head(model, "fc", state)


def _efficientnet(state: State) -> nn.Module:
    with torch.device("meta"):
        model = models.efficientnet_b1()
    return _without_head(model, "classifier", state)


def _swav(state: State) -> nn.Module:
    names = {key: key.removeprefix("module.") for key in state}
    own = {name: state[key] for key, name in names.items() if not name.startswith(("projection_head.", "prototypes."))}
    with torch.device("meta"):
        model = models.resnet50()
    model.fc = nn.Identity()
    return _filled(model, own)


def _clip(state: State) -> nn.Module:
    config: dict[str, Any] = open_clip.get_model_config(CLIP_ARCHITECTURE)
    with torch.device("meta"):
        model = open_clip.CLIP(**config)
    image = {key.removeprefix("visual."): value for key, value in state.items() if key.startswith("visual.")}
    return _filled(model.visual, image)


NETWORKS = {
    "alexnet2": JudgeNetwork(partial(_alexnet, 5), models.AlexNet_Weights.IMAGENET1K_V1.url, 256),
    "alexnet5": JudgeNetwork(partial(_alexnet, 12), models.AlexNet_Weights.IMAGENET1K_V1.url, 256),
    "inception": JudgeNetwork(_inception, models.Inception_V3_Weights.IMAGENET1K_V1.url, 342),
    "efficientnet": JudgeNetwork(_efficientnet, models.EfficientNet_B1_Weights.IMAGENET1K_V2.url, 255),
    "swav": JudgeNetwork(_swav, SWAV_URL, 224),
    "clip-vit-l": JudgeNetwork(
        _clip,
        f"https://huggingface.co/{CLIP_REPOSITORY}/resolve/main/{CLIP_FILE}",
        224,
        open_clip.OPENAI_DATASET_MEAN,
        open_clip.OPENAI_DATASET_STD,
    ),
}
