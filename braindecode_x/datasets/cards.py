"""Data cards: one Markdown file a dataset, with YAML front matter that the code reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from braindecode_x.files import unknown_name
from braindecode_x.resources import travelling


def read_card(name: str) -> dict[str, Any]:
    """Read the front matter of a data card.

    Parameters
    ----------
    name : str
        The card's file name without ``.md``, for example ``"haxby2001"``.

    Returns
    -------
    dict
        Licence, citation, expected counts and the like, as the card names them.

    Raises
    ------
    ValueError
        No such card, or its front matter is missing or no YAML mapping.
    """
    cards = {path.stem: path for path in travelling("data_cards", "*.md").values()}
    if name not in cards:
        raise unknown_name("data card", name, cards)
    return parse_front_matter(cards[name])


def differences(name: str, counts: dict[str, int]) -> list[str]:
    """Say where a copy of a published data set differs from what its card counts.

    Parameters
    ----------
    name : str
        The card.
    counts : dict of str to int
        What was found, by the names of the card's ``counts``.

    Returns
    -------
    list of str
        For example ``["2 subjects instead of 10"]``; empty for a whole copy.
    """
    expected = read_card(name)["counts"]
    return [f"{counts[what]} {what} instead of {n}" for what, n in expected.items() if counts[what] != n]


def parse_front_matter(path: Path) -> dict[str, Any]:
    """Parse the YAML between the first two lines ``---`` of a Markdown file.

    Raises
    ------
    ValueError
        The front matter is missing or no YAML mapping.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines[:1] != ["---"] or "---" not in lines[1:]:
        raise ValueError(f"{path}: expected YAML front matter between two lines '---' at the top; found none")
    try:
        front_matter = yaml.safe_load("\n".join(lines[1 : lines.index("---", 1)]))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: front matter is not valid YAML ({error})") from error
    if not isinstance(front_matter, dict):
        raise ValueError(f"{path}: front matter must be a YAML mapping, found {type(front_matter).__name__}")
    return front_matter
