"""Actions on real servers, real commands and real files: what is asked, what comes of it, and how it is taken back."""

import hashlib
import hmac
import json
import os
import select
import signal
import socket
import threading
import time

import httpx
import mlflow
import psutil
import pytest
from repairing import inventory

from stability.remediation.actions import Task, able, perform
from stability.remediation.commands import run
from stability.remediation.inventory import Inventory, read_inventory
from stability.remediation.playbooks import ACTIONS
from stability.remediation.versions import earlier_file
from stability.schema import ContractError

AT = "2026-03-01T12:00:00+00:00"


def controlled(**control):
    return Inventory.model_validate({"entities": [{"match": ["thing"], "controls": [control]}]})


def do(there, action, entity="thing", undo=None, timeout=10.0, **facts):
    return perform(there, Task(action, entity, "a1-step", AT, timeout, facts), undo)[0]


# ---- the testbed ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("action", "entity", "asked", "back"),
    [
        ("restart", "model-a", "/processes/model-a/restart", None),
        ("reload", "model-a", "/processes/model-a/reload", None),
        ("clean_disk", "model-a", "/processes/model-a/clean", None),
        ("roll_back_configuration", "model-a", "/processes/model-a/rollback", None),
        ("roll_back_model", "model-a", "/processes/model-a/rollback", None),
        ("restore", "feature-store", "/restore?folder=%2Fb%20%26c", None),
        ("scale_out", "model-a", "/scale/3", "/scale/2"),
        ("fail_over", "model-a", "/admin/drain/model-a?drained=true", "/admin/drain/model-a?drained=false"),
    ],
)
def test_the_supervisor_is_asked_for_what_the_action_means(supervisor, action, entity, asked, back):
    there = inventory(supervisor.url, backup="/b &c")
    outcome = do(there, action, entity)
    assert outcome.status == "done"
    assert supervisor.done == [f"POST {asked}"]
    assert (outcome.undo is not None) == (back is not None)
    if back:
        supervisor.processes["model-c"] = {"port": 1}
        assert do(there, action, entity, outcome.undo).status == "done"
        assert supervisor.done[-1] == f"POST {back}"


def test_there_are_no_more_replicas_than_allowed_and_no_second_store(supervisor):
    assert "no more than 2" in do(inventory(supervisor.url, most=2), "scale_out", "model-a").detail
    assert "no replica" in do(inventory(supervisor.url), "scale_out", "feature-store").detail
    assert able(inventory(supervisor.url), "feature-store", "restore") is None  # no backup is known
    assert (
        "somebody has changed that since"
        in do(inventory(supervisor.url), "scale_out", "model-a", {"replicas": 2}).detail
    )
    assert supervisor.done == []


def test_the_supervisor_is_found_by_the_folder_of_the_testbed(tmp_path, supervisor):
    there = controlled(control="testbed", folder=str(tmp_path))
    assert "a testbed that runs" in do(there, "restart").detail
    (tmp_path / "state.json").write_text(json.dumps({"supervisor": {"port": supervisor.server.server_port}}))
    assert do(there, "restart").status == "done"


# ---- what goes wrong ------------------------------------------------------------------------------------------------
def test_a_refusal_is_told_in_its_own_words_and_bounded(supervisor):
    supervisor.status, supervisor.answer = 409, json.dumps({"detail": "never\nchanged " + "x" * 9000}).encode()
    outcome = do(inventory(supervisor.url), "roll_back_model", "model-a")
    assert outcome.status == "failed"
    assert outcome.detail.startswith("answered 409: never changed x")
    assert len(outcome.detail) < 500


@pytest.mark.parametrize("status", [301, 302, 307])
def test_nobody_is_sent_elsewhere(supervisor, status):
    supervisor.status = status
    assert do(inventory(supervisor.url), "restart", "model-a").status == "failed"
    assert supervisor.asked == ["POST /processes/model-a/restart"]


def test_what_takes_too_long_is_timed_out_and_not_asked_again(supervisor):
    supervisor.delay = 60.0
    assert do(inventory(supervisor.url), "restart", "model-a", timeout=0.2).status == "timed_out"
    assert supervisor.answered == 0  # nobody waited for it
    while not supervisor.asked:
        time.sleep(0.005)
    assert len(supervisor.asked) == 1


@pytest.mark.parametrize("drips", ["the status", "headers", "the body", "a body without a length"])
def test_an_answer_that_drips_is_cut_off_when_the_time_is_over(drips):
    starts = {"the status": b"", "headers": b"HTTP/1.1 200 OK\r\n"}
    starts |= {"the body": b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n"}
    starts |= {"a body without a length": b"HTTP/1.1 200 OK\r\n\r\n"}
    rest = {"the status": b"HTTP/1.1 200 " + b"O" * 400, "headers": b"X-Slow: " + b"a" * 400}.get(drips, b" " * 400)
    dripped = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            peer, _ = server.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(starts[drips])
                for k in range(len(rest)):  # 20 s in all
                    if peer in select.select([peer], [], [], 0.05)[0]:
                        return  # whoever asked is gone
                    peer.sendall(rest[k : k + 1])
                    dripped.append(k)

        thread = threading.Thread(target=drip)
        thread.start()
        there = inventory(f"http://127.0.0.1:{server.getsockname()[1]}")
        outcome = do(there, "restart", "model-a", timeout=0.5)
        thread.join()
    assert (outcome.status, outcome.detail) == ("timed_out", "no whole answer within 0.5 s")
    assert 0 < len(dripped) < len(rest)


def test_an_answer_without_end_is_cut_off(supervisor):
    supervisor.answer = b"x" * (1 << 20)
    assert "more than 65,536 bytes" in do(inventory(supervisor.url), "restart", "model-a").detail


def test_a_server_that_is_not_there_or_speaks_no_http_is_an_outcome():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert do(inventory(url), "restart", "model-a").detail == "no answer: ConnectError"


def test_who_is_in_no_inventory_and_what_nobody_knows_are_outcomes(supervisor):
    assert "not in the inventory" in do(inventory(supervisor.url), "restart", "users").detail
    assert "not in the inventory" in do(inventory(supervisor.url), "shed_load", "model-a").detail
    assert supervisor.asked == []


# ---- routes of its own ----------------------------------------------------------------------------------------------
def test_routes_of_the_entity_are_asked_with_its_token_and_taken_back(supervisor, monkeypatch):
    routes = {
        name: f"{supervisor.url}/{name}" for name in ("reload", "roll_back", "shed", "unshed", "drain", "undrain")
    }
    there = controlled(control="http", token="THING_TOKEN", **routes)
    assert "THING_TOKEN holds no token" in do(there, "reload").detail
    monkeypatch.setenv("THING_TOKEN", "s3cret")
    assert do(there, "reload").undo is None
    assert do(there, "roll_back_configuration").status == "done"
    assert do(there, "fail_over", undo=do(there, "fail_over").undo).status == "done"
    assert do(there, "shed_load", undo=do(there, "shed_load").undo).status == "done"
    names = [asked.removeprefix("POST /") for asked in supervisor.asked]
    assert names == ["reload", "roll_back", "drain", "undrain", "shed", "unshed"]
    assert {told["Authorization"] for told in supervisor.headers} == {"Bearer s3cret"}
    assert {told["X-Stability-Delivery"] for told in supervisor.headers} == {"a1-step"}


# ---- webhooks -------------------------------------------------------------------------------------------------------
def test_a_webhook_is_signed_over_all_that_it_says(supervisor, monkeypatch):
    monkeypatch.setenv("HOOK", f"{supervisor.url}/hook")
    monkeypatch.setenv("HOOK_KEY", "k" * 20)
    monkeypatch.setenv("ST2", "s3cret")
    there = controlled(control="webhook", url="HOOK", secret="HOOK_KEY", keys={"St2-Api-Key": "ST2"})
    outcome = do(there, "call_webhook", job="retrain")
    assert outcome.status == "done"
    told, body = supervisor.headers[0], supervisor.bodies[0]
    assert told["X-Hub-Signature-256"] == f"sha256={hmac.new(b'k' * 20, body, hashlib.sha256).hexdigest()}"
    assert told["St2-Api-Key"] == "s3cret"
    said = {"delivery": "a1-step", "at": AT, "action": "call_webhook", "entity": "thing", "facts": {"job": "retrain"}}
    assert json.loads(body) == said
    assert do(there, "call_webhook", undo=outcome.undo).status == "done"
    assert json.loads(supervisor.bodies[1])["undo"] == {"delivery": "a1-step"}
    assert all(able(there, "thing", action) for action in ACTIONS)  # an automation outside may do whatever is asked


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HOOK", "", "HOOK is not set"),
        ("HOOK", "http://example.org/hook", "https for whatever"),
        ("HOOK", "https://me:s3cret@example.org", "without a password"),
        ("HOOK", "file:///etc/passwd", "http"),
        ("HOOK_KEY", "", "HOOK_KEY is not set"),
        ("HOOK_KEY", "s3cret", "fewer than 16 bytes"),
    ],
)
def test_a_webhook_without_a_safe_address_or_key_is_not_called(supervisor, monkeypatch, name, value, words):
    told = {"HOOK": f"{supervisor.url}/hook", "HOOK_KEY": "k" * 20} | {name: value}
    for key, text in told.items():
        monkeypatch.setenv(key, text)
    outcome = do(controlled(control="webhook", url="HOOK", secret="HOOK_KEY"), "restart")
    assert outcome.status == "failed"
    assert words in outcome.detail
    assert "s3cret" not in outcome.detail
    assert supervisor.asked == []


# ---- commands -------------------------------------------------------------------------------------------------------
@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Commands of the tools' names that write down how they were called."""
    folder, log = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    for tool in ("systemctl", "docker", "kubectl"):
        path = folder / tool
        path.write_text(
            f"#!/bin/sh\nprintf '%s\\t' {tool} \"$@\" >> {log}\necho >> {log}\nenv >> {tmp_path}/env\n"
            'case "$*" in *revision}) printf 7;; *jsonpath*) printf "${REPLICAS:-2}";; '
            '*fails*) echo "no such thing"; exit 3;; '
            "*hangs*) sleep 60 & sleep 60;; esac\n"
        )
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("STABILITY_APPROVAL_KEY", "s3cret" * 8)
    return lambda: [line.strip("\t").split("\t") for line in log.read_text().splitlines()] if log.exists() else []


def test_systemd_and_docker_are_called_with_fixed_arguments(tools, tmp_path):
    unit = controlled(control="systemd", name="app@1.service")
    assert do(unit, "restart").status == do(unit, "reload").status == "done"
    box = controlled(control="docker", name="app_1")
    assert do(box, "restart").status == do(box, "reload").status == "done"
    seen = ["systemctl", "is-active", "--quiet", "--", "app@1.service"]
    assert tools() == [
        ["systemctl", "restart", "--", "app@1.service"],
        seen,
        ["systemctl", "reload", "--", "app@1.service"],
        seen,
        ["docker", "restart", "--", "app_1"],
        ["docker", "kill", "--signal=HUP", "--", "app_1"],
    ]
    assert "s3cret" not in (tmp_path / "env").read_text()  # they get none of our secrets


def test_a_deployment_is_restarted_undone_and_scaled_and_its_rollout_waited_for(tools):
    there = controlled(control="kubernetes", deployment="app", namespace="prod", most=3)
    name, wait = ["deployment/app", "--namespace=prod"], ["kubectl", "rollout", "status", "deployment/app"]
    assert do(there, "restart").undo is None
    back = do(there, "roll_back_model")
    assert do(there, "roll_back_model", undo=back.undo).undo is None
    scaled = do(there, "scale_out")
    assert scaled.undo == {"replicas": 2}
    done = [call for call in tools() if call[:4] != wait]
    undo = ["kubectl", "rollout", "undo", *name]
    revision = r"--output=jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}"
    assert done == [
        ["kubectl", "rollout", "restart", *name],
        ["kubectl", "get", *name, revision],
        undo,
        ["kubectl", "get", *name, revision],
        [*undo, "--to-revision=7"],  # to what was there, also where the first undoing never arrived
        ["kubectl", "get", *name, "--output=jsonpath={.spec.replicas}"],
        ["kubectl", "scale", *name, "--current-replicas=2", "--replicas=3"],
    ]
    assert len(tools()) == len(done) + 4


def test_a_deployment_is_scaled_back_and_not_above_its_most(tools, monkeypatch):
    there = controlled(control="kubernetes", deployment="app", most=3)
    monkeypatch.setenv("PATH", os.environ["PATH"])
    assert do(there, "scale_out", undo={"replicas": 1}).status == "done"
    assert tools()[1] == [
        "kubectl", "scale", "deployment/app", "--namespace=default", "--current-replicas=2", "--replicas=1"
    ]  # fmt: skip
    small = controlled(control="kubernetes", deployment="app", most=2)
    assert "no more than 2" in do(small, "scale_out").detail


def test_a_deployment_is_looked_for_in_the_cluster_that_is_named(tools):
    there = controlled(control="kubernetes", deployment="app", context="arn:aws:eks:eu-1:12:cluster/prod")
    for action in ("restart", "roll_back_model", "scale_out"):
        assert do(there, action).status == "done"
    assert {call.count("--context=arn:aws:eks:eu-1:12:cluster/prod") for call in tools()} == {1}


def test_a_deployment_that_somebody_has_scaled_since_is_not_scaled_back(tools, monkeypatch):
    there = controlled(control="kubernetes", deployment="app", most=9)
    outcome = do(there, "scale_out", undo={"replicas": 4})
    assert outcome.status == "failed"
    assert "2 replicas, and 5 were left" in outcome.detail
    assert [call[1] for call in tools()] == ["get"]


def test_what_was_rolled_out_since_is_not_rolled_back(tools):
    there = controlled(control="kubernetes", deployment="app")
    assert "2 more revisions" in do(there, "roll_back_model", undo={"revision": 4}).detail
    assert [call[1] for call in tools()] == ["get"]
    assert do(there, "roll_back_model", undo={"revision": 6}).status == "done"


def test_a_command_that_fails_or_is_not_there_says_so(tools, monkeypatch):
    outcome = do(controlled(control="docker", name="fails"), "restart")
    assert outcome.status == "failed"
    assert "ended with 3: no such thing" in outcome.detail
    monkeypatch.setenv("PATH", "/nowhere")
    assert "no command 'docker'" in do(controlled(control="docker", name="app"), "restart").detail


def test_a_command_that_hangs_is_ended_with_its_children(tools):
    before = {process.pid for process in psutil.process_iter()}
    assert do(controlled(control="docker", name="hangs"), "restart", timeout=0.5).status == "timed_out"
    left = [p for p in psutil.process_iter(["cmdline"]) if p.pid not in before and p.info["cmdline"] == ["sleep", "60"]]
    assert left == []


def test_nothing_of_a_command_is_read_by_a_shell(tmp_path):
    outcome, said = run(("echo", f"$(touch {tmp_path}/made); `id` | cat > {tmp_path}/made"), 5)
    assert outcome.status == "done"
    assert said.startswith("$(touch")
    assert not (tmp_path / "made").exists()
    assert run(("sh", "-c", f"kill -{int(signal.SIGKILL)} $$"), 5)[0].status == "failed"


@pytest.mark.parametrize(
    "control",
    [
        {"control": "systemd", "name": "--force"},
        {"control": "systemd", "name": "a b.service"},
        {"control": "docker", "name": "-v"},
        {"control": "docker", "name": "a;reboot"},
        {"control": "docker", "name": "a\n"},
        {"control": "docker", "name": ""},
        {"control": "kubernetes", "deployment": "app --all"},
        {"control": "kubernetes", "deployment": "app", "namespace": "-n"},
        {"control": "kubernetes", "deployment": "App"},
        {"control": "http", "reload": "http://example.org/reload"},
        {"control": "http", "reload": "https://me:s3cret@example.org/reload"},
        {"control": "http", "reload": "file:///etc/passwd"},
        {"control": "testbed", "supervisor": "http://10.0.0.1:80"},
        {"control": "webhook", "url": "https://example.org", "secret": "S3CRET"},
        {"control": "shell", "name": "rm"},
        {"control": "http", "relaod": "http://127.0.0.1/"},
        {"control": "http", "token": "s3cret-value"},
        {"control": "http", "reload": "http://ops.example.org/hook?token=s3cret"},
        {"control": "http", "reload": "https://me:s3cret@[bad/x"},
        {"control": "http", "tokn": "s3cret"},
        {"control": "webhook", "url": "https://hooks.example.org/s3cret", "secret": "KEY"},
        {"control": "webhook", "url": "URL", "secret": "s3cret"},
        {"control": "webhook", "url": "URL", "secret": "KEY", "keys": {"X-Key": "s3cret"}},
        {"control": "webhook", "url": "URL", "secret": "KEY", "keys": {"name": "s3cret"}},
        {"control": ["s3cret"]},
        ["s3cret"],
        "s3cret",
        {"control": "docker", "name": ["run", "-e", "TOKEN=s3cret"]},
    ],
)
def test_names_and_addresses_that_could_be_more_than_that_are_errors(tmp_path, control):
    file = tmp_path / "inventory.yaml"
    file.write_text(json.dumps({"entities": [{"match": ["thing"], "controls": [control]}]}))
    with pytest.raises(ContractError, match=r"entities\.0\.controls\.0") as told:
        read_inventory(file)
    assert "s3cret" not in str(told.value)
    if "relaod" in control:
        assert "did you mean 'reload'" in str(told.value)


@pytest.mark.parametrize(
    ("control", "words"),
    [
        (
            {"control": "ansible"},
            r"0\.control': expected a known control, got 'ansible'. Remedy: there are: docker",
        ),
        ({"control": "dokcer", "name": "a"}, "got 'dokcer'. Remedy: did you mean 'docker'"),
        ({"control": None}, "expected a known control, got nothing"),
        (
            {"controll": "http"},
            r"0\.control': expected the key, got the keys controll. Remedy: its value is one",
        ),
        ({"control": "http", "tokn": "s3cret"}, "expected a known key, got 'tokn'. Remedy: did you mean 'token'"),
        ({"control": "docker"}, r"controls\.0\.name': expected the key, got nothing. Remedy: add 'name"),
        ({"control": "docker", "name": None}, "expected text, got nothing"),
        (None, r"controls\.0': expected a mapping, got nothing. Remedy: such as"),
        ({"control": "http"}, "expected reload, roll_back, shed or drain, without which it can do nothing"),
        ({"control": "http", "unshed": "https://a.example/", "token": "TOKEN"}, "without which it can do nothing"),
        ({"control": "files"}, "expected link, or state and backup, without which it can do nothing"),
        ({"control": "files", "state": "/s", "reload": "https://a.example/"}, "without which it can do nothing"),
    ],
)
def test_what_is_wrong_with_a_control_is_told_by_its_names(tmp_path, control, words):
    file = tmp_path / "inventory.yaml"
    file.write_text(json.dumps({"entities": [{"match": ["thing"], "controls": [control]}]}))
    with pytest.raises(ContractError, match=words):
        read_inventory(file)


def test_a_webhooks_address_reaches_no_log(supervisor, monkeypatch, caplog):
    monkeypatch.setenv("HOOK", f"{supervisor.url}/s3cret-token?key=s3cret")
    monkeypatch.setenv("HOOK_KEY", "k" * 32)
    with caplog.at_level("DEBUG"):
        assert do(controlled(control="webhook", url="HOOK", secret="HOOK_KEY"), "restart").status == "done"
        httpx.get(f"{supervisor.url}/plain", trust_env=False)
    assert "s3cret" not in caplog.text
    assert "/plain" in caplog.text  # what others ask is logged as ever


# ---- versions and state ---------------------------------------------------------------------------------------------
def test_a_link_goes_back_to_the_version_before_in_the_order_of_numbers(tmp_path, supervisor):
    for name in ("m-2.9.npz", "m-2.10.npz", "m-2.11.npz", "m-2.10.txt", ".m-2.10.npz"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "current"
    link.symlink_to("m-2.11.npz")
    there = controlled(control="files", link=str(link), reload=f"{supervisor.url}/reload")
    outcome = do(there, "roll_back_model")
    assert (outcome.status, link.read_text()) == ("done", "m-2.10.npz")
    assert supervisor.done == ["POST /reload"]
    assert do(there, "roll_back_model").status == "done"
    assert link.read_text() == "m-2.9.npz"
    assert do(there, "roll_back_model").status == "failed"
    assert "somebody has changed that since" in do(there, "roll_back_model", undo=outcome.undo).detail
    link.unlink()
    link.symlink_to("m-2.10.npz")  # as it was left
    assert do(there, "roll_back_model", undo=outcome.undo).status == "done"
    assert link.read_text() == "m-2.11.npz"
    away = {"target": "../../etc/passwd", "left": "m-2.11.npz"}
    assert "no version" in do(there, "roll_back_model", undo=away).detail
    supervisor.status = 500  # the link is back, and nobody serves it: it can still be taken back
    outcome = do(there, "roll_back_model")
    assert (outcome.status, outcome.undo) == ("failed", {"target": "m-2.11.npz", "left": "m-2.10.npz"})


@pytest.mark.parametrize(
    ("neighbours", "now", "before"),
    [
        (("v1.3.1", "v1.4.0", "v1.4.1"), "v1.4.1", "v1.4.0"),
        (("m-2.9", "m-2.10"), "m-2.10", "m-2.9"),
        (("m-2.8.npz", "m-2.9.npz", "m-2.9.1.npz"), "m-2.9.npz", "m-2.8.npz"),
        (("m-2.8.npz", "m-2.9.npz", "m-2.9.1.npz"), "m-2.9.1.npz", "m-2.9.npz"),
        (("churn-7.npz", "fraud-1.npz"), "fraud-1.npz", None),  # another model
        (("v1.3.9", "v1.4.0-rc1", "v1.4.0"), "v1.4.0", "v1.3.9"),  # nobody released a candidate
        (("2026-01-30", "2026-02-01"), "2026-02-01", "2026-01-30"),
        (("blue", "green"), "green", None),  # nobody knows which came first
    ],
)
def test_the_version_before_is_one_of_the_same(tmp_path, neighbours, now, before):
    for name in neighbours:
        (tmp_path / name).mkdir()
    (tmp_path / "current").symlink_to(now)
    assert earlier_file(tmp_path / "current") == before


def test_state_is_put_back_from_the_backup_and_taken_back(tmp_path):
    state, backup = tmp_path / "state", tmp_path / "backup"
    (backup / "deep").mkdir(parents=True)
    (backup / "deep" / "a").write_text("good")
    (state / "deep").mkdir(parents=True)
    (state / "deep" / "a").write_text("bad")
    (state / "new").write_text("kept")
    there = controlled(control="files", state=str(state), backup=str(backup))
    outcome = do(there, "restore")
    assert (outcome.status, (state / "deep" / "a").read_text()) == ("done", "good")
    assert (state / "new").read_text() == "kept"
    assert do(there, "restore", undo=outcome.undo).status == "done"
    assert (state / "deep" / "a").read_text() == "bad"
    (state / "later").mkdir()
    (backup / "later").write_text("a file where the state has a folder")
    outcome = do(there, "restore")  # the first file is back, the second cannot be
    assert (outcome.status, (state / "deep" / "a").read_text()) == ("failed", "good")
    assert do(there, "restore", undo=outcome.undo).status == "done"
    assert (state / "deep" / "a").read_text() == "bad"
    assert sorted(path.name for path in state.iterdir()) == ["deep", "later", "new"]  # no draft is left
    (backup / "later").unlink()
    (backup / "link").symlink_to("/etc/passwd")
    assert "no plain file" in do(there, "restore").detail
    assert (
        "no backup" in do(controlled(control="files", state=str(state), backup=str(tmp_path / "no")), "restore").detail
    )


def test_state_is_put_back_behind_no_link(tmp_path):
    state, backup, away = tmp_path / "state", tmp_path / "backup", tmp_path / "away"
    for folder in (state, backup / "sub", away):
        folder.mkdir(parents=True)
    (backup / "sub" / "hosts").write_text("ours")
    (state / "sub").symlink_to(away)
    outcome = do(controlled(control="files", state=str(state), backup=str(backup)), "restore")
    assert outcome.status == "failed"
    assert "behind a link" in outcome.detail
    assert list(away.iterdir()) == []


def test_a_registered_model_goes_back_to_the_version_before_by_its_alias(tmp_path):
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'store.db'}")
    client = mlflow.MlflowClient()
    client.create_registered_model("m")
    for _ in range(3):
        client.create_model_version("m", source=(tmp_path / "model").as_uri())
    client.set_registered_model_alias("m", "champion", "3")
    there = controlled(control="mlflow", model="m")

    def version():
        return int(client.get_model_version_by_alias("m", "champion").version)

    outcome = do(there, "roll_back_model")
    assert (outcome.status, version(), outcome.undo) == ("done", 2, {"version": 3, "left": 2})
    client.set_registered_model_alias("m", "champion", "1")
    assert "somebody has changed that since" in do(there, "roll_back_model", undo=outcome.undo).detail
    client.set_registered_model_alias("m", "champion", "2")
    assert do(there, "roll_back_model", undo=outcome.undo).status == "done"
    assert version() == 3
    for expected in (2, 1):
        assert do(there, "roll_back_model").status == "done"
        assert version() == expected
    assert "no version before 1" in do(there, "roll_back_model").detail
    assert do(controlled(control="mlflow", model="nobody"), "roll_back_model").status == "failed"
    client.set_registered_model_alias("m", "champion", "3")
    client.set_registered_model_alias("m", "previous", "1")  # version 2 was never in use
    assert (do(there, "roll_back_model").status, version()) == ("done", 1)
