"""Courses around a repair, step by step, against their slow twins."""

import dataclasses
import math

import naive
import numpy as np
import pandas as pd
import pytest
from aftermaths import ACTED, after, aftermath
from hypothesis import given
from hypothesis import strategies as st

from stability.remediation import courses

STATES = st.lists(st.sampled_from([1, 0, -1]), max_size=40)
COUNT = st.one_of(st.just(math.nan), st.integers(0, 80).map(float))


@given(STATES, st.integers(0, 6))
def test_carried_and_runs_are_those_of_the_twins(states, gap):
    assert courses.carried(np.array(states, dtype=int), gap).tolist() == naive.carried(states, gap)
    flags = [state == -1 for state in states]
    assert courses.runs(np.array(flags, dtype=bool)).tolist() == naive.runs(flags)


@given(st.lists(st.tuples(COUNT, st.floats(0, 1)), max_size=40), st.integers(1, 5), st.integers(1, 12))
def test_requests_are_judged_as_the_twin_does(rows, recent, extra):
    counts = [(math.floor(total * part) if total == total else math.nan, total) for total, part in rows]
    state = courses.asked(np.array(counts, dtype=float).reshape(-1, 2), 0.9, recent, recent + extra)
    assert state.tolist() == naive.asked(counts, 0.9, recent, recent + extra)


@given(
    st.lists(st.one_of(st.just(math.nan), st.integers(0, 2).map(float)), min_size=30, max_size=70), st.integers(0, 60)
)
def test_what_moves_is_what_the_twin_finds(values, since):
    alive, lively = courses.moving(np.array(values).reshape(-1, 1), slice(0, 30), since)
    expected = naive.moving(values, 30, since)
    assert (alive[:, 0].tolist(), bool(lively[0])) == expected


@given(st.lists(st.one_of(st.just(math.nan), st.floats(0, 3)), max_size=40), st.integers(2, 6))
def test_a_detector_is_loud_by_the_majority_of_its_last_scores(scores, recent):
    state = courses.detected(np.array(scores, dtype=float), 2.0, recent)
    for i, score in enumerate(scores):
        loud = sum(one > 2.0 for one in scores[max(i - recent + 1, 0) : i + 1])
        expected = 0 if math.isnan(score) else -1 if loud > recent / 2 else 1
        assert state[i] == expected


def test_steps_lie_around_the_end_of_the_action():
    known = aftermath(until=10)
    steps = courses.steps_of(known, 100)
    assert (steps.zero, steps.count, steps.fault) == (100, 110, 100 - 41)
    values, names = courses.laid(known, steps, "scores", "model-a")
    own = known.scores.loc["model-a", "shift"]
    assert names == ["shift"]
    assert values[steps.zero, 0] == own[after(1)]
    assert values[steps.zero - 1, 0] == own[ACTED]
    assert courses.laid(known, steps, "scores", "nobody")[0].shape == (110, 0)


def test_two_samples_within_a_step_and_requests_between_steps():
    stamps = [after(0.2), after(0.9), after(1.1)]
    index = pd.MultiIndex.from_product([["model-a"], stamps], names=["entity", "timestamp"])
    known = dataclasses.replace(
        aftermath(until=3),
        scores=pd.DataFrame({"shift": [1.0, math.nan, 3.0]}, index=index),
        service=pd.DataFrame({"good": [1.0, 2.0, math.nan], "total": [1.0, 3.0, 4.0]}, index=index),
    )
    steps = courses.steps_of(known, 10)
    assert courses.laid(known, steps, "scores", "model-a")[0][steps.zero :, 0].tolist()[:2] == [1.0, 3.0]
    counts = courses.summed(known, steps, "model-a")[steps.zero :]
    assert counts[0].tolist() == [3.0, 4.0]
    assert np.isnan(counts[1:]).all()


@pytest.mark.parametrize(
    ("name", "usual", "later", "beyond"),
    [
        ("up", 1.0, 0.0, True),
        ("http_server_request_duration_seconds_p99", 0.1, 0.3, True),
        ("http_server_request_duration_seconds_p99", 0.1, 0.01, False),
        ("process_resident_memory_bytes", 1e8, 1.5e8, False),  # used up, but not twice as much
        ("process_resident_memory_bytes", 1e8, 3e8, True),
        ("something_of_mine", 1.0, 9.0, False),  # nobody knows what is bad for it
    ],
)
def test_a_metric_beyond_what_was_usual(name, usual, later, beyond):
    noise = 1 + 0.01 * np.random.default_rng(0).normal(size=(120, 1)) * (name != "up")
    values = np.r_[np.full((100, 1), usual), np.full((20, 1), later)] * noise
    found, names = courses.condition(values, [name], slice(0, 100), 10, 10)
    assert (names == [name]) == (name != "something_of_mine")
    assert not (found[:104] == courses.BAD).any()
    assert bool((found[114:] == courses.BAD).all() and found.size) == beyond
    if name == "process_resident_memory_bytes":
        assert not (found[:110] == courses.BAD).any()  # ten steps longer: it has to stay there
        assert courses.condition(values, [name], slice(0, 100), 10, 0)[1] == []


@pytest.mark.parametrize(("later", "beyond"), [(0.3, False), (0.9, True)])
def test_a_share_of_what_there_is_hurts_when_little_is_left(later, beyond):
    values = np.r_[np.full((100, 1), 0.004), np.full((40, 1), later)]
    found, _ = courses.condition(values, ["system_filesystem_utilization_ratio"], slice(0, 100), 10, 10)
    bad = found == courses.BAD
    assert bool(bad[120:].all()) == bool(bad.any()) == beyond


def test_a_counter_is_judged_by_its_increments_and_a_restart_is_none():
    errors = np.cumsum(np.random.default_rng(0).poisson(2.0, 160)).astype(float)
    errors[120:] -= errors[120] - 1  # restarted
    worse = errors.copy()
    worse[120:] += 30.0 * np.arange(40)
    for values, beyond in ((errors, False), (worse, True)):
        found, _ = courses.condition(values.reshape(-1, 1), ["http_server_errors_total"], slice(0, 100), 10, 0)
        bad = found == courses.BAD
        assert bool(bad[130:].all()) == bool(bad.any()) == beyond


@pytest.mark.parametrize(("samples", "beyond"), [(10, False), (30, False), (110, False), (130, True)])
def test_times_follow_the_load_which_a_short_history_has_not_seen(samples, beyond):
    usual = 0.02 * (1 + 0.05 * np.random.default_rng(0).normal(size=samples))
    values = np.r_[usual, 0.035 * (1 + 0.01 * np.random.default_rng(1).normal(size=30))].reshape(-1, 1)
    name = "http_server_request_duration_seconds_p99"
    found, names = courses.condition(values, [name], slice(0, samples), 10, 0)
    assert bool(found.size and (found[samples + 10 :] == courses.BAD).all()) == beyond
    assert names == ([name] if samples >= 20 else [])
    values[samples:] *= 2
    found, names = courses.condition(values, [name], slice(0, samples), 10, 0)
    assert not names or (found[samples + 10 :] == courses.BAD).all()


def test_what_is_missing_or_old_is_not_known():
    name = "http_server_request_duration_seconds_p99"
    values = np.random.default_rng(0).gamma(20, 0.001, (200, 1))
    values[150:] = np.nan
    states, _ = courses.condition(values, [name], slice(0, 140), 10, 0)
    assert (states[10:150] == courses.GOOD).all()
    assert (states[160:] == courses.UNKNOWN).all()
    values[150:] = values[149]
    states, _ = courses.condition(values, [name], slice(0, 140), 10, 0)
    assert (states[170:] == courses.UNKNOWN).all()
