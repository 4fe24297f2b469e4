from __future__ import annotations

import numpy as np
import pytest

from braindecode_x.datasets.simulated_heads import CENTRE, HELMETS, RADIUS, forward, meg_info, nearest_region
from braindecode_x.datasets.things_channels import EEG_CHANNELS, eeg_info


@pytest.mark.parametrize("helmet", HELMETS)
def test_the_head_fits_the_helmet(helmet: str) -> None:
    info = meg_info(helmet, 100)
    shift = info["dev_head_t"]["trans"]
    sensors = np.array([channel["loc"][:3] for channel in info["chs"]]) @ shift[:3, :3].T + shift[:3, 3]
    gap = np.linalg.norm(sensors - CENTRE, axis=1) - RADIUS
    assert 0.005 < gap.min() < gap.max() < 0.06
    assert len(info["ch_names"]) == {"ctf151": 151, "ctf275": 274}[helmet]


def test_a_dipole_is_measured_above_it_and_to_the_average_reference() -> None:
    place = CENTRE + np.array([[0.0, -0.065, 0.0]])
    outwards = forward(eeg_info(100), place)[:, 0] @ [0.0, -1.0, 0.0]
    assert EEG_CHANNELS[outwards.argmax()] == "Oz"
    assert 1e-6 < 10e-9 * outwards.max() < 10e-6  # volts, of 10 nAm
    assert outwards.sum() == pytest.approx(0, abs=1e-6 * outwards.max())


def test_meg_does_not_see_radial_dipoles() -> None:
    place = CENTRE + np.array([[0.0, -0.065, 0.0]])
    gain = forward(meg_info("ctf151", 100), place)[:, 0]
    radial, tangential = np.abs(gain @ [0.0, -1.0, 0.0]).max(), np.abs(gain @ [1.0, 0.0, 0.0]).max()
    assert radial < 1e-3 * tangential
    assert 10e-15 < 10e-9 * tangential < 1000e-15  # tesla, of 10 nAm


def test_a_place_outside_the_head_is_refused() -> None:
    inside, outside = CENTRE + np.array([0.0, 0.0, 0.06]), CENTRE + np.array([0.0, 0.0, 0.1])
    with pytest.raises(ValueError, match="1 of 2 lie outside the head"):
        forward(eeg_info(100), np.stack([inside, outside]))


@pytest.mark.parametrize(
    ("direction", "region"),
    [((0, 1, 0.2), "frontal"), ((0, 0, 1), "central"), ((1, 0, 0), "temporal"), ((0, -1, 0), "occipital")],
)
def test_the_nearest_electrode_names_the_region(direction: tuple[float, float, float], region: str) -> None:
    assert nearest_region(CENTRE + 0.06 * np.array(direction)) == region
