"""Alerts: pending, firing, kept firing, labelled, at the very evaluations at which promtool has them."""

import subprocess

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stability.rules.alerts import COLUMNS, alert_episodes, firings
from stability.rules.durations import duration, duration_text
from stability.rules.files import Rule
from stability.rules.vectors import Vector
from stability.schema import ContractError

MINUTE = pd.Timedelta("1min")
ROWS = 40


def rule(expr="x > 2", wait=0, keep=0, **labels):
    return Rule("g", "A", expr, wait * MINUTE, keep * MINUTE, labels)


def panel(**entities):
    """A panel at one minute of a metric x; None is missing."""
    frames = {
        entity: pd.DataFrame(
            {"x": [np.nan if v is None else float(v) for v in values]},
            index=pd.date_range("2026-01-01", periods=len(values), freq="1min", tz="UTC", name="timestamp"),
        )
        for entity, values in entities.items()
    }
    return pd.concat(frames, names=["entity", "timestamp"])


def minutes(table):
    """(start, end) of each episode, in minutes from the first row; None = still firing."""
    first = pd.Timestamp("2026-01-01", tz="UTC")
    return [
        tuple(None if pd.isna(t) else int((t - first) / MINUTE) for t in (row.pending_since, row.start, row.end))
        for row in table.itertuples()
    ]


def test_for_and_keep_firing_for():
    low, high = 0, 3
    values = [low, high, high, high, low, high, low, low, low, high]
    assert minutes(firings([rule()], panel(a=values))) == [(1, 1, 4), (5, 5, 6), (9, 9, None)]
    assert minutes(firings([rule(wait=2)], panel(a=values))) == [(1, 3, 4)]
    assert minutes(firings([rule(wait=3)], panel(a=values))) == []
    # Kept for two minutes after minute 4: still firing at 5, where the expression is back; then until 6 + 2.
    assert minutes(firings([rule(keep=2)], panel(a=values))) == [(1, 1, 8), (9, 9, None)]
    assert minutes(firings([rule(wait=2, keep=2)], panel(a=values))) == [(1, 3, 8)]
    assert minutes(firings([rule(wait=2, keep=9)], panel(a=values))) == [(1, 3, None)]


def test_what_the_table_holds():
    made = firings(
        [rule("x > 2", wait=1, severity="page", component="{{ $labels.entity }}", failure_mode="overload", team="t")],
        panel(a=[3, 4, 5, 0], b=[0, 0, 9, 9]),
    )
    assert list(made.columns) == list(COLUMNS)
    assert made["entity"].tolist() == ["a", "b"]
    assert made["value"].tolist() == [4, 9]
    assert made["component"].tolist() == ["a", "b"]
    assert made["failure_mode"].tolist() == ["overload"] * 2
    assert made["labels"][0] == {
        "entity": "a",
        "severity": "page",
        "component": "a",
        "failure_mode": "overload",
        "team": "t",
    }
    assert {str(made[name].dtype) for name in ("pending_since", "start", "end")} == {"datetime64[us, UTC]"}
    nothing = firings([rule("x > 99")], panel(a=[1]))
    assert list(nothing.dtypes) == list(made.dtypes)


def test_the_entity_is_told_by_its_labels_and_empty_where_they_are_aggregated_away():
    table = panel(**{"web/a": [3], "web/b": [3], "db/c": [3]})
    for expr, entities in {
        "x > 2": ["db/c", "web/a", "web/b"],
        "sum(x) > 2": [""],
        "sum by (job) (x) > 2": ["", ""],
        "sum by (job, instance) (x) > 2": ["db/c", "web/a", "web/b"],
        'absent(y{job="web",instance="b"})': ["web/b"],
        "absent(y)": [""],
    }.items():
        assert firings([rule(expr)], table, labels="{job}/{instance}")["entity"].tolist() == entities, expr
    assert firings([rule("sum(x) > 2", entity="a")], panel(a=[3]))["entity"].tolist() == ["a"]


def test_what_prometheus_would_not_evaluate_is_refused_with_the_rules_place():
    placed = Rule("g", "A", '{__name__=~"x|y"} > 0', file="a.yaml", line=3)
    table = panel(a=[3]).assign(y=1.0)
    with pytest.raises(ContractError, match=r"^a\.yaml, row 3: .*labels tell apart"):
        firings([placed], table)
    with pytest.raises(ContractError, match=r"^a\.yaml, row 3: .*topk"):
        firings([Rule("g", "A", "topk(1, x)", file="a.yaml", line=3)], table)
    with pytest.raises(ContractError, match="put it into an annotation"):
        firings([rule(component="{{ $value }}")], table)


def test_an_empty_label_goes():
    assert firings([rule(entity="")], panel(a=[3]))["labels"][0] == {}


def naive_episodes(present, times, hold, keep):
    """Prometheus's own state machine (rules/alerting.go), one evaluation after the other."""
    state, active, kept, found = "inactive", None, None, []
    for now, there in zip(times, present, strict=True):
        if there:
            kept = None
            if state == "inactive":
                state, active = "pending", now
        else:
            if state == "firing" and keep:
                kept = now if kept is None else kept
                if now - kept < keep:
                    continue
            if state == "firing":
                found[-1][2] = now
            state, kept = "inactive", None
        if state == "pending" and now - active >= hold:
            state = "firing"
            found.append([active, now, None])
    return found


@given(
    present=st.lists(st.booleans(), min_size=1, max_size=40),
    gaps=st.lists(st.sampled_from([1, 1, 1, 2, 5]), min_size=40, max_size=40),
    hold=st.integers(0, 6),
    keep=st.integers(0, 6),
)
def test_episodes_are_those_of_the_state_machine(present, gaps, hold, keep):
    times = np.cumsum(gaps[: len(present)]).astype(np.int64) * 60_000_000
    vector = Vector([()], np.zeros((1, len(times))), np.array([present]))
    found = alert_episodes(rule(wait=hold, keep=keep), vector, times)
    expected = naive_episodes(present, times.tolist(), hold * 60_000_000, keep * 60_000_000)
    assert [[one["pending_since"], one["start"], one["end"]] for one in found] == expected


RULES = [
    ("x > 2", "0s", "0s"),
    ("x > 2", "3m", "0s"),
    ("x > 2", "2m", "3m"),
    ("x > 2", "0s", "4m"),
    ("sum by (job) (x) > 5", "1m", "1m"),
    ("min_over_time(x[3m]) > 2 unless on() x{entity='b'} == 4", "1m", "2m"),
    ("absent(x{entity='a'})", "2m", "1m"),
]


@pytest.mark.parametrize("seed", range(3))
def test_firing_times_are_those_of_promtool(seed, tmp_path, require):
    """Every alert at every minute, by `promtool test rules`: it knows the time, and a server would have to wait."""
    promtool, folder = require("promtool", package="prometheus"), tmp_path
    rng = np.random.default_rng(seed)
    a, b = (rng.choice([None, 0, 3, 3, 4], ROWS).repeat(rng.integers(1, 4, ROWS))[:ROWS].tolist() for _ in "ab")
    rules = [
        Rule("g", f"R{k}", expr, duration(wait), duration(keep), {"severity": "page"})
        for k, (expr, wait, keep) in enumerate(RULES)
    ]
    made = firings(rules, panel(a=a, b=b), step=60)
    held = [
        {
            "alert": one.alert,
            "expr": one.expr,
            "for": duration_text(one.wait),
            "keep_firing_for": duration_text(one.keep_firing_for),
            "labels": one.labels,
        }
        for one in rules
    ]
    (folder / "r.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": held}]}))
    first = pd.Timestamp("2026-01-01", tz="UTC")
    checks = []
    for k in range(ROWS):
        now = first + k * MINUTE
        on = made[(made["start"] <= now) & ~(made["end"] <= now)]
        for one in rules:
            alerts = [{"exp_labels": labels} for labels in on.loc[on["rule"] == one.alert, "labels"]]
            checks.append({"eval_time": f"{k}m", "alertname": one.alert, "exp_alerts": alerts})
    series = [
        {"series": f'x{{entity="{name}"}}', "values": " ".join("stale" if v is None else str(v) for v in column)}
        for name, column in (("a", a), ("b", b))
    ]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": checks}
    (folder / "t.yaml").write_text(yaml.safe_dump({"rule_files": ["r.yaml"], "tests": [test]}))
    done = subprocess.run([promtool, "test", "rules", folder / "t.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_episodes_up_to_a_moment_are_made_of_nothing_after_it():
    rng = np.random.default_rng(3)
    table = panel(a=rng.integers(0, 5, 200), b=rng.integers(0, 5, 200))
    rules = [rule(expr, wait, keep) for expr, wait, keep in (("x > 2", 1, 3), ("avg_over_time(x[5m]) > 2.01", 2, 0))]
    whole = firings(rules, table, step=60)
    stamps = table.index.get_level_values("timestamp")
    for k in (50, 120, 199):
        until = stamps.min() + k * MINUTE
        part = firings(rules, table[stamps <= until], step=60)
        expected = whole[whole["start"] <= until].reset_index(drop=True)
        expected["end"] = expected["end"].where(expected["end"] <= until)
        pd.testing.assert_frame_equal(part, expected)
        assert len(part) > 3


def test_without_a_step_the_rules_are_evaluated_at_the_panels_own():
    assert minutes(firings([rule(wait=2)], panel(a=[3, 3, 3, 3], b=[0, 0, 0, 3]))) == [(0, 2, None)]
