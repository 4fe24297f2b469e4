"""Write the embedded judge: EfficientNet-Lite2 as published, without its classifier, in fp16.

python pipelines/assets/build_judge.py [--downloads FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from imagenet_networks import MEAN, STD, load_lite
from training import save_half

from braindecode_x.files import write_json

IMAGE_SIZE = 192  # between the decoder's 64 and the network's 260: see the model card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--downloads", type=Path, default=Path("build/downloads"))
    parser.add_argument("--target", type=Path, default=Path("braindecode_x/assets/judge"))
    arguments = parser.parse_args()
    model = load_lite(2, arguments.downloads)
    model.reset_classifier(0)
    save_half(model, arguments.target / "model.safetensors")
    about = {"architecture": "tf_efficientnet_lite2", "image_size": IMAGE_SIZE, "mean": [MEAN] * 3, "std": [STD] * 3}
    write_json(arguments.target / "judge.json", about)


if __name__ == "__main__":
    main()
