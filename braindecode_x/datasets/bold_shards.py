"""Runs of parcellated BOLD in tar files (``webdataset`` shards), for corpora that do not fit into memory.

Format
    Members of one run stand together in its tar: ``<run>.bold.npy`` (volumes, parcels) of float32 and
    ``<run>.run.json`` with ``tr`` (seconds) and ``events`` (columns, or null). A folder of ours also holds
    ``index.csv``, which says what each shard holds, and ``parcels.json``.
    As published (Thomas et al. 2022; arXiv 2411.07121): ``<run>.bold.pyd`` and ``<run>.t_r.pyd`` (seconds), which are
    pickles and read as `braindecode_x.datasets.restricted_pickle` says; other members are passed over.
Citation
    Thomas, A. W., Re, C., & Poldrack, R. A. (2022). Self-supervised learning of brain dynamics from broad neuroimaging
    data. NeurIPS 35, 21255-21269.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import webdataset
from rich.progress import track
from webdataset.gopen import gopen
from webdataset.tariterators import group_by_keys, tar_file_iterator

from braindecode_x.datasets.parcels import Parcels
from braindecode_x.datasets.restricted_pickle import read_pickled
from braindecode_x.datasets.runs import ParcelRun, RunsCohort
from braindecode_x.files import atomic_path, claim_folder, read_json, unknown_name, write_json
from braindecode_x.resources import cache_folder

BOLD, ABOUT = "bold.npy", "run.json"
PUBLISHED_BOLD, PUBLISHED_TR = "bold.pyd", "t_r.pyd"
INDEX, PARCELS = "index.csv", "parcels.json"
COLUMNS = {"shard": str, "run": str, "volumes": int, "parcels": int, "tr": float}


def write_shard(runs: Iterable[ParcelRun], target: str | Path) -> pd.DataFrame:
    """Write runs to one tar, atomically.

    Parameters
    ----------
    runs : iterable of ParcelRun
    target : str or Path
        A ``.tar``.

    Returns
    -------
    pandas.DataFrame
        One row a run: ``shard`` (the name of the file), ``run``, ``volumes``, ``parcels`` and ``tr``.

    Raises
    ------
    ValueError
        A name has a dot, which would end it in a tar, or two runs have one name.
    """
    target = Path(target)
    rows: dict[str, dict[str, Any]] = {}
    with atomic_path(target) as temporary, webdataset.TarWriter(str(temporary), mtime=0, encoder=False) as tar:
        for run in runs:
            if "." in run.name or run.name in rows:
                raise ValueError(f"{target}: cannot hold the run {run.name!r}; expected names without dots, each once")
            about = {"tr": run.tr, "events": None if run.events is None else run.events.to_dict("list")}
            array = io.BytesIO()
            np.save(array, np.ascontiguousarray(run.bold, np.float32))
            tar.write({"__key__": run.name, BOLD: array.getvalue(), ABOUT: json.dumps(about, default=_plain).encode()})
            rows[run.name] = _row(target.name, run)
    return pd.DataFrame(list(rows.values()), columns=list(COLUMNS)).astype(COLUMNS)


def write_shards(
    cohort: RunsCohort,
    folder: str | Path,
    subjects: Sequence[str] | None = None,
    runs_per_shard: int = 16,
    overwrite: bool = False,
    progress: bool = False,
) -> pd.DataFrame:
    """Write a cohort's runs to shards; subjects that are there are kept, so a run that was cut goes on.

    Parameters
    ----------
    cohort : RunsCohort
    folder : str or Path
        Gets ``<subject>-000.tar`` and so on, ``index.csv`` and ``parcels.json``.
    subjects : sequence of str, optional
        Default: all of the cohort.
    runs_per_shard : int
    overwrite : bool
        Replace a folder that was written with other settings.
    progress : bool
        Show a bar.

    Returns
    -------
    pandas.DataFrame
        The index, see `write_shard`.

    Raises
    ------
    ValueError
        The folder holds runs of other parcels, an unknown subject, or fewer than one run a shard.
    """
    folder, subjects = Path(folder), tuple(cohort.subjects if subjects is None else subjects)
    for name in subjects:
        if name not in cohort.subjects:
            raise unknown_name("subject", name, cohort.subjects)
    if runs_per_shard < 1:
        raise ValueError(f"runs_per_shard: expected at least 1, found {runs_per_shard}")
    settings = {"runs_per_shard": runs_per_shard, "parcels": cohort.parcels.to_dict()}
    claim_folder(folder, settings, "shards", overwrite)
    write_json(folder / PARCELS, cohort.parcels.to_dict())
    index = _read_index(folder / INDEX) if (folder / INDEX).is_file() else pd.DataFrame(columns=list(COLUMNS))
    for name in track(subjects, "write shards", disable=not progress):
        if index["shard"].str.fullmatch(rf"{re.escape(name)}-\d+\.tar").any():
            continue
        runs = cohort.runs(name)
        starts = range(0, len(runs), runs_per_shard)
        own = [
            write_shard(runs[start : start + runs_per_shard], folder / f"{name}-{number:03d}.tar")
            for number, start in enumerate(starts)
        ]
        index = pd.concat([index, *own] if len(index) else own, ignore_index=True)
        _write_index(index, folder / INDEX)
    return index


def read_shard(shard: str | Path, skipped: list[str] | None = None) -> Iterator[ParcelRun]:
    """Read the runs of a shard, one after the other; what is damaged is skipped with a warning.

    Parameters
    ----------
    shard : str or Path
        A file, or any URL that webdataset takes (``https://...``, ``pipe:...``).
    skipped : list of str, optional
        Gets what was skipped and why: a run that is damaged, poisoned or holds values that are not finite, or all that
        follows when the tar itself is cut off.

    Yields
    ------
    ParcelRun
    """
    ends: list[str] = []
    repeated: list[str] = []
    for sample in _samples(str(shard), ends, repeated):
        try:
            yield _run(sample)
        except (KeyError, ValueError, TypeError, EOFError) as error:
            if not ends:
                _skip(f"{shard}: run {sample['__key__']!r} is skipped: {error}", skipped)
    for why in (*repeated, *ends):
        _skip(why, skipped)


def shard_names(shards: str | Path | Sequence[str | Path]) -> list[str]:
    """List shards.

    Parameters
    ----------
    shards : str, Path or sequence of these
        A folder (its ``.tar`` files, those of its subfolders too), a file, or a URL; ``{000..127}`` counts.

    Raises
    ------
    FileNotFoundError
        A folder without shards, or a file that does not exist.
    """
    if not isinstance(shards, str | Path):
        return [name for each in shards for name in shard_names(each)]
    folder = Path(shards)
    if folder.is_dir():
        found = sorted(str(path) for path in folder.rglob("*.tar") if not path.name.startswith("."))
        if not found:
            raise FileNotFoundError(f"{folder}: holds no shards; expected files ending in .tar")
        return found
    names = [name if ":" in name else str(Path(name)) for name in webdataset.shardlists.expand_urls(str(shards))]
    for name in names:
        if ":" not in name and not Path(name).is_file():
            raise FileNotFoundError(f"{name}: no such shard")
    return names


def shard_index(shards: str | Path | Sequence[str | Path], progress: bool = False) -> pd.DataFrame:
    """Say what shards hold, as it stands beside them, was found before, or is found by reading them all.

    Parameters
    ----------
    shards : str, Path or sequence of these
        See `shard_names`.
    progress : bool
        Show a bar while shards are read.

    Returns
    -------
    pandas.DataFrame
        One row a run, in the order of the shards: ``shard`` (path or URL), ``run``, ``volumes``, ``parcels``, ``tr``.
        What was found by reading is kept in ``$BRAINDECODE_X_CACHE`` for as long as the files have their sizes and
        times; ``attrs["skipped"]`` says what is damaged.

    Raises
    ------
    FileNotFoundError
        See `shard_names`.
    ValueError
        No run can be read.
    """
    names = shard_names(shards)
    own = _own_index(names)
    if own is not None:
        return own
    kept = cache_folder() / "shards" / f"{_state(names)}.json"
    if not kept.is_file():
        write_json(kept, _read_all(names, progress))
    content = read_json(kept)
    index = pd.DataFrame(content["rows"], columns=list(COLUMNS)).astype(COLUMNS)
    index.attrs["skipped"] = content["skipped"]
    if content["skipped"]:
        warnings.warn(f"{len(content['skipped'])} skipped in the shards: {content['skipped'][0]}, ...", stacklevel=2)
    return index


def shard_parcels(shards: str | Path | Sequence[str | Path]) -> Parcels | None:
    """Read the parcels of a folder of ours; None for other shards."""
    file = Path(shards) / PARCELS if isinstance(shards, str | Path) else None
    return Parcels.from_dict(read_json(file)) if file is not None and file.is_file() else None


def _row(shard: str, run: ParcelRun) -> dict[str, Any]:
    volumes, parcels = run.bold.shape
    return {"shard": shard, "run": run.name, "volumes": volumes, "parcels": parcels, "tr": run.tr}


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"events: {type(value).__name__} cannot be written; expected text and numbers")


def _samples(shard: str, ends: list[str], repeated: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the members of each run; an early end of the tar goes to ``ends`` before the run that it cuts.

    Members that are there twice go to ``repeated``.
    """

    def files(stream: Any) -> Iterator[dict[str, Any]]:
        try:
            for member in tar_file_iterator(stream):
                yield {**member, "__url__": shard}
        except (
            tarfile.TarError,
            OSError,
            EOFError,
            ValueError,
            zlib.error,
        ) as error:  # a pipe's failure is an OSError too
            ends.append(f"{shard}: cut off or damaged, what follows is skipped ({error})")

    def twice(error: Exception) -> bool:
        repeated.append(f"{shard}: {error.args[0]}")
        return True

    try:
        stream = gopen(shard)
    except (OSError, ValueError) as error:
        ends.append(f"{shard}: cannot be opened ({error})")
        return
    with stream:
        yield from group_by_keys(files(stream), handler=twice)


def _run(sample: dict[str, Any]) -> ParcelRun:
    name = sample["__key__"]
    wanted = (BOLD, ABOUT) if BOLD in sample else (PUBLISHED_BOLD, PUBLISHED_TR)
    if missing := [member for member in wanted if member not in sample]:
        raise ValueError(f"expected the members {' and '.join(wanted)}, without {', '.join(missing)}")
    if BOLD in sample:
        about = json.loads(sample[ABOUT])
        bold = np.load(io.BytesIO(sample[BOLD]), allow_pickle=False)
        events = None if about["events"] is None else pd.DataFrame(about["events"])
        tr = float(about["tr"])
    else:
        bold = np.asarray(read_pickled(sample[PUBLISHED_BOLD], PUBLISHED_BOLD))
        tr, events = float(np.asarray(read_pickled(sample[PUBLISHED_TR], PUBLISHED_TR)).item()), None
    if bold.dtype.kind not in "fiu":
        raise ValueError(f"expected BOLD of real numbers, found {bold.dtype}")
    if not np.isfinite(bold).all():
        raise ValueError(f"{(~np.isfinite(bold)).sum()} values of its BOLD are not finite")
    return ParcelRun(name, bold.astype(np.float32, copy=False), tr, events)


def _skip(why: str, skipped: list[str] | None) -> None:
    warnings.warn(why, stacklevel=3)
    if skipped is not None:
        skipped.append(why)


def _read_all(names: Sequence[str], progress: bool) -> dict[str, Any]:
    skipped: list[str] = []
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for name in track(names, "index shards", disable=not progress):
        for run in read_shard(name, skipped):
            if (name, run.name) in rows:
                _skip(f"{name}: a second run {run.name!r} is skipped", skipped)
            else:
                rows[name, run.name] = _row(name, run)
    if not rows:
        raise ValueError(f"{names[0]}: none of {len(names)} shards holds a run that can be read: {skipped[:3]}")
    return {"rows": list(rows.values()), "skipped": skipped}


def _own_index(names: Sequence[str]) -> pd.DataFrame | None:
    """Join the indices that lie beside shards; None unless they name just these."""
    folders = dict.fromkeys(Path(name).parent for name in names if ":" not in name)
    files = [folder / INDEX for folder in folders]
    if not files or not all(file.is_file() for file in files):
        return None
    parts = [_read_index(file) for file in files]
    index = pd.concat(
        [
            part.assign(shard=[str(file.parent / name) for name in part["shard"]])
            for file, part in zip(files, parts, strict=True)
        ]
    )
    index = index[index["shard"].isin(names)]
    if set(index["shard"]) != set(names):
        return None
    order = {name: place for place, name in enumerate(names)}
    index = index.sort_values("shard", key=lambda column: column.map(order), kind="stable", ignore_index=True)
    index.attrs["skipped"] = []
    return index


def _read_index(file: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(file, usecols=list(COLUMNS)).astype(COLUMNS)[list(COLUMNS)]
    except ValueError as error:
        raise ValueError(
            f"{file}: expected the columns {', '.join(COLUMNS)}; {error}; remove it to make it anew"
        ) from error


def _write_index(index: pd.DataFrame, file: Path) -> None:
    with atomic_path(file) as temporary:
        index.to_csv(temporary, index=False)


def _state(names: Sequence[str]) -> str:
    """Hash names, and sizes and times of files."""
    parts = []
    for name in names:
        about = None if ":" in name else Path(name).stat()
        parts.append([name, *([about.st_size, about.st_mtime_ns] if about else [])])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
