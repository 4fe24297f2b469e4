"""The command line: one command a stage, and ``demo`` that calls them in turn.

``fit``, ``validate``, ``test`` and ``predict`` are in `braindecode_x.lightning_cli`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import auto_cli

from braindecode_x.analysis.commands import COMMANDS as ANALYSE_COMMANDS
from braindecode_x.embedding_commands import caption, prior
from braindecode_x.preprocessing.commands import COMMANDS as PREPROCESS_COMMANDS

if TYPE_CHECKING:
    from braindecode_x.stimuli import Stimuli


def embed(
    pictures: str,
    output: Path,
    model: str = "embedded",
    pretrained: str | None = None,
    captions: Path | None = None,
    split: Literal["train", "validation", "test"] | None = None,
    device: str = "cpu",
) -> None:
    """Embed pictures (and their captions) with a CLIP model.

    Parameters
    ----------
    pictures
        A folder of pictures, or "objects" for the embedded set's 3D renderings.
    output
        The file of embeddings to write (.safetensors).
    model
        "embedded", a folder in open_clip's local-dir layout, or an open_clip name such as ViT-L-14.
    pretrained
        open_clip's tag of the weights, with a model's name.
    captions
        CSV with the columns id and caption, for a folder of pictures.
    split
        With "objects": only this split.
    device
        Where the model runs.
    """
    from braindecode_x.clip import ClipEncoder, image_targets, text_targets
    from braindecode_x.embeddings import Embeddings

    stimuli = open_stimuli(pictures, captions)
    if split is not None:
        if "split" not in stimuli.table:
            raise ValueError(f"split: {pictures} has no splits; only the embedded objects have")
        stimuli = stimuli.subset(split=split)
    encoder = ClipEncoder(model, pretrained, device)
    image = image_targets(stimuli, encoder).tensor()
    captioned = sum(map(bool, stimuli.captions))
    text = text_targets(stimuli, encoder).tensor() if captioned == len(stimuli) else None
    if 0 < captioned < len(stimuli):
        say(f"{captioned} of {len(stimuli)} pictures have a caption: text is left out")
    index = stimuli.table.reset_index()[["id"]].assign(stimulus=stimuli.ids, set=stimuli.name)
    Embeddings(index, encoder.space, image, text).save(output)
    say(f"{len(index)} pictures{' and captions' if text is not None else ''} embedded in [{encoder.space}]: {output}")


def reconstruct(
    embeddings: Path,
    output: Path,
    reconstructor: str = "embedded",
    seed: int = 0,
    samples: int = 1,
    batch_size: int = 32,
    steps: int | None = None,
    scheduler: str | None = None,
    guidance_image: float | None = None,
    guidance_text: float | None = None,
    noise: float | None = None,
    candidates: int | None = None,
    clip_guidance: float | None = None,
    clip: str | None = None,
    low_level: Path | None = None,
    strength: float | None = None,
    overwrite: bool = False,
) -> None:
    """Turn a file of embeddings into pictures; a run that was cut goes on where it stopped.

    Parameters
    ----------
    embeddings
        A file that "embed" or a decoder wrote.
    output
        Folder for the PNG pictures, their manifest and the settings.
    reconstructor
        "embedded", or a decoder's folder.
    seed
        Noise is keyed by seed, id and sample.
    samples
        Pictures of each embedding.
    batch_size
        Pictures made at once.
    steps
        Denoising steps; default: the decoder's own, chosen on validation pictures (so for the next six).
    scheduler
        Name of a diffusers scheduler.
    guidance_image
        Weight of the image condition.
    guidance_text
        Weight of the text condition; 0 leaves it out.
    noise
        Scale of the initial noise.
    candidates
        Pictures drawn for each that is kept: the one whose own embedding is nearest to the given one.
    clip_guidance
        How far every step moves the picture towards the embedding by the gradient of its CLIP model; 0: not at all.
    clip
        CLIP folder that ranks candidates and guides, where the embeddings are of a local model other than "embedded".
    low_level
        File of latents that a low-level branch predicted of the same trials: pictures to start from.
    strength
        With low_level, the share of the denoising that is run from there, up to 1: start from noise.
    overwrite
        Remove the output folder first when it holds reconstructions of other settings.
    """
    from braindecode_x.clip import ClipEncoder
    from braindecode_x.diffusion.reconstruct import reconstruct_file

    chosen = {
        "steps": steps,
        "scheduler": scheduler,
        "guidance_image": guidance_image,
        "guidance_text": guidance_text,
        "noise": noise,
        "candidates": candidates,
        "clip_guidance": clip_guidance,
        "strength": strength,
    }
    sampling = {name: value for name, value in chosen.items() if value is not None}
    manifest = reconstruct_file(
        embeddings,
        output,
        reconstructor,
        seed,
        samples,
        batch_size,
        sampling,
        overwrite,
        encoder=None if clip is None else ClipEncoder(clip),
        low_level=low_level,
    )
    say(f"{len(manifest)} pictures: {output}")


def evaluate(
    reconstructions: Path,
    seen: str = "objects",
    output: Path | None = None,
    judge: str = "embedded",
    seed: int = 0,
) -> None:
    """Score a folder of reconstructions against the pictures seen, beside baselines.

    Parameters
    ----------
    reconstructions
        A folder that "reconstruct" made.
    seen
        The pictures that were seen: "objects", or a folder.
    output
        Stem of the table's files (.csv and .parquet are added); default: "metrics" in the folder.
    judge
        "embedded", or a judge's folder.
    seed
        Of the bootstrap.
    """
    from braindecode_x.metrics.evaluate import evaluate_folder
    from braindecode_x.report import print_table

    output = output or reconstructions / "metrics"
    print_table(evaluate_folder(reconstructions, open_stimuli(seen, None, every=True), output, judge, seed))
    say(f"table: {output}.csv and .parquet")


def compare(
    systems: dict[str, Path],
    output: Path,
    seen: str = "objects",
    run: Path | None = None,
    model: str = "embedded",
    pretrained: str | None = None,
    reconstructor: str = "embedded",
    sampling: dict[str, Any] | None = None,
    judges: list[str] = ["embedded"],  # noqa: B006 (never changed)
    baseline: str = "ridge",
    seed: int = 0,
) -> None:
    """Score what decoders predicted: pictures, a table with chance, nearest, ridge and ceiling, and a page.

    Parameters
    ----------
    systems
        Names with files that "predict" wrote, the first one under test, for example
        {MindBridge: a.safetensors, ridge: b.safetensors}.
    output
        Folder for pictures, table (comparison.csv and .parquet) and page (report.html).
    seen
        The pictures that were seen: "objects", or a folder.
    run
        Folder of the first system's training, whose curves and configuration the page shows.
    model
        The CLIP model that the predictions are of, as for "embed": it gives the true embeddings.
    pretrained
        open_clip's tag of the weights, with a model's name.
    reconstructor
        "embedded", or a decoder's folder.
    sampling
        Changes to the decoder's own sampling, for example {candidates: 1, guidance_image: 3}.
    judges
        Networks that judge pictures, by name or folder.
    baseline
        The system or control that the others are compared to, for example "nearest training picture".
    seed
        Of chance, of the noise and of the bootstrap.
    """
    from braindecode_x.clip import ClipEncoder
    from braindecode_x.comparison import compare as compare_systems
    from braindecode_x.embeddings import Embeddings
    from braindecode_x.report import print_comparison

    given = {name: Embeddings.load(file) for name, file in systems.items()}
    shown = {stimulus for each in given.values() for stimulus in each.index["stimulus"]}
    stimuli = open_stimuli(seen, None, every=True)
    unknown = sorted(shown - set(stimuli.ids))
    if unknown:
        raise ValueError(
            f"seen: {stimuli.name!r} does not hold {len(unknown)} of the stimuli, for example {unknown[0]!r}"
        )
    stimuli = stimuli.subset(ids=[name for name in stimuli.ids if name in shown])
    encoder = ClipEncoder(model, pretrained)
    for each in given.values():
        encoder.space.require(each.space, f"{model!r}, which is to give the true embeddings,")
    options: dict[str, Any] = {
        "encoder": encoder,
        "reconstructor": reconstructor,
        "sampling": sampling,
        "judge": judges,
        "baseline": baseline,
    }
    table = compare_systems(given, stimuli, output, **options, seed=seed)
    print_comparison(table, baseline=baseline)
    report(output, run)


def report(output: Path, run: Path | None = None) -> None:
    """Write the page of a comparison again, for example with the curves of a training.

    Parameters
    ----------
    output
        Folder that "compare" made.
    run
        Folder of a training.
    """
    from braindecode_x.run_report import write_report

    say(f"open this page in a browser: {write_report(output, run)}")


def demo(
    output: Path = Path("runs/demo"), system: Literal["all", "mindbridge", "atm", "wave"] = "all", seed: int = 0
) -> None:
    """Show every system on one page: a real recording and simulated subjects decoded to pictures.

    Parameters
    ----------
    output
        Folder for the page, pictures, metrics and trained decoders; what is there already is gone on with.
    system
        mindbridge: fMRI, a real recording and simulated subjects. atm: simulated EEG. wave: simulated whole-brain
        fMRI. all: these, and unseen pictures rebuilt from their true embeddings.
    seed
        Of all random numbers.
    """
    from braindecode_x.demo import run_demo

    say(f"open this page in a browser: {run_demo(output, system, seed)}")


def gpu_smoke(device: str | None = None, steps: int = 3) -> None:
    """Run each stage for a few steps on the accelerator that is there, and print the time and memory of each.

    Parameters
    ----------
    device
        For example cuda, mps or cpu; default: the best one that is there.
    steps
        Of training.
    """
    from braindecode_x.smoke import run_smoke

    say(run_smoke(device, steps).to_string(index=False))


def open_stimuli(name: str, captions: Path | None = None, every: bool = False) -> Stimuli:
    """Open "objects" (its 3D renderings, or every rendering) or a folder of pictures."""
    from braindecode_x.stimuli import FolderStimuli, ObjectStimuli

    if name != "objects" or Path(name).is_dir():
        return FolderStimuli(name, captions)
    if captions is not None:
        raise ValueError(f"captions: the embedded objects have their own; leave out {captions}")
    return ObjectStimuli() if every else ObjectStimuli().subset(rendering="fluent3d")


def find_configs(arguments: list[str]) -> list[str]:
    """Put the path of the package's own YAML where ``--config`` or ``--data`` is followed by the bare name of one."""
    from braindecode_x.resources import travelling

    found = travelling("pipelines", "*.yaml")
    after_config = [False, *(argument in ("--config", "--data") for argument in arguments[:-1])]
    return [
        str(found[argument]) if follows and argument in found and not Path(argument).exists() else argument
        for follows, argument in zip(after_config, arguments, strict=True)
    ]


def say(text: str) -> None:
    """Print a line for the user."""
    sys.stdout.write(text + "\n")


COMMANDS: dict[str, Any] = {
    "preprocess": PREPROCESS_COMMANDS,
    "embed": embed,
    "prior": prior,
    "caption": caption,
    "reconstruct": reconstruct,
    "evaluate": evaluate,
    "compare": compare,
    "report": report,
    "analyse": ANALYSE_COMMANDS,
    "gpu-smoke": gpu_smoke,
    "demo": demo,
}


TRAINING_COMMANDS = ("fit", "validate", "test", "predict")
DESCRIPTION = """From recorded brain activity to the picture a person saw.

Decoders are trained and used with the Lightning commands fit, validate, test and predict, for example
"braindecode-x fit --config mindbridge_simulated.yaml"; see "braindecode-x fit --help"."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors of input end with one clear line and exit status 1."""
    arguments = find_configs(sys.argv[1:] if arguments is None else arguments)
    try:
        if arguments and arguments[0] in TRAINING_COMMANDS:
            from braindecode_x.lightning_cli import main as run_training_command

            return run_training_command(arguments)
        auto_cli(COMMANDS, args=arguments, prog="braindecode-x", description=DESCRIPTION, as_positional=True)
    except (ValueError, KeyError, OSError, RuntimeError, ImportError) as error:
        text = error.args[0] if isinstance(error, KeyError) else str(error)
        sys.stderr.write(f"braindecode-x: {text}\n")
        raise SystemExit(1) from error
