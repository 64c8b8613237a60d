"""The contracts: what passes, in which form it comes back, and what each refusal says."""

import codecs
import datetime as dt
import errno
import math
import pickle
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability import schema
from stability.schema import ContractError, read_json_lines, validate

UTC_US = "datetime64[us, UTC]"


def stamps(n=4, start="2026-01-01", freq="60s", tz="UTC"):
    return pd.date_range(start, periods=n, freq=freq, tz=tz, name="timestamp")


def panel(values=(1.0, 2.0, 3.0, 4.0), entity="a", metric="load"):
    index = pd.MultiIndex.from_product([[entity], stamps(len(values))], names=["entity", "timestamp"])
    return pd.DataFrame({metric: list(values)}, index=index)


SAMPLES = {  # one row that satisfies each contract, with every column
    "telemetry": {"entity": "a", "timestamp": "2026-01-01T00:00Z", "load": 1.5},
    "states": {"timestamp": "2026-01-01T00:00Z", "entity": "a", "name": "version", "value": "2.1"},
    "topology": {"source": "web", "target": "db", "kind": "calls"},
    "logs": {"timestamp": "2026-01-01T00:00Z", "entity": "a", "level": "ERROR", "message": "no"},
    "faults": {
        "fault_id": "f1",
        "entity": "a",
        "cause_start": "2026-01-01T00:00Z",
        "impact_start": "2026-01-01T00:05Z",
        "detected_at": "2026-01-01T00:06Z",
        "diagnosed_at": "2026-01-01T00:10Z",
        "cause_end": "2026-01-01T00:20Z",
        "recovered_at": "2026-01-01T00:21Z",
        "failure_mode": "memory_leak",
        "root_entity": "db",
        "root_metrics": "m1,m2",
        "severity": 7,
        "source": "ticket",
    },
    "windows": {"entity": "a", "start": "2026-01-01T00:00Z", "end": "2026-01-01T01:00Z"},
    "benign": {
        "event_id": "b01",
        "entity": "a",
        "start": "2026-01-01T00:00Z",
        "end": "2026-01-01T01:00Z",
        "kind": "campaign",
    },
    "parts": {
        "entity": "a",
        "part": "test",
        "start": "2026-01-01T00:00Z",
        "end": "2026-01-01T01:00Z",
        "name": "case_1",
    },
    "rul": {"entity": "a", "timestamp": "2026-01-01T00:00Z", "cycles": 130.0, "cycles_capped_at_125": 125.0},
    "components": {
        "entity": "a",
        "timestamp": "2026-01-01T00:00Z",
        "metric": "load",
        "observed": 3,
        "trend": 1,
        "seasonal": 1,
        "resid": 1,
        "seasonal_1440": 1,
    },
    "scores": {"entity": "a", "timestamp": "2026-01-01T00:00Z", "mean_shift": 0.5},
    "alarms": {
        "alarm_id": 1,
        "entity": "a",
        "start": "2026-01-01T00:00Z",
        "end": None,
        "detector": "mean_shift",
        "metrics": "load",
        "score": 4.0,
        "threshold": 3.0,
        "severity": "warning",
        "reason": "4 is above 3",
        "suppressed_by": None,
    },
    "alarm_labels": {
        "label_id": "l1",
        "entity": "a",
        "start": "2026-01-01T00:00Z",
        "end": None,
        "detector": "mean_shift",
        "metrics": "load",
        "score": 4.0,
        "threshold": 3.0,
        "label": "discarded",
        "reason": "a release",
        "labelled_by": "p-0123456789abcdef0123",
        "labelled_at": "2026-01-02T00:00Z",
    },
    "contributions": {"alarm_id": "1", "metric": "load", "share": 0.7, "value": 5.0, "expected": 1.0},
    "incidents": {
        "incident_id": "i1",
        "alarm_ids": "1,2",
        "start": "2026-01-01T00:00Z",
        "end": None,
        "entities": "a,b",
    },
    "features": {"entity": "a", "timestamp": "2026-01-01T00:00Z", "load__mean__1h": 1.0},
    "labels": {
        "entity": "a",
        "timestamp": "2026-01-01T00:00Z",
        "horizon": 3600,
        "impact_within": True,
        "time_to_impact": 300.0,
        "censored": False,
    },
    "predictions": {
        "entity": "a",
        "timestamp": "2026-01-01T00:00Z",
        "horizon": 3600,
        "probability": 0.5,
        "lo": 0.4,
        "hi": 0.6,
        "model": "xgboost",
        "version": "1",
    },
    "causes": {
        "alarm_id": "1",
        "rank": 1,
        "entity": "db",
        "metric": "load",
        "failure_mode": "leak",
        "probability": 0.6,
        "evidence": '{"prior": -1.2}',
    },
    "fmea": {
        "failure_mode": "leak",
        "effect": "slow",
        "cause": "cache",
        "controls": "none",
        **{f"{name}{bound}": 5 for name in ("severity", "occurrence", "detection") for bound in ("", "_lo", "_hi")},
        "rpn": 125,
        "action_priority": "M",
        "playbook": "restart",
    },
    "actions": {
        "action_id": "x1",
        "alarm_id": "1",
        "entity": "a",
        "playbook": "restart",
        "step": "drain",
        "mode": "dry-run",
        "start": "2026-01-01T00:00Z",
        "end": "2026-01-01T00:01Z",
        "verdict": "verified",
    },
    "feedback": {
        "feedback_id": "u1",
        "timestamp": "2026-01-01T00:00Z",
        "channel": "form",
        "user": "p7",
        "entity": "a",
        "text": "slow",
        "rating": 2,
        "category": "latency",
        "alarm_id": "1",
        "answered_at": None,
        "answer": None,
    },
}


def sample(table, **changes):
    return pd.DataFrame([{**SAMPLES[table], **changes}])


# ---- every table -----------------------------------------------------------------------------------------------------


def test_every_table_has_a_sample():
    assert set(SAMPLES) == set(schema.TABLES)


@pytest.mark.parametrize("table", sorted(schema.TABLES))
def test_sample_row_passes_and_comes_back_in_contract_form(table):
    contract = schema.TABLES[table]
    made = validate(sample(table), table)
    assert list(made.index.names) == (list(contract.key) or [None])
    assert list(made.reset_index(drop=not contract.key).columns) == list(SAMPLES[table])
    for name, column in contract.columns.items():
        values = made.index.get_level_values(name) if name in contract.key else made[name]
        assert values.dtype == column.dtype.type
    pd.testing.assert_frame_equal(validate(made, table), made)


@pytest.mark.parametrize("table", sorted(schema.TABLES))
def test_empty_table_has_the_dtypes_of_a_full_one(table, tmp_path):
    none = schema.empty(table)
    assert len(none) == 0
    one = validate(sample(table), table)
    fixed = [name for name in schema.TABLES[table].columns if name in none]
    assert none[fixed].dtypes.equals(one[fixed].dtypes)
    back = schema.read_table(schema.write_table(none, tmp_path / "t.parquet", table))
    pd.testing.assert_frame_equal(back, none)


@pytest.mark.parametrize("table", sorted(schema.TABLES))
def test_round_trip_through_parquet(table, tmp_path):
    made = validate(sample(table), table)
    back = schema.read_table(schema.write_table(made, tmp_path / "t.parquet", table))
    pd.testing.assert_frame_equal(back, made)


@pytest.mark.parametrize(
    ("table", "column"),
    [(t, c) for t, contract in sorted(schema.TABLES.items()) for c in contract.columns],
)
def test_absent_column_is_missing_where_optional_and_refused_where_not(table, column):
    contract = schema.TABLES[table]
    frame = sample(table).drop(columns=column)
    if column == "entity" and {"entity", "timestamp"} <= set(contract.key):
        assert validate(frame, table).index.get_level_values("entity")[0] == "default"
    elif contract.columns[column].nullable:
        assert validate(frame, table)[column].isna().all()
    else:
        with pytest.raises(ContractError, match=f"column '{column}'") as caught:
            validate(frame, table, source="x.csv")
        assert (caught.value.file, caught.value.column) == ("x.csv", column)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (t, c)
        for t, contract in sorted(schema.TABLES.items())
        for c, spec in contract.columns.items()
        if not spec.nullable
    ],
)
def test_missing_value_in_a_required_column_names_its_row(table, column):
    frame = pd.concat([sample(table), sample(table, **{column: None})], ignore_index=True)
    with pytest.raises(ContractError) as caught:
        validate(frame, table)
    assert (caught.value.row, caught.value.column) == (2, column)


@pytest.mark.parametrize("table", sorted(name for name, contract in schema.TABLES.items() if contract.extra is None))
def test_unknown_column_in_a_fixed_table_names_the_nearest(table):
    known = list(schema.TABLES[table].columns)[-1]
    with pytest.raises(ContractError, match=f"did you mean '{known}'") as caught:
        validate(sample(table).assign(**{f"{known}x": 1}), table)
    assert caught.value.column == f"{known}x"


@pytest.mark.parametrize(
    ("table", "change", "row_says"),
    [
        ("topology", {"kind": "loves"}, "one of calls, runs_on, shares, caused_by, got 'loves'"),
        ("actions", {"mode": "manual"}, "one of dry-run, approved, automatic"),
        ("actions", {"verdict": "fine"}, "one of verified, not_recovered, inconclusive"),
        ("fmea", {"action_priority": "urgent"}, "one of H, M, L"),
        ("fmea", {"severity": 11}, "a number from 1 to 10, got 11.0"),
        ("predictions", {"probability": 1.5, "hi": None}, "a number from 0 to 1, got 1.5"),
        ("predictions", {"probability": 0.3}, "lo <= probability <= hi, got probability 0.3, lo 0.4, hi 0.6"),
        ("causes", {"probability": -0.1}, "a number from 0 to 1"),
        ("causes", {"rank": 0}, "a whole number of at least 1, got 0"),
        ("labels", {"horizon": 0}, "a whole number of at least 1"),
        ("labels", {"horizon": 1.5}, "a whole number, got 1.5"),
        ("labels", {"time_to_impact": -1}, "a number of at least 0"),
        ("labels", {"censored": "maybe"}, "true or false, got 'maybe'"),
        ("windows", {"end": "2025-12-31T00:00Z"}, "start not after end, got start 2026-01-01"),
        ("alarms", {"end": "2025-12-31T00:00Z"}, "start not after end"),
        ("alarms", {"entity": ""}, "text that is not empty"),
        ("alarm_labels", {"label": "false"}, "one of confirmed, discarded, unsure, got 'false'"),
        ("faults", {"impact_start": "2025-12-31T00:00Z"}, "cause_start not after impact_start"),
        ("faults", {"diagnosed_at": "2026-01-01T00:01Z"}, "detected_at not after diagnosed_at"),
        ("faults", {"recovered_at": "2026-01-01T00:01Z"}, "impact_start not after recovered_at"),
        ("faults", {"severity": "high"}, "a number, got 'high'"),
        ("incidents", {"alarm_ids": [["1", "2"]]}, "text, got"),
    ],
)
def test_bad_value_is_told_with_its_row(table, change, row_says):
    good = sample(table)
    bad = sample(table, **{name: value[0] if isinstance(value, list) else value for name, value in change.items()})
    for name in schema.TABLES[table].key:
        if name not in change and name != "horizon":
            bad[name] = {"timestamp": "2026-01-02T00:00Z", "rank": 2}.get(name, f"other {name}")
    with pytest.raises(ContractError) as caught:
        validate(pd.concat([good, bad], ignore_index=True), table, source="mine.csv")
    assert str(caught.value).startswith("mine.csv, row 2")
    assert row_says in str(caught.value)


def test_fault_with_one_known_moment_passes():
    times = ("cause_start", "detected_at", "diagnosed_at", "cause_end", "recovered_at")
    assert validate(sample("faults").drop(columns=list(times)), "faults")["cause_start"].isna().all()


def test_unknown_table_names_the_nearest():
    with pytest.raises(ContractError, match="did you mean 'telemetry'"):
        validate(panel(), "telemetri")
    with pytest.raises(ContractError, match="expected a pandas DataFrame, got list"):
        validate([1, 2], "telemetry")


# ---- the panel -------------------------------------------------------------------------------------------------------


def test_order_carries_no_information_and_is_restored():
    frame = panel()
    pd.testing.assert_frame_equal(validate(frame.iloc[[2, 0, 3, 1]], "telemetry"), frame)
    pd.testing.assert_frame_equal(validate(frame.swaplevel(), "telemetry"), frame)
    pd.testing.assert_frame_equal(validate(frame.reset_index(), "telemetry"), frame)
    pd.testing.assert_frame_equal(validate(frame.rename_axis([None, None]), "telemetry"), frame)


def test_order_of_a_table_without_key_is_kept():
    lines = pd.concat([sample("logs", timestamp=f"2026-01-01T00:0{k}Z") for k in (3, 1, 1)], ignore_index=True)
    assert validate(lines, "logs")["timestamp"].dt.minute.tolist() == [3, 1, 1]


def test_single_entity_frame_gets_the_level():
    series = pd.Series([1, 2], index=stamps(2).rename(None), name="load")
    assert validate(series, "telemetry").index.unique("entity").tolist() == ["default"]
    frame = series.to_frame()
    frame.attrs["entity"] = "db"
    made = validate(frame, "telemetry")
    assert made.index.unique("entity").tolist() == ["db"]
    assert made["load"].dtype == "float64"


def test_a_level_without_a_name_is_the_keys():
    frame = pd.DataFrame({"load": [1.0, 2.0]}, index=stamps(2))
    later = frame.set_axis(frame.index + pd.Timedelta("1h")).rename_axis("timestamp")
    made = validate(pd.concat({"db": frame.rename_axis("timestamp"), "web": later}), "telemetry")
    assert made.index.unique("entity").tolist() == ["db", "web"]
    swapped = made.swaplevel().rename_axis(["timestamp", None])
    assert validate(swapped.assign(entity="x"), "telemetry").index.unique("entity").tolist() == ["x"]


def test_input_is_not_touched():
    frame = panel().iloc[::-1]
    before = frame.copy()
    made = validate(frame, "telemetry")
    made.iloc[0, 0] = 99
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_times_become_utc_microseconds(unit, zone):
    index = stamps().as_unit(unit).tz_convert(zone)
    made = validate(pd.DataFrame({"load": 1.0}, index=index), "telemetry")
    assert str(made.index.get_level_values("timestamp").dtype) == UTC_US
    assert (made.index.get_level_values("timestamp") == stamps()).all()


def test_duplicates_are_refused_with_both_rows():
    frame = panel().reset_index()
    twice = pd.concat([frame, frame.iloc[[1, 3]]], ignore_index=True)
    with pytest.raises(
        ContractError, match=r"a, 2026-01-01 00:01:00\+00:00 again, first in row 2 \(and 1 more"
    ) as caught:
        validate(twice, "telemetry", source="x.csv")
    assert caught.value.row == 5


def test_same_moment_in_two_zones_is_a_duplicate():
    frame = pd.concat([panel(), panel()]).reset_index()
    frame["timestamp"] = frame["timestamp"].dt.tz_convert("Europe/Berlin")
    with pytest.raises(ContractError, match="each key once"):
        validate(frame, "telemetry")


@pytest.mark.parametrize("bad", [np.inf, -np.inf, "inf", "-Infinity"])
def test_infinity_names_the_rows(bad):
    frame = panel((1.0, bad, 3.0, bad))
    with pytest.raises(ContractError, match="rows 2, 4, column 'load': expected a finite number") as caught:
        validate(frame, "telemetry")
    assert caught.value.row == [2, 4]
    assert "replace" in caught.value.remedy


def test_text_in_a_numeric_column_names_the_first_rows():
    frame = panel((1.0, "1,5", "n/a", "x", "y", "7"))
    with pytest.raises(ContractError) as caught:
        validate(frame, "telemetry", source="cpu.csv")
    assert str(caught.value) == (
        "cpu.csv, rows 2, 3, 4, column 'load': expected a number, got '1,5' (and 1 more rows). "
        "Remedy: correct the cell, leave it empty, or put categories into the table of states."
    )


@pytest.mark.parametrize("text", ["0x1A", "True", "1_000", "--1", "1e", "."])
def test_what_only_looks_like_a_number_is_text(text):
    with pytest.raises(ContractError, match="expected a number"):
        validate(panel((1.0, text)), "telemetry")


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (["1", " 2.5 ", "-.5e3", None, "", "NaN"], [1, 2.5, -500, np.nan, np.nan, np.nan]),
        (pd.array([1, None], dtype="Int64"), [1, np.nan]),
        (pd.array([True, False], dtype="boolean"), [1, 0]),
        (pd.to_timedelta(["90s", None]), [90, np.nan]),
        (np.array([1, 2], dtype="float32"), [1, 2]),
        (pd.Categorical([3, 1]), [3, 1]),
    ],
)
def test_numbers_in_any_dress_become_float64(values, numbers):
    made = validate(pd.DataFrame({"load": values}, index=stamps(len(values))), "telemetry")["load"]
    assert made.dtype == "float64"
    np.testing.assert_array_equal(made, numbers)


@pytest.mark.parametrize("values", [np.array([1j, 2]), stamps(2)])
def test_what_has_no_single_number_is_refused(values):
    with pytest.raises(ContractError, match="expected numbers"):
        validate(pd.DataFrame({"load": values}, index=stamps(2)), "telemetry")


@pytest.mark.parametrize(
    ("times", "says"),
    [
        (pd.date_range("2026-01-01", periods=2), "expected a time with its zone"),
        (["2026-01-01T00:00Z", "2026-01-01 00:01"], "row 2, column 'timestamp': expected a time with its zone"),
        ([dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 2)], "tz_localize"),  # noqa: DTZ001
        ([dt.date(2026, 1, 1), dt.date(2026, 1, 2)], "expected a time with its zone"),
        (["2026-01-01T00:00+01:00", "2026-01-01T00:00+02:00"], r"row 2.*expected one time zone, UTC\+01:00 as above"),
        (["2026-01-01T00:00Z", "soon"], "row 2, column 'timestamp': expected a time such as"),
        (["2026-01-01T00:00Z", "01/02/2026 00:00Z"], "row 2, column 'timestamp': expected a time such as"),
        (["2026-01-01T00:00Z", 5], "row 2, column 'timestamp': expected a time such as"),
        ([1767225600, 1767225660], r"rows 1, 2.*got 1767225600.*unit='s'"),
        (["2026-01-01T00:00Z", None], "row 2, column 'timestamp': expected a time, got nothing"),
    ],
)
def test_times_that_could_mean_two_moments_are_refused(times, says):
    frame = pd.DataFrame({"timestamp": times, "load": 1.0})
    with pytest.raises(ContractError, match=says):
        validate(frame, "telemetry")


@pytest.mark.parametrize(
    "times",
    [
        ["2026-01-01T01:00+01:00", "2026-01-01T01:01+01:00"],
        [pd.Timestamp("2026-01-01", tz="UTC"), pd.Timestamp("2026-01-01 00:01", tz="UTC")],
        ["2026-01-01T00:00:00.000Z", "2026-01-01T00:01:00.123456789Z"],
    ],
)
def test_times_with_one_zone_are_read(times):
    made = validate(pd.DataFrame({"timestamp": pd.Series(times, dtype=object), "load": 1.0}), "telemetry")
    assert made.index.get_level_values("timestamp")[0] == pd.Timestamp("2026-01-01", tz="UTC")


@pytest.mark.parametrize("name", ["cpu usage", "system.cpu", "1st", "vllm:waiting", "größe", "", 7])
def test_free_columns_have_names_of_promql_and_python(name):
    with pytest.raises(ContractError, match="expected a name that matches"):
        validate(panel(metric=name), "telemetry")


def test_features_are_named_metric_statistic_window():
    validate(panel(metric="load__mean__1h"), "features")
    with pytest.raises(ContractError, match="load_mean"):
        validate(panel(metric="load_mean"), "features")


def test_a_column_twice_is_refused():
    frame = pd.concat([panel(), panel()], axis=1)
    with pytest.raises(ContractError, match="column 'load': expected each column once"):
        validate(frame, "telemetry")
    with pytest.raises(ContractError, match="as a column and as a level"):
        validate(panel().assign(entity="a"), "telemetry")


def test_identifiers_are_text_however_they_were_read():
    rows = pd.concat([sample("alarms")] * 2, ignore_index=True)
    for ids, texts in (
        ([7, 8], ["7", "8"]),
        ([7.0, 8.5], ["7", "8.5"]),
        (pd.Categorical(["x", "y"]), ["x", "y"]),
        (pd.array([7, 8], dtype="Int64"), ["7", "8"]),
    ):
        assert validate(rows.assign(alarm_id=ids), "alarms").index.tolist() == texts
    gaps = validate(rows.assign(alarm_id=[1, 2], suppressed_by=[3.0, np.nan]), "alarms")["suppressed_by"]
    assert gaps.iloc[0] == "3"
    assert pd.isna(gaps.iloc[1])


@given(
    cells=st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.integers(0, 20)),
        st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=False)),
        min_size=1,
    ),
    order=st.randoms(use_true_random=False),
)
def test_any_panel_in_any_order_gives_one_form(cells, order):
    rows = [(entity, pd.Timestamp(minute * 60, unit="s", tz="UTC"), value) for (entity, minute), value in cells.items()]
    expected = sorted(rows, key=lambda row: row[:2])
    order.shuffle(rows)
    made = validate(pd.DataFrame(rows, columns=["entity", "timestamp", "load"]), "telemetry")
    assert made.index.tolist() == [row[:2] for row in expected]
    np.testing.assert_array_equal(made["load"], [np.nan if row[2] is None else row[2] for row in expected])
    pd.testing.assert_frame_equal(validate(made, "telemetry"), made)


# ---- on disk ---------------------------------------------------------------------------------------------------------


def test_equal_tables_give_equal_bytes(tmp_path):
    metadata = {"seed": 1, "origin": {"b": 2, "a": [1, 2]}}
    one = schema.write_table(panel(), tmp_path / "1.parquet", "telemetry", metadata=metadata)
    shuffled = {"origin": {"a": [1, 2], "b": 2}, "seed": 1}
    two = schema.write_table(panel().iloc[::-1], tmp_path / "2.parquet", "telemetry", metadata=shuffled)
    assert one.read_bytes() == two.read_bytes()


def test_metadata_and_fitted_on_are_in_the_file(tmp_path):
    fitted_on = {"entities": ["b", "a"], "until": pd.Timestamp("2026-01-01 01:00", tz="Europe/Berlin"), "fold": 2}
    path = schema.write_table(
        panel(), tmp_path / "deep" / "t.parquet", "scores", metadata={"k": 3}, fitted_on=fitted_on
    )
    assert schema.read_metadata(path) == {
        "table": "scores",
        "k": 3,
        "fitted_on": {"entities": ["a", "b"], "until": "2026-01-01T00:00:00+00:00", "fold": "2"},
    }
    stored = pq.read_schema(path)
    assert b"pandas" in stored.metadata
    assert stored.field("timestamp").type == pa.timestamp("us", tz="UTC")
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"metadata": {"table": 1}}, "writes itself"),
        ({"metadata": {"x": np.int64(1)}}, "JSON"),
        ({"metadata": {"x": float("nan")}}, "JSON"),
        ({"fitted_on": {"entities": ["a"]}}, "entities and until"),
        ({"fitted_on": {}}, "entities and until"),
        ({"fitted_on": {"entities": "a", "until": "2026-01-01T00:00Z"}}, "as a list"),
        ({"fitted_on": {"entities": ["a"], "until": "2026-01-01"}}, "with its zone"),
        ({"fitted_on": {"entities": ["a"], "until": "soon"}}, "with its zone"),
        ({"fitted_on": {"entity": ["a"]}}, "did you mean 'entities'"),
    ],
)
def test_bad_metadata_write_nothing(tmp_path, options, says):
    with pytest.raises(ContractError, match=says):
        schema.write_table(panel(), tmp_path / "t.parquet", "telemetry", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_table_whole(tmp_path, monkeypatch):
    path = schema.write_table(panel(), tmp_path / "t.parquet", "telemetry")

    def full(table, file, **options):
        file.write(b"PAR1 half a table")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        schema.write_table(panel((9.0,)), path, "telemetry")
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]
    pd.testing.assert_frame_equal(schema.read_table(path), panel())


def test_damaged_values_are_never_taken_for_good_ones(tmp_path):
    # Pages carry checksums; the footer, which holds the names, has none in the format.
    path = schema.write_table(panel(np.arange(50.0)), tmp_path / "t.parquet", "telemetry")
    good, whole, dice = schema.read_table(path), path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(schema.read_table(path).to_numpy(), good.to_numpy())
        except ContractError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x00\xff" * 500, b"timestamp,load\n", "half"])
def test_a_file_that_is_no_parquet_is_told(tmp_path, content):
    path = schema.write_table(panel(), tmp_path / "t.parquet", "telemetry")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content == "half" else content)
    for reader in (schema.read_table, schema.read_metadata):
        with pytest.raises(ContractError, match="expected a whole Parquet file") as caught:
            reader(path)
        assert caught.value.file == str(path)


def test_a_missing_file_names_its_neighbours(tmp_path):
    schema.write_table(panel(), tmp_path / "scores.parquet", "scores")
    with pytest.raises(ContractError, match=r"got no file.*did you mean 'scores.parquet'"):
        schema.read_table(tmp_path / "score.parquet")
    with pytest.raises(ContractError, match="got a folder"):
        schema.read_table(tmp_path)
    with pytest.raises(ContractError, match="there are none"):
        schema.read_table(tmp_path / "none" / "x.parquet")


def test_a_table_is_read_as_what_it_is(tmp_path):
    path = schema.write_table(panel(), tmp_path / "t.parquet", "scores")
    with pytest.raises(ContractError, match="expected a table of alarms, got one of scores"):
        schema.read_table(path, "alarms")
    panel().to_parquet(tmp_path / "own.parquet")
    with pytest.raises(ContractError, match="without the name of its table"):
        schema.read_table(tmp_path / "own.parquet")
    pd.testing.assert_frame_equal(schema.read_table(tmp_path / "own.parquet", "telemetry"), panel())
    assert schema.read_metadata(tmp_path / "own.parquet") == {}


def test_a_step_of_a_matrix_is_no_hive_partition(tmp_path):
    path = schema.write_table(panel(), tmp_path / "detect[k=3]" / "t.parquet", "telemetry")
    pd.testing.assert_frame_equal(schema.read_table(path), panel())


def test_other_tables_have_no_contract_but_microseconds(tmp_path):
    index = pd.DatetimeIndex(["2026-01-01"], name="day").as_unit("s")
    frame = pd.DataFrame({"any name": [1], "t": index.as_unit("ns"), "list": [[1, 2]]}, index=index)
    back = schema.read_table(schema.write_table(frame, tmp_path / "t.parquet", "other"))
    assert back.index.unit == back["t"].dt.unit == "us"
    assert back["any name"].tolist() == [1]
    nested = frame.set_index("t", append=True)[["any name"]]
    back = schema.read_table(schema.write_table(nested, tmp_path / "t.parquet", "other"))
    assert [level.unit for level in back.index.levels] == ["us", "us"]
    with pytest.raises(ContractError, match="that Parquet can hold"):
        schema.write_table(pd.DataFrame({"x": [1, "a"]}), tmp_path / "t.parquet", "other")


# ---- what was seen before the test -----------------------------------------------------------------------------------


def test_refuse_overlap_by_entity_and_moment():
    seen = {"entities": ["a"], "until": "2026-01-01T00:01:00Z"}
    with pytest.raises(ContractError, match=r"row 1: .*after 2026-01-01 00:01:00\+00:00.*\(2 such rows\)"):
        schema.refuse_overlap(seen, panel())
    schema.refuse_overlap(seen, panel().iloc[2:])
    schema.refuse_overlap(seen, panel(entity="b"))
    schema.refuse_overlap(None, panel())
    single = panel().droplevel("entity")
    schema.refuse_overlap(seen, single)
    with pytest.raises(ContractError):
        schema.refuse_overlap({**seen, "entities": ["default"]}, single.rename_axis(None))
    alarms = validate(sample("alarms"), "alarms")
    with pytest.raises(ContractError, match="a at 2026-01-01"):
        schema.refuse_overlap(seen, alarms)
    with pytest.raises(ContractError, match="timestamp or start"):
        schema.refuse_overlap(seen, pd.DataFrame({"entity": ["a"]}))


def test_refuse_overlap_by_fold():
    schema.refuse_overlap({"fold": "3"}, panel(), fold=3)
    with pytest.raises(ContractError, match="fold '4'"):
        schema.refuse_overlap({"fold": "3"}, panel(), fold="4")
    with pytest.raises(ContractError, match="got no fold"):
        schema.refuse_overlap({"fold": "3"}, panel())
    both = {"fold": "3", "entities": ["a"], "until": "2026-02-01T00:00Z"}
    with pytest.raises(ContractError, match="test rows after"):
        schema.refuse_overlap(both, panel(), fold="3")


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_error_keeps_its_fields_between_processes():
    error = ContractError("Odd", file="a.csv", row=[1, 2], column="c", expected="x", got=7, remedy="do")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "a.csv, rows 1, 2, column 'c': Odd, expected x, got 7. Remedy: do."
    assert vars(again) == vars(error)
    assert isinstance(error, ValueError)


def test_nearest_keeps_long_lists_short():
    names = [f"metric_{k}" for k in range(100)]
    text = schema.nearest("metric_77x", names)
    assert text.startswith("did you mean 'metric_77'?")
    assert text.endswith("and 80 more")


# ---- the metric registry ---------------------------------------------------------------------------------------------


ENDINGS = {
    "_bytes": "By",
    "_celsius": "Cel",
    "_hertz": "Hz",
    "_watts": "W",
    "_pascals": "Pa",
    "_volts": "V",
    "_amperes": "A",
    "_newton_meters": "N.m",
    "_flow_cubic_meters_per_second": "m3/s",
    "_speed_meters_per_second": "m/s",
    "_meters_total": "m",
    "_kilograms_per_second": "kg/s",
    "_degrees": "deg",
    "_seconds": "s",
    "_seconds_total": "s",
}
# What no stock exporter gives: a service, a loader of `datasets` or a user's columns do.
WITHOUT_EXPORTER = (
    "model_", "feature_", "service_", "machine_", "engine_", "transaction_", "checkout_", "orders_", "vehicle_",
)  # fmt: skip


def test_registry_is_sane():
    registry = schema.metric_registry()
    assert len(registry) > 40
    for name, entry in registry.items():
        assert entry.name == name
        assert entry.description.endswith(".")
        assert (entry.instrument == "counter") == name.endswith("_total")
        if name.endswith("_ratio"):
            assert (entry.unit, entry.lower, entry.upper) == ("1", 0, 1)
        for ending, unit in ENDINGS.items():
            assert not name.endswith(ending) or entry.unit == unit
        assert name.endswith("_newton_meters") or not name.endswith("_meters") or entry.unit == "m"
        validate(panel(metric=name), "telemetry")


def test_registry_has_no_entry_without_a_use():
    """An entry serves columns that someone can have: fetched by its own query, or exported under its own name."""
    for name, entry in schema.metric_registry().items():
        assert entry.promql is not None or name.startswith(WITHOUT_EXPORTER)


def test_metric_of_a_dimension_and_of_a_rate_take_after_their_metric():
    base = schema.metric("system_network_errors_total")
    assert schema.metric("system_network_errors_total__device_eth0").unit == base.unit == "{error}"
    assert schema.metric("system_network_errors_total__device_eth0").name == "system_network_errors_total__device_eth0"
    rate = schema.metric("system_network_errors_per_second__device_eth0")
    assert (rate.unit, rate.instrument, rate.bad) == ("{error}/s", "gauge", "high")
    assert schema.metric("process_cpu_seconds_per_second").unit == "1"
    assert schema.metric("process_cpu_seconds_per_second").upper is None
    assert schema.metric("mine_total").instrument == "counter"
    assert schema.metric("mine") == schema.Metric("mine")
    with pytest.raises(ContractError, match="no digit first"):
        schema.metric("9 lives")


@pytest.fixture
def workbench(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("STABILITY_HOME", str(tmp_path))
    return tmp_path / "data" / "metrics.yaml"


GOOD = "load:\n  instrument: gauge\n  unit: '1'\n  description: Work.\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected a mapping of metric name to its entry, got NoneType"),
        ("- a\n", "got list"),
        ("a: [", "row 1"),
        (GOOD + GOOD, "row 5: expected YAML, got the key 'load' twice"),
        ("load: 3\n", "column 'load': expected a mapping of fields"),
        ("load: {instrument: gauge, unit: '1'}\n", "expected the field 'description'"),
        (GOOD + "  boundary: 1\n", "column 'load': expected boundary"),
        (GOOD.replace("gauge", "summary"), "column 'load': expected instrument"),
        (GOOD.replace("'1'", "1"), "column 'load': expected unit: Input should be a valid string, got 1"),
        (GOOD + "  lower: 2\n  upper: 1\n", "lower 2 is not below upper 1"),
        (GOOD + "  lower: .nan\n", "column 'load': expected lower"),
        (GOOD.replace("gauge", "counter"), "ends in _total"),
        (GOOD.replace("load", "lo:ad"), "column 'lo:ad'"),
        (GOOD + "  bad: up\n", "column 'load': expected bad"),
    ],
)
def test_a_wrong_registry_is_told_with_its_place(workbench, text, says):
    workbench.write_text(text)
    with pytest.raises(ContractError) as caught:
        schema.metric_registry()
    assert says in str(caught.value)
    assert caught.value.file == str(workbench)


def test_an_edited_registry_is_read_again(workbench):
    workbench.write_text(GOOD)
    assert list(schema.metric_registry()) == ["load"]
    workbench.write_text(GOOD + GOOD.replace("load", "other"))
    assert list(schema.metric_registry()) == ["load", "other"]
    schema.metric_registry().clear()
    assert schema.metric("other").description == "Work."


def test_home_is_the_checkout_or_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv("STABILITY_HOME", raising=False)
    assert (schema.home() / "pyproject.toml").is_file()
    monkeypatch.setenv("STABILITY_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(ContractError, match="set STABILITY_HOME"):
        schema.home()


def test_a_key_of_yaml_is_the_word_that_stands_there(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("columns: {No: fault_id, On: entity}\nflag: no\n")
    assert schema.load_yaml(path) == {"columns": {"No": "fault_id", "On": "entity"}, "flag": False}


def test_yaml_of_a_person_is_read_without_surprises(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("base: &b {k: 1, l: 2}\nmine: {<<: *b, k: 3}\n")
    assert schema.load_yaml(path) == {"base": {"k": 1, "l": 2}, "mine": {"k": 3, "l": 2}}
    for text, says in (
        ("a: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
        ("a: b: c", "row 1"),
        ('a: 1\nb: !!int ""', "row 2: expected YAML, got '', which is no value"),
        ("a: !!bool maybe", "'maybe', which is no value"),
        ("a: !!timestamp soon", "'soon', which is no value"),
    ):
        path.write_text(text)
        with pytest.raises(ContractError, match=says):
            schema.load_yaml(path)
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(ContractError, match="UTF-8"):
        schema.load_yaml(path)
    with pytest.raises(ContractError, match="got no file"):
        schema.load_yaml(tmp_path / "none.yaml")
    with pytest.raises(ContractError, match="got is a directory"):
        schema.load_yaml(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: caf\u00e9\n".encode("latin-1"), r"a byte at 6 .*iconv -f LATIN1 -t UTF-8"),
        ("a: caf\u00e9\n".encode("utf-16"), r"got UTF-16\. Remedy: .*iconv -f UTF-16 -t UTF-8"),
        (codecs.BOM_UTF16_BE + "a: 1\n".encode("utf-16-be"), r"got UTF-16\. Remedy: .*iconv -f UTF-16 -t UTF-8"),
        ("a: caf\u00e9 \u20ac\n".encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8"),
        ("a: caf\u00e9 \u20ac\n".encode("utf-16-be"), "iconv -f UTF-16BE -t UTF-8"),
        ("a: 1\n".encode("utf-32"), r"got UTF-32\. Remedy: .*iconv -f UTF-32 -t UTF-8"),
        (b"PK\x03\x04\x14 no zero", "got an Excel workbook or another zip archive"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "got a binary file, no text"),
        (b"a: 1\nb: \0\n", "got a binary file, no text"),
    ],
)
def test_a_file_that_is_no_text_in_utf8_is_named_for_what_it_is(tmp_path, content, says):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    for load in (schema.load_yaml, schema.load_documents):
        with pytest.raises(ContractError, match=rf"x\.yaml: expected a YAML file in UTF-8, .*{says}"):
            load(path)


def _panel(entities=("a", "b"), **columns):
    stamps = pd.date_range("2026-01-01", periods=3, freq="1h", tz="UTC", name="timestamp").as_unit("us")
    index = pd.MultiIndex.from_product([list(entities), stamps], names=["entity", "timestamp"])
    return pd.DataFrame(columns or {"load": np.arange(len(index), dtype=float), "b_total": math.nan}, index)


PANELS = {
    "in form": _panel(),
    "turned round": _panel().iloc[::-1],
    "entities in another order": _panel(entities=("b", "a")),
    "cut": _panel().iloc[[1, 4, 5]],
    "no rows": _panel().iloc[:0],
    "a row twice": _panel().iloc[[0, 0, 1]],
    "an entity without a name": _panel(entities=("", "a")),
    "integers": _panel().fillna(0).astype("int64"),
    "infinite": _panel().replace(4.0, math.inf),
    "no name for a metric": _panel(**{"load in %": 1.0}),
    "columns called as the key": _panel(entity=1.0),
    "a time that is none": _panel().reset_index().assign(timestamp=lambda f: f["timestamp"].where(f.index != 4)),
}
PANELS["a time that is none"] = PANELS["a time that is none"].set_index(["entity", "timestamp"])


@pytest.mark.parametrize("table", ["telemetry", "scores"])
@pytest.mark.parametrize("kind", PANELS)
def test_a_panel_that_is_in_form_already_is_taken_as_any_other(kind, table, monkeypatch):
    def told():
        try:
            return validate(PANELS[kind], table, source="x.csv")
        except ContractError as error:
            return str(error)

    quick = told()
    monkeypatch.setattr("stability.schema.validation._panel_in_form", lambda *_: False)
    slow = told()
    assert type(quick) is type(slow)
    if isinstance(slow, str):
        assert quick == slow
    else:
        pd.testing.assert_frame_equal(quick, slow)
        assert quick.attrs == slow.attrs


def test_what_is_done_to_a_validated_panel_leaves_the_one_that_was_given():
    given = _panel()
    done = validate(given, "telemetry")
    done.iloc[0, 0] = 7.0
    assert given.iloc[0, 0] == 0.0


def test_json_lines_are_read_up_to_one_that_is_cut(tmp_path):
    path = tmp_path / "said.jsonl"
    path.write_bytes(b'{"a": 1}\n[2]\n{"a": 3}\n{"a": 4')
    assert list(read_json_lines(path)) == [{"a": 1}, {"a": 3}]
    path.write_bytes(b'{"a": 1}\n{"a"\n{"a": 3}\n')
    with pytest.raises(ContractError, match="row 2"):
        list(read_json_lines(path))
