"""The testbed: its parts one by one, and the whole of it up, under load, broken, recorded and down."""

import asyncio
import contextlib
import errno
import functools
import json
import os
import re
import shutil
import signal
import sqlite3
import time

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
from backing import bare
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from stability.cli import app
from stability.remediation.before import Before
from stability.remediation.inventory import Inventory
from stability.schema import ContractError, load_yaml, read_table, validate
from stability.testbed import control, models, recording, recovery, scaling
from stability.testbed.effects import Effect
from stability.testbed.feature_store import Store
from stability.testbed.modes import BENIGN, ENTITIES, FAILURE_MODES
from stability.testbed.observations import BLOCK, build
from stability.testbed.plan import read_plan
from stability.testbed.pool import Pool
from stability.testbed.processes import running
from stability.testbed.recording import record
from stability.testbed.tables import fault_records
from stability.testbed.task import CLASSES, ITEMS, item_features, item_labels
from stability.testbed.volume import FILLER, QUOTA, Volume


# ---- parts ---------------------------------------------------------------------------------------------------------
@given(st.integers(1, 5), st.lists(st.sampled_from(["take", "give", "leave", "leak", "mend"]), max_size=40))
def test_pool_never_gives_more_than_it_has_and_forgets_nobody(size, steps):
    async def run():
        pool, held, waiting = Pool(), [], []
        pool.resize(size)

        async def enter():
            await pool.__aenter__()

        for step in steps:
            if step == "take":
                waiting.append(asyncio.create_task(enter()))
            elif step == "give" and held:
                held.pop()
                await pool.__aexit__(None, None, None)
            elif step == "leave" and waiting:
                waiting.pop().cancel()
            elif step == "leak":
                pool.leak(size)
            elif step == "mend":
                pool.leak(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            held += [task for task in waiting if task.done() and not task.cancelled()]
            waiting = [task for task in waiting if not task.done()]
            assert pool.used == len(held) <= size
            assert pool.pending == len(waiting)
            assert not (waiting and pool.free > 0)
        for task in waiting:
            task.cancel()

    asyncio.run(run())


def test_volume_is_full_at_its_quota_and_whole_again_when_cleaned(tmp_path):
    volume = Volume(tmp_path / "disk")
    volume.append(b"an answer\n")
    volume.fill(1.1)
    assert sum(file.stat().st_size for file in volume.folder.iterdir()) <= QUOTA
    volume.looked = 0.0
    with pytest.raises(OSError, match="No space left") as full:
        volume.append(b"x" * 4096)
    assert full.value.errno == errno.ENOSPC
    volume.clean()
    assert not (volume.folder / FILLER).exists()
    volume.append(b"an answer\n")
    assert (volume.folder / "answers.log").read_bytes() == b"an answer\n" * 2


def test_store_serves_the_features_of_the_items(tmp_path):
    store = Store(build(tmp_path))
    for number in (0, 7, ITEMS // BLOCK - 1):
        near = item_features()[number * BLOCK : (number + 1) * BLOCK]
        assert np.abs(store.block(number) - near).max() < 0.75
        assert np.abs(store.block(number) - near).mean() < 0.06
    assert store.drift() < 0.1
    before = store.block(7)
    store.stale = 1.0
    assert np.abs(store.block(7) - before).mean() > 0.5


def test_store_is_built_whole_or_not_at_all(tmp_path):
    path = build(tmp_path)
    inode = path.stat().st_ino
    assert build(tmp_path).stat().st_ino == inode
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("select count(*) from observations").fetchone() == (ITEMS // BLOCK,)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A testbed's folder, and what `up` said of it; it is down in the end, whatever happens."""
    folder = tmp_path_factory.mktemp("session") / "testbed"
    try:
        yield folder, at_the_terminal(folder, "up")
    finally:
        control.down(folder)


@pytest.fixture(scope="module")
def trained(begun, tmp_path_factory):
    """The versions that a testbed trained when it came up."""
    return shutil.copytree(begun[0] / "models", tmp_path_factory.mktemp("models") / "models")


def share_right(folder, version):
    weights, hidden = models.load(folder, version), item_features()
    for k in range(2):
        hidden = np.maximum(hidden @ weights[f"w{k}"].T + weights[f"b{k}"], 0)
    answers = (hidden @ weights["w2"].T + weights["b2"]).argmax(axis=1)
    return (answers == item_labels()).mean()


def test_good_versions_are_equally_good_and_a_bad_one_is_wrong(trained):
    good = [share_right(trained, version) for version in models.FIRST]
    assert min(good) > 0.8
    assert abs(good[0] - good[1]) < 0.03
    assert share_right(trained, models.release(trained, 1)) == good[1]
    mild, strong = models.spoil(trained, 2, 0.25, seed=3), models.spoil(trained, 3, 0.75, seed=3)
    assert share_right(trained, strong) < share_right(trained, mild) < good[0] - 0.1


def test_every_mode_names_entities_metrics_and_twins_that_exist():
    from stability.testbed.panel import COLUMNS

    for name, mode in (FAILURE_MODES | BENIGN).items():
        assert set(mode.on) <= set(ENTITIES), name
        assert set(mode.root_metrics) <= set(COLUMNS), name
        assert mode.twin is None or mode.twin in FAILURE_MODES, name
        assert mode.course in ("step", "ramp"), name
        assert 0 < mode.seconds[0] <= mode.seconds[1], name
    assert {"stale_features", "event_loop_stall"} <= set(FAILURE_MODES)


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"seconds": 1e9}, {"seconds": 5, "intensity": -1}, {"second": 5}])
def test_an_effect_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"second|intensity"):
        Effect(**wrong)


def stamps(begin, count):
    return pd.date_range(pd.Timestamp(begin, unit="s", tz="UTC"), periods=count, freq="s").as_unit("us")


def test_fault_records_know_all_six_times():
    moments = stamps(1_000_000, 200)
    bad = [(110 <= k < 140) for k in range(200)]
    index = pd.MultiIndex.from_product([["gateway", "model-a", "model-b"], moments], names=["entity", "timestamp"])
    judged = pd.DataFrame({"bad": bad + bad + [False] * 200}, index=index)
    judged[["failed", "slow", "wrong"]] = np.array([judged["bad"], [False] * 600, [False] * 600]).T
    memory = np.where(np.arange(200) < 90, 100.0, 100.0 + np.arange(200) - 90)
    telemetry = pd.DataFrame({"process_resident_memory_bytes": memory}, index=moments)
    telemetry = pd.concat({"model-a": telemetry}, names=["entity", "timestamp"])
    event = {"mode": "memory_leak", "entity": "model-a", "cause_start": 1_000_090.5, "cause_end": 1_000_138.0}
    faults = fault_records([event], judged, telemetry)
    assert list(faults.index) == ["f01", "f01.gateway"]
    row = faults.loc["f01"]
    since = {name: (row[name] - moments[0]).total_seconds() for name in faults if faults[name].dtype.kind == "M"}
    assert since == {
        "cause_start": 90.5,
        "impact_start": 110.0,
        "detected_at": 115.0,
        "diagnosed_at": 115.0,
        "cause_end": 138.0,
        "recovered_at": 140.0,
    }
    assert row["severity"] == 8
    assert faults.loc["f01.gateway", "root_entity"] == "model-a"


def test_a_broken_service_level_without_a_fault_is_a_record_of_its_own():
    moments = stamps(1_000_000, 60)
    index = pd.MultiIndex.from_product([["gateway"], moments], names=["entity", "timestamp"])
    judged = pd.DataFrame({"bad": [20 <= k < 30 for k in range(60)]}, index=index).assign(
        failed=False, slow=True, wrong=False
    )
    telemetry = pd.DataFrame({"up": 1.0}, index=index)
    faults = fault_records([], judged, telemetry, "r1")
    assert list(faults.index) == ["r1u01"]
    assert faults["impact_start"].iloc[0] == moments[20]
    assert faults["recovered_at"].iloc[0] == moments[30]
    assert faults["severity"].iloc[0] == 4


# ---- the whole -----------------------------------------------------------------------------------------------------
def processes_of(folder):
    state = control.read_state(folder)
    return [running(facts) for facts in (state["supervisor"], *state["children"].values())]


def at_the_terminal(folder, *words, codes=(0,)):
    """What a verb prints; an error that it means to say is raised."""
    done = CliRunner().invoke(app, ["testbed", *words, "--home", str(folder)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code in codes, done.output
    return done.output


def state_of(folder):
    """What `status` prints, whoever is held up on a busy machine."""
    return at_the_terminal(folder, "status", codes=(0, 1))


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def until(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def backed_up(folder, copy):
    """Whose answers a backup holds that is made now."""
    at_the_terminal(folder, "backup", str(copy))
    return sorted(json.loads((copy / "manifest.json").read_text())["answers"])


def a_drill_finds_the_one_answer_that_the_service_never_gave(folder, copy):
    """It starts the service from its backup elsewhere, and asks it."""
    told = json.loads((copy / "manifest.json").read_text())
    assert {name: len(answers) for name, answers in told["answers"].items()} == {"model-a": 32, "model-b": 32}
    label, confidence, version = told["answers"]["model-b"]["512"]
    told["answers"]["model-b"]["512"] = [(label + 1) % CLASSES, confidence, version]
    (copy / "manifest.json").write_text(json.dumps(told))
    before = control.status(folder)["processes"]
    done = recovery.drill(copy, folder)
    assert done.findings == ["model-b answers 1 of 32 questions otherwise than before"]
    assert (done.answers, done.alike, done.blocks, done.files) == (64, 63, ITEMS // BLOCK, len(told["files"]))
    assert done.rpo_s == 0.0
    assert control.status(folder)["processes"] == before, "the service itself is not touched"


def test_a_session_at_the_terminal_and_what_a_killed_supervisor_leaves(begun, trained, tmp_path, monkeypatch):
    (folder, said), copy = begun, tmp_path / "backup"
    assert said.count("healthy") == 5
    with pytest.raises(ContractError, match="runs already"):
        at_the_terminal(folder, "up")
    at_the_terminal(folder, "load", "--rate", "20")
    with pytest.raises(ContractError, match="users are there already"):
        at_the_terminal(folder, "load")

    # What is at work ends by word, or by what repairs it.
    with pytest.raises(ContractError, match="did you mean 'memory_leak'"):
        at_the_terminal(folder, "inject", "memory_leek")
    with pytest.raises(ContractError, match="slow_dependency befalls feature-store"):
        at_the_terminal(folder, "inject", "slow_dependency", "--entity", "gateway")
    at_the_terminal(folder, "inject", "slow_dependency", "--seconds", "300")
    assert "at work: slow_dependency of feature-store" in state_of(folder)
    assert at_the_terminal(folder, "undo") == "Ended: 1.\n"
    here = Inventory.model_validate(
        {"entities": [{"match": ["*"], "controls": [{"control": "testbed", "folder": str(folder)}]}]}
    )
    never = "model-a was never changed"
    for mode, repair in (("bad_model_version", "rollback"), ("memory_leak", "restart")):
        assert Before(here).nothing("model-a", "roll_back_model", pd.Timestamp.now("UTC")) == never
        at_the_terminal(folder, "inject", mode, "--entity", "model-a", "--seconds", "300")
        said = Before(here).nothing("model-a", "roll_back_model", pd.Timestamp.now("UTC"))
        assert said == ("" if repair == "rollback" else never)
        at_the_terminal(folder, "act", repair, "model-a")
        until(lambda: "at work" not in state_of(folder))
    ends = [(event["mode"], event["ended_by"]) for event in lines_of(folder / "events.jsonl")]
    assert ends == [("slow_dependency", "stop"), ("bad_model_version", "repair"), ("memory_leak", "repair")]

    # Its own data: what a backup holds comes back, and is served.
    at_the_terminal(folder, "backup", str(copy))
    told = folder / "configuration" / "model-b.json"
    good = told.read_bytes()
    told.write_text('{"version": "none"}')
    with pytest.raises(ContractError, match="the configuration was not loaded"):
        at_the_terminal(folder, "act", "reload", "model-b")
    told.write_text(json.dumps(json.loads(good) | {"max_batch": 3}))
    at_the_terminal(folder, "act", "reload", "model-b")
    at_the_terminal(folder, "restore", str(copy))
    assert told.read_bytes() == good
    hashes = [
        state["value"]
        for state in lines_of(folder / "states.jsonl")
        if state["entity"] == "model-b" and state["name"] == "config_hash"
    ]
    assert len(hashes) == 3
    assert hashes[0] == hashes[2]
    with pytest.raises(ContractError, match="no backup in"):
        at_the_terminal(folder, "restore", str(tmp_path))

    assert "model-c" not in state_of(folder)
    at_the_terminal(folder, "scale", "3")
    assert "model-c" in state_of(folder)
    assert scaling.scale(folder, 2)[:2] == (2, 2)
    assert "model-c" not in state_of(folder)
    until(lambda: backed_up(folder, copy) == ["model-a", "model-b"])  # who is held up on a busy machine is left out
    at_the_terminal(folder, "act", "stop", "model-b")
    assert re.search(r"model-b .* is stopped", at_the_terminal(folder, "status", codes=(1,)))
    monkeypatch.setenv("STABILITY_HOME", str(bare(tmp_path / "workbench")))  # where a drill works
    a_drill_finds_the_one_answer_that_the_service_never_gave(folder, copy)
    at_the_terminal(folder, "act", "start", "model-b")
    until(lambda: control.status(folder)["healthy"])

    found = processes_of(folder)
    ports = {name: process["port"] for name, process in control.status(folder)["processes"].items()}
    assert None not in found
    answer = httpx.post(f"http://127.0.0.1:{ports['gateway']}/v1/predict", json={"item": 5})
    assert answer.json()["label"] in range(CLASSES)
    os.kill(found[0].pid, signal.SIGKILL)
    assert "The testbed is down." in at_the_terminal(folder, "down")
    _, alive = psutil.wait_procs(found, timeout=30)
    assert not alive
    assert not folder.exists()
    for port in ports.values():
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/healthz")
    with pytest.raises(ContractError, match="stability testbed up"):
        control.status(folder)
    assert at_the_terminal(folder, "down") == "The testbed is down.\n"


def shorter(raw):
    """The plan that ships, in half a minute with fewer users."""
    events = [
        {"mode": "cache_warm_up", "entity": "model-b", "at": 2, "seconds": 4},
        {"mode": "memory_leak", "entity": "model-a", "at": 8, "seconds": 8, "intensity": 0.6},
        {"mode": "replica_crash", "entity": "model-b", "at": 22, "seconds": 8},
    ]
    level = raw["service_level"] | {"slow": 0.9}  # a machine full of other work keeps this promise, too
    return raw | {"segments": {"seconds": 34}, "rate": 25, "events": events, "service_level": level}


def begin_with(versions, monkeypatch):
    """Testbeds that come up from now on find these versions there, and need not train any."""
    monkeypatch.setattr(control, "read_backup", lambda _: None)
    monkeypatch.setattr(control, "put_back", lambda folder, backup: shutil.copytree(backup, folder / "models"))
    monkeypatch.setattr(control, "up", functools.partial(control.up, backup=versions))


@pytest.mark.parametrize("short", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_a_short_recording_is_the_contracts_tables(tmp_path, monkeypatch, trained, short):
    """Up, load, a leak and a crash, the tables, down; then a second call has nothing left to do."""
    said, raw = [], load_yaml("data/scenarios/testbed-short.yaml")
    if short:
        monkeypatch.setattr(recording, "WARM_UP", 5.0)
        begin_with(trained, monkeypatch)
    plan = read_plan(shorter(raw) if short else raw)
    folder = record(plan, tmp_path / "recording", others=1.0, say=said.append)
    assert not (folder / ".service").exists()
    tables = {path.stem: read_table(path, path.stem) for path in folder.glob("*.parquet")}
    assert set(tables) == {"telemetry", "states", "logs", "feedback", "topology", "faults", "benign"}
    for name, table in tables.items():
        validate(table, name)
    telemetry, faults = tables["telemetry"], tables["faults"]
    assert set(telemetry.index.unique("entity")) == set(ENTITIES)
    assert (telemetry.groupby("entity").size() == plan.segments.seconds).all()
    caused = faults[faults["root_entity"] == faults["entity"]]
    assert caused["failure_mode"].tolist() == ["memory_leak", "replica_crash"]
    crash = caused.iloc[1]
    assert crash["impact_start"] >= crash["cause_start"]
    assert telemetry.loc["model-b", "up"][crash["cause_start"] : crash["cause_end"]].min() == 0
    leak = caused.iloc[0]
    memory = telemetry.loc["model-a", "process_resident_memory_bytes"]
    before, during = memory[: leak["cause_start"]], memory[leak["cause_start"] : leak["cause_end"]]
    assert during.max() > before.median() + 100e6
    assert tables["benign"]["kind"].tolist() == ["cache_warm_up"]
    assert {"model_version", "config_hash"} <= set(tables["states"]["name"])
    assert (tables["logs"]["entity"] == "gateway").any()
    facts = json.loads((folder / "recording.json").read_text())
    assert facts["segments"][0]["load_mean"] >= 0
    before = (folder / "SHA256SUMS").read_bytes()
    record(plan, folder, say=said.append)
    assert said[-2] == "segment 0: is there"
    assert (folder / "SHA256SUMS").read_bytes() == before
    with pytest.raises(ContractError, match="same plan and seed"):
        record(plan, folder, seed=99)
