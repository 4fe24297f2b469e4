from __future__ import annotations

from pathlib import Path

import pytest

from braindecode_x.datasets import cards


def test_a_card_in_the_package_comes_before_the_one_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("package", "checkout"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "faces.md").write_text(f"---\nplace: {place}\n---\n# Faces\n")
    (tmp_path / "checkout" / "only_here.md").write_text("---\nruns: 3\n---\n")
    monkeypatch.setattr(cards, "FOLDERS", (tmp_path / "package", tmp_path / "checkout"))
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
