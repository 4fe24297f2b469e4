"""Choose how ATM is trained on the simulated EEG subjects: one change at a time, scored on validation concepts.

    python pipelines/experiments/eeg_augmentations.py

Which repeats are averaged, time shift, channel dropout and mixup, for two subjects, each with a network of its own; and
the size of the tokens, for one. Test pictures are not touched.

Each training is a row of ``eeg_augmentations.csv`` when it is measured; a run that was cut goes on with those that are
missing. The table that is printed has retrieval of the 100 validation pictures after the best epoch, and the paired
difference in reciprocal rank to the first row, with a 95% interval over concepts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from eeg_fitting import ATM, WITHIN, KeptEeg, Responses, data_of, eeg_task, experiment_parser, train_eeg
from fitting import Rows

from braindecode_x.metrics.significance import bootstrap_difference


class Setting(NamedTuple):
    """Changes to the task and to the data module, and who is trained."""

    task: dict[str, Any]
    data: dict[str, Any]
    subjects: tuple[str, ...] = WITHIN


SETTINGS = {
    ATM: Setting({}, {}),
    "all 4 repeats averaged": Setting({}, {"mix_repeats": False}),
    "one repeat": Setting({}, {"mix_repeats": "one"}),
    "time shift 16 ms": Setting({}, {"time_shift": 2}),
    "channel dropout 0.1": Setting({}, {"channel_dropout": 0.1}),
    "mixup 0.3": Setting({"mixup": 0.3}, {}),
    "tokens of 250": Setting({"options": {"d_model": 250}}, {}, WITHIN[:1]),
}


def measured(name: str, person: str, cohort: KeptEeg, epochs: int, seed: int) -> dict[str, Any]:
    """Train one network; return how it finds validation pictures."""
    setting = SETTINGS[name]
    data = data_of(cohort, [person], **setting.data)
    who = Responses.of(data, person)
    found = train_eeg(eeg_task(seed=seed, **setting.task), data, [who], epochs=epochs, seed=seed)
    ranks = who.ranks(found.decoded[person][found.best], "validation")
    scores = {"best_epoch": found.best, "top1": (ranks < 0.5).mean(), "mrr": (1 / (1 + ranks)).mean()}
    return {**scores, "seconds": found.seconds, "ranks": " ".join(f"{rank:g}" for rank in ranks)}


def summary(runs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Average over subjects; give the difference in reciprocal rank to ATM as it is, for the same subjects."""
    reciprocal = {
        (row.setting, row.subject): 1 / (1 + np.array(row.ranks.split(), dtype=float)) for row in runs.itertuples()
    }
    rows = []
    for name, own in runs.groupby("setting", sort=False):
        pairs = [(reciprocal[name, who], reciprocal[ATM, who]) for who in own["subject"]]
        a, b = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        concepts = np.tile(np.arange(len(pairs[0][0])), len(pairs))
        low, high = bootstrap_difference(a, b, seed, groups=concepts)
        means = own[["top1", "mrr", "seconds"]].mean()
        difference = {"difference": (a - b).mean(), "low": low, "high": high}
        rows.append({"setting": name, "subjects": len(own), **means, **difference})
    return pd.DataFrame(rows)


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--only", nargs="*", choices=list(SETTINGS), help="names of settings; default: all")
    arguments = parser.parse_args()
    cohort = KeptEeg(arguments.work / "recordings", arguments.seed)
    rows = Rows(arguments.output / "eeg_augmentations.csv")
    for name in arguments.only or SETTINGS:
        for person in SETTINGS[name].subjects:
            about = {"setting": name, "subject": person, "epochs": arguments.epochs, "seed": arguments.seed}
            if not rows.has(about):
                rows.add({**about, **measured(name, person, cohort, arguments.epochs, arguments.seed)})
                print(rows.table.drop(columns="ranks").tail(1).to_string(index=False, header=False), flush=True)
    print(summary(rows.table, arguments.seed).to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    main()
