"""Messages as they come: mail on disk, chat payloads, notes and transcripts of calls, CSV, JSON lines."""

from __future__ import annotations

__all__ = ["Message", "from_chat", "from_mail", "moment_of", "read_source"]

import contextlib
import datetime as dt
import email
import email.policy
import email.utils
import html
import json
import mailbox
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pandas as pd

from stability.schema import ContractError

LONGEST = 20_000  # characters of a message: the rest of a longer one is a forwarded thread, a log, or hostile
LARGEST = 20_000_000  # bytes of one file of messages
CHAT_TIMES = ("event_time", "timestamp", "ts", "create_at", "create_time", "date")
_QUOTED = re.compile(
    r"(?m)^>.*$|^On .{5,120} wrote:\s*$|^在.{5,80}写道：\s*$"
    r"|^-{2,}\s*(?:Original Message|Forwarded message|原始邮件).*$[\s\S]*"
)
MARKUP = 200_000  # characters of a mail in HTML that are looked at: no person writes more
_TAGS = re.compile(r"(?is)<(script|style)\b.*?</\1\s*>|<[^>]{0,2000}>")
_HEADER = re.compile(
    r"^(?P<name>date|time|agent|caller|from|entity|service|日期|时间|坐席|来电|来电人|服务|系统)\s*[:：]\s*(?P<value>.*)$",
    re.I,
)
_HEADERS = {
    "日期": "date", "时间": "date", "time": "date", "来电": "from", "来电人": "from", "caller": "from",
    "服务": "entity", "系统": "entity", "service": "entity", "坐席": "agent",
}  # fmt: skip


@dataclass(frozen=True)
class Message:
    """A message before anything of it is stored: with names, numbers and the way back.

    Parameters
    ----------
    text : str
        What was written or said.
    channel : str
        form, mail, chat, phone, or what the file calls it.
    timestamp : datetime, optional
        When it was sent; the moment of intake without it.
    user : str, optional
        Who; becomes a pseudonym.
    reply_to : str, optional
        Where an answer goes: an address, a webhook; never stored with the message.
    key : str, optional
        The channel's own name of the message, by which it is known again.
    thread : str, optional
        The channel's own name of the conversation.
    entity : str, optional
        What it is about.
    rating : float, optional
        As the channel counts.
    """

    text: str
    channel: str
    timestamp: dt.datetime | None = None
    user: str | None = None
    reply_to: str | None = None
    key: str | None = None
    thread: str | None = None
    entity: str | None = None
    rating: float | None = None


def read_source(source: Path, *, channel: str | None = None, entity: str | None = None) -> Iterator[Message]:
    """Read messages from a file or folder, by its form.

    Parameters
    ----------
    source : path
        An mbox file, a Maildir, ``.eml``, ``.csv``, ``.jsonl``, ``.json`` (one or a list of chat payloads), ``.txt`` (a
        note or transcript of a call), or a folder of such files.
    channel, entity : str, optional
        Of messages that do not say it themselves.

    Yields
    ------
    Message

    Raises
    ------
    ContractError
        For a source that is not there, and one that cannot be understood, with file and row.
    """
    source = Path(source)
    if not source.exists():
        raise ContractError(file=source, expected="a file or folder of messages", got="none")
    if source.is_dir():
        if (source / "cur").is_dir() and (source / "new").is_dir():
            for mail in mailbox.Maildir(source, factory=None, create=False):
                yield _completed(from_mail(mail.as_bytes()), channel, entity)
            return
        for path in sorted(p for p in source.iterdir() if p.is_file() and not p.name.startswith(".")):
            yield from read_source(path, channel=channel, entity=entity)
        return
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
    for message in reader(source):
        yield _completed(message, channel, entity)


def from_mail(raw: bytes) -> Message:
    """Read one e-mail: its plain text without what it quotes, its sender, its name."""
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    try:
        body = parsed.get_body(("plain", "html"))
        text = body.get_content() if body is not None else ""
        if body is not None and body.get_content_type() == "text/html":
            text = html.unescape(_TAGS.sub(" ", text[:MARKUP]))
    except (
        LookupError,
        UnicodeError,
        AttributeError,
        KeyError,
        ValueError,
    ):  # charsets that there are not, broken parts
        text = _payload(parsed)
    text = re.sub(r"\n{3,}", "\n\n", _QUOTED.sub("", text)).strip()
    subject = _header(parsed, "Subject")
    subject = re.sub(r"(?i)^(?:(?:re|fwd?|aw|wg|回复|转发|答复)\s*[:：]\s*)+", "", subject)
    sender = email.utils.parseaddr(_header(parsed, "From"))[1] or None
    reply = email.utils.parseaddr(_header(parsed, "Reply-To"))[1] or sender
    try:
        stamp = email.utils.parsedate_to_datetime(_header(parsed, "Date"))
        stamp = stamp if stamp.tzinfo else stamp.replace(tzinfo=dt.UTC)
    except (TypeError, ValueError, IndexError):
        stamp = None
    key = _header(parsed, "Message-ID") or None
    references = (_header(parsed, "References") or _header(parsed, "In-Reply-To")).split()
    return Message(f"{subject}\n{text}".strip(), "mail", stamp, sender, reply, key, (references or [key])[0])


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


def _csv(path: Path) -> Iterator[Message]:
    from stability.records.feedback import USUAL

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ContractError(file=path, expected="a CSV file in UTF-8 with a header", got=str(error)) from error
    for row, record in enumerate(frame.to_dict("records"), start=1):
        yield _record(record, USUAL, path, row)


def _json_lines(path: Path) -> Iterator[Message]:
    from stability.records.feedback import USUAL

    for row, line in enumerate(_text_of(path).splitlines(), start=1):
        if line.strip():
            record = _parsed(line, path, row)
            if not isinstance(record, dict):
                raise ContractError(file=path, row=row, expected="a JSON object a line", got=repr(record))
            yield _record({str(k): _text(v) or "" for k, v in record.items()}, USUAL, path, row)


def _record(record: Mapping[str, str], usual: Mapping, path: Path, row: int) -> Message:
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
        raise ContractError(file=path, row=row, column="timestamp", expected="a moment, ISO 8601", got=repr(stamp))
    number = pd.to_numeric(rating, errors="coerce") if rating else None
    number = None if number is None or pd.isna(number) else float(number)
    return Message(
        text,
        cell("channel") or "file",
        moment,
        cell("user"),
        None,
        _own(cell("feedback_id"), text),
        None,
        cell("entity"),
        number,
    )


def _own(name: str | None, text: str) -> str | None:
    """A name that a file gives is its own: 17 of another file is another message, so the text goes with it."""
    return None if name is None else f"{name}|{text}"


def _payloads(path: Path) -> Iterator[Message]:
    read = _parsed(_text_of(path), path, None)
    for payload in read if isinstance(read, list) else [read]:
        if not isinstance(payload, dict):
            raise ContractError(file=path, expected="a chat payload, or a list of them", got=repr(payload))
        message = from_chat(payload)
        if message is not None:
            yield message


def _call(path: Path) -> Iterator[Message]:
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


def _one_mail(path: Path) -> Iterator[Message]:
    yield from_mail(path.read_bytes())


def _mbox(path: Path) -> Iterator[Message]:
    with path.open("rb") as file:
        if not file.read(5) == b"From ":
            raise ContractError(
                file=path, expected="mbox, Maildir, .eml, .csv, .jsonl, .json or .txt", got="something else"
            )
    box = mailbox.mbox(path, factory=None, create=False)
    try:
        for mail in box:
            yield from_mail(mail.as_bytes())
    finally:
        box.close()


def _payload(parsed: EmailMessage) -> str:
    for part in parsed.walk():
        raw = None if part.is_multipart() else part.get_payload(decode=True)
        if raw:
            return raw.decode("utf-8", errors="replace")
    return ""


def _header(parsed: EmailMessage, name: str) -> str:
    try:
        return str(parsed.get(name) or "").strip()
    except (ValueError, IndexError, AttributeError, KeyError, TypeError):  # malformed headers raise when they are read
        return ""


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ContractError(file=path, expected="text in UTF-8", got=str(error)) from error


def _parsed(text: str, path: Path, row: int | None) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ContractError(file=path, row=row, expected="JSON", got=str(error)) from error


def _text(value: object) -> str | None:
    return None if value is None or isinstance(value, dict | list) else str(value)


def moment_of(value: object) -> dt.datetime | None:
    """A moment as services write it: ISO 8601, or seconds or milliseconds since 1970; None where it is none."""
    if value is None:
        return None
    try:
        number = float(value)
        return dt.datetime.fromtimestamp(number / 1000 if number > 1e11 else number, dt.UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        pass
    stamp = pd.to_datetime(str(value), errors="coerce", utc=True)
    return None if stamp is pd.NaT else stamp.to_pydatetime()
