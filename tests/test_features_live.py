"""What runs live gives what was evaluated: `update` says what `transform` says of everything that has come so far."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rolling import panel

from stability.features import Features
from stability.features.counters import Rates
from stability.features.happened import Happened
from stability.schema import ContractError

START = pd.Timestamp("2026-01-01", tz="UTC")
KINDS = {
    "values": {},
    "rolling": {
        "rolling": [{"windows": ["5min", "1h"], "statistics": ["count", "mean", "std", "min", "max", "slope"]}]
    },
    "quantiles": {"rolling": [{"windows": ["20min"], "statistics": ["q10", "q50", "ewma"]}]},
    "some": {"values": False, "rolling": [{"windows": ["7min"], "metrics": ["m1", "requests_per_second"]}]},
    "baselines": {"baselines": ["1h"]},
    "regimes": {"regimes": {"settings": ["m0"], "most": 3}},
    "season": {"season": {"periods": [3600.0]}},
    "scores": {"scores": [{"detector": "mean_shift_recursive", "settings": {"warmup": 10}}]},
    "parts of scores": {"scores": [{"detector": "pca", "parts": True}]},
    "events": {"events": {"windows": ["10min", "1h"], "since": "2h", "least": 1}},
    "since": {"events": {"windows": [], "since": "2h", "least": 1, "kinds": ["log_*", "fault*"]}},
    "templates": {"events": {"windows": ["1h"], "least": 1}, "templates": {}},
    "novelty": {"events": {"windows": ["1h"], "least": 3}, "templates": {}, "novelty": "30min"},
    "due": {"events": {"windows": ["1h"], "since": "3h"}, "due": {"least": 5}},
    "states": {"states": ["version", "age"]},
    "calendar": {"calendar": "Asia/Shanghai"},
    "neighbours": {"neighbours": {"features": ["m0__last__now", "requests_per_second__last__now"], "fresh": "20min"}},
}
TOGETHER = {key: told for own in KINDS.values() for key, told in own.items() if key != "values"}
TOGETHER["events"] = KINDS["events"]["events"]
TOGETHER["scores"] = KINDS["scores"]["scores"] + KINDS["parts of scores"]["scores"]
TOGETHER["rolling"] = KINDS["rolling"]["rolling"] + KINDS["quantiles"]["rolling"] + KINDS["some"]["rolling"]
MESSAGES = ["no route to 10.0.0.1", "restarted after 12 s", "E42", "served 3 requests"]
LATER = [*MESSAGES, "what was that", "what was this", "disk is full", "quota of anna", "E43"]


def logs(rng, moments, messages):
    count = len(moments)
    told = {"timestamp": moments, "entity": rng.choice(["web-0", "web-1", "elsewhere"], count), "level": "INFO"}
    return pd.DataFrame(told | {"message": rng.choice(messages, count)})


def tables(seed, sizes=(80, 60, 45)):
    """Telemetry with gaps and a counter that begins again, and what happened, some of it at the moment of a row."""
    rng = np.random.default_rng(seed)
    telemetry = panel(seed, sizes=sizes)
    counter = np.cumsum(rng.integers(0, 50, size=len(telemetry)).astype(float))
    for begun in rng.integers(0, len(counter), size=5):
        counter[begun:] -= counter[begun]
    telemetry["requests_total"] = np.where(rng.random(len(counter)) < 0.1, np.nan, np.abs(counter))
    stamps = telemetry.index.get_level_values("timestamp")
    moments = stamps[rng.integers(0, len(stamps), size=60)].append(
        stamps[rng.integers(0, len(stamps), size=60)] + pd.Timedelta("17s")
    )
    moments = moments.sort_values()
    half = len(moments) // 2
    states = pd.DataFrame({"timestamp": moments[::6], "entity": rng.choice(["web-0", "web-2"], len(moments[::6]))})
    states["name"] = rng.choice(["version", "age"], len(states))
    states["value"] = np.where(states["name"] == "age", rng.integers(1, 9, len(states)).astype(str), "v1")
    ticks = pd.date_range(START + pd.Timedelta("3min"), periods=50, freq="13min")
    ticks = pd.DataFrame({"timestamp": ticks, "entity": "web-1", "name": "swept", "value": "yes"})
    first = pd.DataFrame({"timestamp": START, "entity": "web-1", "name": ["version", "age"], "value": ["v0", "1"]})
    felt = pd.Series(moments[::15])
    faults = pd.DataFrame(
        {
            "entity": rng.choice(["web-0", "web-1"], len(felt)),
            "impact_start": felt,
            "diagnosed_at": felt + pd.Timedelta("7min"),
            "recovered_at": felt + pd.Timedelta("25min"),
            "failure_mode": rng.choice(["leak", "overload"], len(felt)),
        },
    ).rename_axis("fault_id")
    edges = pd.MultiIndex.from_tuples([("web-0", "web-1"), ("web-0", "web-2"), ("web-2", "gone")])
    return {
        "telemetry": telemetry,
        "logs": pd.concat([logs(rng, moments[:half], MESSAGES), logs(rng, moments[half:], LATER)], ignore_index=True),
        "states": pd.concat([first, states, ticks]).sort_values("timestamp", kind="stable", ignore_index=True),
        "faults": faults,
        "topology": pd.DataFrame({"kind": "calls"}, edges.set_names(["source", "target"])),
    }


def cut(every, after, until):
    """What came in (after, until], as it was known then."""
    own = {"topology": every["topology"]} if after == START else {}
    stamps = every["telemetry"].index.get_level_values("timestamp")
    own["telemetry"] = every["telemetry"][(stamps > after) & (stamps <= until)]
    for name in ("logs", "states"):
        own[name] = every[name][(every[name]["timestamp"] > after) & (every[name]["timestamp"] <= until)]
    if after == START:
        own["states"] = every["states"][every["states"]["timestamp"] <= until]
    faults = every["faults"]
    touched = [(faults[name] > after) & (faults[name] <= until) for name in TIMES]
    own["faults"] = as_known(faults[np.logical_or.reduce(touched)], until)
    return own


TIMES = ("impact_start", "diagnosed_at", "recovered_at")


def as_known(faults, moment):
    found = faults[faults["impact_start"] <= moment].copy()
    found.loc[found["diagnosed_at"] > moment, "failure_mode"] = None
    for name in TIMES:
        found[name] = found[name].where(found[name] <= moment)
    return found


def together(parts):
    """Everything that has come so far."""
    own = {name: pd.concat([part[name] for part in parts if name in part]) for name in ("logs", "states")}
    own["telemetry"] = pd.concat([part["telemetry"] for part in parts if "telemetry" in part]).sort_index()
    faults = pd.concat([part["faults"] for part in parts if "faults" in part])
    own["faults"] = faults[~faults.index.duplicated(keep="last")]
    return own | {"topology": parts[0]["topology"]}


def steps(every, seed, count=12):
    rng = np.random.default_rng(seed)
    stamps = every["telemetry"].index.get_level_values("timestamp").sort_values()
    train = stamps[len(stamps) // 2]
    rest = stamps[stamps > train].unique()
    ends = np.sort(rng.choice(len(rest), size=min(count, len(rest)), replace=False))
    return train, [*rest[ends], rest[-1]]


def equal(found, wanted):
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-9, atol=1e-9, check_freq=False)


@settings(max_examples=settings().max_examples // 20)
@given(seed=st.integers(0, 999))
def test_live_is_what_was_evaluated(seed):
    every = tables(seed, sizes=(50, 40, 30))
    train, ends = steps(every, seed, count=6)
    made = Features(**TOGETHER).fit(cut(every, START, train))
    whole = made.transform(every)
    assert len(whole.columns) == len(set(whole.columns)) > 0
    begun = ends[len(ends) // 3]
    made.begin(cut(every, START, begun))
    for after, until in zip([begun, *ends[len(ends) // 3 + 1 :]], ends[len(ends) // 3 + 1 :], strict=False):
        came = cut(every, after, until)
        equal(made.update(came), whole.loc[came["telemetry"].index])
        made.happened({"logs": every["logs"].iloc[:3]})  # who asks of whole tables meanwhile disturbs nothing


@pytest.mark.soak  # each part alone is asked below
@settings(max_examples=settings().max_examples // 20)
@given(seed=st.integers(0, 999))
def test_entities_that_come_late_get_what_is_known_by_then(seed):
    check_late(TOGETHER, seed, count=3)


@pytest.mark.parametrize("kind", KINDS)
def test_each_part_alone_gets_what_is_known_by_then(kind):
    check_late(KINDS[kind], 1, count=2)


def check_late(declared, seed, count):
    every = tables(seed, sizes=(50, 40, 30))
    train, ends = steps(every, seed, count=count)
    made = Features(**declared).fit(cut(every, START, train))
    came = [cut(every, START, train)]
    made.begin(came[0], late="1D")
    held, after = None, train
    for k, until in enumerate(ends):  # web-1 reports every third time alone, web-2 misses rows for good
        part, after = cut(every, after, until), until
        rows = part["telemetry"]
        entity = rows.index.get_level_values("entity")
        rows = rows[(entity != "web-2") | (np.arange(len(rows)) % 3 > 0)]
        rows = rows if held is None else pd.concat([held, rows]).sort_index()
        late = (rows.index.get_level_values("entity") == "web-1") & (k % 3 > 0)
        held, part["telemetry"] = rows[late], rows[~late]
        came.append(part)
        found = made.update(part)
        equal(found, made.transform(together(came)).loc[part["telemetry"].index])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_kept_gives_the_same_numbers(kind, tmp_path):
    every = tables(7, sizes=(50, 40, 30))
    train, ends = steps(every, 7)
    made = Features(**KINDS[kind]).fit(cut(every, START, train))
    folder = made.save(tmp_path / "kept")
    again, whole = Features.load(folder), made.transform(every)
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".npz"}
    found = again.transform(every)
    pd.testing.assert_frame_equal(found, whole, rtol=0, atol=0)
    assert found.attrs == whole.attrs
    again.begin(cut(every, START, ends[3]))
    came = cut(every, ends[3], ends[4])
    equal(again.update(came), whole.loc[came["telemetry"].index])


def test_parts_are_the_whole_in_pieces():
    every = tables(4, sizes=(50, 40, 30))
    train, _ = steps(every, 4)
    alone = {key: told for key, told in TOGETHER.items() if key != "neighbours"}
    for declared, count in ((alone, 3), (TOGETHER, 1)):
        made = Features(**declared).fit(cut(every, START, train))
        parts = list(made.transform_parts(every, memory=8 * 200 * 40))
        assert len(parts) == count
        pd.testing.assert_frame_equal(pd.concat(parts), made.transform(every), rtol=0, atol=0)


def test_a_feature_that_is_declared_twice_is_refused():
    every = tables(4)
    twice = [{"windows": ["5min"]}, {"windows": ["5min", "1h"]}]
    with pytest.raises(ContractError, match="each feature once"):
        Features(rolling=twice).fit(every).transform(every)


def test_no_feature_knows_what_comes_later():
    every = tables(3, sizes=(50, 40, 30))
    train, ends = steps(every, 3)
    made = Features(**TOGETHER).fit(cut(every, START, train))
    whole = made.transform(every)
    for until in ends[::6]:
        part = made.transform(cut(every, START, until))
        pd.testing.assert_frame_equal(part, whole.loc[part.index], rtol=0, atol=0)


def test_live_begins_with_nothing_too():
    every = tables(6, sizes=(50, 40, 30))
    train, _ = steps(every, 6)
    made = Features(**TOGETHER).fit(cut(every, START, train))
    nothing = {name: table.iloc[:0] if name != "topology" else table for name, table in every.items()}
    made.begin(nothing)
    came = cut(every, START, train)
    found = made.update(came)
    equal(found, made.transform(came))
    assert made.live_names == list(found.columns)
    assert Features(**TOGETHER).live_names == []


def test_rates_go_on_from_what_was_kept_of_them():
    stamps = pd.date_range("2026-01-01", periods=4, freq="10s", tz="UTC", unit="us", name="timestamp")
    index = pd.MultiIndex.from_product([["a"], stamps], names=["entity", "timestamp"])
    values = pd.DataFrame({"requests_total": [10.0, 40.0, np.nan, 5.0], "load": [1.0, 2.0, 3.0, 4.0]}, index)
    rates = Rates().begin(values.iloc[:1])
    rates.update(values.to_numpy()[[1]], stamps[[1]], pd.Index(["a"]))
    again = Rates().begin(values.iloc[:0])
    again.resume({name: kept.copy() for name, kept in rates.state().items()})
    for k in (2, 3):
        rows = [one.update(values.to_numpy()[[k, k]], stamps[[k, k]], pd.Index(["a", "new"])) for one in (rates, again)]
        np.testing.assert_array_equal(*rows)
    assert rows[1][0].tolist() == [0.25, 4.0]  # 5 since 0, over the 20 s since it was last known


def test_what_breaks_the_order_is_refused_whole():
    every = tables(5)
    train, ends = steps(every, 5)
    made = Features(**KINDS["rolling"], **KINDS["events"]).fit(cut(every, START, train))
    with pytest.raises(ContractError, match="begin"):
        made.update({})
    made.begin(cut(every, START, ends[0]))
    came = cut(every, ends[0], ends[1])
    old = every["telemetry"].iloc[:1]
    with pytest.raises(ContractError, match="after the one before"):
        made.update(came | {"telemetry": pd.concat([came["telemetry"], old])})
    strange = came["telemetry"].iloc[:1].rename({came["telemetry"].index[0][0]: "new"}, level="entity")
    strange.index = pd.MultiIndex.from_arrays([["new"], [START]], names=["entity", "timestamp"])
    with pytest.raises(ContractError, match="late"):
        made.update(came | {"telemetry": pd.concat([came["telemetry"], strange])})
    equal(made.update(came), made.transform(every).loc[came["telemetry"].index])
    assert made.update({"logs": every["logs"].iloc[:0]}).shape == (0, len(made.transform(every).columns))


def test_what_no_window_reaches_is_forgotten():
    happened = Happened(2, [1000], most=10_000, late=100)
    for k in range(30_000):
        happened.add(np.array([k % 2]), ["a"], np.array([10 * k]))
        happened.tidy(10 * k)
    assert len(happened) < 10_000
    assert happened.row("a", 300_000) == [49.0, 49.0, 50.0, 50.0, 20.0, 10.0]


def test_a_folder_that_is_none_of_features_is_refused(tmp_path):
    every = tables(9)
    train, _ = steps(every, 9)
    made = Features(**KINDS["parts of scores"])
    with pytest.raises(ContractError, match="fit"):
        made.save(tmp_path / "kept")
    folder = made.fit(cut(every, START, train)).save(tmp_path / "kept")
    with pytest.raises(ContractError, match="not there yet"):
        made.save(folder)
    with pytest.raises(ContractError, match="fitted features"):
        Features.load(tmp_path)
    (folder / "features.npz").write_bytes(b"nothing")
    with pytest.raises(ContractError, match="fitted features"):
        Features.load(folder)
    odd = Features(scores=[{"detector": "pca"}]).fit(cut(every, START, train))
    model = odd.parts[-1][1].model_
    setattr(model, next(iter(model.get_params())), object())
    with pytest.raises(ContractError, match="pca"):
        odd.save(tmp_path / "odd")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]
