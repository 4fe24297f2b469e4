"""The analyses of whole-brain decoders as their user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from quick_training import fitted_run
from small_runs import NETWORKS, PARCELS

CONFIG = """
model:
  class_path: braindecode_x.tasks.WaveTask
  init_args: {{options: {{d_model: 16, n_layers: 1, n_heads: 2}}, lr: 0.01}}
data:
  class_path: braindecode_x.datamodules.WindowsDataModule
  init_args:
    cohort: {{class_path: small_runs.SmallRuns}}
    subjects: [anna, ben]
    clip: {clip}
trainer: {{default_root_dir: run, max_epochs: 2, accelerator: cpu, enable_progress_bar: false}}
"""


@pytest.fixture(scope="module")
def trained(tiny_clip, tmp_path_factory) -> Path:
    """The folder of a small sequence model's run."""
    folder = tmp_path_factory.mktemp("trained")
    return fitted_run(CONFIG.format(clip=tiny_clip), folder)


@pytest.fixture
def run(analyse_command):
    """Run an analysis in an empty folder; give what it said."""
    return analyse_command


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(f"runs/analysis/{name}.csv")


def test_networks_masked_and_fitted_anew(run, trained, tiny_decoder):
    options = ["--permutations", "500", "--reconstructor", str(tiny_decoder), "--pictures", "4"]
    run("networks", "--decoder", str(trained), *options)
    accuracy, tests = read("networks/accuracy"), read("networks/tests")
    assert set(accuracy["subject"]) == {"anna", "ben", "all"}
    assert set(accuracy["mode"]) == {"masked", "retrained"}
    assert set(accuracy["network"]) == {"all", "visual", "default", "motor"}
    assert len(tests) == 2 * 3 * 2
    own = tests[(tests["mode"] == "retrained") & (tests["test"] == "alone")].set_index("network")
    assert own.loc["visual", "p_corrected"] < 0.05 < own.loc["motor", "p_corrected"]
    assert len(read("networks/ranks/ben masked")) == 12 * 7
    pictures = read("networks/pictures")
    assert set(pictures.loc[pictures["parcels"] == "leave-out", "network"]) == {"visual", "default", "motor"}
    assert set(pictures["n"]) == {4}
    assert set(read("networks/pictures tests")["test"]) == {"lost"}
    assert len(list(Path("runs/analysis/networks/reconstructions").glob("anna masked without motor/*.png"))) == 4
    for name in ("networks masked", "networks retrained", "pictures"):
        with Image.open(f"runs/analysis/networks/{name}.png") as picture:
            assert min(picture.size) > 200


def test_a_decoder_is_trained_anew_on_networks_and_a_run_that_was_cut_goes_on(run, trained):
    options = ["--modes", "[retrained]", "--retrain", "decoder", "--permutations", "100", "--subjects", "[ben]"]
    run("networks", "--decoder", str(trained), *options)
    folder = Path("runs/analysis/networks")
    decoders = {path.name for path in (folder / "decoders").iterdir()}
    assert decoders == {f"{name} {kept}" for name in set(NETWORKS) for kept in ("leave-in", "leave-out")}
    config = json.loads((folder / "decoders/default leave-out/decoder/config.json").read_text())
    names = [name for name, network in zip(PARCELS.names, PARCELS.networks, strict=True) if network != "default"]
    assert config["layout"]["parcels"]["names"] == names
    assert config["config"]["options"]["d_model"] == 16
    weights = folder / "decoders/default leave-in/decoder/model.safetensors"
    before, table = weights.stat().st_mtime_ns, read("networks/ranks/ben retrained")
    (folder / "ranks/ben retrained.csv").unlink()
    run("networks", "--decoder", str(trained), *options)
    assert weights.stat().st_mtime_ns == before
    pd.testing.assert_frame_equal(read("networks/ranks/ben retrained"), table)
    message = run("networks", "--decoder", str(trained), "--modes", "[retrained]", ok=False)
    assert "holds an analysis of other settings (different: retrain)" in message


def test_attribution(run, trained):
    said = run("attribution", "--decoder", str(trained), "--steps", "8")
    table, networks = read("attribution/parcels"), read("attribution/networks")
    assert set(table["subject"]) == {"anna", "ben", "all"}
    assert table.groupby("subject")["parcel"].apply(list)["ben"] == list(PARCELS.names)
    assert networks.groupby("subject")["share"].sum().round(6).tolist() == [1, 1, 1]
    assert "visual" in said
    assert not list(Path("runs/analysis/attribution").glob("*.png"))  # the atlas has no places
    data = ["--data", str(trained / "config.yaml"), "--output", "ridge"]
    run("attribution", *data)
    by_ridge = pd.read_csv("ridge/attribution/networks.csv").groupby("network")["value"].mean()
    assert by_ridge["visual"] > 3 * abs(by_ridge["motor"])


def test_bad_input_ends_with_what_it_is(run, trained):
    data = ["--data", str(trained / "config.yaml")]
    message = run("networks", *data, "--retrain", "decoder", ok=False)
    assert "decoder: give the folder of a trained decoder" in message
    message = run("networks", *data, "--metric", "3-way", "--subjects", "[ben]", ok=False)
    assert "unknown metric '3-way'; did you mean '2-way'" in message
    message = run("regions", *data, ok=False)
    assert "expected epochs of EEG or MEG (EpochsDataModule), found WindowsDataModule" in message
    epochs = (
        "data: {class_path: braindecode_x.datamodules.EpochsDataModule, init_args: {cohort: small_epochs.SmallEpochs}}"
    )
    Path("epochs.yaml").write_text(epochs)
    for name in ("networks", "attribution"):
        message = run(name, "--data", "epochs.yaml", ok=False)
        assert "expected windows of BOLD (WindowsDataModule), found EpochsDataModule" in message


def test_similarity_of_windows_goes_by_volumes(run, trained):
    run("similarity", "--decoder", str(trained))
    over_time = read("similarity/geometry over time/anna")
    assert over_time["start"].nunique() == 4  # of small_runs
    assert read("similarity/geometry")["subject"].tolist() == ["anna", "ben"]
