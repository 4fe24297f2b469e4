from __future__ import annotations

import pytest

from braindecode_x import smoke


def test_every_stage_is_run_and_measured(monkeypatch):
    monkeypatch.setattr(smoke, "VOXELS", {"one": 300, "two": 200})
    table = smoke.run_smoke("cpu", steps=1, pictures=2)
    assert table["stage"].str.split().str[0].tolist() == ["embed", "train", "train", "reconstruct", "judge"]
    assert (table["seconds"] > 0).all()
    assert (table["peak_mb"] > 100).all()


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="found 0"):
        smoke.run_smoke(steps=0)
