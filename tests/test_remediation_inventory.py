"""What a site writes down: the examples of docs/repair.md can be read, and match what they say."""

import re

import pytest
import yaml

from stability.remediation import ACTIONS, Guards, read_guards, read_inventory
from stability.remediation.actions import able
from stability.remediation.inventory import Inventory
from stability.schema import ContractError, home

PAGE = (home() / "docs" / "repair.md").read_text()


def block(name):
    return re.search(rf"```yaml {name}\n(.*?)```", PAGE, re.S)[1]


@pytest.fixture
def inventory(tmp_path):
    (tmp_path / "inventory.yaml").write_text(block("inventory"))
    return read_inventory(tmp_path / "inventory.yaml")


def test_the_inventory_of_the_page_names_who_does_what(inventory):
    kinds = {
        (name, action): control.control
        for name in ("model-a", "ingest", "cache", "web-1", "ranker", "other")
        for action in ACTIONS
        if (control := able(inventory, name, action))
    }
    assert kinds["ingest", "reload"] == "systemd"
    assert kinds["web-1", "shed_load"] == "http"
    assert (kinds["ranker", "roll_back_model"], kinds["ranker", "restore"]) == ("mlflow", "files")
    assert {kind for (name, _), kind in kinds.items() if name == "other"} == {"webhook"}
    assert ("cache", "scale_out") not in kinds
    assert ("ranker", "restart") not in kinds


def test_the_page_lists_what_each_control_knows(inventory):
    rows = dict(re.findall(r"^\| (`[a-z`, ]+`) \| (.+) \|$", PAGE, re.M))
    for names, actions in rows.items():
        for name in re.findall(r"\w+", names):
            told = {action for action in ACTIONS if re.search(rf"\b{action}\b", actions)} or set(ACTIONS)
            there = [c for one in inventory.entities for c in one.controls if c.control == name]
            own = Inventory.model_validate(
                {"entities": [{"match": ["x"], "controls": [c.model_dump()]} for c in there]}
            )
            known = {a for a in ACTIONS for one in own.entities if able(Inventory(entities=[one]), "x", a)}
            assert known <= told, name
            assert told - known <= {"reload", "roll_back_configuration", "fail_over", "roll_back_model"}, name


def test_the_guards_of_the_page_are_the_defaults_but_for_their_windows():
    guards = read_guards(yaml.safe_load(block("guards")))
    assert guards.model_copy(update={"hands_off": [], "change": []}) == Guards()
    assert len(guards.hands_off) == len(guards.change) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("entities: [{match: [], controls: []}]", r"entities\.0\.(match|controls)"),
        ("entitties: []", "did you mean 'entities'"),
        ("entities: [{macth: [a], controls: []}]", "did you mean 'match'"),
        ("- a", r"yaml: expected a mapping, got a list\. Remedy: its keys are entities"),
        ("", "yaml: expected a mapping, got nothing"),
        ("entities:", "'entities': expected a list, got nothing"),
        ("entities: [null]", "got nothing. Remedy: its keys are match, controls"),
        ("entities: [{match: [a]}]", r"'entities\.0\.controls': expected the key, got nothing"),
        ("entities: [{match: [a], http: {reload: x}}]", "a known key, got 'http'. Remedy: there are: controls, match"),
        ("entities: [{match: [a], controls: {control: http, token: s3cret}}]", "got the keys control, token"),
    ],
)
def test_an_inventory_that_says_nothing_clear_is_an_error(tmp_path, text, words):
    (tmp_path / "inventory.yaml").write_text(text)
    with pytest.raises(ContractError, match=words):
        read_inventory(tmp_path / "inventory.yaml")


def test_an_empty_inventory_lets_nobody_be_touched():
    assert able(Inventory(), "anything", "restart") is None
