from __future__ import annotations

import json

import numpy as np
import pytest

from braindecode_x.datasets.parcels import Parcels, seitzman

SMALL = Parcels(("a", "b", "c"), ("Vis", "Rest", "Vis"), np.arange(9.0).reshape(3, 3), "small")


def test_seitzmans_spheres_keep_their_networks():
    parcels = seitzman()
    assert len(parcels) == 300
    visual = parcels.coordinates[parcels.in_network("Visual")]
    assert len(visual) == 37
    assert (visual[:, 1] < -25).all()  # at the back of the head
    assert len(set(parcels.names)) == 300


def test_parcels_come_back_from_json():
    for parcels in (SMALL, Parcels(("a",))):
        assert Parcels.from_dict(json.loads(json.dumps(parcels.to_dict()))) == parcels
    assert Parcels(("a", "b", "d"), SMALL.networks, SMALL.coordinates, "small") != SMALL


def test_some_parcels_keep_what_belongs_to_them():
    chosen = SMALL.take([2, 1])
    assert chosen.names == ("c", "b")
    assert chosen.network_names == ("Vis", "Rest")
    np.testing.assert_array_equal(chosen.coordinates, [[6, 7, 8], [3, 4, 5]])


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"unknown network of the atlas 'small' 'Viz'; did you mean 'Vis'"):
        SMALL.in_network("Viz")
    with pytest.raises(ValueError, match="it has none"):
        Parcels(("a",)).in_network("Vis")
    with pytest.raises(ValueError, match=r"each name once.*'a'"):
        Parcels(("a", "a"))
    with pytest.raises(ValueError, match="1 networks; expected 2 or none"):
        Parcels(("a", "b"), ("Vis",))
    with pytest.raises(ValueError, match=r"coordinates of shape \(2, 3\); expected \(1, 3\)"):
        Parcels(("a",), (), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"windows of anna: parcel 1 is 'c'; expected 'b', as the checkpoint"):
        SMALL.require(SMALL.take([0, 2, 1]), "windows of anna", "the checkpoint")
    with pytest.raises(ValueError, match="2 parcels of the atlas 'small'; expected 3"):
        SMALL.require(SMALL.take([0, 1]), "windows of anna", "the checkpoint")
