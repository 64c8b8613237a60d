"""The repairer: from an alarm to a verdict and what follows it, to people where it ends, and again after a kill."""

import contextlib
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import mlflow
import pytest
from repairing import OPEN, Supervisor, aftermath, alarm, at, causes, forked, inventory, repairer, state

from stability.remediation import Record, Repairer, log_record, read_playbooks
from stability.remediation.doing import UNDER_WAY, intent
from stability.schema import ContractError, validate

LEAK = ("model-a", "memory_leak", 0.9)
OVERLOAD = ("model-a", "overload", 0.9)
FREE = OPEN.model_copy(update={"cool_down": 0.0, "touched": 0.0})


@pytest.fixture
def supervisor():
    made = Supervisor()
    yield made
    made.close()


class Post:
    """Takes messages, or does not."""

    def __init__(self):
        self.taken, self.works = [], True

    def __call__(self, title, text, *, bad=False):
        if self.works == "raises":
            raise RuntimeError("json://user:s3cret@host")
        if self.works:
            self.taken.append((title, text, bad))
        return self.works


def begin(made, row=LEAK, name="a1", seconds=0.0):
    decision = made.decide(alarm(name, seconds=seconds - 20), causes(row, name=name), at(seconds), state(seconds))
    assert decision.acts, decision.because
    assert made.act(decision, at(seconds), state(seconds)).status == "done"
    return made.open_cases()[-1]


def see(made, case, seconds, **more):
    return made.observe(case, aftermath(case, seconds, **more), case.acted_at + (at(seconds) - at(0)))


# ---- what follows a verdict ---------------------------------------------------------------------------------------
def test_a_repair_that_helps_is_verified_once_and_learnt_from(tmp_path, supervisor):
    post = Post()
    made = repairer(tmp_path, supervisor.url, send=post)
    playbook = made.playbooks["restart-replica"]
    case = begin(made)
    assert made.history.effect(playbook) == (4, 1)
    early = see(made, case, 20)
    assert (early.verdict, early.final, early.next) == ("inconclusive", False, ())
    assert len(made.open_cases()) == 1
    late = see(made, case, 150)
    assert (late.verdict, late.final, late.next, late.escalated) == ("verified", True, (), False)
    assert made.open_cases() == []
    assert see(made, case, 160).verdict == "verified"  # asked again, nothing is written
    assert made.actions()["verdict"].tolist() == ["verified"]
    assert made.history.effect(playbook) == (5, 1)
    assert [title for title, _, _ in post.taken] == ["restart-replica on model-a: verified"]
    validate(made.actions(), "actions")


def test_what_has_not_helped_is_taken_back_then_comes_the_next_step_then_people(tmp_path, supervisor):
    post = Post()
    made = Repairer(
        [*read_playbooks()],
        _with_shedding(supervisor),
        Record(tmp_path / "r.jsonl"),
        OPEN.model_copy(update={"tries": 1}),
        mode="automatic",
        send=post,
    )
    case = begin(made, OVERLOAD)
    assert supervisor.done == ["POST /scale/3"]
    progress = see(made, case, 185, well=False)
    assert (progress.verdict, progress.final) == ("not_recovered", True)
    assert [(decision.kind, decision.step) for decision in progress.next] == [("rollback", 0), ("step", 1)]
    assert made.pending() == list(progress.next)
    assert made.decide(alarm(), causes(OVERLOAD), at(190), state(190)) == progress.next[0]
    supervisor.processes["model-c"] = {"port": 1}
    for k, decision in enumerate(progress.next):
        assert made.act(decision, at(190 + 5 * k), state(190 + 5 * k)).status == "done"
    assert supervisor.done == ["POST /scale/3", "POST /scale/2", "POST /shed"]
    assert made.pending() == []
    [case] = made.open_cases()
    assert case.step == 1
    assert case.impact_start == at(-20)
    progress = see(made, case, 185, well=False)
    assert progress.escalated
    assert [decision.kind for decision in progress.next] == ["rollback"]
    assert made.act(progress.next[0], at(400), state(400)).status == "done"
    assert supervisor.done[-1] == "POST /unshed"
    table = made.actions().sort_values("start")
    assert table["step"].tolist() == ["1 scale_out", "1 scale_out back", "2 shed_load", "2 shed_load back"]
    assert table["verdict"].isna().tolist() == [False, True, False, True]
    assert [bad for _, _, bad in post.taken] == [True, True]
    again = made.decide(alarm(), causes(OVERLOAD), at(401), state(401))
    assert (again.kind, again.because) == ("nothing", "the alarm was handed to people")


def _with_shedding(supervisor):
    shedding = {"control": "http", "shed": f"{supervisor.url}/shed", "unshed": f"{supervisor.url}/unshed"}
    testbed = {"control": "testbed", "supervisor": supervisor.url}
    return inventory(supervisor.url).model_validate({"entities": [{"match": ["*"], "controls": [testbed, shedding]}]})


def test_after_a_playbook_that_did_not_help_another_one_is_tried_and_none_twice(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, FREE)
    rows = (("model-a", "memory_leak", 0.5), ("model-a", "bad_configuration", 0.45))
    first = made.decide(alarm(), causes(*rows), at(0), state())
    assert made.act(first, at(0), state()).status == "done"
    [case] = made.open_cases()
    progress = see(made, case, 185, well=False)
    assert (progress.next, progress.escalated) == ((), False)
    second = made.decide(alarm(), causes(*rows), at(190), state(190))
    assert {first.playbook, second.playbook} == {"restart-replica", "roll-back-configuration"}
    assert made.act(second, at(190), state(190)).status == "done"
    [case] = made.open_cases()
    assert see(made, case, 185, well=False).escalated
    assert made.decide(alarm(), causes(*rows), at(400), state(400)).kind == "nothing"
    # Failures count by the probability that the cause was right.
    helped, failed = made.history.effect(made.playbooks["restart-replica"])
    assert (helped, failed) == (4, pytest.approx(1 + 0.5 * 0.2 / (1 - 0.5 * 0.8)))


def test_nothing_seen_is_no_success_and_calls_people(tmp_path, supervisor):
    post = Post()
    made = repairer(tmp_path, supervisor.url, send=post)
    case = begin(made)
    progress = see(made, case, 400, seen=False)
    assert (progress.verdict, progress.final, progress.escalated, progress.next) == ("inconclusive", True, True, ())
    assert made.history.effect(made.playbooks["restart-replica"]) == (4, 1)
    assert post.taken[0][2] is True
    assert "no data" in post.taken[0][1]


def test_an_action_that_failed_is_not_waited_for(tmp_path, supervisor):
    supervisor.status = 500
    made = repairer(tmp_path, supervisor.url, FREE)
    decision = made.decide(alarm(), causes(("model-a", "replica_crash", 0.9)), at(0), state())
    assert made.act(decision, at(0), state()).status == "failed"
    [case] = made.open_cases()
    progress = see(made, case, 2, well=False)
    assert (progress.verdict, progress.final) == ("not_recovered", True)
    assert "the action failed: answered 500" in progress.checks[0]
    assert [(decision.kind, decision.step) for decision in progress.next] == [("step", 1)]
    assert made.actions()["verdict"].isna().all()  # nobody has seen whether it helped: it was not done


def test_a_way_back_that_fails_ends_the_repair_and_calls_people(tmp_path, supervisor):
    post = Post()
    made = repairer(tmp_path, supervisor.url, FREE, send=post)
    case = begin(made, OVERLOAD)
    progress = see(made, case, 185, well=False)
    supervisor.status = 503
    assert made.act(progress.next[0], at(190), state(190)).status == "failed"
    assert made.pending() == []  # the next step is not taken
    assert "could not be taken back" in post.taken[-1][0]


def test_a_step_that_nobody_takes_in_time_is_dropped_and_people_are_called(tmp_path, supervisor):
    post = Post()
    made = repairer(tmp_path, supervisor.url, FREE, send=post)
    see(made, begin(made, OVERLOAD), 185, well=False)
    assert len(made.pending()) == 2
    made.resume(at(1200))
    assert made.pending() == []
    assert any("not done in time" in title for title, _, _ in post.taken)


def test_a_repair_that_nobody_judges_is_inconclusive_in_the_end(tmp_path, supervisor):
    post = Post()
    made = repairer(tmp_path, supervisor.url, FREE, send=post)
    begin(made)
    made.resume(at(3700))
    assert made.actions()["verdict"].tolist() == ["inconclusive"]
    assert "nobody judged" in post.taken[0][0]


def test_an_aftermath_of_another_repair_is_an_error(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url)
    case = begin(made)
    other = aftermath(case, 150)
    object.__setattr__(other, "entity", "model-b")
    with pytest.raises(ContractError, match="the aftermath of model-a"):
        made.observe(case, other, at(150))


# ---- when nothing is done -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rows", "kind", "words"),
    [
        ([], "escalate", "nobody said"),
        ([(None, None, 0.6), LEAK], "nothing", "no fault"),
        ([("model-a", "unknown", 0.6), ("model-a", "memory_leak", 0.39)], "escalate", "not known"),
        ([("model-a", None, 0.6)], "escalate", "not known"),
        ([("model-a", "memory_leak", 0.5), ("gateway", "unknown", 0.4)], "escalate", "for a mode that nobody knows"),
        (
            [("model-a", "memory_leak", 0.46), ("model-b", "memory_leak", 0.46)],
            "escalate",
            "the same at another entity",
        ),
        ([("gateway", "traffic_loss", 0.9)], "escalate", "no playbook for traffic_loss"),
        ([("model-a", "memory_leak", 0.3)], "nothing", "probability: P 0.30"),
        ([("somebody", "disk_full", 0.9)], "escalate", "nobody can clean_disk somebody"),
        ([("feature-store", "network_loss", 0.9)], "escalate", "no playbook for network_loss on feature-store: alone"),
    ],
)
def test_nothing_is_done_with_a_reason_that_is_written_down(tmp_path, supervisor, rows, kind, words):
    post = Post()
    made = repairer(tmp_path, supervisor.url, send=post)
    decision = made.decide(alarm(), causes(*rows), at(0), state())
    assert (decision.kind, made.act(decision, at(0), state()).status) == (kind, "nothing")
    assert words in decision.because
    told = [entry.facts["decision"] for entry in made.record.entries() if entry.kind == "decision"]
    assert [one["because"] for one in told] == [decision.because]
    assert len(post.taken) == (kind == "escalate")
    assert supervisor.asked == []


def test_what_costs_more_than_it_saves_is_not_done(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url)
    decision = made.decide(alarm(), causes(LEAK), at(0), state(), impact=0.2)
    assert decision.kind == "nothing"
    assert "more than it saves" in decision.because


def test_the_same_answer_is_written_once_and_said_once_and_a_new_one_again(tmp_path, supervisor):
    post = Post()
    made = repairer(tmp_path, supervisor.url, send=post)
    strange = causes(("model-a", "unknown", 0.9))
    answers = [made.decide(alarm(), strange, at(k), state(k)) for k in range(5)]
    assert {answer.decision_id for answer in answers} == {answers[0].decision_id}
    assert len(post.taken) == 1
    assert '"entity": "model-a"' in post.taken[0][1]  # the evidence goes with it
    known = [made.decide(alarm(), causes(LEAK), at(k), state(k)) for k in (6, 7)]
    assert known[0].acts
    assert known[0] == known[1]
    assert sum(entry.kind == "decision" for entry in made.record.entries()) == 2
    assert made.decide(alarm(), causes(LEAK), at(800), state(800)).decision_id != known[0].decision_id
    other = repairer(tmp_path, supervisor.url, mode="approved", send=post)
    assert other.decide(alarm(), causes(LEAK), at(801), state(801)).at == at(801)  # of its own, which can be approved
    assert other.decide(alarm(), causes(LEAK), at(802), state(802)).at == at(801)


def test_a_message_that_nobody_took_is_said_again_and_holds_nothing_up(tmp_path, supervisor):
    post = Post()
    made = repairer(tmp_path, supervisor.url, send=post)
    for k, works in enumerate(["raises", False, True, True]):
        post.works = works
        made.decide(alarm(), causes(("model-a", "unknown", 0.9)), at(100 * k), state(100 * k))
    assert len(post.taken) == 1
    assert "s3cret" not in made.record.path.read_text()
    other = repairer(tmp_path, supervisor.url, send=post)  # nor after a restart
    other.decide(alarm(), causes(("model-a", "unknown", 0.9)), at(500), state(500))
    assert len(post.taken) == 1


@pytest.mark.parametrize("what", ["nobody knows it", "inconclusive"])
def test_whoever_is_killed_while_it_calls_people_calls_them_after_a_start(tmp_path, supervisor, what):
    class Killed(BaseException):
        pass

    def send(title, text, *, bad=False):
        raise Killed

    first = repairer(tmp_path, supervisor.url)
    case = begin(first) if what == "inconclusive" else None
    unknown = causes(("model-a", "unknown", 0.9))
    first.send = send
    with pytest.raises(Killed):
        see(first, case, 400, seen=False) if case else first.decide(alarm(), unknown, at(400), state(400))
    post = Post()
    again = repairer(tmp_path, supervisor.url, send=post)
    for k in (401, 430, 470, 480, 900):
        again.sweep(at(k))
        assert len(post.taken) == (k > 461)
    assert "help needed" in post.taken[0][0]
    assert ('"entity": "model-a"' if case is None else "no data") in post.taken[0][1]
    assert again.history.owed == {}


# ---- kill -9 ----------------------------------------------------------------------------------------------------
class Killed(BaseException):
    """The end of a process."""


@contextlib.contextmanager
def killed_after(monkeypatch, lines):
    """The process ends where it would write another line of the record than so many."""
    append, left = Record.append, [lines]

    def written(record, *given, **facts):
        if not left[0]:
            raise Killed
        left[0] -= 1
        return append(record, *given, **facts)

    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        patch.setattr(Record, "append", written)
        yield


def shedding(folder, supervisor, post):
    told = [*read_playbooks()], _with_shedding(supervisor), Record(folder / "r.jsonl")
    return Repairer(*told, OPEN.model_copy(update={"tries": 1}), mode="automatic", send=post)


@pytest.mark.parametrize("lines", range(1, 5))
def test_whoever_is_killed_while_a_way_back_fails_goes_no_further_and_people_hear_of_it(
    tmp_path, supervisor, monkeypatch, lines
):
    first = shedding(tmp_path, supervisor, Post())
    back, _ = see(first, begin(first, OVERLOAD), 185, well=False).next
    supervisor.status = 503
    with killed_after(monkeypatch, lines):
        first.act(back, at(190), state(190))
    supervisor.status = 200
    again = shedding(tmp_path, supervisor, Post())
    again.resume(at(300))
    assert again.pending() == []
    assert "POST /shed" not in supervisor.done
    again.sweep(at(400))
    told = [entry.facts["key"] for entry in again.record.entries() if entry.kind == "told"]
    assert sum("could not be taken back" in key for key in told) == 1
    assert "a1" in again.history.given_up


@pytest.mark.parametrize("lines", range(5))
def test_whoever_is_killed_while_it_drops_what_was_not_done_in_time_calls_people_after_a_start(
    tmp_path, supervisor, monkeypatch, lines
):
    first = shedding(tmp_path, supervisor, Post())
    see(first, begin(first, OVERLOAD), 185, well=False)
    with killed_after(monkeypatch, lines):
        first.sweep(at(3000))
    again = shedding(tmp_path, supervisor, Post())
    for seconds in (3000, 3100):
        again.sweep(at(seconds))
    told = [entry.facts["key"] for entry in again.record.entries() if entry.kind == "told"]
    assert sum("not done in time" in key for key in told) == len(set(told)) - 1 == 2
    assert again.pending() == []
    assert again.decide(alarm(), causes(OVERLOAD), at(3200), state(3200)).kind == "nothing"


@pytest.mark.parametrize("lines", range(3))
@pytest.mark.parametrize("seen", [False, None], ids=["not recovered", "nothing seen"])
def test_whoever_is_killed_while_a_verdict_is_written_loses_nothing_that_follows_from_it(
    tmp_path, supervisor, monkeypatch, lines, seen
):
    """The steps that come next, the call of people: each once, after whichever line of them the process ended."""

    first = shedding(tmp_path, supervisor, Post())
    case = begin(first, OVERLOAD)
    seconds, more = (185, {"well": False}) if seen is False else (400, {"seen": False})

    with killed_after(monkeypatch, lines):
        see(first, case, seconds, **more)
    again = shedding(tmp_path, supervisor, Post())
    again.resume(at(seconds))
    if again.open_cases():
        assert again.pending() == []  # nothing follows from a verdict that is not there
        see(again, again.open_cases()[0], seconds + 1, **more)
    again.sweep(at(seconds + 70))
    kinds = [entry.kind for entry in again.record.entries()]
    assert kinds.count("verdict") == 1
    nexts = [(one.kind, one.step) for one in again.pending()]
    assert nexts == ([("rollback", 0), ("step", 1)] if seen is False else [])
    assert ("a1" in again.history.given_up) == (seen is None)
    if seen is None:
        assert kinds.count("told") == 1  # by the one or the other


def act(talk, folder, url):
    """What the other process does: it decides at the second that it is told, and acts."""
    made = repairer(folder, url, FREE)
    made.resume(at(0))
    talk.send("ready")
    k = talk.recv()
    decision = made.decide(alarm(), causes(LEAK), at(k), state(k))
    talk.send(f"decided {decision.kind}")
    talk.send(f"acted {made.act(decision, at(k), state(k)).status}")


def actor(folder, url):
    process, talk = forked(act, folder, url)
    assert talk.recv() == "ready"
    return process, talk


@pytest.mark.parametrize("moment", ["after the decision", "within the action", "after the action"])
def test_killed_at_any_moment_nothing_is_done_twice(tmp_path, supervisor, moment):
    supervisor.delay = 0.5 if moment == "within the action" else 0.0
    process, talk = actor(tmp_path, supervisor.url)
    talk.send(1)
    assert talk.recv() == "decided step"
    if moment == "within the action":
        while not supervisor.asked:
            time.sleep(0.005)
    elif moment == "after the action":
        assert talk.recv() == "acted done"
    process.kill()
    process.join()
    supervisor.delay = 0.0

    made = repairer(tmp_path, supervisor.url, FREE)
    cases = made.resume(at(30))
    if moment == "within the action":
        assert [(case.status, case.acted_at) for case in cases] == [("perhaps", at(30))]
    decision = made.decide(alarm(), causes(LEAK), at(31), state(31))
    made.act(decision, at(31), state(31))
    # Killed between the word and the deed, it counts as perhaps done: judged, and left undone rather than done twice.
    assert len(supervisor.done) == 1 or (moment == "after the decision" and not supervisor.done)
    [case] = made.open_cases()
    assert see(made, case, 150).verdict == "verified"
    assert made.actions()["verdict"].tolist() == ["verified"]


def test_what_another_process_is_doing_is_not_taken_for_lost(tmp_path, supervisor):
    supervisor.delay = 2.0
    _, talk = actor(tmp_path, supervisor.url)
    talk.send(1)
    while not supervisor.asked:
        time.sleep(0.005)
    made = repairer(tmp_path, supervisor.url, FREE)
    assert made.resume(at(5)) == []
    assert made.decide(alarm(), causes(LEAK), at(5), state(5)).kind == "nothing"
    assert [talk.recv(), talk.recv()] == ["decided step", "acted done"]
    assert [case.status for case in made.open_cases()] == ["done"]
    assert len(supervisor.done) == 1


def test_what_another_machine_began_has_its_time_before_it_counts_as_lost(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, FREE)
    decision = made.decide(alarm(), causes(LEAK), at(0), state())
    facts = intent(decision, made.playbooks["restart-replica"], state()) | {"host": "elsewhere", "pid": 1}
    made.record.append("intent", at(0), **facts, mode="automatic", approval=None)
    assert made.resume(at(179)) == []
    assert [case.status for case in made.resume(at(180))] == ["perhaps"]


def test_what_is_lost_while_we_run_keeps_nobody_waiting_for_ever(tmp_path, supervisor):
    post = Post()
    made = repairer(tmp_path, supervisor.url, FREE, send=post)
    decision = made.decide(alarm(), causes(LEAK), at(0), state())
    facts = intent(decision, made.playbooks["restart-replica"], state()) | {"host": "elsewhere", "pid": 1}
    made.record.append("intent", at(0), **facts, mode="automatic", approval=None)
    other = ("gateway", "cpu_saturation", 0.9)
    waits = made.decide(alarm("b"), causes(other, name="b"), at(170), state(170))
    assert "at_once" in waits.because
    made.sweep(at(181))
    assert [case.status for case in made.open_cases()] == ["perhaps"]
    late = at(181 + OPEN.forgotten + 1)
    made.sweep(late)
    assert made.open_cases() == []
    assert "nobody judged" in post.taken[-1][0]
    again = made.decide(alarm("b"), causes(other, name="b"), late, state(181 + OPEN.forgotten + 1))
    assert again.acts


def test_what_another_repairer_of_this_process_is_doing_is_not_taken_for_lost(tmp_path, supervisor):
    supervisor.gate.clear()
    made = repairer(tmp_path, supervisor.url, FREE)
    decision = made.decide(alarm(), causes(LEAK), at(0), state())
    with ThreadPoolExecutor(1) as worker:
        acting = worker.submit(made.act, decision, at(0), state())
        while not supervisor.asked:
            time.sleep(0.005)
        later = repairer(tmp_path, supervisor.url, FREE)  # as after a reload
        waits = later.resume(at(5))
        supervisor.gate.set()
        assert waits == []
        assert acting.result().status == "done"
    assert [case.status for case in later.open_cases()] == ["done"]


def test_what_could_not_be_written_down_is_not_begun_and_not_under_way(tmp_path, supervisor, monkeypatch):
    made = repairer(tmp_path, supervisor.url, FREE)
    decision = made.decide(alarm(), causes(LEAK), at(0), state())

    def full(*given, **told):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(made.record, "append", full)
        with pytest.raises(OSError, match="No space"):
            made.act(decision, at(0), state())
    assert (supervisor.done, UNDER_WAY) == ([], set())
    assert made.act(decision, at(1), state(1)).status == "done"


def test_a_way_back_that_is_lost_ends_the_repair_and_calls_people(tmp_path, supervisor):
    post = Post()
    made = repairer(tmp_path, supervisor.url, FREE, send=post)
    back, step = see(made, begin(made, OVERLOAD), 185, well=False).next
    facts = intent(back, made.playbooks[back.playbook], state(190)) | {"host": "elsewhere", "pid": 1}
    made.record.append("intent", at(190), **facts, mode="automatic", approval=None)
    told = made.act(step, at(191), state(191))  # it is still under way
    assert "order" in [refusal.guard for refusal in told.refusals]
    made.sweep(at(190 + 2 * back.plan["timeout"] + 1))
    assert made.pending() == []
    assert "could not be taken back" in post.taken[-1][0]


def test_no_step_is_taken_before_the_way_back_from_the_last_one(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, FREE)
    back, step = see(made, begin(made, OVERLOAD), 185, well=False).next
    told = made.act(step, at(190), state(190))
    assert [refusal.guard for refusal in told.refusals] == ["order"]
    assert supervisor.done == ["POST /scale/3"]
    supervisor.processes["model-c"] = {"port": 1}
    assert made.act(back, at(191), state(191)).status == "done"
    assert not made.act(step, at(192), state(192)).refusals


def test_an_action_may_take_its_time_in_a_thread_while_others_are_decided_on(tmp_path, supervisor):
    supervisor.delay = 0.5
    made = repairer(tmp_path, supervisor.url, FREE)
    decision = made.decide(alarm(), causes(LEAK), at(0), state())
    with ThreadPoolExecutor(1) as worker:
        acting = worker.submit(made.act, decision, at(0), state())
        seconds, kinds = 0, set()
        while not acting.done():
            seconds += 1
            strange = causes(("gateway", "unknown", 0.9), name=f"b{seconds}")
            kinds.add(made.decide(alarm(f"b{seconds}"), strange, at(seconds), state(seconds)).kind)
            made.open_cases()
            made.resume(at(seconds))
    assert acting.result().status == "done"
    assert kinds == {"escalate"}
    assert [case.status for case in made.open_cases()] == ["done"]
    numbers = [entry.number for entry in Record(made.record.path).entries()]
    assert numbers == list(range(len(numbers)))
    assert len(supervisor.done) == 1


@pytest.mark.soak
def test_killed_a_hundred_times_at_random_no_action_is_done_twice(tmp_path, supervisor):
    chance = random.Random(9)
    supervisor.delay = 0.05
    begun = 0
    for k in range(100):
        folder = tmp_path / str(k)
        process, talk = actor(folder, supervisor.url)
        before = len(supervisor.done)
        talk.send(1)
        time.sleep(chance.uniform(0, 0.2))
        process.kill()
        process.join()
        made = repairer(folder, supervisor.url, FREE)
        made.resume(at(30))
        made.act(made.decide(alarm(), causes(LEAK), at(31), state(31)), at(31), state(31))
        assert len(supervisor.done) - before <= 1
        assert len(made.open_cases()) == 1
        begun += len(supervisor.done) - before
    assert begun > 50


def test_a_next_step_that_was_decided_on_outlives_a_kill(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, FREE)
    progress = see(made, begin(made, OVERLOAD), 185, well=False)
    again = repairer(tmp_path, supervisor.url, FREE)
    again.resume(at(190))
    assert again.pending() == list(progress.next)


# ---- what it leaves -----------------------------------------------------------------------------------------------
def test_the_record_is_an_artifact_of_a_run(tmp_path, supervisor, empty_store):
    made = repairer(tmp_path, supervisor.url)
    begin(made)
    mlflow.set_tracking_uri(f"sqlite:///{shutil.copy(empty_store, tmp_path)}")
    experiment = mlflow.create_experiment("repairs", artifact_location=(tmp_path / "artifacts").as_uri())
    with mlflow.start_run(experiment_id=experiment):
        log_record(made.record)
    [copy] = (tmp_path / "artifacts").rglob("record.jsonl")
    assert copy.read_bytes() == made.record.path.read_bytes()
    assert [entry.kind for entry in Record(copy).entries()] == ["decision", "intent", "outcome"]
