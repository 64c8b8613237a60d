"""What there was before: asked of real servers, files, a registry and a command, without changing anything."""

import mlflow
import pytest
from repairing import OPEN, aftermath, alarm, causes, inventory, repairer, state
from repairing import at as moment

from stability.remediation.before import Before
from stability.remediation.inventory import Inventory

BACK = "roll_back_model"


def nothing_before(here, entity, action):
    return Before(here).nothing(entity, action, moment(0))


def controlled(**control):
    return Inventory.model_validate({"entities": [{"match": ["thing"], "controls": [control]}]})


def test_the_supervisor_is_asked_and_changes_nothing(supervisor):
    here = inventory(supervisor.url)
    assert nothing_before(here, "model-a", BACK) == ""
    supervisor.changed = False
    assert nothing_before(here, "model-a", BACK) == "model-a was never changed"
    assert nothing_before(here, "model-a", "roll_back_configuration") == "model-a was never changed"
    assert set(supervisor.asked) == {"GET /processes/model-a/before"}
    assert nothing_before(here, "model-a", "restart") == ""  # it does not go back
    assert nothing_before(here, "nobody", BACK) == ""
    assert len(supervisor.asked) == 3


@pytest.mark.parametrize("answer", [b"[]", b"{}", b"no JSON", b'{"there": null}', b'{"there": 0}'])
def test_who_does_not_say_no_has_not_said_it(supervisor, answer):
    supervisor.answer = answer
    assert nothing_before(inventory(supervisor.url), "model-a", BACK) == ""


def test_who_does_not_answer_holds_nobody_up_and_has_not_said_no(supervisor, tmp_path):
    supervisor.changed, supervisor.delay = False, 30.0
    assert nothing_before(inventory(supervisor.url), "model-a", BACK) == ""  # who waited would know
    assert nothing_before(inventory("http://127.0.0.1:1"), "model-a", BACK) == ""
    assert nothing_before(controlled(control="testbed", folder=str(tmp_path)), "thing", BACK) == ""


def test_a_link_has_a_version_before_or_none(tmp_path):
    for name in ("m-2.npz", "m-10.npz"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "current"
    here = controlled(control="files", link=str(link))
    assert nothing_before(here, "thing", BACK) == ""  # nobody knows: there is no link
    for target, said in (("m-10.npz", ""), ("m-2.npz", "there is no version before m-2.npz")):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert nothing_before(here, "thing", BACK) == said
        assert link.read_text() == target


def test_a_registered_model_has_a_version_before_or_none(tmp_path):
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'store.db'}")
    client, here = mlflow.MlflowClient(), controlled(control="mlflow", model="m")
    assert nothing_before(here, "thing", BACK) == ""
    client.create_registered_model("m")
    for version, said in (("1", "m has no version before 1"), ("2", "")):
        client.create_model_version("m", source=(tmp_path / "model").as_uri())
        client.set_registered_model_alias("m", "champion", version)
        assert nothing_before(here, "thing", BACK) == said


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("deployment.apps/app\\nREVISION  CHANGE-CAUSE\\n1  <none>\\n", "deployment app has had one revision"),
        ("deployment.apps/app\\nREVISION  CHANGE-CAUSE\\n3  <none>\\n4  new\\n", ""),
        ("", ""),
    ],
)
def test_a_deployment_has_revisions(tmp_path, monkeypatch, said, expected):
    tool = tmp_path / "kubectl"
    tool.write_text(f"#!/bin/sh\necho \"$*\" >> {tmp_path}/calls\nprintf '{said}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    here = controlled(control="kubernetes", deployment="app", namespace="prod", context="own")
    assert nothing_before(here, "thing", BACK) == expected
    asked = (tmp_path / "calls").read_text()
    assert asked == "rollout history deployment/app --namespace=prod --context=own\n"


def test_routes_of_ones_own_are_not_asked(supervisor):
    here = controlled(control="http", roll_back=f"{supervisor.url}/back")
    assert nothing_before(here, "thing", "roll_back_configuration") == ""
    assert supervisor.asked == []


def test_an_answer_holds_for_half_a_minute_so_that_whoever_waits_asks_once(supervisor):
    asked = Before(inventory(supervisor.url))
    assert [asked.nothing("model-a", BACK, moment(k)) for k in range(30)] == [""] * 30
    assert len(supervisor.asked) == 1
    supervisor.changed = False
    assert asked.nothing("model-a", BACK, moment(30)) == "model-a was never changed"
    assert asked.nothing("model-b", BACK, moment(31)) == "model-b was never changed"
    assert len(supervisor.asked) == 3


def test_where_nothing_was_ever_changed_people_are_called_instead_of_going_back(tmp_path, supervisor):
    cause = causes(("model-a", "bad_model_version", 0.9))
    supervisor.changed = False
    own = repairer(tmp_path, supervisor.url)
    decision = own.decide(alarm(), cause, moment(0), state())
    assert decision.kind == "escalate"
    assert "model-a was never changed" in decision.because
    assert own.decide(alarm(), cause, moment(2), state(2)) == decision  # said once
    supervisor.changed = True
    decision = own.decide(alarm(), cause, moment(40), state(40))
    assert (decision.kind, decision.playbook, decision.entity) == ("step", "roll-back-model", "model-a")
    assert supervisor.done == []


def test_nobody_is_asked_about_what_is_not_worth_it(tmp_path, supervisor):
    supervisor.changed = False
    own = repairer(tmp_path, supervisor.url)
    decision = own.decide(alarm(), causes(("model-a", "bad_model_version", 0.9)), moment(0), state(), impact=0.2)
    assert (decision.kind, supervisor.asked) == ("nothing", [])


def test_the_next_best_is_done_where_there_is_nothing_to_go_back_to(tmp_path, supervisor):
    supervisor.changed = False
    own = repairer(tmp_path, supervisor.url)
    cause = causes(("model-a", "bad_model_version", 0.45), ("model-a", "memory_leak", 0.41))
    decision = own.decide(alarm(), cause, moment(0), state())
    assert (decision.kind, decision.playbook) == ("step", "restart-replica")


def test_nothing_else_is_done_while_it_is_waited_for_what_others_show(tmp_path, supervisor):
    own = repairer(tmp_path, supervisor.url)
    cause = causes(("model-a", "bad_model_version", 0.5), ("model-a", "memory_leak", 0.41))
    for seconds in (0, 9):  # the alarm has lasted; that it is taken for this has not
        decision = own.decide(alarm(), cause, moment(seconds), state(seconds), since=moment(0))
        assert (decision.kind, decision.waits, decision.options[0].playbook) == ("nothing", True, "roll-back-model")
    assert supervisor.asked == []
    decision = own.decide(alarm(), cause, moment(10), state(10), since=moment(0))
    assert (decision.kind, decision.waits, decision.playbook) == ("step", False, "roll-back-model")


def test_nobody_goes_back_twice_because_going_back_was_the_change(tmp_path, supervisor):
    own = repairer(tmp_path, supervisor.url, OPEN.model_copy(update={"cool_down": 0.0, "touched": 0.0}))
    cause = ("model-a", "bad_model_version", 0.9)
    decision = own.decide(alarm(), causes(cause), moment(0), state())
    assert own.act(decision, moment(0), state()).status == "done"
    [case] = own.open_cases()
    assert own.observe(case, aftermath(case, 150), moment(151)).verdict == "verified"
    for name, seconds, kind in (("b", 400, "escalate"), ("c", 880, "escalate"), ("d", 950, "step")):
        later = own.decide(alarm(name, seconds=seconds - 20), causes(cause, name=name), moment(seconds), state(seconds))
        assert later.kind == kind, later.because
        assert ("roll-back-model changed model-a" in later.because) == (kind == "escalate")
