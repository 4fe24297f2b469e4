from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import lightning as L
import mne
import numpy as np
import pytest
import torch
from small_cohort import REPEATS
from small_epochs import CHANNELS, SFREQ, TMIN, VOLT, SmallEpochs
from torch import nn

from braindecode_x.callbacks import joined
from braindecode_x.datamodules import BetasDataModule, EpochsDataModule
from braindecode_x.datamodules.batch import Batch
from braindecode_x.datasets.epochs import SubjectEpochs
from braindecode_x.decoder import BrainDecoder
from braindecode_x.tasks import RidgeTask
from braindecode_x.tasks.base import EmbeddingTask


class Changed(SmallEpochs):
    """The small cohort, one subject's recording changed."""

    def __init__(self, name: str, **changes):
        super().__init__()
        self.name, self.changes = name, changes

    def subject(self, name: str) -> SubjectEpochs:
        found = super().subject(name)
        if name != self.name:
            return found
        changes = {key: change(found) for key, change in self.changes.items()}
        return replace(found, **changes)


class SharedNetwork(nn.Module):
    """One linear map for everybody, new subjects among them."""

    takes_new_subjects = True

    def __init__(self, subjects, n_values: int, size: int):
        super().__init__()
        self.subjects, self.map = dict(subjects), nn.Linear(n_values, size)

    def subject_id(self, name: str) -> int:
        return list(self.subjects).index(name)

    def forward(self, brain, subject, mask=None):
        return SimpleNamespace(image=self.map(brain.flatten(1)), text=None)


class SharedTask(EmbeddingTask):
    def __init__(self):
        super().__init__(lr=0.02, weight_decay=0.0, warmup_epochs=1.0)

    def configure_models(self) -> None:
        channels, times = self.layout.shape
        self.model = SharedNetwork(self.subjects, channels * times, self.space.shape[0])

    def predict_embeddings(self, batch: Batch):
        return self.model(batch.brain, batch.subject).image, None

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        image, _ = self.predict_embeddings(batch)
        return (1 - torch.cosine_similarity(image, batch.image_target)).mean()


def trainer(folder, **options) -> L.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    return L.Trainer(default_root_dir=folder, accelerator="cpu", enable_checkpointing=False, **quiet, **options)


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    return tmp_path_factory.mktemp("targets")


@pytest.fixture(autouse=True)
def _shared_cache(targets, monkeypatch):
    """Embed the pictures once for the whole file."""
    monkeypatch.setenv("BRAINDECODE_X_CACHE", str(targets))


@pytest.fixture(scope="module")
def make(tiny_clip):
    return lambda cohort=None, **options: EpochsDataModule(cohort or SmallEpochs(), clip=str(tiny_clip), **options)


def test_batches_are_channels_by_times_with_their_targets(make):
    torch.manual_seed(0)
    data = make(batch_size=20)
    batch = next(iter(data.train_dataloader()))
    assert batch.brain.shape == (20, 6, 15)
    assert batch.mask is None
    assert set(batch.subject.tolist()) == {0, 1, 2}
    np.testing.assert_allclose(batch.times[0], TMIN + np.arange(15) / SFREQ, atol=1e-6)
    for row, stimulus in enumerate(batch.stimulus):
        assert torch.equal(batch.image_target[row], data.targets[stimulus][0])


def test_channels_are_standardised_by_training_trials_within_the_window(make):
    data = make(channels=["Oz", "Fz"], tmin=0.0, tmax=0.08, subjects=["ben"])
    recording = data.recordings["ben"]
    train = (recording.trials["split"] == "train").to_numpy()
    kept = recording.epochs[train][:, [4, 0], 5:13].astype(float)
    stimuli, brain = data.averaged("ben", "test")
    assert data.sizes == {"ben": 16}
    assert data.layout.channels == ("Oz", "Fz")
    assert list(data.info["ch_names"]) == ["Oz", "Fz"]
    rows = (recording.trials["stimulus"] == stimuli[0]).to_numpy()
    mean, std = (np.array(f(kept, axis=(0, 2)))[:, None] for f in (np.mean, np.std))
    expected = (recording.epochs[rows][:, [4, 0], 5:13].mean(0) - mean) / std
    np.testing.assert_allclose(brain[0], expected, atol=2e-3)
    assert brain.dtype == np.float32


def test_repeats_are_mixed_in_training_and_averaged_elsewhere(make):
    torch.manual_seed(0)
    data = make(mix_repeats=True)

    def counts(batches) -> set[int]:
        return set(torch.cat([batch.repeats for batch in batches]).tolist())

    assert counts(data.train_dataloader()) == {1, 2}
    data.mix_repeats = 5
    assert counts(data.train_dataloader()) == {1, 2}
    for one in (1, "one"):
        data.mix_repeats = one
        assert counts(data.train_dataloader()) == {1}
    data.mix_repeats = False
    assert counts(data.train_dataloader()) == {2}
    assert counts(data.test_dataloader()) == {REPEATS["test"]}


def test_a_mix_of_up_to_two_of_three_repeats_has_one_or_two(make):
    cohort = Changed("anna", trials=lambda r: r.trials.assign(split=r.trials["split"].replace("test", "train")))
    data = make(cohort, subjects=["anna"], mix_repeats=2)
    torch.manual_seed(0)
    part = data.pictures("anna", np.arange(264, 300), {}, training=True)  # the twelve that were shown three times
    assert {part[k].repeats for k in range(12) for _ in range(5)} == {1, 2}


def test_shifted_trials_hold_what_was_recorded_around_the_window(make):
    ramp = np.arange(15, dtype=np.float32) * VOLT
    data = make(Changed("anna", epochs=lambda r: np.tile(ramp, (300, 6, 1))), subjects=["anna"], tmin=0.0, tmax=0.05)
    data.time_shift = 7
    data.use_standardisations({"anna": (np.zeros((6, 1), np.float32), np.full((6, 1), VOLT, np.float32))})
    torch.manual_seed(0)
    starts = set()
    for batch in data.train_dataloader():
        for trial in batch.brain[:, 0]:
            shift = int(trial[2].round()) - 7
            expected = np.clip(np.arange(5, 10) + shift, 0, 14)  # beyond the ends the last value is held
            np.testing.assert_allclose(trial, expected, atol=1e-4)
            starts.add(shift)
    assert starts == set(range(-7, 8))
    assert {round(float(v)) for batch in data.test_dataloader() for v in batch.brain[:, 0, 0]} == {5}


def test_dropped_channels_are_at_their_mean_in_training_only(make):
    data = make(channel_dropout=0.4, subjects=["anna"])
    torch.manual_seed(0)
    brain = torch.cat([batch.brain for batch in data.train_dataloader()])
    dropped = (brain == 0).all(dim=2)
    assert dropped.float().mean() == pytest.approx(0.4, abs=0.05)
    assert dropped.sum(1).float().std() > 0  # drawn for each trial
    assert not any((batch.brain == 0).all(dim=2).any() for batch in data.val_dataloader())


def test_the_same_seed_gives_the_same_batches(make):
    data = make(time_shift=2, channel_dropout=0.2, batch_size=50)
    _ = data.targets  # whose encoder draws weights before it loads its own

    def first() -> torch.Tensor:
        torch.manual_seed(3)
        return next(iter(data.train_dataloader())).brain

    assert torch.equal(first(), first())


def test_ridge_on_flattened_epochs_predicts_and_its_folder_takes_mne_epochs(make, tmp_path):
    data = make(channels=["Oz", "Fz", "Cz"], tmin=0.0)
    task = RidgeTask()
    trainer(tmp_path, max_epochs=1, limit_train_batches=1).fit(task, datamodule=data)
    batches = list(data.test_dataloader())
    image = torch.cat([task.predict_embeddings(batch)[0] for batch in batches])
    image = torch.nn.functional.normalize(image, dim=-1)[:12]  # anna's, averages of three trials
    BrainDecoder(task.model, task.space, task.standardisations, layout=task.layout).save_pretrained(tmp_path / "d")
    decoder = BrainDecoder.from_pretrained(tmp_path / "d")
    assert decoder.layout == data.layout
    _, mean = SmallEpochs().subject("anna").average("test")
    theirs = mne.EpochsArray(mean, SmallEpochs().subject("anna").info, tmin=TMIN, verbose="error")
    torch.testing.assert_close(decoder.predict(theirs, "anna")[0], image, atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(decoder.predict(mean[:, [4, 0, 1], 5:], "anna")[0], image, atol=1e-3, rtol=1e-2)
    with pytest.raises(ValueError, match=r"epochs of anna: expected \(n, 3, 10\), found \(12, 6, 15\)"):
        decoder.predict(mean, "anna")
    with pytest.raises(ValueError, match="unknown subject of the decoder 'dora'"):
        decoder.predict(theirs, "dora")
    with pytest.raises(ValueError, match=r"expected channels are not among .*: Oz"):
        decoder.predict(theirs.copy().drop_channels(["Oz"]), "anna")


@pytest.fixture(scope="module")
def left_out(make, targets):
    """Train on two subjects; return the checkpoint."""
    fit = trainer(targets, max_epochs=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINDECODE_X_CACHE", str(targets))
        fit.fit(SharedTask(), datamodule=make(subjects=["anna", "ben"], batch_size=40))
    fit.save_checkpoint(targets / "shared.ckpt")
    return targets / "shared.ckpt"


def test_a_subject_that_was_left_out_is_decoded_from_its_own_statistics(make, left_out, tmp_path):
    task, data = SharedTask(), make(subjects=["carl", "anna"])
    (scores,) = trainer(tmp_path).test(task, datamodule=data, ckpt_path=left_out, weights_only=True, verbose=False)
    assert set(scores) == {"test/top1", "test/top1_anna", "test/top1_carl"}
    assert task.names == ["anna", "ben", "carl"]
    assert data.ids == {"carl": 2, "anna": 0}
    known = task.standardisations["anna"]
    np.testing.assert_allclose(data.standardisations["anna"].mean, known["mean"].numpy())
    carl = data.recordings["carl"]
    own = carl.epochs[(carl.trials["split"] == "train").to_numpy()].astype(float)
    mean, std = (np.array(f(own, axis=(0, 2)))[:, None] for f in (np.mean, np.std))
    brain = torch.from_numpy((carl.average("test")[1] - mean) / std).float()
    first = next(iter(data.test_dataloader()))
    assert first.subject.tolist()[:12] == [2] * 12
    torch.testing.assert_close(first.brain[:12], brain, atol=2e-3, rtol=1e-3)


def test_unlabelled_trials_of_somebody_new_are_decoded_under_their_name(make, left_out, tmp_path):
    cohort = Changed("carl", trials=lambda r: r.trials.assign(stimulus="", split="predict"))
    task, data = SharedTask(), make(cohort, subjects=["carl"], predict_split="predict")
    predicted = trainer(tmp_path).predict(task, datamodule=data, ckpt_path=left_out, weights_only=True)
    embeddings = joined(predicted, task, "predict", "")
    assert embeddings.ids[:2] == ["carl_trial00001", "carl_trial00002"]
    assert len(embeddings.ids) == 300
    decoder = BrainDecoder(task.model, task.space, task.standardisations, layout=task.layout)
    image, text = decoder.predict(SmallEpochs().subject("carl").epochs, "carl")
    assert text is None
    torch.testing.assert_close(image, embeddings.image, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": [*CHANNELS[:5]]}, r"epochs: 1 of 6 expected channels .*: O2; "),
        ({"channels": [*CHANNELS[::-1]]}, "channel 0 is 'O2'; expected 'Fz', as the checkpoint"),
        ({"tmin": 0.0}, "10 samples from 0 s; expected 15 samples from -0.05 s, as the checkpoint"),
    ],
)
def test_epochs_that_the_checkpoint_was_not_trained_on_are_refused(options, message, make, left_out, tmp_path):
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path).test(SharedTask(), datamodule=make(**options), ckpt_path=left_out, weights_only=True)


def test_a_checkpoint_of_epochs_refuses_betas(tiny_clip, left_out, tmp_path):
    from small_cohort import SmallCohort

    class BetasTask(SharedTask):
        def configure_models(self) -> None:
            self.model = SharedNetwork(self.subjects, 90, self.space.shape[0])

    betas = BetasDataModule(SmallCohort(), clip=str(tiny_clip))
    with pytest.raises(ValueError, match="the checkpoint decodes epochs; the data module gives betas"):
        trainer(tmp_path).test(BetasTask(), datamodule=betas, ckpt_path=left_out, weights_only=True)


def reordered(recording: SubjectEpochs) -> mne.Info:
    return mne.pick_info(recording.info, [0, 2, 1, 3, 4, 5])


def renamed(recording: SubjectEpochs) -> mne.Info:
    info = recording.info.copy()
    mne.rename_channels(info, {"Oz": "OZ"})
    return info


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"info": reordered}, r"epochs of ben: channel 1 is 'Pz'; expected 'Cz', as anna; .*channels"),
        ({"info": renamed}, r"epochs of ben: 1 of 6 expected .*: Oz; .*did you mean 'OZ'"),
        ({"epochs": lambda r: r.epochs[..., 1:]}, "epochs of ben: 14 samples .*; expected 15 samples .*, as anna"),
        ({"tmin": lambda r: 0.0}, "epochs of ben: 15 samples from 0 s; expected 15 samples from -0.05 s"),
        ({"epochs": lambda r: np.where(r.epochs == r.epochs[7, 3, 2], np.nan, r.epochs)}, "trial 7, of .*channels O1"),
        ({"epochs": lambda r: r.epochs * (np.arange(6) != 2)[:, None]}, "the channels Pz are flat"),
    ],
)
def test_subjects_that_do_not_fit_are_named(changes, message, make):
    with pytest.raises(ValueError, match=message):
        _ = make(Changed("ben", **changes)).recordings


def test_naming_the_channels_brings_subjects_into_one_order(make):
    data = make(Changed("ben", info=reordered), channels=["Pz", "Cz"])
    whole = data.recordings["ben"].epochs
    train = (data.recordings["ben"].trials["split"] == "train").to_numpy()
    expected = whole[train][:, [1, 2]].mean((0, 2), dtype=float)  # by name: Pz lies where Cz lies in others
    np.testing.assert_allclose(data.standardisations["ben"].mean[:, 0], expected, rtol=1e-5)


def test_recordings_on_disk_are_read_as_they_are_needed(make, tmp_path):
    file = tmp_path / "epochs.npy"
    np.save(file, SmallEpochs().subject("anna").epochs)
    mapped = make(Changed("anna", epochs=lambda r: np.load(file, mmap_mode="r")), subjects=["anna"])
    np.testing.assert_array_equal(
        mapped.averaged("anna", "test")[1], make(subjects=["anna"]).averaged("anna", "test")[1]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_shift": -1}, "time_shift: expected .* found -1"),
        ({"channel_dropout": 1.0}, r"channel_dropout: expected a share in \[0, 1\), found 1.0"),
        ({"mix_repeats": 0}, "mix_repeats: .* found 0"),
        ({"mix_repeats": "two"}, "mix_repeats: .* found 'two'"),
        ({"subjects": ["ana"]}, "did you mean 'anna'"),
    ],
)
def test_options_out_of_range_are_refused(options, message, make):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_window_or_channel_that_is_not_there_is_refused(make):
    with pytest.raises(ValueError, match=r"epochs of anna: no window from -0\.05 s to 0\.3 s"):
        _ = make(tmax=0.3).recordings
    with pytest.raises(ValueError, match=r"epochs of anna: 1 of 1 expected channels .*: oz; .*did you mean 'Oz'"):
        _ = make(channels=["oz"]).recordings
