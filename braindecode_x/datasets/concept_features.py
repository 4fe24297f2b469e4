"""What simulated subjects know of a picture's concept: category, keywords, and whether it is a face or a place.

From the stimulus table alone: the pixels and every embedding of them stay out of it.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache

import numpy as np
import pandas as pd

CATEGORY_LENGTH, KEYWORD_LENGTH = 48, 96
COLUMNS = ("category", "subcategory", "caption")

# How much a concept is a face or person, and a place or building, 0 to 1: by the start of its subcategory, and by the
# words of its caption; the largest counts.
FACES = {
    "subcategory": {
        "face-": 1.0,
        "cat-face": 0.8,
        "monkey-face": 0.8,
        "person": 0.8,
        "family": 0.8,
        "animal-mammal": 0.4,
        "animal-bird": 0.25,
        "body-parts": 0.25,
        "hand": 0.2,
    },
    "word": {
        "face": 1.0,
        "person": 0.8,
        "man": 0.8,
        "woman": 0.8,
        "boy": 0.8,
        "girl": 0.8,
        "people": 0.8,
        "men": 0.8,
        "women": 0.8,
        "santa": 0.8,
        "doll": 0.6,
        "dolls": 0.6,
        "snowman": 0.6,
    },
}
PLACES = {
    "subcategory": {
        "place-building": 1.0,
        "place-religious": 1.0,
        "hotel": 1.0,
        "place-geographic": 0.9,
        "place-other": 0.8,
        "transport-ground": 0.4,
        "transport-water": 0.4,
        "transport-air": 0.3,
        "place-map": 0.5,
        "sky & weather": 0.3,
        "household": 0.2,
    },
    "word": {
        "house": 1.0,
        "building": 1.0,
        "station": 0.9,
        "city": 1.0,
        "bridge": 0.9,
        "road": 0.9,
        "railway": 0.7,
        "track": 0.6,
        "beach": 0.9,
        "mountain": 0.8,
        "sunrise": 0.7,
        "sunset": 0.7,
        "door": 0.5,
        "window": 0.5,
        "bed": 0.4,
    },
}


def concept_features(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Describe concepts by their names.

    Every word stands for a fixed random vector of its own (random indexing), so that a concept's features do not depend
    on the others in the table, and concepts that share words are alike.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a picture, with the columns ``category``, ``subcategory`` and ``caption``.

    Returns
    -------
    dict of str to numpy.ndarray
        (n, d) of float32 each: ``category`` (category and subcategory), ``keywords`` (the caption's words), ``faces``
        and ``places`` (d = 1, in [0, 1]).
    """
    categories = zip(table["category"], table["subcategory"], strict=True)
    words = [_words(caption) for caption in table["caption"]]
    return {
        "category": _sums([[f"category {c}", f"subcategory {s}"] for c, s in categories], CATEGORY_LENGTH),
        "keywords": _sums(words, KEYWORD_LENGTH),
        "faces": _degrees(table["subcategory"], words, FACES),
        "places": _degrees(table["subcategory"], words, PLACES),
    }


def _words(caption: str) -> list[str]:
    return sorted(set(re.findall(r"[^\W\d_]+", caption.lower())))


def _sums(names: list[list[str]], length: int) -> np.ndarray:
    """Sum the vectors of each row's names, and divide by the root of their number."""
    rows = [sum((_vector(name, length) for name in row), np.zeros(length)) / max(len(row), 1) ** 0.5 for row in names]
    return np.asarray(rows, dtype=np.float32)


@cache
def _vector(name: str, length: int) -> np.ndarray:
    """Return the random vector of a name, the same in every process."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).standard_normal(length)


def _degrees(subcategories: pd.Series, words: list[list[str]], rules: dict[str, dict[str, float]]) -> np.ndarray:
    degrees = [
        max(
            0.0,
            *(degree for start, degree in rules["subcategory"].items() if subcategory.startswith(start)),
            *(rules["word"].get(word, 0.0) for word in row),
        )
        for subcategory, row in zip(subcategories, words, strict=True)
    ]
    return np.asarray(degrees, dtype=np.float32)[:, None]
