from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from object_families import family_of, split_concepts


def entry(unified, short_name, subcategory="person-role"):
    return {"unified": unified, "short_name": short_name, "subcategory": subcategory}


def test_gender_hair_and_direction_do_not_make_a_new_family():
    cook = family_of(entry("1F9D1-200D-1F373", "cook"))
    assert family_of(entry("1F468-200D-1F373", "male-cook")) == cook
    assert family_of(entry("1F469-200D-1F373", "female-cook")) == cook
    assert family_of(entry("1F468-200D-1F52C", "male-scientist")) != cook
    red_hair = family_of(entry("1F468-200D-1F9B0", "red_haired_man"))
    assert red_hair == family_of(entry("1F469", "woman")) == family_of(entry("1F9D1", "adult"))
    running = family_of(entry("1F3C3", "runner"))
    assert family_of(entry("1F3C3-200D-2640-FE0F-200D-27A1-FE0F", "woman_running_facing_right")) == running


# Concepts in families of one, two or three members.
families = st.lists(st.integers(1, 3), min_size=12, max_size=40).map(
    lambda sizes: {f"c{f}_{m}": f"f{f}" for f, size in enumerate([1] * 12 + sizes) for m in range(size)}
)


@given(families, st.integers(0, 2**32 - 1))
def test_split_holds_out_the_counts_and_divides_no_family(families, seed):
    split = split_concepts(families, {"c0_0", "c1_0"}, 6, 4, seed)
    counts = Counter(split.values())
    assert (counts["test"], counts["validation"], counts.total()) == (6, 4, len(families))
    assert split["c0_0"] == split["c1_0"] == "train"
    assert len({(families[concept], part) for concept, part in split.items()}) == len(set(families.values()))


@given(families, st.randoms())
def test_split_depends_on_the_seed_and_not_on_the_order(families, random):
    shuffled = list(families.items())
    random.shuffle(shuffled)
    assert split_concepts(dict(shuffled), set(), 6, 4, 7) == split_concepts(families, set(), 6, 4, 7)


def test_another_seed_gives_another_split():
    families = {f"c{i}": f"f{i}" for i in range(100)}
    assert split_concepts(families, set(), 20, 10, 1) != split_concepts(families, set(), 20, 10, 2)


def test_split_refuses_what_cannot_be():
    families = {"a": "f", "b": "f", "c": "g"}
    with pytest.raises(ValueError, match=r"1 concepts without a twin; 3 are to be held out"):
        split_concepts(families, set(), 2, 1, 0)
    with pytest.raises(ValueError, match=r"not in the set: \['d'\]"):
        split_concepts(families, {"d"}, 1, 0, 0)
