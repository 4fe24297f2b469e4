"""The page of a run, from a small comparison that is written by hand."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from braindecode_x.diffusion.reconstruct import write_png
from braindecode_x.run_report import evenly, read_log, region_figure, training_figure, write_report

ROWS = ["MindBridge", "ridge", "nearest training picture", "chance", "ceiling"]
SUBJECTS = ["01", "NA"]  # names that look like something else
STIMULI = [f"picture-{k}" for k in range(20)]


def write_comparison(folder):
    trials = pd.DataFrame(
        [(f"{s}_{i}", s, i) for s in SUBJECTS for i in STIMULI], columns=["id", "subject", "stimulus"]
    )
    for number, name in enumerate(["seen", *ROWS]):
        trials[name] = [f"{name}/{i}.png" for i in trials["stimulus"]]
        for k, stimulus in enumerate(STIMULI):
            write_png(folder / name / f"{stimulus}.png", torch.full((3, 8, 8), (number * 20 + k) / 120))
    trials.to_csv(folder / "pictures.csv", index=False)
    found = trials[["id", "subject", "stimulus"]].assign(place=3, candidates=20)
    for column in range(1, 6):
        found[str(column)] = np.roll(found["stimulus"], column - 3)
    found.to_csv(folder / "retrieved.csv", index=False)
    rows = [
        {"subject": subject, "system": system, "metric": metric, "value": 0.25, "low": 0.2, "high": 0.3, "n": 20}
        | {"difference": np.nan if system == "ridge" else 0.0625, "difference_low": -0.01, "difference_high": 0.13}
        for subject in ("all", *SUBJECTS)
        for system in ROWS
        for metric in ("image from brain, 20-way", "embedded judge distance", "PixCorr")
    ]
    pd.DataFrame(rows).to_csv(folder / "comparison.csv", index=False)
    about = {
        "versions": {"braindecode_x": "9.8.7", "torch": "1.2.3"},
        "seed": 4321,
        "systems": {"MindBridge": ["c0ffee"], "ridge": []},
        "rows": ROWS,
        "baseline": "ridge",
        "subjects": dict.fromkeys(SUBJECTS, 20),
        "seen": {"set": "my <pictures>", "pictures": 20},
        "training": {"set": "my <pictures>", "pictures": 333},
        "space": {"model": "m", "weights": "w", "kind": "pooled", "shape": [8], "normalisation": "unit"},
        "reconstructor": {"name": "embedded", "weights": "abcd", "sampling": {"steps": 6}},
        "judges": {"embedded": "network"},
    }
    (folder / "comparison.json").write_text(json.dumps(about))


@pytest.fixture
def folder(tmp_path):
    write_comparison(tmp_path)
    return tmp_path


@pytest.fixture
def run(tmp_path):
    """Write a log as Lightning does: training and validation in rows of their own."""
    log = tmp_path / "log"
    log.mkdir()
    rows = [{"epoch": e, "step": 7 * e, "train/total": 8 / (e + 1)} for e in range(3)]
    rows += [{"epoch": e, "step": 7 * e, "val/top1": e / 10, "val/top1_01": e / 5} for e in range(3)]
    pd.DataFrame(rows).to_csv(log / "metrics.csv", index=False)
    (log / "config.yaml").write_text("model:\n  lr: 0.00123\n")
    return log


def test_the_page_needs_no_other_file_and_says_what_was_run(folder, run):
    regions = pd.DataFrame([[0.3, 0.2], [0.1, 0.4]], index=SUBJECTS, columns=["V1", "LO"])
    written = write_report(folder, run, regions, title="A run")
    assert written == folder / "report.html"
    page = written.read_text(encoding="utf-8")
    assert set(re.findall(r'(?:src|href)="(.{5})', page)) == {"data:"}
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    for fact in ("A run", "9.8.7", "4321", "c0ffee", "my &lt;pictures&gt;", "333 of", "abcd", "steps 6", "lr: 0.00123"):
        assert fact in page, fact
    assert "25.0% [20.0,\u00a030.0]" in page
    assert "+6.2% [-1.0,\u00a013.0]" in page
    assert "embedded judge distance (lower is better)" in page
    assert "right one: place 3 of 20" in page
    for subject in SUBJECTS:
        assert f"All scores of {subject}" in page
    pictures = 2 * 12 * (1 + len(ROWS)) + 2 * 4 * 6
    assert page.count('<img src="data:image/png;base64,') == pictures
    assert page.count("<img class=plot") == 2


def test_without_a_run_there_is_no_training_and_without_retrieval_none_is_shown(folder):
    (folder / "retrieved.csv").unlink()
    page = write_report(folder).read_text(encoding="utf-8")
    assert "<h2>Training</h2>" not in page
    assert "right one" not in page
    assert "<h2>Scores</h2>" in page


def test_noise_ceilings_come_from_the_run_unless_they_are_given(folder, run, monkeypatch):
    drawn = []
    monkeypatch.setattr("braindecode_x.run_report.region_figure", lambda regions: drawn.append(regions) or Figure())
    write_report(folder, run)
    assert not drawn
    (run / "noise_ceilings.csv").write_text("subject,V1,LO\n01,0.3,0.2\nNA,,0.4\n")
    assert "<h2>How much signal there is</h2>" in write_report(folder, run).read_text(encoding="utf-8")
    assert drawn[0].index.tolist() == SUBJECTS
    np.testing.assert_array_equal(drawn[0].to_numpy(), [[0.3, 0.2], [np.nan, 0.4]])
    given = pd.DataFrame([[0.1]], index=["01"], columns=["V4"])
    write_report(folder, run, given)
    assert drawn[1] is given


@pytest.mark.parametrize("name", ["comparison.json", "comparison.csv", "pictures.csv"])
def test_a_missing_part_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"no {name}; expected a folder that a comparison was written to"):
        write_report(folder)


def test_a_folder_without_a_log_is_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no metrics\.csv"):
        write_report(folder, tmp_path / "nothing")


def test_log_is_one_row_an_epoch_and_drawn_whole(run):
    log = read_log(run)
    assert log.index.tolist() == [0, 1, 2]
    losses, scores = training_figure(log).axes
    assert np.allclose(losses.lines[0].get_ydata(), [1, 1 / 2, 1 / 3])
    assert {line.get_label(): line.get_ydata()[-1] for line in scores.lines} == pytest.approx(
        {"top1": 0.2, "top1_01": 0.4}
    )


def test_regions_are_drawn_a_point_a_subject():
    regions = pd.DataFrame([[0.3, 0.2], [0.1, 0.4]], index=SUBJECTS, columns=["V1", "LO"])
    (axes,) = region_figure(regions).axes
    assert [line.get_ydata().tolist() for line in axes.lines] == regions.to_numpy().tolist()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["V1", "LO"]


@pytest.mark.parametrize(("n", "count"), [(200, 12), (13, 12), (12, 12), (3, 12)])
def test_shown_ones_are_spread_over_all(n, count):
    shown = evenly(range(n), count)
    assert len(set(shown)) == min(n, count)
    assert (shown[0], shown[-1]) == (0, n - 1)
    assert np.ptp(np.diff(shown)) <= 1
