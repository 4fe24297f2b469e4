"""Synthesise each simulated subject's activity from every other's: MindBridge's builders against what was measured.

    python pipelines/experiments/synthesis.py

Takes the decoder that ``braindecode-x fit --config mindbridge_simulated.yaml`` left. For every source and target the
correlation of synthesised with true responses to the test pictures, beside the true responses to other pictures (see
``braindecode_x/analysis/synthesis.py``). Writes ``synthesis.csv`` and ``synthesis.png`` into ``--output``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from braindecode_x.analysis.synthesis import synthesis_figure, synthesise_cohort
from braindecode_x.datamodules import BetasDataModule
from braindecode_x.datasets import SimulatedFmri
from braindecode_x.decoder import BrainDecoder
from braindecode_x.files import atomic_path, write_figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decoder", type=Path, default=Path("runs/mindbridge_simulated/decoder"))
    parser.add_argument("--output", type=Path, default=Path("pipelines/experiments"))
    parser.add_argument("--seed", type=int, default=0, help="of the shuffled control and of the bootstrap")
    arguments = parser.parse_args()
    decoder = BrainDecoder.from_pretrained(arguments.decoder)
    table = synthesise_cohort(decoder, BetasDataModule(SimulatedFmri(), decoder.subjects), seed=arguments.seed)
    with atomic_path(arguments.output / "synthesis.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.4g")
    write_figure(synthesis_figure(table), arguments.output / "synthesis.png")
    pairs = (table["source"] == table["target"]).map({True: "rebuilt from itself", False: "from another subject"})
    print(
        table.groupby(["correlation", pairs])[["value", "control", "difference"]].mean().to_string(float_format="%.3f")
    )


if __name__ == "__main__":
    main()
