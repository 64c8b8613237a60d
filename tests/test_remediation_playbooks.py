"""Playbooks: what ships covers the vocabulary, and what says nothing clear is an error with its place."""

import copy
import re

import pytest
import yaml

from stability.remediation import ACTIONS, Verification, for_mode, read_playbooks
from stability.schema import ContractError, home
from stability.testbed.modes import FAILURE_MODES
from stability.testbed.schedule import HEADLINE

VOCABULARY = re.findall(r"^\| `(\w+)` \|", (home() / "data" / "rules" / "README.md").read_text(), re.M)
WITHOUT = {"service_level_breach", "traffic_loss"}  # the first says no cause, the second's lies outside
ENDS = {  # what ends a mode of the testbed, as tests/test_testbed_repairs.py tries it; None: nothing but time
    "memory_leak": "restart",
    "cpu_saturation": "restart",
    "slow_dependency": "restart",
    "connection_pool_exhaustion": "restart",
    "descriptor_leak": "restart",
    "disk_full": "clean_disk",
    "bad_configuration": "roll_back_configuration",
    "bad_model_version": "roll_back_model",
    "replica_crash": None,
    "network_loss": None,
    "cache_stampede": "restart",
    "stale_features": "restore",
    "event_loop_stall": "restart",
}
GOOD = {
    "name": "one",
    "failure_modes": ["disk_full"],
    "steps": [{"action": "restart", "why": "because it helps", "rollback_why": "there is nothing to take back"}],
    "expected": "it is well again",
    "blast_radius": "entity",
    "risk": {"level": "low", "probability": 0.1, "minutes": 1},
    "cost": 0.1,
    "prior": {"helped": 1, "failed": 1},
}


@pytest.fixture(scope="module")
def shipped():
    return read_playbooks(modes=VOCABULARY)


def test_every_mode_of_the_vocabulary_has_a_playbook_but_those_that_say_no_cause(shipped):
    assert {mode for mode in VOCABULARY if not for_mode(shipped, mode)} == WITHOUT
    assert set(FAILURE_MODES) <= set(VOCABULARY)
    assert set(HEADLINE) <= set(ENDS) == set(FAILURE_MODES)


@pytest.mark.parametrize("mode", FAILURE_MODES)
@pytest.mark.parametrize("alone", [True, False])
def test_a_mode_of_the_testbed_begins_with_what_ends_it(shipped, mode, alone):
    on = FAILURE_MODES[mode].on
    there = [p for p in for_mode(shipped, mode) if p.conditions.alone in (None, alone)]
    if alone == all(entity.startswith("model-") for entity in on):
        return  # it befalls nobody of this kind
    if not there:  # nobody could take the requests of who stands alone
        assert (alone, ENDS[mode]) == (True, None)
    assert {p.steps[0].action for p in there} <= {ENDS[mode] or "fail_over"}
    if alone:  # who stands alone is touched by a playbook only that says whom it hurts
        assert all(p.blast_radius in ("service", "host") for p in there)


def test_what_ships_can_be_judged_and_every_action_is_used(shipped):
    for playbook in shipped:
        Verification(**playbook.verification)
        for step in playbook.steps:
            assert step.rollback == "undo" or step.rollback_why
    assert {step.action for playbook in shipped for step in playbook.steps} == set(ACTIONS)


def changed(place, value):
    told = copy.deepcopy(GOOD)
    *path, last = place.split(".")
    inner = told
    for part in path:
        inner = inner[int(part) if part.isdecimal() else part]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return {"playbooks": [told]}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"playbooks": [GOOD, GOOD]}, r"playbooks\.1\.name.*'one' again"),
        (changed("conditons", {}), r"playbooks\.0\.conditons.*did you mean 'conditions'"),
        (changed("steps.0.timout", 3), r"playbooks\.0\.steps\.0\.timout.*did you mean 'timeout'"),
        (changed("conditions", {"changed": {"sates": ["x"]}}), r"conditions\.changed\.sates.*did you mean 'states'"),
        (changed("conditions", {"changed": {"states": []}}), r"conditions\.changed\.states"),
        (changed("risk.chance", 3), r"risk\.chance.*there are: level"),
        (changed("steps.0.action", "restrat"), r"steps\.0\.action.*did you mean 'restart'"),
        (changed("steps.0.action", "rm -rf /"), r"steps\.0\.action.*an action"),
        (changed("failure_modes", ["disk_ful"]), r"failure_modes\.0.*did you mean 'disk_full'"),
        (changed("failure_modes", []), r"playbooks\.0\.failure_modes"),
        (changed("steps", []), r"playbooks\.0\.steps"),
        (changed("steps.0.rollback_why", None), "the reason why there is nothing to take back"),
        (changed("expected", None), "add 'expected: ...'"),
        (changed("cost", -1), "greater than or equal to 0"),
        (changed("verification", {"hodl": 30.0}), r"verification.*'hodl'; did you mean 'hold'"),
        (changed("verification", {"watch": 900.0}), r"verification.*at least hold and watch together"),
        (changed("cost", float("inf")), "finite"),
        (changed("cost", "1"), "number"),
        (changed("prior.helped", 0), "greater than 0"),
        (changed("name", "../one"), "pattern"),
        (changed("blast_radius", "moon"), "'entity', 'group', 'service' or 'host'"),
        ({"playbooks": ["one"]}, r"playbooks\.0.*expected a mapping"),
        ({"playbooks": "one"}, "with a list"),
        ({"playbook": [GOOD]}, "got the keys playbook"),
        ([GOOD], "got list"),
        (None, "got NoneType"),
    ],
)
def test_a_playbook_that_says_nothing_clear_is_an_error_with_its_place(tmp_path, told, words):
    file = tmp_path / "some.yaml"
    file.write_text(yaml.safe_dump(told))
    with pytest.raises(ContractError, match=words) as error:
        read_playbooks(file, modes=VOCABULARY)
    assert "some.yaml" in str(error.value)


def test_a_folder_without_playbooks_and_a_file_that_is_none_are_errors(tmp_path):
    with pytest.raises(ContractError, match="with playbooks"):
        read_playbooks(tmp_path)
    with pytest.raises(ContractError, match="no file"):
        read_playbooks(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("playbooks: [{")
    with pytest.raises(ContractError, match=r"a\.yaml, row 1"):
        read_playbooks(tmp_path)


def test_names_are_looked_at_across_files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"playbooks": [GOOD]}))
    with pytest.raises(ContractError, match=r"b\.yaml.*stands in a\.yaml"):
        read_playbooks(tmp_path)
