from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from braindecode_x.analysis import brain_plots
from braindecode_x.analysis.networks import network_parts, network_tests, order_by_loss, parcel_networks
from braindecode_x.analysis.parts import accuracy_table, fit_ridge, part_ranks
from braindecode_x.datasets.parcels import Parcels, seitzman

CONTENT = {"Visual", "DorsalAttention", "DefaultMode"}
SMALL = Parcels(tuple("abcd"), ("one", "one", "two", "three"), None, "small")


def ranked(ranks: dict[tuple[str, str], list[float]], subject: str = "anna", candidates: int = 21) -> pd.DataFrame:
    """Rows of `part_ranks`, a picture a rank, two pictures a concept."""
    rows = []
    for (network, kept), own in ranks.items():
        about = {"subject": subject, "mode": "retrained", "network": network, "parcels": kept, "n_parcels": 1}
        names = [f"{number}" for number in range(len(own))]
        trials = {"stimulus": names, "concept": [f"{n // 2}" for n in range(len(own))], "rank": own}
        rows.append(pd.DataFrame({**about, **trials, "candidates": candidates}))
    return pd.concat(rows, ignore_index=True)


def test_networks_are_taken_alone_and_left_out():
    parts = network_parts(parcel_networks(SMALL), 3)
    assert [(part.about["network"], part.about["parcels"], part.about["n_parcels"]) for part in parts] == [
        ("all", "leave-in", 4),
        *((name, kept, n if kept == "leave-in" else 4 - n) for name, n in (("one", 2), ("two", 1), ("three", 1))
          for kept in ("leave-in", "leave-out")),
    ]  # fmt: skip
    assert parts[1].channels.tolist() == [True, True, False, False]
    assert parts[2].channels.tolist() == [False, False, True, True]
    assert all(part.samples.tolist() == [True] * 3 for part in parts)
    with pytest.raises(ValueError, match="parcels of 'difumo': the atlas has no networks"):
        parcel_networks(Parcels(("a", "b"), (), None, "difumo"))
    with pytest.raises(ValueError, match="networks: expected two or more, none with all 2 parcels"):
        network_parts(parcel_networks(Parcels(("a", "b"), ("one", "one"), None, "x")), 3)


def test_differences_are_those_of_two_way_accuracies():
    rng = np.random.default_rng(0)
    whole, without, alone = (rng.integers(0, high, 20).astype(float) for high in (4, 12, 20))
    conditions = {("all", "leave-in"): whole, ("one", "leave-in"): alone, ("one", "leave-out"): without}
    both = pd.concat([ranked({key: (own + add).tolist() for key, own in conditions.items()}, name)
                      for name, add in (("anna", 0), ("ben", 1))])  # fmt: skip
    table = network_tests(both, 500).set_index("test")
    assert table.loc["lost", "difference"] == pytest.approx((without - whole).mean() / 20)
    assert table.loc["alone", "difference"] == pytest.approx(0.5 - (alone.mean() + 0.5) / 20)
    assert set(table["subject"]) == {"all"}
    assert (set(table["n"]), set(table["n_concepts"])) == ({40}, {10})
    assert (table["low"] < table["difference"]).all()
    assert (table["difference"] < table["high"]).all()
    assert table.loc["lost", "p"] < 0.01
    one = network_tests(ranked({("all", "leave-in"): whole, ("one", "leave-out"): without}), 500)
    assert one[["subject", "test"]].to_numpy().tolist() == [["anna", "lost"]]  # none was taken alone


def test_p_values_are_corrected_over_the_networks_of_a_test():
    rng = np.random.default_rng(1)
    names, conditions = ["one", "two", "three", "four"], {("all", "leave-in"): rng.integers(0, 21, 20)}
    for name in names:
        conditions |= {(name, kept): rng.integers(0, 21, 20) for kept in ("leave-in", "leave-out")}
    table = network_tests(ranked(conditions), 300)
    for _, own in table.groupby("test"):
        assert own["network"].tolist() == names
        smallest = own["p"].idxmin()
        assert own.loc[smallest, "p_corrected"] == pytest.approx(min(1, 4 * own.loc[smallest, "p"]))


@pytest.fixture(scope="module")
def found(whole_brains) -> pd.DataFrame:
    """Ranks of two simulated people by ridge that is fitted to every part."""
    parts = network_parts(parcel_networks(seitzman()), whole_brains[0].test.shape[2])
    return pd.concat([part_ranks(pictures, parts, fit=fit_ridge) for pictures in whole_brains])


@pytest.fixture(scope="module")
def table(found) -> pd.DataFrame:
    return network_tests(found, 5000)


def test_the_networks_that_carry_content_are_found_and_no_others(table):
    alone = table[table["test"] == "alone"].set_index("network")
    assert set(alone.index[alone["p_corrected"] < 0.05]) == CONTENT
    assert alone.loc[list(CONTENT), "difference"].min() > 0.2
    assert alone.drop(index=list(CONTENT))["difference"].abs().max() < 0.12
    lost = table[table["test"] == "lost"].set_index("network")
    assert lost["difference"].idxmax() == "DefaultMode"
    assert lost.loc["DefaultMode", "p_corrected"] < 0.05
    assert lost.drop(index=list(CONTENT))["difference"].max() < 0.02


def test_a_masked_decoder_reads_the_networks_that_carry_content(whole_brains):
    (pictures, _), networks = whole_brains, parcel_networks(seitzman())
    chosen = {name: networks[name] for name in ("Visual", "DefaultMode", "SomatomotorDorsal", "FrontoParietal")}
    predict = fit_ridge(pictures.train, pictures.train_targets)
    table = network_tests(part_ranks(pictures, network_parts(chosen, 5), predict=predict), 2000)
    alone = table[table["test"] == "alone"].set_index("network")["p_corrected"]
    assert (alone < 0.05).to_dict() == {name: name in CONTENT for name in chosen}


def test_the_figure_shows_networks_by_what_is_lost_with_their_values(found, table):
    accuracy = accuracy_table(found, ways=(2,))
    rows, *rest = brain_plots.network_figure(accuracy, table, "2-way", seitzman(), "retrained").axes
    shown = accuracy[(accuracy["subject"] == "all") & (accuracy["metric"] == "2-way")]
    order = order_by_loss(shown)
    assert order[0] == "DefaultMode"
    sizes = {name: int(own.sum()) for name, own in parcel_networks(seitzman()).items()}
    assert [label.get_text() for label in rows.get_yticklabels()] == [f"{name} ({sizes[name]})" for name in order]
    alone = shown[shown["parcels"] == "leave-in"].set_index("network")["value"]
    points = {bar.lines[0].get_color(): bar.lines[0] for bar in rows.containers}
    np.testing.assert_allclose(np.asarray(points["C0"].get_xdata(), float), alone[order])
    starred = [text for text in rows.texts if text.get_text() and text.get_color() == "C0"]
    assert len(starred) == len(CONTENT)
    markers = [len(axes.collections[0].get_offsets()) for axes in rest if axes.collections]
    assert markers.count(300) >= 2  # both glass brains, from above
    plain = dataclasses.replace(seitzman(), coordinates=None)
    assert len(brain_plots.network_figure(accuracy, table, "2-way", plain, "retrained").axes) == 1


def test_stars_tell_p_values():
    assert [brain_plots.stars(p) for p in (0.0005, 0.005, 0.03, 0.05)] == ["***", "**", "*", ""]
