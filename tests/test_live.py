"""Pictures of alarms that are raised now are those that a whole recording gives at the same moments."""

import numpy as np
import pandas as pd
import pytest

from stability.localization import alarms_at, live_pictures, usual_moves
from stability.localization.cases import cases
from stability.localization.pictures import HIGHER, MUCH, USUAL, picture
from stability.rules import firings, read_rules
from stability.schema import ContractError, validate
from stability.telemetry import rate

T = pd.Timestamp("2026-01-01", tz="UTC")
ROWS = 900
RULE = """
groups:
  - name: errors
    rules:
      - alert: ManyErrors
        expr: rate(errors_total[30s]) > 3
        labels: {failure_mode: bad_answers, severity: page, component: service}
"""


def at(second: float) -> pd.Timestamp:
    return T + pd.Timedelta(seconds=second)


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    parts = []
    for entity in ("gateway", "model-a", "model-b"):
        errors = rng.poisson(0.5, ROWS)
        errors[-20:] += 40 * (entity == "model-a")
        threads = 20.0 + rng.integers(0, 3, ROWS)
        parts.append(
            pd.DataFrame(
                {
                    "timestamp": pd.date_range(T, periods=ROWS, freq="1s"),
                    "entity": entity,
                    "errors_total": errors.cumsum().astype(float),
                    "process_threads": threads,
                }
            )
        )
    calls = pd.MultiIndex.from_tuples([("gateway", "model-a"), ("gateway", "model-b")], names=["source", "target"])
    lines = {
        "timestamp": [at(10), at(ROWS - 4)],
        "entity": "model-a",
        "level": "error",
        "message": "no free connection",
    }
    return {
        "telemetry": validate(pd.concat(parts), "telemetry"),
        "topology": pd.DataFrame({"kind": "calls"}, index=calls),
        "logs": validate(pd.DataFrame(lines), "logs"),
    }


@pytest.fixture(scope="module")
def usual(tables):
    return usual_moves(rate(tables["telemetry"]), [at(s) for s in range(150, 850, 10)])


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    path = tmp_path_factory.mktemp("rules") / "errors.yaml"
    path.write_text(RULE)
    return read_rules(path)


ALARM = alarms_at(pd.Series([at(ROWS - 1)], index=["now"]), "users", "watch")


def test_the_last_minutes_say_what_the_whole_recording_says(tables, usual, rules):
    panel = rate(tables["telemetry"])
    known = tables | {"telemetry": panel, "firings": firings(rules, tables["telemetry"], step="1s")}
    who = pd.MultiIndex.from_product([usual.level.index, [""]], names=["entity", "metric"])
    [case] = cases(known, ALARM, history="25min", candidates=who)
    stamps = tables["telemetry"].index.get_level_values("timestamp")
    near = tables | {"telemetry": tables["telemetry"][stamps > at(ROWS - 600)]}
    live = live_pictures(near, ALARM, usual, rules=rules, history="9min")
    pd.testing.assert_frame_equal(live["now"], picture(case, usual))


def test_what_is_wrong_is_seen(tables, usual, rules):
    one = live_pictures(tables, ALARM, usual, rules=rules)["now"]
    assert one.loc["model-a", "change.errors_per_second"] == MUCH
    assert one.loc["model-a", "rule.ManyErrors"] == one.loc["model-a", "logs.writes: no free connection"] == HIGHER
    assert one.loc["model-b"].drop(["topology.peers:up"], errors="ignore").eq(USUAL).mean() > 0.5


def test_nothing_later_than_now_is_seen(tables, usual, rules):
    early = alarms_at(pd.Series([at(600)], index=["early"]), "users", "watch")
    one = live_pictures(tables, early, usual, rules=rules)["early"]
    assert "rule.ManyErrors" not in one
    later = live_pictures(tables, early, usual, rules=rules, now=at(ROWS - 1))["early"]
    assert later.loc["model-a", "rule.ManyErrors"] == HIGHER


def test_firings_of_the_watch_are_taken_as_they_are(tables, usual, rules):
    fired = firings(rules, tables["telemetry"], step="1s").assign(rule="Another")
    one = live_pictures(tables | {"firings": fired}, ALARM, usual, rules=rules)["now"]
    assert "rule.Another" in one
    assert "rule.ManyErrors" not in one


def test_no_alarm_no_picture_and_no_telemetry_an_error(tables, usual):
    assert live_pictures(tables, ALARM.iloc[:0], usual) == {}
    with pytest.raises(ContractError, match="telemetry"):
        live_pictures({}, ALARM, usual)
    late = alarms_at(pd.Series([at(ROWS + 7200)], index=["late"]), "users", "watch")
    with pytest.raises(ContractError, match="minutes before the alarm"):
        live_pictures(tables, late, usual)
