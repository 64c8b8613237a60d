"""Privacy: names that lead back only with a key, secrets taken out of texts, erasure that reaches every copy."""

import contextlib
import json
import os
import signal
import sqlite3
import stat
import time

import pandas as pd
import pytest
from commands import Begun, stability
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from stability import datasets
from stability.cli import app
from stability.records import privacy
from stability.records.privacy import KeyStore, apply_policy, policy_of, scrub
from stability.schema import ContractError, read_metadata, read_table, write_table

ANNA, BEN = "anna@example.org", "ben@example.org"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home(workbench):
    return workbench.folder


def test_a_pseudonym_stays_and_tells_nothing(home):
    store = KeyStore()
    first = store.pseudonyms([ANNA, BEN])
    assert first == KeyStore().pseudonyms([ANNA, BEN]), "of another process too"
    assert first[ANNA] != first[BEN]
    assert store.pseudonyms([" Anna@Example.ORG"])[" Anna@Example.ORG"] == first[ANNA]
    assert store.pseudonyms([first[ANNA]]) == {first[ANNA]: first[ANNA]}, "of a pseudonym itself"
    assert all(privacy.is_pseudonym(p) for p in first.values())
    raw = store.path.read_bytes() + (home / "private" / "pseudonym.key").read_bytes()
    assert b"anna" not in raw.lower()
    assert mode(store.path) == mode(home / "private" / "pseudonym.key") == 0o600
    assert mode(home / "private") == 0o700
    assert (home / "private" / ".gitignore").read_text() == "*\n"


def test_without_its_key_a_subject_cannot_be_found_again(home, monkeypatch):
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    store = KeyStore()
    before = store.pseudonyms([ANNA, BEN])
    with sqlite3.connect(store.path) as raw:
        (key,) = raw.execute("select key from subjects where pseudonym = ?", (before[ANNA],)).fetchone()
    assert store.destroy(before[ANNA])
    assert key not in store.path.read_bytes(), "SQLite overwrites what is deleted"
    assert store.find(ANNA) is None
    assert store.find(before[ANNA]) is None
    after = store.pseudonyms([ANNA, BEN])
    assert after[ANNA] != before[ANNA], "the same master key and the same name lead to another one"
    assert after[BEN] == before[BEN]
    assert not store.destroy(before[ANNA])


def test_the_key_is_guarded(home, monkeypatch):
    KeyStore().pseudonyms([ANNA])
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "another key, long enough")
    with pytest.raises(ContractError, match="begun with"):
        KeyStore().pseudonyms([ANNA])
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "short")
    with pytest.raises(ContractError, match="at least 16") as told:
        KeyStore().pseudonyms([ANNA])
    assert "short" not in str(told.value).replace("shorter", ""), "a key never stands in an error"
    monkeypatch.delenv("STABILITY_PSEUDONYM_KEY")
    for name in ("pseudonym.key", "pseudonyms.sqlite"):
        path = home / "private" / name
        path.chmod(0o644)
        with pytest.raises(ContractError, match=f"chmod 600 .*{name}"):
            KeyStore().pseudonyms([ANNA])
        path.chmod(0o600)
    (home / "private" / "pseudonyms.sqlite").write_bytes(b"no database, but long enough to be read as one" * 40)
    with pytest.raises(ContractError, match=r"pseudonyms\.sqlite"):
        KeyStore().pseudonyms([ANNA])


def test_many_processes_agree_on_one_pseudonym(home):
    code = "from stability.records.privacy import KeyStore; print(KeyStore().pseudonyms(['anna', 'ben']))"
    runs = [Begun(home, "-c", code, **os.environ) for _ in range(3)]
    (said,) = {run.communicate() for run in runs}
    assert said == (f"{KeyStore().pseudonyms(['anna', 'ben'])}\n", "")
    assert not any(run.returncode for run in runs)


DIGITS = "0123456789"


def iban(country, account):
    """Give an account its check digits (ISO 13616)."""
    number = "".join(str(int(c, 36)) for c in f"{account}{country}00")
    return f"{country}{98 - int(number) % 97:02d}{account}"


def card(digits):
    """Give a number its check digit (Luhn)."""
    total = sum(sum(divmod(int(d) * (2 - k % 2), 10)) for k, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


NAMES = st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=10)
HEX = st.text("0123456789abcdef", min_size=32, max_size=40)
IDENTIFIERS = st.one_of(
    st.tuples(NAMES, NAMES, st.sampled_from(["org", "co.uk"])).map(lambda t: (f"{t[0]}.x+1@{t[1]}.{t[2]}", "[email]")),
    st.text(DIGITS, min_size=6, max_size=9).map(lambda d: (f"+49 30 1{d}", "[phone]")),
    st.text(DIGITS, min_size=7, max_size=7).map(lambda d: (f"(030) 9{d[:3]}-{d[3:]}", "[phone]")),
    st.text("23456789", min_size=10, max_size=10).map(lambda d: (f"{d[:3]}-{d[3:6]}-{d[6:]}", "[phone]")),
    st.tuples(*[st.integers(0, 255)] * 4).map(lambda t: (".".join(map(str, t)), "[ip]")),
    st.ip_addresses(v=6).filter(lambda a: "." not in str(a) and str(a) != "::").map(lambda a: (str(a), "[ip]")),
    st.text("0123456789abcdef", min_size=12, max_size=12).map(
        lambda h: (":".join(h[k : k + 2] for k in range(0, 12, 2)), "[mac]")
    ),
    st.text(DIGITS, min_size=14, max_size=14).map(lambda d: (card("4" + d), "[card]")),
    st.text(DIGITS, min_size=14, max_size=14).map(
        lambda d: (" ".join(card("5" + d)[k : k + 4] for k in (0, 4, 8, 12)), "[card]")
    ),
    st.text(DIGITS, min_size=18, max_size=18).map(lambda d: (iban("DE", d), "[iban]")),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=16, max_size=16).map(lambda t: (f"AKIA{t}", "[token]")),
    HEX.map(lambda h: (f"ghp_{h}", "[token]")),
    HEX.map(lambda h: (f"api_key={h}", "[token]")),
    HEX.map(lambda h: (f"password: {h}", "[token]")),
    HEX.map(lambda h: (f"Bearer {h}", "[token]")),
    HEX.map(lambda h: (f"eyJ{h}.eyJ{h}.{h}", "[token]")),
    st.tuples(NAMES, HEX).map(lambda t: (f"https://{t[0]}:{t[1]}@host/x", "[credentials]")),
)  # fmt: skip
WORDS = st.lists(
    st.sampled_from(["the", "pump", "answered", "late,", "error", "(again)", "at", "noon"]), max_size=4
).map(" ".join)


@given(WORDS, IDENTIFIERS, WORDS)
def test_every_identifier_is_gone(before, identifier, after):
    value, placeholder = identifier
    done = scrub(f"{before} {value} {after}")
    secret = value.removeprefix("api_key=").removeprefix("password: ").removeprefix("Bearer ")
    secret = secret.removeprefix("https://").removesuffix("@host/x")
    assert secret not in done
    assert any(known in done for known in ("[token]", placeholder))
    assert done.startswith(before)
    assert done.endswith(after)
    assert scrub(done) == done, "a scrubbed text stays what it is"


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24 06:35:36,123 INFO request 4f2a9c1e done in 12.5 ms (3/7)",
        "GET /v1/completions 200 48 ms trace=550e8400-e29b-41d4-a716-446655440000",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 deployed to web-1 at 12:34:56",
        "std::vector<int>::push_back failed at foo.cpp:12: index 4294967295 of 1024",
        "kernel: [12345.678901] usb 1-1: new high-speed USB device number 2",
        "job 1700000000123 took 123456789 ns; 4111111111111112 is no card",
        "the token bucket is full; password reset requested; 5 cookies",
        "ratio 0.001, version 3.11.7, 10 x 20 mm, range 100-200, 1,234,567 rows",
        "T-2000 exceeded +5.0 by 3.14 on 24.11.2026",
        "disk /dev/sda1 98 % of 1.8T used, inode 123456",
        "p-0123456789abcdef0123 wrote [email] again",
    ],
)
def test_ordinary_text_is_unchanged(text):
    assert scrub(text) == text


@given(st.text(max_size=300))
def test_no_text_breaks_the_scrubber(text):
    assert scrub(scrub(text)).count("\n") <= text.count("\n")


def tables():
    stamps = pd.to_datetime(["2026-01-01T00:00Z", "2026-03-01T00:00Z"])
    index = pd.MultiIndex.from_product([["web-1"], stamps], names=["entity", "timestamp"])
    logs = {
        "timestamp": stamps,
        "entity": ["web-1", "web-2"],
        "level": "INFO",
        "message": ["web-2 asked", "by 10.0.0.1"],
    }
    feedback = {"feedback_id": ["1", "2"], "timestamp": stamps, "channel": "mail", "user": [ANNA, BEN]}
    feedback |= {"text": [f"I am {ANNA}", "fine"], "rating": [1.0, 5.0]}
    return {
        "telemetry": pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=index),
        "logs": pd.DataFrame(logs),
        "feedback": pd.DataFrame(feedback).set_index("feedback_id"),
    }


def test_a_policy_is_applied_and_counted(home):
    policy = policy_of(
        {
            "pseudonyms": {"logs": "entity", "telemetry": ["entity"], "feedback": ["user"]},
            "allow": {"telemetry": ["a"], "feedback": ["timestamp", "channel", "user", "text"]},
            "scrub": ["logs", "feedback"],
            "retain": {"feedback": "90d", "logs": "90d"},
            "as_of": "2026-04-01",
        }
    )
    done, report = apply_policy(tables(), policy)
    (host,) = done["telemetry"].index.unique("entity")
    assert privacy.is_pseudonym(host)
    assert list(done["telemetry"]) == ["a"]
    assert done["logs"]["message"].tolist() == [f"{KeyStore().find('web-2')} asked", "by [ip]"]
    assert done["logs"]["entity"].iloc[0] == host
    assert done["feedback"]["rating"].isna().all()
    assert done["feedback"]["text"].tolist() == [f"I am {KeyStore().find(ANNA)}", "fine"]
    assert report.pseudonyms == 4
    assert report.dropped == {"telemetry.b": 2, "feedback.rating": 2}
    assert report.scrubbed["logs.message"] == 2
    assert report.expired == {}
    young, report = apply_policy(tables(), policy_of({"retain": "40d", "as_of": "2026-04-01"}))
    assert report.expired == {"telemetry": 1, "logs": 1, "feedback": 1}
    assert len(young["feedback"]) == 1
    nothing, _ = apply_policy({"telemetry": tables()["telemetry"].iloc[:0]}, policy_of({"retain": "1d"}))
    assert nothing["telemetry"].empty


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pseudonym": {}}, "did you mean 'pseudonyms'"),
        ({"pseudonyms": {"log": ["entity"]}}, "did you mean 'logs'"),
        ({"pseudonyms": {"logs": ["entty"]}}, "did you mean 'entity'"),
        ({"pseudonyms": ["logs"]}, "mapping"),
        ({"scrub": ["topology"]}, "texts"),
        ({"retain": "soon"}, "length of time"),
        ({"retain": "90"}, "length of time"),
        ({"retain": "+90"}, "length of time"),
        ({"pseudonyms": {"telemetry": ["a"]}}, "a number"),
        ({"retain": {"topology": "1d"}}, "moments"),
        ({"retain": "1d", "as_of": "later"}, "as_of"),
        ({"retain": "1d", "as_of": "2027-01-01"}, "telemetry after"),
        ({"allow": {"feedback": ["text"]}}, "'timestamp', which the table cannot be without"),
    ],
)
def test_policies_that_cannot_be(home, options, said):
    with pytest.raises(ContractError, match=said):
        apply_policy(tables(), policy_of(options))


@pytest.fixture
def stored(home):
    """A snapshot, two runs that share a table by a hard link, and an artifact; with Anna's and Ben's words."""
    who = KeyStore().pseudonyms([ANNA, BEN])
    feedback = tables()["feedback"].assign(
        user=[who[ANNA], who[BEN]], text=["I am unhappy with it", f"{ANNA} is right"]
    )
    snapshot = home / "runs" / ".snapshots" / ("0" * 64)
    write_table(feedback, snapshot / "feedback.parquet", "feedback", metadata={"origin": "survey"})
    write_table(tables()["telemetry"], snapshot / "telemetry.parquet", "telemetry")
    first, second = (home / "runs" / "mine" / name / "steps" / "explore" for name in ("2026-01-01", "2026-01-02"))
    write_table(feedback.reset_index(), first / "said.parquet", "other", fitted_on={"fold": "1"})
    second.mkdir(parents=True)
    os.link(first / "said.parquet", second / "said.parquet")
    (home / "runs" / "mine" / "latest").symlink_to("2026-01-02")
    write_table(
        feedback, home / "mlartifacts" / "mine" / "abc" / "artifacts" / "tables" / "feedback.parquet", "feedback"
    )
    (first / "notebook.html").write_text("<p>I am unhappy with it</p>")
    (second / "notebook.html").write_text("<p>nothing</p>")
    return home, who, snapshot, first, second


def test_an_erasure_reaches_every_copy_and_is_recorded(stored):
    home, who, snapshot, first, second = stored
    plan = privacy.erase(ANNA, dry_run=True)
    assert plan.pseudonym == who[ANNA]
    assert len(plan.changed) == 4
    assert privacy.erasures() == []
    assert read_table(snapshot / "feedback.parquet").loc["1", "text"] == "I am unhappy with it"
    done = privacy.erase(ANNA)
    assert done.changed == plan.changed
    for path in home.rglob("*.parquet"):
        assert b"unhappy" not in path.read_bytes()
    feedback = read_table(snapshot / "feedback.parquet", "feedback")
    assert feedback["text"].tolist() == ["[erased]", "[erased] is right"]
    assert feedback["user"].tolist() == [who[ANNA], who[BEN]], "numbers stay numbers of the same subjects"
    assert read_metadata(snapshot / "feedback.parquet")["origin"] == "survey"
    assert read_metadata(first / "said.parquet")["fitted_on"] == {"fold": "1"}
    assert read_table(first / "said.parquet")["text"].tolist() == feedback["text"].tolist()
    assert (first / "said.parquet").samefile(second / "said.parquet"), "one file under two names stays one file"
    for folder in (snapshot, first, second):
        (entry,) = json.loads((folder / "ERASED.json").read_text())
        assert entry["pseudonym"] == who[ANNA]
        assert entry["rows"] == 2
        assert pd.Timestamp(entry["moment"]).tzinfo
    assert entry["tables"] == ["said.parquet"]
    assert done.pages == ["runs/mine/2026-01-01/steps/explore/notebook.html"]
    (told,) = privacy.erasures()
    assert told["pseudonym"] == who[ANNA]
    assert ANNA not in json.dumps(privacy.erasures())
    assert KeyStore().find(ANNA) is None
    assert not list(home.rglob("*.part"))
    again = privacy.erase(who[ANNA])
    assert again.changed == [], "a second time there is nothing left to do"
    with pytest.raises(ContractError, match="none does"):
        privacy.erase("carla@example.org")
    with pytest.raises(ContractError, match="at least 3"):
        privacy.erase("a")


def test_a_name_that_was_stored_in_clear_becomes_nobody(stored):
    _, _, snapshot, *_ = stored
    raw = tables()["feedback"]
    write_table(raw, snapshot / "feedback.parquet", "feedback")
    done = privacy.erase(ANNA)
    feedback = read_table(snapshot / "feedback.parquet", "feedback")
    assert feedback["user"].tolist() == [done.pseudonym, BEN]
    assert feedback["text"].tolist() == ["[erased]", "fine"]
    assert ANNA.encode() not in (snapshot / "feedback.parquet").read_bytes()


def test_tombstones_of_one_folder(stored):
    _, who, snapshot, *_ = stored
    assert privacy.tombstone(snapshot, {who[BEN]: ()}) == {who[BEN]: [snapshot / "feedback.parquet"]}
    assert read_table(snapshot / "feedback.parquet")["text"].tolist() == ["I am unhappy with it", "[erased]"]
    assert privacy.tombstone(snapshot, {who[BEN]: ()}) == {}
    assert len(json.loads((snapshot / "ERASED.json").read_text())) == 1


def test_retention_deletes_stored_rows(stored):
    _, _, snapshot, first, _ = stored
    now = pd.Timestamp.now("UTC").floor("s")
    logs = pd.DataFrame(
        {"timestamp": [now - pd.Timedelta("100d"), now], "entity": "a", "level": "INFO", "message": "x"}
    )
    write_table(logs, snapshot / "logs.parquet", "logs")
    plan = privacy.expire("90d", tables=["logs"], dry_run=True)
    assert plan.changed == [("runs/.snapshots/" + "0" * 64 + "/logs.parquet", 1)]
    assert len(read_table(snapshot / "logs.parquet")) == 2
    privacy.expire("90d", tables=["logs"])
    assert read_table(snapshot / "logs.parquet")["timestamp"].tolist() == [now]
    assert json.loads((snapshot / "ERASED.json").read_text())[0]["pseudonym"] is None
    privacy.expire("1d", tables=["feedback"])
    assert len(read_table(snapshot / "feedback.parquet")) == 0
    assert len(read_table(first / "said.parquet")) == 2, "a table of another name is another table"
    with pytest.raises(ContractError, match="length of time"):
        privacy.expire("long")
    with pytest.raises(ContractError, match="moments"):
        privacy.expire("1d", tables=["topology"])


def test_the_command(stored):
    home, who, *_ = stored
    runner = CliRunner()
    dry = runner.invoke(app, ["data", "erase", ANNA, "--dry-run"])
    assert "nothing was done" in dry.stdout
    done = runner.invoke(app, ["data", "erase", ANNA])
    assert done.exit_code == 0
    assert who[ANNA] in done.stdout
    assert "Out of reach" in done.stdout
    assert runner.invoke(app, ["data", "expire", "1d", "--dry-run"]).stdout.count("feedback.parquet") == 2
    unknown = stability(home, "data", "erase", "nobody at all", **os.environ)
    assert unknown.returncode == 2
    assert "Traceback" not in unknown.stderr


def test_a_users_dataset_with_privacy(home):
    (home / "t.csv").write_text("timestamp,entity,x\n2026-01-01T00:00:00Z,web-1,1\n2026-01-02T00:00:00Z,web-1,2\n")
    (home / "app.log").write_text(f"2026-01-01T00:00:00Z INFO [web-1] {ANNA} logged in\n")
    (home / "said.csv").write_text(f"id,time,user,text\n1,2026-01-01T00:00:00Z,{ANNA},slow\n")
    options = {
        "path": "t.csv",
        "logs": {"path": "app.log", "pattern": "{timestamp} {level} [{entity}] {message}"},
        "feedback": {"path": "said.csv"},
        "privacy": {"pseudonyms": {"telemetry": ["entity"], "logs": ["entity"]}, "scrub": ["logs"]},
    }
    loaded = datasets.load("files", **options)
    assert loaded["logs"]["message"].tolist() == ["[email] logged in"]
    assert set(loaded["logs"]["entity"]) == set(loaded["telemetry"].index.unique("entity"))
    assert privacy.is_pseudonym(loaded["feedback"]["user"].iloc[0])
    before = datasets.fingerprint("files", **options)
    assert datasets.fingerprint("files", **options) == before
    assert datasets.fingerprint("files", **{**options, "privacy": {}}) != before
    privacy.erase(ANNA)
    assert datasets.fingerprint("files", **options) != before, "whoever comes back is somebody else"
    kept = {**options, "privacy": {"retain": "36h", "as_of": "2026-01-03"}}
    assert len(datasets.load("files", **kept)["telemetry"]) == 1
    tomorrow = {**kept, "privacy": {"retain": "36h", "as_of": "2026-01-02"}}
    assert datasets.fingerprint("files", **kept) != datasets.fingerprint("files", **tomorrow)


GIVING = """
import sys, time
from pathlib import Path
from stability.records.privacy import KeyStore

def names():
    for k in range(40_000):  # more than SQLite keeps in memory before it writes into the file
        yield f"n{k}@example.org"
    Path(sys.argv[2]).touch()
    time.sleep(600)

KeyStore(sys.argv[1]).pseudonyms(names())
"""


def test_a_process_killed_amid_a_change_leaves_the_keys_as_they_were(tmp_path, monkeypatch):
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    store = KeyStore(tmp_path / "keys.sqlite")
    before = store.pseudonyms([ANNA, *(f"old{k}@example.org" for k in range(2000))])  # on pages that will change
    amid = tmp_path / "amid"
    giving = Begun(tmp_path, "-c", GIVING, str(store.path), str(amid), **os.environ)
    while not amid.exists():
        assert giving.poll() is None, giving.communicate()
        time.sleep(0.01)
    giving.send_signal(signal.SIGKILL)
    giving.communicate()
    assert store.pseudonyms(before) == before
    assert store.find("n7@example.org") is None, "what was not finished is undone"
    with contextlib.closing(sqlite3.connect(store.path)) as file:
        assert file.execute("pragma integrity_check").fetchone() == ("ok",)


def test_a_digest_needs_the_master_key(tmp_path, monkeypatch):
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    store = KeyStore(tmp_path / "keys.sqlite")
    first = store.digest("anna \ud800")
    assert first == store.digest("anna \ud800") != store.digest("anna")
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "j" * 32)
    assert store.digest("anna \ud800") != first
