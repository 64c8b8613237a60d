"""The real server: samples arrive as they are, staleness markers among them, and it knows what we do not."""

import numpy as np
import pandas as pd
import pytest

from stability.rules.alerts import firings
from stability.rules.files import Rule
from stability.rules.history import Series, grid_of, history_of
from stability.rules.reference import loaded, reference_evaluate, reference_firings
from stability.rules.remote_write import batches, snappy
from stability.rules.vectors import NAME
from stability.schema import ContractError


def panel(rows=600, step="15s", start="2026-01-01"):
    rng = np.random.default_rng(1)
    stamps = pd.date_range(start, periods=rows, freq=step, tz="UTC")
    index = pd.MultiIndex.from_product([["a/1", "b/2"], stamps], names=["entity", "timestamp"])
    made = pd.DataFrame({"x": rng.normal(size=2 * rows), "y": rng.integers(0, 9, 2 * rows) * 1.0}, index=index)
    return made.mask(rng.random(made.shape) < 0.2)


@pytest.fixture(autouse=True)
def prometheus(require):
    require("prometheus")


@pytest.mark.parametrize(("rows", "step"), [(600, "15s"), (40, "1D"), (5_000, "100ms")])
def test_every_sample_arrives_and_every_gap_is_one(rows, step):
    table = panel(rows, step)
    times = grid_of(table)
    with loaded(history_of(table, "{job}/{instance}")) as reference:
        seen = reference.vector("y", times).frame(times)
    assert seen.columns.to_list() == [("y", "1", "a"), ("y", "2", "b")]
    for entity, column in (("a/1", ("y", "1", "a")), ("b/2", ("y", "2", "b"))):
        np.testing.assert_array_equal(seen[column], table.loc[entity, "y"])


def test_more_evaluations_than_one_answer_holds():
    table = panel(400)
    seen = reference_evaluate("count(y)", table, step=0.5)
    assert len(seen) == 11_971
    assert seen.iloc[0, 0] == table["y"].groupby("timestamp").count().iloc[0]


def test_rules_outside_of_the_subset_are_evaluated():
    table = panel()
    rules = [
        Rule("g", "Top", "topk(1, y) > 5", pd.Timedelta("15s"), labels={"severity": "page"}),
        Rule("g", "Sub", "max_over_time(avg_over_time(x[1m])[5m:1m]) > 0.5"),
    ]
    with pytest.raises(ContractError, match="topk"):
        firings(rules, table)
    made = reference_firings(rules, table)
    assert set(made["rule"]) == {"Top", "Sub"}
    assert set(made["entity"]) <= {"a/1", "b/2"}
    inside = [Rule("g", "In", "y > 5 and x > -2", pd.Timedelta("15s"), pd.Timedelta("1min"))]
    pd.testing.assert_frame_equal(reference_firings(inside, table), firings(inside, table))


def test_what_the_server_refuses_is_told_in_its_words():
    with pytest.raises(ContractError, match="parse error"):
        reference_evaluate("rate(x[", panel(5))
    with pytest.raises(ContractError, match="whole milliseconds"):
        reference_evaluate("x", panel(5, "1500us"))


def test_without_a_prometheus_it_is_told_how_to_get_one(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="apt-get install"):
        reference_evaluate("x", panel(5))


def test_long_bodies_are_framed_as_snappy():
    body = bytes(range(256)) * 1_000
    made = snappy(body)
    assert made[:3] == bytes([0x80, 0xD0, 0x0F])  # 256,000 as a varint
    assert made[3:8] == bytes([0xFC, 0xFF, 0xE7, 0x03, 0x00])  # a literal of so many bytes, less one
    assert made[8:] == body
    assert snappy(b"") == b"\0"


def test_requests_span_half_an_hour_and_times_have_bounds():
    times = np.arange(100, dtype=np.int64) * 60_000_000 + 10**15
    series = Series(((NAME, "x"),), times, np.zeros(100), np.zeros(100, dtype=bool))
    assert len(list(batches([series]))) == 4
    assert list(batches([])) == []
    early = Series(series.labels, times - 10**15, series.values, series.stale)
    with pytest.raises(ContractError, match="1971"):
        list(batches([early]))
