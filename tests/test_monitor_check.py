"""What `--check` refuses is what a start would; each by a sentence that names the key, and nothing is left behind."""

import json
import shutil
import signal

import pandas as pd
import pytest
import typer
import yaml
from conftest import CHECKOUT
from watching import declaration, fleet, localizer

from stability import detection
from stability.monitor import verbs
from stability.monitor.checking import check_watch
from stability.monitor.declaration import read_watch
from stability.monitor.following import Follower
from stability.schema import ContractError, home

NOW = pd.Timestamp("2026-01-01T01:00:00Z")
RULE = "groups: [{name: g, rules: [{alert: A, expr: '%s', labels: {severity: page}}]}]"


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A folder with a file of metrics, rules, a localizer and a fitted detector; and the panel."""
    folder, panel = tmp_path_factory.mktemp("taught"), fleet(entities=2, steps=200)
    declaration(folder, panel)
    localizer(panel, folder / "localizer.json")
    detection.MeanShift(variant="recursive").fit(panel[["queue_depth"]]).save(folder / "one.npz")
    (folder / "inventory.yaml").write_text("entities: [{match: [web-*], controls: [{control: testbed, folder: x}]}]")
    (folder / "none").write_text("nothing: of that\n")
    return folder


def spec(folder, **more):
    told = {"source": {"files": {"path": str(folder / "metrics.csv")}}, "step": "15s", "delay": "0s", "serve": None}
    return told | {"rules": {"files": [str(folder / "rules.yaml")]}} | more


def repaired(folder, **more):
    repair = {"inventory": str(folder / "inventory.yaml"), **more}
    return {"localizer": str(folder / "localizer.json"), "repair": repair}


def read(tmp_path, told):
    (tmp_path / "one.yaml").write_text(json.dumps(told))
    return read_watch(tmp_path / "one.yaml")


def rule(text):
    def change(folder, tmp_path):
        (tmp_path / "rules.yaml").write_text(RULE % text)
        return {"rules": {"files": [str(tmp_path / "rules.yaml")]}}

    return change


def inventory(folder, tmp_path):
    (tmp_path / "inventory.yaml").write_text("entities: [{match: [web-*], controls: [{control: magic}]}]")
    return repaired(folder, inventory=str(tmp_path / "inventory.yaml"))


def playbooks(folder, tmp_path):
    text = min((home() / "data" / "playbooks").glob("*.yaml")).read_text()
    mode = yaml.safe_load(text)["playbooks"][0]["failure_modes"][0]
    (tmp_path / "playbooks.yaml").write_text(text.replace(mode, mode[:-1] + "x"))
    return repaired(folder, playbooks=str(tmp_path / "playbooks.yaml"))


def learnt(**more):
    return lambda *_: {"detectors": [{"name": "novelty", "learn": "30min", **more}]}


def of_rules(**more):
    return lambda folder, _: {"rules": {"files": [str(folder / "rules.yaml")], **more}}


def named(key, **more):
    """A file that holds nothing of what is looked for."""
    return lambda folder, _: {key: str(folder / "none"), **more}


REFUSED = {
    "rule": (rule("avg_over_time(queue_depth[1m]"), "rules.yaml.*unclosed"),
    "function": (rule("averag(queue_depth) > 1"), "unknown function with name 'averag'"),
    "lookback": (of_rules(lookback="5 parsecs"), "lookback.*a length of time.*parsecs"),
    "guards": (lambda folder, _: repaired(folder, guards={"cool_dwn": 1}), "'cool_dwn'.*did you mean 'cool_down'"),
    "inventory": (inventory, "inventory.yaml.*'magic'"),
    "playbooks": (lambda folder, _: repaired(folder, playbooks=str(folder / "none")), "one key, playbooks"),
    "mode": (playbooks, "a failure mode, got '.*x'.*did you mean"),
    "worksheet": (named("worksheet"), "a name that ends in"),
    "localizer": (named("localizer"), "a diagnoser"),
    "topology": (named("topology"), "a whole Parquet file"),
    "accepted": (lambda folder, _: learnt(accepted=str(folder / "none"))(), "none, column 'nothing'"),
    "detector": (
        lambda folder, _: {"detectors": [{"file": str(folder / "none"), "threshold": 1}]},
        "a detector's save",
    ),
    "setting": (learnt(settings={"foo": 1}), "a setting of novelty, got 'foo'.*there are: apart, known"),
    "metric": (learnt(metrics=["queue_dept"]), "'queue_dept'.*did you mean 'queue_depth'"),
    "features": (lambda folder, _: {"predictor": {"model": "m", "features": str(folder), "threshold": 0.5}}, "fitted"),
    "host": (lambda *_: {"serve": {"host": "x..y", "beyond_loopback": True}}, "an address of this machine, got 'x..y'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_check_refuses_what_a_start_would(taught, tmp_path, name):
    change, said = REFUSED[name]
    with pytest.raises(ContractError, match=said):
        check_watch(read(tmp_path, spec(taught, **change(taught, tmp_path))), NOW)
    assert not (home() / "runs" / "watch" / "one").exists()


def test_a_check_says_what_there_is_and_which_rules_are_left_out(taught, tmp_path):
    told = read(tmp_path, spec(taught, **repaired(taught), **rule("queue_length > 9")(taught, tmp_path)))
    first, left_out = check_watch(told, NOW)
    assert "the source answers; 0 detectors, 1 rules" in first
    assert left_out == "rule A is left out: none of its metrics is watched: queue_length"
    assert not told.folder.exists()


def test_what_the_source_says_comes_last(taught, tmp_path):
    gone = {"source": {"files": {"path": str(tmp_path / "gone.csv")}}}
    for change, said in (({}, "a file with rows, got none"), ({"topology": str(taught / "none")}, "Parquet")):
        with pytest.raises(ContractError, match=said):
            check_watch(read(tmp_path, spec(taught, **gone, **change)), NOW)


def test_a_metric_that_is_not_there_is_told_where_a_detector_is_to_learn_it(taught, tmp_path):
    told = read(tmp_path, spec(taught, **learnt(metrics=["queue_dept"])()))
    follower = Follower(told, folder=tmp_path / "state")
    with pytest.raises(ContractError, match=r"'queue_dept'.*did you mean 'queue_depth'"):
        list(follower.tick())
    follower.close()


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(taught, tmp_path, monkeypatch):
    """A workbench of its own, and a function that runs `stability watch --once --plain` on a file of it."""
    monkeypatch.setenv("STABILITY_HOME", str(tmp_path))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    (tmp_path / "data").mkdir()
    shutil.copy(CHECKOUT / "data" / "metrics.yaml", tmp_path / "data")

    def watch(lines, expr="queue_depth > 90"):
        (tmp_path / "metrics.csv").unlink(missing_ok=True)
        if lines:
            (tmp_path / "metrics.csv").write_text("".join(lines))
        told = spec(taught, **rule(expr)(taught, tmp_path), source={"files": {"path": "metrics.csv"}})
        (tmp_path / "one.yaml").write_text(json.dumps(told))
        verbs.watch(tmp_path / "one.yaml", once=True, plain=True)

    return watch


def test_a_look_at_a_file_that_is_not_there_fails_also_where_the_watch_had_begun(taught, alone, capsys):
    lines = (taught / "metrics.csv").read_text().splitlines(keepends=True)[:9]
    for there in (None, lines, None):
        if there:
            alone(there)
            assert capsys.readouterr().err == ""
            continue
        with pytest.raises(typer.Exit) as ended:
            alone(there)
        assert ended.value.exit_code == 1
        assert capsys.readouterr().err.count("a file with rows, got none") == 1


def test_a_rule_that_is_left_out_is_told_where_there_is_no_table(taught, alone, capsys):
    alone((taught / "metrics.csv").read_text().splitlines(keepends=True)[:9], "queue_length > 9")
    assert capsys.readouterr().err.count("rule A is left out: none of its metrics is watched") == 1


def test_trouble_is_told_once_where_there_is_no_table_and_so_is_its_end(taught, tmp_path, capsys):
    shutil.copy(taught / "metrics.csv", tmp_path)
    told = read(tmp_path, spec(tmp_path, **rule("queue_depth > 90")(taught, tmp_path)))
    follower, known, now = Follower(told, folder=tmp_path / "state", clock=lambda: now), {}, NOW

    def said():
        list(follower.tick())
        verbs._tell_wrong(verbs._wrong(follower, known, once=False), known)
        return capsys.readouterr().err

    now = pd.Timestamp("2026-01-01T00:50:00Z")
    assert said() == ""
    now += pd.Timedelta("1h")
    assert "no row for 36" in said()
    now += pd.Timedelta("1min")
    assert said() == ""
    (tmp_path / "metrics.csv").rename(tmp_path / "away")
    (tmp_path / "rules.yaml").write_text("groups: 3")
    follower.reload()
    told_then = said()
    assert "a file with rows, got none" in told_then
    assert "not reloaded" in told_then
    assert "over: " not in told_then
    assert said() == ""
    (tmp_path / "away").rename(tmp_path / "metrics.csv")
    told_then = said()
    assert "over: " in told_then
    assert "no row" not in told_then
    follower.close()
