"""The form and its endpoints: a real server, hostile input, and a keyboard alone in a real browser."""

import json
import os
import socket
import threading
import time
from types import SimpleNamespace

import httpx
import pytest
import uvicorn
from fastapi import Request

from stability.feedback import read_development
from stability.feedback.classification import FeedbackClassifier
from stability.feedback.contacts import Contacts
from stability.feedback.intake import Intake
from stability.feedback.service import LARGEST, _client, feedback_service
from stability.feedback.store import FeedbackStore
from stability.records.privacy import KeyStore

SECRET = "a-secret-of-enough-letters"
MODEL = []


class Served:
    """The service on a free port of loopback."""

    def __init__(self, intake, **options):
        self.intake = intake
        free = socket.socket()
        free.bind(("127.0.0.1", 0))
        self.server = uvicorn.Server(uvicorn.Config(feedback_service(intake, **options), log_level="error"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [free]}, daemon=True)
        self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)

    def close(self):
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    monkeypatch.setenv("STABILITY_FEEDBACK_WEBHOOK", SECRET)
    if not MODEL:
        part = read_development().iloc[::24]
        MODEL.append(FeedbackClassifier().fit(part["text"], part["category"], part["urgency"]))
    made = []

    def served(**options):
        keys = KeyStore(tmp_path / "keys.sqlite")
        contacts = Contacts(tmp_path / "contacts.sqlite", keys=keys)
        intake = Intake(FeedbackStore(tmp_path / "store"), keys=keys, contacts=contacts, model=MODEL[0])
        made.append(Served(intake, **options))
        return made[-1]

    yield served
    for one in made:
        one.close()


def texts(served):
    served.intake.store.drain()
    return served.intake.store.frame()["text"].tolist()


def test_a_message_by_form_arrives_scrubbed_and_its_answer_stands_on_its_page(make):
    served = make()
    page = httpx.get(served.url)
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    fields = {"text": "Nothing loads. Eleanor Whitcombe", "contact": "e@home.example", "rating": "2", "key": "k1"}
    done = httpx.post(served.url, data=fields)
    assert done.status_code == 200
    assert httpx.post(served.url, data=fields).text == done.text, "sent twice, taken once"
    assert texts(served) == ["Nothing loads. [name]"]
    name = served.intake.store.frame()["feedback_id"].iloc[0]
    assert name in done.text
    assert "no answer yet" in httpx.get(f"{served.url}/m/{name}").text
    served.intake.store.update(name, answer="Fixed in <b>1.2</b>")
    assert "Fixed in &lt;b&gt;1.2&lt;/b&gt;" in httpx.get(f"{served.url}/m/{name}").text
    assert httpx.get(f"{served.url}/m/none").status_code == 404
    assert "告诉我们" in httpx.get(f"{served.url}/?lang=zh").text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": " "}, "Please write a message"),
        ({"text": "x" * 5001}, "shorten"),
        ({"text": "x", "contact": "nobody"}, "no e-mail address"),
        ({"text": "x", "contact": 'a@b.c"><script>'}, "no e-mail address"),
        ({"text": "x", "contact": "a\x1b]0;x\x07@b.c"}, "no e-mail address"),
    ],
)
def test_a_form_that_cannot_be_sent_comes_back_with_what_was_written(make, fields, said):
    served = make()
    done = httpx.post(served.url, data=fields)
    assert done.status_code == 400
    assert said in done.text
    assert 'role="alert"' in done.text
    assert "<script" not in done.text
    assert texts(served) == []


def test_hostile_requests_are_refused_and_nothing_falls_over(make):
    served = make(per_minute=1000)
    assert httpx.post(served.url, data={"text": "x" * LARGEST}).status_code == 413
    assert httpx.post(served.url, content=(b"y" * 1000 for _ in range(LARGEST // 1000 + 2))).status_code == 413
    assert httpx.post(served.url, content="&".join(f"a{k}=1" for k in range(100))).status_code == 400
    assert httpx.post(served.url, data={"text": "x"}, headers={"Origin": "https://evil.example"}).status_code == 403
    for content in (b"\x00\xff\xfe", b"text=%00%ff%zz", b"text=" + "é".encode("latin-1")):
        assert httpx.post(served.url, content=content).status_code in (200, 400)
    api = f"{served.url}/api/feedback"
    texts_of = (
        '{"text": 7}',
        '{"text": ""}',
        '{"txt": "x"}',
        '{"text": "x", "rating": true}',
        '{"text": "x", "rating": 1000000000000000000000000}',
        '{"text": "x", "key": 1}',
        json.dumps({"text": "x", "reply_to": "a" * 501}),
    )
    for content in ("", "[]", "7", "{", "[" * 20_000, *texts_of, json.dumps({"text": "x" * 6000})):
        refused = httpx.post(api, content=content)
        assert refused.status_code == 400, content
        assert refused.json()["error"]
    assert httpx.get(f"{served.url}/../../etc/passwd").status_code == 404
    assert httpx.post(api, json={"text": "still here", "user": "u1"}).status_code == 201


@pytest.fixture
def no_time(monkeypatch):
    """However busy the machine, the service's requests come at one moment."""
    monkeypatch.setattr("stability.feedback.service.time", SimpleNamespace(monotonic=lambda: 100.0))


@pytest.mark.usefixtures("no_time")
def test_a_flood_is_slowed(make):
    served = make(per_minute=5)
    codes = [httpx.post(f"{served.url}/api/feedback", json={"text": f"m {k}"}).status_code for k in range(8)]
    assert codes == [201] * 5 + [429] * 3


def test_chat_needs_its_secret(make, monkeypatch):
    served = make()
    handshake = {"type": "url_verification", "challenge": "c"}
    assert httpx.post(f"{served.url}/chat/{SECRET}", json=handshake).json() == {"challenge": "c"}
    assert httpx.post(f"{served.url}/chat/{SECRET}", json={"text": "bot is dead", "user": "U1"}).status_code == 201
    assert httpx.post(f"{served.url}/chat/{SECRET}", json={"type": "join"}).json() == {"taken": False}
    assert httpx.post(f"{served.url}/chat/another", json={"text": "x"}).status_code == 404
    monkeypatch.setenv("STABILITY_FEEDBACK_WEBHOOK", "")
    assert httpx.post(f"{served.url}/chat/", json={"text": "x"}).status_code == 404
    assert texts(served) == ["bot is dead"]


def test_what_arrives_is_routed_by_the_next_round(make):
    told = threading.Event()
    sent = []

    def send(title, text, *, bad=False):
        sent.append((title, text))
        told.set()
        return True

    served = make(send=send, every=0.1)
    httpx.post(f"{served.url}/api/feedback", json={"text": "I was charged twice, refund please"})
    assert told.wait(30)
    assert "charged twice" in sent[0][1]


def test_the_form_is_filled_in_with_a_keyboard_alone(make):
    api = pytest.importorskip("playwright.sync_api")
    served = make()
    with api.sync_playwright() as play:
        try:
            browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        except api.Error as error:
            assert os.environ.get("CI") != "true", "the browser belongs to the tests"
            pytest.skip(f"no browser: {str(error)[:80]}")
        page = browser.new_page(java_script_enabled=False)
        page.goto(served.url)
        press = page.keyboard
        for key in ("Tab", "Tab"):
            press.press(key)
        press.type("The export is broken since noon")
        press.press("Tab")
        press.type("reports")
        for _ in range(3):
            press.press("Tab")
        press.press("Enter")
        page.get_by_text("Its number is").wait_for()
        assert "Thank you" in page.title()
        browser.close()
    assert texts(served) == ["The export is broken since noon"]
    assert served.intake.store.frame()["entity"].tolist() == ["reports"]


def test_equal_keys_of_two_clients_and_equal_words_of_two_people_are_two_messages(make):
    served = make(per_minute=1000)
    api = f"{served.url}/api/feedback"

    def name(**fields):
        done = httpx.post(api, json={"text": "it is slow", **fields})
        assert done.status_code == 201
        return done.json()["feedback_id"]

    assert name(user="a@home.example", key="1") == name(user="a@home.example", key="1")
    assert name(user="a@home.example", key="1") != name(user="b@home.example", key="1")
    assert name(user="a@home.example", key="1") != name(user="a@home.example", key="1", text="it is slow again")
    assert name() != name()
    assert len(texts(served)) == 5


@pytest.mark.usefixtures("no_time")
def test_answers_are_looked_up_one_by_one_and_not_without_end(make, monkeypatch):
    served = make(per_minute=2)
    name = httpx.post(f"{served.url}/api/feedback", json={"text": "it is slow"}).json()["feedback_id"]
    assert "no answer yet" in httpx.get(f"{served.url}/m/{name}").text, "while it waits in the spool, too"
    served.intake.store.drain()
    monkeypatch.setattr(type(served.intake.store), "frame", None)  # nobody reads the whole table for it
    assert "no answer yet" in httpx.get(f"{served.url}/m/{name}").text
    codes = [httpx.get(f"{served.url}/m/{name}x").status_code for _ in range(8)]
    assert codes == [404] * 6 + [429] * 2


def test_whoever_sends_at_the_same_time_gets_his_own_number(make):
    served = make(per_minute=1000)
    said = [f"message number {k}" for k in range(40)]
    names = {}

    def post(text):
        names[text] = httpx.post(f"{served.url}/api/feedback", json={"text": text}, timeout=300).json()["feedback_id"]

    threads = [threading.Thread(target=post, args=[text]) for text in said]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    served.intake.store.drain()
    stored = served.intake.store.frame().set_index("feedback_id")["text"]
    assert {text: stored[name] for text, name in names.items()} == {text: text for text in said}


def test_one_message_that_cannot_be_stored_takes_no_other_with_it(make):
    served = make()
    api = f"{served.url}/api/feedback"
    assert (
        httpx.post(api, content=b'{"text": "half \\ud800 of it", "user": "\\ud800", "key": "\\ud800"}').status_code
        == 201
    )
    assert httpx.post(api, content=b'{"text": "x", "timestamp": "9999-12-31T23:59:59-12:00"}').status_code == 400
    assert httpx.post(api, content=b'{"text": "x", "rating": Infinity}').status_code == 400
    assert httpx.post(f"{served.url}/chat/{SECRET}", json={"text": [{"a": 1}], "event": [1]}).json() == {"taken": False}
    assert texts(served) == ["half \ufffd of it"]


def test_whoever_sends_for_ever_is_let_go(make, monkeypatch):
    monkeypatch.setattr("stability.feedback.service.SENDING", 0.2)
    served = make()
    with socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1])), timeout=20) as line:
        line.sendall(b"POST /api/feedback HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_one_network_is_one_sender():
    def told(host):
        return _client(Request({"type": "http", "client": (host, 1)}))

    assert told("2001:db8::1") == told("2001:db8::ffff:1") != told("2001:db8:0:1::1")
    assert told("192.0.2.1") != told("192.0.2.2")
    assert told("testclient") == "testclient"
