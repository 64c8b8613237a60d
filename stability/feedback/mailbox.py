"""Mail from a server: IMAP as the standard library speaks it; nothing in the mailbox is changed."""

from __future__ import annotations

__all__ = ["read_mailbox"]

import contextlib
import imaplib
import os
import ssl
from collections.abc import Iterator

from stability.feedback.sources import LONGEST, Message, from_mail
from stability.schema import ContractError

USER, PASSWORD = "STABILITY_IMAP_USER", "STABILITY_IMAP_PASSWORD"
TIMEOUT = 30.0  # seconds for each answer of the server
LARGEST = 2_000_000  # bytes of a mail that are fetched: attachments are of no use here
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def read_mailbox(
    host: str, port: int = 993, *, folder: str = "INBOX", plain: bool = False, newest: int = 1000
) -> Iterator[Message]:
    """Read the mails of a mailbox.

    Parameters
    ----------
    host, port
        Of the server; user and password come from the environment (`STABILITY_IMAP_USER`, `STABILITY_IMAP_PASSWORD`).
    folder : str
        Name of the mailbox.
    plain : bool
        Without TLS, which only a server on this machine is asked.
    newest : int
        So many of the latest mails; intake knows those that it has seen.

    Yields
    ------
    Message

    Raises
    ------
    ContractError
        Without user and password, and for a mailbox that there is not.
    ConnectionError
        When the server does not answer, or refuses them.
    """
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    if not user or not password:
        raise ContractError(column=f"{USER}, {PASSWORD}", expected="both in the environment", got="none")
    if plain and host not in LOOPBACK:
        raise ContractError(column="plain", expected="TLS, or a server on this machine", got=repr(host))
    try:
        if plain:
            server = imaplib.IMAP4(host, port, timeout=TIMEOUT)
        else:
            server = imaplib.IMAP4_SSL(host, port, timeout=TIMEOUT, ssl_context=ssl.create_default_context())
    except (OSError, imaplib.IMAP4.error) as error:
        raise ConnectionError(f"the mail server {host}:{port} did not answer: {error}") from error
    try:
        server.login(user, password)
        status, _ = server.select(_quoted(folder), readonly=True)
        if status != "OK":
            raise ContractError(column="folder", expected="a mailbox that there is", got=repr(folder))
        _, found = server.uid("search", None, "ALL")
        for uid in (found[0] or b"").split()[-newest:]:
            _, parts = server.uid("fetch", uid.decode(), f"(BODY.PEEK[]<0.{LARGEST}>)")
            raw = next((part[1] for part in parts if isinstance(part, tuple)), None)
            if raw:
                message = from_mail(raw)
                yield Message(**{**message.__dict__, "text": message.text[:LONGEST]})
    except (OSError, imaplib.IMAP4.error) as error:
        raise ConnectionError(f"the mail server {host}:{port} refused: {error}") from error
    finally:
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            server.logout()


def _quoted(folder: str) -> str:
    return '"' + folder.replace("\\", "\\\\").replace('"', '\\"') + '"'
