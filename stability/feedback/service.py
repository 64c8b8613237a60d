"""The web form, its JSON twin and the chat webhook: no script, any keyboard, small, slow to be flooded."""

from __future__ import annotations

__all__ = ["feedback_service"]

import asyncio
import contextlib
import dataclasses
import ipaddress
import json
import logging
import os
import secrets
import threading
import time
import urllib.parse
from collections import OrderedDict
from pathlib import Path

import jinja2
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse

from stability.feedback.clocks import Sender, escalate, route
from stability.feedback.intake import BATCH, Intake
from stability.feedback.messages import Message, moment_of
from stability.feedback.sources import LARGEST_RATING, from_chat
from stability.schema import ContractError, load_yaml

LOG = logging.getLogger(__name__)
EVERY = 5.0  # seconds: a message is to be routed within a minute
LARGEST = 64_000  # bytes of a request: ten pages of text
LONGEST = 5_000  # characters of a message by form
NAMED = 500  # characters of an address, a key or a name
SENDING = 20.0  # seconds in which a request has to arrive: whoever sends slower holds a place that others need
PER_MINUTE = 30.0  # messages an address may send in a minute, and that many at once
READS = 4.0  # times as often it may look for an answer
CLIENTS = 10_000  # addresses remembered: older ones begin anew
WEBHOOK = "STABILITY_FEEDBACK_WEBHOOK"  # the secret that chat services put behind /chat/
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_PAGES = jinja2.Environment(loader=jinja2.PackageLoader("stability.feedback", "."), autoescape=True)
_WORDS = load_yaml(Path(__file__).with_name("form.yaml"))


class _Rate:
    """A bucket of tokens for each address, the oldest of which are forgotten."""

    def __init__(self, per_minute: float):
        self.per_minute, self._left, self._lock = per_minute, OrderedDict(), threading.Lock()

    def allows(self, who: str) -> bool:
        now = time.monotonic()
        with self._lock:
            left, at = self._left.pop(who, (self.per_minute, now))
            left = min(self.per_minute, left + (now - at) * self.per_minute / 60)
            self._left[who] = (left - 1 if left >= 1 else left, now)
            while len(self._left) > CLIENTS:
                self._left.popitem(last=False)
            return left >= 1


def feedback_service(
    intake: Intake, *, per_minute: float = PER_MINUTE, send: Sender | None = None, every: float = EVERY
) -> FastAPI:
    """Make the service.

    Parameters
    ----------
    intake : Intake
        Takes what is sent.
    per_minute : float
        Messages that an address may send in a minute.
    send : callable, optional
        Tells whoever is responsible, as `clocks.route` asks for; nobody is told without it.
    every : float
        Seconds between two rounds of storing, routing and escalating.

    Returns
    -------
    FastAPI
        ``GET /`` the form (``?lang=zh``), ``POST /`` what it sends, ``GET /m/<number>`` a message's answer,
        ``POST /api/feedback`` JSON with `text` and as far as known `user`, `reply_to`, `entity`, `rating`, `timestamp`,
        `thread` and `key`, by which the same text of the same user, or without one of the same address, is known again;
        ``POST /chat/<secret>`` a chat service's webhook, there only when `STABILITY_FEEDBACK_WEBHOOK` is set.
    """

    @contextlib.asynccontextmanager
    async def rounds(_: FastAPI):
        stop = threading.Event()
        thread = threading.Thread(target=_rounds, args=[intake, send, every, stop], daemon=True)
        thread.start()
        yield
        stop.set()
        await run_in_threadpool(thread.join)

    app = FastAPI(title="Feedback", docs_url=None, redoc_url=None, openapi_url=None, lifespan=rounds)
    rate, reads = _Rate(per_minute), _Rate(READS * per_minute)
    batch: list[tuple[Message, asyncio.Future]] = []
    busy, tasks = asyncio.Lock(), set()

    @app.middleware("http")
    async def guarded(request: Request, call_next) -> Response:
        told_by = request.method == "POST"
        if not (rate if told_by else reads).allows(_client(request)):
            return Response("Too many requests; try again in a minute.\n", 429, {**_HEADERS, "Retry-After": "60"})
        if told_by:
            told = request.headers.get("content-length", "0")
            if not told.isdigit() or int(told) > LARGEST:
                return Response("Too large.\n", 413, _HEADERS)
            origin = request.headers.get("origin")
            if origin not in (None, "null") and urllib.parse.urlsplit(origin).netloc != request.headers.get("host"):
                return Response("From another site.\n", 403, _HEADERS)
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    @app.get("/")
    def form(lang: str = "en") -> HTMLResponse:
        return HTMLResponse(_page(lang, page="form", fields={}, key=secrets.token_hex(16)))

    @app.post("/")
    async def sent(request: Request, lang: str = "en") -> Response:
        raw = await _body(request)
        if raw is None:
            return Response("Too large.\n", 413)
        try:
            pairs = urllib.parse.parse_qsl(raw.decode("utf-8", "replace"), max_num_fields=20, keep_blank_values=True)
        except ValueError:
            return Response("Too many fields.\n", 400)
        fields = dict(pairs)
        text, contact = fields.get("text", "").strip(), fields.get("contact", "").strip()
        problem = "empty" if not text else "long" if len(text) > LONGEST else None
        if problem is None and contact and not _is_mail(contact):
            problem = "mail"
        if problem:
            key = fields.get("key") or secrets.token_hex(16)
            return HTMLResponse(_page(lang, page="form", fields=fields, problem=problem, key=key), 400)
        rating = float(fields["rating"]) if fields.get("rating") in tuple("12345") else None
        entity = fields.get("entity", "").strip()[:100] or None
        key = f"{fields['key'][:64]}|{text}" if fields.get("key") else ""  # a double click is one message
        key = key or secrets.token_hex(16)
        message = Message(text, "form", None, contact or None, contact or None, key, None, entity, rating)
        try:
            name = await _taken(message)
        except ContractError:
            return HTMLResponse(_page(lang, page="form", fields=fields, problem="empty", key=key), 400)
        return HTMLResponse(_page(lang, page="thanks", name=name))

    @app.get("/m/{name}")
    def answer(name: str, lang: str = "en") -> HTMLResponse:
        row = intake.store.one(name)
        if row is None:
            return HTMLResponse(_page(lang, page="unknown"), 404)
        return HTMLResponse(_page(lang, page="answer", answer=str(row["answer"] or "")))

    @app.post("/api/feedback")
    async def json_sent(request: Request) -> Response:
        return await _json(request, _from_json)

    @app.post("/chat/{secret}")
    async def chat(secret: str, request: Request) -> Response:
        expected = os.environ.get(WEBHOOK, "")
        if len(expected) < 16 or not secrets.compare_digest(secret.encode(), expected.encode()):
            return Response("No such webhook.\n", 404)
        return await _json(request, from_chat)

    async def _json(request: Request, read) -> Response:
        raw = await _body(request)
        if raw is None:
            return Response("Too large.\n", 413)
        try:
            payload = json.loads(raw)
            if not isinstance(payload, dict):
                raise ContractError(expected="a JSON object", got=type(payload).__name__)
            if payload.get("type") == "url_verification":  # Slack asks once whether anybody is here
                return JSONResponse({"challenge": str(payload.get("challenge", ""))[:200]})
            message = read(payload)
            if message is None or not message.text.strip():
                return JSONResponse({"taken": False})
            if not message.user:  # whose key it is
                message = dataclasses.replace(message, client=_client(request))
            return JSONResponse({"taken": True, "feedback_id": await _taken(message)}, 201)
        except (ContractError, ValueError, RecursionError) as error:
            return JSONResponse({"error": str(error)[:500]}, 400)

    async def _batch() -> None:
        async with busy:
            part = batch[:BATCH]
            del batch[:BATCH]
            if not part:
                return
            work = run_in_threadpool(intake.take_all, [one for one, _ in part])
            (names,) = await asyncio.gather(work, return_exceptions=True)
            for k, (_, taken) in enumerate(part):
                if isinstance(names, BaseException):  # a full disk, a locked store: everybody who waits is told
                    taken.cancelled() or taken.set_exception(names)
                else:
                    taken.cancelled() or taken.set_result(names[k])

    async def _taken(message: Message) -> str:
        """Take a message in together with those that come while others are taken."""
        taken = asyncio.get_running_loop().create_future()
        batch.append((message, taken))
        task = asyncio.ensure_future(_batch())  # of its own: whoever hangs up takes nobody with him
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        name = await taken
        if name is None:
            raise ContractError(expected="a message that can be stored", got="another one")
        return name

    return app


def _rounds(intake: Intake, send: Sender | None, every: float, stop: threading.Event) -> None:
    """Store, route and escalate until told to stop; what fails in one round is tried in the next."""
    while True:
        last = stop.wait(every)
        try:
            intake.store.drain()
            if send is not None:
                route(intake.store, send)
                escalate(intake.store, send)
        except Exception:  # a locked store, a full disk: messages wait in the spool
            LOG.exception("a round of storing and routing failed; the next one tries again")
        if last:
            return


async def _body(request: Request) -> bytes | None:
    """A request's body; None of one that is larger than it said, or than is read, or that does not end."""
    raw = bytearray()
    try:
        async with asyncio.timeout(SENDING):
            async for part in request.stream():
                raw += part
                if len(raw) > LARGEST:
                    return None
    except TimeoutError:
        return None
    return bytes(raw)


def _from_json(payload: dict) -> Message:
    known = ("text", "user", "reply_to", "entity", "rating", "timestamp", "key", "thread")
    for name, value in payload.items():
        if name not in known:
            raise ContractError(column=str(name)[:60], expected=f"fields of {', '.join(known)}", got="another")
        right = (
            isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_RATING
            if name == "rating"
            else isinstance(value, str)
        )
        if value is not None and not right:
            raise ContractError(
                column=name,
                expected=f"a number up to {LARGEST_RATING:,}" if name == "rating" else "a text",
                got=type(value).__name__,
            )
    for name in set(known) - {"text", "rating"}:
        if len(payload.get(name) or "") > NAMED:
            raise ContractError(column=name, expected=f"at most {NAMED} characters", got=f"{len(payload[name]):,}")
    text = payload.get("text") or ""
    if not text.strip() or len(text) > LONGEST:
        raise ContractError(column="text", expected=f"1 to {LONGEST:,} characters", got=f"{len(text):,}")
    stamp = payload.get("timestamp")
    if stamp and moment_of(stamp) is None:
        raise ContractError(column="timestamp", expected="a moment, ISO 8601", got="another text")
    back = payload.get("reply_to") or payload.get("user")
    rating = None if payload.get("rating") is None else float(payload["rating"])
    key = json.dumps([payload["key"], text]) if payload.get("key") else None  # with another text it is another message
    return Message(text, "form", moment_of(stamp), payload.get("user"), back, key, payload.get("thread"),
                   payload.get("entity"), rating)  # fmt: skip


def _client(request: Request) -> str:
    """The address that a request comes from; of IPv6 the network, since one customer has 2^64 addresses."""
    host = request.client.host if request.client else "?"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((int(address), 64), strict=False))


def _is_mail(contact: str) -> bool:
    local, at, domain = contact.partition("@")
    plain = contact.isprintable() and not set(contact) & set(" <>,;\"'()")
    return bool(local and at and "." in domain) and len(contact) <= 254 and plain


def _page(lang: str, **told: object) -> str:
    lang = lang if lang in _WORDS else "en"
    return _PAGES.get_template("form.html").render(words=_WORDS[lang], lang=lang, longest=LONGEST, **told)
