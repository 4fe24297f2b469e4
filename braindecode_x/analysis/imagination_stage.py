"""The stage behind ``braindecode-x analyse imagination``: tables and figures of one analysis in a folder.

What was decoded is kept, subject by subject, as a file of embeddings: a run that was cut goes on.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from rich.progress import track

from braindecode_x.analysis.imagination import (
    METRICS,
    ImaginedPrompts,
    decode,
    match_statistics,
    matches,
    pairing_scores,
    prompt_table,
    ridge_decode,
)
from braindecode_x.analysis.semantic_plots import effect_figure, imagined_figure, permutation_figure
from braindecode_x.analysis.settings import StudySettings
from braindecode_x.analysis.study import Study, open_study
from braindecode_x.clip import ClipEncoder
from braindecode_x.diffusion.prior import EmbeddingPrior
from braindecode_x.diffusion.reconstruct import reconstruct_file
from braindecode_x.embeddings import Embeddings
from braindecode_x.files import unknown_name
from braindecode_x.metrics.evaluate import read_reconstructions
from braindecode_x.metrics.judge import Judge
from braindecode_x.stimuli.base import to_image

PROMPTS, PICTURES, RECONSTRUCTION = "prompts", "pictures", "reconstruction"
Comparison = tuple[str, str]  # what is decoded, and against what it is compared
Matches = dict[Comparison, np.ndarray]
Names = tuple[list[str], list[str]]  # prompts, and pictures of their concepts


def analyse_imagination(
    settings: StudySettings,
    centred: bool,
    metric: str,
    permutations: int,
    reconstructor: str | None,
    prior: str | Path | None,
    judge: str,
    pictures: int,
) -> None:
    """Ask what was imagined; see `braindecode_x.analysis.commands.imagination`."""
    if metric not in METRICS[:-1]:
        raise unknown_name("metric", metric, METRICS[:-1])
    study = open_study("imagination", settings)
    study.claim(centred=centred)
    decoded = {name: _decoded(study, name) for name in study.data.subjects}
    names = {name: _names(own) for name, own in decoded.items()}
    found = {name: _compared(study, own, centred) for name, own in decoded.items()}
    if reconstructor is not None:
        sample = None if prior is None else EmbeddingPrior.from_pretrained(prior)
        if sample is not None:
            sample.space.require(study.data.space, f"prior {str(prior)!r}")
        for name, own in decoded.items():
            made = _reconstructed(study, _moved(study, own) if centred else own, reconstructor, sample)
            found[name] |= _judged(study, made, names[name], judge, centred)
            if name == study.data.subjects[0]:
                study.draw("reconstructions", _drawn(study, name, names[name], found[name], made[:pictures]))
    statistics = _statistics(study, found, names, metric, permutations)
    study.draw("effect sizes", effect_figure(statistics))
    everyone = statistics[statistics["subject"] == statistics["subject"].iloc[-1]]
    sys.stdout.write(everyone.to_string(index=False, float_format="{:.3g}".format) + "\n")
    sys.stdout.write(f"tables and figures: {study.folder}\n")


def _decoded(study: Study, name: str) -> Embeddings:
    """Decode a subject's imagination by the decoder, or by ridge from seen pictures; kept in a file."""
    file, data = study.folder / "decoded" / f"{name}.safetensors", study.data
    if not file.is_file():
        imagined = ImaginedPrompts.of(data, name, study.split)
        if study.decoder is not None:
            kinds = decode(study.decoder, study.number(name), imagined.responses)
        else:
            kinds = _ridge(study, imagined)
        n, own = len(imagined.prompts), imagined.stimuli
        ids = own if "" not in own and len(set(own)) == n else [f"prompt-{k + 1:03d}" for k in range(n)]
        index = pd.DataFrame({"id": ids, "stimulus": own, "subject": name, "split": study.split})
        text_space = None if data.text_space == data.space else data.text_space
        text = kinds.get("text")
        Embeddings(index.assign(prompt=imagined.prompts), data.space, kinds["image"], text, text_space).save(file)
    return Embeddings.load(file)


def _ridge(study: Study, imagined: ImaginedPrompts) -> dict[str, torch.Tensor]:
    data = study.data
    stimuli, train = data.averaged(imagined.name, "train")
    rows = [row for row, stimulus in enumerate(stimuli) if stimulus in data.targets]
    if len(rows) < 2:
        raise ValueError(f"{imagined.name}: {len(rows)} pictures of the split 'train'; ridge needs two or more")
    pairs = [data.targets[stimuli[row]] for row in rows]
    targets = {"image": torch.stack([image for image, _ in pairs])}
    texts = [text for _, text in pairs if text is not None]
    if len(texts) == len(pairs):
        targets = {"text": torch.stack(texts), **targets}
    flat = {kind: own.flatten(1).float().numpy() for kind, own in targets.items()}
    spaces = {"text": data.text_space, "image": data.space}
    found = ridge_decode(train[rows], flat, imagined.responses)
    return {kind: spaces[kind].normalised(own.unflatten(1, spaces[kind].shape)) for kind, own in found.items()}


def _names(decoded: Embeddings) -> Names:
    index = decoded.index
    return index["prompt"].astype(str).tolist(), index["stimulus"].fillna("").astype(str).tolist()


def _compared(study: Study, decoded: Embeddings, centred: bool) -> Matches:
    """Compare what was decoded with prompts, and with pictures of their concepts where all have one."""
    data, (prompts, stimuli) = study.data, _names(decoded)
    candidates = {PROMPTS: (data.text_space, data.encoder.encode_texts(prompts))}
    if all(stimulus in data.targets for stimulus in stimuli):
        candidates[PICTURES] = (data.space, torch.stack([data.targets[stimulus][0] for stimulus in stimuli]))
    kinds = {"text": (data.text_space, decoded.text), "image": (data.space, decoded.image)}
    return {
        (kind, against): matches(own, targets, centred)
        for kind, (space, own) in kinds.items()
        for against, (of, targets) in candidates.items()
        if own is not None and space == of  # tokens of pictures and texts are not comparable
    }


def _moved(study: Study, decoded: Embeddings) -> Embeddings:
    """Give what was decoded the mean of the training pictures, where reconstructors are at home."""
    data = study.data
    pairs = [data.targets[stimulus] for stimulus in data.shown(study.data.subjects[0], "train")]
    moved = replace(decoded, image=data.space.normalised(_recentred(decoded.image, [image for image, _ in pairs])))
    texts = [text for _, text in pairs if text is not None]
    if decoded.text is not None and texts:
        moved.text = data.text_space.normalised(_recentred(decoded.text, texts))
    return moved


def _recentred(decoded: torch.Tensor, targets: list[torch.Tensor]) -> torch.Tensor:
    return decoded - decoded.mean(0) + torch.stack(targets).float().mean(0)


def _reconstructed(study: Study, decoded: Embeddings, reconstructor: str, prior: EmbeddingPrior | None) -> torch.Tensor:
    """Reconstruct every prompt of a subject: (n, 3, edge, edge)."""
    folder = study.folder / "reconstructions" / str(decoded.index["subject"].iloc[0])
    file = folder.with_name(f"{folder.name}.safetensors")
    image = decoded.image if prior is None else prior(decoded.image, decoded.ids, study.seed)
    replace(decoded, image=image).save(file)
    reconstruct_file(file, folder, reconstructor, study.seed, overwrite=True)
    return read_reconstructions(folder)[1][:, 0]


def _judged(study: Study, made: torch.Tensor, names: Names, judge: str, centred: bool) -> Matches:
    """Compare reconstructions with prompts by CLIP, and with pictures by a judge that took no part in decoding."""
    data, (prompts, stimuli) = study.data, names
    encoder = data.encoder if isinstance(data.encoder, ClipEncoder) else ClipEncoder(data.clip, data.clip_pretrained)
    embedded = encoder.encode_images([to_image(picture) for picture in made])
    found = {(RECONSTRUCTION, PROMPTS): matches(embedded, encoder.encode_texts(prompts), centred)}
    if all(stimulus in data.targets for stimulus in stimuli):
        network, seen = Judge(judge), data.cohort.stimuli.pixels(made.shape[-1], stimuli).float() / 255
        found[RECONSTRUCTION, PICTURES] = matches(network.features(made), network.features(seen), centred)
    return found


def _drawn(study: Study, name: str, names: Names, found: Matches, made: torch.Tensor) -> Figure:
    (prompts, stimuli), n = names, len(made)
    places = np.diag(pairing_scores(found[RECONSTRUCTION, PROMPTS])["mean rank"])[:n]
    seen = None
    if all(stimulus in study.data.targets for stimulus in stimuli):
        seen = study.data.cohort.stimuli.pixels(made.shape[-1], stimuli[:n]).float() / 255
    return imagined_figure(prompts[:n], places.tolist(), len(prompts), made, seen, name)


def _statistics(
    study: Study, found: dict[str, Matches], names: dict[str, Names], metric: str, permutations: int
) -> pd.DataFrame:
    """Write tables of prompts and statistics, draw permutations; return the statistics."""
    prompts, tables, nulls = [], [], {}
    comparisons = dict.fromkeys(pair for own in found.values() for pair in own)
    for pair in track(comparisons, "permutations"):
        with_it = {name: (names[name][0], own[pair]) for name, own in found.items() if pair in own}
        about = dict(zip(("decoded", "against"), pair, strict=True))
        for name, (_, similarities) in with_it.items():
            listed = prompt_table(*names[name], similarities)
            prompts.append(pd.DataFrame({"subject": name, **about, **listed}))
        table, null = match_statistics(with_it, permutations, study.seed)
        tables.append(pd.DataFrame({**about, **table}))
        for (who, what), values in null.items():
            if what == metric:
                nulls[(*pair, who)] = values
    statistics = pd.concat(tables, ignore_index=True)
    study.write("prompts", pd.concat(prompts, ignore_index=True))
    study.write("statistics", statistics)
    _check(statistics, metric)
    study.draw("permutations", permutation_figure(statistics, nulls, metric))
    return statistics


def _check(statistics: pd.DataFrame, metric: str) -> None:
    known = statistics.loc[statistics["metric"] != METRICS[-1], "metric"].unique()
    if metric not in known:
        raise unknown_name("metric", metric, known)
