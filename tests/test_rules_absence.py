"""Metrics that are not there raise an alarm of their own."""

import numpy as np
import pandas as pd

from stability.rules.absence import COLUMNS, absences
from stability.rules.files import Rule

FIRST = pd.Timestamp("2026-01-01", tz="UTC")


def panel(**metrics):
    """Entities a and b, a row a minute; {metric: (values of a, values of b)}; None is missing."""
    length = max(len(values) for pair in metrics.values() for values in pair)
    stamps = pd.date_range(FIRST, periods=length, freq="1min")
    index = pd.MultiIndex.from_product([["a", "b"], stamps], names=["entity", "timestamp"])
    return pd.DataFrame(
        {name: [np.nan if v is None else float(v) for v in (*one, *two)] for name, (one, two) in metrics.items()},
        index=index,
    )


def rows(table):
    told = table[["rule", "metric", "entity"]].itertuples(index=False, name=None)
    times = (
        tuple(None if pd.isna(t) else int((t - FIRST) / pd.Timedelta("1min")) for t in pair)
        for pair in table[["start", "end"]].itertuples(index=False, name=None)
    )
    return [(*a, *b) for a, b in zip(told, times, strict=True)]


def test_a_metric_that_nobody_has_is_missed_from_the_start():
    rules = [Rule("g", "Hot", "temperature > 80"), Rule("g", "Busy", "cpu > 0.8")]
    made = absences(rules, panel(cpu=([1] * 9, [1] * 9)))
    assert rows(made) == [("Hot", "temperature", "", 5, None)]
    assert list(made.columns) == list(COLUMNS)
    assert made["selector"].tolist() == ["temperature"]


def test_a_metric_that_an_entity_had_and_lost_is_missed_for_it():
    gone = [1, 1, None, None, None, None, None, None, 1, 1]
    made = absences([Rule("g", "Busy", "rate(cpu[5m]) > 1 or cpu > 2")], panel(cpu=(gone, [1] * 10)), wait="2min")
    assert rows(made) == [("Busy", "cpu", "a", 4, 8)]
    assert made["pending_since"].tolist() == [FIRST + pd.Timedelta("2min")]
    # What an entity never had is not applicable to it.
    assert absences([Rule("g", "Busy", "cpu > 2")], panel(cpu=([1] * 9, [None] * 9))).empty


def test_a_metric_that_comes_late_is_missed_until_then():
    late = [None] * 4 + [1] * 6
    made = absences([Rule("g", "Busy", "cpu > 2")], panel(cpu=(late, late)), wait="1min")
    assert rows(made) == [("Busy", "cpu", "", 1, 4)]


def test_matchers_count_and_what_is_asked_for_by_absent_does_not():
    table = panel(cpu=([1] * 9, [1] * 9))
    rules = [
        Rule("g", "C", 'cpu{entity="c"} > 1'),
        Rule("g", "Guard", "absent(gpu)"),
        Rule("g", "P", '{__name__=~"g.*"} > 1'),
    ]
    assert rows(absences(rules, table)) == [("C", "cpu", "", 5, None), ("P", "", "", 5, None)]
    assert absences(rules, table)["selector"].tolist() == ['cpu{entity="c"}', '{__name__=~"g.*"}']


def test_what_is_said_up_to_a_moment_is_made_of_nothing_after_it():
    gone = [1, None, None, 1, None, None, None, None, None, 1]
    table = panel(cpu=(gone, gone[::-1]), gpu=([None] * 5 + [1] * 5, [None] * 10))
    rules = [Rule("g", "A", "cpu > 1 and gpu > 1"), Rule("g", "B", "npu > 2")]
    whole = absences(rules, table, wait="1min")
    stamps = table.index.get_level_values("timestamp")
    for k in range(2, 10):
        until = FIRST + k * pd.Timedelta("1min")
        part = absences(rules, table[stamps <= until], wait="1min")
        expected = whole[whole["start"] <= until].reset_index(drop=True)
        expected["end"] = expected["end"].where(expected["end"] <= until)
        pd.testing.assert_frame_equal(part, expected)


def test_what_is_escaped_in_a_selector_is_no_hindrance():
    rules = [Rule("g", "A", r'cpu{entity=~"a\\.b"} > 1'), Rule("g", "B", r"""cpu{entity!="\"'"} > 1""")]
    assert rows(absences(rules, panel(cpu=([1] * 9, [1] * 9)))) == [("A", "cpu", "", 5, None)]


def test_no_rules_no_alarms():
    assert absences([], panel(cpu=([1], [1]))).empty
