"""Fault records, tickets, topology, feedback and states: every source's layout ends in the same contract."""

import json
import re
import shutil
import sqlite3

import pandas as pd
import pytest
import yaml
from workbenches import CHECKOUT

from stability.records import (
    read_faults,
    read_faults_with_report,
    read_feedback,
    read_states,
    read_tickets,
    read_topology,
)
from stability.schema import ContractError, validate


def at(moment):
    return pd.Timestamp(moment, tz="UTC")


def text(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


CSV = """ID;Machine;Begin;Down since;Up again;Prio;Cause;Remark
17;press 1;24.11.2026 06:30;24.11.2026 06:35;24.11.2026 07:00;P1;bearing;"loud;
very"
18;press 2;2026-11-25T06:30:00Z;;;P3;;
"""
OPTIONS = {
    "columns": {
        "ID": "fault_id",
        "Machine": "entity",
        "Begin": "cause_start",
        "Down since": "impact_start",
        "Up again": "recovered_at",
        "Prio": "severity",
        "Cause": "failure_mode",
    },
    "values": {"severity": {"P1": 9, "p3": 4}, "entity": {"press 1": "press-1", "press 2": "press-2"}},
    "timestamp_format": ["%d.%m.%Y %H:%M", "iso"],
    "timezone": "Europe/Berlin",
}


def test_fault_records_of_ones_own(tmp_path):
    faults, report = read_faults_with_report(text(tmp_path, "downtime.csv", CSV), **OPTIONS)
    assert faults.loc["17", ["entity", "severity", "failure_mode"]].tolist() == ["press-1", 9.0, "bearing"]
    assert faults.loc["17", "cause_start"] == at("2026-11-24 05:30")
    assert faults.loc["18", "cause_start"] == at("2026-11-25 06:30")
    assert faults.loc["18", ["impact_start", "recovered_at"]].isna().all()
    assert report.dropped == ["Remark"]
    pd.testing.assert_frame_equal(validate(faults, "faults"), faults)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": {**OPTIONS["columns"], "Machin": "entity"}}, r"columns.*'Machin'.*did you mean 'Machine'"),
        ({"columns": {**OPTIONS["columns"], "Cause": "failure"}}, r"did you mean 'failure_mode'"),
        ({"values": {"severity": {"P1": 9}}}, r"row 2, column 'severity': expected a number, or one of 'P1', got 'P3'"),
        ({"values": {"sverity": {}}}, r"did you mean 'severity'"),
        ({"values": {"severity": 9}}, "mapping"),
        ({"timezone": None}, r"rows? 1.*'cause_start'.*offset"),
        ({"timestamp_format": "%d/%m/%Y"}, r"rows 1, 2.*'cause_start'.*%d/%m/%Y"),
        ({"entities": ["press-1", "press-3"]}, r"row 2, column 'entity'.*'press-2'.*did you mean 'press-"),
        ({"where": {"Prio": "P9"}}, "none of 2"),
        ({"defaults": {"enttiy": "x"}}, "did you mean 'entity'"),
        ({"duplicates": "frist"}, "did you mean 'first'"),
        ({"colums": {}}, "did you mean 'columns'"),
        ({"form": "xls"}, "csv, json"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, change, said):
    with pytest.raises(ContractError, match=said):
        read_faults(text(tmp_path, "downtime.csv", CSV), **{**OPTIONS, **change})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("fault_id,entity,impct_start\nf,a,2026-01-01\n", "did you mean 'impact_start'"),
        ("fault_id,entity,cause_start,cause_end\nf,a,2026-01-02,2026-01-01\n", "cause_start not after cause_end"),
        ("fault_id,entity\nf,a\nf,b\n", r"row 2, column 'fault_id'.*'f' again, first in row 1.*duplicates="),
        ("fault_id,entity\nf,\n", r"row.* 1, column 'entity': expected what the record is about"),
        ("fault_id,start\nf,2026\n", r"column 'entity'.*there are the columns fault_id, start"),
        ("fault_id,entity\n", "header alone"),
        ("fault_id,entity\nf,a\nf2", "row 2: expected 2 cells"),
        ('fault_id,entity\nf,"a\n', "separated by"),
        ("[1, 2]", "row 1: expected an object"),
        ('{"a": [{"x": 1}], "b": [{"x": 1}]}', r"lists a, b.*records='a'"),
        ('{"a": 1', "text that is not"),
        ('{"fault_id": "f", "entity": "a"}\n{"fault_id": ', "row 2"),
        ("", "empty"),
    ],
)  # fmt: skip
def test_broken_files_are_told(tmp_path, content, said):
    with pytest.raises(ContractError, match=said):
        read_faults(text(tmp_path, "f.csv", content), timezone="UTC")


def test_records_without_a_name_are_called_after_their_row(tmp_path):
    faults = read_faults(text(tmp_path, "outages.csv", "entity,impact_start\na,2026-01-01T00:00:00Z\nb,\n"))
    assert faults.index.tolist() == ["outages-1", "outages-2"]


def test_policies_of_duplicates_unknown_entities_and_overlaps(tmp_path):
    times = {"f1": (0, 2), "f1 again": (0, 3), "f2": (1, 5), "f3": (1, None), "f4": (5, None)}
    rows = [
        {
            "fault_id": name.split()[0],
            "entity": "z" if name == "f3" else "a",
            "impact_start": f"2026-01-01T0{start}:00:00Z",
            "recovered_at": end and f"2026-01-01T0{end}:00:00Z",
            "failure_mode": "m" if name == "f4" else None,
        }
        for name, (start, end) in times.items()
    ]
    path = text(tmp_path, "f.json", rows)
    faults, report = read_faults_with_report(path, duplicates="last", entities=["a"], unknown="keep")
    assert faults.loc["f1", "recovered_at"] == at("2026-01-01 03:00")
    assert report.counts == {"filtered": 0, "duplicates": 1, "unknown": 1, "overlaps": 1}
    merged = read_faults(path, duplicates="first", entities=["a"], unknown="drop", overlaps="merge")
    assert merged.index.tolist() == ["f1", "f4"]
    assert merged.loc["f1", "recovered_at"] == at("2026-01-01 05:00")
    with pytest.raises(ContractError, match=r"row 3: .*'f2' while 'f1' is open"):
        read_faults(path, duplicates="first", overlaps="error")
    with pytest.raises(ContractError, match="telemetry has"):
        read_faults(path, duplicates="first", entities=["q"], unknown="drop")


def test_records_in_databases(tmp_path, postgres_server):
    rows = [("1", "web-1", "2026-01-01 00:00:00+00", 7.0), ("2", "web-2", None, None)]
    create = "create table outage (id text, host text, began timestamptz, sev double precision)"
    query = "select id as fault_id, host as entity, began as impact_start, sev as severity from outage order by id"
    with sqlite3.connect(tmp_path / "o.db") as store:
        store.execute(create)
        store.executemany("insert into outage values (?, ?, ?, ?)", rows)
    light = read_faults(f"sqlite:///{tmp_path / 'o.db'}", query=query)
    import psycopg

    url = postgres_server.create("outages")
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute(create)
        connection.cursor().executemany("insert into outage values (%s, %s, %s, %s)", rows)
    plain = url.replace(f"{postgres_server.user}:{postgres_server.password}@", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STABILITY_SQL_USER", postgres_server.user)
        patch.setenv("STABILITY_SQL_PASSWORD", postgres_server.password)
        heavy = read_faults(plain, query=query)
        with pytest.raises(ContractError, match="at least one row"):
            read_faults(plain, query=f"select * from ({query}) q where false")
    pd.testing.assert_frame_equal(light, heavy)
    assert light.loc["1", ["impact_start", "severity"]].tolist() == [at("2026-01-01"), 7.0]


JIRA = """Summary,Issue key,Issue Type,Priority,Created,Resolved,Component/s,Component/s,Labels,Labels,Felt at (custom)
"Slow, again",OPS-1,Incident,Highest,24/Nov/26 6:35 AM,24/Nov/26 7:00 AM,web-1,web-2,mode:leak,x,24/Nov/26 6:20 AM
Down,OPS-2,Incident,Low,25/Nov/26 1:35 PM,,web-1,,,,
Wish,OPS-3,Task,Low,25/Nov/26 1:36 PM,,web-1,,,,
"""


def test_jira_from_the_screen_and_from_the_api(tmp_path):
    options = {"timezone": "UTC", "where": {"Issue Type": "Incident"}}
    options["columns"] = {"Felt at (custom)": "impact_start"}
    faults = read_tickets(text(tmp_path, "jira.csv", JIRA), "jira", entities=["web-1", "web-2"], **options)
    assert faults["entity"].to_dict() == {"OPS-1": "web-1", "OPS-1.web-2": "web-2", "OPS-2": "web-1"}
    first = faults.loc["OPS-1"]
    assert first["impact_start"] == at("2026-11-24 06:20")
    assert first["detected_at"] == at("2026-11-24 06:35")
    assert first["recovered_at"] == at("2026-11-24 07:00")
    assert first[["severity", "failure_mode", "source"]].tolist() == [9.0, "leak", "jira"]
    issue = {
        "key": "OPS-1",
        "fields": {
            "created": "2026-11-24T06:35:00.000+0000",
            "resolutiondate": "2026-11-24T07:00:00.000+0000",
            "priority": {"name": "Highest", "id": "1"},
            "components": [{"name": "web-1"}, {"name": "web-2"}],
            "labels": ["mode:leak", "x"],
            "customfield_10042": "2026-11-24T06:20:00.000+0000",
            "assignee": None,
        },
    }
    columns = {"fields.customfield_10042": "impact_start"}
    api = read_tickets(text(tmp_path, "jira.json", {"total": 1, "issues": [issue]}), "jira", columns=columns)
    pd.testing.assert_frame_equal(api, faults.loc[["OPS-1", "OPS-1.web-2"]])


def test_servicenow_in_its_three_forms(tmp_path):
    wanted = ["web-1", at("2026-11-24 06:35:36"), at("2026-11-24 07:00:00"), 9.0]
    columns = ["entity", "detected_at", "recovered_at", "severity"]
    by_name = "number,short_description,opened_at,resolved_at,cmdb_ci,priority,incident_state,caller_id\n"
    by_name += "INC0010001,slow,2026-11-24 06:35:36,2026-11-24 07:00:00,web-1,1 - Critical,Resolved,Anna B.\n"
    by_label = "Number,Short description,Opened,Resolved,Configuration item,Priority\n"
    by_label += "INC0010001,slow,2026-11-24 06:35:36,2026-11-24 07:00:00,web-1,1 - Critical\n"
    record = {
        "number": "INC0010001",
        "opened_at": {"display_value": "2026-11-24 07:35:36", "value": "2026-11-24 06:35:36"},
        "resolved_at": {"display_value": "2026-11-24 08:00:00", "value": "2026-11-24 07:00:00"},
        "cmdb_ci": {"display_value": "web-1", "link": "https://x/api/now/table/cmdb_ci/1"},
        "priority": {"display_value": "1 - Critical", "value": "1"},
    }
    plain = {**record, "number": {"display_value": "INC0010001", "value": "INC0010001"}}
    documents = {"c.json": {"result": [record]}, "d.json": {"result": [plain]}}
    for name, content in {"a.csv": by_name, "b.csv": by_label, **documents}.items():
        faults = read_tickets(text(tmp_path, name, content), "servicenow", timezone="UTC")
        assert faults.loc["INC0010001", columns].tolist() == wanted, name
    with pytest.raises(ContractError, match=r"row 1, column 'recovered_at'.*after it was opened"):
        read_tickets(text(tmp_path, "a.csv", by_name.replace("24 07", "23 07")), "servicenow", timezone="UTC")


def test_pagerduty_by_its_api_and_its_analytics(tmp_path):
    incident = {
        "id": "PT4KHLK",
        "incident_number": 1234,
        "title": "The server is on fire",
        "created_at": "2026-11-24T06:35:36Z",
        "status": "resolved",
        "last_status_change_at": "2026-11-24T07:00:00Z",
        "service": {"id": "PIJ90N7", "summary": "web-1", "type": "service_reference"},
        "priority": {"id": "P53ZZH5", "summary": "P2"},
        "urgency": "high",
        "assignments": [],
    }
    still = {**incident, "id": "PT4KHLX", "status": "triggered", "priority": None}
    faults = read_tickets(text(tmp_path, "p.json", {"incidents": [incident, still], "more": False}), "pagerduty")
    columns = ["entity", "detected_at", "recovered_at", "severity"]
    wanted = ["web-1", at("2026-11-24 06:35:36"), at("2026-11-24 07:00:00"), 7.0]
    assert faults.loc["PT4KHLK", columns].tolist() == wanted
    assert faults.loc["PT4KHLX", "severity"] == 7.0, "by its urgency, where it has no priority"
    assert pd.isna(faults.loc["PT4KHLX", "recovered_at"]), "an open incident's last change is no recovery"
    csv = "id,incident_number,description,service_id,service_name,urgency,created_on,resolved_on,seconds_to_resolve\n"
    csv += "PT4KHLK,1234,fire,PIJ90N7,web-1,high,2026-11-24T06:35:36Z,2026-11-24T07:00:00Z,1464\n"
    assert read_tickets(text(tmp_path, "p.csv", csv), "pagerduty").loc["PT4KHLK", columns].tolist() == wanted


def test_github_issues_without_pull_requests(tmp_path):
    issues = [
        {"number": 7, "title": "Leak", "created_at": "2026-11-24T06:35:36Z", "closed_at": None, "state": "open",
         "labels": [{"name": "service:web-1"}, {"name": "severity:high"}, {"name": "mode:memory_leak"}]},
        {"number": 8, "title": "A change", "created_at": "2026-11-24T06:35:36Z", "labels": [],
         "pull_request": {"url": "https://api.github.com/x"}},
    ]  # fmt: skip
    path = text(tmp_path, "issues.json", issues)
    faults, report = read_faults_with_report(path, layout="github")
    assert faults.loc["7", ["entity", "severity", "failure_mode"]].tolist() == ["web-1", 7.0, "memory_leak"]
    assert report.counts["filtered"] == 1
    cli = [{"number": 7, "createdAt": "2026-11-24T06:35:36Z", "closedAt": "2026-11-24T07:00:00Z"}]
    cli[0]["labels"] = [{"name": "x/web-1"}]
    named = read_tickets(text(tmp_path, "gh.json", cli), "github", labels={"entity": "x/"})
    assert named.loc["7", ["entity", "recovered_at"]].tolist() == ["web-1", at("2026-11-24 07:00")]
    with pytest.raises(ContractError, match=r"column 'entity'.*labels="):
        read_tickets(text(tmp_path, "gh.json", cli), "github")


EDGES = [("gateway", "chat"), ("chat", "features")]
JAEGER = {"data": [{"parent": a, "child": b, "callCount": 3} for a, b in EDGES], "errors": None}
NODE_LINK = {"nodes": [{"id": "chat"}], "links": [{"source": a, "target": b} for a, b in EDGES]}
COMPOSE = """services:
  gateway: {depends_on: [chat]}
  chat:
    depends_on: {features: {condition: service_started}}
    links: ["features:f"]
  features: {image: x}
"""
GML = """graph [
  directed 1
  node [ id 0 label "gateway" ]
  node [ id 1 label "chat" ]
  node [ id 2 label "features" ]
  edge [ source 0 target 1 ]
  edge [ source 1 target 2 ]
]
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("e.csv", "source,target\ngateway,chat\nchat,features\nchat,features\nchat,chat\n"),
        ("e.json", [{"from": a, "to": b} for a, b in EDGES]),
        ("jaeger.json", JAEGER),
        ("nodelink.json", NODE_LINK),
        ("m.csv", ",gateway,chat,features\ngateway,0,1.0,0\nchat,0,1,yes\nfeatures,,false,0.0\n"),
        ("compose.yaml", COMPOSE),
        ("g.gml", GML),
    ],
)
def test_topologies_in_every_form(tmp_path, name, content):
    topology = read_topology(text(tmp_path, name, content))
    assert topology.index.tolist() == sorted(EDGES)
    assert topology["kind"].tolist() == ["calls", "calls"]
    validate(topology, "topology")


def test_a_matrix_with_any_ends_of_lines(tmp_path):
    for end in ("\n", "\r\n", "\r"):
        path = text(tmp_path, "m.csv", end.join([",a,b", "a,0,1", "b,0,0", ""]))
        assert read_topology(path).index.tolist() == [("a", "b")]


def test_pods_run_on_nodes(tmp_path):
    pods = {"apiVersion": "v1", "kind": "List", "items": [
        {"kind": "Pod", "metadata": {"name": "chat-1"}, "spec": {"nodeName": "gpu-1", "containers": []}},
        {"kind": "Pod", "metadata": {"name": "pending"}, "spec": {}},
    ]}  # fmt: skip
    for name, content in {"pods.json": json.dumps(pods), "pods.yaml": yaml.safe_dump(pods)}.items():
        topology = read_topology(text(tmp_path, name, content))
        assert topology.reset_index().to_numpy().tolist() == [["chat-1", "gpu-1", "runs_on"]]


def test_petshops_matrix(data_mirror):
    path = data_mirror / "petshop" / "low_traffic" / "graph.csv"
    topology = read_topology(str(path))
    matrix = pd.read_csv(path, index_col=0)
    assert len(topology) == int(matrix.to_numpy().sum())
    assert ("PetSite", "PetSearch_AWS::ECS::Fargate") in topology.index
    back = read_topology(str(path), depends="columns")
    assert ("PetSearch_AWS::ECS::Fargate", "PetSite") in back.index


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("e.csv", "a,b\nx,y\n", {}, r"column 'source': expected both ends.*the columns a, b"),
        ("e.csv", "source,target,kind\nx,y,eats\n", {}, r"row 1, column 'kind'"),
        ("e.csv", "source,target,kind\nx,y,calls\nx,y,runs_on\n", {}, "each key once"),
        ("e.csv", "source,target\nx,x\n", {}, "at least one edge"),
        ("m.csv", ",a,b\na,0,maybe\nb,0,0\n", {}, r"row 1, column 'b'.*'maybe'"),
        ("c.yaml", "services:\n  a: {depends_on: [bb]}\n  b: {}\n", {}, "did you mean 'b'"),
        ("c.yaml", "services: [\n", {}, "YAML"),
        ("d.yaml", "kind: Deployment\nmetadata: {name: x}\n", {}, "kind Deployment"),
        ("g.gml", "graph [\n node [ id 0 ]\n]\n", {}, "GML"),
        ("g.gml", GML.replace("directed 1", "directed 0"), {}, "directed"),
        ("e.csv", "source,target\nx,y\n", {"form": "dot"}, "edges"),
        ("e.csv", "source,target\nx,y\n", {"kind": "eats"}, "calls, runs_on"),
        ("e.csv", "source,target\nx,y\n", {"form": "gml"}, "GML"),
    ],
)  # fmt: skip
def test_topologies_that_are_none(tmp_path, name, content, options, said):
    with pytest.raises(ContractError, match=said):
        read_topology(text(tmp_path, name, content), **options)


FEEDBACK = """Response ID,Date,Email,Comment,Score,via
1,2026-11-24T06:35:36Z,anna@example.org,"It is slow, call +49 30 901820",4/5,form
2,2026-11-24T06:36:36Z,Anna@Example.org,anna@example.org again: broken,★★,
3,2026-11-24T06:37:36Z,,fine,👍,mail
"""


def test_feedback_has_no_names(tmp_path, workbench):
    feedback = read_feedback(text(tmp_path, "survey.csv", FEEDBACK))
    assert feedback["user"].notna().tolist() == [True, True, False]
    who = feedback.loc["1", "user"]
    assert who.startswith("p-")
    assert feedback.loc["2", "user"] == who, "one person, however the address is written"
    assert feedback["text"].tolist() == ["It is slow, call [phone]", f"{who} again: broken", "fine"]
    assert feedback["rating"].tolist() == [4.0, 2.0, 1.0]
    assert feedback["channel"].tolist() == ["form", "survey", "mail"]
    again = read_feedback(text(tmp_path, "survey.csv", FEEDBACK))
    pd.testing.assert_frame_equal(feedback, again)
    feedback.to_parquet(tmp_path / "stored.parquet")
    pd.testing.assert_frame_equal(read_feedback(str(tmp_path / "stored.parquet")), feedback)
    assert "user" not in read_feedback(text(tmp_path, "s.csv", FEEDBACK), user="drop").dropna(axis=1, how="all")
    kept = read_feedback(text(tmp_path, "s.csv", FEEDBACK), user="keep", scrub=False)
    assert kept.loc["1", ["user", "text"]].tolist() == ["anna@example.org", "It is slow, call +49 30 901820"]


def test_ratings_of_one_scale(tmp_path, workbench):
    rows = [{"id": k, "time": "2026-01-01T00:00:00Z", "nps": nps} for k, nps in enumerate((0, 5, 10))]
    path = text(tmp_path, "nps.json", rows)
    assert read_feedback(path, rating_scale=[0, 10])["rating"].tolist() == [1.0, 3.0, 5.0]
    assert read_feedback(path)["rating"].tolist() == [0.0, 5.0, 10.0]
    with pytest.raises(ContractError, match=r"row 3, column 'rating'.*from 0 to 5"):
        read_feedback(path, rating_scale=[0, 5])
    words = [{**row, "nps": "so so"} for row in rows]
    with pytest.raises(ContractError, match="rating"):
        read_feedback(text(tmp_path, "w.json", words))
    assert read_feedback(text(tmp_path, "w.json", words), values={"rating": {"so so": 3}})["rating"].eq(3).all()


def test_states_at_their_own_times(tmp_path):
    csv = "when,host,what,now\n2026-01-02,a,version,2\n2026-01-01,a,version,1\n"
    columns = {"when": "timestamp", "host": "entity", "what": "name", "now": "value"}
    states = read_states(text(tmp_path, "s.csv", csv), columns=columns, timezone="UTC")
    assert states["value"].tolist() == ["1", "2"]


def test_the_documentation_is_true(tmp_path, workbench, monkeypatch):
    """`docs/records.md` to the letter: its files, its code, and what it says comes out."""
    page = (CHECKOUT / "docs" / "records.md").read_text()
    blocks = re.findall(r"^(?:`([\w./-]+)`:\n\n)?```(\w+)\n(.*?)^```", page, re.M | re.S)
    monkeypatch.chdir(workbench.folder)
    shutil.copytree(CHECKOUT / "data" / "sample", workbench.folder / "data" / "sample")
    ran = 0
    for name, language, content in blocks:
        if name:
            (workbench.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (workbench.folder / name).write_text(content)
        elif language == "python":
            exec(compile(content, "docs/records.md", "exec"), {})  # our own page
            ran += 1
        elif language == "yaml":
            from stability import datasets

            assert datasets.load("files", **yaml.safe_load(content)["dataset"]["options"])
            ran += 1
    assert ran >= 8
