from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_cohort import REPEATS
from small_runs import DELAY, N_VOLUMES, NETWORKS, TR, SmallRuns

from braindecode_x.datamodules import WindowsDataModule


class Changed(SmallRuns):
    """The small runs, one person's windows changed."""

    def __init__(self, **changes):
        super().__init__()
        self.changes = changes

    def subject(self, name: str):
        found = super().subject(name)
        return (
            replace(found, **{key: change(found) for key, change in self.changes.items()}) if name == "ben" else found
        )


@pytest.fixture
def data(tiny_clip):
    return WindowsDataModule(SmallRuns(), subjects=["anna", "ben"], clip=str(tiny_clip), batch_size=10)


def test_batches_hold_windows_with_their_times(data):
    torch.manual_seed(0)
    batch = next(iter(data.train_dataloader()))
    assert batch.brain.shape == (10, N_VOLUMES, len(NETWORKS))
    assert batch.mask is None
    torch.testing.assert_close(batch.times, (DELAY + TR * torch.arange(4.0)).expand(10, -1))
    torch.testing.assert_close(batch.tr, torch.full((10,), TR))
    for row, stimulus in enumerate(batch.stimulus):
        assert torch.equal(batch.image_target[row], data.targets[stimulus][0])


def test_parcels_are_standardised_by_training_trials_and_repeats_averaged(data):
    stimuli, brain = data.averaged("ben", "test")
    recording = data.recordings["ben"]
    train = recording.windows[(recording.trials["split"] == "train").to_numpy()].reshape(-1, len(NETWORKS))
    rows = (recording.trials["stimulus"] == stimuli[0]).to_numpy()
    assert rows.sum() == REPEATS["test"]
    expected = (recording.windows[rows].mean(0) - train.mean(0)) / train.std(0)
    np.testing.assert_allclose(brain[0], expected, rtol=1e-4, atol=1e-5)
    data.standardise = False
    del data.standardisations
    np.testing.assert_allclose(data.averaged("ben", "test")[1][0], recording.windows[rows].mean(0), rtol=1e-5)


def test_networks_choose_parcels_in_the_order_of_the_atlas(data, tiny_clip):
    part = WindowsDataModule(
        SmallRuns(), subjects=["anna", "ben"], networks=["motor", "visual"], clip=str(tiny_clip), batch_size=10
    )
    assert part.parcels.network_names == ("visual", "motor")
    assert part.layout.shape == (N_VOLUMES, 9)
    assert part.sizes == {"anna": 36, "ben": 36}
    kept = np.array(NETWORKS) != "default"
    np.testing.assert_array_equal(part.averaged("anna", "test")[1], data.averaged("anna", "test")[1][:, :, kept])
    with pytest.raises(ValueError, match="unknown network of the atlas 'small' 'visuel'; did you mean 'visual'"):
        WindowsDataModule(SmallRuns(), networks=["visuel"])
    with pytest.raises(ValueError, match="networks: expected some of visual, default, motor, found none"):
        WindowsDataModule(SmallRuns(), networks=[])


def bad(windows: np.ndarray) -> np.ndarray:
    windows = windows.copy()
    windows[7, 1, 8] = np.nan
    return windows


def test_windows_that_cannot_be_decoded_are_named(tiny_clip):
    broken = Changed(windows=lambda found: bad(found.windows))
    with pytest.raises(ValueError, match=r"windows of ben: .*not finite, the first in trial 7, parcel 'parcel-08'"):
        _ = WindowsDataModule(broken).recordings
    assert len(WindowsDataModule(broken, networks=["visual"]).recordings) == 3  # the bad parcel is not among them
    with pytest.raises(ValueError, match=r"windows of ben: a volume every 2 s; expected 1 s, as anna"):
        _ = WindowsDataModule(Changed(tr=lambda found: 2.0)).recordings
