"""What the commands of analyses share: data and decoder, a folder, and tables that are kept when a run is cut."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from matplotlib.figure import Figure

from braindecode_x.analysis.parts import Predict, SubjectPictures, predictor
from braindecode_x.analysis.settings import StudySettings
from braindecode_x.comparison import write_csv
from braindecode_x.datamodules.base import CohortDataModule
from braindecode_x.datamodules.epochs import EpochsDataModule
from braindecode_x.datamodules.predicted import matched_decoder
from braindecode_x.datamodules.windows import WindowsDataModule
from braindecode_x.decoder import CONFIG, BrainDecoder
from braindecode_x.files import claim_folder, file_hash, read_json, write_figure
from braindecode_x.lightning_cli import CONFIG as RUN_CONFIG
from braindecode_x.lightning_cli import refuse_damaged
from braindecode_x.run_report import read_csv
from braindecode_x.tasks.base import EmbeddingTask

TEXT = ["subject", "mode", "windows", "region", "channels", "channel", "network", "parcels", "parcel"]
TEXT += ["stimulus", "concept", "category", "metric", "cluster"]


@dataclass
class Study:
    """One analysis of a cohort.

    Attributes
    ----------
    folder : Path
        Of its tables and figures.
    data : CohortDataModule
    decoder : BrainDecoder or None
    names : list of str
        By the decoder's ids.
    split : str
        What is tested.
    seed : int
    about : dict
        What was asked for, for the folder's settings.
    overwrite : bool
    run : Path or None
        Configuration of the decoder's training.
    """

    folder: Path
    data: CohortDataModule
    decoder: BrainDecoder | None
    names: list[str]
    split: str
    seed: int
    about: dict[str, Any]
    overwrite: bool
    run: Path | None = None
    _pictures: SubjectPictures | None = None

    def claim(self, **options: Any) -> None:
        """Note in the folder what is analysed and how; a ValueError when it holds another analysis."""
        claim_folder(self.folder, {**self.about, **options}, "an analysis", self.overwrite)

    def table(self, name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Read a table that is in the folder already, or make and write it."""
        if not self.has(name):
            self.write(name, make())
        return read_csv(self.folder / f"{name}.csv", TEXT)

    def has(self, name: str) -> bool:
        """Tell whether a table is in the folder."""
        return (self.folder / f"{name}.csv").is_file()

    def write(self, name: str, table: pd.DataFrame) -> None:
        """Write a table."""
        write_csv(table, self.folder / f"{name}.csv")

    def draw(self, name: str, figure: Figure) -> None:
        """Write a figure."""
        write_figure(figure, self.folder / f"{name}.png", dpi=150)

    def say(self, table: pd.DataFrame) -> None:
        """Print a table and where everything is."""
        sys.stdout.write(table.to_string(index=False, float_format="{:.3g}".format) + "\n")
        sys.stdout.write(f"tables and figures: {self.folder}\n")

    @property
    def epochs(self) -> EpochsDataModule:
        """The data; a ValueError when it is not of EEG or MEG."""
        if not isinstance(self.data, EpochsDataModule):
            raise ValueError(
                f"data: expected epochs of EEG or MEG (EpochsDataModule), found {type(self.data).__name__}"
            )
        return self.data

    @property
    def windows(self) -> WindowsDataModule:
        """The data; a ValueError when it is not of windows of BOLD."""
        if not isinstance(self.data, WindowsDataModule):
            raise ValueError(f"data: expected windows of BOLD (WindowsDataModule), found {type(self.data).__name__}")
        return self.data

    def pictures(self, subject: str) -> SubjectPictures:
        """Take a subject's pictures; those of one subject at a time are in memory."""
        if self._pictures is None or self._pictures.name != subject:
            self._pictures = None
            self._pictures = SubjectPictures.of(self.data, subject, self.split)
        return self._pictures

    def predict(self, subject: str) -> Predict:
        """Return the decoder as a function of a subject's standardised trials."""
        return predictor(self.required_decoder, self.number(subject))

    def number(self, subject: str) -> int:
        """Return a subject's id."""
        return self.names.index(subject)

    @cached_property
    def required_decoder(self) -> BrainDecoder:
        """The decoder; a ValueError when none was given."""
        if self.decoder is None:
            raise ValueError("decoder: give the folder of a trained decoder")
        return self.decoder

    def modes(self, chosen: Sequence[str] | None) -> list[str]:
        """Return what was chosen; by default masked, where there is a decoder, and retrained."""
        modes = list(chosen or (["retrained"] if self.decoder is None else ["masked", "retrained"]))
        if "masked" in modes:
            self.required_decoder  # noqa: B018 (it raises)
        return modes


def open_study(name: str, settings: StudySettings) -> Study:
    """Open data and decoder of an analysis of this name.

    Raises
    ------
    FileNotFoundError, ValueError
        Neither data nor decoder are named, one cannot be read, or they do not fit each other.
    """
    source, config = settings.decoder, settings.data
    if source is not None and (source / "decoder" / CONFIG).is_file():
        source = source / "decoder"
    run = None if source is None else (source.parent.parent if source.is_file() else source.parent) / RUN_CONFIG
    config = config or run
    if config is None:
        raise ValueError("data and decoder: give one at least")
    section = read_section(config, "data")
    fixed = {key: value for key, value in section.get("init_args", {}).items() if key != "subjects"}
    about: dict[str, Any] = {"analysis": name, "data": {**section, "init_args": fixed}, "decoder": None}
    about |= {"split": settings.split, "seed": settings.seed}
    if settings.subjects is not None:
        section["init_args"] = {**section.get("init_args", {}), "subjects": list(settings.subjects)}
    data = make_section(config, "data", section, CohortDataModule)
    decoder, names = None, list(data.subjects)
    if source is not None and run is not None:
        decoder, names = matched_decoder(from_checkpoint(source, run) if source.is_file() else source, data)
        about["decoder"] = file_hash(source) if source.is_file() else read_json(source / CONFIG)["hash"]
    folder = settings.output / name
    return Study(folder, data, decoder, names, settings.split, settings.seed, about, settings.overwrite, run)


def from_checkpoint(checkpoint: Path, config: Path) -> BrainDecoder:
    """Load a decoder from a checkpoint of ``fit`` and the configuration of its run.

    Raises
    ------
    FileNotFoundError, ValueError
        One of the two is missing, damaged or something else.
    """
    refuse_damaged(checkpoint)
    task = make_section(config, "model", read_section(config, "model"), EmbeddingTask)
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    task.on_load_checkpoint(state)
    task.load_state_dict(state["state_dict"])
    return task.decoder


def read_section(config: Path, name: str) -> dict[str, Any]:
    """Read a section, which names a class, of a configuration of ``fit``.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not YAML, or has no such section.
    """
    if not config.is_file():
        raise FileNotFoundError(f"{config}: no such configuration; name one with --data")
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{config}: damaged, or not YAML ({error})") from error
    section = content.get(name) if isinstance(content, dict) else None
    if not isinstance(section, dict) or "class_path" not in section:
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{config}: expected a section {name} with a class_path, as of `fit`; found {found}")
    return section


def make_section(config: Path, name: str, section: dict[str, Any], base: type) -> Any:
    """Make the object that a section describes.

    Parameters
    ----------
    config : Path
        Its file, for errors.
    name : str
    section : dict
        From `read_section`.
    base : type
        What it must be a kind of.

    Raises
    ------
    ValueError
        It does not describe one.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, name, required=True)
    try:
        chosen = parser.parse_object({name: section})
    except ArgumentError as error:
        raise ValueError(f"{config}: {name}: {error}") from error
    return parser.instantiate(chosen)[name]
