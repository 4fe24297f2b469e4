"""Choose how networks are trained on the simulated EEG subjects: one change at a time, scored on validation concepts.

    python pipelines/experiments/eeg_augmentations.py

ATM-S: repeats, shifts, dropped channels and mixup, for two subjects, each with a network of its own. All networks: two
learning rates, for one subject. Test pictures are not touched.

Each training is a row of ``eeg_augmentations.csv`` when it is measured; a run that was cut goes on with those that are
missing. The table that is printed has retrieval of the 100 validation pictures after the best epoch, and the paired
difference in reciprocal rank to the row that a setting changes, with a 95% interval over concepts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from eeg_fitting import ATM, PUBLISHED, WITHIN, KeptEeg, Responses, data_of, eeg_task, experiment_parser, train_eeg
from fitting import Rows

from braindecode_x.metrics.significance import bootstrap_difference
from braindecode_x.models.eeg import ENCODERS

FIRST = WITHIN[:1]


class Setting(NamedTuple):
    """Changes to the task and to the data module, who is trained, and the setting that it is compared to."""

    task: dict[str, Any]
    data: dict[str, Any]
    compared_to: str = ATM
    subjects: tuple[str, ...] = WITHIN


OTHERS = {PUBLISHED: {"published_loss": True}, **{name: {"encoder": name} for name in ENCODERS if name != ATM}}
SETTINGS = {
    ATM: Setting({}, {}),
    "all 4 repeats averaged": Setting({}, {"mix_repeats": False}),
    "one repeat": Setting({}, {"mix_repeats": "one"}),
    "time shift 8 ms": Setting({}, {"time_shift": 1}),
    "time shift 24 ms": Setting({}, {"time_shift": 3}),
    "channel dropout 0.1": Setting({}, {"channel_dropout": 0.1}),
    "channel dropout 0.3": Setting({}, {"channel_dropout": 0.3}),
    "mixup 0.3": Setting({"mixup": 0.3}, {}),
    "tokens of 250": Setting({"options": {"d_model": 250}}, {}, subjects=FIRST),
    "learning rate 3e-3": Setting({"lr": 3e-3}, {}, subjects=FIRST),
    **{name: Setting(task, {}, name, FIRST) for name, task in OTHERS.items()},
    **{f"{name}, learning rate 3e-3": Setting({**task, "lr": 3e-3}, {}, name, FIRST) for name, task in OTHERS.items()},
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
    """Average over subjects; give the difference in reciprocal rank to the setting that each one changes."""
    reciprocal = {
        (row.setting, row.subject): 1 / (1 + np.array(row.ranks.split(), dtype=float)) for row in runs.itertuples()
    }
    rows = []
    for name, own in runs.groupby("setting", sort=False):
        row = {"setting": name, "subjects": len(own), **own[["top1", "mrr", "seconds"]].mean()}
        reference = SETTINGS[name].compared_to
        pairs = [(reciprocal[name, who], reciprocal.get((reference, who))) for who in own["subject"]]
        if name != reference and all(other is not None for _, other in pairs):
            a, b = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
            concepts = np.tile(np.arange(len(pairs[0][0])), len(pairs))
            low, high = bootstrap_difference(a, b, seed, groups=concepts)
            row |= {"compared_to": reference, "difference": (a - b).mean(), "low": low, "high": high}
        rows.append(row)
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
