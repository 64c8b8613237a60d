"""Entities that come and go: who is gone is let go, what is left is judged as if nobody had been."""

from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_monitor_looks import raised
from watching import START, declaration, fleet, journal, told_once

from stability.detection import DETECTORS
from stability.features.counters import Rates
from stability.monitor import incidents, leavers
from stability.monitor.chain import Watch
from stability.monitor.following import Follower
from stability.monitor.incident import Incident
from stability.monitor.leavers import gone
from stability.monitor.prometheus_source import PrometheusSource
from stability.monitor.ring import Ring, Rows

SECOND = 1_000_000
STEP = 15 * SECOND
STEPS, LIFE = 380, 16  # of the watch; of a pod, of which a new one begins every half of that
METRICS = ["queue_depth", "http_server_requests_total", "http_server_errors_total", "up"]
DETECTOR = {"detectors": [{"name": "mean_shift_recursive", "learn": "40min", "metrics": ["queue_depth"]}]}
KINDS = ("alarm", "alarm_over", "firing", "firing_over", "incident")


# ---- a ring ----------------------------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 7))
def test_a_ring_without_some_is_one_that_never_had_them(data, length):
    names = st.lists(st.sampled_from("abcdef"), unique=True)
    ring, told = Ring(["x", "y"], length), []
    for k in range(data.draw(st.integers(1, 14))):
        who = tuple(data.draw(names))
        told.append(Rows(k, who, np.arange(2.0 * len(who)).reshape(-1, 2) + 100 * k))
        ring.add(told[-1])
        if dropped := data.draw(names):
            edition, held = ring.edition, set(ring.entities)
            ring.drop(dropped)
            assert (ring.edition > edition) == bool(held & set(dropped))
            kept = [[name not in dropped for name in one.entities] for one in told]
            told = [
                Rows(one.moment, tuple(np.array(one.entities)[own].tolist()) if own else (), one.values[own])
                for one, own in zip(told, kept, strict=True)
            ]
    plain = Ring(["x", "y"], length)
    for one in told:
        plain.add(one)
    pd.testing.assert_frame_equal(ring.panel().sort_index(), plain.panel().sort_index())
    assert set(ring.entities) == set(plain.entities)


# ---- a watch ---------------------------------------------------------------------------------------------------------


def pods(steps, seed=3):
    """A panel of three servers that stay, and pods that live a while: with bursts."""
    rng, parts = np.random.default_rng(seed), {}
    lives = {f"web-{k}": (0, steps) for k in range(3)}
    lives |= {f"pod-{k:03}": (k, min(k + LIFE, steps)) for k in range(170, steps, LIFE // 2)}
    for name, (begin, end) in lives.items():
        burst = np.zeros(end - begin, dtype=bool)
        for at in np.flatnonzero((rng.random(end - begin) < 0.01) & (np.arange(begin, end) > 180)):
            burst[at : at + 10] = True
        requests, errors = rng.poisson(30, end - begin).cumsum(), rng.poisson(0.2 + 5 * burst).cumsum()
        values = np.column_stack(
            [rng.gamma(2.0, 1.0, end - begin) + 12 * burst, requests, errors, np.ones(end - begin)]
        )
        stamps = pd.date_range(START + begin * pd.Timedelta("15s"), periods=end - begin, freq="15s", unit="us")
        parts[name] = pd.DataFrame(values, stamps, METRICS)
    return pd.concat(parts, names=["entity", "timestamp"])


class Server(PrometheusSource):
    """A source of such a panel."""

    def __init__(self, told, metrics=None, *, panel):
        super().__init__(told, metrics)
        self.panel = panel

    def _panel(self, first, last):
        stamps = pd.to_datetime(np.arange(first, last + 1, STEP), unit="us", utc=True)
        when = self.panel.index.get_level_values("timestamp")
        own = self.panel[(when >= stamps[0]) & (when <= stamps[-1])]
        whole = pd.MultiIndex.from_product([own.index.unique("entity"), stamps], names=own.index.names)
        return own.reindex(whole)


def followed(folder, panel, stops=()):
    """Follow the pods in chunks of a few steps; where it stops, the watch is left as if it had been killed."""
    told = declaration(folder, start=(START + pd.Timedelta(170 * STEP, "us")).isoformat())
    told = told.model_copy(
        update={"source": told.source.model_copy(update={"files": None}), "delay": "0s", "checkpoint_every": 7}
    )
    steps, now = [], [START]

    def begun():
        source = partial(Server, panel=panel)
        return Follower(told, folder=folder / "state", clock=lambda: now[0], source=source)

    follower = begun()
    for k in range(170, STEPS, 5):
        now[0] = START + pd.Timedelta(k * STEP, "us")
        steps += list(follower.tick())
        assert not follower.trouble, follower.trouble
        if k in stops:
            follower._held.close()
            follower = begun()
    return steps, follower


def scores(steps, names):
    return {
        (step.moment, name): score
        for step in steps
        for name, score in zip(step.entities, step.scores["mean_shift_recursive"], strict=True)
        if name.startswith(names) and not np.isnan(score)
    }


def test_who_is_gone_is_let_go_and_nothing_else_changes(tmp_path, monkeypatch):
    panel = pods(STEPS)
    monkeypatch.setattr(incidents, "write_report", lambda *_: None)  # a picture takes a third of a second
    runs = {}
    for name, stops in (("let go", ()), ("killed", (260, 340)), ("kept", ())):
        folder = tmp_path / name
        folder.mkdir()
        with monkeypatch.context() as patch:
            if name == "kept":
                patch.setattr(leavers, "SHARE", 2.0)
            runs[name] = followed(folder, panel, stops)
    steps, follower = runs["let go"]
    watch, everybody = follower.watch, runs["kept"][1].watch.ring.entities
    assert len(everybody) > 20
    within = 3 + (40 + 7 + 5 + LIFE) / (LIFE / 2) + 1  # who said something within the history, a checkpoint and a chunk
    bound = within / (1 - leavers.SHARE)
    held = [watch.ring.entities, watch.scored.entities, watch.sentries[0].desk.desks, follower.source.known]
    held += [watch.sentries[0].detector.live_state()["entities"], watch.rates.state()["entities"]]
    assert max(map(len, held)) <= bound < len(everybody) / 2
    assert {name for name in everybody if name.startswith("web")} <= set(watch.ring.entities)
    assert scores(steps, ("web", "pod")) == pytest.approx(scores(runs["kept"][0], ("web", "pod")), rel=1e-9)
    for kind in KINDS:
        assert told_once(tmp_path / "let go" / "state", kind) == told_once(tmp_path / "kept" / "state", kind)
        assert told_once(tmp_path / "killed" / "state", kind) == told_once(tmp_path / "kept" / "state", kind)
    assert told_once(tmp_path / "let go" / "state", "alarm")
    assert len(runs["killed"][1].watch.ring.entities) <= bound
    for _, one in runs.values():
        one.close()


def test_of_whom_something_is_open_nobody_is_let_go(tmp_path):
    told = declaration(tmp_path, detectors=[])
    watch = Watch(told, METRICS, folder=tmp_path / "state")
    first = START.value // 1000
    watch.begin([Rows(first, ("a", "b", "c"), np.ones((3, 4)))], first)
    for k in range(1, 42):
        watch.take(Rows(first + k * STEP, ("a", "b"), np.array([[1.0, k, 0, 1], [np.nan] * 4])))
        assert gone(watch) == (["b", "c"] if k == 41 else [])
    watch.incidents.held["i"] = Incident(asdict(raised("b")), members=["c"])
    assert gone(watch) == []
    watch.incidents.held["i"].open = False
    watch.checkpoint()
    assert watch.ring.entities == ["a"]
    watch.close()


def test_an_alarm_of_who_vanishes_from_a_file_ends_with_its_last_row(tmp_path, monkeypatch):
    monkeypatch.setattr(incidents, "write_report", lambda *_: None)
    panel = fleet(entities=4, steps=310)
    stamps = panel.index.get_level_values("timestamp")
    of = panel.index.get_level_values("entity") == "web-1"
    cut, last = START + 249 * pd.Timedelta("15s"), START + 250 * pd.Timedelta("15s")
    panel.loc[of & (stamps >= cut), "queue_depth"] = [40.0, *[4000.0] * int((of & (stamps > cut)).sum())]
    panel = panel[~of | (stamps <= last)]
    runs = {}
    for name, kills in (("whole", ()), ("killed", (251, 290))):
        folder = tmp_path / name
        folder.mkdir()
        told, seen, follower = declaration(folder, **DETECTOR), None, None
        for at in (*kills, 310):
            upto = panel[panel.index.get_level_values("timestamp") <= START + at * pd.Timedelta("15s")].reset_index()
            upto = upto.sort_values("timestamp", kind="stable")
            fresh = upto if seen is None else upto[upto["timestamp"] > seen]
            fresh.to_csv(folder / "metrics.csv", mode="a", header=seen is None, index=False)
            seen = upto["timestamp"].max()
            if follower is not None:
                follower._held.close()
            follower = Follower(told, folder=folder / "state")
            list(follower.tick())
        runs[name] = follower
        (over,) = [
            line for line in journal(folder / "state", "alarm_over")
            if line["entity"] == "web-1" and line["detector"] == "mean_shift_recursive" and not line["suppressed_by"]
            and pd.Timestamp(line["start"]) >= cut
        ]  # fmt: skip
        assert pd.Timestamp(over["end"]) == last
        assert not [one for one in follower.watch.open_alarms if one.entity == "web-1"]
        assert not [
            one for one in follower.watch.incidents.held.values() if one.open and one.alarm["entity"] == "web-1"
        ]
        follower.watch.checkpoint()
        assert "web-1" not in follower.watch.sentries[0].desk.desks
        follower.close()
    for kind in KINDS:
        assert told_once(tmp_path / "killed" / "state", kind) == told_once(tmp_path / "whole" / "state", kind)


@pytest.mark.parametrize("name", ["mean_shift_recursive", "novelty", "page_hinkley"])
def test_a_detector_that_forgot_somebody_judges_others_as_before(name):
    rng = np.random.default_rng(0)
    stamps = pd.date_range(START, periods=200, freq="15s", unit="us", name="timestamp")
    index = pd.MultiIndex.from_product([["a", "b"], stamps], names=["entity", "timestamp"])
    history = pd.DataFrame(rng.normal(size=(400, 2)), index, ["x", "y"])
    one, other = (DETECTORS[name]().fit(history) for _ in range(2))
    said = []
    for detector, forgets in ((one, True), (other, False)):
        draw = np.random.default_rng(1)
        detector.forget(["n"])  # before the first row there is nothing to forget
        for k in range(40):
            names = ["a", "n", "b"] if k < 20 else ["b", "a"]
            values = draw.normal(size=(len(names), 2))
            moments = np.full(len(names), stamps[-1].value // 1000 + (k + 1) * STEP)
            judged = detector.update(values, moments, pd.Index(names))
            said.append((forgets, judged.score))
            if k == 20 and forgets:
                detector.forget(["n", "a"])  # of whom there is a history, it is kept
    for forgets in (True, False):
        own = np.concatenate([score for which, score in said if which == forgets])
        np.testing.assert_array_equal(own, np.concatenate([score for _, score in said[:40]]))
    assert list(one.live_state()["entities"]) == ["a", "b"]
    values, moments, names = np.ones((1, 2)), np.array([stamps[-1].value // 1000 + 99 * STEP]), pd.Index(["n"])
    fresh = DETECTORS[name]().fit(history)
    expected = fresh.update(values, moments, names).score
    np.testing.assert_allclose(one.update(values, moments, names).score, expected)


def test_rates_of_who_was_forgotten_begin_anew():
    stamps = pd.date_range(START, periods=3, freq="10s", tz="UTC", unit="us", name="timestamp")
    index = pd.MultiIndex.from_product([["a", "b"], stamps[:1]], names=["entity", "timestamp"])
    live = Rates().begin(pd.DataFrame({"requests_total": [10.0, 20.0]}, index))
    live.forget(["a", "nobody"])
    found = live.update(np.array([[40.0], [50.0]]), stamps[[1, 1]], ["a", "b"])
    assert np.isnan(found[0, 0])
    assert found[1, 0] == 3.0
