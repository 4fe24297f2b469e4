"""The stages behind ``braindecode-x analyse``: tables and figures of one analysis in a folder.

A run that was cut goes on: every subject's table is kept once it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from braindecode_x.analysis import eeg_plots, saliency, similarity, time_windows
from braindecode_x.analysis.parts import (
    Part,
    Predict,
    SubjectPictures,
    accuracy_table,
    fit_ridge,
    labelled,
    part_decoder,
    part_ranks,
)
from braindecode_x.analysis.regions import channel_regions, region_parts
from braindecode_x.analysis.settings import StudySettings
from braindecode_x.analysis.study import Study, open_study
from braindecode_x.analysis.time_windows import GROWING, SLIDING, Window
from braindecode_x.diffusion.prior import EmbeddingPrior
from braindecode_x.diffusion.reconstruct import reconstruct_file
from braindecode_x.embeddings import Embeddings
from braindecode_x.files import unknown_name
from braindecode_x.metrics.evaluate import read_reconstructions
from braindecode_x.run_report import evenly

RECONSTRUCTED_WINDOWS = 7


def analyse_windows(
    settings: StudySettings,
    kinds: Sequence[str],
    modes: Sequence[str] | None,
    width: float,
    step: float,
    generalisation: int,
    metric: str,
    reconstructor: str | None,
    pictures: int,
    centred: bool = True,
    prior: str | Path | None = None,
) -> None:
    """Ask when; see `braindecode_x.analysis.commands.windows`."""
    study = open_study("windows", settings)
    data, chosen = study.epochs, study.modes(modes)
    times = data.layout.times
    growing = time_windows.growing_windows(times, step, max(0.0, float(times[0])))
    windows = {GROWING: growing, SLIDING: time_windows.sliding_windows(times, width, step)}
    parts = {kind: time_windows.window_parts(windows[kind], kind, len(data.layout.channels), times) for kind in kinds}
    study.claim(width=width, step=step, centred=centred)
    accuracy = _accuracy(study, {kind: parts[kind] for kind in kinds}, chosen, centred)
    latencies = time_windows.latencies(accuracy)
    study.write("latencies", latencies)
    check_metric(metric, accuracy)
    study.draw("windows", eeg_plots.accuracy_figure(accuracy, metric))
    if generalisation:
        tables = [
            study.table(
                f"generalisation/{name} {generalisation}", partial(_generalise, study, name, generalisation, centred)
            )
            for name in data.subjects
        ]
        study.draw("generalisation", eeg_plots.generalisation_figure(pd.concat(tables)))
    if reconstructor is not None:
        _reconstruct(study, reconstructor, prior, pictures, chosen[0], growing)
    study.say(latencies[latencies["metric"] == metric])


def analyse_regions(
    settings: StudySettings,
    modes: Sequence[str] | None,
    regions: dict[str, list[str]] | None,
    metric: str,
    centred: bool = True,
) -> None:
    """Ask where; see `braindecode_x.analysis.commands.regions`."""
    study = open_study("regions", settings)
    data, chosen = study.epochs, study.modes(modes)
    places = channel_regions(data.layout.channels, regions)
    parts = region_parts(places, data.layout.n_times)
    named = {name: np.array(data.layout.channels)[own].tolist() for name, own in places.items()}
    study.claim(regions=named, centred=centred)
    accuracy = _accuracy(study, {"regions": parts}, chosen, centred)
    check_metric(metric, accuracy)
    for mode in chosen:
        study.draw(f"regions {mode}", eeg_plots.region_figure(accuracy, metric, places, data.info, mode))
    shown = accuracy[(accuracy["metric"] == metric) & (accuracy["subject"] == accuracy["subject"].iloc[-1])]
    study.say(shown.drop(columns=["metric", "n"]))


def analyse_saliency(
    settings: StudySettings, method: str, score: saliency.Score, steps: int, block: float, maps: Sequence[float]
) -> None:
    """Ask what a trained decoder draws on; see `braindecode_x.analysis.commands.saliency`."""
    study = open_study("saliency", settings)
    data, gradients = study.epochs, method == "integrated-gradients"
    study.required_decoder  # noqa: B018 (it raises)
    how: dict[str, Any] = {"steps": steps} if gradients else {"block": block}
    study.claim(method=method, score=score, **how)
    explain = saliency.integrated_gradients if gradients else saliency.occlusion
    tables = [
        study.table(f"subjects/{name}", partial(_explain, study, name, partial(explain, score=score, **how)))
        for name in data.subjects
    ]
    table = pd.concat(tables, ignore_index=True)
    study.write("saliency", table)
    over_time = None
    if gradients:
        each = [pd.read_csv(study.folder / f"maps/{name}.csv", index_col="time") for name in data.subjects]
        over_time = windowed(pd.concat(each).groupby(level=0).mean(), maps)
    study.draw("saliency", eeg_plots.saliency_figure(table, data.info, over_time))
    best = table[table["of"] == "channel"].groupby("channel")["value"].mean().nlargest(8)
    study.say(best.reset_index())


def analyse_similarity(settings: StudySettings, metric: str, width: float, step: float) -> None:
    """Ask what is found and what is confused; see `braindecode_x.analysis.commands.similarity`."""
    study = open_study("similarity", settings)
    data = study.data
    windows = None
    if data.layout is not None:
        times = data.layout.times
        sample = float(times[1] - times[0]) if len(times) > 1 else 0.0
        width, step = max(width, sample), max(step, sample)
        windows = time_windows.sliding_windows(times, width, step)
    study.claim(width=width, step=step)
    decoded = {name: _decoded(study, name) for name in data.subjects}
    known = data.cohort.stimuli.table
    ranked = [
        similarity.ranked_pictures(name, predicted, targets, known.loc[stimuli])
        for name, (stimuli, predicted, targets) in decoded.items()
    ]
    every = pd.concat(ranked, ignore_index=True)
    accuracy = accuracy_table(every.drop(columns="category", errors="ignore"), seed=study.seed)
    check_metric(metric, accuracy)
    for name, table in {
        "pictures": every,
        "accuracy": accuracy,
        "concepts": similarity.concept_accuracy(every),
    }.items():
        study.write(name, table)
    if "category" in every:
        categories = accuracy_table(every, seed=study.seed)
        study.write("categories", categories)
        study.draw("categories", eeg_plots.category_figure(categories, metric))
    _draw_matrices(study, decoded)
    geometry = pd.DataFrame(
        [
            {"subject": name, **similarity.compare_geometries(predicted, targets, study.seed)}
            for name, (_, predicted, targets) in decoded.items()
        ]
    )
    study.write("geometry", geometry)
    if windows is not None:
        over_time = [
            study.table(f"geometry over time/{name}", partial(_compare_over_time, study, name, windows))
            for name in data.subjects
        ]
        study.draw("geometry", eeg_plots.geometry_figure(pd.concat(over_time)))
    study.say(accuracy[accuracy["metric"].isin([metric, "top-1"])])
    study.say(geometry)


def windowed(contributions: pd.DataFrame, edges: Sequence[float]) -> pd.DataFrame | None:
    """Add up contributions (times, channels) between edges (seconds): (windows, channels), None without a sample."""
    times = contributions.index.to_numpy()
    rows = {}
    for start, stop in pairwise(edges):
        inside = (times >= start - time_windows.TOLERANCE) & (times < stop - time_windows.TOLERANCE)
        if inside.any():
            rows[start, stop] = contributions[inside].sum()
    return pd.DataFrame(rows).T if rows else None


def _accuracy(study: Study, parts: dict[str, list[Part]], modes: Sequence[str], centred: bool) -> pd.DataFrame:
    """Rank pictures for every subject, mode and kind of parts, each kept in a file; write and return the accuracies."""
    ranked = [
        study.table(f"ranks/{name} {mode} {kind}", partial(rank, study, name, mode, own, centred))
        for name in study.data.subjects
        for mode in modes
        for kind, own in parts.items()
    ]
    accuracy = accuracy_table(pd.concat(ranked, ignore_index=True), seed=study.seed)
    study.write("accuracy", accuracy)
    return accuracy


def rank(study: Study, name: str, mode: str, parts: Sequence[Part], centred: bool) -> pd.DataFrame:
    """Rank a subject's pictures, decoded from every part."""
    return part_ranks(study.pictures(name), parts, **strategy(study, name, mode), centred=centred, progress=True)


def strategy(study: Study, name: str, mode: str) -> dict[str, Any]:
    """Say how a part is decoded: by the masked decoder, or by ridge that is fitted to it."""
    return {"predict": study.predict(name)} if mode == "masked" else {"fit": fit_ridge}


def _generalise(study: Study, name: str, step: int, centred: bool) -> pd.DataFrame:
    return time_windows.temporal_generalisation(study.pictures(name), step=step, centred=centred, progress=True)


def _compare_over_time(study: Study, name: str, windows: Sequence[Window]) -> pd.DataFrame:
    return similarity.geometry_over_time(study.pictures(name), windows, study.seed)


def _explain(study: Study, name: str, explain: Any) -> pd.DataFrame:
    pictures = study.pictures(name)
    found = explain(saliency.subject_model(study.required_decoder, study.number(name)), pictures, progress=True)
    if found.mean_map is not None:
        times = pd.Index(pictures.times, name="time")
        study.write(f"maps/{name}", pd.DataFrame(found.mean_map.T, times, pictures.channels).reset_index())
    return saliency.saliency_table(found, pictures, study.seed)


def _decoded(study: Study, name: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Decode a subject's test pictures by the decoder, or by ridge: ids, predicted and true embeddings."""
    stimuli, responses, targets = labelled(study.data, name, study.split)
    if study.decoder is not None:
        return stimuli, study.predict(name)(responses), targets
    return stimuli, fit_ridge(*labelled(study.data, name, "train")[1:])(responses), targets


def _draw_matrices(study: Study, decoded: dict[str, tuple[list[str], np.ndarray, np.ndarray]]) -> None:
    """Write every subject's similarities, and draw their mean over subjects who saw the first one's pictures."""
    category = study.data.cohort.stimuli.table.get("category")
    matrices = {}
    for name, (stimuli, predicted, targets) in decoded.items():
        own = None if category is None else category.loc[stimuli].tolist()
        matrices[name] = similarity.similarity_matrix(predicted, targets, stimuli, own)
        study.write(f"matrices/{name}", matrices[name].reset_index())
    first = next(iter(matrices.values()))
    alike = [matrix.to_numpy() for matrix in matrices.values() if matrix.index.equals(first.index)]
    mean = pd.DataFrame(np.mean(alike, axis=0), first.index, first.columns)
    who = next(iter(matrices)) if len(alike) == 1 else f"mean of {len(alike)} subjects"
    ordered = None if category is None else category.loc[first.index].tolist()
    study.draw("similarity", eeg_plots.similarity_figure(mean, ordered, who))


def _reconstruct(
    study: Study, reconstructor: str, prior: str | Path | None, count: int, mode: str, every: Sequence[Window]
) -> None:
    """Reconstruct pictures of the first subject from some of the growing windows, and draw them side by side."""
    pictures = study.pictures(study.data.subjects[0])
    rows = evenly(range(len(pictures.stimuli)), count)
    shown = [every[place] for place in evenly(range(len(every)), RECONSTRUCTED_WINDOWS)]
    made = []
    for part in time_windows.window_parts(shown, GROWING, len(pictures.channels), pictures.times):
        decode = part_decoder(pictures, part, **strategy(study, pictures.name, mode))
        name = f"{pictures.name} {mode} to {1000 * part.about['stop']:.0f} ms"
        made.append(reconstructed(study, name, pictures, rows, decode, reconstructor, prior))
    seen = seen_pictures(study, pictures, rows, made[0].shape[-1])
    title = f"{pictures.name}, {mode}: growing windows{'' if prior is None else ', with a prior'}"
    study.draw("reconstructions", eeg_plots.reconstruction_figure(seen, shown, torch.stack(made), title))


def reconstructed(
    study: Study,
    name: str,
    pictures: SubjectPictures,
    rows: Sequence[int],
    decode: Predict,
    reconstructor: str,
    prior: str | Path | None = None,
) -> torch.Tensor:
    """Reconstruct some of a subject's test pictures from what is decoded, in a folder of this name.

    Returns
    -------
    torch.Tensor
        (n, 3, edge, edge) in [0, 1].
    """
    space, ids = study.data.space, [pictures.stimuli[row] for row in rows]
    sample = None if prior is None else EmbeddingPrior.from_pretrained(prior)
    if sample is not None:
        sample.space.require(space, f"prior {str(prior)!r}")
    index = pd.DataFrame({"id": ids, "stimulus": ids, "subject": pictures.name, "split": study.split})
    folder = study.folder / "reconstructions" / name
    file = folder.with_name(f"{folder.name}.safetensors")
    image = space.normalised(torch.from_numpy(decode(pictures.test[list(rows)])))
    Embeddings(index, space, image if sample is None else sample(image, ids, study.seed)).save(file)
    reconstruct_file(file, folder, reconstructor, study.seed, overwrite=True)
    return read_reconstructions(folder)[1][:, 0]


def seen_pictures(study: Study, pictures: SubjectPictures, rows: Sequence[int], edge: int) -> torch.Tensor:
    """Return some of a subject's test pictures as they were seen: (n, 3, edge, edge) in [0, 1]."""
    return study.data.cohort.stimuli.pixels(edge, [pictures.stimuli[row] for row in rows]).float() / 255


def check_metric(metric: str, accuracy: pd.DataFrame) -> None:
    """Refuse a metric that the accuracies lack."""
    if metric not in set(accuracy["metric"]):
        raise unknown_name("metric", metric, accuracy["metric"].unique())
