"""Build every embedded asset from the named packages: pictures, CLIP, autoencoder, decoder, judge, measurements.

    python pipelines/assets/build_all.py

Seeded; about 3 hours on 2 cores. A run that was cut goes on where it stopped: trainings keep checkpoints in
``build/assets``; remove that folder to begin anew.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ASSETS = Path("braindecode_x/assets")
STAGES = [
    ("build_objects.py", None),
    ("build_judge.py", None),
    ("train_clip.py", ("clip/export", "clip")),
    ("train_autoencoder.py", None),
    ("train_decoder.py", None),
    ("choose_sampling.py", ("decoder/export", "decoder")),
    ("measure.py", None),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    for script, copied in STAGES:
        print(f"== {script}", flush=True)
        subprocess.run([sys.executable, str(HERE / script)], check=True)
        if copied:
            shutil.copytree(Path("build/assets") / copied[0], ASSETS / copied[1], dirs_exist_ok=True)


if __name__ == "__main__":
    main()
