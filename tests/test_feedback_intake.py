"""Intake: from every channel, once, scrubbed before anything is stored, and not lost to a lock or a kill."""

import contextlib
import datetime as dt
import json
import mailbox
import os
import random
import signal
import socketserver
import sqlite3
import subprocess
import sys
import threading
import time
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.feedback import read_development
from stability.feedback.classification import FeedbackClassifier
from stability.feedback.contacts import Contacts
from stability.feedback.intake import Intake
from stability.feedback.mailbox import REMEMBERED, take_mailbox
from stability.feedback.mails import from_mail
from stability.feedback.messages import Message, guarded
from stability.feedback.sources import from_chat, read_source
from stability.feedback.store import FeedbackStore, private_store
from stability.records.privacy import KeyStore
from stability.schema import ContractError

MODEL = []


@pytest.fixture
def intake(tmp_path, monkeypatch):
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    if not MODEL:
        part = read_development().iloc[::24]
        MODEL.append(FeedbackClassifier().fit(part["text"], part["category"], part["urgency"]))
    keys = KeyStore(tmp_path / "keys.sqlite")
    contacts = Contacts(tmp_path / "contacts.sqlite", keys=keys)
    return Intake(FeedbackStore(tmp_path / "store"), keys=keys, contacts=contacts, model=MODEL[0])


def mail(text="The invoice is wrong. Regards, Eleanor Whitcombe", key="<1@mail.example>", **headers):
    made = EmailMessage()
    made["From"], made["Subject"], made["Message-ID"] = "Eleanor <eleanor@home.example>", "Invoice 7", key
    made["Date"] = "Thu, 01 Jan 2026 10:00:00 +0100"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made


def test_everything_personal_is_gone_before_anything_is_stored(intake, tmp_path):
    counts = intake.take([from_mail(mail("Call 0161 496 0735, Eleanor Whitcombe").as_bytes())])
    assert counts == {"new": 1, "known": 0, "waiting": 0, "aside": 0}
    (row,) = intake.store.frame().to_dict("records")
    assert row["text"] == "Invoice 7\nCall [phone], [name]"
    assert row["user"].startswith("p-")
    assert row["timestamp"].isoformat() == "2026-01-01T09:00:00+00:00"
    stored = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert not any(word in stored.lower() for word in (b"eleanor", b"0735", b"home.example"))
    back = "mailto:eleanor@home.example?In-Reply-To=%3C1%40mail.example%3E"
    assert intake.contacts.find(row["feedback_id"]) == ("mail", back)
    assert (tmp_path / "contacts.sqlite").stat().st_mode & 0o077 == 0


def test_an_erased_subject_has_no_address_any_more(intake):
    intake.take([from_mail(mail().as_bytes())])
    (row,) = intake.store.frame().to_dict("records")
    intake.keys.destroy(row["user"])
    assert intake.contacts.find(row["feedback_id"]) is None
    assert b"eleanor" not in intake.contacts.path.read_bytes()


def test_every_form_of_file_is_read_once(intake, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    box = mailbox.mbox(folder / "archive.mbox")
    box.add(mail())
    box.add(mail("Another", "<2@mail.example>"))
    box.close()
    (folder / "one.eml").write_bytes(mail("A third one", "<3@mail.example>").as_bytes())
    (folder / "export.csv").write_text("id,created_at,message,rating\n7,2026-01-02T10:00:00Z,很慢,2\n8,,Great,5\n")
    (folder / "lines.jsonl").write_text('{"text": "search is down", "user": "u1"}\n\n{"comment": "发票错了"}\n')
    (folder / "chat.json").write_text(json.dumps([{"text": "bot is silent", "user": "U7"}, {"type": "join"}]))
    (folder / "call.txt").write_text(
        "Date: 2026-01-03T08:00:00Z\nCaller: 0161 496 0735\nService: voice\n\nHe says it hangs up."
    )
    first = intake.take(read_source(folder))
    assert first == {"new": 9, "known": 0, "waiting": 0, "aside": 0}
    assert intake.take(read_source(folder)) == {"new": 0, "known": 9, "waiting": 0, "aside": 0}
    frame = intake.store.frame()
    assert frame["channel"].value_counts().to_dict() == {"mail": 3, "file": 4, "chat": 1, "phone": 1}
    assert frame["entity"].dropna().tolist() == ["voice"]
    assert sorted(frame["rating"].dropna()) == [2.0, 5.0]


def test_a_maildir_is_read(intake, tmp_path):
    box = mailbox.Maildir(tmp_path / "box", create=True)
    box.add(mail())
    assert intake.take(read_source(tmp_path / "box", channel="post"))["new"] == 1
    assert intake.store.frame()["channel"].tolist() == ["post"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "id,created_at\n1,2026-01-01\n", "row 1, column 'text'"),
        ("a.csv", "text,time\nx,later\n", "a moment"),
        ("a.csv", "", "with a header"),
        ("a.jsonl", "{]\n", "row 1: expected JSON"),
        ("a.jsonl", "[1]\n", "a JSON object a line"),
        ("a.json", "7", "a chat payload"),
        ("a.json", "[" * 100_000, "JSON"),
        ("a.txt", "Date: 2026-01-01\n", "no text"),
        ("a.bin", "nothing", "mbox, Maildir"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(ContractError, match=said):
        list(read_source(tmp_path / name))
    with pytest.raises(ContractError, match="a file or folder"):
        list(read_source(tmp_path / "none"))


def test_mail_in_other_shapes():
    reply = mail("Still broken\n\nOn Monday somebody wrote:\n> old text\n> more", In_Reply_To="<0@mail.example>")
    message = from_mail(reply.as_bytes())
    assert message.text == "Invoice 7\nStill broken"
    assert message.thread == "<0@mail.example>"
    page = EmailMessage()
    page["Subject"] = "Re: 回复：慢"
    page.set_content("<p>Slow &amp; late</p><script>x()</script>", subtype="html")
    assert from_mail(page.as_bytes()).text.split() == ["慢", "Slow", "&", "late"]
    assert "x" in from_mail(b"Content-Type: text/plain; charset=no-such\n\nx").text
    assert from_mail(b"").text == ""


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"From: a\nSubject: =?x?q?", b"Content-Type: multipart/mixed; boundary=b\n\n--b\n"]),
)
def test_no_mail_breaks_the_reader(raw, before):
    assert isinstance(from_mail(before + raw).text, str)


@pytest.mark.parametrize(
    "payload",
    [
        {"event": {"type": "message", "text": "it is down", "user": "U1", "client_msg_id": "7", "ts": "1767225600.5"}},
        {"text": {"content": "it is down"}, "senderId": "s", "msgId": "7", "sessionWebhook": "https://x.example"},
        {"event": {"message": {"content": '{"text": "it is down"}', "message_id": "7"}}},
        {"text": "it is down", "user_id": "u", "id": "7"},
        {"type": "message", "text": "it is down", "from": {"id": "a"}, "id": 7},
    ],
)
def test_chat_services(payload):
    message = from_chat(payload)
    assert (message.text, message.key, message.channel) == ("it is down", "7", "chat")


def test_a_locked_store_loses_nothing(intake):
    intake.take([Message("first", "form", key="1")])
    locker = sqlite3.connect(intake.store.path, isolation_level=None)
    locker.execute("begin exclusive")
    try:
        assert intake.take([Message("second", "form", key="2")]) == {"new": 1, "known": 0, "waiting": 1, "aside": 0}
    finally:
        locker.execute("rollback")
        locker.close()
    assert intake.store.drain() == 1
    assert intake.store.waiting() == 0
    assert sorted(intake.store.frame()["text"]) == ["first", "second"]
    assert intake.take([Message("second", "form", key="2")])["known"] == 1


WRITER = """
import sys
from stability.feedback.store import FeedbackStore, private_store
store = FeedbackStore(sys.argv[1])
for k in range(100_000):
    row = {"feedback_id": f"f{k}", "timestamp": "2026-01-01T00:00:00+00:00", "received_at": "2026-01-01T00:00:00+00:00",
           "channel": "form", "text": f"message {k}", "category": "other", "urgency": "low"}
    store.put(row)
    print(k, flush=True)
    if k % 7 == 6:
        store.drain()
"""


def killed(folder, seconds):
    """Run the writer, kill it, and give the last message that it said was safe."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout.readline() == "0\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    said = process.stdout.read().split("\n")
    process.wait()
    return max([0, *(int(line) for line in said[:-1])])


def all_there(folder, last):
    store = FeedbackStore(folder)
    store.drain()
    names = set(store.frame()["feedback_id"])
    assert {f"f{k}" for k in range(last + 1)} <= names
    assert len(names) <= last + 2, "and no message but the one that was being written"


def test_a_killed_process_loses_no_message_that_it_had_taken(tmp_path):
    all_there(tmp_path, killed(tmp_path, 0.3))


@pytest.mark.soak
def test_a_process_killed_at_fifty_moments_loses_nothing(tmp_path):
    rng = random.Random(0)
    for k in range(50):
        all_there(tmp_path / str(k), killed(tmp_path / str(k), rng.random()))


def test_names_and_columns_of_the_store_are_checked(tmp_path):
    store = FeedbackStore(tmp_path)
    with pytest.raises(ContractError, match="a name and columns"):
        store.put({"feedback_id": "../x"})
    with pytest.raises(ContractError, match="a name and columns"):
        store.put({"feedback_id": "x", "phone": "1"})
    with pytest.raises(ContractError, match="columns of"):
        store.update("x", phone="1")
    assert not store.update("x", answer="1")
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0


class Imap(socketserver.StreamRequestHandler):
    """As much of RFC 3501 as a reader asks: it answers with literals, and changes nothing."""

    def handle(self):
        box = self.server.box
        self.wfile.write(b"* OK ready\r\n")
        while line := self.rfile.readline().decode().strip():
            tag, _, command = line.partition(" ")
            verb = command.upper()
            if verb.startswith("CAPABILITY"):
                self.wfile.write(b"* CAPABILITY IMAP4rev1\r\n")
            elif verb.startswith("LOGIN") and "wrong" in command:
                self.wfile.write(f"{tag} NO refused\r\n".encode())
                continue
            elif verb.startswith("EXAMINE"):
                if "INBOX" not in verb:
                    self.wfile.write(f"{tag} NO no such mailbox\r\n".encode())
                    continue
                self.wfile.write(f"* {len(box['mails'])} EXISTS\r\n* OK [UIDVALIDITY {box['validity']}] x\r\n".encode())
                if box.get("following", True):
                    self.wfile.write(f"* OK [UIDNEXT {max(box['mails'], default=0) + 1}] x\r\n".encode())
            elif verb.startswith("UID SEARCH"):
                low, high = command.split()[-1].split(":")
                top = max(box["mails"], default=0)
                low, high = sorted((int(low), top if high == "*" else int(high)))
                found = " ".join(str(uid) for uid in box["mails"] if low <= uid <= high)
                self.wfile.write(f"* SEARCH {found}\r\n".encode())
            elif verb.startswith("UID FETCH"):
                assert "BODY.PEEK" in verb, "a mail that is only peeked at stays unread"
                uid = int(command.split()[2])
                box["asked"].append(uid)
                if uid == box.get("breaks"):
                    return
                raw = box["mails"][uid]
                self.wfile.write(f"* {uid} FETCH (UID {uid} BODY[]<0> {{{len(raw)}}}\r\n".encode() + raw + b")\r\n")
            self.wfile.write(f"{tag} OK done\r\n".encode())
            if verb.startswith("LOGOUT"):
                return


@pytest.fixture
def imap(monkeypatch):
    monkeypatch.setenv("STABILITY_IMAP_USER", "u")
    monkeypatch.setenv("STABILITY_IMAP_PASSWORD", "p")
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Imap)
    server.daemon_threads = True
    mails = {k: mail(f"Mail {k}", f"<{k}@mail.example>").as_bytes() for k in (1, 2)}
    server.box = {"validity": 7, "mails": mails, "asked": []}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_mailbox_is_read_over_imap(imap, intake, monkeypatch):
    port = imap.server_address[1]
    assert take_mailbox(intake, "127.0.0.1", port, plain=True) == {"new": 2, "known": 0, "waiting": 0, "aside": 0}
    with pytest.raises(ContractError, match="a mailbox that there is"):
        take_mailbox(intake, "127.0.0.1", port, plain=True, folder="nowhere")
    with pytest.raises(ContractError, match="TLS"):
        take_mailbox(intake, "mail.example", 143, plain=True)
    monkeypatch.setenv("STABILITY_IMAP_PASSWORD", "wrong")
    with pytest.raises(ConnectionError, match="refused"):
        take_mailbox(intake, "127.0.0.1", port, plain=True)
    monkeypatch.delenv("STABILITY_IMAP_PASSWORD")
    with pytest.raises(ContractError, match="both in the environment"):
        take_mailbox(intake, "127.0.0.1", port, plain=True)


def test_all_new_mails_are_read_and_each_once(imap, intake, monkeypatch):
    monkeypatch.setattr("stability.feedback.mailbox.ASKED", 3)
    monkeypatch.setattr("stability.feedback.mailbox.BATCH", 2)
    port, box = imap.server_address[1], imap.box
    assert take_mailbox(intake, "127.0.0.1", port, plain=True)["new"] == 2
    box["mails"] |= {k: mail(f"Mail {k}", f"<{k}@mail.example>").as_bytes() for k in (3, 4, 5, 11)}
    box["asked"].clear()
    box["breaks"] = 5
    with pytest.raises((ConnectionError, OSError)):
        take_mailbox(intake, "127.0.0.1", port, plain=True)
    assert box["asked"] == [3, 4, 5], "what was taken before the line broke is not asked for again"
    del box["breaks"]
    assert take_mailbox(intake, "127.0.0.1", port, plain=True)["new"] == 2
    assert box["asked"] == [3, 4, 5, 5, 11]
    assert take_mailbox(intake, "127.0.0.1", port, plain=True)["new"] == 0
    assert len(box["asked"]) == 5
    box["following"] = False  # a server that does not say which number comes next
    assert take_mailbox(intake, "127.0.0.1", port, plain=True) == {"new": 0, "known": 0, "waiting": 0, "aside": 0}
    box["validity"] = 8
    assert take_mailbox(intake, "127.0.0.1", port, plain=True)["known"] == 6, "the mailbox was made anew"
    (intake.store.folder / REMEMBERED).write_text("{")
    assert take_mailbox(intake, "127.0.0.1", port, plain=True)["known"] == 6
    assert intake.store.frame()["text"].nunique() == 6


def test_a_message_without_a_text_is_refused(intake):
    with pytest.raises(ContractError, match="a text"):
        intake.take_one(Message("  ", "form"))


def test_what_is_one_message_and_what_are_two(intake):
    stamp = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def same(one, other):
        return intake.take_one(Message(**{"text": "it is slow", "channel": "form", **one})) == intake.take_one(
            Message(**{"text": "it is slow", "channel": "form", **other})
        )

    assert same({"user": "a@home.example"}, {"user": "a@home.example"}), "sent twice within a short time"
    assert same({"user": "a@home.example", "timestamp": stamp}, {"user": "a@home.example", "timestamp": stamp})
    assert same({"user": "a@home.example", "key": "1"}, {"user": "a@home.example", "key": "1"})
    assert same({"client": "10.0.0.1", "key": "2"}, {"client": "10.0.0.1", "key": "2"})
    assert not same({}, {}), "two people without a name"
    assert not same({"user": "a@home.example"}, {"user": "b@home.example"})
    assert not same({"user": "a@home.example", "key": "1"}, {"user": "b@home.example", "key": "1"})
    assert not same({"client": "10.0.0.1", "key": "1"}, {"client": "10.0.0.2", "key": "1"})
    assert not same({"key": "7", "channel": "form"}, {"key": "7", "channel": "chat"})


def test_equal_rows_of_a_file_are_as_many_messages_and_the_next_export_has_them_too(intake, tmp_path):
    path = tmp_path / "survey.csv"
    path.write_text("text,rating\nit is slow,2\nit is slow,2\n")
    assert intake.take(read_source(path))["new"] == 2
    path.write_text("text,rating\nit is slow,2\nit is slow,2\nit is slow,2\n")
    counts = intake.take(read_source(path))
    assert (counts["new"], counts["known"]) == (1, 2)
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text(f"id,user,text\n1,{name[:3]}@home.example,it is slow\n")
        assert intake.take(read_source(tmp_path / name))["new"] == 1, "row 1 of another file"


def test_names_of_messages_cannot_be_found_by_trying(intake, monkeypatch):
    message = Message("my card is lost", "form", key="1", client="10.0.0.1", thread="t")
    first = intake.take_one(message)
    intake.store.drain()
    thread = intake.store.frame()["thread"].iloc[0]
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "j" * 32)
    other = Intake(FeedbackStore(intake.store.folder / "other"), keys=KeyStore(intake.store.folder / "keys"),
                   contacts=intake.contacts, model=MODEL[0])  # fmt: skip
    assert other.take_one(message) != first
    other.store.drain()
    assert other.store.frame()["thread"].iloc[0] != thread


def test_one_bad_row_or_mail_stops_no_other(intake, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_bytes(
        b"text,created_at,rating\nfirst,2026-01-01,1\nSecret Name,soon,1\nSecret Name,2026-01-01,inf\n,,\n"
        b"Secret Name,2026-01-01,1,more\nSecret Na\xffme,2026-01-01,1\nSecret Name,9999-12-31T23:59:59-12:00,1\n"
        b"last,2026-01-01,1\n"
    )
    (folder / "b.jsonl").write_text(
        '{"text": "third"}\n{"text": "Secret Name"\n["Secret Name"]\n{"text": "half \\ud800 of it"}\n'
    )
    (folder / "c.json").write_text('[{"text": "fourth"}, "Secret Name"]')
    (folder / "d.zip").write_bytes(b"PK\x03\x04 Secret Name")
    (folder / "e.txt").write_bytes(b"Secret Name \xff")
    box = mailbox.mbox(folder / "f.mbox")
    box.add(b"Message-ID: <far@mail.example>\nDate: Fri, 31 Dec 9999 23:59:59 -1200\n\nfar away")
    box.add(
        b"Content-Type: text/plain; charset=no-such\nSubject: =?no-such?q?x?=\nFrom: " + b"(" * 50_000 + b"\n\nfifth"
    )
    box.close()
    counts = intake.take(read_source(folder, aside=intake.store.set_aside))
    assert counts == {"new": 7, "known": 0, "waiting": 0, "aside": 11}
    told = " ".join(map(" ".join, intake.store.aside))
    assert "Secret" not in told
    assert "a.csv, row 2 column timestamp" in told
    assert "b.jsonl, row 3" in told
    kept = [path.read_bytes() for path in intake.store.quarantine.iterdir()]
    assert sum(b"Secret" in raw for raw in kept) == 10, "nothing is lost"
    assert all(
        path.stat().st_mode & 0o077 == 0 for path in [intake.store.quarantine, *intake.store.quarantine.iterdir()]
    )
    said = intake.store.frame().set_index("text")
    assert {"first", "last", "third", "fourth", "half \ufffd of it"} <= set(said.index)
    assert said["timestamp"].max() < dt.datetime.now(dt.UTC) + dt.timedelta(days=1)


def test_without_a_place_for_them_bad_rows_are_errors_that_tell_nobody_what_stood_there(tmp_path):
    for name, content in (
        ("a.csv", "text,time\nx,Secret\n"),
        ("a.jsonl", '["Secret"]'),
        ("a.json", '"Secret"'),
        ("b.json", '{"Secret'),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(ContractError) as error:
            list(read_source(tmp_path / name))
        assert "Secret" not in str(error.value)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ContractError, match="a pipe"):
        list(read_source(tmp_path / "pipe"))


def test_what_cannot_be_stored_of_a_batch_is_set_aside_alone(intake):
    bad = Message("bad", "form", rating=float("inf"), key="1")
    counts = intake.take(
        [Message("good", "form", key="0"), bad, Message("half \ud800", "form", user="\ud800", key="2")]
    )
    assert counts == {"new": 2, "known": 0, "waiting": 0, "aside": 1}
    with pytest.raises(ContractError, match="can be stored"):
        intake.take_one(bad)


@pytest.mark.parametrize(
    "page",
    ["<script" * 28_000, "<" * 200_000, "<style>" + "</scrip" * 28_000, "-" * 200_000, "--\n" * 60_000, "On " * 60_000],
)
def test_no_mail_keeps_the_reader_busy(page):
    began = time.process_time()
    for kind in (b"html", b"plain"):
        from_mail(b"Content-Type: text/" + kind + b"\n\n" + page.encode())
    for name in (b"From", b"Subject", b"Date", b"References"):
        from_mail(name + b": " + b"(=?utf-8?q?" * 10_000 + b"\n\nx")
    assert time.process_time() - began < 20, "seconds where hours were possible"


def test_parts_within_parts_are_survived():
    parts = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (k, k) for k in range(1500))
    read = []
    with guarded(lambda *told: read.append(told), "mail 1", b""):
        read.append(from_mail(parts + b"Content-Type: text/plain\n\nx"))
    assert len(read) == 1
    header = b"From: a@home.example\nSubject: hello\n Bcc: all@home.example\nReply-To: x@home.example\r\n\r\nx"
    message = from_mail(header)
    assert "\n" not in message.text.split("\nx")[0]
    assert message.reply_to == "x@home.example"


def test_what_cannot_be_stored_keeps_no_other_message_waiting(intake):
    store = intake.store
    good, bad = (dict.fromkeys(["text"], name) | {"feedback_id": name} for name in ("f-good", "f-bad"))
    assert store.put(bad | {"rating": 10**24})
    assert store.put(good)
    (store.spool / "f-cut.json").write_text('{"feedback_id": "f-c')
    assert store.drain() == 1
    assert store.frame()["feedback_id"].tolist() == ["f-good"]
    assert sorted(path.name for path in (store.spool / "bad").iterdir()) == ["f-bad.json", "f-cut.json"]
    assert store.waiting() == 0


@pytest.mark.parametrize("kind", ["store", "keys"])
def test_a_second_look_at_a_store_ends_no_lock_of_the_first(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    path, keys = tmp_path / "private" / "one.sqlite", KeyStore(tmp_path / "private" / "one.sqlite")
    path.parent.mkdir(mode=0o700)
    asks = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('begin immediate')"
    with contextlib.ExitStack() as held:
        if kind == "keys":
            held.enter_context(keys._open())
            monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: pytest.fail("only the look before it is wanted"))
            with pytest.raises(pytest.fail.Exception):
                held.enter_context(keys._open())
        else:
            store = held.enter_context(private_store(path, "create table if not exists t (x)"))
            store.execute("insert into t values (1)")
            with pytest.raises(sqlite3.OperationalError), private_store(path, wait=0.0) as other:
                other.execute("insert into t values (2)")
        other = subprocess.run([sys.executable, "-c", asks, str(path)], capture_output=True, text=True, check=False)
    assert "database is locked" in other.stderr
