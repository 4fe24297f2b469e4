"""One's own epochs, from FIF files to a decoder and its predictions, as their user runs it."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest
from PIL import Image
from small_epochs import CHANNELS, SFREQ, TMIN, SmallEpochs

from braindecode_x.cli import main
from braindecode_x.decoder import BrainDecoder
from braindecode_x.embeddings import Embeddings

CONFIG = """
model: {{class_path: braindecode_x.tasks.RidgeTask}}
data:
  class_path: braindecode_x.datamodules.EpochsDataModule
  init_args:
    cohort:
      class_path: braindecode_x.datasets.EpochsDataset
      init_args:
        epochs: {{anna: anna-epo.fif, ben: [ben-epo.fif]}}
        stimuli: pictures
        column: image
    channels: [Oz, O1, O2, Pz]
    tmin: 0.0
    mix_repeats: 2
    clip: {clip}
trainer: {{default_root_dir: run, max_epochs: 1, limit_train_batches: 1, accelerator: cpu, enable_progress_bar: false}}
"""


def save(name: str, split=None, channels=CHANNELS) -> None:
    """Write a subject's epochs as ``mne.Epochs.save`` does."""
    subject = SmallEpochs().subject(name)
    info = mne.create_info(list(channels), SFREQ, "eeg")
    metadata = subject.trials.rename(columns={"stimulus": "image"})
    if split is not None:
        metadata = metadata.assign(image="", split=split)
    epochs = mne.EpochsArray(subject.epochs, info, tmin=TMIN, metadata=metadata, verbose="error")
    epochs.save(f"{name}-epo.fif", overwrite=True, verbose="error")


@pytest.fixture
def study(tmp_path, tiny_clip, monkeypatch) -> Path:
    """A trained decoder beside the epochs and pictures that it was trained on."""
    monkeypatch.chdir(tmp_path)
    stimuli = SmallEpochs().stimuli
    Path("pictures").mkdir()
    for name, pixels in zip(stimuli.ids, stimuli.pixels(16), strict=True):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(f"pictures/{name}.png")
    for name in ("anna", "ben"):
        save(name)
    Path("fit.yaml").write_text(CONFIG.format(clip=tiny_clip))
    main(["fit", "--config", "fit.yaml"])
    return tmp_path


def test_from_epochs_to_embeddings_and_a_decoder_of_their_channels(study, capsys):
    decoder = BrainDecoder.from_pretrained("run/decoder")
    assert decoder.layout.channels == ("Oz", "O1", "O2", "Pz")
    assert decoder.layout.shape == (4, 10)
    main(["predict", "--config", "fit.yaml"])
    tested = Embeddings.load("run/predictions.safetensors")
    assert tested.index["subject"].value_counts().to_dict() == {"anna": 12, "ben": 12}
    assert set(tested.index["repeats"]) == {3}
    save("ben", split="predict")
    new = ["--data.init_args.predict_split", "predict", "--data.init_args.subjects", "[ben]"]
    main(["predict", "--config", "fit.yaml", *new])
    unlabelled = Embeddings.load("run/predictions.safetensors")
    assert unlabelled.ids[:2] == ["ben_trial00001", "ben_trial00002"]
    signal = SmallEpochs().subject("ben").epochs[:, [4, 3, 5, 2], 5:]
    expected = decoder.predict(signal, "ben")[0]
    np.testing.assert_allclose(unlabelled.image, expected, atol=1e-3)


def test_epochs_that_do_not_fit_end_with_one_clear_line(study, capsys):
    before = Path("run/decoder/model.safetensors").read_bytes()

    def refused(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            main([*arguments, "--config", "fit.yaml"])
        return capsys.readouterr().err.partition("braindecode-x: ")[2]

    save("ben", channels=[name.upper() for name in CHANNELS])
    assert "epochs of ben: 2 of 4 expected channels are not among the 6 found: Oz, Pz; " in refused("test")
    save("ben", split="test")
    message = refused("predict")
    assert "300 of 600 rows name no picture" in message
    assert "epoch 0 of ben-epo.fif" in message
    Path("ben-epo.fif").write_bytes(b"")
    assert "ben-epo.fif: damaged" in refused("predict")
    assert Path("run/decoder/model.safetensors").read_bytes() == before
