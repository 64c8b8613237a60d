"""Each failure mode moves the metrics that it should and is undone in time; look-alikes hurt nobody (`make soak`)."""

import json
import time

import numpy as np
import pandas as pd
import pytest

from stability.telemetry import is_counter
from stability.testbed import control
from stability.testbed.modes import BENIGN, FAILURE_MODES
from stability.testbed.panel import read_panel
from stability.testbed.scraping import NAME
from stability.testbed.service_level import ServiceLevel, bad_seconds, impact, read_load

pytestmark = pytest.mark.soak

BEFORE, LONG, UNDONE, AFTER = (
    45,
    42,
    10,
    12,
)  # s: what is usual, the fault, the time to be undone, and what is looked at
EFFECT = 4  # deviations of the seconds before by which the strongest part of the fault differs
BACK = 0.4  # of the way from the usual to the strongest part that may be left when it is undone
#: What shows a mode that its own entity's root metrics do not show.
ELSEWHERE = {"stale_features": [("model-a", "model_prediction_quality_ratio")]}


@pytest.fixture(scope="module")
def testbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("testbed") / "home"
    status = control.up(folder)
    try:
        control.ask(folder, "/load", rate=60, seed=3)
        time.sleep(20)
        yield folder, f"http://127.0.0.1:{status['processes'][NAME]['port']}"
    finally:
        control.down(folder)


def carried_out(folder, mode, entity, seconds, intensity=1.0):
    """Wait for quiet seconds, let it happen, wait until it must be undone; what was written down of it."""
    time.sleep(BEFORE)
    told = {"mode": mode, "entity": entity, "seconds": seconds, "intensity": intensity, "seed": 1}
    control.ask(folder, "/inject", told)
    time.sleep(seconds + UNDONE + AFTER)
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()][-1]


def moments(event):
    return [pd.Timestamp(round(event[name] * 1e6), unit="us", tz="UTC") for name in ("cause_start", "cause_end")]


@pytest.mark.parametrize("mode", FAILURE_MODES)
def test_a_fault_shows_hurts_and_is_undone(testbed, mode):
    folder, url = testbed
    kind = FAILURE_MODES[mode]
    event = carried_out(folder, mode, kind.on[0], LONG)
    start, end = moments(event)
    panel = read_panel(url, start - pd.Timedelta(seconds=BEFORE), end + pd.Timedelta(seconds=UNDONE + AFTER - 2))
    shown = {}
    for entity, metric in ELSEWHERE.get(mode) or [(kind.on[0], metric) for metric in kind.root_metrics]:
        values = panel.loc[entity, metric]
        values = values.diff().clip(lower=0).rolling(3).mean() if is_counter(metric) else values.rolling(3).median()
        before, during = values[: start - pd.Timedelta(seconds=1)], values[start:end]
        after = values[end + pd.Timedelta(seconds=UNDONE) :]
        spread = max(before.std(), abs(before.mean()) * 0.02, 1e-9)
        strongest = during[(during - before.mean()).abs().idxmax()]
        effect = (strongest - before.mean()) / spread
        left = abs(after.median() - before.mean()) / max(abs(strongest - before.mean()), 1e-12)
        shown[f"{entity} {metric}"] = (round(float(effect), 1), round(float(left), 2))
    print(mode, shown)
    assert any(abs(effect) > EFFECT for effect, _ in shown.values()), shown
    assert all(left < BACK for effect, left in shown.values() if abs(effect) > EFFECT), shown
    judged = bad_seconds(read_load(folder / "load.jsonl"), ServiceLevel())
    felt, recovered = impact(judged, start, end, kind.on[0] if kind.on[0].startswith("model") else "gateway")
    assert felt is not pd.NaT, "nobody felt it"
    assert recovered <= end + pd.Timedelta(seconds=UNDONE)


@pytest.mark.parametrize("mode", BENIGN)
def test_a_look_alike_hurts_nobody(testbed, mode):
    folder, _ = testbed
    kind = BENIGN[mode]
    event = carried_out(folder, mode, kind.on[0], float(np.mean(kind.seconds)))
    start, end = moments(event)
    judged = bad_seconds(read_load(folder / "load.jsonl"), ServiceLevel())
    assert impact(judged, start, end)[0] is pd.NaT, judged.loc["gateway"][start:end].sum()
