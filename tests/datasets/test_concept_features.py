from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from braindecode_x.datasets.concept_features import concept_features
from braindecode_x.stimuli import ObjectStimuli


def of(*rows: tuple[str, str, str]) -> dict[str, np.ndarray]:
    return concept_features(pd.DataFrame(rows, columns=["category", "subcategory", "caption"]))


def test_concepts_are_alike_by_shared_names() -> None:
    features = of(
        ("Objects", "tool", "steel hammer"),
        ("Objects", "tool", "wooden hammer"),
        ("Objects", "phone", "mobile phone"),
        ("Food & Drink", "food-fruit", "red apple"),
    )
    category, keywords = np.corrcoef(features["category"]), np.corrcoef(features["keywords"])
    assert category[0, 1] == pytest.approx(1)
    assert category[0, 1] > category[0, 2] > category[0, 3] + 0.2
    assert keywords[0, 1] > 0.3 > abs(keywords[0, 3])


@pytest.mark.parametrize(
    ("concept", "faces", "places"),
    [
        ("adult", 0.8, 0.0),
        ("house_building", 0.0, 1.0),
        ("cat", 0.4, 0.0),
        ("scissors", 0.0, 0.0),
        ("shoe", 0.0, 0.0),
    ],
)
def test_faces_and_places_of_known_concepts(objects: ObjectStimuli, concept: str, faces: float, places: float) -> None:
    name = "mans_shoe" if concept == "shoe" else concept
    features = concept_features(objects.subset(ids=[f"{name}-fluent3d"]).table)
    assert features["faces"].item() == pytest.approx(faces)
    assert features["places"].item() == pytest.approx(places)


def test_all_embedded_concepts_are_described(objects: ObjectStimuli) -> None:
    table = objects.subset(rendering="fluent3d").table
    features = concept_features(table)
    for values in features.values():
        assert len(values) == len(table)
        assert np.isfinite(values).all()
    assert 0.2 < (features["faces"] >= 0.8).mean() < 0.45
    assert 0.02 < (features["places"] >= 0.8).mean() < 0.1
    assert (np.linalg.norm(features["keywords"], axis=1) > 0).all()


def test_vectors_of_words_are_the_same_in_every_process() -> None:
    code = (
        "import pandas as pd; from braindecode_x.datasets.concept_features import concept_features; "
        "print(concept_features(pd.DataFrame([['a', 'b', 'cat']], columns=['category', 'subcategory', 'caption']))"
        "['keywords'].sum())"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(elsewhere) == pytest.approx(float(of(("a", "b", "cat"))["keywords"].sum()))
