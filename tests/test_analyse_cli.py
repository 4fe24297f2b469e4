"""The analyses of a trained decoder as their user runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from quick_training import fitted_run

from braindecode_x.clip import ClipEncoder
from braindecode_x.diffusion.prior import EmbeddingPrior, PriorNetwork, PriorSampling
from braindecode_x.embeddings import Embeddings

CONFIG = """
model: {{class_path: braindecode_x.tasks.RidgeTask}}
data:
  class_path: braindecode_x.datamodules.EpochsDataModule
  init_args:
    cohort: {{class_path: small_epochs.SmallEpochs}}
    subjects: [anna, ben]
    clip: {clip}
trainer: {{default_root_dir: run, max_epochs: 1, limit_train_batches: 1, accelerator: cpu, enable_progress_bar: false}}
"""


@pytest.fixture(scope="module")
def trained(tiny_clip, tmp_path_factory) -> Path:
    """The folder of a ridge decoder's run."""
    folder = tmp_path_factory.mktemp("trained")
    return fitted_run(CONFIG.format(clip=tiny_clip), folder)


@pytest.fixture
def run(trained, analyse_command):
    """Run an analysis of the decoder in an empty folder; give what it said."""

    def analyse(*arguments: str, decoder: Path | None = trained, ok: bool = True) -> str:
        given = [] if decoder is None else ["--decoder", str(decoder)]
        return analyse_command(*arguments, *given, ok=ok)

    return analyse


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(f"runs/analysis/{name}.csv")


def test_windows(run, tiny_decoder):
    """The small cohort's answer begins 40 ms after the picture."""
    options = ["--step", "0.03", "--width", "0.03", "--metric", "2-way", "--generalisation", "3"]
    said = run("windows", *options, "--reconstructor", str(tiny_decoder), "--pictures", "3")
    accuracy = read("windows/accuracy")
    assert set(accuracy["subject"]) == {"anna", "ben", "all"}
    assert set(accuracy["mode"]) == {"masked", "retrained"}
    assert set(accuracy["windows"]) == {"growing", "sliding"}
    latencies = read("windows/latencies")
    found = latencies[(latencies["subject"] == "all") & (latencies["metric"] == "2-way")]
    assert len(found) == 4
    assert ((found["onset"] > 0.04) & (found["onset"] < 0.08)).all()
    assert "0.07" in said
    generalised = read("windows/generalisation/anna 3")
    assert len(generalised) == 25
    assert len(read("windows/ranks/ben masked sliding")) == 12 * 5
    for name in ("windows", "generalisation", "reconstructions"):
        with Image.open(f"runs/analysis/windows/{name}.png") as picture:
            assert min(picture.size) > 200
    assert len(list(Path("runs/analysis/windows/reconstructions").glob("*/*.png"))) == 3 * 4


def test_pictures_of_windows_may_be_made_of_what_a_prior_samples(run, tiny_clip, tiny_decoder):
    (d,) = ClipEncoder(tiny_clip).space.shape
    network = PriorNetwork(d, d, widths=(16, 8), time_dim=8)
    EmbeddingPrior(network, ClipEncoder(tiny_clip).space, sampling=PriorSampling(steps=2)).save_pretrained("prior")
    options = ["--kinds", "[growing]", "--modes", "[masked]", "--step", "0.05", "--generalisation", "0"]
    options += ["--subjects", "[anna]", "--reconstructor", str(tiny_decoder), "--pictures", "2"]
    decoded = []
    for prior in ([], ["--prior", "prior"]):
        run("windows", *options, *prior)
        folder = Path("runs/analysis/windows/reconstructions")
        decoded.append(Embeddings.load(folder / "anna masked to 100 ms.safetensors").image)
    expected = EmbeddingPrior.from_pretrained("prior")(decoded[0], Embeddings.load(next(folder.glob("*.saf*"))).ids)
    np.testing.assert_allclose(decoded[1], expected, atol=1e-5)


def test_a_checkpoint_is_analysed_as_the_decoder_is(run, trained):
    run("regions", "--modes", "[masked]")
    run("regions", "--modes", "[masked]", "--output", "best", decoder=trained / "checkpoints" / "best.ckpt")
    first, second = (pd.read_csv(f"{folder}/regions/accuracy.csv") for folder in ("runs/analysis", "best"))
    pd.testing.assert_frame_equal(first, second)
    Path("run/checkpoints").mkdir(parents=True)
    Path("run/checkpoints/broken.ckpt").write_bytes(b"broken")
    data = ["--data", str(trained / "config.yaml"), "--output", "other"]
    message = run("regions", *data, decoder=Path("run/checkpoints/broken.ckpt"), ok=False)
    assert "run/checkpoints/broken.ckpt: damaged, or not a checkpoint" in message
    shutil.copy(trained / "checkpoints" / "best.ckpt", "run/checkpoints")
    message = run("regions", *data, decoder=Path("run/checkpoints/best.ckpt"), ok=False)
    assert "run/config.yaml: no such configuration" in message


def test_a_run_that_was_cut_goes_on_and_another_is_refused(run):
    options = ["--kinds", "[growing]", "--step", "0.05", "--generalisation", "0"]
    run("windows", *options, "--modes", "[masked]", "--subjects", "[anna]")
    kept, table = (
        Path("runs/analysis/windows/ranks/anna masked growing.csv"),
        Path("runs/analysis/windows/accuracy.csv"),
    )
    before, content = kept.stat().st_mtime_ns, table.read_bytes()
    table.unlink()
    run("windows", *options, "--modes", "[masked]", "--subjects", "[anna]")
    assert kept.stat().st_mtime_ns == before
    assert table.read_bytes() == content
    run("windows", *options)  # more subjects and modes join
    assert kept.stat().st_mtime_ns == before
    assert set(read("windows/accuracy")["subject"]) == {"anna", "ben", "all"}
    message = run("windows", "--step", "0.04", ok=False)
    assert "runs/analysis/windows: holds an analysis of other settings (different: step)" in message
    assert kept.stat().st_mtime_ns == before
    run("windows", "--step", "0.04", "--generalisation", "0", "--overwrite", "true")
    assert len(read("windows/ranks/anna masked growing")) == 12 * 3


def test_regions(run):
    run("regions", "--metric", "2-way")
    accuracy = read("regions/accuracy")
    assert set(accuracy["region"]) == {"all", "frontal", "central", "parietal", "occipital"}
    assert accuracy.groupby(["region", "channels"])["n_channels"].first()["occipital"].to_dict() == {
        "leave-in": 3,
        "leave-out": 3,
    }
    assert Path("runs/analysis/regions/regions masked.png").is_file()
    assert Path("runs/analysis/regions/regions retrained.png").is_file()
    own = ["--regions", "{left: [O1], right: [O2]}", "--modes", "[masked]", "--output", "other"]
    run("regions", *own)
    assert set(pd.read_csv("other/regions/accuracy.csv")["region"]) == {"all", "left", "right"}
    assert json.loads(Path("other/regions/settings.json").read_text())["regions"] == {"left": ["O1"], "right": ["O2"]}


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion"])
def test_saliency(run, method):
    run("saliency", "--method", method, "--maps", "[-0.05, 0.04, 0.1]", "--block", "0.03", "--steps", "8")
    table = read("saliency/saliency")
    times = table[table["of"] == "time"].groupby("time")["value"].mean()
    assert len(times) == (15 if method == "integrated-gradients" else 5)
    assert times[times.index > 0.045].min() > 3 * times[times.index < 0.03].abs().max()
    assert set(table.loc[table["of"] == "channel", "channel"]) == {"Fz", "Cz", "Pz", "O1", "Oz", "O2"}
    assert Path("runs/analysis/saliency/saliency.png").is_file()


def test_similarity(run, trained):
    run("similarity", "--width", "0.03", "--step", "0.03")
    assert len(read("similarity/pictures")) == 24
    concepts = read("similarity/concepts")
    assert (concepts["n"] % 2 == 0).all()
    assert concepts["two_way"].mean() > 0.7
    matrix = pd.read_csv("runs/analysis/similarity/matrices/anna.csv", index_col=0)
    assert list(matrix.index) == list(matrix.columns)
    assert np.diag(matrix).mean() > matrix.to_numpy().mean()
    geometry = read("similarity/geometry over time/ben")
    assert (
        geometry.loc[geometry["start"] >= 0.04, "value"].min() > geometry.loc[geometry["stop"] <= 0.04, "value"].max()
    )
    assert {file.stem for file in Path("runs/analysis/similarity").glob("*.png")} == {
        "similarity",
        "categories",
        "geometry",
    }
    # without a decoder, ridge is fitted: the same
    run("similarity", "--data", str(trained / "config.yaml"), "--output", "ridge", decoder=None)
    again = pd.read_csv("ridge/similarity/matrices/anna.csv", index_col=0)
    np.testing.assert_allclose(again, matrix, atol=0.02)


def test_bad_input_ends_with_what_it_is(run, trained, tmp_path):
    assert "data and decoder: give one at least" in run("windows", decoder=None, ok=False)
    data = ["--data", str(trained / "config.yaml")]
    message = run("saliency", *data, decoder=None, ok=False)
    assert "decoder: give the folder of a trained decoder" in message
    assert "decoder: give the folder" in run("regions", *data, "--modes", "[masked]", decoder=None, ok=False)
    assert "nowhere: not a decoder folder" in run("regions", *data, decoder=Path("nowhere"), ok=False)
    assert "nowhere.yaml: no such configuration" in run("regions", "--data", "nowhere.yaml", ok=False)
    Path("other.yaml").write_text("model: {}\n")
    assert "other.yaml: expected a section data" in run("regions", "--data", "other.yaml", ok=False)
    Path("broken.yaml").write_text("data: [\n")
    assert "broken.yaml: damaged, or not YAML" in run("regions", "--data", "broken.yaml", ok=False)
    Path("wrong.yaml").write_text("data: {class_path: small_cohort.SmallCohort}\n")
    assert "wrong.yaml: data: " in run("regions", "--data", "wrong.yaml", ok=False)
    message = run("regions", "--subjects", "[ann]", ok=False)
    assert "unknown subject 'ann'; did you mean 'anna'" in message
    message = run("windows", "--metric", "3-way", "--generalisation", "0", "--step", "0.05", ok=False)
    assert "unknown metric '3-way'; did you mean '2-way'" in message
    fewer = (trained / "config.yaml").read_text().replace("channels: null", "channels: [Oz, O1]")
    Path("fewer.yaml").write_text(fewer)
    assert "4 of 6 expected channels are not among the 2 found" in run("regions", "--data", "fewer.yaml", ok=False)
    betas = (trained / "config.yaml").read_text().replace("EpochsDataModule", "BetasDataModule")
    lines = [line for line in betas.splitlines() if line.strip().partition(":")[0] not in EPOCHS_ONLY]
    Path("betas.yaml").write_text("\n".join(lines).replace("small_epochs.SmallEpochs", "small_cohort.SmallCohort"))
    message = run("regions", "--data", "betas.yaml", decoder=None, ok=False)
    assert "expected epochs of EEG or MEG (EpochsDataModule), found BetasDataModule" in message
    run("similarity", "--data", "betas.yaml", decoder=None)
    assert len(read("similarity/pictures")) == 24


EPOCHS_ONLY = ("channels", "tmin", "tmax", "time_shift", "channel_dropout")
