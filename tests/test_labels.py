"""Labels: the half-open interval, outages, the end of the record, and arrays for one horizon or for durations."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.prediction import horizon_target, impact_labels, in_outage, survival_target
from stability.schema import ContractError, empty, validate

START = pd.Timestamp("2026-01-01", tz="UTC")


def at(seconds):
    """Seconds since the start as a moment; None is unknown."""
    return pd.NaT if seconds is None else START + pd.Timedelta(seconds, "s")


def index_of(rows):
    """Rows (entity, second) as an index."""
    stamps = pd.DatetimeIndex([at(second) for _, second in rows], tz="UTC").as_unit("us")
    return pd.MultiIndex.from_arrays([[name for name, _ in rows], stamps], names=["entity", "timestamp"])


def faults_of(rows):
    """Faults (entity, impact, recovery, mode)."""
    table = [
        {"fault_id": f"f{k}", "entity": e, "impact_start": at(i), "recovered_at": at(r), "failure_mode": m}
        for k, (e, i, r, m) in enumerate(rows)
    ]
    return pd.DataFrame(table) if table else empty("faults")


def outages_of(faults, entity, recovery):
    """Outages of an entity as [start, end, modes], fault by fault."""
    found = []
    for name, start, end, mode in sorted((f for f in faults if f[1] is not None), key=lambda f: f[1]):
        if name != entity:
            continue
        end = start + recovery if end is None else end
        if found and start == found[-1][0]:
            found[-1][1], found[-1][2] = max(end, found[-1][1]), found[-1][2] | {mode}
        elif found and start < found[-1][1]:
            found[-1][1] = max(end, found[-1][1])
        else:
            found.append([start, end, {mode}])
    return found


def plainly(rows, faults, horizons, until, recovery, modes):
    """Row by row: {(entity, second, horizon): (within, time, censored)}."""
    labels = {}
    for entity, t in rows:
        outages = outages_of(faults, entity, recovery)
        if any(start <= t < end for start, end, _ in outages):
            continue
        last = max(second for name, second in rows if name == entity) if until is None else until
        starts = [s for s, _, m in outages if t < s <= last and (modes is None or m & set(modes))]
        wait = min(starts) - t if starts else np.nan
        for horizon in horizons:
            within = bool(starts) and wait <= horizon
            labels[entity, at(t), horizon] = (within, float(wait), t + horizon > last and not within)
    return labels


ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40)), min_size=1, max_size=25, unique=True).map(sorted)
FAULTS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 45) | st.none(),
        st.integers(0, 12) | st.none(),
        st.sampled_from(["x", "y"]),
    ).map(lambda f: (f[0], f[1], None if f[1] is None or f[2] is None else f[1] + f[2], f[3])),
    max_size=8,
)


@settings(max_examples=settings().max_examples // 2)
@given(
    rows=ROWS,
    faults=FAULTS,
    horizons=st.lists(st.integers(1, 20), min_size=1, max_size=3, unique=True),
    until=st.none() | st.integers(0, 50),
    recovery=st.sampled_from([0, 1, 5]),
    restricted=st.booleans(),
)
def test_labels_are_those_of_every_row_by_itself(rows, faults, horizons, until, recovery, restricted):
    modes = ["x"] if restricted and any(mode == "x" for *_, mode in faults) else None
    found = impact_labels(
        index_of(rows),
        faults_of(faults),
        [f"{horizon}s" for horizon in horizons],
        observed_until=None if until is None else at(until),
        recovery=f"{recovery}s",
        modes=modes,
    )
    expected = plainly(rows, faults, horizons, until, recovery, modes)
    assert sorted(expected) == list(found.index)
    columns = ["impact_within", "time_to_impact", "censored"]
    plain = pd.DataFrame([expected[key] for key in found.index], found.index, columns)
    pd.testing.assert_frame_equal(
        found, plain.astype({"impact_within": bool, "time_to_impact": float, "censored": bool})
    )
    hurt = in_outage(index_of(rows), faults_of(faults), recovery=f"{recovery}s")
    assert len(found) == (len(rows) - hurt.sum()) * len(horizons)


def test_an_impact_at_t_is_no_label_of_t_and_at_the_horizons_end_it_is():
    index = index_of([("a", 0), ("a", 10), ("a", 20)])
    faults = faults_of([("a", 10, None, "x")])
    found = impact_labels(index, faults, ["9s", "10s"], recovery="0s")["impact_within"]
    assert found.xs(10, level="horizon").tolist() == [True, False, False]
    assert found.xs(9, level="horizon").tolist() == [False, False, False]
    assert np.isnan(impact_labels(index, faults, "10s", recovery="0s")["time_to_impact"].iloc[1])
    # With an outage after it, the row of the impact is none to be warned at.
    assert at(10) not in impact_labels(index, faults, "10s").index.get_level_values("timestamp")


def test_an_outage_is_one_impact_and_its_rows_have_no_label():
    index = index_of([("a", second) for second in range(0, 60, 5)])
    faults = faults_of([("a", 10, 30, "x"), ("a", 20, 25, "y"), ("a", 30, 40, "y"), ("a", None, None, "x")])
    assert in_outage(index, faults).sum() == 6
    found = impact_labels(index, faults, "100s")
    assert found.index.get_level_values("timestamp").tolist() == [at(s) for s in (0, 5, 40, 45, 50, 55)]
    assert found["time_to_impact"].tolist()[:2] == [10, 5]
    pd.testing.assert_frame_equal(validate(found, "labels"), found)
    # The mode of the fault in the middle begins nothing; the one that begins at the recovery does.
    assert impact_labels(index, faults, "100s", modes=["y"])["time_to_impact"].tolist()[:2] == [30, 25]


def test_a_fault_elsewhere_or_without_impact_counts_for_nothing():
    index = index_of([("a", 0), ("a", 60)])
    found = impact_labels(index, faults_of([("b", 30, None, "x"), ("a", None, None, "x")]), "60s")
    assert not found["impact_within"].any()
    assert found["censored"].tolist() == [False, True]
    assert impact_labels(index, faults_of([]), "60s").equals(found)


def test_what_comes_after_the_end_of_the_record_is_not_known():
    index = index_of([("a", 0), ("a", 60), ("b", 0), ("b", 20)])
    faults = faults_of([("a", 70, None, "x"), ("b", 30, None, "x")])
    found = impact_labels(index, faults, "60s")
    assert not found["impact_within"].any()
    assert found["censored"].tolist() == [False, True, True, True]
    later = impact_labels(index, faults, "60s", observed_until={"a": at(70), "b": at(20)})
    assert later["impact_within"].tolist() == [False, True, False, False]
    assert later["censored"].tolist() == [False, False, True, True]
    everywhere = impact_labels(index, faults, "60s", observed_until="2026-01-01T00:10:00Z")
    assert everywhere["impact_within"].tolist() == [False, True, True, True]
    with pytest.raises(ContractError, match="a time for each entity, got none for b"):
        impact_labels(index, faults, "60s", observed_until={"a": at(70)})


def test_a_single_entity_needs_no_name_and_horizons_are_text_or_seconds():
    stamps = pd.date_range(START, periods=3, freq="D").as_unit("us")
    faults = validate(pd.DataFrame({"fault_id": ["f"], "entity": "default", "impact_start": stamps[2:]}), "faults")
    found = impact_labels(stamps, faults, ["48h", 86400, "2D", pd.Timedelta("24h")])
    assert found.index.unique("horizon").tolist() == [86400, 172800]
    assert found["impact_within"].tolist() == [False, True, True, True]


@pytest.mark.parametrize("horizon", ["0s", "-1h", "1500ms", "soon", "10us", True, []])
def test_a_horizon_is_a_length_of_whole_seconds(horizon):
    with pytest.raises(ContractError, match="horizon"):
        impact_labels(index_of([("a", 0)]), faults_of([]), horizon)


def test_no_rows_have_no_labels():
    found = impact_labels(index_of([("a", 0)])[:0], faults_of([("a", 5, None, "x")]), "1h")
    pd.testing.assert_frame_equal(validate(found, "labels"), found)
    assert found.empty


def test_bad_input_is_named():
    index, faults = index_of([("a", 0), ("a", 9)]), faults_of([("a", 5, None, "overload")])
    with pytest.raises(ContractError, match="did you mean 'overload'"):
        impact_labels(index, faults, "1h", modes=["overlaod"])
    with pytest.raises(ContractError, match="each key once"):
        impact_labels(index.append(index), faults, "1h")
    with pytest.raises(ContractError, match="'recovery'"):
        impact_labels(index, faults, "1h", recovery="-1h")
    with pytest.raises(ContractError, match="with its zone"):
        impact_labels(index, faults, "1h", observed_until="2026-01-02")
    with pytest.raises(ContractError, match="'entity'"):
        impact_labels(index, faults.drop(columns="entity"), "1h")
    labels = impact_labels(index, faults, "1h")
    with pytest.raises(ContractError, match="expected 2h, got 0 days 01:00:00"):
        horizon_target(labels, index, "2h")
    with pytest.raises(ContractError, match="labels of others only"):
        horizon_target(labels, index_of([("b", 0)]), "1h")
    with pytest.raises(ContractError, match="an empty table"):
        survival_target(labels.iloc[:0], index)


@settings(max_examples=settings().max_examples // 3)
@given(rows=ROWS, faults=FAULTS, seed=st.integers(0, 99), end=st.none() | st.integers(0, 45))
def test_targets_stand_where_their_rows_stand(rows, faults, seed, end):
    index = index_of(rows)
    labels = impact_labels(index, faults_of(faults), ["4s", "9s"], recovery="3s")
    if labels.empty:
        return
    expected = plainly(rows, faults, [4, 9], None, 3, None)
    order = np.random.default_rng(seed).permutation(len(rows))
    mixed = [rows[k] for k in order]
    target = horizon_target(labels, index[order], "9s", record_end=None if end is None else at(end))
    durations = survival_target(labels, index[order])
    for k, (entity, t) in enumerate(mixed):
        within, wait, censored = expected.get((entity, at(t), 9), (False, np.nan, True))
        usable = not censored and (end is None or t + 9 <= end)
        assert (target.usable[k], target.y[k]) == (usable, within and usable)
        last = max(second for name, second in rows if name == entity)
        labelled, known = (entity, at(t), 9) in expected, wait == wait
        assert durations.usable[k] == (labelled and (known or last > t))
        assert durations.event[k] == (labelled and known)
        if durations.usable[k]:
            assert durations.duration[k] == (wait if known else last - t)
    assert target.in_outage == len(rows) - len(labels) // 2
    assert target.usable.sum() + target.in_outage + target.censored + target.beyond == len(rows)
    assert np.isnan(durations.duration[~durations.usable]).all()


def test_near_the_records_end_only_positive_rows_are_certain():
    index = index_of([("a", second) for second in range(10)] + [("b", second) for second in range(10)])
    labels = impact_labels(index, faults_of([("a", 9, None, "x")]), "5s")
    plain = horizon_target(labels, index, "5s")
    assert plain.y.sum() == 5
    assert plain.usable.sum() == 9 + 5
    whole = horizon_target(labels, index, "5s", record_end=at(9))
    assert (whole.y.sum(), whole.usable.sum(), whole.beyond) == (1, 10, 4)


@pytest.mark.parametrize(("horizon", "rate"), [("24h", 0.019), ("48h", 0.037), ("7D", 0.126)])
def test_base_rates_of_the_azure_fleet(data_mirror, horizon, rate):
    from stability import datasets

    tables = datasets.load("azure_pdm")
    index = tables["telemetry"].index
    stamps = index.get_level_values("timestamp")
    labels = impact_labels(index, tables["faults"], horizon, recovery="0s")
    target = horizon_target(labels, index, horizon, record_end=stamps.max())
    judged = target.usable & (stamps >= pd.Timestamp("2015-09-01", tz="UTC"))
    assert target.y[judged].mean() == pytest.approx(rate, abs=0.0006)
