"""Answers on their way: e-mail by SMTP, chat by a webhook; what surely did not go out, and what perhaps did."""

from __future__ import annotations

__all__ = ["LOOPBACK", "Delivery", "Letter", "chat_address", "mail_address", "send_chat", "send_mail"]

import contextlib
import datetime as dt
import email.utils
import os
import re
import smtplib
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import NamedTuple

import httpx

from stability.feedback.mails import MESSAGE_ID
from stability.schema import ContractError, unlogged

SMTP = "STABILITY_SMTP_HOST"  # with _PORT, _USER, _PASSWORD, _FROM, and _PLAIN=1 for a server on this machine
CHAT_REPLY = "STABILITY_CHAT_REPLY"  # address of a webhook that takes answers whose message brought none
CHAT_HOSTS = "STABILITY_CHAT_HOSTS"  # further hosts, separated by blanks, whose addresses in messages are answered
KNOWN_HOSTS = ("hooks.slack.com", "oapi.dingtalk.com")
"""Services whose messages bring an address for their answer; one that anybody else writes there is not asked."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
REFUSED = (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused, smtplib.SMTPNotSupportedError)
TIMEOUT = 30.0  # seconds for each answer of a server
SUBJECT = {"en": "Re: your message {name}", "zh": "回复：您的留言 {name}"}
_ADDRESS = re.compile(r"[^\s@<>,;:\"'()\[\]\\]{1,64}@[^\s@<>,;:\"'()\[\]\\]{1,190}\.[^\s@<>,;:\"'()\[\]\\]{1,60}\Z")


@dataclass(frozen=True)
class Letter:
    """An answer with its way.

    Parameters
    ----------
    feedback_id : str
        The message that it answers.
    address : str
        As it came with the message; "" without one.
    text : str
    language : str
        en or zh: of the subject.
    automatic : bool
        Whether no person wrote it to this one.
    """

    feedback_id: str
    address: str
    text: str
    language: str = "en"
    automatic: bool = False


class Delivery(NamedTuple):
    """What became of it.

    Parameters
    ----------
    state : {"sent", "not sent", "perhaps"}
        `perhaps`: the connection broke after the text was on its way.
    detail : str
        A few words without anybody's address.
    """

    state: str
    detail: str


def mail_address(address: str) -> tuple[str, str] | None:
    """Take an address and the name of the mail that is answered ("" where it is not known); None of what is none.

    Examples
    --------
    >>> mail_address("mailto:a@home.example?In-Reply-To=%3C1%40home.example%3E")
    ('a@home.example', '<1@home.example>')
    >>> mail_address("a@home.example"), mail_address("a@home.example\\nBcc: b@home.example")
    (('a@home.example', ''), None)
    """
    named = ""
    if address.startswith("mailto:"):
        there, _, query = address.removeprefix("mailto:").partition("?")
        address = urllib.parse.unquote(there)
        named = dict(urllib.parse.parse_qsl(query)).get("In-Reply-To", "")
    if not _ADDRESS.match(address) or not address.isprintable():
        return None
    return address, named if MESSAGE_ID.match(named) else ""


def chat_address(address: str) -> str | None:
    """Say where an answer to a chat message goes: to the address that came with it, where its host is known to us.

    The address in a payload is whatever its sender wrote: `hooks.slack.com`, `oapi.dingtalk.com` and the hosts of
    `STABILITY_CHAT_HOSTS` are answered there, all others at `STABILITY_CHAT_REPLY`. None without either.

    Raises
    ------
    ContractError
        When `STABILITY_CHAT_REPLY` is no https address; http only to this machine. Its text is not told.
    """
    parts = _split(address)
    if parts is not None and parts[1] in {*KNOWN_HOSTS, *os.environ.get(CHAT_HOSTS, "").split()} and _safe(parts):
        return address
    told = os.environ.get(CHAT_REPLY, "")
    if not told:
        return None
    parts = _split(told)
    if parts is None or not _safe(parts):
        raise ContractError(
            column=CHAT_REPLY, expected="an https address, or http on this machine", got="something else"
        )
    return told


def send_mail(letter: Letter) -> Delivery:
    """Send an answer by SMTP: server, user, password and sender come from `STABILITY_SMTP_HOST` and its siblings.

    TLS at once on port 465, by STARTTLS on others (587 without `STABILITY_SMTP_PORT`); never without, but to a server
    on this machine with `STABILITY_SMTP_PLAIN=1`. Its Message-ID is the message's own, so that a second copy can be
    known as one.

    Raises
    ------
    ContractError
        When the server is not named, or told to do without TLS elsewhere.
    """
    host, sender = os.environ.get(SMTP, ""), os.environ.get("STABILITY_SMTP_FROM", "")
    if not host or mail_address(sender) is None:
        raise ContractError(
            column=f"{SMTP}, STABILITY_SMTP_FROM", expected="a server and an address in the environment", got="none"
        )
    plain, port = os.environ.get("STABILITY_SMTP_PLAIN") == "1", os.environ.get("STABILITY_SMTP_PORT", "587")
    if plain and host not in LOOPBACK:
        raise ContractError(column="STABILITY_SMTP_PLAIN", expected="TLS, or a server on this machine", got=repr(host))
    if not port.isdigit() or not 0 < int(port) < 65_536:
        raise ContractError(column="STABILITY_SMTP_PORT", expected="a port", got=repr(port))
    known = mail_address(letter.address)
    if known is None:
        return Delivery("not sent", "no address that a mail could go to")
    mail, secure = _mail(letter, sender, *known), ssl.create_default_context()
    told = {"timeout": TIMEOUT, "local_hostname": sender.rpartition("@")[2]}
    try:
        if int(port) == smtplib.SMTP_SSL_PORT and not plain:
            server = smtplib.SMTP_SSL(host, int(port), context=secure, **told)
        else:
            server = smtplib.SMTP(host, int(port), **told)
    except OSError as error:
        return Delivery("not sent", f"the server did not answer: {_words(error)}")
    try:
        if int(port) != smtplib.SMTP_SSL_PORT and not plain:
            server.starttls(context=secure)
        if user := os.environ.get("STABILITY_SMTP_USER"):
            server.login(user, os.environ.get("STABILITY_SMTP_PASSWORD", ""))
    except OSError as error:
        server.close()
        return Delivery("not sent", f"the server refused: {_words(error)}")
    try:
        server.send_message(mail, from_addr=sender, to_addrs=[known[0]])
    except REFUSED as error:
        server.close()
        return Delivery("not sent", f"the server refused: {_words(error)}")
    except OSError as error:
        server.close()
        return Delivery("perhaps", f"while it was sent: {_words(error)}")
    with contextlib.suppress(OSError):
        server.quit()
    return Delivery("sent", "taken by the mail server")


def send_chat(letter: Letter) -> Delivery:
    """Send an answer to a chat service, in the form that its host takes; redirects are not followed."""
    address = chat_address(letter.address)
    if address is None:
        return Delivery("not sent", f"no address that may be answered, and no {CHAT_REPLY}")
    host = _split(address)[1]
    text = letter.text if address == letter.address else f"{letter.feedback_id}: {letter.text}"
    try:
        with unlogged("httpx"), httpx.Client(timeout=TIMEOUT, trust_env=host not in LOOPBACK) as client:
            response = client.post(address, json=_chat(host, text))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        return Delivery("not sent", f"the service did not answer: {type(error).__name__}")
    except httpx.HTTPError as error:
        return Delivery("perhaps", f"while it was sent: {type(error).__name__}")
    if response.status_code >= 500:
        return Delivery("perhaps", f"answered {response.status_code}")
    try:
        told = response.json()
    except ValueError:
        told = None
    told = told if isinstance(told, Mapping) else {}  # services that say 200 and mean no
    code = told.get("errcode") or told.get("code") or told.get("StatusCode") or 0
    if not response.is_success or told.get("ok") is False or code:
        return Delivery("not sent", f"answered {response.status_code}{f', code {code}'[:30] if code else ''}")
    return Delivery("sent", "taken by the chat service")


def _mail(letter: Letter, sender: str, address: str, named: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, address
    mail["Subject"] = SUBJECT.get(letter.language, SUBJECT["en"]).format(name=letter.feedback_id)
    mail["Date"] = email.utils.format_datetime(dt.datetime.now(dt.UTC))
    mail["Message-ID"] = f"<{letter.feedback_id}.answer@{sender.rpartition('@')[2]}>"
    if named:
        mail["In-Reply-To"] = mail["References"] = named
    if letter.automatic:
        mail["Auto-Submitted"] = "auto-replied"  # RFC 3834: no machine should answer it
    mail.set_content(f"{letter.text.rstrip()}\n\n-- \n{letter.feedback_id}\n")
    return mail


def _chat(host: str, text: str) -> dict:
    if host.endswith(("dingtalk.com", "weixin.qq.com")):
        return {"msgtype": "text", "text": {"content": text}}
    if host.endswith(("feishu.cn", "larksuite.com")):
        return {"msg_type": "text", "content": {"text": text}}
    if host.endswith("slack.com"):  # an answer that quotes <!channel> calls nobody
        return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    return {"text": text}


def _split(address: str) -> tuple[str, str] | None:
    """Scheme and host; None of what is no address, or holds a user."""
    try:
        parts = urllib.parse.urlsplit(address)
        host, user = parts.hostname, parts.username
        _ = parts.port
    except ValueError:
        return None
    fine = host and user is None and address.isprintable() and not any(c.isspace() or c == "\\" for c in address)
    return (parts.scheme, host) if fine else None


def _safe(parts: tuple[str, str]) -> bool:
    return parts[0] == "https" or (parts[0] == "http" and parts[1] in LOOPBACK)


def _words(error: Exception) -> str:
    """Kind and code: a server's words hold addresses."""
    code = getattr(error, "smtp_code", None)
    return f"{type(error).__name__}{f' {code}' if code else ''}"
