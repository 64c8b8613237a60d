"""Sources: whatever a file or a server gives is laid on the grid as a whole, or what is left out is told."""

import subprocess

import numpy as np
import pandas as pd
import pytest
from conftest import START, STEP, require, start_prometheus, stop
from watching import declaration, fleet, journal

from stability.monitor.declaration import Declaration
from stability.monitor.files_source import FilesSource
from stability.monitor.following import Follower
from stability.monitor.prometheus_source import PrometheusSource
from stability.schema import ContractError
from stability.telemetry import read, read_prometheus

SECOND = 1_000_000
NOW = pd.Timestamp("2026-01-01T01:00:00", tz="UTC")
FIRST = pd.Timestamp("2026-01-01", tz="UTC").value // 1000
HEADER = "entity,timestamp,up,q\n"


def of_files(folder, **more):
    return declaration(folder, detectors=[], start="2026-01-01T00:00:00Z", **more)


def line(second, entity="a", up="", q=""):
    return f"{entity},{pd.Timestamp(FIRST + second * SECOND, unit='us', tz='UTC').isoformat()},{up},{q}\n"


def given(source, after=FIRST - 15 * SECOND):
    """All rows that are complete: seconds, entities, values."""
    found = source.read(after, source.due(NOW))
    return [((one.moment - FIRST) // SECOND, one.entities, one.values.tolist()) for one in found]


# ---- files -----------------------------------------------------------------------------------------------------------


def test_rows_of_a_step_are_one_with_the_newest_value_of_each_metric(tmp_path):
    told = of_files(tmp_path, source={"files": {"path": str(tmp_path / "*.csv")}})
    source = FilesSource(told)
    (tmp_path / "a.csv").write_text(HEADER + line(1, up=1) + line(2, q=7) + line(9, up=0) + line(15, "b", 1, 2))
    (tmp_path / "b.csv").write_text(HEADER + line(4, up=3, q=8) + line(14, "b", 5, 6))  # read later, and older
    source.due(NOW)
    with (tmp_path / "a.csv").open("a") as file:
        file.write(line(9, up=4) + line(16, "b", q=3) + line(30, "b", up=9))
    assert given(source)[1:] == [(15, ("a", "b"), [[4.0, 8.0], [1.0, 2.0]]), (30, ("b",), [[9.0, 3.0]])]


def test_rows_of_a_step_that_are_set_aside_are_one_when_their_time_has_come(tmp_path):
    source = FilesSource(of_files(tmp_path))
    (tmp_path / "metrics.csv").write_text(HEADER + line(0, up=1, q=1) + line(3_001, up=1) + line(3_002, q=7))
    source.due(NOW - pd.Timedelta("1h"))
    assert source.ahead_rows == 2
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write(line(3_015, up=2))
    assert given(source)[-1] == (3_015, ("a",), [[2.0, 7.0]])


def test_rows_stand_on_the_grid_of_another_step_too(tmp_path):
    panel = fleet(entities=2, steps=60).loc[["web-0"]]
    told = declaration(tmp_path, panel, step="10s")
    source, after = FilesSource(told), FIRST + 165 * SECOND
    until = source.due(NOW)
    moments = [rows.moment for rows in source.read(after, until) if rows.entities]
    assert moments == [FIRST + -(-second // 10) * 10 * SECOND for second in range(165, 885, 15)]


def test_a_source_that_has_nothing_of_what_is_due_is_asked_again_later(tmp_path):
    class Mute(FilesSource):
        mute = False

        def read(self, after, until):
            return iter(()) if self.mute else super().read(after, until)

    panel = fleet(entities=2, steps=60)
    half = panel.index.get_level_values("timestamp") < panel.index[30][1]
    told = declaration(tmp_path, panel[half], detectors=[])
    follower = Follower(told, folder=tmp_path / "state", source=Mute)
    assert list(follower.tick())
    panel[~half].reset_index().to_csv(tmp_path / "metrics.csv", mode="a", header=False, index=False)
    follower.source.mute = True
    assert list(follower.tick()) == []
    follower.source.mute = False
    assert len(list(follower.tick())) == 30
    follower.close()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_row_that_cannot_be_read_is_told_by_its_place_in_the_whole_file(tmp_path, kind):
    told = of_files(tmp_path, source={"files": {"path": str(tmp_path / f"metrics.{kind}")}})
    source = FilesSource(told)
    if kind == "csv":
        whole, broken = [line(15 * k, up=1, q=k) for k in range(32)], line(480, up=1) + "a,yesterday,1,2\n"
        head = HEADER
    else:
        stamps = [pd.Timestamp(FIRST + 15 * k * SECOND, unit="us", tz="UTC").isoformat() for k in range(33)]
        lines = [f'{{"entity": "a", "timestamp": "{stamp}", "up": 1}}\n' for stamp in stamps]
        whole, broken, head = lines[:32], lines[32] + '{"entity": "a", "timestamp": "yesterday", "up": 1}\n', ""
    path = tmp_path / f"metrics.{kind}"
    for part in (head + "".join(whole[:10]), "\n" + "".join(whole[10:])):
        with path.open("a") as file:
            file.write(part)
        source.due(NOW)
    with path.open("a") as file:
        file.write(broken)
    for _ in range(2):
        with pytest.raises(ContractError, match="yesterday") as caught:
            source.due(NOW)
        assert caught.value.row == [34]
    path.write_text(path.read_text().replace("yesterday", "2026-01-01T00:08:15+00:00"))
    source.due(NOW)
    assert source.newest == FIRST + 495 * SECOND


@pytest.mark.parametrize(
    ("reader", "head"),
    [
        ({}, "sep=,\n" + HEADER),
        ({"skip": 2}, "made by hand\n\n" + HEADER),
        ({"skip": [2]}, HEADER + "-,-,1,items\n"),
        ({"skip": [4]}, HEADER + line(0, up=1, q=4) + line(0, "b", 2, 4) + "-,-,1,items\n"),
        ({"comment": "#"}, "# made by hand\n" + HEADER + "# and so on\n"),
        ({"comment": "#", "skip": 2}, "# made by hand\n\nnot to be read\n" + HEADER),
        ({"names": ["entity", "timestamp", "up", "q"]}, ""),
        ({"names": ["entity", "timestamp", "up", "q"], "skip": 1}, HEADER),
    ],
)
def test_what_stands_above_the_rows_is_known_when_more_are_added(tmp_path, reader, head):
    path = tmp_path / "metrics.csv"
    told = of_files(tmp_path, source={"files": {"path": str(path), "reader": reader}})
    source = FilesSource(told)
    rows = [line(15 * k, entity, up=k, q=3) for k in range(1, 9) for entity in "ab"]
    mark = ["# more\n"] if "comment" in reader else []
    for part in (head[:9], head[9:], *rows[:3], "".join(rows[3:6]), *mark, rows[6][:20], rows[6][20:], *rows[7:]):
        with path.open("a") as file:
            file.write(part)
        source.due(NOW)
    found = given(source)
    assert found == given(FilesSource(told))
    assert [second for second, names, _ in found if names and second] == [15 * k for k in range(1, 9)]
    with path.open("a") as file:
        file.write("a,yesterday,1,2\n")
    with pytest.raises(ContractError, match="yesterday") as caught:
        source.due(NOW)
    with pytest.raises(ContractError, match="yesterday") as whole:
        read(path, **reader)
    assert caught.value.row == whole.value.row


@pytest.mark.parametrize(
    ("reader", "said"), [({"coment": "#"}, "'coment'.*did you mean 'comment'"), ({"skip": [0]}, "'skip'.*from 1")]
)
def test_options_that_the_reader_does_not_have_are_refused_before_anything_is_read(tmp_path, reader, said):
    told = of_files(tmp_path, source={"files": {"path": str(tmp_path / "metrics.csv"), "reader": reader}})
    with pytest.raises(ContractError, match=said):
        FilesSource(told)


def test_rows_are_late_when_they_come_late_and_not_because_a_watch_was_started_again(tmp_path):
    panel = fleet(entities=2, steps=60)
    told = declaration(tmp_path, panel, detectors=[])
    follower = Follower(told, folder=tmp_path / "state")
    assert list(follower.tick())
    follower.close()
    follower = Follower(told, folder=tmp_path / "state")
    assert list(follower.tick()) == []
    assert follower.source.late_rows == 0
    assert not journal(tmp_path / "state", "late_rows")
    old = panel.iloc[:2].reset_index().to_csv(header=False, index=False)
    for rows in (2, 4):
        with (tmp_path / "metrics.csv").open("a") as file:
            file.write(old)
        list(follower.tick())
        list(follower.tick())
        assert [one["rows"] for one in journal(tmp_path / "state", "late_rows")] == list(range(2, rows + 1, 2))
    follower.close()


def test_a_column_that_comes_later_is_told_once(tmp_path):
    told = of_files(tmp_path, source={"files": {"path": str(tmp_path / "*.csv")}})
    (tmp_path / "a.csv").write_text(HEADER + line(0, up=1, q=1) + line(15, up=1, q=1))
    follower = Follower(told, folder=tmp_path / "state")
    assert list(follower.tick())
    for k in (2, 3):
        stamp = line(15 * k).split(",")[1]
        (tmp_path / f"{k}.csv").write_text(f"entity,timestamp,up,requests_total__code_500\na,{stamp},1,3\n")
        assert len(list(follower.tick())) == 1
    (told_of,) = journal(tmp_path / "state", "ignored")
    assert told_of["columns"] == ["requests_total__code_500"]
    assert follower.watch.metrics == ["up", "q"]
    follower.close()


# ---- a server --------------------------------------------------------------------------------------------------------

LAST = 400  # sample of the history that is told of here
# Samples between the two versions. A server goes on telling for 20 of them what nobody says any more.
APART, OVER = range(100, 160), range(100, 102)


def versions():
    """OpenMetrics text: of one target two versions follow each other; of `apart` the first is long forgotten then."""
    for name, pause in (("apart", APART), ("over", OVER)):
        yield f"# TYPE {name} gauge"
        for version, samples in (("1", range(pause.start)), ("2", range(pause.stop, LAST))):
            for k in samples:
                yield f'{name}{{job="web",instance="w:80",version="{version}"}} {k} {START + k * STEP}'
    yield "# EOF"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """A real Prometheus that knows of a deployment; its address."""
    folder = tmp_path_factory.mktemp("deployed")
    (folder / "history.om").write_text("\n".join(versions()) + "\n")
    tool = require("promtool", package="prometheus")
    command = [tool, "tsdb", "create-blocks-from", "openmetrics", folder / "history.om", folder / "data"]
    subprocess.run(command, check=True, capture_output=True)
    process, url = start_prometheus(folder, folder / "data")
    yield url
    stop(process)


def at(sample):
    return pd.Timestamp(START + sample * STEP, unit="s", tz="UTC")


def of_server(folder, url, name):
    rule = "  - {alert: High, expr: 'v > 1000', labels: {severity: page}}"
    (folder / "rules.yaml").write_text(f"groups:\n- name: g\n  rules:\n{rule}\n")
    source = {"url": url, "queries": {"v": name}, "retries": 0, "timeout": 5}
    return Declaration(
        name="server", source={"prometheus": source}, step=f"{STEP}s", delay="0s", history="90min",
        start=at(50).isoformat(), rules={"files": [str(folder / "rules.yaml")]}, checkpoint_every=50,
    )  # fmt: skip


def alone(url, name, sample):
    """What one moment says that is asked alone: a value, NaN for nothing, None where it cannot be read."""
    try:
        panel = read_prometheus(url, {"v": name}, at(sample), at(sample), STEP)
    except ContractError as error:
        return np.nan if "a series for" in str(error) else None
    return panel["v"].iloc[0]


@pytest.mark.parametrize("name", ["apart", "over"])
def test_after_an_outage_a_target_whose_labels_changed_meanwhile_is_caught_up_with(deployed, tmp_path, name):
    now = [at(60)]
    follower = Follower(of_server(tmp_path, deployed, name), clock=lambda: now[0], folder=tmp_path / "state")
    steps = list(follower.tick())
    now[0] = at(390)
    steps += list(follower.tick())
    assert not follower.trouble
    assert [step.moment for step in steps] == [at(k).value // 1000 for k in range(50, 391)]
    panel, unread = follower.watch.ring.panel()["v"].droplevel("entity"), []
    for k in range(90, 170):
        value = alone(deployed, name, k)
        unread += [k] if value is None else []
        np.testing.assert_equal(panel[at(k)], np.nan if value is None else value)
    told = journal(tmp_path / "state", "unread")
    assert bool(unread) == (name == "over")
    assert sum(one["moments"] for one in told) == len(unread)
    if unread:
        assert (told[0]["first"], told[0]["last"]) == (at(unread[0]).value // 1000, at(unread[-1]).value // 1000)
        assert "version '1' and '2'" in told[0]["said"]
    follower.close()


def test_while_the_newest_moment_cannot_be_read_nothing_is_passed_over(deployed, tmp_path):
    now = [at(90)]
    follower = Follower(of_server(tmp_path, deployed, "over"), clock=lambda: now[0], folder=tmp_path / "state")
    list(follower.tick())
    for k in (105, 106, 110):
        now[0] = at(k)
        assert [step.moment for step in follower.tick() if step.moment >= at(102).value // 1000] == []
        assert "two, which differ in version" in follower.trouble
    assert not journal(tmp_path / "state", "unread")
    now[0] = at(130)
    last = [step.moment for step in follower.tick()][-1]
    assert last == at(130).value // 1000
    assert not follower.trouble
    (told,) = journal(tmp_path / "state", "unread")
    assert told["first"] == at(102).value // 1000
    follower.close()


def test_a_server_is_asked_for_the_grid_of_another_step_too(deployed, tmp_path):
    source = PrometheusSource(of_server(tmp_path, deployed, "apart"))
    until = source.due(at(40))
    found = list(source.read(at(20).value // 1000 + 5 * SECOND, until))
    assert [rows.moment for rows in found] == [at(k).value // 1000 for k in range(21, 41)]
    assert [rows.values.item() for rows in found] == list(range(21, 41))
