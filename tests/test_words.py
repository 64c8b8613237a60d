"""Reasons in words: each kind of feature has its sentence, with units, what is usual, and for how long."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.prediction.explanation import Usual, in_words
from stability.prediction.explanation.names import read_name
from stability.prediction.explanation.numbers import quantity, scale, span, unit_of, usually
from stability.schema import ContractError, metric_registry

MEMORY = "process_resident_memory_bytes"
MIB = 2.0**20


def around(middle, spread):
    """Training rows whose median is `middle` and whose interquartile range is that of a deviation of `spread`."""
    return middle + spread * np.array([-2.0, -0.6745, 0.0, 0.6745, 2.0])


def one_reason(name, value, past, beside=None, **settings):
    row = pd.Series({name: float(value)} | (beside or {}))
    (text,) = in_words(pd.Series({name: 1.0}), row, Usual.learn(pd.DataFrame({name: past})), **settings)
    return text


SENTENCES = {
    f"{MEMORY}__last__now": (400 * MIB, around(200 * MIB, 20 * MIB), "resident memory 400 MiB, usually 200 ± 20 MiB"),
    "machine_rotation_raw__mean__3D": (412.3, around(446, 8), "rotation mean over 3 d 412, usually 446 ± 8"),
    "machine_voltage_volts__std__7D": (6.1, around(4.9, 0.4), "voltage varying over 7 d by 6.1 V, usually 4.9 ± 0.4 V"),
    "latency_seconds__max__1h": (0.9, around(0.2, 0.05), "latency highest over 1 h 900 ms, usually 200 ± 50 ms"),
    "latency_seconds__min__1h": (0.2, around(0.2, 0.05), "latency lowest over 1 h 200 ms, as usual (200 ± 50 ms)"),
    "latency_seconds__q95__10min": (
        2.0,
        around(0.2, 0.05),
        "latency 95 % quantile over 10 min 2.00 s, usually 200 ± 50 ms",
    ),
    "load__ewma__30s": (9.0, around(3, 1), "load recently (half-life 30 s) 9.0, usually 3.0 ± 1.0"),
    f"{MEMORY}__slope__1h": (
        -MIB / 3600,
        around(0, MIB / 36_000),
        "resident memory fell by 1.00 MiB in 1 h, usually 0 ± 102 KiB",
    ),
    "gpu_utilization_ratio__slope__1h": (
        0.2 / 3600,
        around(0, 0.01 / 3600),
        "gpu utilization rose by 20.0 points in 1 h, usually 0 ± 1.0 points",
    ),
    f"{MEMORY}__count__1h": (2, around(60, 0), "readings of resident memory in the last hour: 2, usually 60"),
    "load__z__7D": (-3.21, around(0, 1), "load 3.2 deviations below its own baseline"),
    "load__z__regime": (3.21, around(0, 1), "load 3.2 deviations above what is usual in its operating condition"),
    "load__z__season": (3.21, around(0, 1), "load 3.2 deviations above what its level and seasons predicted"),
    "all__residual__score": (9.0, around(3, 1), "anomaly score of all metrics (residual) 9.0, usually 3.0 ± 1.0"),
    "load__mean_shift__score": (9.0, around(3, 1), "anomaly score of load (mean shift) 9.0, usually 3.0 ± 1.0"),
    "code_error1__count__1D": (2, [0, 0, 0, 0.5, 0], "error1 twice in the last 24 h (fleet mean 0.1)"),
    "code_error1__count__2D": (0, [0, 0, 0, 0.5, 0], "no error1 in the last 2 d (fleet mean 0.1)"),
    "log_error__count_of_all__1h": (
        30,
        around(12, 2),
        "log line of level error 30 times in the last hour in the whole fleet (usually 12 ± 2)",
    ),
    "fault__since__90D": (7200, around(90 * 86400, 0), "last fault 2 h ago (usually none for 90 d)"),
    "fault_comp2__since__90D": (90 * 86400, around(86400, 0), "no fault comp2 for 90 d or longer (usually 24 h ago)"),
    "recovered__since__1D": (0, around(7200, 0), "recovery just now (usually 2 h ago)"),
    "state_version__since__1D": (1200, around(86400, 0), "last change 'version' 20 min ago (usually none for 24 h)"),
    "other__count__1D": (1, [0, 0, 0, 0, 0], "event of a rare kind once in the last 24 h (fleet mean 0)"),
    "needs_max_latency_seconds__mean__5min": (
        0.9,
        around(0.2, 0.05),
        "highest among what it depends on: latency mean over 5 min 900 ms, usually 200 ± 50 ms",
    ),
    "users_mean_load__last__now": (
        9.0,
        around(3, 1),
        "mean among those that depend on it: load 9.0, usually 3.0 ± 1.0",
    ),
    "age": (18, around(12, 7), "age 18, as usual (12 ± 7)"),
    "model_queue_depth": (40, np.array([0.0, 0.0, 0.1, 4.0, 9.0]), "model queue depth 40, usually up to 8"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_each_kind_of_feature_has_its_sentence(name):
    value, past, expected = SENTENCES[name]
    assert one_reason(name, value, past) == expected


def test_distance_from_the_own_baseline_is_a_share_of_it():
    beside = {f"{MEMORY}__last__now": 138 * MIB}
    text = one_reason(f"{MEMORY}__off__7D", 38 * MIB, around(0, MIB), beside)
    assert text == "resident memory 38 % above its own baseline (100 MiB)"
    assert (
        one_reason(f"{MEMORY}__off__7D", -38 * MIB, around(0, MIB)) == "resident memory 38 MiB below its own baseline"
    )
    beside = {"cache_hit_ratio__last__now": 0.5}
    text = one_reason("cache_hit_ratio__off__7D", -0.2, around(0, 0.1), beside)
    assert text == "cache hit 20 points below its own baseline"


def test_it_is_said_for_how_long_a_value_has_not_been_usual():
    name, past = "load__mean__1h", around(3, 1)
    stamps = pd.date_range("2026-01-01", periods=6, freq="10min", tz="UTC", name="timestamp").as_unit("us")
    long = pd.DataFrame({name: [3.0, 3.0, 9.0, 9.0, 8.0, 9.0]}, stamps)
    assert one_reason(name, 9, past, history=long).endswith("usually 3.0 ± 1.0, for 30 min")
    assert one_reason(name, 9, past, history=long + 9).endswith(", for at least 50 min")
    assert one_reason(name, 9, past, history=long.iloc[:3]).endswith("usually 3.0 ± 1.0")
    both = pd.DataFrame({name: [3.0, -9.0, 9.0]}, stamps[:3])
    assert one_reason(name, 9, past, history=both).endswith("usually 3.0 ± 1.0")
    entity = pd.MultiIndex.from_product([["a"], stamps], names=["entity", "timestamp"])
    assert one_reason(name, 9, past, history=long.set_index(entity)).endswith("for 30 min")


def test_features_of_a_metric_are_one_reason_and_the_strongest_comes_first():
    names = ["load__mean__1h", "load__max__1h", "heat__mean__1h", "code_e1__count__1D", "noise__mean__1h"]
    parts = pd.Series([0.6, 0.5, 1.0, -3.0, 0.01], names)
    row = pd.Series([9.0, 99.0, 5.0, 0.0, 1.0], names)
    usual = Usual.learn(pd.DataFrame({name: around(3, 1) for name in names}))
    found = in_words(parts, row, usual)
    assert [text.split()[0] for text in found] == ["load", "heat"]
    assert "highest" in found[0]  # it adds nearly as much as the mean, and is farther from what is usual
    assert len(in_words(parts, row, usual, most=1)) == 1
    assert in_words(-parts.abs(), row, usual) == []
    with pytest.raises(ContractError, match="heat"):
        in_words(parts, row.drop("heat__mean__1h"), usual)


def test_the_calendar_says_when_it_is():
    names = ["calendar__sin__1D", "calendar__cos__1D", "calendar__sin__7D", "calendar__cos__7D"]
    day, week = 2 * np.pi * 6.5 / 24, 2 * np.pi * (3 + 6.5 / 24) / 7
    row = pd.Series([np.sin(day), np.cos(day), np.sin(week), np.cos(week)], names)
    usual = Usual.learn(pd.DataFrame([row]))
    assert in_words(pd.Series([1.0, 0, 0, 0], names), row, usual) == ["time of day: 06:30"]
    assert in_words(pd.Series([0, 0, 0, 1.0], names), row, usual) == ["day of the week: Thursday"]


def test_a_log_template_is_shown_as_it_reads():
    text = one_reason("log_t004__count__1h", 3, around(0, 0), templates={"t004": "no answer from <ip>"})
    assert text == "log line 'no answer from <ip>' 3 times in the last hour (fleet mean 0)"


def test_what_is_not_known_is_said_so():
    assert one_reason("load__mean__1h", np.nan, around(3, 1)) == "load not known"
    name = "load__mean__1h"
    row = pd.Series({name: 2.0})
    assert in_words(pd.Series({name: 1.0}), row, Usual.learn(pd.DataFrame({"x": [1.0]}))) == ["load mean over 1 h 2"]
    with pytest.raises(ContractError, match="rows to learn from"):
        Usual.learn(pd.DataFrame({"x": []}))


def test_usual_is_of_the_training_rows_alone():
    frame = pd.DataFrame({"load": [1.0, 2.0, 3.0, 1e9]})
    learnt = Usual.learn(frame, np.array([True, True, True, False])).of("load")
    assert (learnt["middle"], learnt["mean"]) == (2.0, 2.0)


def test_a_count_is_of_readings_where_the_metric_has_others():
    assert read_name("load__count__1h", ["load__mean__1h"]).kind == "rolling statistic"
    assert read_name("load__count__1h", ["load__count__1h"]).kind == "events"
    assert read_name("users_max_code_e1__count__1D")[:3] == ("code_e1", "count", "1D")


@pytest.mark.parametrize("name", metric_registry())
def test_every_metric_of_the_registry_reads_without_its_unit(name):
    text = one_reason(f"{name}__last__now", 7.0, around(3, 1))
    assert text[0].isalnum()
    assert "_" not in text
    assert not any(word in text.split(",")[0].split() for word in ("bytes", "seconds", "celsius", "ratio"))


@given(st.floats(1e-9, 1e15), st.sampled_from(["By", "s", "%", "1", "Hz", "Cel", "By/s", "{request}/s", "1/s", "N.m"]))
def test_a_quantity_can_be_read_back(value, unit):
    factor, word = scale(unit, value)
    text = quantity(value, unit)
    assert text.endswith(word)
    number = float(text.removesuffix(word).strip().replace(",", ""))
    assert number * factor == pytest.approx(value, rel=0.006, abs=0.6e-6 * factor)


@given(st.floats(1e-3, 1e9))
def test_a_span_can_be_read_back(seconds):
    number, word = span(seconds).split()
    factor = {"µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}[word]
    assert float(number.replace(",", "")) * factor == pytest.approx(seconds, rel=0.06)


def test_numbers_have_the_unit_of_their_metric():
    assert unit_of("model_cache_hit_ratio") == "%"
    assert unit_of("not a metric") == "1"
    assert usually(0.5, 0.1, "%") == "50 ± 10 %"
    assert quantity(float("nan"), "s") == "unknown"
