from __future__ import annotations

from pathlib import Path

import pytest

from braindecode_x import resources
from braindecode_x.datasets import cards


def test_the_installed_card_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a wheel the cards lie inside the package, in a checkout beside it."""
    for folder, place in ((tmp_path / "package" / "data_cards", "package"), (tmp_path / "data_cards", "checkout")):
        folder.mkdir(parents=True)
        (folder / "faces.md").write_text(f"---\nplace: {place}\n---\n# Faces\n")
    (tmp_path / "data_cards" / "only_here.md").write_text("---\nruns: 3\n---\n")
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "package")
    assert cards.read_card("faces") == {"place": "package"}
    assert cards.read_card("only_here") == {"runs": 3}


def test_an_unknown_card_offers_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown data card 'haxby2002'; did you mean 'haxby2001'"):
        cards.read_card("haxby2002")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# No front matter\n", "expected YAML front matter"),
        ("---\nruns: 3\n", "expected YAML front matter"),
        ("---\n- 3\n---\n", "must be a YAML mapping, found list"),
        ("---\nruns: [3\n---\n", "not valid YAML"),
    ],
)
def test_a_broken_card_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    card = tmp_path / "broken.md"
    card.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        cards.parse_front_matter(card)
    assert str(card) in str(error.value)
