"""One e-mail: its plain text without what it quotes, its sender, its name; whatever a hostile one looks like."""

from __future__ import annotations

__all__ = ["MESSAGE_ID", "from_mail", "way_back"]

import datetime as dt
import email
import email.errors
import email.header
import email.policy
import email.utils
import hashlib
import html
import re
import urllib.parse
from email.message import EmailMessage

from stability.feedback.messages import Message, usual_moment

LARGEST_MAIL = 2_000_000  # bytes of one mail: attachments are of no use here
HEADER = 2_000  # characters of a mail's header that are looked at: parsers take long over hostile ones
_QUOTED = re.compile(
    r"(?m)^>.*$|^On .{5,120} wrote:\s*$|^在.{5,80}写道：\s*$"
    r"|^-{2,}\s*(?:Original Message|Forwarded message|原始邮件).*$[\s\S]*"
)
MESSAGE_ID = re.compile(r"<[\x21-\x3b\x3d\x3f-\x7e]{3,250}>\Z")
MARKUP = 200_000  # characters of a mail in HTML that are looked at: no person writes more
_HIDDEN = re.compile(r"(?i)<(/?)(?:script|style)\b")
_TAGS = re.compile(r"<[^<>]{0,2000}>")
# What the standard library raises of mail that is none.
_BROKEN = (
    LookupError, ValueError, AttributeError, TypeError, AssertionError, RecursionError, email.errors.MessageError,
)  # fmt: skip


def from_mail(raw: bytes) -> Message:
    """Read one e-mail: its plain text without what it quotes, its sender, its name."""
    raw = raw[:LARGEST_MAIL]
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    try:
        body = parsed.get_body(("plain", "html"))
        text = (body.get_content() if body is not None else "")[:MARKUP]
        if body is not None and body.get_content_type() == "text/html":
            text = _unmarked(text)
    except _BROKEN:  # charsets that there are not, broken parts, parts within parts within parts
        text = _payload(parsed)[:MARKUP]
    text = re.sub(r"\n{3,}", "\n\n", _QUOTED.sub("", text)).strip()
    subject = _header(parsed, "Subject")
    subject = re.sub(r"(?i)^(?:(?:re|fwd?|aw|wg|回复|转发|答复)\s*[:：]\s*)+", "", subject)
    sender = _address(parsed, "From")
    reply = _address(parsed, "Reply-To") or sender
    key = _raw_header(parsed, "Message-ID")
    references = (_raw_header(parsed, "References") or _raw_header(parsed, "In-Reply-To")).split()
    known = key or f"bytes {hashlib.sha256(raw).hexdigest()}"  # as they are they come again
    stamp = _sent(_raw_header(parsed, "Date"))
    thread = (references or [key])[0] or None
    return Message(f"{subject}\n{text}".strip(), "mail", stamp, sender, reply and way_back(reply, key), known, thread)


def way_back(address: str, named: str) -> str:
    """Keep a mail's name with its sender's address, as a mailto URI (RFC 6068), so that the answer finds its thread.

    Examples
    --------
    >>> way_back("a@home.example", "<1@home.example>")
    'mailto:a@home.example?In-Reply-To=%3C1%40home.example%3E'
    >>> way_back("a@home.example", "no name")
    'a@home.example'
    """
    if not MESSAGE_ID.match(named):
        return address
    return f"mailto:{urllib.parse.quote(address, safe='@')}?In-Reply-To={urllib.parse.quote(named, safe='')}"


def _address(parsed: EmailMessage, name: str) -> str | None:
    try:
        return email.utils.parseaddr(_raw_header(parsed, name))[1] or None
    except _BROKEN:  # comments within comments
        return None


def _sent(date: str) -> dt.datetime | None:
    try:
        stamp = email.utils.parsedate_to_datetime(date)
        return usual_moment(stamp if stamp.tzinfo else stamp.replace(tzinfo=dt.UTC))
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _unmarked(page: str) -> str:
    """The text of a page of HTML: without scripts and styles, then without tags."""
    parts, end, hidden = [], 0, False
    for found in _HIDDEN.finditer(page):
        if not hidden and not found[1]:
            parts.append(page[end : found.start()])
            hidden = True
        elif hidden and found[1]:
            end, hidden = found.start(), False
    if not hidden:
        parts.append(page[end:])
    return html.unescape(_TAGS.sub(" ", " ".join(parts)))


def _payload(parsed: EmailMessage) -> str:
    for part in parsed.walk():
        raw = None if part.is_multipart() else part.get_payload(decode=True)
        if raw:
            return raw.decode("utf-8", errors="replace")
    return ""


def _raw_header(parsed: EmailMessage, name: str) -> str:
    """A header as it came, in one line."""
    said = next((value for known, value in parsed.raw_items() if known.lower() == name.lower()), "")
    value = str(said)[:HEADER].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return " ".join(value.split())


def _header(parsed: EmailMessage, name: str) -> str:
    value = _raw_header(parsed, name)
    try:
        return str(email.header.make_header(email.header.decode_header(value))).strip()
    except _BROKEN:  # words in charsets that there are not, and in none
        return value
