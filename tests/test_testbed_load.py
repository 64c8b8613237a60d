"""The testbed's load: an open loop whatever the gateway does, every request counted once, in its second."""

import asyncio
import json
import subprocess
import sys
import threading
import time

import httpx
import pytest
from aiohttp import web
from conftest import free_port
from prometheus_client.parser import text_string_to_metric_families

from stability import records
from stability.testbed import load
from stability.testbed.arrivals import Arrivals
from stability.testbed.load import Load, Told
from stability.testbed.task import CLASSES, item_labels

LATE = 60  # s after which a test that waits for something gives up


class Gateway:
    """Answers on a thread of its own as it is told: good, wrong, failing, odd, or not at all."""

    def __init__(self):
        self.manner, self.port, self.asked, self.outcomes = "good", free_port(), [], []
        self.labels, self.loop, up = item_labels().tolist(), asyncio.new_event_loop(), threading.Event()

        async def predict(request):
            item = (await request.json())["item"]
            replica = ("model-a", "model-b")[len(self.asked) % 2]
            self.asked.append((self.manner, replica, item))
            if self.manner == "hanging":
                await asyncio.sleep(LATE)
            if self.manner == "failing":
                return web.json_response({"detail": "no"}, status=502, headers={"x-replica": replica})
            if self.manner == "odd":
                return web.Response(text="[]")
            if self.manner == "slow":
                await asyncio.sleep(0.3)
            label = (self.labels[item] + (self.manner == "wrong")) % CLASSES
            answer = {"label": label, "confidence": 0.9, "version": "1.0"}
            return web.json_response(answer, headers={"x-replica": replica})

        async def outcomes(request):
            self.outcomes.append((await request.json())["outcomes"])
            return web.Response(status=202)

        async def start():
            app = web.Application()
            app.add_routes([web.post("/v1/predict", predict), web.post("/v1/outcomes", outcomes)])
            self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await self.runner.setup()
            await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
            up.set()

        def work():
            self.loop.run_until_complete(start())
            self.loop.run_forever()

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()
        assert up.wait(LATE)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        async def end():
            await self.runner.cleanup()
            hanging = asyncio.all_tasks() - {asyncio.current_task()}
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(LATE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(LATE)
        self.loop.close()


@pytest.fixture
def gateway():
    started = Gateway()
    yield started
    started.stop()


def asked(gateway, home, **told):
    """Let users ask in this process, and give what they wrote down: the lines of all, and those of the replicas."""
    told = {"url": gateway.url, "port": free_port(), "rate": 80.0, "seed": 3, "home": home, "seconds": 3.0} | told
    asyncio.run(Load(Told(**told)).run())
    lines = [json.loads(line) for line in (home / "load.jsonl").read_text().splitlines()]
    return [line for line in lines if line["replica"] == "all"], [line for line in lines if line["replica"] != "all"]


def total(lines, name):
    return sum(line[name] for line in lines)


def until(true):
    """Wait for something to become true."""
    late = time.monotonic() + LATE
    while not true():
        assert time.monotonic() < late, "waited in vain"
        time.sleep(0.05)


def test_every_request_is_counted_once(gateway, tmp_path):
    whole, replicas = asked(gateway, tmp_path, seconds=6.0)
    assert [line["second"] for line in whole] == list(range(whole[0]["second"], whole[-1]["second"] + 1))
    assert total(whole, "sent") == total(whole, "answered") == len(gateway.asked) > 200
    assert total(whole, "failed") == total(whole, "wrong") == total(whole, "over") == whole[-1]["outstanding"] == 0
    for name in ("model-a", "model-b"):
        own = [line for line in replicas if line["replica"] == name]
        assert total(own, "answered") == sum(replica == name for _, replica, _ in gateway.asked)
    for line in whole:
        parts = [part for part in replicas if part["second"] == line["second"]]
        assert all(line[name] == total(parts, name) for name in ("answered", "failed", "slow", "wrong"))
        assert line["p50"] is None or 0 < line["p50"] <= line["p95"] <= line["max"]


@pytest.mark.parametrize(
    ("manner", "counted", "known"),
    [("wrong", "wrong", True), ("slow", "slow", True), ("failing", "failed", True), ("odd", "failed", False)],
)
def test_what_went_wrong_is_counted_as_such(gateway, tmp_path, manner, counted, known):
    gateway.manner = manner
    whole, replicas = asked(gateway, tmp_path)
    assert total(whole, counted) == total(whole, "sent") == len(gateway.asked) > 100
    assert total(whole, "answered") == (0 if counted == "failed" else total(whole, "sent"))
    assert {line["replica"] for line in replicas} == ({"model-a", "model-b"} if known else {""})


def test_arrivals_do_not_wait_for_a_gateway_that_hangs(gateway, tmp_path, monkeypatch):
    monkeypatch.setattr(load, "PATIENCE", LATE / 2)
    gateway.manner = "hanging"
    told = Told(gateway.url, free_port(), 80.0, 3, tmp_path, 4.0)

    async def asking():
        users = Load(told)
        task = asyncio.create_task(users.run())
        due, expected = users.begun, 0
        process = Arrivals(told.rate, told.seed, users.begun)
        while (due := process.after(due)[0]) < users.begun + told.seconds:
            expected += 1
        while len(gateway.asked) < expected:  # all of them, though none was answered
            assert not task.done()
            await asyncio.sleep(0.05)
        users.over.set()
        await task
        return expected

    assert asyncio.run(asyncio.wait_for(asking(), LATE)) == len(gateway.asked) > 150
    whole = [json.loads(line) for line in (tmp_path / "load.jsonl").read_text().splitlines()]
    assert total(whole, "answered") + total(whole, "failed") == 0
    assert whole[-1]["outstanding"] == len(gateway.asked)


def test_users_lose_patience(gateway, tmp_path, monkeypatch):
    monkeypatch.setattr(load, "PATIENCE", 0.5)
    gateway.manner = "hanging"
    whole, replicas = asked(gateway, tmp_path, seconds=2.0)
    assert total(whole, "failed") == total(whole, "sent") > 50
    assert {line["replica"] for line in replicas} == {""}
    assert min(line["p50"] for line in whole if line["p50"]) >= 0.5


def test_what_exceeds_the_cap_fails_at_once_and_is_said(gateway, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(load, "CAP", 20)
    gateway.manner = "hanging"
    whole, _ = asked(gateway, tmp_path, seconds=1.5)
    assert len(gateway.asked) == 20
    assert total(whole, "failed") == total(whole, "sent") == 20 + total(whole, "over")
    assert "20 requests are outstanding" in caplog.text


def test_a_gateway_that_is_not_there_fails_at_once(gateway, tmp_path):
    whole, _ = asked(gateway, tmp_path, url=f"http://127.0.0.1:{free_port()}", seconds=1.0)
    assert total(whole, "failed") == total(whole, "sent") > 20


def test_some_answers_are_judged_later_in_batches(gateway, tmp_path):
    gateway.manner = "wrong"
    whole, _ = asked(gateway, tmp_path, seconds=9.0)
    told = [outcome for batch in gateway.outcomes for outcome in batch]
    assert {frozenset(outcome) for outcome in told} == {frozenset(("replica", "good"))}
    assert {outcome["replica"] for outcome in told} == {"model-a", "model-b"}
    assert not any(outcome["good"] for outcome in told)
    assert 50 < len(told) < 0.4 * total(whole, "answered")
    assert len(gateway.outcomes) <= len(whole)


def test_a_process_of_its_own(gateway, tmp_path):
    port = free_port()
    told = (f"--url={gateway.url}", f"--port={port}", "--rate=250", f"--home={tmp_path}")
    process = subprocess.Popen(
        [sys.executable, "-m", "stability.testbed.load", *told],
        stdin=subprocess.PIPE,
    )
    own = httpx.Client(base_url=f"http://127.0.0.1:{port}")

    def healthy():
        try:
            return own.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(healthy)
        until(lambda: len(gateway.asked) > 500)
        families = text_string_to_metric_families(own.get("/metrics").text)
        shown = {sample.name: sample.value for family in families for sample in family.samples}
        assert shown["service_availability_ratio"] == 1
        assert shown["service_requests"] > 0
        assert 0 < shown["service_latency_seconds_p50"] <= shown["service_latency_seconds_p95"]
        assert "process_resident_memory_bytes" in shown
        answer = own.post("/admin/campaign", json={"factor": 2, "seconds": 5})
        assert answer.json() == {"factor": 2, "seconds": 5}
        for odd in ({"factor": 2}, {"factor": 99, "seconds": 5}, {"factor": "nan", "seconds": 5}, []):
            assert own.post("/admin/campaign", json=odd).status_code == 400
        gateway.manner = "failing"
        said = tmp_path / "feedback.jsonl"
        until(lambda: said.read_text().count("\n") >= 3)  # 3 or 4 a thousand of the failed ones
        process.stdin.close()
        assert process.wait(LATE) == 0
    finally:
        own.close()
        process.kill()
        process.wait()
    feedback = records.read_feedback(said, user="keep")
    assert set(feedback["channel"]) <= {"app", "chat", "email"}
    assert set(feedback["entity"].dropna()) <= {"model-a", "model-b"}
    assert "250 requests/s" in records.read_logs(tmp_path / "logs" / "users.jsonl", form="json")["message"][0]
    lines = (tmp_path / "load.jsonl").read_text().split("\n")
    assert lines[-1] == ""
    assert all(json.loads(line) for line in lines[:-1])


def test_it_starts_without_what_is_slow_to_import():
    program = (
        "import sys, stability.testbed.load; print([m for m in ('pandas', 'scipy', 'fastapi') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
