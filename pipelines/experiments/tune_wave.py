"""How WAVE's alignment is trained: settings of the sequence model on the validation pictures of simulated brains.

    python pipelines/experiments/tune_wave.py

Features of a volume, dropout, and pre-training, beside the MLP and ridge; four subjects, the best of 20 epochs. Test
pictures are not touched. Each row is written to ``tune_wave.csv`` when it is measured, so a run that was cut goes on.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from fitting import Rows, fit_best
from wave_fitting import SIZES, KeptWindows, data_of, experiment_parser, pretrained

from braindecode_x.tasks import EmbeddingTask, RidgeTask, WaveTask

WIDTHS, DROPOUTS = (128, 256), (0.1, 0.0)


def settings(work: Path, seed: int) -> dict[str, EmbeddingTask]:
    """Return the task of each setting."""
    tasks: dict[str, EmbeddingTask] = {"ridge": RidgeTask(), "MLP": WaveTask("mlp", seed=seed)}
    for width in WIDTHS:
        start = pretrained(work / f"pre-trained, seed {seed}", seed, width)
        for dropout in DROPOUTS:
            name = f"{width} features, dropout {dropout:g}"
            options = {**SIZES, "d_model": width, "dropout": dropout}
            tasks[name] = WaveTask(options=options, seed=seed)
            tasks[f"{name}, pre-trained"] = WaveTask(pretrained=start, options={"dropout": dropout}, seed=seed)
    slower = WaveTask(pretrained=start, options={"dropout": 0.0}, encoder_lr=0.3, seed=seed)
    return {**tasks, f"{width} features, dropout 0, pre-trained, slower encoder": slower}


def main() -> None:
    arguments = experiment_parser(__doc__).parse_args()
    rows, data = Rows(arguments.output / "tune_wave.csv"), data_of(KeptWindows())
    for seed in range(arguments.seeds):
        for name, task in settings(arguments.work, seed).items():
            about = {"setting": name, "epochs": arguments.epochs, "seed": seed}
            if rows.has(about):
                continue
            started = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                trainer, _ = fit_best(task, data, folder, epochs=arguments.epochs, seed=seed)
            best = float(trainer.checkpoint_callback.best_model_score)
            rows.add({**about, "100-way": best, "CPU seconds": time.process_time() - started})
            print(rows.table.tail(1).to_string(index=False, header=False), flush=True)


if __name__ == "__main__":
    main()
