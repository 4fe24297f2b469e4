"""What every analysis is asked for; light, so that the command line can show it at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StudySettings:
    """What is analysed.

    Parameters
    ----------
    output
        Folder; every analysis gets one of its own in it.
    decoder
        Folder of a trained decoder or of the run that made it, or a checkpoint of the run. Without one, ridge is
        fitted.
    data
        A configuration of "fit", whose section "data" says what is analysed. Default: that of the decoder's run.
    subjects
        For example [sub-01, sub-02]; default: those of the configuration.
    split
        The pictures that are tested.
    seed
        Of bootstrap, permutations and reconstructions.
    overwrite
        Remove the analysis's folder first when it holds one of other settings.
    """

    output: Path = Path("runs/analysis")
    decoder: Path | None = None
    data: Path | None = None
    subjects: list[str] | None = None
    split: str = "test"
    seed: int = 0
    overwrite: bool = False
