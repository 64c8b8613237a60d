"""Practice incidents: the fault is where they say, carried along the calls, and the rest of the window stays."""

import numpy as np
import pandas as pd
import pytest
from shops import AVAILABILITY, LATENCY, alarm, shop, slow, topology

from stability.localization import cases, drills, excess, profile_of, quiet_windows, usual_flows
from stability.schema import ContractError

NORMAL = shop(80, seed=2)
PROFILE = np.array([0.0, 0.0, 1.0, 0.9, 0.0])
MADE = drills(NORMAL, topology(), ["front"], [PROFILE], count=30, seed=1)


def test_the_same_seed_gives_the_same_and_another_gives_others():
    again = drills(NORMAL, topology(), ["front"], [PROFILE], count=30, seed=1)
    other = drills(NORMAL, topology(), ["front"], [PROFILE], count=30, seed=2)
    assert [d.root for d in again] == [d.root for d in MADE]
    for one, two in zip(again, MADE, strict=True):
        pd.testing.assert_frame_equal(one.case.telemetry, two.case.telemetry)
    assert [d.root for d in other] != [d.root for d in MADE]


def test_roots_are_the_target_and_what_it_depends_on():
    assert {d.root for d in MADE} == {"front", "cart", "search", "store"}
    assert {d.mode for d in MADE} == {"delay", "error"}
    assert all(d.case.metrics == ((LATENCY,) if d.mode == "delay" else (AVAILABILITY,)) for d in MADE)


def test_only_the_alarms_flow_changes_and_only_in_the_rows_of_the_profile():
    for drill in MADE:
        stamps = drill.case.telemetry.loc["front"].index
        before = NORMAL[NORMAL.index.isin(stamps, "timestamp")]
        same = [c for c in before if c not in drill.case.metrics]
        pd.testing.assert_frame_equal(drill.case.telemetry[same], before[same])
        quiet = drill.case.telemetry.index.isin(stamps[[0, 1, 4]], "timestamp")
        np.testing.assert_allclose(drill.case.telemetry[quiet], before[quiet])


def test_the_trouble_is_worst_at_the_root_and_reaches_the_front():
    usual = usual_flows(NORMAL)
    for drill in [d for d in MADE if d.mode == "delay"]:
        found = excess(drill.case.telemetry, "seconds", "front", topology(), usual, stretch=(2, 4))
        own = dict(zip(found.entities, found.own, strict=True))
        assert max(own, key=own.get) == drill.root
        assert found.total[list(found.entities).index("front")] > 0


def test_a_profile_is_the_share_of_the_strongest_row():
    panel = slow(shop(5, seed=3), "cart", 1.0, (2, 4))
    [case] = cases({"telemetry": panel}, alarm("a", panel.index.get_level_values(1).max()), history="1h")
    found = profile_of(case, "cart")
    assert found.max() == 1
    assert (found[[0, 1, 4]] < 0.1).all()
    [other] = cases({"telemetry": panel}, alarm("a", case.at, "service_requests"), history="1h")
    with pytest.raises(ContractError, match="one of"):
        profile_of(other, "cart")


def test_quiet_windows_cover_normal_time_once_for_each_metric():
    found = quiet_windows(NORMAL, topology(), ["front"], 5, every=5)
    assert len(found) == 2 * 80 // 5
    assert len({case.alarm_id for case in found}) == len(found)
    rows = pd.concat([case.telemetry for case in found if case.metrics == (LATENCY,)]).sort_index()
    pd.testing.assert_frame_equal(rows, NORMAL)
