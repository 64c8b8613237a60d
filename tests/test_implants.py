"""Anomalies put into measured series: where, how large, and nothing else."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.schema import ContractError
from stability.simulate import implant
from stability.simulate.implants import KINDS


def panel(rows=1500, entities=2, seed=0, gaps=0.0):
    rng = np.random.default_rng(seed)
    times = pd.date_range("2026-01-01", periods=rows, freq="1min", tz="UTC", name="timestamp").as_unit("us")
    index = pd.MultiIndex.from_product([[f"web-{k}" for k in range(entities)], times], names=["entity", "timestamp"])
    t = np.arange(len(index))
    values = np.column_stack([5 + np.sin(t / 40), np.cos(t / 25), 3 + rng.normal(size=len(t)), np.full(len(t), 2.0)])
    values[rng.random(values.shape) < gaps] = np.nan
    return pd.DataFrame(values, index, columns=["load", "phase", "noise", "constant"])


@given(seed=st.integers(0, 99), kind=st.sampled_from(KINDS), share=st.floats(0.1, 1), gaps=st.sampled_from([0.0, 0.1]))
def test_only_what_is_named_is_changed_and_gaps_stay(seed, kind, share, gaps):
    before = panel(seed=seed, gaps=gaps)
    after, windows = implant(before, each=6, kinds=[kind], share=share, seed=seed)
    assert after.index.equals(before.index)
    assert (after.isna() == before.isna()).all(axis=None)
    may = pd.DataFrame(False, before.index, before.columns)
    for window in windows.itertuples():
        for metric in window.metrics.split(","):
            may.loc[(window.entity, slice(window.start, window.end)), metric] = True
    differs = (after != before) & before.notna()
    assert not (differs & ~may).any(axis=None)
    assert not differs["constant"].any()
    for window in windows.itertuples():
        assert differs.loc[(window.entity, slice(window.start, window.end)), :].any(axis=None)
    assert (after["load"].dropna() >= 0).all()
    assert 8 <= len(windows) <= 12
    assert (windows["end"] >= windows["start"]).all()
    later = windows.groupby("entity")["start"].shift(-1)
    assert (later.dropna() > windows["end"][later.notna()]).all()


@pytest.mark.parametrize(("kind", "sign"), [("level", 1), ("level", -1)])
def test_a_level_is_off_by_its_size_in_deviations(kind, sign):
    before = panel()[["phase"]]
    after, windows = implant(before, each=12, kinds=[kind], sizes=[3.0])
    low, high = np.quantile(before.loc["web-0", "phase"], [0.25, 0.75])
    off = (after - before).loc["web-0", "phase"]
    found = {round(float(off.loc[one.start]), 6) for one in windows[windows["entity"] == "web-0"].itertuples()}
    assert round(sign * 3 * (high - low) / 1.349, 6) in found


def test_each_kind_does_what_it_says():
    before = panel(entities=1)[["noise"]] - 3
    for kind in KINDS:
        after, windows = implant(before, each=4, kinds=[kind], sizes=[4.0], rows=(10, 10))
        one = windows.iloc[0]
        own = after.loc["web-0", "noise"].loc[one["start"] : one["end"]].to_numpy()
        was = before.loc["web-0", "noise"].loc[one["start"] : one["end"]].to_numpy()
        away = own - was
        assert len(own) == (2 if kind == "spike" else 10)
        assert np.isnan(one["size"]) == (kind in ("freeze", "misplaced"))
        if kind in ("spike", "level"):
            assert np.ptp(away) == pytest.approx(0, abs=1e-9)
        elif kind == "drift":
            assert np.diff(away) == pytest.approx(away[0])
        elif kind == "spread":
            assert len(set(np.sign(away))) == 2
        elif kind == "freeze":
            assert np.ptp(own) == 0
        else:
            runs = np.lib.stride_tricks.sliding_window_view(before["noise"].to_numpy(), 10)
            assert (np.abs(runs - own).max(axis=1) == 0).sum() == 1


def test_what_one_entity_gets_does_not_depend_on_the_others():
    both, alone = panel(), panel(entities=1)
    assert implant(both, seed=3)[0].loc[["web-0"]].equals(implant(alone, seed=3)[0])
    assert not implant(alone, seed=4)[0].equals(implant(alone, seed=3)[0])


def test_nothing_is_put_where_something_is_known_to_be_wrong():
    before = panel(entities=1)
    start, end = before.index[200][1], before.index[1200][1]
    known = pd.DataFrame({"entity": ["web-0"], "start": [start], "end": [end]})
    _, windows = implant(before, each=6, avoid=known)
    assert len(windows) < 6
    assert ((windows["end"] < start) | (windows["start"] > end)).all()


def test_anomalies_lie_apart_and_a_frame_needs_no_entity_level():
    before = panel(rows=3000, entities=1)
    _, windows = implant(before.droplevel("entity"), each=20, apart="1h", avoid=None)
    between = windows["start"].shift(-1) - windows["end"]
    assert windows["entity"].unique().tolist() == ["default"]
    assert 10 <= len(windows) <= 20
    assert (between.dropna() >= pd.Timedelta("1h")).all()
    assert len(implant(before, each=20, apart="10h")[1]) <= 2


def test_what_would_change_next_to_nothing_is_no_anomaly():
    before = panel(entities=1)[["load"]]
    before.iloc[300:1200] = np.nan
    before.iloc[:300] = 5.0
    _, windows = implant(before, each=10, kinds=["freeze", "spike"])
    first, last = before.index[1190][1], before.index[-1][1]
    assert len(windows)
    assert ((windows["start"] >= first) & (windows["end"] <= last) | (windows["kind"] == "spike")).all()


def test_what_makes_no_sense_is_refused():
    for wrong in ({"each": 0}, {"kinds": []}, {"sizes": [0.0]}, {"rows": (1, 5)}, {"rows": (9, 5)}, {"share": 0.0}):
        with pytest.raises(ContractError, match=next(iter(wrong))):
            implant(panel(), **wrong)
    with pytest.raises(ContractError, match="spike"):
        implant(panel(), kinds=["spikes"])
    with pytest.raises(ContractError, match="128 rows"):
        implant(panel(rows=100))
    with pytest.raises(ContractError, match="moves"):
        implant(panel()[["constant"]])
