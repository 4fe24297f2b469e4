"""Input that is wrong or damaged: one paragraph that names it, and nothing written before is touched."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from pictures.make import make_pictures
from tiny_models.make import write_clip, write_decoder

from braindecode_x.cli import main
from braindecode_x.clip import ClipEncoder
from braindecode_x.embeddings import Embeddings

VOXELS = 6
SPLITS = {
    "animated": "train",
    "cmyk": "train",
    "depth16": "train",
    "grey": "train",
    "inside/red": "validation",
    "see-through": "validation",
    "see-through-grey": "test",
    "wide": "test",
}
CONFIG = """
model:
  class_path: braindecode_x.tasks.MindBridgeTask
  init_args: {{in_dim: 8, hidden: 8, n_blocks: 1, adapter_dim: 4}}
data:
  class_path: braindecode_x.datamodules.BetasDataModule
  init_args:
    cohort:
      class_path: braindecode_x.datasets.TableBetas
      init_args: {{table: trials.csv, stimuli: pictures, betas: betas.npy}}
    batch_size: 4
    clip: {clip}
trainer: {{default_root_dir: run, max_epochs: 1, log_every_n_steps: 1, accelerator: cpu, enable_progress_bar: false}}
"""
COHORT = "--data.init_args.cohort.init_args."
OTHER_RUN = ("--trainer.default_root_dir", "other")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_clip, tiny_decoder) -> Path:
    """Return a folder with own data, a training, its predictions, and pictures reconstructed from them."""
    folder = tmp_path_factory.mktemp("study")
    make_pictures(folder / "pictures")
    trials = pd.DataFrame({"subject": "anna", "stimulus": list(SPLITS), "split": list(SPLITS.values())})
    trials.to_csv(folder / "trials.csv", index=False)
    np.save(folder / "betas.npy", np.random.default_rng(0).standard_normal((len(trials), VOXELS)).astype(np.float32))
    (folder / "fit.yaml").write_text(CONFIG.format(clip=tiny_clip))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINDECODE_X_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        main(["fit", "--config", "fit.yaml"])
        main(["predict", "--config", "fit.yaml"])
        main(["reconstruct", "run/predictions.safetensors", "made", "--reconstructor", str(tiny_decoder)])
    return folder


@pytest.fixture
def study(finished, tmp_path, monkeypatch) -> Path:
    """Return a copy of it, which is the current folder."""
    folder = shutil.copytree(finished, tmp_path / "study")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BRAINDECODE_X_CACHE", str(folder / "cache"))
    return folder


@pytest.fixture
def refused(study, capsys) -> Callable[..., str]:
    """Return a function that runs a command which must fail, and gives its message."""

    def run(*arguments: object) -> str:
        before = contents(study)
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        assert ended.value.code == 1
        error = capsys.readouterr().err
        message = error.partition("braindecode-x: ")[2].rstrip("\n")
        assert message, error
        assert "\n" not in message
        after = contents(study)
        assert {name: after.get(name) for name in before} == before
        return message

    return run


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def cut(file: str | Path, keep: float = 0.5) -> None:
    whole = Path(file).read_bytes()
    Path(file).write_bytes(whole[: int(len(whole) * keep)])


def write_betas(kind: str) -> str:
    """Write bad betas into the current folder, and return the file's name."""
    betas = np.load("betas.npy")
    if kind.endswith(".nii.gz"):
        nib.save(nib.Nifti1Image(betas.T.reshape(VOXELS, 1, 1, -1), np.eye(4)), kind)
        cut(kind, 0.9)
        return kind
    if kind == "nan.npy":
        betas[5, 2] = np.nan
    np.save(kind, betas[:-2] if kind == "short.npy" else betas)
    if kind == "cut.npy":
        cut(kind)
    return kind


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("cut.npy", "cut.npy: damaged"),
        ("cut.nii.gz", "cut.nii.gz: not a readable NIfTI image"),
        ("nan.npy", "nan.npy: 1 values are not finite (or too large for float32); the first is in trial 5, voxel 2"),
        ("short.npy", "short.npy: 6 trials; expected 8, one for each row of trials.csv"),
        ("none.npy", "none.npy: no such file"),
    ],
)
def test_bad_betas_are_named_and_the_run_s_folder_stays_free(kind, words, study, refused):
    file = "none.npy" if kind == "none.npy" else write_betas(kind)
    assert words in refused("fit", "--config", "fit.yaml", COHORT + "betas", file, *OTHER_RUN)
    main(["fit", "--config", "fit.yaml", *OTHER_RUN])  # the same folder, put right
    assert (study / "other" / "decoder" / "config.json").is_file()


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("stimulus", "nowhere", "1 of 8 rows name a picture that is not in pictures: line 4 ('nowhere')"),
        ("betas", "nowhere.npy", "nowhere.npy: no such file"),
        ("split", "trian", "1 of 8 rows name a split other than train, validation, test: line 4 ('trian')"),
    ],
)
def test_rows_of_the_table_that_name_what_is_not_there(column, value, words, study, refused):
    trials = pd.read_csv("trials.csv").assign(betas="betas.npy")
    trials.loc[2, column] = value
    trials.to_csv("trials.csv", index=False)
    config = (study / "fit.yaml").read_text().replace(", betas: betas.npy", "")
    (study / "fit.yaml").write_text(config)
    assert words in refused("fit", "--config", "fit.yaml", *OTHER_RUN)


def test_a_table_that_is_not_there(refused):
    assert refused("fit", "--config", "fit.yaml", COHORT + "table", "no.csv", *OTHER_RUN) == "no.csv: no such table"


@pytest.mark.parametrize("command", ["predict", "test", "fit"])
def test_another_number_of_voxels_than_the_checkpoint_s(command, refused):
    np.save("betas.npy", np.load("betas.npy")[:, 1:])
    message = refused(command, "--config", "fit.yaml")
    assert "betas of anna: 5 voxels, but the checkpoint expects 6" in message


@pytest.mark.parametrize("command", ["predict", "test"])
def test_a_subject_that_the_checkpoint_does_not_know(command, refused):
    pd.read_csv("trials.csv").assign(subject="carla").to_csv("trials.csv", index=False)
    message = refused(command, "--config", "fit.yaml")
    assert "unknown subject of the checkpoint 'carla': it knows anna" in message


def test_targets_of_another_space_than_the_checkpoint_s(study, refused):
    other = write_clip(study / "clip", seed=1)
    message = refused("predict", "--config", "fit.yaml", "--data.init_args.clip", other)
    assert "another space: the checkpoint works in" in message
    assert message.count("sha256:") == 2


@pytest.mark.parametrize("keep", [0, 0.5])
@pytest.mark.parametrize(("command", "name"), [("fit", "last.ckpt"), ("predict", "best.ckpt")])
def test_a_damaged_checkpoint_is_named(command, name, keep, refused):
    cut(f"run/checkpoints/{name}", keep)
    assert f"run/checkpoints/{name}: damaged" in refused(command, "--config", "fit.yaml")


def test_a_file_that_is_no_checkpoint_is_named(study, refused):
    (study / "text.ckpt").write_text("hello")
    torch.save({"weights": torch.zeros(2)}, "other.ckpt")
    predict = ("predict", "--config", "fit.yaml", "--ckpt_path")
    assert "text.ckpt: damaged, or not a checkpoint" in refused(*predict, "text.ckpt")
    assert "other.ckpt: not a checkpoint of" in refused(*predict, "other.ckpt")
    assert "none.ckpt" in refused(*predict, "none.ckpt")


def test_a_named_checkpoint_is_used(study):
    first = Path("run/predictions.safetensors").read_bytes()
    Path("run/predictions.safetensors").unlink()
    main(["predict", "--config", "fit.yaml", "--ckpt_path", "run/checkpoints/best.ckpt"])
    assert Path("run/predictions.safetensors").read_bytes() == first


def test_a_training_of_other_settings_leaves_the_folder_as_it_is(study, refused):
    files = set(contents(study))
    message = refused("fit", "--config", "fit.yaml", "--model.init_args.lr", 0.1)
    assert "run: holds a run of other settings" in message
    assert set(contents(study)) == files


@pytest.mark.parametrize("name", ["model.safetensors", "statistics.safetensors", "config.json"])
def test_a_damaged_decoder_to_start_from_is_named(name, refused):
    cut(f"run/decoder/{name}")
    assert "run/decoder" in refused(
        "fit", "--config", "fit.yaml", "--model.init_args.pretrained", "run/decoder", *OTHER_RUN
    )


def test_what_lightning_refuses(refused):
    assert "nrom" in refused("fit", "--config", "fit.yaml", "--trainer.gradient_clip_algorithm", "nrom", *OTHER_RUN)


def test_damaged_embeddings_are_named(refused, tiny_decoder):
    cut("run/predictions.safetensors")
    message = refused("reconstruct", "run/predictions.safetensors", "new", "--reconstructor", tiny_decoder)
    assert "run/predictions.safetensors: not a readable safetensors file" in message
    assert not Path("new").exists()


def test_a_reconstructor_of_another_space(study, refused):
    space = ClipEncoder(write_clip(study / "clip", seed=1)).space
    decoder = write_decoder(study / "decoder", space)
    message = refused("reconstruct", "run/predictions.safetensors", "new", "--reconstructor", decoder)
    assert "embeddings of another space" in message
    assert not Path("new").exists()


@pytest.mark.parametrize(
    "part",
    ["decoder.json", "scheduler/scheduler_config.json", "unet/config.json", "vae/diffusion_pytorch_model.safetensors"],
)
def test_a_damaged_reconstructor_is_named(part, study, refused, tiny_decoder):
    shutil.copytree(tiny_decoder, study / "decoder")
    cut(f"decoder/{part}")
    message = refused("reconstruct", "run/predictions.safetensors", "new", "--reconstructor", "./decoder")
    assert f"decoder/{part}" in message


@pytest.mark.parametrize("name", ["manifest.csv", "inside/red.png", "embeddings.safetensors"])
def test_damaged_reconstructions_are_named(name, study, refused, tiny_decoder):
    subject = Embeddings.load(study / "run" / "predictions.safetensors").ids[0]
    file = f"made/{subject}.png" if name.endswith(".png") else f"made/{name}"
    cut(file)
    assert file in refused("evaluate", "made", "--seen", "pictures")


def test_damaged_settings_of_reconstructions_are_named(refused, tiny_decoder):
    cut("made/settings.json")
    message = refused("reconstruct", "run/predictions.safetensors", "made", "--reconstructor", tiny_decoder)
    assert "made/settings.json: damaged" in message


def test_a_damaged_cache_is_made_anew(study, tiny_clip, caplog):
    embed = ["embed", "pictures", "e.safetensors", "--model", str(tiny_clip)]
    main(embed)
    first = Path("e.safetensors").read_bytes()
    shards = list((study / "cache" / "targets").rglob("*.safetensors"))
    assert shards
    for shard in shards:
        cut(shard)
    main(embed)
    assert Path("e.safetensors").read_bytes() == first
    assert "damaged cache file removed" in caplog.text
    caplog.clear()
    main(embed)
    assert not caplog.text
