"""Build every embedded asset from the named packages: pictures, CLIP, autoencoder, decoder, judge, measurements.

    python pipelines/assets/build_all.py

Seeded; about 4 hours and a half on 2 cores. A run that was cut goes on where it stopped: trainings keep checkpoints in
``build/assets``; remove that folder to begin anew. The decoder's U-Net is trained three times, each from where the last
one ended, the third time with dropout; what is kept is the average of the last two.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ASSETS, BUILD = Path("braindecode_x/assets"), Path("build/assets")
FIRST, SECOND, THIRD, DECODER = (BUILD / name / "export" for name in ("decoder_1", "decoder_2", "decoder_3", "decoder"))
# script and its options, and what is copied where when it has run
STAGES: list[tuple[list[str | Path], tuple[Path, Path] | None]] = [
    (["build_objects.py"], None),
    (["build_judge.py"], None),
    (["train_clip.py"], (BUILD / "clip" / "export", ASSETS / "clip")),
    (["train_autoencoder.py"], None),
    (["train_decoder.py", "--name", "decoder_1"], None),
    (["train_decoder.py", "--name", "decoder_2", "--start", FIRST, "--steps", "5000"], None),
    (["train_decoder.py", "--name", "decoder_3", "--start", SECOND, "--steps", "5000", "--dropout", "0.1"], None),
    (["average_decoders.py", SECOND, THIRD, DECODER], None),
    (["choose_sampling.py"], (DECODER, ASSETS / "decoder")),
    (["measure.py"], None),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    for (script, *options), copied in STAGES:
        print(f"== {script} {' '.join(map(str, options))}", flush=True)
        subprocess.run([sys.executable, str(HERE / str(script)), *map(str, options)], check=True)
        if copied:
            shutil.copytree(*copied, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
