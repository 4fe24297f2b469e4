"""Telling what is being done."""

from __future__ import annotations

import time
from collections.abc import Callable
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
