"""What a watch is built of: the ring, the log of rows, the journal, checkpoints; and rules at one moment."""

import ast
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from watching import START

from stability import rules
from stability.monitor.alerts import Alerts
from stability.monitor.checkpoints import Checkpoints
from stability.monitor.instant import Instant, reach_of
from stability.monitor.journal import Journal
from stability.monitor.ring import Ring, Rows
from stability.monitor.rowlog import RowLog
from stability.schema import ContractError, home, read_json_lines

SECOND = 1_000_000
FIRST = START.value // 1000


def rows(k, names=("a", "b"), metrics=2):
    values = np.arange(len(names) * metrics, dtype=float).reshape(len(names), metrics) + 10 * k
    return Rows(FIRST + 15 * SECOND * k, tuple(names), values)


# ---- ring ------------------------------------------------------------------------------------------------------------


def test_a_ring_holds_the_newest_rows_of_all_who_ever_came():
    ring = Ring(["x", "y"], 4)
    for k in range(11):
        ring.add(rows(k, ("a", "b", "late") if k > 5 else ("a", "b")))
    panel = ring.panel()
    assert ring.times.tolist() == [FIRST + 15 * SECOND * k for k in range(7, 11)]
    assert panel.loc["a", "x"].tolist() == [70.0, 80.0, 90.0, 100.0]
    assert panel.loc["late", "y"].tolist() == [75.0, 85.0, 95.0, 105.0]
    assert ring.panel(FIRST + 15 * SECOND * 9, ["b", "nobody"])["x"].tolist() == [92.0, 102.0]
    with pytest.raises(ContractError, match="a moment after"):
        ring.add(rows(3))
    with pytest.raises(ContractError, match="one row an entity"):
        ring.add(rows(12, ("a", "a")))


# ---- rows on disk ----------------------------------------------------------------------------------------------------


def test_rows_come_back_as_they_went_also_after_a_cut(tmp_path):
    log = RowLog(tmp_path, ["x", "y"], moments=4)
    for k in range(10):
        log.append(rows(k, ("a", "b") if k != 6 else ("b", "c")))
    log.close()
    last = sorted(tmp_path.glob("*.log"))[-1]
    last.write_bytes(last.read_bytes()[:-5])
    again = list(RowLog(tmp_path, ["x", "y"], moments=4).read(FIRST + 15 * SECOND * 3))
    assert [one.moment for one in again] == [FIRST + 15 * SECOND * k for k in range(3, 9)]
    assert again[3].entities == ("b", "c")
    np.testing.assert_array_equal(again[0].values, rows(3).values)
    other = RowLog(tmp_path, ["x", "y"])
    other.forget(FIRST + 15 * SECOND * 8)
    assert [one.moment for one in other.read(0)] == [FIRST + 15 * SECOND * 8]
    with pytest.raises(ContractError, match="another watch"):
        list(RowLog(tmp_path, ["x", "z"]).read(0))


def test_rows_that_were_damaged_are_refused(tmp_path):
    log = RowLog(tmp_path, ["x", "y"], moments=2)
    for k in range(4):
        log.append(rows(k))
    log.close()
    first = min(tmp_path.glob("*.log"))
    content = bytearray(first.read_bytes())
    content[60] ^= 1
    first.write_bytes(content)
    with pytest.raises(ContractError, match="damaged"):
        list(RowLog(tmp_path, ["x", "y"]).read(0))


# ---- journal ---------------------------------------------------------------------------------------------------------


def test_a_journal_says_each_thing_once_and_mends_its_end(tmp_path):
    journal = Journal(tmp_path, since=0)
    assert journal.once("a", 5, kind="alarm", score=float("nan"), at=START)
    assert not journal.once("a", 5, kind="alarm")
    journal.close()
    path = journal.path
    path.write_bytes(path.read_bytes() + b'{"key": "b", "mom')
    again = Journal(tmp_path, since=0)
    assert again.has("a")
    assert again.once("b", 6)
    lines = list(read_json_lines(path))
    assert [line["key"] for line in lines] == ["a", "b"]
    assert lines[0]["score"] is None
    again.forget(5)
    assert not again.has("a")
    assert again.has("b")
    again.close()


def test_a_journal_goes_on_in_new_files_and_lets_old_ones_go(tmp_path):
    journal = Journal(tmp_path, largest=200, files=2)
    for k in range(30):
        journal.once(f"key-{k}", k, text="x" * 50)
    assert len(list(tmp_path.iterdir())) > 5
    journal.forget(20)
    left = [line["moment"] for path in sorted(tmp_path.iterdir()) for line in read_json_lines(path)]
    assert set(range(21, 30)) <= set(left)
    assert 0 not in left
    journal.close()


# ---- checkpoints -----------------------------------------------------------------------------------------------------


def test_the_newest_whole_checkpoint_is_the_one(tmp_path):
    points = Checkpoints(tmp_path)
    assert points.newest() is None
    for moment, oldest in ((1, 1), (2, 1), (3, 2)):  # rows are kept back to the oldest that may be gone on with
        assert points.write(moment, {"n": moment}, lambda folder: (folder / "beside").write_text("x")) == oldest
    assert sorted(path.name[-1] for path in tmp_path.iterdir()) == ["2", "3"]
    assert points.newest().said == {"n": 3}
    (tmp_path / f"at-{3:016}" / "said.json").write_text('{"n": ')
    assert points.newest().moment == 2
    (tmp_path / f"at-{2:016}" / "said.json").unlink()
    with pytest.raises(ContractError, match="damaged"):
        points.newest()


# ---- other rooms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((home() / "stability" / "monitor").glob("*.py")), ids=lambda path: path.name)
def test_a_watch_reaches_into_nothing_private_of_other_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not [one.name for one in node.names if one.name.startswith("_")], node.lineno
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            assert isinstance(node.value, ast.Name), node.lineno
            assert node.value.id == "self", node.lineno


# ---- rules at one moment ---------------------------------------------------------------------------------------------

METRICS = ("http_server_requests_total", "http_server_errors_total", "up", "queue_depth", "process_open_fds")
# Thresholds of what is rounded lie where no value does: 1e-17 above 0 in one order of adding and below in another is no
# difference that a rule should hang on.
EXPRESSIONS = (
    "rate(http_server_errors_total[1m]) / rate(http_server_requests_total[1m]) > 0.1013",
    "sum by (zone) (rate(http_server_requests_total[2m])) > bool 3",
    "queue_depth > on(zone) group_left() avg by (zone) (queue_depth)",
    "queue_depth and on(entity) up == 0 or process_open_fds > 5",
    "queue_depth unless up == 1",
    "-queue_depth + 2 * process_open_fds offset 30s",
    "max_over_time(queue_depth[1m]) - min_over_time(queue_depth[1m]) > 2",
    "deriv(queue_depth[2m]) > 0.0013 or stddev_over_time(queue_depth[1m]) > 1.0013",
    "predict_linear(process_open_fds[2m], 60) > 8.0013",
    "quantile_over_time(0.5, queue_depth[2m]) == 3",
    "absent(up == 1) or absent_over_time(queue_depth[1m])",
    "count by (zone) (up == 1) < count by (zone) (up)",
    "stddev(queue_depth) > 1.0013 or quantile(0.9, queue_depth) > 5.0013",
    "increase(http_server_errors_total[1m]) > 2 or delta(queue_depth[1m]) < 0",
    'max by (zone) ({__name__=~"queue_depth|process_open_fds", zone!="z9"}) > 4',
    "avg_over_time(queue_depth[1m]) > sum_over_time(up[1m]) or count_over_time(up[1m]) > 3",
)


@st.composite
def panels(draw):
    size, steps = draw(st.integers(1, 4)), draw(st.integers(3, 14))
    numbers = draw(st.lists(st.integers(-1, 9), min_size=size * steps * 5, max_size=size * steps * 5))
    values = np.array(numbers, dtype=float).reshape(size, steps, 5)
    values[values < 0] = np.nan
    there = np.array(draw(st.lists(st.integers(0, 9), min_size=size * steps, max_size=size * steps))) > 0
    stamps = pd.date_range(START, periods=steps, freq="15s", unit="us")
    index = pd.MultiIndex.from_product([[f"e{k}" for k in range(size)], stamps], names=["entity", "timestamp"])
    return pd.DataFrame(values.reshape(-1, 5), index, METRICS)[there.reshape(-1)]


def live(panel, ring):
    """The rows of a panel, moment by moment."""
    for moment, part in panel.groupby(level="timestamp"):
        one = Rows(moment.value // 1000, tuple(part.index.get_level_values("entity")), part.to_numpy())
        ring.add(one)
        yield one


@settings(max_examples=settings().max_examples // 4)
@given(panels())
def test_each_moment_is_that_of_the_batch(panel):
    if panel.empty:
        return
    labels = {f"e{k}": {"entity": f"e{k}", "zone": f"z{k % 2}"} for k in range(4)}
    ring, stamps = Ring(METRICS, 100), panel.index.get_level_values("timestamp")
    instant, found = Instant(ring, labels), {}
    for one in live(panel, ring):
        instant.begin(one.moment)
        for expr in EXPRESSIONS:
            vector = instant.vector(expr)
            for k in np.flatnonzero(vector.present[:, 0]):
                found[expr, one.moment, frozenset(vector.labels[k])] = vector.values[k, 0]
    for expr in EXPRESSIONS:
        table = rules.evaluate(expr, panel, step="15s", labels=labels)
        table = table[table.index.isin(stamps)]
        names = table.columns.names
        expected = {}
        for labelled, column in table.items():
            pairs = zip(names, labelled if isinstance(labelled, tuple) else (labelled,), strict=True)
            key = frozenset((name, text) for name, text in pairs if text)
            expected |= {(expr, at.value // 1000, key): value for at, value in column.dropna().items()}
        mine = {key: value for key, value in found.items() if key[0] == expr and not np.isnan(value)}
        assert mine.keys() == expected.keys(), expr
        for key, value in expected.items():
            assert mine[key] == pytest.approx(value, rel=1e-9, abs=1e-12), key


def test_all_rules_of_the_library_fire_as_in_the_batch():
    rng = np.random.default_rng(0)
    read = rules.read_rules(home() / "data" / "rules")
    named = {name for rule in read for name in rules.metrics_of(rule.expr)} | {"up"}
    metrics = sorted(name for name in named if ":" not in name)  # which a panel does not hold
    stamps = pd.date_range(START, periods=60, freq="1min", unit="us")
    index = pd.MultiIndex.from_product([["a", "b", "c"], stamps], names=["entity", "timestamp"])
    scale = 10.0 ** rng.integers(-2, 4, len(metrics))
    values = rng.gamma(1.0, 1.0, (len(index), len(metrics))) * scale
    counters = [name.endswith("_total") for name in metrics]
    values[:, counters] = values[:, counters].cumsum(axis=0)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, rng.random(len(metrics)) < 0.3] = np.nan
    panel = pd.DataFrame(values, index, metrics)
    ring = Ring(metrics, 200)
    alerts, fired = Alerts(read, ring, reach=200 * 60 * SECOND), {}
    for one in live(panel, ring):
        for firing in alerts.step(one.moment):
            fired[firing.key] = firing
    assert len(alerts.rules) > 120
    expected = rules.firings(alerts.rules, panel, step="1min")
    assert len(expected) > 50
    mine = {(one.rule.alert, one.entity, one.start, one.end) for one in fired.values()}
    theirs = {
        (row.rule, row.entity, row.start.value // 1000, None if pd.isna(row.end) else row.end.value // 1000)
        for row in expected.itertuples()
    }
    assert mine == theirs
    again = Alerts(read, ring, reach=200 * 60 * SECOND)
    again.restore(json.loads(json.dumps(alerts.said())), alerts.instant.entities)
    assert again.firing.keys() == alerts.firing.keys()


def test_how_far_rules_look_back():
    assert reach_of("rate(up[5m] offset 1h) > 0 or up offset 2h") == 7200 * SECOND
