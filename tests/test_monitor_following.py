"""Keeping step: a real Prometheus, an outage, files that grow, late rows, rules that change; pages and doors."""

import json
import os
import shutil
from datetime import timedelta
from operator import attrgetter

import httpx
import numpy as np
import pandas as pd
import pytest
from commands import stability
from conftest import START, STEP, free_port
from rich.console import Console
from watching import declaration, fleet, follow, journal, repairing, told_once

from stability import detection, rules
from stability.monitor import incidents
from stability.monitor.checking import check_watch
from stability.monitor.declaration import Declaration, read_watch
from stability.monitor.exposition import Exposition, listening
from stability.monitor.files_source import FilesSource
from stability.monitor.following import Follower
from stability.monitor.screen import screen
from stability.monitor.sentries import Sentry
from stability.schema import ContractError, home, write_table
from stability.telemetry import rate, read_prometheus

NOW = pd.Timestamp("2026-02-01", tz="UTC")
CPU = """
groups:
- name: cpu
  rules:
  - {alert: Hot, expr: 'cpu_ratio > 0.58', for: 30s, labels: {severity: page}}
  - {alert: Gone, expr: 'absent(cpu_ratio{instance="b:9100"})', labels: {severity: page}}
  - {alert: Long, expr: 'avg_over_time(cpu_ratio[1d]) > 9', labels: {severity: page}}
  - {alert: Other, expr: 'queue_depth > 9', labels: {severity: page}}
"""


@pytest.fixture
def no_pages(monkeypatch):
    """No page for an alarm, where none is looked at: a picture takes a third of a second."""
    monkeypatch.setattr(incidents, "write_report", lambda *_: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A panel, and what a watch says that finds all of it in its file."""
    panel, folder = fleet(entities=3, steps=210), tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incidents, "write_report", lambda *_: None)
        steps, _ = follow(declaration(folder, panel), folder / "state")
    return panel, steps


def at(sample):
    return pd.Timestamp(START + sample * STEP, unit="s", tz="UTC")


class Clock:
    """A clock that tests set."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


def of_server(url, folder, **more):
    (folder / "rules.yaml").write_text(CPU)
    source = {"url": url, "queries": {"cpu_ratio": "cpu_ratio"}, "retries": 0, "timeout": 5}
    detector = {"name": "mean_shift_recursive", "learn": "1h", "false_alarms_per_day": 20, "policy": {"merge": 60}}
    told = {
        "name": "server", "source": {"prometheus": source}, "step": f"{STEP}s", "delay": "0s", "history": "30min",
        "start": at(3_900).isoformat(), "detectors": [detector],
        "rules": {"files": [str(folder / "rules.yaml")], "labels": "{job}/{instance}"},
    }  # fmt: skip
    return Declaration(**(told | more))


@pytest.mark.usefixtures("no_pages")
def test_a_real_server_is_followed_with_the_numbers_of_the_batch(prometheus_server, tmp_path):
    told, clock = of_server(prometheus_server.url, tmp_path), Clock(at(3_900))
    follower = Follower(told, clock=clock, folder=tmp_path / "state")
    steps = list(follower.tick())
    for sample in (*range(3_901, 3_930), 4_100, 4_101, 4_260):  # after 3,930 nobody looked for a while
        clock.now = at(sample)
        steps += list(follower.tick())
    assert [step.moment for step in steps] == [at(sample).value // 1000 for sample in range(3_900, 4_261)]
    assert not follower.trouble
    panel = read_prometheus(prometheus_server.url, {"cpu_ratio": "cpu_ratio"}, at(3_900 - 240), at(4_260), STEP)
    rated = rate(panel)
    before = rated.index.get_level_values("timestamp") < at(3_900)
    expected = detection.MeanShift(variant="recursive").fit(rated[before]).score(rated[~before])
    live = {
        (entity, pd.Timestamp(step.moment, unit="us", tz="UTC")): score
        for step in steps
        for entity, score in zip(step.entities, step.scores["mean_shift_recursive"], strict=True)
    }
    np.testing.assert_allclose(pd.Series(live).reindex(expected.index), expected, rtol=1e-9)
    read = rules.read_rules(tmp_path / "rules.yaml")[:2]
    fired = rules.firings(read, panel, step=STEP, labels="{job}/{instance}")
    fired = fired[fired["start"] >= at(3_900) + timedelta(seconds=30)]
    mine = {(f.rule.alert, f.entity, f.start) for step in steps for f in step.firings if f.end is None}
    assert {(row.rule, row.entity, row.start.value // 1000) for row in fired.itertuples()} == mine
    assert {"Hot", "Gone"} == {name for name, _, _ in mine}
    assert "1 days" in follower.watch.alerts.left_out["Long"]
    assert "queue_depth" in follower.watch.alerts.left_out["Other"]
    assert follower.late > 100  # what was caught up
    follower.close()


@pytest.mark.usefixtures("no_pages")
def test_a_server_that_is_away_is_caught_up_with_and_too_long_an_outage_is_told(prometheus_server, tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    told, clock = of_server(prometheus_server.url, tmp_path, catch_up="10min"), Clock(at(3_901))
    follower = Follower(told, clock=clock, folder=tmp_path / "state")
    assert len(list(follower.tick())) == 2
    there, follower.source.part = follower.source.part, follower.source.part.model_copy(update={"url": url})
    clock.now = at(3_911)
    assert list(follower.tick()) == []
    assert "answer" in follower.trouble or "refused" in follower.trouble
    assert not follower.healthy
    assert follower.errors == 1
    follower.source.part = there
    steps = list(follower.tick())
    assert [step.moment for step in steps] == [at(sample).value // 1000 for sample in range(3_902, 3_912)]
    assert follower.healthy
    clock.now = at(4_000)
    assert len(list(follower.tick())) == 40
    assert follower.skipped == 49
    (line,) = journal(tmp_path / "state", "skipped")
    assert line["moments"] == 49
    follower.close()


def test_a_check_asks_the_server_for_its_metrics(prometheus_server, tmp_path):
    first, *left_out = check_watch(of_server(prometheus_server.url, tmp_path), at(3_901))
    assert "the source answers; 1 detectors, 4 rules" in first
    assert [line.split(":")[0] for line in left_out] == ["rule Long is left out", "rule Other is left out"]


def test_a_server_that_is_not_there_at_the_start_is_waited_for(tmp_path):
    told = of_server(f"http://127.0.0.1:{free_port()}", tmp_path)
    with pytest.raises(ConnectionError):
        check_watch(told, at(3_901))
    follower = Follower(told, clock=Clock(at(3_901)), folder=tmp_path / "state")
    assert list(follower.tick()) == []
    assert follower.trouble
    assert not follower.healthy
    follower.close()


@pytest.mark.usefixtures("no_pages")
def test_files_that_grow_give_what_a_whole_one_gives(whole, tmp_path):
    panel, expected = whole
    lines = panel.reset_index().sort_values("timestamp", kind="stable").to_csv(index=False).splitlines(keepends=True)
    told = declaration(tmp_path, delay="15s")
    follower, steps = Follower(told, folder=tmp_path / "state"), []
    with (tmp_path / "metrics.csv").open("w") as file:
        for k in range(0, len(lines), 83):
            text = "".join(lines[k : k + 83])
            file.write(text[: len(text) // 2])
            file.flush()
            steps += list(follower.tick())  # in the middle of a line
            file.write(text[len(text) // 2 :])
            file.flush()
            steps += list(follower.tick())
    assert not follower.trouble
    assert follower.source.late_rows == 0
    assert len(steps) == len(expected) - 1  # the last moment may not be complete
    for a, b in zip(steps, expected[:-1], strict=True):
        assert (a.moment, a.entities) == (b.moment, b.entities)
        assert [one.key for one in a.firings] == [one.key for one in b.firings]
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write(lines[1])  # of the first moment
    assert list(follower.tick()) == []
    assert follower.source.late_rows == 1
    follower.close()


@pytest.mark.usefixtures("no_pages")
def test_a_row_far_ahead_of_the_clock_makes_no_other_one_late(whole, tmp_path):
    panel, expected = whole
    lines = panel.reset_index().sort_values("timestamp", kind="stable").to_csv(index=False).splitlines(keepends=True)
    told, clock = declaration(tmp_path), Clock(panel.index[-1][1] + pd.Timedelta("1min"))
    follower, steps = Follower(told, folder=tmp_path / "state", clock=clock), []
    (tmp_path / "metrics.csv").write_text("".join([lines[0], lines[1].replace("2026-01-01", "2099-01-01")]))
    assert list(follower.tick()) == []
    assert "set aside: one of web-0 at 2099-01-01" in follower.trouble
    with pytest.raises(ContractError, match="rows up to 5min from now, got only later ones"):
        follower.source.check(clock())
    for k in range(1, len(lines), 83):
        with (tmp_path / "metrics.csv").open("a") as file:
            text = "".join(lines[k : k + 83])
            file.write(text + (lines[k].replace("2026-01-01", "2027-01-01") if k > 300 else ""))
        steps += list(follower.tick())
    assert not follower.trouble
    assert follower.source.late_rows == 0
    assert follower.source.ahead_rows == 1 + len(range(1, len(lines), 83)) - 4
    assert [step.moment for step in steps] == [step.moment for step in expected]
    assert [[one.key for one in step.firings] for step in steps] == [[o.key for o in s.firings] for s in expected]
    told_of = journal(tmp_path / "state", "ahead_rows")
    assert told_of[-1]["rows"] == follower.source.ahead_rows
    assert "2027-01-01" in told_of[-1]["said"]
    follower.close()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_row_that_was_set_aside_is_taken_when_its_time_has_come(tmp_path, kind):
    panel = fleet(entities=2, steps=60).loc[["web-0", "web-1"]]
    last = panel.index[-1][1]
    if kind == "csv":
        told = declaration(tmp_path, panel)
    else:
        write_table(panel, tmp_path / "metrics.parquet", "telemetry")
        told = declaration(tmp_path, source={"files": {"path": str(tmp_path / "metrics.parquet")}})
    source, early = FilesSource(told), last - pd.Timedelta("7min")
    until = source.due(early)
    told_then = list(source.read(source.first() - 15_000_000, until))
    assert source.ahead_rows > 0
    assert max(rows.moment for rows in told_then) <= early.timestamp() * 1e6 + 5 * 60e6
    assert source.due(last - pd.Timedelta("3min")) == until
    assert source.due(last - pd.Timedelta("1min")) > until
    later = source.due(last)
    rest = list(source.read(until, later))
    assert later == last.timestamp() * 1e6
    values = np.concatenate([rows.values for rows in told_then + rest])
    whole = panel.swaplevel().sort_index().to_numpy()
    np.testing.assert_array_equal(values, whole[: len(values)])
    assert len(values) == len(whole)


def test_a_file_that_was_rotated_away_is_not_read_from_its_middle(tmp_path):
    panel = fleet(entities=2, steps=60).loc[["web-0"]]
    lines = panel.reset_index().to_csv(index=False).splitlines(keepends=True)
    source = FilesSource(declaration(tmp_path))
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("".join(lines[:21]))
    source.due(NOW)
    metrics.rename(tmp_path / "metrics.csv.1")
    metrics.write_text(lines[0] + "".join(lines[21:]))  # longer than the one before was
    source.due(NOW)
    assert source.newest == panel.index.get_level_values("timestamp").max().value // 1000
    held = list(source.read(source.first() - 15_000_000, source.newest))
    assert [len(rows.entities) for rows in held] == [1] * 60


@pytest.mark.usefixtures("no_pages")
def test_rules_that_change_are_read_anew_and_wrong_ones_are_refused(tmp_path):
    panel = fleet(entities=2, steps=240)
    rows = panel.reset_index().sort_values("timestamp", kind="stable")
    cut = rows["timestamp"] < rows["timestamp"].iloc[len(rows) * 2 // 3]
    told = declaration(tmp_path)
    rows[cut].to_csv(tmp_path / "metrics.csv", index=False)
    follower = Follower(told, folder=tmp_path / "state")
    list(follower.tick())
    text = (tmp_path / "rules.yaml").read_text()
    (tmp_path / "rules.yaml").write_text(text + "  - {alert: Any, expr: 'queue_depth > 0', labels: {severity: page}}\n")
    rows[~cut].to_csv(tmp_path / "metrics.csv", mode="a", header=False, index=False)
    steps = list(follower.tick())
    assert follower.reloads == 1
    assert "Any" in {firing.rule.alert for step in steps for firing in step.firings}
    (tmp_path / "rules.yaml").write_text("groups: 3\n")
    assert not follower.reload()
    assert "not reloaded" in follower.refused
    assert "Any" in {rule.alert for rule in follower.watch.alerts.rules}
    follower.close()


@pytest.mark.usefixtures("no_pages")
def test_a_folder_of_rules_that_is_empty_for_a_while_stops_no_step(tmp_path):
    panel = fleet(entities=2, steps=240)
    rows = panel.reset_index().sort_values("timestamp", kind="stable")
    begin, folder = rows["timestamp"].min(), tmp_path / "rules"
    parts = [rows[rows["timestamp"] < begin + pd.Timedelta(minutes=minute)] for minute in (50, 52, 54)]
    told = declaration(tmp_path, rules={"files": [str(folder)]})
    folder.mkdir()
    shutil.move(tmp_path / "rules.yaml", folder / "rules.yaml")
    written = 0
    follower = Follower(told, folder=tmp_path / "state")
    for k, part in enumerate(parts):
        if k == 1:
            shutil.move(folder / "rules.yaml", tmp_path / "rules.yaml")
        if k == 2:
            shutil.move(tmp_path / "rules.yaml", folder / "rules.yaml")
        part.iloc[written:].to_csv(tmp_path / "metrics.csv", mode="a", header=not written, index=False)
        written = len(part)
        assert list(follower.tick())
        assert not follower.trouble
        assert ("a folder without one" in follower.refused) == (k == 1)
        assert {rule.alert for rule in follower.watch.alerts.rules} == {"Busy", "Errors", "Lost"}
    follower.close()


@pytest.mark.usefixtures("no_pages")
def test_an_inventory_that_changes_is_read_anew(tmp_path):
    panel = fleet(entities=2, steps=200)
    told = declaration(tmp_path, panel, **repairing(tmp_path, "http://127.0.0.1:9", panel, mode="dry-run"))
    follower = Follower(told, folder=tmp_path / "state")
    list(follower.tick())
    repairer = follower.watch.incidents.repair.repairer
    assert repairer.inventory.controls("web-0")
    inventory, known = tmp_path / "inventory.yaml", (tmp_path / "inventory.yaml").read_text()
    inventory.write_text(known.replace("web-*", "web-1"))
    assert follower.reload()
    repairer = follower.watch.incidents.repair.repairer
    assert not repairer.inventory.controls("web-0")
    assert repairer.inventory.controls("web-1")
    inventory.write_text("entities: 3\n")
    assert not follower.reload()
    assert "not reloaded" in follower.refused
    assert follower.watch.incidents.repair.repairer is repairer
    follower.close()


@pytest.mark.usefixtures("no_pages")
def test_a_start_long_before_a_file_begins_is_that_of_the_file(tmp_path):
    panel = fleet(entities=1, steps=200)
    steps, _ = follow(declaration(tmp_path, panel, detectors=[], start="2020-01-01T00:00:00Z"), tmp_path / "state")
    assert [step.moment for step in steps] == [at.value // 1000 for at in panel.index.unique(1)]


def test_two_do_not_watch_in_one_folder(tmp_path):
    told = declaration(tmp_path, fleet(entities=1, steps=60))
    follower = Follower(told, folder=tmp_path / "state")
    with pytest.raises(ContractError, match="nobody else runs"):
        Follower(told, folder=tmp_path / "state")
    follower.close()


def test_an_alarm_gets_a_page_and_doors_tell_how_it_is(tmp_path):
    panel = fleet(entities=2, steps=200)
    told, clock = declaration(tmp_path, panel, incidents_per_step=2), Clock(panel.index[-1][1])
    follower = Follower(told, folder=tmp_path / "state", clock=clock)
    served = Exposition(follower, told.serve.model_copy(update={"port": 0}))
    url = served.url
    assert httpx.get(f"{url}/healthz").status_code == 503
    for step in follower.tick():
        served.after(step)
    served.after(None)
    assert httpx.get(f"{url}/healthz").json()["healthy"]
    metrics = httpx.get(f"{url}/metrics").text
    assert f"stability_watch_steps_total {follower.watch.counts['steps']:.1f}" in metrics
    assert 'stability_watch_total{what="alarms"}' in metrics
    assert httpx.get(f"{url}/other").status_code == 404
    served.close()
    pages = list((tmp_path / "state" / "reports").glob("*.html"))
    assert len(pages) == len(told_once(tmp_path / "state", "incident")) == follower.watch.counts["incidents"] > 0
    for page in pages:
        text = page.read_text()
        assert "<script" not in text
        assert "http://" not in text
        assert "https://" not in text
        assert "data:image/png;base64," in text
        assert "Timeline" in text
    console = Console(width=160, record=True)
    console.print(screen(follower))
    assert "fleet: healthy" in console.export_text()
    follower.close()


def told_of_health(served):
    """What the door says: status and answer, and the seconds that it is behind by the metrics."""
    answer, metrics = httpx.get(f"{served.url}/healthz"), httpx.get(f"{served.url}/metrics").text
    behind = [line.split()[1] for line in metrics.splitlines() if line.startswith("stability_watch_behind_seconds ")]
    return answer.status_code, answer.json(), float(behind[0])


@pytest.mark.usefixtures("no_pages")
def test_a_watch_that_hangs_is_not_healthy_although_it_says_nothing(prometheus_server, tmp_path):
    told, clock = of_server(prometheus_server.url, tmp_path), Clock(at(3_901))
    follower = Follower(told, clock=clock, folder=tmp_path / "state")
    served = Exposition(follower, told.serve.model_copy(update={"port": 0}))
    for step in follower.tick():
        served.after(step)
    served.after(None)
    assert told_of_health(served) == (200, {"healthy": True, "why": "", "behind_seconds": 0.0}, 0.0)
    clock.now = at(3_903)
    assert told_of_health(served) == (200, {"healthy": True, "why": "", "behind_seconds": 30.0}, 30.0)
    clock.now = at(3_921)
    told_then = {"healthy": False, "why": "300 s behind", "behind_seconds": 300.0}
    assert told_of_health(served) == (503, told_then, 300.0)
    served.close()
    follower.close()


@pytest.mark.usefixtures("no_pages")
@pytest.mark.parametrize("ruled", [True, False])
def test_what_cannot_judge_is_told_at_the_door_and_a_watch_in_which_nothing_can_is_not_healthy(
    tmp_path, monkeypatch, ruled
):
    monkeypatch.setattr(Sentry, "judge", lambda *_: 1 / 0)
    panel = fleet(entities=2, steps=200)
    told, clock = declaration(tmp_path, panel, **({} if ruled else {"rules": None})), Clock(panel.index[-1][1])
    follower = Follower(told, folder=tmp_path / "state", clock=clock)
    served = Exposition(follower, told.serve.model_copy(update={"port": 0, "host": "::1"}))
    list(follower.tick())
    served.after(None)
    assert served.url.startswith("http://[::1]:")
    answer, metrics = httpx.get(f"{served.url}/healthz"), httpx.get(f"{served.url}/metrics").text
    assert answer.json()["failing"] == {"mean_shift_recursive": "ZeroDivisionError: division by zero"}
    assert answer.json()["why"] == ("" if ruled else "nothing judges: ZeroDivisionError: division by zero")
    assert answer.status_code == (200 if ruled else 503)
    assert "stability_watch_failing 1.0" in metrics.splitlines()
    served.close()
    follower.close()


@pytest.mark.usefixtures("no_pages")
def test_a_watch_of_files_that_gives_no_sign_of_life_is_not_healthy(tmp_path):
    panel = fleet(entities=2, steps=200)
    told, clock = declaration(tmp_path, panel), Clock(panel.index[-1][1])
    follower = Follower(told, folder=tmp_path / "state", clock=clock)
    served = Exposition(follower, told.serve.model_copy(update={"port": 0}))
    for step in follower.tick():
        served.after(step)
    served.after(None)
    served.heard += 3_600
    assert told_of_health(served)[0] == 200
    served.heard -= 7_200
    status, said, behind = told_of_health(served)
    assert (status, behind) == (503, 0.0)
    assert said["why"].startswith("no sign of life for 3")
    served.after(None)
    assert told_of_health(served)[0] == 200
    served.close()
    follower.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "x..y"])
def test_a_host_that_is_none_of_ours_is_no_matter_of_the_port(host):
    with pytest.raises(ContractError, match="an address of this machine") as caught:
        listening(host, 0)
    assert "port" not in str(caught.value)


def test_a_port_that_is_taken_is_told():
    server = listening("127.0.0.1", 0)
    with pytest.raises(ContractError, match=r"is free.*serve: \{port"):
        listening("127.0.0.1", server.server_address[1])
    server.server_close()


GROWS = "groups: [{name: g, rules: [{alert: Long, expr: 'q > 90', labels: {severity: page}}]}]"


def growing(folder, seconds, path="metrics.csv", **files):
    """A watch of rules over a file that has a row at each of some seconds, and its clock, which is at the last one."""
    (folder / "rules.yaml").write_text(GROWS)
    stamps = pd.to_datetime(seconds, unit="s", utc=True)
    frame = pd.DataFrame({"entity": "a", "timestamp": stamps, "q": 1.0})
    frame.to_csv(folder / path, index=False)
    source = {"files": {"path": str(folder / path), **files}}
    told = Declaration(name="grows", source=source, step="15s", rules={"files": [str(folder / "rules.yaml")]})
    return Follower(told, clock=Clock(stamps[-1]), folder=folder / "state")


@pytest.mark.parametrize(("every", "patience"), [(None, 60), ("2min", 375)])  # three steps, or rows; and the delay
def test_a_watch_of_a_file_that_grows_no_more_says_since_when(tmp_path, every, patience):
    follower, served = growing(tmp_path, [START + k * STEP for k in range(5)], every=every), None
    served = Exposition(follower, follower.told.serve.model_copy(update={"port": 0}))
    for step in follower.tick():
        served.after(step)
    served.after(None)
    last = follower.clock.now
    follower.clock.now = last + pd.Timedelta(patience, "s")
    healthy = {"healthy": True, "why": "", "behind_seconds": float(patience)}
    assert told_of_health(served) == (200, healthy, float(patience))
    follower.clock.now += pd.Timedelta("1s")
    list(follower.tick())
    told_then = {"healthy": False, "why": f"no row for {patience + 1} s", "behind_seconds": patience + 1.0}
    assert told_of_health(served) == (503, told_then, patience + 1.0)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write(f"a,{follower.clock.now.isoformat()},1.0\n")
    assert list(follower.tick())
    assert follower.healthy
    served.close()
    follower.close()


def test_a_file_that_is_gone_is_trouble_until_there_is_one_again(tmp_path):
    follower, path = growing(tmp_path, [START + k * STEP for k in range(5)]), tmp_path / "metrics.csv"
    assert list(follower.tick())
    path.rename(tmp_path / "away")
    for _ in range(2):
        assert list(follower.tick()) == []
        assert "a file with rows, got none" in follower.trouble
        assert not follower.healthy
    assert [one["said"] for one in journal(tmp_path / "state", "trouble")] == [follower.trouble]
    (tmp_path / "away").rename(path)
    list(follower.tick())
    assert follower.healthy
    path.rename(tmp_path / "away")
    follower.close()
    again = Follower(follower.told, clock=follower.clock, folder=tmp_path / "state")
    assert list(again.tick()) == []
    assert "a file with rows, got none" in again.trouble
    again.close()


def test_a_file_that_has_never_been_there_is_trouble(tmp_path):
    follower = growing(tmp_path, [START])
    (tmp_path / "metrics.csv").unlink()
    assert list(follower.tick()) == []
    assert "a file with rows, got none" in follower.trouble
    (tmp_path / "metrics.csv").write_text("entity,timestamp,q\n")
    list(follower.tick())
    assert "got none with rows" in follower.trouble
    follower.close()


def test_what_a_page_shows_is_text_and_no_markup(tmp_path):
    panel = fleet(entities=2, steps=200).rename({"web-0": "<script>alert(1)</script>"}, level="entity").sort_index()
    follow(declaration(tmp_path, panel), tmp_path / "state")
    pages = [page.read_text() for page in (tmp_path / "state" / "reports").glob("*.html")]
    assert any("&lt;script&gt;" in page for page in pages)
    assert not any("<script" in page for page in pages)


def test_the_command_goes_through_what_is_due(tmp_path):
    declaration(tmp_path, fleet(entities=2, steps=60))
    spec = {
        "source": {"files": {"path": str(tmp_path / "metrics.csv")}}, "step": "15s", "delay": "0s",
        "rules": {"files": [str(tmp_path / "rules.yaml")]}, "serve": {"port": 0},
    }  # fmt: skip
    (tmp_path / "one.yaml").write_text(json.dumps(spec))
    (tmp_path / "data").mkdir()
    shutil.copy(home() / "data" / "metrics.yaml", tmp_path / "data")
    environment = os.environ | {"STABILITY_HOME": str(tmp_path)}
    done = stability(tmp_path, "watch", str(tmp_path / "one.yaml"), "--once", **environment)
    assert done.returncode == 0, done.stderr
    assert "critical web-" in done.stdout
    assert "/metrics and /healthz" in done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stepp": "15s"}, r"'stepp'.*did you mean 'step'"),
        ({"source": {}}, "one source: prometheus or files"),
        ({"source": {"files": {"path": "x", "pth": 1}}}, "'pth'.*did you mean 'path'"),
        ({"step": "often"}, "a length of time"),
        ({"detectors": [{"name": "novelti", "learn": "1h"}]}, "did you mean 'novelty'"),
        ({"detectors": [{"name": "novelty", "learn": "1h", "policy": {"merg": 1}}]}, "did you mean 'merge'"),
        ({"predictor": {"model": "m", "features": "x", "threshold": 0.5, "policy": {"of": 0}}}, "from 1 to `of`"),
        ({"repair": {"inventori": "x"}}, "'inventori'.*did you mean 'inventory'"),
        ({"start": 5}, "with its zone"),
        ({"looks": {"after": {"a": 1}}}, "looks.after.*a length of time"),
        ({"source": {"files": {"path": "x", "every": "often"}}}, "every.*a length of time"),
        ({"worksheet": "~nobody9/x.csv"}, "~nobody9/x.csv: expected a path"),
        ({"worksheet": "x" * 300}, "one that no file can have"),
        ({"worksheet": "x/" * 3_000}, "one that no file can have"),
        ({"rules": {"files": ["data/rules/servise.yaml"]}}, "did you mean 'service.yaml'"),
        ({"rules": None}, "nothing could ever raise an alarm"),
        ({"serve": {"host": "0.0.0.0"}}, "loopback"),
        ({"start": "2026-01-01"}, "with its zone"),
        ({"repair": {"inventory": "x"}}, "a localizer with repair"),
        ({"groups": {"a": ["x", "y", "y"], "b": ["y"]}}, "one group at most.*'y'"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_by_name(tmp_path, change, said):
    spec = {"source": {"files": {"path": "x.csv"}}, "step": "15s", "rules": {"files": ["data/rules/service.yaml"]}}
    (tmp_path / "one.yaml").write_text(json.dumps(spec | change))
    with pytest.raises(ContractError, match=said):
        read_watch(tmp_path / "one.yaml")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("start: 2026-01-01T00:00:00Z", "start", "2026-01-01T00:00:00+00:00"),
        ("looks: {after: 30}", "looks.after", ["30s"]),
        ("looks: {after: 2min}", "looks.after", ["2min"]),
    ],
)
def test_what_yaml_makes_of_a_value_is_what_was_meant(tmp_path, text, key, value):
    rest = "source: {files: {path: x.csv}}\nstep: 15s\nrules: {files: [data/rules/service.yaml]}\n"
    (tmp_path / "one.yaml").write_text(f"{rest}{text}\n")
    assert attrgetter(key)(read_watch(tmp_path / "one.yaml")) == value


@pytest.mark.parametrize("path", ["my/**x.csv", "~nobody9/x.csv", "x" * 300, "/"])
def test_a_path_of_files_that_cannot_be_is_refused(tmp_path, path):
    follower = Follower(declaration(tmp_path, source={"files": {"path": path}}), folder=tmp_path / "state")
    with pytest.raises(ContractError, match="expected a pat"):
        list(follower.tick())
    follower.close()


@pytest.mark.parametrize(("name", "got"), [("watch", "a folder"), ("x" * 300, "no file")])
def test_who_names_no_declaration_is_told_what_it_is(tmp_path, name, got):
    (tmp_path / "watch").mkdir()
    with pytest.raises(ContractError, match=f"a declaration of a watch, got {got}"):
        read_watch(tmp_path / name)


def test_the_declaration_that_ships_is_one():
    for path in (home() / "experiments" / "watch").glob("*.yaml"):
        assert read_watch(path).name == path.stem
    with pytest.raises(ContractError, match=r"[Tt]here are: service"):
        read_watch("experiments/watch/none.yaml")
