"""Which networks tell what was seen and imagined, against what was planted in the simulated whole-brain subjects.

    python pipelines/experiments/wave_networks.py

1. Ablation: every network alone and left out, by ridge fitted anew to the parcels that are left (retrained), and by the
   trained WAVE and MLP with the others set to their means (masked). Two-way accuracy on test pictures, sign-flip tests
   corrected over the networks, and the rank correlation of what every network tells with its planted share of all
   variance that tells pictures apart.
2. Imagination, zero-shot: the same decoders, trained on seen pictures alone, decode 40 imagined test concepts; the true
   prompt against all others.

Takes the decoders that ``wave_pretraining.py`` trained on all pictures (seed 0), and trains those that are missing;
what was measured is kept in ``--work``. Writes ``wave_networks.csv`` and ``.png``,
``wave_imagination.csv`` and ``.png``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from wave_fitting import ALL, MLP, RIDGE, WAVE, KeptWindows, data_of, experiment_parser, fitted, pretrained, tasks

from braindecode_x.analysis.imagination import ImaginedPrompts, decode, match_statistics, matches
from braindecode_x.analysis.networks import ALONE, LOST, network_parts, network_tests, parcel_networks
from braindecode_x.analysis.parts import SubjectPictures, fit_ridge, part_ranks, predictor
from braindecode_x.analysis.semantic_plots import permutation_figure
from braindecode_x.datamodules import WindowsDataModule
from braindecode_x.datasets.simulated_networks import SEMANTIC, VISUAL
from braindecode_x.decoder import BrainDecoder
from braindecode_x.files import atomic_path, write_figure

SYSTEMS = (WAVE, MLP, RIDGE)
TWO_WAY = "2-way"


def kept(file: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Read a table, or make and write it."""
    if not file.exists():
        table = make()
        with atomic_path(file) as temporary:
            table.to_csv(temporary, index=False)
    return pd.read_csv(file)


def ablated(system: str, decoder: BrainDecoder, data: WindowsDataModule) -> pd.DataFrame:
    """Rank test pictures of all subjects from every network alone and without it."""
    parts = network_parts(parcel_networks(data.parcels), data.layout.n_volumes)
    tables = []
    for name in data.subjects:
        pictures = SubjectPictures.of(data, name)
        if system == RIDGE:
            tables.append(part_ranks(pictures, parts, fit=fit_ridge, progress=True))
        else:
            predict = predictor(decoder, decoder.model.subject_id(name))
            tables.append(part_ranks(pictures, parts, predict=predict, progress=True))
    return pd.concat(tables, ignore_index=True)


def planted_shares(truth: pd.DataFrame) -> pd.Series:
    """Return every network's share of the variance that tells pictures apart, summed over its parcels."""
    share = SEMANTIC**2 * truth["semantic"] + VISUAL**2 * truth["visual"]
    return (share / share.sum()).rename("planted")


def agreement(tests: pd.DataFrame) -> pd.DataFrame:
    """Return the rank correlation of measured and planted, and how many networks were found rightly and wrongly."""
    rows = []
    for (system, test), own in tests.groupby(["system", "test"], sort=False):
        correlation = spearmanr(own["planted"], own["difference"])
        found, carrying = own["p_corrected"] < 0.05, own["planted"] > 0
        order = own.sort_values("difference", ascending=False)["network"].head(3)
        rows.append(
            {
                "system": system,
                "test": test,
                "rank correlation": correlation.statistic,
                "p": correlation.pvalue,
                "carrying, found": f"{(found & carrying).sum()} of {carrying.sum()}",
                "empty, found": f"{(found & ~carrying).sum()} of {(~carrying).sum()}",
                "first three": ", ".join(order),
            }
        )
    return pd.DataFrame(rows)


def imagined(decoders: dict[str, BrainDecoder], data: WindowsDataModule) -> tuple[pd.DataFrame, dict]:
    """Match what was imagined to prompts: statistics, and permuted scores by comparison and subject."""
    tables, nulls = [], {}
    for system, decoder in decoders.items():
        found = {}
        for name in data.subjects:
            own = ImaginedPrompts.of(data, name)
            for kind, embedded in decode(decoder, decoder.model.subject_id(name), own.responses).items():
                against = "prompts" if kind == "text" else "pictures"
                if kind == "text":
                    candidates = data.encoder.encode_texts(own.prompts)
                else:
                    candidates = torch.stack([data.targets[stimulus][0] for stimulus in own.stimuli])
                similarities = matches(embedded, candidates)
                found.setdefault((kind, against), {})[name] = (own.prompts, similarities)
        for (kind, against), subjects in found.items():
            table, null = match_statistics(subjects, seed=0)
            decoded = f"{system.split(',')[0]}, {kind}"
            tables.append(table.assign(decoded=decoded, against=against))
            nulls |= {(decoded, against, who): each for (who, metric), each in null.items() if metric == TWO_WAY}
    return pd.concat(tables, ignore_index=True), nulls


def draw(tests: pd.DataFrame, target: Path) -> None:
    """Draw what every network tells against what was planted in it: a row a test, a column a system."""
    systems = list(tests["system"].unique())
    figure, panels = plt.subplots(2, len(systems), figsize=(4.3 * len(systems), 8), layout="constrained", sharex=True)
    for (system, test), own in tests.groupby(["system", "test"], sort=False):
        axes = panels[[ALONE, LOST].index(test), systems.index(system)]
        spread = 100 * np.abs(own[["low", "high"]].to_numpy().T - own["difference"].to_numpy())
        found = (own["p_corrected"] < 0.05).to_numpy()
        axes.errorbar(
            100 * own["planted"], 100 * own["difference"], spread, fmt="none", color="#9db8d6", capsize=2, zorder=1
        )
        colours = np.where(found, "#c0392b", "#777777")
        axes.scatter(100 * own["planted"], 100 * own["difference"], s=22, c=colours, zorder=2)
        for number, row in enumerate(own[own["planted"] > 0].sort_values("planted").itertuples()):
            place, beside = (100 * row.planted, 100 * row.difference), (-6, (-12, 6, 6)[number])
            axes.annotate(row.network, place, xytext=beside, textcoords="offset points", fontsize=8, ha="right")
        axes.axhline(0, color="grey", linestyle=":")
        axes.grid(alpha=0.3)
        if test == ALONE:
            axes.set_title(f"{system} ({own['mode'].iloc[0]})")
        else:
            axes.set_xlabel("planted share of what tells pictures apart (%)")
    panels[0, 0].set_ylabel("alone: two-way accuracy above chance (points)")
    panels[1, 0].set_ylabel("left out: two-way accuracy lost (points)")
    figure.suptitle("Networks of the simulated brains (red: corrected p < 0.05)")
    write_figure(figure, target)


def main() -> None:
    arguments = experiment_parser(__doc__).parse_args()
    work, output, cohort = arguments.work, arguments.output, KeptWindows()
    data = data_of(cohort)
    start = pretrained(work / "pre-trained, seed 0", 0)
    decoders = {
        system: fitted(
            work / f"whole brain, {ALL} pictures, {system}, seed 0",
            tasks(start, 0)[system](),
            data,
            arguments.epochs,
            0,
        )
        for system in SYSTEMS
    }
    data.setup("test")
    ranked = {
        name: kept(work / f"networks, {name}.csv", lambda name=name, each=each: ablated(name, each, data))
        for name, each in decoders.items()
    }
    planted = planted_shares(cohort.simulation.truth)
    tests = pd.concat([network_tests(table).assign(system=name) for name, table in ranked.items()], ignore_index=True)
    tests["planted"] = tests["network"].map(planted)
    statistics, nulls = imagined(decoders, data)
    for name, table in (("wave_networks", tests), ("wave_imagination", statistics)):
        with atomic_path(output / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.4g")
    print(agreement(tests).to_string(index=False, float_format="%.3f"))
    print(statistics[statistics["subject"] == "all"].to_string(index=False, float_format="%.3f"))
    draw(tests, output / "wave_networks.png")
    write_figure(permutation_figure(statistics, nulls, TWO_WAY), output / "wave_imagination.png")


if __name__ == "__main__":
    main()
