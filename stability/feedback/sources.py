"""Messages as they come: mail on disk, chat payloads, notes and transcripts of calls, CSV, JSON lines."""

from __future__ import annotations

__all__ = ["from_chat", "read_source"]

import contextlib
import csv
import datetime as dt
import html
import io
import json
import mailbox
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from stability.feedback.mails import from_mail
from stability.feedback.messages import Aside, Message, guarded, moment_of, reason
from stability.schema import ContractError

LONGEST = 20_000  # characters of a message: the rest of a longer one is a forwarded thread, a log, or hostile
LARGEST = 20_000_000  # bytes of one file of messages
LARGEST_RATING = 1_000_000  # of any scale
CHAT_TIMES = ("event_time", "timestamp", "ts", "create_at", "create_time", "date")
_HEADER = re.compile(
    r"^(?P<name>date|time|agent|caller|from|entity|service|日期|时间|坐席|来电|来电人|服务|系统)\s*[:：]\s*(?P<value>.*)$",
    re.I,
)
_HEADERS = {
    "日期": "date", "时间": "date", "time": "date", "来电": "from", "来电人": "from", "caller": "from",
    "服务": "entity", "系统": "entity", "service": "entity", "坐席": "agent",
}  # fmt: skip


def read_source(
    source: Path, *, channel: str | None = None, entity: str | None = None, aside: Aside | None = None
) -> Iterator[Message]:
    """Read messages from a file or folder, by its form.

    Parameters
    ----------
    source : path
        An mbox file, a Maildir, ``.eml``, ``.csv``, ``.jsonl``, ``.json`` (one or a list of chat payloads), ``.txt`` (a
        note or transcript of a call), or a folder of such files.
    channel, entity : str, optional
        Of messages that do not say it themselves.
    aside : callable, optional
        Is told of a mail, row, payload or file of a folder that cannot be read (`FeedbackStore.set_aside`), and the
        rest is read; without it the first one is an error.

    Yields
    ------
    Message
        A row without an id of its own is known again by what stands in it and by how many equal ones stand above it;
        one without a moment by its file's name, too.

    Raises
    ------
    ContractError
        For a source that is not there, and one that cannot be understood, with file and row, never with what stands
        there.
    """
    source = Path(source)
    if not source.exists():
        raise ContractError(file=source, expected="a file or folder of messages", got="none")
    if source.is_dir():
        if (source / "cur").is_dir() and (source / "new").is_dir():
            for message in _mails(mailbox.Maildir(source, factory=None, create=False), source, aside):
                yield _completed(message, channel, entity)
            return
        for path in sorted(p for p in source.iterdir() if p.is_file() and not p.name.startswith(".")):
            try:
                yield from read_source(path, channel=channel, entity=entity, aside=aside)
            except ContractError as error:  # of the file as a whole
                if aside is None:
                    raise
                aside(str(path), reason(error), path.read_bytes() if path.stat().st_size <= LARGEST else b"")
        return
    if not source.is_file():
        raise ContractError(file=source, expected="a file or folder of messages", got="a pipe or device")
    if source.stat().st_size > LARGEST and source.suffix not in ("", ".mbox"):
        raise ContractError(file=source, expected=f"at most {LARGEST:,} bytes", got=f"{source.stat().st_size:,}")
    readers = {
        ".csv": _csv,
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".json": _payloads,
        ".txt": _call,
        ".eml": _one_mail,
    }
    reader = readers.get(source.suffix.lower(), _mbox)
    for message in reader(source, aside):
        yield _completed(message, channel, entity)


def from_chat(payload: Mapping) -> Message | None:
    """Read a chat service's webhook: Slack, Mattermost, Teams, DingTalk, Feishu, WeCom and plain ``{"text", "user"}``.

    Returns
    -------
    Message or None
        None for a payload without a text: a handshake, an event of another kind.

    Examples
    --------
    >>> from_chat({"event": {"type": "message", "text": "search is down", "user": "U1", "ts": "1767225600.5"}}).text
    'search is down'
    >>> from_chat({"type": "url_verification"}) is None
    True
    """
    event = payload.get("event") if isinstance(payload.get("event"), Mapping) else payload
    event = event.get("message") if isinstance(event.get("message"), Mapping) else event
    text = event.get("text") or event.get("content") or payload.get("body")
    if isinstance(text, Mapping):
        text = text.get("content") or text.get("text")
    if isinstance(text, str) and text.startswith("{"):  # Feishu wraps the text in JSON
        with contextlib.suppress(ValueError, AttributeError):
            text = json.loads(text).get("text", text)
    if not isinstance(text, str) or not text.strip():
        return None
    sender = (
        event.get("user") or event.get("user_id") or event.get("from") or event.get("senderId") or event.get("sender")
    )
    if isinstance(sender, Mapping):
        sender = sender.get("id") or sender.get("name") or sender.get("open_id")
    stamp = next((event[name] for name in CHAT_TIMES if event.get(name)), None)
    key = (
        payload.get("event_id")
        or event.get("client_msg_id")
        or event.get("msgId")
        or event.get("message_id")
        or event.get("id")
        or event.get("ts")
    )
    back = payload.get("response_url") or event.get("sessionWebhook")
    thread = event.get("thread_ts") or event.get("conversationId") or event.get("chat_id")
    return Message(html.unescape(text), "chat", moment_of(stamp), _text(sender), _text(back), _text(key), _text(thread),
                   _text(payload.get("entity")))  # fmt: skip


def _completed(message: Message, channel: str | None, entity: str | None) -> Message:
    fields = {**message.__dict__, "text": message.text[:LONGEST]}
    return Message(**fields | {"channel": channel or message.channel, "entity": message.entity or entity})


def _csv(path: Path, aside: Aside | None) -> Iterator[Message]:
    from stability.records.feedback import USUAL

    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")  # a bad byte is the fault of its row alone
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        raise ContractError(file=path, expected="a CSV file in UTF-8 with a header", got=str(error)) from error
    if not header or _escaped("".join(header)):
        raise ContractError(file=path, expected="a CSV file in UTF-8 with a header", got="none")
    if not set(header) & {"text", *USUAL["text"]}:
        remedy = f"one of {', '.join(USUAL['text'])} will do"
        raise ContractError(file=path, row=1, column="text", expected="a text", got="no such column", remedy=remedy)
    seen: Counter[str] = Counter()
    row = 0
    while True:
        row += 1
        message, cells = None, []
        with guarded(aside, f"{path}, row {row}", b""):
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                raise ContractError(file=path, row=row, expected="cells of usual length", got="others") from error
        if not cells:
            continue
        with guarded(aside, f"{path}, row {row}", json.dumps(cells).encode()):
            if len(cells) > len(header) or _escaped("".join(cells)):
                got = "more cells" if len(cells) > len(header) else "other bytes"
                raise ContractError(file=path, row=row, expected=f"{len(header)} cells in UTF-8", got=got)
            message = _record(dict(zip(header, cells, strict=False)), USUAL, path, row, seen)
        if message is not None:
            yield message


def _escaped(text: str) -> bool:
    return any("\udc80" <= c <= "\udcff" for c in text)


def _json_lines(path: Path, aside: Aside | None) -> Iterator[Message]:
    from stability.records.feedback import USUAL

    seen: Counter[str] = Counter()
    for row, line in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        message = None
        if not line.strip():
            continue
        with guarded(aside, f"{path}, row {row}", line):
            record = _parsed(_decoded(line, path, row), path, row)
            if not isinstance(record, dict):
                got = type(record).__name__
                raise ContractError(file=path, row=row, expected="a JSON object a line", got=got)
            record = {str(k): _text(v) or "" for k, v in record.items()}
            message = _record(record, USUAL, path, row, seen)
        if message is not None:
            yield message


def _record(record: Mapping[str, str], usual: Mapping, path: Path, row: int, seen: Counter[str]) -> Message:
    def cell(name: str) -> str | None:
        names = (name, *usual.get(name, ()))
        return next((record[n].strip() for n in names if record.get(n, "").strip()), None)

    text = cell("text")
    if text is None:
        raise ContractError(file=path, row=row, column="text", expected="a text", got="none",
                            remedy=f"one of {', '.join(usual['text'])} will do")  # fmt: skip
    stamp, rating = cell("timestamp"), cell("rating")
    moment = moment_of(stamp)
    if stamp is not None and moment is None:
        raise ContractError(file=path, row=row, column="timestamp", expected="a moment, ISO 8601", got="another text")
    number = pd.to_numeric(rating, errors="coerce") if rating else None
    number = None if number is None or pd.isna(number) else float(number)
    if number is not None and not (math.isfinite(number) and abs(number) <= LARGEST_RATING):
        expected = f"a number up to {LARGEST_RATING:,}"
        raise ContractError(file=path, row=row, column="rating", expected=expected, got="a larger one")
    own = cell("feedback_id")
    whole = json.dumps([own, stamp, text] if own else sorted(record.items()))
    seen[whole] += 1  # the second of two that say the same is another message, but the same one in the next export
    key = f"{whole}|{seen[whole]}" if own or moment else f"{path.name}|{whole}|{seen[whole]}"
    return Message(text, cell("channel") or "file", moment, cell("user"), None, key, None, cell("entity"), number)


def _own(name: str | None, text: str) -> str | None:
    """A name that a file gives is its own: 17 of another file is another message, so the text goes with it."""
    return None if name is None else f"{name}|{text}"


def _payloads(path: Path, aside: Aside | None) -> Iterator[Message]:
    read = _parsed(_text_of(path), path, None)
    if not isinstance(read, dict | list):
        raise ContractError(file=path, expected="a chat payload, or a list of them", got=type(read).__name__)
    for place, payload in enumerate(read if isinstance(read, list) else [read], start=1):
        message = None
        with guarded(aside, f"{path}, payload {place}", json.dumps(payload).encode()):
            if not isinstance(payload, dict):
                raise ContractError(file=path, row=place, expected="a chat payload", got=type(payload).__name__)
            message = from_chat(payload)
        if message is not None:
            yield message


def _call(path: Path, _: Aside | None) -> Iterator[Message]:
    """A note or transcript: headers (Date, Caller, Service) as far as there are, then what was said."""
    lines, known = _text_of(path).splitlines(), {}
    while lines and (found := _HEADER.match(lines[0].strip())):
        known[_HEADERS.get(found["name"].lower(), found["name"].lower())] = found["value"].strip()
        lines.pop(0)
    text = "\n".join(lines).strip()
    if not text:
        raise ContractError(file=path, expected="a note or transcript of a call", got="no text")
    caller = known.get("from")
    stamp = moment_of(known.get("date")) or dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
    yield Message(text, "phone", stamp, caller, caller, _own(path.name, text), None, known.get("entity"))


def _one_mail(path: Path, aside: Aside | None) -> Iterator[Message]:
    raw, message = path.read_bytes(), None
    with guarded(aside, str(path), raw):
        message = from_mail(raw)
    if message is not None:
        yield message


def _mbox(path: Path, aside: Aside | None) -> Iterator[Message]:
    with path.open("rb") as file:
        if not file.read(5) == b"From ":
            raise ContractError(
                file=path, expected="mbox, Maildir, .eml, .csv, .jsonl, .json or .txt", got="something else"
            )
    box = mailbox.mbox(path, factory=None, create=False)
    try:
        yield from _mails(box, path, aside)
    finally:
        box.close()


def _mails(box: mailbox.Mailbox, path: Path, aside: Aside | None) -> Iterator[Message]:
    for place, name in enumerate(box.iterkeys(), start=1):
        raw, message = b"", None
        with contextlib.suppress(KeyError):  # somebody took it out of the folder
            raw = box.get_bytes(name)
        with guarded(aside, f"{path}, mail {place}", raw):
            message = from_mail(raw) if raw else None
        if message is not None:
            yield message


def _text_of(path: Path) -> str:
    return _decoded(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), path, None)


def _decoded(raw: bytes, path: Path, row: int | None) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ContractError(file=path, row=row, expected="text in UTF-8", got="other bytes") from error


def _parsed(text: str, path: Path, row: int | None) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f"a mistake at character {error.pos}" if isinstance(error, json.JSONDecodeError) else "another text"
        raise ContractError(file=path, row=row, expected="JSON", got=where) from error


def _text(value: object) -> str | None:
    return None if value is None or isinstance(value, dict | list) else str(value)
