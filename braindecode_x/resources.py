"""Finding the files that travel with the package."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).parent


def asset(*parts: str) -> Path:
    """Return the path of an embedded file, for example ``asset("objects", "objects.zip")``.

    Raises
    ------
    FileNotFoundError
        The file is not in this installation.
    """
    path = PACKAGE.joinpath("assets", *parts)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: this embedded file is missing; reinstall braindecode-x, or rebuild the assets with "
            "pipelines/assets/build_all.py"
        )
    return path


def travelling(folder: str, pattern: str) -> dict[str, Path]:
    """Find files of a top-level folder that travels in the wheel, such as ``pipelines`` and ``data_cards``.

    Parameters
    ----------
    folder : str
        In the wheel it lies inside the package, in a checkout beside it.
    pattern : str
        For example ``"*.yaml"``.

    Returns
    -------
    dict of str to Path
        By file name.
    """
    places = (PACKAGE.parent / folder, PACKAGE / folder)
    return {path.name: path for place in places for path in sorted(place.glob(pattern))}


def cache_folder() -> Path:
    """Return the folder for caches: ``$BRAINDECODE_X_CACHE``, else ``~/.cache/braindecode_x``."""
    chosen = os.environ.get("BRAINDECODE_X_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "braindecode_x"
