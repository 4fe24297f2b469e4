"""Telling what is being done."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console

T = TypeVar("T")


def stage(what: str, run: Callable[[], T]) -> T:
    """Run one stage with a spinner, and leave its name and time on the screen."""
    console = Console(stderr=True)
    started = time.time()
    with console.status(what):
        result = run()
    console.print(f"[green]done[/green] {what} ({time.time() - started:.1f} s)", highlight=False)
    return result


def announced(arguments: Sequence[str | Path], run: Callable[[], T]) -> T:
    """Run one of the package's commands, which says itself how far it is, between its line and its time."""
    console = Console(stderr=True)
    started = time.time()
    line = f"braindecode-x {shlex.join(map(str, arguments))}"
    console.print(line, style="bold", markup=False, highlight=False, soft_wrap=True)
    result = run()
    console.print(f"[green]done[/green] {arguments[0]} ({time.time() - started:.1f} s)", highlight=False)
    return result
