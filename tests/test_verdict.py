"""The verdict on a repair: three values, said once, never from what is not known."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from aftermaths import ACTED, after, aftermath, since
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.remediation.verdict import Verification, judge
from stability.schema import ContractError

HOLD, WATCH, WINDOW = 30, 60, 180
RECOVERED = aftermath()


def with_rows(known, name, change):
    """The same aftermath with another frame."""
    return dataclasses.replace(known, **{name: change(getattr(known, name))})


def without(known, name, seconds, entity="model-a", until=1e9):
    """The same aftermath without an entity's rows of some time."""
    frame = getattr(known, name)
    cut = since(frame, entity, seconds) & ~since(frame, entity, until)
    return with_rows(known, name, lambda frame: frame[~cut])


def frozen(known, name, seconds, entity="model-a", columns=None):
    """The same aftermath in which an entity's last row is repeated on and on."""
    frame = getattr(known, name).copy()
    late = since(frame, entity, seconds)
    last = frame.loc[entity][: after(seconds)].iloc[-1]
    for column in columns or frame.columns:
        frame.loc[late, column] = last[column]
    return with_rows(known, name, lambda _: frame)


def checks(verdict):
    return {check.name: check.passed for check in verdict.checks}


def test_a_recovery_is_verified_once_its_watch_is_over():
    verdict = judge(RECOVERED)
    assert (verdict.verdict, verdict.final, verdict.credited) == ("verified", True, True)
    assert after(8) <= verdict.recovered_at <= after(16)
    assert verdict.at == verdict.recovered_at + pd.Timedelta(seconds=HOLD + WATCH)
    assert checks(verdict) == dict.fromkeys(
        ("samples", "service", "detectors", "condition", "neighbours", "relapse", "placebo"), True
    )
    told = {check.name: check.sentence for check in verdict.checks}
    assert "requests good" in told["service"]
    assert "promised 99.00%" in told["service"]


@pytest.mark.parametrize("moment", [-5, 0, 1, 20, 60, 95])
def test_before_it_is_proven_it_is_open(moment):
    verdict = judge(RECOVERED.until(after(moment)))
    assert (verdict.verdict, verdict.final, verdict.credited) == ("inconclusive", False, False)
    assert verdict.at == after(moment)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (aftermath(heals=None), "not_recovered"),
        (aftermath(heals=None, depth=0.97), "not_recovered"),  # hardly half recovered
        (aftermath(again=75), "not_recovered"),
        (aftermath(again=98, lasts=10), "not_recovered"),
        (aftermath(heals=80), "verified"),
        (aftermath(heals=5, rate=4.0), "verified"),
        (aftermath(rate=0.2), "inconclusive"),  # 50 requests prove nothing
        (aftermath(rate=0.0), "inconclusive"),  # nobody asks
        (aftermath(heals=-25), "inconclusive"),  # over before the action
        (aftermath(ill=0, heals=0), "inconclusive"),  # nothing was wrong
        (aftermath(step=5.0), "verified"),
    ],
)
def test_courses(known, expected):
    verdict = judge(known)
    assert (verdict.verdict, verdict.final) == (expected, True)
    late = verdict.recovered_at - ACTED > pd.Timedelta(seconds=60)  # ill for 40 s: by then most things heal alone
    assert verdict.credited == (expected == "verified" and not late)


def test_what_holds_too_late_for_its_watch_is_open_at_the_end_of_the_window():
    verdict = judge(aftermath(heals=110))
    assert (verdict.verdict, verdict.final, verdict.at) == ("inconclusive", True, after(WINDOW))
    assert verdict.recovered_at >= after(110)


def test_what_began_to_heal_before_the_action_is_well_and_no_merit_of_it():
    verdict = judge(aftermath(ill=60, heals=-8))
    assert (verdict.verdict, verdict.credited) == ("verified", False)


def test_what_never_came_back_is_said_as_soon_as_no_hold_can_be_complete():
    verdict = judge(aftermath(heals=None))
    assert verdict.at == after(WINDOW - HOLD + 1)
    assert "service" in verdict.sentence
    assert checks(verdict)["service"] is False
    assert verdict.recovered_at is pd.NaT


def test_a_relapse_is_told_with_its_moment():
    verdict = judge(aftermath(again=75))
    assert after(75) < verdict.at <= after(80)
    assert verdict.sentence.startswith("relapsed")
    assert checks(verdict)["relapse"] is False


@pytest.mark.parametrize("name", ["telemetry", "service", "scores"])
@pytest.mark.parametrize("seconds", [-1e9, 0, 20, 60, 90])
def test_missing_data_are_never_success(name, seconds):
    entity = "gateway" if name == "service" else "model-a"
    verdict = judge(without(RECOVERED, name, seconds, entity))
    assert (verdict.verdict, verdict.final) == ("inconclusive", True)
    nan = with_rows(
        RECOVERED, name, lambda frame: frame.mask(pd.Series(since(frame, entity, seconds), index=frame.index), axis=0)
    )
    assert judge(nan).verdict == "inconclusive"


def test_no_score_and_no_sample_declare_nothing():
    """kubernaut 722: zero scores and no samples were declared remediated."""
    empty = {name: getattr(RECOVERED, name).iloc[:0] for name in ("telemetry", "scores", "service")}
    verdict = judge(dataclasses.replace(RECOVERED, **empty))
    assert (verdict.verdict, verdict.final) == ("inconclusive", True)
    assert checks(verdict)["samples"] is checks(verdict)["service"] is checks(verdict)["detectors"] is None
    assert judge(dataclasses.replace(RECOVERED, thresholds={})).verdict == "inconclusive"


@pytest.mark.parametrize("seconds", [0, 15, 60, 90])
def test_a_frozen_row_is_no_sample(seconds):
    verdict = judge(frozen(RECOVERED, "telemetry", seconds))
    assert (verdict.verdict, verdict.final) == ("inconclusive", True)
    if seconds == 0:
        assert checks(verdict)["samples"] is None


def test_counters_that_stand_still_are_no_sample_though_gauges_move():
    stuck = ["process_cpu_seconds_total", "http_server_requests_total"]
    assert judge(frozen(RECOVERED, "telemetry", 0, columns=stuck)).verdict == "inconclusive"


@pytest.mark.parametrize(("name", "entity"), [("scores", "model-a"), ("service", "gateway")])
def test_a_number_that_stands_still_is_an_old_one(name, entity):
    assert judge(frozen(RECOVERED, name, 20, entity)).verdict == "inconclusive"


def test_an_old_high_score_is_no_failure_either():
    """kubernaut 269: a stale series gave a false failure."""
    verdict = judge(frozen(RECOVERED, "scores", -3))
    assert (verdict.verdict, checks(verdict)["detectors"]) == ("inconclusive", None)


def test_a_deleted_or_another_entity_proves_nothing():
    """kubernaut 275: the deleted pod was checked."""
    gone = without(RECOVERED, "telemetry", 0)
    other = gone.telemetry.loc[["model-b"]].rename({"model-b": "model-c"}, level="entity")
    verdict = judge(with_rows(gone, "telemetry", lambda frame: pd.concat([frame, other])))
    assert verdict.verdict == "inconclusive"
    assert checks(verdict)["samples"] is None


def test_samples_from_before_the_action_that_come_late_prove_nothing():
    late = RECOVERED.telemetry.copy()
    keep = ~since(late, "model-a", 0.5)
    assert judge(with_rows(RECOVERED, "telemetry", lambda _: late[keep])).verdict == "inconclusive"


@pytest.mark.parametrize("name", ["telemetry", "service", "scores"])
def test_a_short_gap_is_no_harm_and_a_long_one_begins_the_hold_anew(name):
    entity = "gateway" if name == "service" else "model-a"
    gap = judge(without(RECOVERED, name, 70, entity, until=71))
    assert (gap.verdict, gap.at) == ("verified", judge(RECOVERED).at)
    hole = judge(without(RECOVERED, name, 50, entity, until=70))
    assert hole.verdict == "verified"
    assert hole.at >= after(70 + HOLD + WATCH)


def test_a_sample_that_is_late_is_waited_for():
    at = judge(RECOVERED).at
    late = without(RECOVERED, "service", (at - ACTED).total_seconds() - 1, "gateway")
    assert not judge(late.until(at)).final
    bad = RECOVERED.service.copy()
    bad.loc[since(bad, "gateway", (at - ACTED).total_seconds() - 1), "good"] = 0.0
    assert judge(with_rows(RECOVERED, "service", lambda _: bad)).verdict == "not_recovered"


def test_lifetime_counts_do_not_matter():
    """kubernaut 246: restarts were counted over the lifetime of a thing."""
    counted = RECOVERED.telemetry.assign(http_server_errors_total=5000.0)
    assert judge(with_rows(RECOVERED, "telemetry", lambda _: counted)).verdict == "verified"


def test_detectors_that_stay_loud_or_clear_too_early_are_not_enough():
    """causRCA exp_14: alarms are over before the cause is."""
    quiet = aftermath(heals=None)
    scores = quiet.scores.copy()
    late = since(scores, "model-a", 5)
    scores.loc[late, "shift"] = np.random.default_rng(1).gamma(2, 0.5, late.sum())
    assert judge(with_rows(quiet, "scores", lambda _: scores)).verdict == "not_recovered"
    loud = RECOVERED.scores.copy()
    loud.loc[since(loud, "model-a"), "shift"] += 12
    verdict = judge(with_rows(RECOVERED, "scores", lambda _: loud))
    assert (verdict.verdict, checks(verdict)["detectors"]) == ("not_recovered", False)


def test_a_thing_that_is_down_is_not_recovered_though_its_twin_serves():
    down = RECOVERED.telemetry.copy()
    down.loc[since(down, "model-a"), "up"] = 0.0
    verdict = judge(with_rows(RECOVERED, "telemetry", lambda _: down))
    assert (verdict.verdict, checks(verdict)["condition"]) == ("not_recovered", False)


def hurt_scores(known, seconds):
    scores = known.scores.copy()
    scores.loc[since(scores, "model-b", seconds), "shift"] += 12
    return with_rows(known, "scores", lambda _: scores)


def hurt_metric(known, seconds):
    frame = known.telemetry.copy()
    frame.loc[since(frame, "model-b", seconds), "http_server_request_duration_seconds_p99"] *= 8
    return with_rows(known, "telemetry", lambda _: frame)


@pytest.mark.parametrize("hurt", [hurt_scores, hurt_metric])
@pytest.mark.parametrize("seconds", [0, 50, 80])
def test_a_hurt_neighbour_is_no_recovery(hurt, seconds):
    verdict = judge(hurt(RECOVERED, seconds))
    assert (verdict.verdict, checks(verdict)["neighbours"]) == ("not_recovered", False)
    assert "model-b" in {check.name: check.sentence for check in verdict.checks}["neighbours"]


def test_a_neighbour_that_vanishes_or_was_never_seen_leaves_it_open():
    assert judge(without(without(RECOVERED, "telemetry", 20, "model-b"), "scores", 20, "model-b")).verdict == (
        "inconclusive"
    )
    assert judge(dataclasses.replace(RECOVERED, neighbours=("nobody",))).verdict == "inconclusive"


def test_a_neighbour_that_is_loud_no_longer_than_it_used_to_be_is_not_hurt():
    known = aftermath()
    scores = known.scores.copy()
    for begin, end in ((-400, -380), (60, 76)):  # once in its history for 20 s, and for 16 s now
        scores.loc[since(scores, "model-b", begin) & ~since(scores, "model-b", end), "shift"] += 12
    assert judge(with_rows(known, "scores", lambda _: scores)).verdict == "verified"
    scores.loc[since(scores, "model-b", -400) & ~since(scores, "model-b", -380), "shift"] -= 12
    assert judge(with_rows(known, "scores", lambda _: scores)).verdict == "not_recovered"


def young(known, seconds=120):
    """The same aftermath of a service that was first seen so long before the action."""
    cut = {name: getattr(known, name) for name in ("telemetry", "service", "scores")}
    return dataclasses.replace(
        known, **{name: f[f.index.get_level_values(1) > after(-seconds)] for name, f in cut.items()}
    )


def changed(known, name, column, change, entity, begin, end=1e9):
    """The same aftermath with another course of one column from one second after the action to another one."""
    frame = getattr(known, name).copy()
    rows = since(frame, entity, begin) & ~since(frame, entity, end)
    frame.loc[rows, column] = change(frame.loc[rows, column])
    return with_rows(known, name, lambda _: frame)


def asked(known, entity, good=1.0):
    """The same aftermath with an entity's own requests, all good before the action and a share of them after it."""
    rows = known.service.loc["gateway"].copy()
    rows["total"] = np.random.default_rng(3).poisson(30, len(rows)).astype(float)
    rows["good"] = np.floor(rows["total"] * np.where(rows.index > ACTED, good, 1.0))
    return with_rows(known, "service", lambda old: pd.concat([old, pd.concat({entity: rows}, names=old.index.names)]))


P99 = "http_server_request_duration_seconds_p99"


@pytest.mark.parametrize(
    ("factor", "end", "own", "expected"),
    [
        (1.6, 1e9, False, "verified"),  # slower, as under more load
        (8, 1e9, False, "not_recovered"),
        (8, 1e9, True, "not_recovered"),
        (8, 66, True, "verified"),  # for a moment, and what it was asked it answered as promised
        (8, 66, False, "not_recovered"),
        (8, 120, True, "not_recovered"),
    ],
)
def test_answers_may_take_longer_after_a_repair_if_little_or_for_a_moment(factor, end, own, expected):
    known = young(changed(RECOVERED, "telemetry", P99, lambda p99: p99 * factor, "model-a", 50, end))
    assert judge(asked(known, "model-a") if own else known).verdict == expected


@pytest.mark.parametrize(("factor", "expected"), [(1.3, "verified"), (2.8, "not_recovered")])
def test_a_little_slower_is_well(factor, expected):
    slower = changed(RECOVERED, "telemetry", P99, lambda p99: p99 * factor, "model-a", 0)
    assert judge(slower).verdict == expected
    assert judge(changed(RECOVERED, "telemetry", P99, lambda p99: p99 * factor, "model-b", 0)).verdict == expected


@pytest.mark.parametrize(("seconds", "expected"), [(16, "verified"), (60, "not_recovered")])
def test_a_short_history_does_not_say_how_long_a_neighbour_may_be_loud(seconds, expected):
    known = changed(RECOVERED, "scores", "shift", lambda score: score + 12, "model-b", 60, 60 + seconds)
    assert judge(young(known)).verdict == expected
    assert judge(known).verdict == "not_recovered"


@pytest.mark.parametrize(
    ("begin", "end", "good", "expected"),
    [
        (60, 90, 1.0, "verified"),
        (60, 1e9, 1.0, "inconclusive"),  # nobody is hurt, and something is the matter
        (88, 1e9, 1.0, "inconclusive"),  # the watch would have been over at 98
        (60, 90, 0.9, "not_recovered"),
        (60, 1e9, 0.9, "not_recovered"),
    ],
)
def test_detectors_of_a_neighbour_that_serves_as_promised_are_a_doubt_and_no_harm(begin, end, good, expected):
    known = changed(RECOVERED, "scores", "shift", lambda score: score + 12, "model-b", begin, end)
    verdict = judge(asked(known, "model-b", good))
    assert (verdict.verdict, verdict.final) == (expected, True)
    if expected == "verified":
        assert after(end + HOLD) <= verdict.at <= after(end + HOLD + 5)


@pytest.mark.parametrize(("until", "expected"), [(75, "verified"), (1e9, "inconclusive")])
def test_a_doubt_does_not_end_with_the_data(until, expected):
    known = asked(changed(RECOVERED, "scores", "shift", lambda score: score + 12, "model-b", 60, 66), "model-b")
    assert judge(without(known, "scores", 66, "model-b", until)).verdict == expected
    assert judge(frozen(known, "scores", 66, "model-b")).verdict == "inconclusive"
    slow = asked(changed(RECOVERED, "telemetry", P99, lambda p99: p99 * 8, "model-a", 50, 56), "model-a")
    assert judge(changed(slow, "telemetry", P99, lambda p99: p99 * np.nan, "model-a", 56, until)).verdict == expected


def comes_and_goes(known, name, column, change, entity, seconds, every):
    """The same aftermath in which a column is changed for some seconds, again and again since 40 s after the action."""
    for begin in range(40, 300, every):
        known = changed(known, name, column, change, entity, begin, begin + seconds)
    return known


@pytest.mark.parametrize(("seconds", "every"), [(7, 27), (7, 13), (28, 38)])
@pytest.mark.parametrize("own", [True, False])
def test_what_comes_and_goes_is_not_verified(seconds, every, own):
    known = asked(RECOVERED, "model-a") if own else RECOVERED
    crashing = comes_and_goes(known, "telemetry", "up", lambda up: up * 0, "model-a", seconds, every)
    assert judge(crashing).verdict != "verified"
    beside = asked(RECOVERED, "model-b") if own else RECOVERED
    loud = comes_and_goes(beside, "scores", "shift", lambda score: score + 12, "model-b", seconds, every)
    assert judge(loud).verdict != "verified"
    assert judge(young(loud)).verdict != "verified"


def test_few_or_old_requests_do_not_prove_that_a_neighbour_serves():
    loud = changed(RECOVERED, "scores", "shift", lambda score: score + 12, "model-b", 60, 90)
    frame = asked(loud, "model-b").service
    few = frame.copy()
    own = since(few, "model-b", -1e9)
    for column in ("good", "total"):
        few.loc[own, column] = (np.arange(own.sum()) % 4 == 0).astype(float)
    old = frame.copy()
    old.loc[since(old, "model-b", 0), ["good", "total"]] = 30.0
    assert [judge(dataclasses.replace(loud, service=one)).verdict for one in (frame, few, old)] == [
        "verified",
        "not_recovered",
        "inconclusive",
    ]


@pytest.mark.parametrize("seconds", [55, 90, 120])
def test_down_is_down_however_short_the_history(seconds):
    for entity, said in (("model-a", "condition"), ("model-b", "neighbours")):
        down = changed(RECOVERED, "telemetry", "up", lambda up: up * 0, entity, 0)
        verdict = judge(young(down, seconds))
        assert verdict.verdict != "verified"
        assert checks(verdict)[said] is False


def test_what_an_action_did_to_a_neighbour_while_it_was_carried_out_is_its_side_effect():
    hurt = changed(aftermath(ill=120), "scores", "shift", lambda score: score + 12, "model-b", -40)
    assert judge(hurt, Verification(action=60.0)).verdict == "not_recovered"
    assert judge(hurt).verdict == "verified"  # an action of 10 s: it was ill before


def test_a_neighbour_that_goes_down_is_hurt_though_all_that_was_asked_was_answered():
    known = changed(asked(RECOVERED, "model-b"), "telemetry", "up", lambda up: up * 0, "model-b", 60, 80)
    nobody = changed(known, "service", ["good", "total"], lambda counts: counts * 0, "model-b", 60, 80)
    unseen = changed(known, "service", ["good", "total"], lambda counts: counts * np.nan, "model-b", 60, 80)
    for one in (nobody, unseen):
        verdict = judge(one)
        assert verdict.verdict == "not_recovered" or verdict.recovered_at >= after(80)


@pytest.mark.parametrize(("seconds", "expected"), [(20, "verified"), (60, "not_recovered")])
def test_a_neighbour_may_use_more_for_a_while_and_not_for_ever(seconds, expected):
    name = "process_resident_memory_bytes"
    known = changed(RECOVERED, "telemetry", name, lambda memory: memory * 3, "model-b", 30, 30 + seconds)
    assert judge(known).verdict == expected
    assert judge(asked(known, "model-b")).verdict == "verified"  # it serves as promised


def test_a_neighbour_that_was_ill_before_the_fault_is_no_side_effect_though_it_was_quiet_at_the_action():
    scores = RECOVERED.scores.copy()
    scores.loc[since(scores, "model-b", -120), "shift"] += 12
    scores.loc[since(scores, "model-b", -35) & ~since(scores, "model-b", 5), "shift"] -= 12
    assert judge(with_rows(RECOVERED, "scores", lambda _: scores)).verdict == "verified"


def test_a_score_that_often_stands_still_may_do_so():
    scores = RECOVERED.scores.copy()
    own = since(scores, "model-a", -1e9)
    held = scores.loc[own, "shift"].to_numpy().copy()
    for begin in range(10, len(held) - 20, 50):
        held[begin : begin + 20] = held[begin]
    scores.loc[own, "shift"] = held
    verdict = judge(with_rows(RECOVERED, "scores", lambda _: scores))
    assert verdict.verdict == "verified"
    assert verdict.at <= judge(RECOVERED).at + pd.Timedelta("2s")


def test_a_neighbour_as_ill_before_the_action_is_no_side_effect():
    assert judge(hurt_scores(RECOVERED, -200)).verdict == "verified"
    assert judge(dataclasses.replace(RECOVERED, neighbours=())).verdict == "verified"


def test_what_heals_by_itself_at_the_same_pace_proves_nothing():
    often = [(-560 + 90 * k, 40 + k) for k in range(5)]
    verdict = judge(aftermath(history=often, ill=30, heals=10))
    assert (verdict.verdict, verdict.final, verdict.credited) == ("inconclusive", True, False)
    assert after(10) <= verdict.recovered_at <= after(18)
    assert checks(verdict)["placebo"] is False
    assert "by themselves" in verdict.sentence
    ended = [after(begin + seconds - 5) for begin, seconds in often]
    assert judge(aftermath(history=often, ill=30, heals=10), repaired=ended).verdict == "verified"


def test_what_was_mending_at_the_same_pace_proves_nothing():
    known = aftermath(ill=60, heals=12)
    service = known.service.copy()
    seconds = (service.index.get_level_values(1) - ACTED).total_seconds()
    part = np.clip((14 - seconds) / 100, 0.0, 1.0) * (seconds > -60)
    service["good"] = (service["total"] * (1 - part)).round()
    verdict = judge(with_rows(known, "service", lambda _: service))
    assert (verdict.verdict, verdict.credited) == ("inconclusive", False)
    assert "mending" in verdict.sentence


@pytest.mark.parametrize(("depth", "expected"), [(0.5, "inconclusive"), (0.9, "verified")])
def test_lesser_evils_that_healed_by_themselves_say_nothing_of_a_greater_one(depth, expected):
    known = aftermath(ill=30, heals=10)
    service = known.service.copy()
    seconds = (service.index.get_level_values(1) - ACTED).total_seconds()
    past = np.zeros(len(service), dtype=bool)
    for begin in (-560, -470, -380, -290, -200):
        past |= (seconds > begin) & (seconds <= begin + 38)
    service.loc[past, "good"] = (service.loc[past, "total"] * depth).round()
    assert judge(with_rows(known, "service", lambda _: service)).verdict == expected


def test_what_outlasted_all_that_healed_by_itself_is_proof():
    assert judge(aftermath(history=[(-500, 10), (-400, 12)], ill=60)).credited


def test_more_than_one_who_is_asked_has_to_be_served():
    both = pd.concat([RECOVERED.service, RECOVERED.service.rename({"gateway": "edge"}, level="entity")])
    known = with_rows(RECOVERED, "service", lambda _: both)
    assert judge(known).verdict == "verified"
    both = both.copy()
    both.loc[since(both, "edge"), "good"] *= 0.5
    assert judge(with_rows(RECOVERED, "service", lambda _: both)).verdict == "not_recovered"


COURSE = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "ill": st.integers(5, 120),
        "heals": st.one_of(st.none(), st.integers(1, 170)),
        "again": st.one_of(st.none(), st.integers(20, 280)),
        "lasts": st.integers(8, 120),
        "depth": st.sampled_from([0.0, 0.5, 0.9]),
        "rate": st.sampled_from([0.5, 20.0, 200.0]),
    }
)


@settings(max_examples=8)
@given(COURSE, st.lists(st.integers(-3, 300), min_size=2, max_size=2), st.sampled_from(["", "hole", "frozen"]))
def test_a_verdict_knows_no_future_and_stays(course, moments, trouble):
    known = aftermath(**course)
    if trouble:
        known = without(known, "scores", 40, until=60) if trouble == "hole" else frozen(known, "telemetry", 50)
    last = judge(known)
    for moment in sorted(moments):
        verdict = judge(known.until(after(moment)))
        assert verdict == judge(dataclasses.replace(known, now=after(moment)))  # rows after `now` are not looked at
        assert verdict.final == (last.final and last.at <= after(moment))
        if verdict.final:
            assert verdict == last
        else:
            assert verdict.verdict == "inconclusive"


@given(COURSE)
def test_verified_is_never_said_of_what_is_ill(course):
    verdict = judge(aftermath(**course))
    if verdict.verdict == "verified":
        seconds = (verdict.at - ACTED).total_seconds()
        ill = [(-course["ill"], np.inf if course["heals"] is None else course["heals"])]
        if course["again"] is not None:
            ill.append((course["again"], course["again"] + course["lasts"]))
        assert not [one for one in ill if one[0] < seconds and one[1] > seconds - HOLD - WATCH]


def test_noise_does_not_keep_recoveries_from_being_verified():
    verdicts = [judge(aftermath(seed, heals=3 + seed, ill=15 + seed)) for seed in range(40)]
    verified = [verdict for verdict in verdicts if verdict.verdict == "verified"]
    assert len(verified) >= 0.95 * len(verdicts)
    assert max(verdict.at for verdict in verified) <= after(WINDOW)


@pytest.mark.parametrize(
    "setting",
    [
        {"objective": 1.0},
        {"objective": 0.0},
        {"hold": 0},
        {"watch": -1},
        {"window": 10},
        {"window": 89},
        {"hold": float("nan")},
        {"hold": "30"},
        {"budget": 0.5},
        {"gap": True},
    ],
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ContractError, match="expected"):
        Verification(**setting)


def test_shorter_settings_decide_sooner():
    short = Verification(hold=10, watch=20, window=60)
    assert judge(RECOVERED, short).at < after(60)
    assert judge(aftermath(heals=None), short).at == after(51)
