"""All parts of the demonstration, and its page."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from braindecode_x import __version__
from braindecode_x.clip import ClipEncoder
from braindecode_x.demo.eeg import EegSettings, decode_eeg, show_eeg
from braindecode_x.demo.fmri import decode_fmri, show_fmri
from braindecode_x.demo.objects import rebuild_objects, show_objects
from braindecode_x.demo.parts import Shown, run_parts
from braindecode_x.demo.recording import decode_recording, show_recording
from braindecode_x.demo.whole_brain import WholeBrainSettings, decode_whole_brain, show_whole_brain
from braindecode_x.files import unknown_name
from braindecode_x.metrics.evaluate import write_table
from braindecode_x.report import Page
from braindecode_x.stimuli import Stimuli

ALL, MINDBRIDGE, ATM, WAVE = "all", "mindbridge", "atm", "wave"
SYSTEMS = (ALL, MINDBRIDGE, ATM, WAVE)


@dataclass(frozen=True)
class Part:
    """A part of the demonstration.

    Attributes
    ----------
    systems : tuple of str
        With which it is run.
    run : callable
        Takes the part's folder and the embedded CLIP.
    files : str
        What lies in its folder.
    """

    systems: tuple[str, ...]
    run: Callable[[Path, ClipEncoder], Shown]
    files: str


def run_demo(
    output: str | Path = "runs/demo",
    system: str = ALL,
    seed: int = 0,
    permutations: int = 1000,
    test_pictures: int = 25,
    epochs: int = 15,
    eeg: EegSettings | None = None,
    whole_brain: WholeBrainSettings | None = None,
    training: Stimuli | None = None,
) -> Path:
    """Run all parts, or those of one system, and write the page.

    Parameters
    ----------
    output : str or Path
        Folder; what is there from an earlier run with the same settings is kept.
    system : {"all", "mindbridge", "atm", "wave"}
    seed : int
    permutations : int
        Of the labels of the recording's blocks within runs.
    test_pictures : int
        How many of the 200 test pictures are reconstructed.
    epochs : int
        Of MindBridge's training on the simulated subjects.
    eeg : EegSettings, optional
        Of the part on ATM.
    whole_brain : WholeBrainSettings, optional
        Of the part on WAVE.
    training : Stimuli, optional
        Pictures of the baselines, but on ATM and WAVE; default all that the embedded models were trained on.

    Returns
    -------
    Path
        The page: ``index.html``, or of one system ``{system}.html``.

    Raises
    ------
    ValueError
        No such system.
    """
    if system not in SYSTEMS:
        raise unknown_name("system", system, SYSTEMS)
    output, started = Path(output), time.time()
    parts = {
        "haxby2001": Part((ALL, MINDBRIDGE), partial(_recording, seed, permutations), "decoded embeddings, pictures"),
        "simulated_fmri": Part(
            (ALL, MINDBRIDGE),
            partial(_fmri, seed, test_pictures, epochs, training),
            "comparison/report.html (the full report), mindbridge (checkpoints, decoder, predictions), ridge",
        ),
        "simulated_eeg": Part(
            (ALL, ATM),
            partial(_eeg, seed, test_pictures, eeg or EegSettings()),
            "comparison/report.html (the full report), atm (checkpoints, decoder, predictions, prior), ridge, analysis",
        ),
        "simulated_whole_brain": Part(
            (ALL, WAVE),
            partial(_whole_brain, seed, test_pictures, whole_brain or WholeBrainSettings()),
            "comparison/report.html (the full report), nifti, parcels, pretraining, wave, ridge, analysis",
        ),
        "objects": Part((ALL,), partial(_objects, seed, test_pictures, training), "pictures, metrics"),
    }
    chosen = {name: part for name, part in parts.items() if system in part.systems}
    results = run_parts({name: part.run for name, part in chosen.items()}, output)
    suffix = "" if system == ALL else f"_{system}"
    tables = [table.assign(part=name) for name, (table, _) in results.items()]
    write_table(pd.concat(tables, ignore_index=True), output / f"metrics{suffix}")
    page = Page(
        "From brain activity to pictures",
        "A real recording and simulated subjects decoded into CLIP space and shown as pictures, run on a CPU without "
        "any download.",
    )
    for _, show in results.values():
        show(page)
    page.heading("What was run")
    page.facts(
        {
            "command": "braindecode-x demo" + ("" if system == ALL else f" --system {system}"),
            "version": f"braindecode_x {__version__}, torch {torch.__version__}",
            "seed": str(seed),
            "embedding space": str(ClipEncoder().space),
            "time": f"{time.time() - started:.0f} s",
            "files": f"in {output}: metrics{suffix}.csv; "
            + "; ".join(f"{name}: {part.files}" for name, part in chosen.items()),
        }
    )
    target = output / ("index.html" if system == ALL else f"{system}.html")
    page.write(target)
    return target


def _recording(seed: int, permutations: int, output: Path, encoder: ClipEncoder) -> Shown:
    found = decode_recording(output, encoder, seed, permutations)
    return found.table, partial(show_recording, recording=found)


def _fmri(
    seed: int, n_pictures: int, epochs: int, training: Stimuli | None, output: Path, encoder: ClipEncoder
) -> Shown:
    found = decode_fmri(output, encoder, seed, n_pictures, epochs, training)
    return found.table, partial(show_fmri, result=found)


def _eeg(seed: int, n_pictures: int, settings: EegSettings, output: Path, encoder: ClipEncoder) -> Shown:
    found = decode_eeg(output, encoder, seed, n_pictures, settings)
    return found.table, partial(show_eeg, result=found)


def _whole_brain(seed: int, n_pictures: int, settings: WholeBrainSettings, output: Path, encoder: ClipEncoder) -> Shown:
    found = decode_whole_brain(output, encoder, seed, n_pictures, settings)
    return found.table, partial(show_whole_brain, result=found)


def _objects(seed: int, n_pictures: int, training: Stimuli | None, output: Path, encoder: ClipEncoder) -> Shown:
    table = rebuild_objects(output, encoder, seed, n_pictures, training)
    return table, partial(show_objects, folder=output / "pictures", table=table)
