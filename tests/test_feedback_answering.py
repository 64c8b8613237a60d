"""Answers against real servers: through the channel that a message came by, at most once, also over a kill."""

import asyncio
import datetime as dt
import email
import email.policy
import http.server
import ipaddress
import json
import logging
import os
import ssl
import threading

import httpx
import pandas as pd
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner
from workbenches import Workbench

from stability.feedback.answering import Outbox, answer, answer_fixed, call_list, settle
from stability.feedback.contacts import Contacts
from stability.feedback.delivery import Delivery, chat_address, mail_address
from stability.feedback.incidents import read_verdicts
from stability.feedback.intake import Intake
from stability.feedback.mails import from_mail, way_back
from stability.feedback.service import feedback_service
from stability.feedback.store import FeedbackStore
from stability.feedback.verbs import app
from stability.records.privacy import KeyStore
from stability.schema import ContractError, read_table, write_table

NOW = dt.datetime(2026, 1, 1, 12, 0, tzinfo=dt.UTC)
MAILTO = "mailto:u@home.example?In-Reply-To=%3C1%40home.example%3E"


class Mailbox:
    """A mail server on loopback that keeps what it took, refuses, or hangs up in the middle of it."""

    def __init__(self, *, certificate=None, refuses="", breaks=False):
        self.mails, self.logins, self.refuses, self.breaks = [], [], refuses, breaks
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate)
        self.loop, ready = asyncio.new_event_loop(), threading.Event()

        async def serve():
            server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()

        threading.Thread(target=lambda: (self.loop.create_task(serve()), self.loop.run_forever()), daemon=True).start()
        ready.wait()

    async def _talk(self, reader, writer):
        def say(text):
            writer.write(f"{text}\r\n".encode())

        say("220 here")
        secure = False
        while line := (await reader.readline()).decode().strip():
            verb = line.split(" ")[0].split(":")[0].upper()
            if verb == "EHLO":
                say("250-here")
                say("250-8BITMIME")
                say("250 AUTH PLAIN" if secure or not self.tls else "250 STARTTLS")
            elif verb == "STARTTLS":
                say("220 go")
                await writer.drain()
                await writer.start_tls(self.tls)
                secure = True
            elif verb == "AUTH":
                self.logins.append(line.split(" ")[2])
                say("235 fine")
            elif verb == self.refuses:
                say("550 u@home.example is not here")
            elif verb == "DATA":
                say("354 go on")
                await writer.drain()
                raw = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append((secure, email.message_from_bytes(raw[:-3], policy=email.policy.default)))
                if self.breaks:
                    writer.close()
                    return
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                break
            else:
                say("250 ok")
        writer.close()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)


@pytest.fixture
def mailbox(monkeypatch):
    made = []

    def opened(plain=True, **how):
        made.append(Mailbox(**how))
        for name, value in {"HOST": "localhost", "PORT": str(made[-1].port), "FROM": "help@shop.example"}.items():
            monkeypatch.setenv(f"STABILITY_SMTP_{name}", value)
        monkeypatch.setenv("STABILITY_SMTP_PLAIN", "1" if plain else "0")
        return made[-1]

    yield opened
    for one in made:
        one.close()


@pytest.fixture
def receiver():
    """A chat service's webhook on loopback: what it was sent, and what it answers."""
    got, answers = [], [(200, b"ok")]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            status, body = answers[0]
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got, answers
    server.shutdown()


@pytest.fixture
def store(tmp_path):
    return FeedbackStore(tmp_path / "store")


@pytest.fixture
def contacts(tmp_path, monkeypatch):
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    for name in [name for name in os.environ if name.startswith(("STABILITY_SMTP", "STABILITY_CHAT"))]:
        monkeypatch.delenv(name)
    return Contacts(tmp_path / "contacts.sqlite", keys=KeyStore(tmp_path / "keys.sqlite"))


def put(store, contacts, name, channel, address=None, **more):
    row = {"feedback_id": name, "timestamp": NOW.isoformat(), "received_at": NOW.isoformat(), "channel": channel}
    row |= {"text": f"the search is down, says {name}", "category": "availability", "urgency": "high", "sure": 1.0}
    store.put(row | {"language": "en"} | more)
    store.drain()
    if address:
        contacts.remember(name, None, channel, address)
    return name


def row_of(store, name):
    return store.frame().set_index("feedback_id").loc[name]


def test_a_mail_is_answered_in_its_thread_once_and_kept_scrubbed(store, contacts, mailbox):
    server = mailbox()
    put(store, contacts, "f1", "mail", MAILTO)
    told = answer(store, contacts, "f1", "It is up again. Eleanor Whitcombe", now=NOW)
    assert told == ("f1", "mail", "sent", "taken by the mail server")
    ((_, mail),) = server.mails
    assert (mail["From"], mail["To"]) == ("help@shop.example", "u@home.example")
    assert mail["In-Reply-To"] == mail["References"] == "<1@home.example>"
    assert mail["Message-ID"] == "<f1.answer@shop.example>"
    assert "Eleanor Whitcombe" in mail.get_content()
    assert row_of(store, "f1")["answer"] == "It is up again. [name]"
    assert row_of(store, "f1")["answered_at"] == pd.Timestamp(NOW)
    with pytest.raises(ContractError, match="which has one"):
        answer(store, contacts, "f1", "again", again=True)
    assert len(server.mails) == 1


def test_without_tls_no_server_elsewhere_is_asked_and_with_it_the_certificate_counts(
    store, contacts, mailbox, monkeypatch, tmp_path
):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).add_extension(names, critical=False)
    day, now = dt.timedelta(days=1), dt.datetime.now(dt.UTC)
    signed = made.not_valid_before(now - day).not_valid_after(now + day).sign(key, hashes.SHA256())
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = tmp_path / "both.pem"
    path.write_bytes(key.private_bytes(*form) + signed.public_bytes(serialization.Encoding.PEM))
    server = mailbox(plain=False, certificate=path)
    monkeypatch.setenv("STABILITY_SMTP_USER", "user")
    monkeypatch.setenv("STABILITY_SMTP_PASSWORD", "secret")
    put(store, contacts, "f1", "mail", "u@home.example")
    distrusted = answer(store, contacts, "f1", "hello")
    assert (distrusted.state, server.mails, server.logins) == ("not sent", [], [])
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert answer(store, contacts, "f1", "hello").state == "sent"
    assert [secure for secure, _ in server.mails] == [True]
    assert len(server.logins) == 1
    plain = mailbox(plain=False)
    put(store, contacts, "f2", "mail", "u@home.example")
    assert answer(store, contacts, "f2", "hello").state == "not sent", "a server without TLS"
    assert plain.mails == []
    monkeypatch.setenv("STABILITY_SMTP_HOST", "mail.shop.example")
    monkeypatch.setenv("STABILITY_SMTP_PLAIN", "1")
    with pytest.raises(ContractError, match="TLS, or a server on this machine"):
        answer(store, contacts, "f2", "hello", again=True)


def test_a_refusal_may_be_tried_again_and_a_broken_connection_may_not(store, contacts, mailbox):
    put(store, contacts, "f1", "mail", "u@home.example")
    refusing = mailbox(refuses="RCPT")
    told = answer(store, contacts, "f1", "hello")
    assert told.state == "not sent"
    assert "home.example" not in told.detail
    assert refusing.mails == []
    assert pd.isna(row_of(store, "f1")["answered_at"]), "its clock goes on"
    breaking = mailbox(breaks=True)
    assert answer(store, contacts, "f1", "hello").state == "perhaps"
    assert len(breaking.mails) == 1
    fine = mailbox()
    with pytest.raises(ContractError, match="perhaps, since"):
        answer(store, contacts, "f1", "hello")
    assert fine.mails == []
    assert answer(store, contacts, "f1", "hello", again=True).state == "sent"
    assert fine.mails[0][1]["Message-ID"] == breaking.mails[0][1]["Message-ID"], "a second copy can be known as one"


def killed(task):
    child = os.fork()
    if child == 0:
        try:
            task()
        finally:
            os._exit(1)  # it should have been killed
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_kill_while_it_is_sent_leaves_perhaps_and_nothing_sends_it_again(store, contacts, mailbox):
    server = mailbox()
    for name in ("f1", "f2"):
        put(store, contacts, name, "mail", "u@home.example", alarm_id="a", alarm_probability=0.9, group_id=name)
    killed(lambda: answer(store, contacts, "f1", "hello", senders={"mail": lambda _: os._exit(9)}))
    assert Outbox(store).frame()["state"].tolist() == ["perhaps"]
    verdicts = pd.DataFrame({"alarm_id": ["a"], "verdict": "verified", "at": [pd.Timestamp(NOW)]})
    done = answer_fixed(store, contacts, "a", "Fixed in 2.4.1.", verdicts)
    assert [(one.feedback_id, one.state) for one in done] == [("f1", "not sent"), ("f2", "sent")]
    assert "perhaps" in done[0].detail
    assert len(server.mails) == 1
    assert call_list(store, contacts)["feedback_id"].tolist() == ["f1"]
    settle(store, "f1")
    assert call_list(store, contacts).empty
    assert pd.notna(row_of(store, "f1")["answered_at"])


def test_a_kill_after_it_was_sent_sends_nothing_twice(store, contacts, mailbox, monkeypatch):
    server = mailbox()
    put(store, contacts, "f1", "mail", "u@home.example")
    monkeypatch.setattr(Outbox, "end", lambda *_: os._exit(9))
    killed(lambda: answer(store, contacts, "f1", "hello"))
    monkeypatch.undo()
    assert len(server.mails) == 1
    with pytest.raises(ContractError, match="which has one"):
        answer(store, contacts, "f1", "hello", again=True)
    assert call_list(store, contacts).empty


def test_of_two_who_answer_at_once_one_does(store, contacts):
    put(store, contacts, "f1", "mail", "u@home.example")
    sent, gate, found = [], threading.Barrier(4), []

    def one():
        gate.wait()
        try:
            slow = lambda letter: sent.append(letter) or Delivery("sent", "")  # noqa: E731
            found.append(answer(store, contacts, "f1", "hello", senders={"mail": slow}).state)
        except ContractError as error:
            found.append(str(error))

    threads = [threading.Thread(target=one) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(sent) == 1
    assert found.count("sent") == 1


@pytest.mark.parametrize(
    "address",
    [
        "u@home.example\nBcc: v@home.example",
        "u@home.example\r\n\r\nhello",
        "u@home.example, v@home.example",
        "mailto:u@home.example%0ABcc:v@home.example",
        "<u@home.example>",
        "u",
        "",
        "u@home",
        "u\u2028@home.example",
    ],
)
def test_what_is_no_single_address_gets_no_mail(store, contacts, mailbox, address):
    server = mailbox()
    assert mail_address(address) is None
    put(store, contacts, "f1", "mail", address)
    assert answer(store, contacts, "f1", "hello").state == "to call"
    assert server.mails == []


def test_no_header_is_taken_from_a_mailto_but_the_message_it_answers():
    assert mail_address("mailto:u@home.example?bcc=v@home.example&In-Reply-To=%3Ca%0Ab%40c%3E") == (
        "u@home.example",
        "",
    )
    assert mail_address(way_back("ü&?@home.example", "<1@a.b>")) == ("ü&?@home.example", "<1@a.b>")
    assert way_back("u@home.example", "<a b>") == "u@home.example"


def test_chat_is_answered_where_it_came_from_only_when_its_host_is_known(monkeypatch, contacts):
    slack = "https://hooks.slack.com/commands/1/2"
    assert chat_address(slack) == slack
    for hostile in (
        "http://hooks.slack.com/x", "https://evil.example/hooks.slack.com", "https://hooks.slack.com@evil.example/",
        "https://hooks.slack.com.evil.example/", "http://127.0.0.1:9200/_delete", "file:///etc/passwd", "", "https://[",
        "https://hooks.slack.com\\@evil.example/", "http://169.254.169.254/latest/meta-data",
    ):  # fmt: skip
        assert chat_address(hostile) is None, hostile
    monkeypatch.setenv("STABILITY_CHAT_HOSTS", "chat.shop.example")
    assert chat_address("https://chat.shop.example/hook") == "https://chat.shop.example/hook"
    monkeypatch.setenv("STABILITY_CHAT_REPLY", "https://chat.shop.example/all")
    assert chat_address("http://127.0.0.1:9200/_delete") == "https://chat.shop.example/all"
    monkeypatch.setenv("STABILITY_CHAT_REPLY", "http://chat.shop.example/secret")
    with pytest.raises(ContractError, match="an https address") as error:
        chat_address("")
    assert "secret" not in str(error.value)


def test_chat_takes_answers_and_its_refusals_are_told_apart(store, contacts, receiver, monkeypatch, caplog):
    url, got, answers = receiver
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("STABILITY_CHAT_REPLY", f"{url}/secret-hook")
    for number, (status, body, state) in enumerate(
        [
            (200, b"ok", "sent"), (200, b'{"errcode": 310000}', "not sent"), (200, b'{"ok": false}', "not sent"),
            (404, b"", "not sent"), (302, b"", "not sent"), (502, b"", "perhaps"),
        ]
    ):  # fmt: skip
        answers[0] = status, body
        name = put(store, contacts, f"f{number}", "chat", "https://evil.example/x")
        told = answer(store, contacts, name, "<!channel> up & running")
        assert (told.way, told.state) == ("chat", state), told
        assert pd.notna(row_of(store, name)["answered_at"]) == (state == "sent")
    assert got[0] == ("/secret-hook", {"text": "f0: <!channel> up & running"})
    assert len(got) == 6
    monkeypatch.setenv("STABILITY_CHAT_HOSTS", "127.0.0.1")
    answers[0] = 200, b""
    put(store, contacts, "own", "chat", f"{url}/own-secret")
    assert answer(store, contacts, "own", "hello").state == "sent"
    assert got[-1] == ("/own-secret", {"text": "hello"})
    monkeypatch.setenv("STABILITY_CHAT_REPLY", "http://127.0.0.1:1/nobody")
    assert answer(store, contacts, put(store, contacts, "none", "chat"), "hello").state == "not sent"
    assert "secret" not in caplog.text


def test_who_cannot_be_written_to_is_called_and_the_clock_goes_on_until_then(store, contacts):
    put(store, contacts, "f1", "phone", "+44 161 496 0735")
    put(store, contacts, "f2", "file")
    put(store, contacts, "f3", "chat", "somebody")
    for name in ("f1", "f2", "f3"):
        assert answer(store, contacts, name, f"hello {name}").state == "to call"
    waiting = call_list(store, contacts)
    assert waiting[["feedback_id", "answer"]].to_numpy().tolist() == [[f"f{k}", f"hello f{k}"] for k in (1, 2, 3)]
    assert waiting["address"].iloc[0] == "+44 161 496 0735"
    assert store.frame()["answered_at"].isna().all()
    settle(store, "f1", now=NOW)
    assert call_list(store, contacts)["feedback_id"].tolist() == ["f2", "f3"]
    assert row_of(store, "f1")["answered_at"] == pd.Timestamp(NOW)
    for name in ("f1", "f9"):
        with pytest.raises(ContractError, match="an answer that waits"):
            settle(store, name)


def test_a_form_shows_its_answer_and_mails_it_where_it_can(store, contacts, mailbox):
    put(store, contacts, "f1", "form")
    put(store, contacts, "f2", "form", "u@home.example")
    put(store, contacts, "f3", "form", "u1234")
    assert answer(store, contacts, "f1", "It is <b>up</b>").state == "shown"
    assert answer(store, contacts, "f2", "hello").state == "shown", "no mail server is named"
    service = httpx.ASGITransport(feedback_service(Intake(store, keys=contacts.keys, contacts=contacts)))

    async def page():
        async with httpx.AsyncClient(transport=service, base_url="http://127.0.0.1") as client:
            return (await client.get("/m/f1")).text

    assert "It is &lt;b&gt;up&lt;/b&gt;" in asyncio.run(page())
    server = mailbox()
    put(store, contacts, "f4", "form", "u@home.example")
    assert [answer(store, contacts, name, "hello").way for name in ("f3", "f4")] == ["page", "mail"]
    assert len(server.mails) == 1


def test_an_erased_sender_gets_nothing(store, contacts, mailbox):
    server = mailbox()
    pseudonym = contacts.keys.pseudonyms(["u@home.example"])["u@home.example"]
    put(store, contacts, "f1", "mail")
    contacts.remember("f1", pseudonym, "mail", "u@home.example")
    contacts.keys.destroy(pseudonym)
    assert answer(store, contacts, "f1", "hello").state == "to call"
    assert server.mails == []


def actions(folder, *rows):
    frame = pd.DataFrame(rows, columns=["alarm_id", "mode", "start", "verdict"])
    start = pd.Timestamp(NOW) + pd.to_timedelta(frame["start"], unit="min")
    frame = frame.assign(action_id=[f"x{k}" for k in range(len(frame))], entity="web-1", playbook="restart", step="1")
    frame = frame.assign(start=start, end=start + pd.Timedelta("1min")).set_index("action_id")
    return write_table(frame, folder / "actions.parquet", "actions")


def test_only_a_verified_repair_tells_those_who_wrote_before_it(store, contacts, mailbox, tmp_path):
    server = mailbox()
    linked = {"alarm_id": "a", "alarm_probability": 0.8}
    late = (NOW + dt.timedelta(hours=1)).isoformat()
    for name, more in {
        "f1": linked, "f2": {"text": "the search is down, says f1!"}, "f3": linked | {"alarm_probability": 0.3},
        "f4": linked | {"category": "praise"}, "f5": linked | {"timestamp": late},
        "f6": linked | {"alarm_id": "b", "text": "the search is down, says f1"}, "f7": linked,
    }.items():  # fmt: skip
        text = {"text": f"{name * 9} does not work"}
        put(store, contacts, name, "mail", f"{name}@home.example", **text | more)
    store.update("f1", text="the search is down, says f1")
    answer(store, contacts, "f7", "we look into it", now=NOW)
    for wrong in ("not_recovered", "inconclusive", None):
        path = actions(tmp_path, ("a", "automatic", 0, "verified"), ("a", "automatic", 5, wrong))
        with pytest.raises(ContractError, match="verified, before anybody is told"):
            answer_fixed(store, contacts, "a", "Fixed.", read_verdicts(path))
    path = actions(tmp_path, ("a", "approved", 0, "not_recovered"), ("a", "automatic", 5, "verified"),
                   ("a", "dry-run", 9, None))  # fmt: skip
    verdicts = read_verdicts(path)
    with pytest.raises(ContractError, match="something was done about"):
        answer_fixed(store, contacts, "b", "Fixed.", verdicts)
    asked = answer_fixed(store, contacts, "a", "Fixed in 2.4.1.", verdicts, dry_run=True)
    assert [one.feedback_id for one in asked] == ["f1", "f2"]
    assert len(server.mails) == 1
    done = answer_fixed(store, contacts, "a", "Fixed in 2.4.1.", verdicts)
    assert [one.state for one in done] == ["sent", "sent"]
    assert [mail["To"] for _, mail in server.mails[1:]] == ["f1@home.example", "f2@home.example"]
    assert {mail["Auto-Submitted"] for _, mail in server.mails[1:]} == {"auto-replied"}
    assert answer_fixed(store, contacts, "a", "Fixed in 2.4.1.", verdicts) == []


@pytest.mark.parametrize(
    ("name", "text", "what"), [("f9", "x", "that there is"), ("f1", " ", "1 to"), ("f1", "x" * 10_001, "1 to")]
)
def test_answers_that_cannot_be(store, contacts, name, text, what):
    put(store, contacts, "f1", "phone")
    with pytest.raises(ContractError, match=what):
        answer(store, contacts, name, text)
    assert Outbox(store).frame().empty


def test_a_mail_server_that_is_not_named_is_an_error_and_nothing_is_lost(store, contacts):
    put(store, contacts, "f1", "mail", "u@home.example")
    with pytest.raises(ContractError, match="STABILITY_SMTP_HOST"):
        answer(store, contacts, "f1", "hello")
    assert Outbox(store).frame()["state"].tolist() == ["not sent"]


def test_the_verbs_from_a_mail_to_its_answer(mailbox, tmp_path, monkeypatch):
    from stability.feedback import FeedbackClassifier, model, read_development

    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    monkeypatch.setenv("STABILITY_HOME", str(Workbench(tmp_path / "home").folder))
    part = read_development().iloc[::12]
    FeedbackClassifier().fit(part["text"], part["category"], part["urgency"]).save(model.model_folder())
    server = mailbox()
    raw = (
        b"From: u@home.example\nMessage-ID: <7@home.example>\nDate: Thu, 01 Jan 2026 12:05:00 +0000\n\nweb-1 is down!\n"
    )
    assert mail_address(from_mail(raw).reply_to) == ("u@home.example", "<7@home.example>")
    (tmp_path / "one.eml").write_bytes(raw)
    (tmp_path / "alarms.csv").write_text(
        "alarm_id,entity,start,end,metrics\na1,web-1,2026-01-01T12:00:00Z,,http_server_errors_total\n"
    )
    verdicts = actions(tmp_path, ("a1", "automatic", 0, "not_recovered"), ("a1", "automatic", 20, "verified"))

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    assert "1 new" in run("import", tmp_path / "one.eml").stdout
    linked = run("link", tmp_path / "alarms.csv")
    assert "-> a1 (web-1), 9" in linked.stdout
    assert "1 linked, 0 of no alarm" in linked.stdout
    assert "something was done about" in str(run("fixed", "a2", "x", "--verdicts", verdicts).exception)
    asked = run("fixed", "a1", "-", "--verdicts", verdicts, "--dry-run")
    assert "1 to 10,000 characters" in str(asked.exception), "there is nothing on standard input"
    assert server.mails == []
    done = run("fixed", "a1", "Fixed in 2.4.1.", "--verdicts", verdicts)
    assert done.exit_code == 0
    assert "sent by mail" in done.stdout
    assert server.mails[0][1]["In-Reply-To"] == "<7@home.example>"
    assert "Nobody waits for this answer." in run("fixed", "a1", "x", "--verdicts", verdicts).stdout
    assert "which has one" in str(run("answer", done.stdout.split(":")[0], "x").exception)
    assert "Nobody waits for a call." in run("calls").stdout
    (tmp_path / "call.txt").write_text("Caller: +44 161 496 0735\n\nthe search is down")
    run("import", tmp_path / "call.txt")
    name = next(name for name in FeedbackStore().frame()["feedback_id"] if name != done.stdout.split(":")[0])
    assert run("answer", name, "up again").exit_code == 0
    assert "+44 161 496 0735, to call since" in run("calls").stdout
    assert "told" in run("calls", "--done", name).stdout
    assert "2 complaints" in run("export", tmp_path / "said.parquet", "--as-recorded").stdout
    assert read_table(tmp_path / "said.parquet")["category"].isin(["failed", "slow"]).all()
    mailbox(refuses="DATA")
    (tmp_path / "two.eml").write_bytes(raw.replace(b"<7@", b"<8@").replace(b"down", b"slow"))
    run("import", tmp_path / "two.eml")
    last = FeedbackStore().frame().query("answered_at.isnull()")["feedback_id"].item()
    assert run("answer", last, "hello").exit_code == 1
