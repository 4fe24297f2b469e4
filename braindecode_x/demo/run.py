"""All parts of the demonstration, and its page."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import torch

from braindecode_x import __version__
from braindecode_x.clip import ClipEncoder
from braindecode_x.demo.cohort import CohortResult, decode_cohort, show_cohort
from braindecode_x.demo.objects import rebuild_objects, show_objects
from braindecode_x.demo.recording import RecordingResult, decode_recording, show_recording
from braindecode_x.demo.stages import stage
from braindecode_x.metrics.evaluate import write_table
from braindecode_x.report import Page
from braindecode_x.stimuli import Stimuli


def run_demo(
    output: str | Path = "runs/demo",
    seed: int = 0,
    permutations: int = 2000,
    test_pictures: int = 40,
    epochs: int = 15,
    training: Stimuli | None = None,
) -> Path:
    """Run all parts and write the page.

    Parameters
    ----------
    output : str or Path
        Folder; what is there from an earlier run with the same settings is kept.
    seed : int
    permutations : int
        Of the labels of the recording's blocks within runs.
    test_pictures : int
        How many of the 200 test pictures are reconstructed.
    epochs : int
        Of MindBridge's training on the simulated subjects.
    training : Stimuli, optional
        Pictures of the baselines; default all that the embedded models were trained on.

    Returns
    -------
    Path
        The page, ``index.html``.
    """
    output, started = Path(output), time.time()
    encoder = stage("load the embedded CLIP", ClipEncoder)
    recording = decode_recording(output / "haxby2001", encoder, seed, permutations)
    cohort = decode_cohort(output / "simulated", encoder, seed, test_pictures, epochs, training)
    objects = rebuild_objects(output / "objects", encoder, seed, test_pictures, training)
    parts = {"haxby2001": recording.table, "simulated": cohort.table, "objects": objects}
    tables = [table.assign(part=part) for part, table in parts.items()]
    write_table(pd.concat(tables, ignore_index=True), output / "metrics")
    return write_page(output, recording, cohort, objects, encoder, seed, time.time() - started)


def write_page(
    output: Path,
    recording: RecordingResult,
    cohort: CohortResult,
    objects: pd.DataFrame,
    encoder: ClipEncoder,
    seed: int,
    seconds: float,
) -> Path:
    """Write ``index.html``."""
    page = Page(
        "From brain activity to pictures",
        "A real fMRI recording and simulated subjects decoded into CLIP space and shown as pictures, run on a CPU "
        "without any download.",
    )
    show_recording(page, recording)
    show_cohort(page, cohort)
    show_objects(page, output / "objects" / "pictures", objects)
    page.heading("What was run")
    page.facts(
        {
            "command": "braindecode-x demo",
            "version": f"braindecode_x {__version__}, torch {torch.__version__}",
            "seed": str(seed),
            "embedding space": str(encoder.space),
            "time": f"{seconds:.0f} s",
            "files": f"in {output}: metrics.csv; haxby2001/decoded.safetensors, haxby2001/pictures; "
            "simulated/comparison/report.html (the full report), simulated/mindbridge (checkpoints, decoder, "
            "predictions), simulated/ridge; objects/pictures",
        }
    )
    page.write(output / "index.html")
    return output / "index.html"
