"""From what several systems decoded to pictures, and to one table in which they stand beside their controls."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from braindecode_x import __version__
from braindecode_x.clip import ClipEncoder, image_targets
from braindecode_x.diffusion.reconstruct import reconstruct_file, write_png
from braindecode_x.diffusion.reconstructor import EMBEDDED
from braindecode_x.embeddings import Embeddings
from braindecode_x.files import SETTINGS, atomic_path, unknown_name, write_json
from braindecode_x.metrics.comparison import (
    BASELINE,
    Pictures,
    Row,
    comparison_rows,
    deal,
    retrieved_stimuli,
    same_trials,
    trial_scores,
)
from braindecode_x.metrics.evaluate import nearest_rows, read_reconstructions, write_table
from braindecode_x.metrics.judge import Judge
from braindecode_x.stimuli import ObjectStimuli, Stimuli

SEEN, NEAREST, CHANCE, CEILING = "seen", "nearest training picture", "chance", "ceiling"
CONTROLS = (NEAREST, CHANCE, CEILING)
TABLE, ABOUT, PICTURES, RETRIEVED = "comparison", "comparison.json", "pictures.csv", "retrieved.csv"
TRIAL = ["id", "subject", "stimulus"]


def compare(
    systems: Mapping[str, Embeddings],
    seen: Stimuli,
    output: str | Path,
    *,
    reconstructor: str | Path = EMBEDDED,
    sampling: dict[str, Any] | None = None,
    judge: str | Path | Sequence[str | Path] = EMBEDDED,
    encoder: ClipEncoder | None = None,
    training: Stimuli | None = None,
    targets: Embeddings | None = None,
    baseline: str = BASELINE,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Turn what systems decoded from the same trials into pictures, and score them beside controls.

    The controls are, for every subject:

    - the training picture nearest to the first system's embedding: is it reconstruction or recall?
    - chance: the first system's embeddings and pictures dealt to other trials of the subject at random;
    - the ceiling: reconstructed from the true embeddings of what was seen.

    Pictures are kept when nothing that they were made from has changed, so a run that was cut goes on.

    Parameters
    ----------
    systems : mapping of str to Embeddings
        The first is the one under test. Each index holds ``subject`` and ``stimulus``, one row for a picture that a
        subject saw, the same rows in every system.
    seen : Stimuli
        Holds these stimuli.
    output : str or Path
        Folder. A folder of pictures is written for every system and control, ``comparison.csv`` and ``.parquet`` (the
        table), ``pictures.csv`` (which picture is of which trial), ``retrieved.csv`` (what the first system found) and
        ``comparison.json`` (what was run).
    reconstructor : str or Path
        See `Reconstructor.from_pretrained`.
    sampling : dict, optional
        Changes to the decoder's own settings, see `braindecode_x.diffusion.latent.Sampling`; the same for every row.
    judge : str or Path, or sequence of them
        See `Judge`; every one gets scores of its own.
    encoder : ClipEncoder, optional
        Embeds what was seen and the training pictures. With None, or one of another space than the systems', the
        nearest training picture is left out; without ``targets`` also the ceiling and scores in the embedding space.
    training : Stimuli, optional
        Where the nearest picture is looked for; default what the embedded models were trained on. Only the split
        ``"train"``, where the set has splits: other splits may show what was seen in another rendering.
    targets : Embeddings, optional
        True embeddings by ``stimulus``; default those of the encoder.
    baseline : str
        The system or control that the others are compared to, where there is one of this name.
    seed : int
        Of the reconstructions, of chance and of the bootstrap.
    progress : bool
        Show bars.

    Returns
    -------
    pandas.DataFrame
        See `comparison_rows`.

    Raises
    ------
    ValueError
        Systems of different trials or spaces, names that cannot be used, an unknown baseline, fewer than two pictures
        of a subject, training pictures that were seen, or no embedding of a stimulus in ``targets``.
    KeyError
        ``seen`` lacks a stimulus.
    """
    output = Path(output)
    check_names(systems)
    if baseline not in {BASELINE, *systems, *CONTROLS}:
        raise unknown_name("baseline", baseline, [*systems, *CONTROLS])
    systems = same_trials(systems)
    first = next(iter(systems.values()))
    trials = first.index[TRIAL].astype(str)
    place, stimuli = pd.factorize(trials["stimulus"])
    seen = seen.subset(ids=stimuli.tolist())
    encoder = encoder if encoder is not None and encoder.space == first.space else None
    truth = true_embeddings(seen, first, targets, encoder, progress)
    training = None if encoder is None else candidates(training, seen)
    judges = {Path(name).name: Judge(name) for name in ([judge] if isinstance(judge, str | Path) else judge)}
    studio = Studio(output, reconstructor, sampling, judges, seed, progress)

    rows = {
        name: Row(studio.reconstruct(name, own), np.arange(len(trials)), own.image) for name, own in systems.items()
    }
    system = next(iter(rows.values()))
    edge = system.pictures.pixels.shape[-1]
    shown = studio.copy(SEEN, seen, edge)
    known = None if truth is None else truth.image[torch.from_numpy(place)]
    target = Row(shown, place, known)
    if encoder is not None and training is not None:
        vectors = image_targets(training, encoder, progress=progress).tensor()
        near = np.array(nearest_rows(first.image, vectors))
        which, chosen = pd.factorize(near)
        found = studio.copy(NEAREST, training.subset(ids=[training.ids[i] for i in chosen]), edge)
        rows[NEAREST] = Row(found, which, vectors[torch.from_numpy(near)])
    dealt = deal(trials["subject"].to_numpy(), seed)
    rows[CHANCE] = Row(system.pictures, dealt, first.image[torch.from_numpy(dealt)])
    if truth is not None:
        rows[CEILING] = Row(studio.reconstruct(CEILING, truth), place, known)

    subjects = trials["subject"].to_numpy()
    scores = {name: trial_scores(row, target, subjects) for name, row in rows.items()}
    table = comparison_rows(scores, trials["stimulus"].to_numpy(), subjects, seed, baseline)
    pictures = {name: [row.pictures.files[i] for i in row.which] for name, row in ({SEEN: target} | rows).items()}
    write_csv(trials.assign(**pictures), output / PICTURES)
    if known is not None:
        write_csv(retrieved_stimuli(first.image, target, trials), output / RETRIEVED)
    else:
        (output / RETRIEVED).unlink(missing_ok=True)
    write_table(table, output / TABLE)
    write_json(output / ABOUT, facts(systems, list(rows), trials, seen, training, studio, baseline))
    return table


class Studio:
    """Makes the pictures of a comparison and has them judged.

    Parameters
    ----------
    output : Path
    reconstructor : str or Path
    sampling : dict or None
    judges : dict of str to Judge
    seed : int
    progress : bool
    """

    def __init__(
        self,
        output: Path,
        reconstructor: str | Path,
        sampling: dict[str, Any] | None,
        judges: dict[str, Judge],
        seed: int,
        progress: bool,
    ):
        self.output, self.reconstructor, self.sampling, self.judges = output, reconstructor, sampling, judges
        self.seed, self.progress = seed, progress

    def reconstruct(self, name: str, embeddings: Embeddings) -> Pictures:
        """Reconstruct embeddings in a folder of this name; pictures that are there are kept."""
        file, folder = self.output / f"{name}.safetensors", self.output / name
        embeddings.save(file)
        options: dict[str, Any] = {"sampling": self.sampling, "overwrite": True, "progress": self.progress}
        reconstruct_file(file, folder, self.reconstructor, self.seed, **options)
        manifest, pictures = read_reconstructions(folder)
        return self._judged(pictures[:, 0], [f"{name}/{file}" for file in manifest["file"]])

    def copy(self, name: str, stimuli: Stimuli, edge: int) -> Pictures:
        """Copy pictures of a set to a folder of this name, at the size of the reconstructions."""
        pictures = stimuli.pixels(edge).float() / 255
        files = [f"{name}/{stimulus}.png" for stimulus in stimuli.ids]
        for file, picture in zip(files, pictures, strict=True):
            write_png(self.output / file, picture)
        return self._judged(pictures, files)

    def _judged(self, pictures: torch.Tensor, files: list[str]) -> Pictures:
        return Pictures(pictures, files, {name: judge.features(pictures) for name, judge in self.judges.items()})


def check_names(systems: Mapping[str, Embeddings]) -> None:
    """Refuse names of systems that cannot be folders beside those of the controls."""
    reserved = {SEEN, *CONTROLS, *TRIAL}
    unusable = [name for name in systems if name in reserved or not name.strip(".") or Path(name).name != name]
    if unusable:
        raise ValueError(f"system {unusable[0]!r}: expected a name for a folder, other than {sorted(reserved)}")


def true_embeddings(
    seen: Stimuli, first: Embeddings, targets: Embeddings | None, encoder: ClipEncoder | None, progress: bool
) -> Embeddings | None:
    """Return the embeddings of what was seen, in its order, or None where nothing can tell them."""
    index, text = pd.DataFrame({"id": seen.ids, "stimulus": seen.ids}), None
    if targets is not None:
        first.space.require(targets.space, "the systems' comparison")
        known = pd.Index(targets.index["stimulus"].astype(str))
        if known.has_duplicates or len(unknown := index["stimulus"][~index["stimulus"].isin(known)]):
            what = known[known.duplicated()][0] if known.has_duplicates else unknown.iloc[0]
            raise ValueError(f"targets: expected one embedding of every stimulus, found several or none of {what!r}")
        rows = known.get_indexer(seen.ids).tolist()
        image, text = targets.image[rows], None if targets.text is None else targets.text[rows]
    elif encoder is not None:
        image = image_targets(seen, encoder, progress=progress).tensor()
    else:
        return None
    return Embeddings(index, first.space, image, text)


def candidates(training: Stimuli | None, seen: Stimuli) -> Stimuli:
    """Select the training pictures: nothing that was seen, nor another rendering of it."""
    training = ObjectStimuli().trainable() if training is None else training
    if "split" in training.table:
        training = training.subset(split="train")
    shared = sorted(set(training.ids) & set(seen.ids)) if training.name == seen.name else []
    if shared or not len(training):
        found = f"{len(shared)} that were seen, for example {shared[0]!r}" if shared else "no picture to train on"
        raise ValueError(f"training pictures {training.name!r}: expected pictures other than those seen, found {found}")
    return training


def facts(
    systems: Mapping[str, Embeddings],
    rows: list[str],
    trials: pd.DataFrame,
    seen: Stimuli,
    training: Stimuli | None,
    studio: Studio,
    baseline: str,
) -> dict[str, Any]:
    """Collect what was run, for `comparison.json`."""
    first = next(iter(systems))
    about = json.loads((studio.output / first / SETTINGS).read_text(encoding="utf-8"))
    checkpoints = {
        name: sorted(own.index["checkpoint"].astype(str).unique()) if "checkpoint" in own.index else []
        for name, own in systems.items()
    }
    return {
        "versions": {"braindecode_x": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "seed": studio.seed,
        "systems": checkpoints,
        "rows": rows,
        "baseline": baseline if baseline in rows else None,
        "subjects": {str(name): int(count) for name, count in trials["subject"].value_counts(sort=False).items()},
        "seen": {"set": seen.name, "pictures": len(seen)},
        "training": None if training is None else {"set": training.name, "pictures": len(training)},
        "space": about["space"],
        "reconstructor": {
            "name": str(studio.reconstructor),
            "weights": about["reconstructor"],
            "sampling": about["sampling"],
        },
        "judges": {name: judge.name for name, judge in studio.judges.items()},
    }


def write_csv(table: pd.DataFrame, target: Path) -> None:
    """Write a table as CSV, atomically."""
    with atomic_path(target) as temporary:
        table.to_csv(temporary, index=False)
