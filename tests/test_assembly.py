"""All features together: nothing of them knows what comes later, or what was not in the training part."""

import numpy as np
import pandas as pd
import pytest
from test_events import happened
from test_rolling import panel

from stability.features import Features
from stability.schema import ContractError

KINDS = {
    "values": {},
    "rolling": {"rolling": [{"windows": ["5min", "1h"], "statistics": ["mean", "slope", "q50", "ewma"]}]},
    "some": {"rolling": [{"windows": ["5min"], "metrics": ["m1"]}]},
    "baselines": {"baselines": ["1h"]},
    "regimes": {"regimes": {"settings": ["m0"], "most": 3}},
    "scores": {"scores": [{"detector": "mean_shift_recursive"}, {"detector": "residual", "parts": True}]},
    "events": {"events": {"windows": ["1h"], "least": 1}},
    "templates": {"events": {"windows": ["1h"], "least": 1}, "templates": {}},
    "calendar": {"calendar": "Asia/Shanghai"},
    "neighbours": {"neighbours": {"features": ["m0__last__now"], "fresh": "1h"}},
    "counters": {"rolling": [{"windows": ["1h"], "metrics": ["requests_per_second"]}]},
}


def tables(seed=0):
    telemetry = panel(seed, sizes=(200, 150))
    telemetry["requests_total"] = np.arange(len(telemetry), dtype=float) ** 1.5
    events = happened(seed, count=200, entities=("web-0", "web-1"))
    messages = {"error": "no route to 10.0.0.1", "restart": "restarted after 12 s", "rare": "what was that"}
    logs = events.rename(columns={"name": "message"}).assign(level="INFO")
    logs["message"] = logs["message"].map(messages)
    states = events.iloc[::20].assign(name="version", value="1")
    edges = pd.MultiIndex.from_tuples([("web-0", "web-1")], names=["source", "target"])
    topology = pd.DataFrame({"kind": "calls"}, edges)
    return {"telemetry": telemetry, "logs": logs, "states": states, "topology": topology}


def until(every, moment):
    """What was known at a moment."""
    own = {"telemetry": every["telemetry"][every["telemetry"].index.get_level_values("timestamp") <= moment]}
    own |= {name: every[name][every[name]["timestamp"] <= moment] for name in ("logs", "states")}
    return own | {"topology": every["topology"]}


@pytest.mark.parametrize("kind", KINDS)
def test_no_feature_knows_what_comes_later(kind):
    every = tables()
    times = every["telemetry"].index.get_level_values("timestamp")
    made = Features(**KINDS[kind]).fit(until(every, times.sort_values()[200]))
    whole = made.transform(every)
    assert whole.index.equals(every["telemetry"].index)
    assert len(whole.columns) == len(set(whole.columns)) > 0
    assert whole.notna().any().all()
    for moment in times.sort_values()[[220, 300]]:
        part = made.transform(until(every, moment))
        pd.testing.assert_frame_equal(part, whole.loc[part.index])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_fitted_is_fitted_on_the_training_part_alone(kind):
    every = tables()
    moment = every["telemetry"].index.get_level_values("timestamp").sort_values()[200]
    first = Features(**KINDS[kind]).fit(until(every, moment))
    changed = {name: table.copy() for name, table in every.items()}
    late = changed["telemetry"].index.get_level_values("timestamp") > moment
    changed["telemetry"].loc[late, ["m0", "m1"]] *= -7
    changed["logs"].loc[changed["logs"]["timestamp"] > moment, "message"] = "quite another line"
    again = Features(**KINDS[kind]).fit(until(changed, moment))
    pd.testing.assert_frame_equal(first.transform(every), again.transform(every))
    assert first.fitted_on_["until"] == again.fitted_on_["until"] <= moment.isoformat()


def test_a_table_that_is_wanted_and_not_there_is_told():
    every = tables()
    without = {name: table for name, table in every.items() if name == "telemetry"}
    with pytest.raises(ContractError, match="topology"):
        Features(**KINDS["neighbours"]).fit(without)
    with pytest.raises(ContractError, match="logs"):
        Features(**KINDS["templates"]).fit(without)
    with pytest.raises(ContractError, match="telemetry"):
        Features().fit({})
    with pytest.raises(ContractError, match="m9"):
        Features(rolling=[{"windows": ["1h"], "metrics": ["m9"]}]).fit(every)
    with pytest.raises(ContractError, match="fit"):
        Features().transform(every)
