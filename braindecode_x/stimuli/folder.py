"""A folder of one's own pictures as a stimulus set."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from braindecode_x.stimuli.base import Stimuli

EXTENSIONS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


class FileStimuli(Stimuli):
    """Pictures that lie in files.

    Parameters
    ----------
    name : str
        Name of the set.
    table : pandas.DataFrame
        One row per picture, indexed by ``id``, with the columns ``file`` and ``caption``; more are kept.
    """

    def read(self, stimulus: str) -> bytes:
        """Return the encoded picture file of one stimulus."""
        return Path(self.where(stimulus)).read_bytes()

    def where(self, stimulus: str) -> str:
        """Say where a stimulus lies, for error messages."""
        return str(self.table.at[stimulus, "file"])


class FolderStimuli(FileStimuli):
    """The pictures of a folder and its subfolders.

    Parameters
    ----------
    folder : str or Path
        Pictures (PNG, JPEG, WebP, BMP, GIF, TIFF). Hidden files and folders are passed over; any other file that is
        not a picture is an error, except tables (CSV).
    captions : str or Path, optional
        CSV with the columns ``id`` and ``caption`` (more columns are kept). Default: ``captions.csv`` in the folder
        when it is there. A picture's id is its path within the folder without the extension, parts joined by ``/``.

    Raises
    ------
    FileNotFoundError
        The folder or the caption file does not exist.
    ValueError
        No picture in the folder, a file that is no picture, two pictures with one id, or captions that do not fit.
    """

    def __init__(self, folder: str | Path, captions: str | Path | None = None):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder}: no such folder of pictures")
        table_file = self._caption_file(captions)
        files = [p for p in sorted(self.folder.rglob("*")) if not (p.is_dir() or self._hidden(p))]
        files = [p for p in files if p.suffix.lower() != ".csv"]
        broken = [p for p in files if not p.exists()]
        if broken:
            raise ValueError(f"{broken[0]}: a link to a file that is not there; fetch it or remove the link")
        others = [p for p in files if p.suffix.lower() not in EXTENSIONS]
        if others:
            raise ValueError(
                f"{others[0]}: not a picture by its ending; expected one of {', '.join(sorted(EXTENSIONS))}"
            )
        if not files:
            raise ValueError(
                f"{self.folder}: holds no picture; expected files ending in {', '.join(sorted(EXTENSIONS))}"
            )
        ids = [p.relative_to(self.folder).with_suffix("").as_posix() for p in files]
        table = pd.DataFrame({"file": [str(p) for p in files], "caption": ""}, index=pd.Index(ids, name="id"))
        self._refuse_duplicates(table)
        super().__init__(self.folder.resolve().name, _with_captions(table, table_file))

    def _hidden(self, path: Path) -> bool:
        return any(part.startswith(".") for part in path.relative_to(self.folder).parts)

    def _caption_file(self, captions: str | Path | None) -> Path | None:
        if captions is not None:
            if not Path(captions).is_file():
                raise FileNotFoundError(f"{captions}: no such caption file")
            return Path(captions)
        default = self.folder / "captions.csv"
        return default if default.is_file() else None

    def _refuse_duplicates(self, table: pd.DataFrame) -> None:
        for stimulus, files in table["file"].groupby(level=0):
            if len(files) > 1:
                raise ValueError(f"{self.folder}: id {stimulus!r} is not unique; it names {' and '.join(files)}")


def _with_captions(table: pd.DataFrame, file: Path | None) -> pd.DataFrame:
    if file is None:
        return table
    try:
        captions = pd.read_csv(file, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise ValueError(f"{file}: not a readable CSV table in UTF-8 ({error})") from error
    missing = {"id", "caption"} - set(captions)
    if missing:
        raise ValueError(f"{file}: needs the columns id and caption; missing {sorted(missing)}, found {list(captions)}")
    captions = captions.set_index("id")
    if captions.index.has_duplicates:
        raise ValueError(
            f"{file}: ids must be unique; repeated: {captions.index[captions.index.duplicated()].tolist()[:5]}"
        )
    unknown = captions.index.difference(table.index)
    if len(unknown):
        raise ValueError(f"{file}: ids without a picture: {unknown.tolist()[:5]}")
    extra = captions.drop(columns="file", errors="ignore").reindex(table.index).fillna("")
    return table.drop(columns="caption").join(extra)
