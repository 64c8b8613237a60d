"""How hard a recording is: the rule of the data card, on panels whose answer is known."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from workbenches import CHECKOUT

from stability.schema import ContractError, read_table, validate
from stability.testbed.card import (
    SHOWN,
    clean_seconds,
    data_card,
    difficulty,
    eventful_day,
    false_alarms,
    plot_day,
    three_sigma,
)

BEGIN = pd.Timestamp("2026-01-01", tz="UTC")


def panel(seconds, **changes):
    """Two entities with a gauge and a counter; the gauge of `a` jumps by 10 deviations where `changes` say."""
    rng = np.random.default_rng(0)
    frames = {}
    for entity in ("a", "b"):
        gauge = rng.standard_normal(seconds)
        if entity == "a":
            for start, end in changes.get("jumps", []):
                gauge[start:end] += 10
        counter = np.cumsum(5 + rng.standard_normal(seconds) * 0.5)
        stamps = pd.date_range(BEGIN, periods=seconds, freq="s").as_unit("us")
        frames[entity] = pd.DataFrame({"load": gauge, "http_server_requests_total": counter}, index=stamps)
    return validate(pd.concat(frames, names=["entity", "timestamp"]), "telemetry")


def fault(name, start, impact, end, mode="memory_leak"):
    moments = {"cause_start": start, "impact_start": impact, "cause_end": end, "recovered_at": end}
    row = {key: pd.NaT if at is None else BEGIN + pd.Timedelta(seconds=at) for key, at in moments.items()}
    return {"fault_id": name, "entity": "a", "root_entity": "a", "failure_mode": mode, **row}


FAULTS = validate(
    pd.DataFrame(
        [
            fault("f1", 100, 130, 160),  # shows at 110, before it is felt
            fault("f2", 300, 302, 360),  # felt before it shows at 320
            fault("f3", 500, None, 560, mode="disk_full"),  # neither shows nor hurts
        ]
    ),
    "faults",
)
JUMPS = [(110, 160), (320, 360)]


def test_the_rule_speaks_after_three_seconds_and_never_of_the_future():
    history, seen = panel(2000), panel(600, jumps=JUMPS)
    marks = three_sigma(seen, history)
    own = marks.loc["a", "load"].to_numpy()
    assert own[112:160].all()
    assert not own[:110].any()
    cut = three_sigma(seen[seen.index.get_level_values("timestamp") < BEGIN + pd.Timedelta(seconds=130)], history)
    assert cut.loc["a"].equals(marks.loc["a"].iloc[:130])


def test_difficulty_says_what_is_found_and_what_shows_before_it_is_felt():
    table = difficulty(panel(600, jumps=JUMPS), FAULTS, panel(2000))
    leak, disk = table.loc["memory_leak"], table.loc["disk_full"]
    assert (leak["faults"], leak["felt"], leak["found"], leak["early"]) == (2, 2, 1.0, 0.5)
    assert leak["seconds"] == pytest.approx((30 + 2) / 2)
    assert (disk["faults"], disk["felt"], disk["found"]) == (1, 0, 0.0)
    assert np.isnan(disk["early"])


def test_alarms_outside_of_faults_are_false():
    seen = panel(600, jumps=[*JUMPS, (450, 470)])
    clean = clean_seconds(seen, FAULTS)
    assert (~clean).sum() == 2 * 3 * 71  # both entities, three faults, from cause to ten seconds after it
    alarms = false_alarms(seen, FAULTS, panel(2000)) * clean.sum() / 3600
    assert alarms == pytest.approx(1.0)


def test_the_card_counts_the_recordings_and_judges_those_after_the_first():
    event = {"entity": "a", "start": BEGIN + pd.Timedelta("11min"), "end": BEGIN + pd.Timedelta("12min")}
    benign = validate(pd.DataFrame([{"event_id": "b1", "kind": "cache_warm_up", **event}]), "benign")
    train = {"telemetry": panel(2000), "faults": FAULTS, "benign": benign}
    test = {"telemetry": panel(600, jumps=JUMPS), "faults": FAULTS, "benign": benign.iloc[:0]}
    lines = data_card({"1": train, "2": test}).splitlines()
    assert [line.split(" | ")[:4] for line in lines[2:4]] == [["| 1", "3", "1", "90.8 %"], ["| 2", "3", "0", "69.5 %"]]
    assert "| memory_leak | 2 | 2 | 100 % | 50 % | 16 s |" in lines
    assert "| disk_full | 1 | 0 | 0 % | - | - |" in lines
    with pytest.raises(ContractError, match="two recordings or more"):
        data_card({"1": train})


def test_the_card_of_the_recordings_that_ship_says_what_is_in_them():
    folder = CHECKOUT / "data" / "testbed"
    recordings = {
        number.name: {name: read_table(number / f"{name}.parquet", name) for name in ("telemetry", "faults", "benign")}
        for number in sorted(folder.iterdir())
        if number.is_dir()
    }
    assert len(recordings) >= 2
    assert data_card(recordings) in (CHECKOUT / "data" / "README.md").read_text(encoding="utf-8")


def test_the_day_with_most_kinds_of_events_is_drawn_with_all_their_names():
    stamps = pd.date_range(BEGIN, periods=1800, freq="s").as_unit("us")
    frames = {
        entity: pd.DataFrame({m: np.linspace(0, 1, len(stamps)) for e, m in SHOWN if e == entity}, index=stamps)
        for entity, _ in SHOWN
    }
    telemetry = validate(pd.concat(frames, names=["entity", "timestamp"]), "telemetry")
    event = {"entity": "a", "start": BEGIN + pd.Timedelta("11min"), "end": BEGIN + pd.Timedelta("12min")}
    benign = validate(pd.DataFrame([{"event_id": "b1", "kind": "cache_warm_up", **event}]), "benign")
    faults = pd.DataFrame([fault("f1", 100, 130, 160), fault("f2", 900, 930, 960), fault("f3", 1300, 1310, 1330)])
    tables = {"telemetry": telemetry, "faults": validate(faults, "faults"), "benign": benign}
    start = eventful_day(tables)
    assert start == BEGIN + pd.Timedelta("10min")
    axes = plot_day(tables, start)
    assert [ax.get_title() for ax in axes] == [f"{metric} of {entity}" for entity, metric in SHOWN]
    assert {text.get_text() for text in axes[0].texts} == {"memory leak", "cache warm up"}
    assert all(ax.get_ylabel() for ax in axes)
    plt.close("all")
