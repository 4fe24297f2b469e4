"""Average the weights of two decoders, the second of which was trained on from the first ("model soup").

    python pipelines/assets/average_decoders.py earlier/ later/ build/assets/decoder/export

Weights halfway from one to the other can do better than either end (Wortsman et al. 2022, Model soups). The rest is the
second's.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from braindecode_x.files import atomic_path

WEIGHTS = [f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "projector")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("earlier", type=Path)
    parser.add_argument("later", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    if arguments.output.resolve() != arguments.later.resolve():
        shutil.copytree(arguments.later, arguments.output, dirs_exist_ok=True)
    for name in WEIGHTS:
        first, second = load_file(arguments.earlier / name), load_file(arguments.later / name)
        mean = {key: ((first[key].float() + second[key].float()) / 2).to(second[key].dtype) for key in second}
        with atomic_path(arguments.output / name) as temporary:
            save_file(mean, temporary, {"format": "pt"})


if __name__ == "__main__":
    main()
