"""Running the parts of the demonstration, two at a time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
from rich.console import Console
from threadpoolctl import threadpool_limits

from braindecode_x.clip import ClipEncoder
from braindecode_x.report import Page

Shown = tuple[pd.DataFrame, Callable[[Page], None]]  # tidy scores, and what shows them on a page
Run = Callable[[Path, ClipEncoder], Shown]  # takes the part's folder and the embedded CLIP
AT_ONCE = 2  # each takes some 2.5 GB


def run_parts(parts: Mapping[str, Run], output: Path) -> dict[str, Shown]:
    """Run parts, each in the folder of its name; one alone here, several in processes that share the cores.

    Two processes of one thread are faster on two cores than one after the other with two, for much is too small to be
    shared. What a part says is in ``{part}.log`` then.
    """
    if len(parts) == 1:
        return {name: run(output / name, ClipEncoder()) for name, run in parts.items()}
    threads = max(1, (os.cpu_count() or 1) // AT_ONCE)
    console, found = Console(stderr=True), {}
    console.print(f"{len(parts)} parts, {AT_ONCE} at a time; what they say: {output}/*.log", highlight=False)
    output.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(AT_ONCE, get_context("spawn")) as pool:
        order = sorted(parts, key=lambda name: not name.startswith("simulated"))  # those take longest
        jobs = {pool.submit(_logged, parts[name], output / name, threads): name for name in order}
        with console.status("running"):
            for job in as_completed(jobs):
                name = jobs[job]
                try:
                    found[name], seconds = job.result()
                except Exception as error:
                    pool.shutdown(wait=False, cancel_futures=True)
                    error.add_note(f"in the part {name}; what it said is in {output / name}.log")
                    raise
                console.print(f"[green]done[/green] {name} ({seconds:.0f} s)", highlight=False)
    return {name: found[name] for name in parts}


def _logged(run: Run, folder: Path, threads: int) -> tuple[Shown, float]:
    """Run a part; what it says goes to a file. Also returns its seconds."""
    started = time.time()
    with open(f"{folder}.log", "w", encoding="utf-8") as log:
        for stream in (sys.stdout, sys.stderr):  # of this process, also for loggers that took them already
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
    encoder = ClipEncoder()
    with threadpool_limits(threads):  # of the libraries that are loaded by now
        return run(folder, encoder), time.time() - started
