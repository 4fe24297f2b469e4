"""Reading and writing files so that nothing half-written is ever found under its final name."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTINGS = "settings.json"


@contextlib.contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``target`` that is renamed to it on success and removed on failure.

    Parameters
    ----------
    target : str or Path
        The file to write; its folder is made when missing.

    Yields
    ------
    Path
        Write here. The name ends like the target's, so that writers that look at the extension work.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".partial-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(target: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside ``target`` that is renamed to it on success and removed on failure.

    What a killed run left of it, and a folder that is there already, are removed.

    Parameters
    ----------
    target : str or Path
        The folder to make; the one above it is made when missing.

    Yields
    ------
    Path
        Write in here.
    """
    target = Path(target)
    temporary = target.with_name(f".partial-{target.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(target: str | Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: str | Path, content: Any) -> None:
    """Write a JSON file atomically, indented."""
    write_text(target, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_figure(figure: Figure, target: str | Path, dpi: int = 130) -> None:
    """Write a matplotlib figure atomically, and close it."""
    import matplotlib.pyplot as plt  # most users of this module draw nothing

    with atomic_path(target) as temporary:
        figure.savefig(temporary, dpi=dpi)
    plt.close(figure)


def read_json(source: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    ValueError
        It is damaged, or something else; the message names it.
    """
    try:
        return json.loads(Path(source).read_text(encoding="utf-8"))
    except ValueError as error:  # also of text that is not UTF-8
        raise ValueError(
            f"{source}: damaged, or no JSON file ({error}); restore it, or make its folder anew"
        ) from error


def claim_folder(folder: Path, settings: dict[str, Any], what: str, overwrite: bool) -> None:
    """Note in a folder what its content is made with, so that a run that was cut can go on and no other one mixes in.

    Parameters
    ----------
    folder : Path
        Made when missing; gets ``settings.json``.
    settings : dict
        Plain values for JSON.
    what : str
        What the folder holds, for the error.
    overwrite : bool
        Remove the folder first when it holds what was made with other settings.

    Raises
    ------
    ValueError
        The folder holds what was made with other settings.
    """
    file = folder / SETTINGS
    if file.is_file():
        found = read_json(file)
        changed = sorted(key for key in settings if found.get(key) != settings[key])
        if changed and not overwrite:
            raise ValueError(
                f"{folder}: holds {what} of other settings (different: {', '.join(changed)}); choose another output "
                "folder, or overwrite this one"
            )
        if changed:
            shutil.rmtree(folder)
    write_json(file, settings)


def file_hash(*paths: str | Path) -> str:
    """Hash the contents of files, in the given order (hexadecimal SHA-256, first 16 digits)."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def read_weights_config(
    folder: Path, what: str, config: str, weights: Sequence[str], others: Sequence[str] = ()
) -> dict[str, Any]:
    """Read the configuration in a folder of weights, whose ``hash`` is that of the weights.

    Parameters
    ----------
    folder : Path
    what : str
        What it should be, for example ``"a decoder folder"``.
    config : str
        Name of the configuration, a JSON file.
    weights : sequence of str
        Names of the files that are hashed, in order.
    others : sequence of str
        Names of further files that have to be there.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        The configuration is damaged, or names other weights.
    """
    for name in (config, *others, *weights):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder}: not {what}, {name} is missing")
    about = read_json(folder / config)
    if about["hash"] != (found := file_hash(*(folder / name for name in weights))):
        raise ValueError(f"{folder}: weights of hash {found}, but {config} names {about['hash']}; save it again")
    return about


def unknown_name(what: str, name: str, known: Iterable[str]) -> ValueError:
    """Make the error for a name that is not known, offering the nearest ones.

    Parameters
    ----------
    what : str
        What kind of thing was named, for example ``"reconstructor"``.
    name : str
        What was given.
    known : iterable of str
        What would have been accepted.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    if near:
        return ValueError(f"unknown {what} {name!r}; did you mean {' or '.join(map(repr, near))}?")
    return ValueError(f"unknown {what} {name!r}; known: {', '.join(known[:20])}")
