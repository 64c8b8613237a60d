"""Choice by expected cost: the arithmetic by hand, and what a record of verdicts does to it."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from repairing import at, causes, inventory, state

from stability.remediation import ServiceState, read_playbooks
from stability.remediation.choice import CLEARLY, UNCHANGED, UNKNOWN, options, suspects
from stability.remediation.history import Action, History

PLAYBOOKS = {playbook.name: playbook for playbook in read_playbooks()}
HERE = inventory("http://127.0.0.1:1", backup="/b")
VERDICTS = st.tuples(
    st.sampled_from(["verified", "not_recovered", "inconclusive", None]), st.booleans(), st.floats(0.05, 1.0)
)


def acted(playbook, verdicts):
    history = History()
    for k, (verdict, credited, probability) in enumerate(verdicts):
        facts = {"playbook": playbook, "step": 0, "kind": "step", "mode": "automatic", "probability": probability}
        action = Action(at(k), facts | {"entity": "model-a", "alarm_id": f"a{k}"}, end=at(k), status="done")
        action.verdict, action.credited = verdict, credited
        history.actions[str(k)] = action
    return history


def listed(*rows, history=None, impact=10.0, users=True, **more):
    rows = suspects(causes(*rows), "a1")
    return options(rows, list(PLAYBOOKS.values()), HERE, state(impact=users, **more), history or History(), impact)


def test_what_is_saved_and_spent_by_hand():
    # restart-replica: prior 4 to 1, cost 0.1, risk 0.02 x 5; it ends two of the three, of which one is elsewhere.
    rows = (("model-a", "memory_leak", 0.5), ("model-a", "cpu_saturation", 0.2), ("model-b", "memory_leak", 0.1))
    found = {(one.playbook, one.entity): one for one in listed(*rows)}
    best = found["restart-replica", "model-a"]
    assert (best.probability, best.effect) == (pytest.approx(0.7), 0.8)
    assert (best.saved, best.spent) == (pytest.approx(0.7 * 0.8 * 10), pytest.approx(0.2))
    assert best.gain == pytest.approx(5.4)
    assert listed(*rows)[0] == best
    assert [refusal.guard for refusal in found["restart-replica", "model-b"].refusals] == ["probability", "alike"]


def test_a_dear_repair_of_a_likely_cause_can_be_worth_less_than_a_cheap_one_of_another():
    rows = (("feature-store", "stale_features", 0.6), ("model-a", "disk_full", 0.4))
    assert [one.playbook for one in listed(*rows, impact=30)] == ["restore-features", "clean-disk"]
    assert [one.playbook for one in listed(*rows, impact=1)] == ["clean-disk", "restore-features"]


def test_a_repair_that_never_helped_gives_way_to_one_that_does():
    rows = (("feature-store", "stale_features", 0.6), ("model-a", "disk_full", 0.4))
    history = acted("restore-features", [("not_recovered", False, 1.0)] * 6)
    assert listed(*rows, history=history, impact=30)[0].playbook == "clean-disk"


@given(st.lists(VERDICTS, max_size=12))
def test_the_posterior_follows_from_the_verdicts_and_stays_one(verdicts):
    playbook = PLAYBOOKS["clean-disk"]
    helped, failed = acted("clean-disk", verdicts).effect(playbook)
    mine, theirs = 4.0, 1.0
    for verdict, credited, probability in verdicts:
        if verdict == "verified" and credited:
            mine += 1
        if verdict == "not_recovered":  # Bayes: it was the cause and did not help, given that it did not help
            e = mine / (mine + theirs)
            theirs += probability * (1 - e) / (probability * (1 - e) + (1 - probability))
    assert (helped, failed) == (pytest.approx(mine), pytest.approx(theirs))
    assert 0 < helped / (helped + failed) < 1
    assert acted("other", verdicts).effect(playbook) == (4, 1)


def test_causes_of_other_alarms_and_without_probability_count_for_nothing():
    table = pd.concat(
        [causes(("model-b", "disk_full", 1.0), name="a2"), causes(("model-a", "disk_full", None)), causes(name="a3")]
    )
    rows = suspects(table, "a1")
    assert rows.to_dict("records") == [{"entity": "model-a", "failure_mode": "disk_full", "probability": 0.0}]
    assert suspects(table, "a9").empty
    unsorted = causes(("model-a", "x", 0.6), ("model-b", "y", 0.4)).iloc[::-1]
    assert suspects(unsorted, "a1")["entity"].tolist() == ["model-a", "model-b"]


@pytest.mark.parametrize(
    ("row", "more", "guard"),
    [
        (("gateway", "memory_leak", 0.9), {}, "alone"),
        (("model-a", "memory_leak", 0.9), {"down": ("model-b",)}, "healthy_peers"),
        (("model-a", "kv_cache_exhaustion", 0.9), {"users": None}, "impact"),
        (("nobody", "disk_full", 0.9), {}, "inventory"),
    ],
)
def test_conditions_that_are_not_met_are_told(row, more, guard):
    assert guard in {refusal.guard for one in listed(row, **more) for refusal in one.refusals}


@given(st.floats(0.4, 1.0), st.floats(0.0, 0.6), st.floats(0.0, 0.3))
def test_what_may_be_an_unknown_mode_is_not_acted_upon(known, here, elsewhere):
    rows = (("model-a", "memory_leak", known), ("model-a", UNKNOWN, here), ("gateway", UNKNOWN, elsewhere))
    best = next(one for one in listed(*rows) if one.entity == "model-a")
    assert ("unknown" in {refusal.guard for refusal in best.refusals}) == (known < CLEARLY * (here + elsewhere))


@pytest.mark.parametrize(("there", "refused"), [(0.45, True), (0.091, True), (0.089, False)])
def test_what_two_entities_show_alike_is_no_fault_of_one(there, refused):
    best = listed(("model-a", "memory_leak", 0.45), ("model-b", "memory_leak", there))[0]
    assert ("alike" in {refusal.guard for refusal in best.refusals}) == refused
    other = listed(("model-a", "memory_leak", 0.45), ("feature-store", "stale_features", there))
    assert not [one for one in other if "alike" in {refusal.guard for refusal in one.refusals}]


@pytest.mark.parametrize(
    ("since", "refused"),
    [
        ({}, False),  # nobody tells
        ({"config_hash": at(-905)}, False),  # nobody tells what matters
        ({"config_hash": at(-905), "model_version": at(-895)}, False),
        ({"model_version": at(5)}, False),  # felt before it was known
        ({"model_version": at(-901)}, True),
    ],
)
def test_nobody_goes_back_to_what_was_before_where_it_is_the_same(since, refused):
    known = ServiceState(at(20), state().healthy, state().groups, True, {"model-a": since, "model-b": {}})
    rows = suspects(causes(("model-a", "bad_model_version", 0.9)), "a1")
    (found,) = options(rows, [PLAYBOOKS["roll-back-model"]], HERE, known, History(), 10.0, at(0))
    told = [one.guard for one in found.refusals]
    assert told == ([UNCHANGED] if refused else [])


@pytest.mark.parametrize(("seconds", "refused"), [(0, True), (9.9, True), (10, False)])
@pytest.mark.parametrize("moments", [(at(0),), (at(-60), at(0))])  # from the impact, or from when it was taken for it
def test_what_others_may_show_a_little_later_is_waited_for(moments, seconds, refused):
    rows = suspects(causes(("model-a", "bad_model_version", 0.9)), "a1")
    (found,) = options(rows, [PLAYBOOKS["roll-back-model"]], HERE, state(seconds), History(), 10.0, *moments)
    assert [one.guard for one in found.refusals] == (["lasts"] if refused else [])
    assert found.waits == refused
