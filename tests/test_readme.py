"""What the pages tell their reader to type: every command is one, and the road from own epochs is gone so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import mne
import pytest
from bids_eeg.make import make_bids
from PIL import Image
from small_epochs import SFREQ, TMIN, SmallEpochs

from braindecode_x.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "pipelines").rglob("README.md")),
    *sorted((ROOT / "data_cards").glob("*.md")),
]


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the blocks of code of a page, each with its language."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """Return the arguments of every command of the package in a page's blocks of code."""
    found: list[list[str]] = []
    for block in (block for language, block in blocks(text) if language in ("", "bash")):
        for word in shlex.split(block.replace("\\\n", " "), comments=True) if "braindecode-x" in block else ():
            if word == "braindecode-x":
                found.append([])
            elif found:
                found[-1].append(word)
    return found


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


TYPED = sorted({tuple(each) for page in PAGES for each in commands(page.read_text(encoding="utf-8"))})


@pytest.mark.parametrize("arguments", TYPED, ids=" ".join)
def test_every_command_of_the_pages_is_understood(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--print_config"])
    assert end.value.code in (0, None), capsys.readouterr().err


def test_own_epochs_become_pictures_as_the_readme_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cohort = SmallEpochs()
    subject = cohort.subject("anna")
    for name, pixels in zip(cohort.stimuli.ids, cohort.stimuli.pixels(16), strict=True):
        file = tmp_path / "pictures" / f"{name}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(file)
    subject.trials[["stimulus", "split"]].to_csv("trials.csv", index=False)
    info = mne.create_info(subject.channels, SFREQ, "eeg")
    mne.EpochsArray(subject.epochs, info, tmin=TMIN, verbose="error").save("my-epo.fif", verbose="error")

    text = section((ROOT / "README.md").read_text(encoding="utf-8"), "EEG and MEG")
    exec(dict(blocks(text))["python"], {})
    typed = commands(text)
    for arguments in typed[: [each[0] for each in typed].index("preprocess")]:
        if arguments[0] != "compare":  # it embeds all the pictures that the embedded models know
            main(arguments)
    tested = sorted({f"{name}.png" for name in subject.trials.loc[subject.trials["split"] == "test", "stimulus"]})
    assert sorted(file.name.removeprefix("sub-01_") for file in Path("seen_by_eeg").glob("*.png")) == tested
    assert list(Path("runs").rglob("windows.png"))


def test_a_bids_folder_becomes_a_decoder_as_the_readme_says(tmp_path, monkeypatch):
    pytest.importorskip("mne_bids")
    monkeypatch.chdir(tmp_path)
    make_bids(tmp_path / "study")
    text = section((ROOT / "README.md").read_text(encoding="utf-8"), "EEG and MEG")
    typed = commands(text)
    start = [each[0] for each in typed].index("preprocess")
    for arguments in typed[start : start + 2]:
        main(arguments)
    assert (tmp_path / "runs" / "preprocessed_epochs" / "decoder" / "config.json").is_file()
