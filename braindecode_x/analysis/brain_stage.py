"""The stages behind ``braindecode-x analyse networks`` and ``attribution``: which networks, which parcels."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from braindecode_x.analysis import brain_plots
from braindecode_x.analysis.attribution import contribution_table, network_attribution, parcel_attribution, ridge_model
from braindecode_x.analysis.eeg_plots import picture_figure
from braindecode_x.analysis.networks import network_parts, network_tests, parcel_networks
from braindecode_x.analysis.parts import Part, accuracy_table, part_decoder, part_ranks, predictor
from braindecode_x.analysis.regions import LEAVE_OUT, WHOLE
from braindecode_x.analysis.saliency import Score, integrated_gradients, subject_model
from braindecode_x.analysis.settings import StudySettings
from braindecode_x.analysis.stage import check_metric, rank, reconstructed, seen_pictures, strategy
from braindecode_x.analysis.study import Study, open_study
from braindecode_x.decoder import CONFIG, BrainDecoder
from braindecode_x.files import write_text
from braindecode_x.lightning_cli import main as run_training_command
from braindecode_x.metrics.identification import centred_unit
from braindecode_x.metrics.judge import Judge
from braindecode_x.metrics.retrieval import ranks
from braindecode_x.run_report import evenly

RIDGE, DECODER = "ridge", "decoder"
INEXACT = 0.1  # share of the score's rise that integrated gradients may miss before it is said


def analyse_networks(
    settings: StudySettings,
    modes: Sequence[str] | None = None,
    retrain: str = RIDGE,
    metric: str = "2-way",
    permutations: int = 10_000,
    reconstructor: str | None = None,
    pictures: int = 20,
    judge: str = "embedded",
    centred: bool = True,
) -> None:
    """Ask which networks; see `braindecode_x.analysis.brain_commands.networks`."""
    study = open_study("networks", settings)
    data, chosen = study.windows, study.modes(modes)
    if retrain == DECODER and "retrained" in chosen:
        study.required_decoder  # noqa: B018 (it raises)
    networks = parcel_networks(data.parcels)
    parts = network_parts(networks, data.layout.n_volumes)
    named = {name: int(own.sum()) for name, own in networks.items()}
    study.claim(networks=named, retrain=retrain, centred=centred)
    ranked = pd.concat(
        [
            study.table(f"ranks/{name} {mode}", partial(_rank, study, name, mode, parts, retrain, centred))
            for name in data.subjects
            for mode in chosen
        ],
        ignore_index=True,
    )
    accuracy, tests = accuracy_table(ranked, seed=study.seed), network_tests(ranked, permutations, study.seed)
    study.write("accuracy", accuracy)
    study.write("tests", tests)
    check_metric(metric, accuracy)
    for mode in chosen:
        study.draw(f"networks {mode}", brain_plots.network_figure(accuracy, tests, metric, data.parcels, mode))
    if reconstructor is not None:
        _judge_pictures(study, parts, chosen[0], retrain, reconstructor, pictures, judge, permutations)
    shown = tests.drop(columns=["subject", "metric", "n", "n_concepts"])
    study.say(shown[shown["p_corrected"] < 0.05])


def analyse_attribution(settings: StudySettings, score: Score = "cosine", steps: int = 32) -> None:
    """Ask which parcels a decoder draws on; see `braindecode_x.analysis.brain_commands.attribution`."""
    study = open_study("attribution", settings)
    data = study.windows
    parcels = data.parcels
    study.claim(score=score, steps=steps)
    each = [
        study.table(f"subjects/{name}", partial(_contributions, study, name, score, steps)) for name in data.subjects
    ]
    contributions = pd.concat(each, ignore_index=True)
    by_parcel = parcel_attribution(contributions, parcels, study.seed)
    study.write("parcels", by_parcel)
    by_network = None
    if parcels.networks:
        by_network = network_attribution(contributions, parcels, study.seed)
        study.write("networks", by_network)
    together = brain_plots.together(by_parcel)
    if parcels.coordinates is not None:
        _draw_brains(study, together, by_network)
    study.say(together.drop(columns=["subject", "n"]).nlargest(8, "value") if by_network is None else _main(by_network))


def _main(by_network: pd.DataFrame) -> pd.DataFrame:
    return brain_plots.together(by_network).drop(columns=["subject", "n"]).sort_values("value", ascending=False)


def _draw_brains(study: Study, by_parcel: pd.DataFrame, by_network: pd.DataFrame | None) -> None:
    """Draw one subject's parcels, or those of all together, on a glass brain, the cortex, and a page to turn."""
    parcels, values = study.windows.parcels, by_parcel["value"].to_numpy()
    title = f"{brain_plots.who(by_parcel)}: what the score of the seen picture draws on"
    study.draw("attribution", brain_plots.attribution_figure(by_parcel, by_network, parcels))
    study.draw("surface", brain_plots.surface_figure(values, parcels, title, "contribution"))
    write_text(study.folder / "brain.html", brain_plots.interactive_brain(values, parcels, title))


def _contributions(study: Study, name: str, score: Score, steps: int) -> pd.DataFrame:
    pictures = study.pictures(name)
    decoder = study.decoder
    model = ridge_model(pictures) if decoder is None else subject_model(decoder, study.number(name))
    found = integrated_gradients(model, pictures, score, steps, progress=True)
    risen = found.score - found.mean_score
    if (away := np.abs(found.channels.sum(axis=1) - risen).mean()) > INEXACT * np.abs(risen).mean():
        warnings.warn(
            f"{name}: contributions add up to the score's rise but for {away / np.abs(risen).mean():.0%} of it; give "
            "more steps, or the score 'inner product'",
            stacklevel=2,
        )
    return contribution_table(found, pictures)


def _rank(study: Study, name: str, mode: str, parts: Sequence[Part], retrain: str, centred: bool) -> pd.DataFrame:
    if mode == "masked" or retrain == RIDGE:
        return rank(study, name, mode, parts, centred)
    pictures = study.pictures(name)
    tables = [part_ranks(pictures, [part], **_how(study, name, mode, retrain, part), centred=centred) for part in parts]
    return pd.concat(tables, ignore_index=True)


def _how(study: Study, name: str, mode: str, retrain: str, part: Part) -> dict[str, Any]:
    """Say how a part is decoded: as `strategy` does, or by the decoder's task trained on the part."""
    if mode == "masked" or retrain == RIDGE:
        return strategy(study, name, mode)
    decoder = study.required_decoder if part.about["network"] == WHOLE else _trained(study, part)
    predict = predictor(decoder, decoder.model.subject_id(name))
    return {"fit": lambda *_: predict}


def _trained(study: Study, part: Part) -> BrainDecoder:
    """Train as the decoder's run did, with some parcels; a training that was cut goes on."""
    parcels = study.windows.parcels
    networks = list(dict.fromkeys(np.array(parcels.networks)[part.channels].tolist()))
    folder = study.folder / "decoders" / f"{part.about['network']} {part.about['parcels']}"
    if not (folder / "decoder" / CONFIG).is_file():
        options = ["--data.init_args.networks", json.dumps(networks), "--trainer.default_root_dir", str(folder)]
        run_training_command(["fit", "--config", str(study.run), *options])
    return BrainDecoder.from_pretrained(folder / "decoder")


def _judge_pictures(
    study: Study,
    parts: Sequence[Part],
    mode: str,
    retrain: str,
    reconstructor: str,
    count: int,
    judge: str,
    permutations: int,
) -> None:
    """Reconstruct pictures of the first subject with every network left out, and let a judge find what was seen."""
    pictures, judging = study.pictures(study.data.subjects[0]), Judge(judge)
    rows = evenly(range(len(pictures.stimuli)), count)
    left_out = [part for part in parts if part.about["network"] == WHOLE or part.about["parcels"] == LEAVE_OUT]
    features, tables, shown = None, [], {}
    for part in left_out:
        decode = part_decoder(pictures, part, **_how(study, pictures.name, mode, retrain, part))
        network = part.about["network"]
        name = f"{pictures.name} {mode} {'all' if network == WHOLE else f'without {network}'}"
        made = reconstructed(study, name, pictures, rows, decode, reconstructor)
        if features is None:
            shown["seen"] = seen_pictures(study, pictures, rows, made.shape[-1])
            features = centred_unit(judging.features(shown["seen"]))
        found = ranks(centred_unit(judging.features(made)) @ features.T).numpy()
        about = {"subject": pictures.name, "mode": mode, **part.about}
        own = {"stimulus": [pictures.stimuli[row] for row in rows], "concept": pictures.concepts[rows]}
        tables.append(pd.DataFrame({**about, **own, "rank": found, "candidates": len(found)}))
        shown["all parcels" if network == WHOLE else f"without\n{network}"] = made
    ranked = pd.concat(tables, ignore_index=True)
    study.write("pictures", accuracy_table(ranked, seed=study.seed))
    study.write("pictures tests", network_tests(ranked, permutations, study.seed))
    study.draw("pictures", picture_figure(shown, f"{pictures.name}, {mode}: networks left out"))
