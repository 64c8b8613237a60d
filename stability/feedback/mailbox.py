"""Mail from a server: IMAP as the standard library speaks it; nothing in the mailbox is changed."""

from __future__ import annotations

__all__ = ["take_mailbox"]

import contextlib
import imaplib
import itertools
import json
import os
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from stability.feedback.delivery import LOOPBACK
from stability.feedback.intake import BATCH, Intake
from stability.feedback.mails import LARGEST_MAIL, from_mail
from stability.feedback.messages import guarded
from stability.schema import ContractError, written_whole

USER, PASSWORD = "STABILITY_IMAP_USER", "STABILITY_IMAP_PASSWORD"
TIMEOUT = 30.0  # seconds for each answer of the server
ASKED = 10_000  # numbers of mails asked for at a time: the standard library reads lines of a million bytes
REMEMBERED = "mailboxes.json"


def take_mailbox(
    intake: Intake, host: str, port: int = 993, *, folder: str = "INBOX", plain: bool = False
) -> dict[str, int]:
    """Take in all mails of a mailbox that have come since the last time, in batches, the oldest first.

    Parameters
    ----------
    intake : Intake
        Takes the mails; beside its store stands how far each mailbox was read.
    host, port
        Of the server; user and password come from the environment (`STABILITY_IMAP_USER`, `STABILITY_IMAP_PASSWORD`).
    folder : str
        Name of the mailbox.
    plain : bool
        Without TLS, which only a server on this machine is asked.

    Returns
    -------
    dict of str to int
        As `Intake.take`.

    Raises
    ------
    ContractError
        Without user and password, and for a mailbox that there is not.
    ConnectionError
        When the server does not answer, or refuses them; what was taken before stays.

    Notes
    -----
    The number of the last mail of a batch (UID, RFC 3501 section 2.3.1.1) is written down once the batch lies in the
    spool: killed in between, the next one reads the batch again, and intake knows what it has. When the mailbox was
    made anew (another UIDVALIDITY) all of it is read.
    """
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    if not user or not password:
        raise ContractError(column=f"{USER}, {PASSWORD}", expected="both in the environment", got="none")
    if plain and host not in LOOPBACK:
        raise ContractError(column="plain", expected="TLS, or a server on this machine", got=repr(host))
    box = intake.keys.digest(json.dumps(["mailbox", user, host, port, folder]))
    path, counts = intake.store.folder / REMEMBERED, Counter(new=0, known=0, waiting=0, aside=0)
    with _connected(host, port, user, password, plain) as server:
        status, _ = server.select(_quoted(folder), readonly=True)
        if status != "OK":
            raise ContractError(column="folder", expected="a mailbox that there is", got=repr(folder))
        validity = _number(server, "UIDVALIDITY")
        known = _remembered(path).get(box, [0, 0])
        last = known[1] if validity and known[0] == validity else 0
        fresh = _fresh(server, last, _number(server, "UIDNEXT"))
        while part := list(itertools.islice(fresh, BATCH)):
            aside, messages = len(intake.store.aside), []
            for uid in part:
                raw = _mail(server, uid)
                with guarded(intake.store.set_aside, f"mail {uid} of {folder}", raw):
                    messages += [from_mail(raw)] if raw else []
            done = intake.take(messages)
            counts.update(new=done["new"], known=done["known"], aside=len(intake.store.aside) - aside)
            counts["waiting"] = done["waiting"]
            if validity:
                _remember(path, box, [validity, part[-1]])
    return dict(counts)


@contextlib.contextmanager
def _connected(host: str, port: int, user: str, password: str, plain: bool) -> Iterator[imaplib.IMAP4]:
    try:
        if plain:
            server = imaplib.IMAP4(host, port, timeout=TIMEOUT)
        else:
            server = imaplib.IMAP4_SSL(host, port, timeout=TIMEOUT, ssl_context=ssl.create_default_context())
    except (OSError, imaplib.IMAP4.error) as error:
        raise ConnectionError(f"the mail server {host}:{port} did not answer: {error}") from error
    try:
        server.login(user, password)
        yield server
    except imaplib.IMAP4.error as error:
        raise ConnectionError(f"the mail server {host}:{port} refused: {error}") from error
    finally:
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            server.logout()


def _fresh(server: imaplib.IMAP4, last: int, following: int) -> Iterator[int]:
    """Numbers of the mails after `last`, in order; `following` is the one that the next mail will have, 0 unknown."""
    for start in range(last + 1, following, ASKED) if following else [last + 1]:
        until = f"{start + ASKED - 1}" if following else "*"  # to * the last one comes, too, however small its number
        _, found = server.uid("search", None, "UID", f"{start}:{until}")
        yield from sorted(uid for uid in map(int, (found[0] or b"").split()) if uid > last)


def _mail(server: imaplib.IMAP4, uid: int) -> bytes:
    """A mail's bytes; none of one that was deleted meanwhile."""
    status, parts = server.uid("fetch", str(uid), f"(BODY.PEEK[]<0.{LARGEST_MAIL}>)")
    if status != "OK":  # it may come next time: nothing after it is remembered as read
        raise ConnectionError(f"the mail server did not give mail {uid}")
    return next((part[1] for part in parts if isinstance(part, tuple)), b"")


def _number(server: imaplib.IMAP4, name: str) -> int:
    _, said = server.response(name)
    return int(said[0]) if said and said[0] and said[0].isdigit() else 0


def _remembered(path: Path) -> dict[str, list[int]]:
    try:
        read = json.loads(path.read_text())
        return {str(box): [int(validity), int(uid)] for box, (validity, uid) in read.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}  # all is read again, and intake knows it


def _remember(path: Path, box: str, place: list[int]) -> None:
    with written_whole(path) as file:
        file.write(json.dumps(_remembered(path) | {box: place}).encode())


def _quoted(folder: str) -> str:
    return '"' + folder.replace("\\", "\\\\").replace('"', '\\"') + '"'
