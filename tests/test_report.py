from __future__ import annotations

import pandas as pd
import pytest
import torch

from braindecode_x.report import Page, comparison_table, confusion_figure, print_comparison, wide_table


@pytest.fixture
def table():
    rows = [
        ("ridge", "two-way", 0.912, 0.9, 0.93),
        ("ridge", "PixCorr", 0.512, 0.5, 0.53),
        ("chance", "two-way", 0.5, 0.48, 0.52),
        ("chance", "PixCorr", 0.1, 0.09, 0.11),
    ]
    return pd.DataFrame(rows, columns=["system", "metric", "value", "low", "high"])


def test_wide_table_keeps_order_and_units(table):
    wide = wide_table(table)
    assert list(wide.index) == ["ridge", "chance"]
    assert list(wide.columns) == ["two-way", "PixCorr"]
    assert wide.loc["ridge", "two-way"] == "91.2% [90.0, 93.0]"
    assert wide.loc["ridge", "PixCorr"] == "0.512 [0.500, 0.530]"


def test_page_holds_its_parts_and_escapes_text(table, tmp_path):
    page = Page("A <title>", "lead & more")
    page.heading("Part")
    page.table(wide_table(table), "caption")
    page.grid([("row", [torch.rand(3, 4, 4)] * 2)], ["a", "b"], "pictures")
    page.figure(confusion_figure(pd.DataFrame([[3, 1], [0, 4]], ["x", "y"], ["x", "y"]), "t"), "confusion")
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "A &lt;title&gt;" in text
    assert "lead &amp; more" in text
    assert text.count("data:image/png;base64,") == 3
    assert "91.2% [90.0, 93.0]" in text


def test_a_comparison_shows_one_subject_and_the_paired_difference(table, capsys):
    compared = table.assign(subject="all", n=8, difference=[-0.05, 0.25, 0.5, 0.5], difference_low=-0.1)
    compared = compared.assign(difference_high=0.3).replace({"system": {"ridge": "mine", "chance": "ridge"}})
    compared.loc[compared["system"] == "ridge", ["difference", "difference_low", "difference_high"]] = float("nan")
    both = pd.concat([compared, compared.assign(subject="s1", value=0.123)])
    wide = comparison_table(both)
    assert list(wide.columns) == ["mine", "ridge", "mine - ridge"]
    assert wide.loc["two-way"].tolist() == ["91.2% [90.0, 93.0]", "50.0% [48.0, 52.0]", "-5.0% [-10.0, 30.0]"]
    assert wide.loc["PixCorr", "mine - ridge"] == "+0.250 [-0.100, 0.300]"
    assert comparison_table(both, "s1").loc["PixCorr", "mine"].startswith("0.123")
    print_comparison(both)
    assert "91.2% [90.0, 93.0]" in capsys.readouterr().out
    with pytest.raises(ValueError, match="unknown subject of the comparison 's2'; did you mean 's1'"):
        comparison_table(both, "s2")
